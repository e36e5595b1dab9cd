"""Dates and times inside GS1 element strings."""

from __future__ import annotations

import calendar
import datetime as dt

from ringup.drivers.protocol.errors import ParseError

# A protocol function reads no clock, and the century of YYMMDD depends on today's year: callers that live longer
# than this release pass reference_year (the scanner device passes the current year).
REFERENCE_YEAR = 2026


def full_year(two_digits: int, reference_year: int = REFERENCE_YEAR) -> int:
    """Return the year meant by two digits: from 49 years before to 50 years after `reference_year`.

    Source: GS1 General Specifications 7.12.

    >>> full_year(99, 2026), full_year(76, 2026), full_year(77, 2026)
    (1999, 2076, 1977)
    """
    year = reference_year - reference_year % 100 + two_digits
    if year - reference_year >= 51:
        return year - 100
    return year + 100 if year - reference_year <= -50 else year


def parse_date(text: str, reference_year: int = REFERENCE_YEAR) -> dt.date:
    """Return the date of YYMMDD; day 00 means the last day of the month.

    >>> parse_date("260200")
    datetime.date(2026, 2, 28)
    """
    return _date(full_year(int(text[:2]), reference_year), int(text[2:4]), int(text[4:6]), text)


def parse_long_date(text: str) -> dt.date:
    """Return the date of YYYYMMDD."""
    return _date(int(text[:4]), int(text[4:6]), int(text[6:8]), text)


def parse_time(text: str) -> dt.time | None:
    """Return the time of HH, HHMM or HHMMSS; None for 9999, which says that no time is given."""
    if text == "9999":
        return None
    parts = [int(text[i : i + 2]) for i in range(0, len(text), 2)]
    try:
        hour, minute, second = (*parts, 0, 0)[:3]
        return dt.time(hour, minute, second)
    except ValueError:
        raise ParseError(f"expected a time HHMM in a GS1 element, found {text!r}; the label is wrong") from None


def _date(year: int, month: int, day: int, text: str) -> dt.date:
    try:
        return dt.date(year, month, day or calendar.monthrange(year, month)[1])
    except (ValueError, calendar.IllegalMonthError):
        raise ParseError(f"expected a date in a GS1 element, found {text!r}; the label is wrong") from None

"""Time in the pricing oracle: windows, weekly schedules and dated rows, on the store's clock."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


def parse(text: str) -> datetime:
    return datetime.fromisoformat(text)


def instant(text: str, store_zone: str | None, at: datetime) -> datetime:
    """A moment as an aware time: one without a zone is on the store's clock (the clock of `at` where none is known)."""
    moment = parse(text)
    if moment.tzinfo is not None:
        return moment.astimezone(UTC)
    zone = ZoneInfo(store_zone) if store_zone else at.tzinfo or UTC
    return moment.replace(tzinfo=zone).astimezone(UTC)


def within(at_text: str | None, start: str | None, end: str | None, store_zone: str | None) -> str | None:
    """None when `at` is in [start, end); else not_started or expired. A case without a time has no dated gate."""
    if at_text is None:
        return None
    at = parse(at_text)
    now = instant(at_text, store_zone, at)
    if start is not None and now < instant(start, store_zone, at):
        return "not_started"
    if end is not None and now >= instant(end, store_zone, at):
        return "expired"
    return None


def store_clock(at_text: str, store_zone: str | None) -> datetime:
    """What the clock on the store's wall shows at `at`."""
    at = parse(at_text)
    if at.tzinfo is not None and store_zone:
        at = at.astimezone(ZoneInfo(store_zone))
    return at.replace(tzinfo=None)


def minutes(text: str) -> int:
    hours, mins = text.split(":")[:2]
    return int(hours) * 60 + int(mins)


def on_schedule(schedule: dict[str, Any], at_text: str | None, store_zone: str | None) -> bool:
    """Whether the store's wall clock is inside a weekly schedule; a range past midnight belongs to its first day."""
    if at_text is None:
        return True
    clock = store_clock(at_text, store_zone)
    days = schedule.get("days") or DAYS
    now = clock.hour * 60 + clock.minute
    today = DAYS[clock.weekday()] in days
    yesterday = DAYS[(clock - timedelta(days=1)).weekday()] in days
    ranges = schedule.get("times") or [["00:00", "24:00"]]
    for start, end in ((minutes(a), minutes(b)) for a, b in ranges):
        if start < end:
            if today and start <= now < end:
                return True
        elif (today and now >= start) or (yesterday and now < end):
            return True
    return False

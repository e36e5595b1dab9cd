"""Quantities and money from what people write."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringup.clients import major, minor, percent, qty


@pytest.mark.parametrize(
    ("written", "expected_milli"),
    [
        ("1.5", 1500),
        (2, 2000),
        ("0.001", 1),
        (Decimal("1.250"), 1250),
        (" 3 ", 3000),
        ("-1", -1000),
        ("0", 0),
        ("1e2", 100_000),
    ],
)
def test_qty(written: str | int | Decimal, expected_milli: int) -> None:
    assert qty(written) == expected_milli


def test_minor_follows_the_currency() -> None:
    assert minor("9.99") == 999
    assert minor("500", currency_digits=0) == 500
    assert minor("1.234", currency_digits=3) == 1234
    assert minor("-0.05") == -5
    assert percent("7.7") == 77_000_000


@pytest.mark.parametrize("written", [1.5, True, None, b"1"])
def test_floats_and_their_like_are_refused(written: object) -> None:
    with pytest.raises(TypeError, match="write it as text"):
        qty(written)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ("1.2345", "at most 3 decimals"),
        ("1e-9999999", "at most 3 decimals"),
        ("1e9999999", "fits 64 bits"),
        ("9223372036854775.808", "fits 64 bits"),
        ("nan", "finite"),
        ("inf", "finite"),
        ("1,5", "digits and one point"),
        ("", "digits and one point"),
    ],
)
def test_what_is_no_quantity_is_refused(written: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        qty(written)


@given(st.integers(-(2**63) + 1, 2**63 - 1), st.integers(0, 4))
def test_minor_undoes_major(amount_minor: int, digits: int) -> None:
    assert minor(str(major(amount_minor, digits)), digits) == amount_minor


@given(st.decimals(allow_nan=False, allow_infinity=False))
def test_an_accepted_quantity_is_exact(number: Decimal) -> None:
    try:
        milli = qty(number)
    except ValueError:
        return
    assert Decimal(milli).scaleb(-3) == number

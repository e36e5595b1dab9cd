"""Money against exact fractions."""

from __future__ import annotations

import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringup.native.money import allocate_shares, multiply_divide_rounded, round_divide

HALF_UP, HALF_DOWN, HALF_EVEN, UP, DOWN, CEILING, FLOOR = range(7)
numerators = st.integers(-(2**62), 2**62)
denominators = st.integers(1, 2**62)


def _expected(value: Fraction, mode: int) -> int:
    if mode == CEILING:
        return math.ceil(value)
    if mode == FLOOR:
        return math.floor(value)
    sign, size = (-1 if value < 0 else 1), abs(value)
    floor, rest = math.floor(size), size - math.floor(size)
    half = Fraction(1, 2)
    up = {
        HALF_UP: rest >= half,
        HALF_DOWN: rest > half,
        HALF_EVEN: rest > half or (rest == half and floor % 2 == 1),
        UP: rest > 0,
        DOWN: False,
    }[mode]
    return sign * (floor + up)


@given(numerators, denominators, st.integers(HALF_UP, FLOOR))
def test_division_rounds_as_its_name_says(numerator: int, denominator: int, mode: int) -> None:
    assert round_divide(numerator, denominator, mode) == _expected(Fraction(numerator, denominator), mode)


@given(st.integers(-100, 100), st.sampled_from([2, 4, 10]), st.integers(HALF_UP, DOWN))
def test_rounding_is_symmetric_around_zero(numerator: int, denominator: int, mode: int) -> None:
    assert round_divide(-numerator, denominator, mode) == -round_divide(numerator, denominator, mode)


@given(st.integers(0, 10**12), st.integers(0, 10**12), st.integers(10**9, 10**12))
def test_the_product_is_exact_before_it_is_divided(a: int, b: int, divisor: int) -> None:
    assert multiply_divide_rounded(a, b, divisor, HALF_UP) == _expected(Fraction(a * b, divisor), HALF_UP)


@given(st.integers(-(10**15), 10**15), st.lists(st.integers(0, 10**15), min_size=1, max_size=40))
def test_shares_sum_to_the_whole_and_are_fair(amount: int, weights: list[int]) -> None:
    shares = allocate_shares(amount, weights)
    assert sum(shares) == amount
    total = sum(weights)
    for share, weight in zip(shares, weights, strict=True):
        exact = Fraction(amount * weight, total) if total else Fraction(amount, len(weights))
        assert abs(share - exact) < 1


def test_ties_go_to_the_first_line() -> None:
    assert allocate_shares(100, [1, 1, 1]) == [34, 33, 33]
    assert allocate_shares(-100, [1, 1, 1]) == [-34, -33, -33]
    assert allocate_shares(2, [0, 0, 0]) == [1, 1, 0]


def test_wrong_input_is_named() -> None:
    with pytest.raises(ValueError, match="denominator must be above zero"):
        round_divide(1, 0)
    with pytest.raises(ValueError, match="not below zero"):
        allocate_shares(1, [-1])

"""Paying: only the part paid in cash is rounded to the coins, only cash gives change, a gift card is a tender."""

from libc.stdint cimport int64_t
from libc.stdlib cimport free, malloc


cdef Settlement settle_payments(
    const Payment* payments, int64_t count, int64_t total_minor, CashRule* rule
) noexcept nogil:
    """What payments bring for a total; the first without an amount takes what the others leave, the next nothing."""
    cdef Settlement found
    cdef int64_t at, amount, pay, rest = total_minor
    found.rounding_minor = found.change_minor = 0
    for at in range(count):
        if payments[at].amount_minor != NOT_GIVEN:
            rest -= payments[at].amount_minor
    for at in range(count):
        amount = payments[at].amount_minor
        if amount == NOT_GIVEN:
            amount, rest = rest, 0
        pay = round_cash(amount, rule) if payments[at].cash else amount
        found.rounding_minor += pay - amount
        if payments[at].cash and payments[at].tendered_minor != NOT_GIVEN:
            found.change_minor += max(<int64_t>0, payments[at].tendered_minor - pay)
    found.due_minor = total_minor + found.rounding_minor
    return found


def settle(
    total_minor: int,
    gift_cards: list[int],
    payments: list[tuple[bool, int | None, int | None]],
    increment_minor: int = 1,
    rounding: int = 0,
) -> tuple[int, int, int, list[int]]:
    """(due, cash rounding, change, what each gift card pays) for `total_minor`, which is below zero for a return.

    `gift_cards` are balances, drawn on in order; a payment is (in cash, amount or None, handed over or None).
    """
    cdef int64_t left = total_minor, count = len(payments), at
    cdef CashRule rule
    cdef Settlement found
    rule.increment_minor, rule.rounding = increment_minor, rounding
    if increment_minor < 1:
        raise ValueError(f"the smallest coin must be worth at least 1, found {increment_minor}")
    used = []
    for balance in gift_cards:
        taken = max(0, min(balance, left))
        used.append(taken)
        left -= taken
    cdef Payment* given = <Payment*>malloc(max(count, 1) * sizeof(Payment))
    if given == NULL:
        raise MemoryError
    try:
        for at in range(count):
            cash, amount, tendered = payments[at]
            given[at].cash = cash
            given[at].amount_minor = NOT_GIVEN if amount is None else amount
            given[at].tendered_minor = NOT_GIVEN if tendered is None else tendered
        found = settle_payments(given, count, left, &rule)
    finally:
        free(given)
    return found.due_minor, found.rounding_minor, found.change_minor, used

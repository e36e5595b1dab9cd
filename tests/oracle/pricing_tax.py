"""Taxes of the pricing oracle: inclusive and additive, several per line, compound, per unit, dated, three roundings.

For each taxed amount A (a unit, a line or a charge; in price mode) every tax is a line a*N + b in the unknown net
amount N: a percent tax has a = rate * (1 + a of the taxes in its base), a per-unit tax has b = amount * quantity. The
inclusive taxes are inside A, so N = (A - sum of their b) / (1 + sum of their a); the additive ones come on top of N.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from pricing_basket import Basket
from pricing_money import allocate, exact, rounded
from pricing_when import within


@dataclass(frozen=True)
class Piece:
    """The smallest taxed amount: one unit (or a charge), with the quantity that a per-unit tax counts."""

    amount: int
    qty: Fraction


@dataclass(frozen=True)
class TaxLine:
    tax_class: str | None
    pieces: tuple[Piece, ...]

    @property
    def whole(self) -> Piece:
        return Piece(sum(p.amount for p in self.pieces), sum((p.qty for p in self.pieces), Fraction(0)))


@dataclass
class Taxes:
    inclusive: int = 0
    additive: int = 0
    by_name: dict[str, int] = field(default_factory=dict)
    additive_by_line: list[int] = field(default_factory=list)

    @property
    def total(self) -> int:
        return self.inclusive + self.additive


def live_rates(tax: dict[str, Any], tax_class: str | None, at: str | None, zone: str | None) -> list[dict[str, Any]]:
    rates = tax.get("rates", {}).get(tax_class, ()) if tax_class is not None else ()
    return [r for r in rates if within(at, r.get("from"), r.get("to"), zone) is None]


def is_inclusive(rate: dict[str, Any], tax: dict[str, Any]) -> bool:
    return bool(rate.get("mode", tax["mode"]) == "inclusive")


def linear_forms(rates: list[dict[str, Any]], qty: Fraction) -> list[tuple[Fraction, Fraction]]:
    """Each tax as (a, b) with tax = a*N + b; a rate sees the taxes before it that `on` names."""
    forms: list[tuple[Fraction, Fraction]] = []
    for rate in rates:
        if "amount_minor_per_unit" in rate:
            forms.append((Fraction(0), rate["amount_minor_per_unit"] * qty))
            continue
        named = rate.get("on", ())
        inside = [form for form, earlier in zip(forms, rates, strict=False) if earlier.get("name") in named]
        share = exact(rate["percent"]) / 100
        forms.append((share * (1 + sum(a for a, _ in inside)), share * sum((b for _, b in inside), Fraction(0))))
    return forms


def exact_taxes(piece: Piece, rates: list[dict[str, Any]], tax: dict[str, Any]) -> tuple[Fraction, list[Fraction]]:
    """Net amount and each tax of one piece, not rounded."""
    forms = linear_forms(rates, piece.qty)
    inside = [form for form, rate in zip(forms, rates, strict=True) if is_inclusive(rate, tax)]
    net = (piece.amount - sum(b for _, b in inside)) / (1 + sum((a for a, _ in inside), Fraction(0)))
    return net, [a * net + b for a, b in forms]


def compute(lines: list[TaxLine], tax: dict[str, Any] | None, at: str | None, zone: str | None) -> Taxes:
    """Taxes of all lines and charges, rounded at the place and on the side that the tax settings name."""
    found = Taxes(additive_by_line=[0] * len(lines))
    if not tax:
        return found
    if tax.get("round_at", "line") == "total":
        compute_at_total(lines, tax, at, zone, found)
        return found
    mode = tax.get("rounding", "half_up")
    for index, line in enumerate(lines):
        rates = live_rates(tax, line.tax_class, at, zone)
        if not rates:
            continue
        for piece in line.pieces if tax["round_at"] == "unit" else (line.whole,):
            net, parts = exact_taxes(piece, rates, tax)
            for rate, amount in zip(rates, rounded_parts(piece.amount, net, parts, rates, tax, mode), strict=True):
                book(found, rate, line.tax_class, amount, is_inclusive(rate, tax))
                if not is_inclusive(rate, tax):
                    found.additive_by_line[index] += amount
    return found


def rounded_parts(
    amount: int, net: Fraction, parts: list[Fraction], rates: list[dict[str, Any]], tax: dict[str, Any], mode: str
) -> list[int]:
    """Each tax rounded; with round_target net the net is rounded and the inclusive taxes share what remains."""
    found = [rounded(part, mode) for part in parts]
    inside = [i for i, rate in enumerate(rates) if is_inclusive(rate, tax)]
    if tax.get("round_target", "tax") == "net" and inside:
        rest = amount - rounded(net, mode)
        for i, share in zip(inside, allocate(rest, [abs(parts[i]) for i in inside]), strict=True):
            found[i] = share
    return found


def compute_at_total(lines: list[TaxLine], tax: dict[str, Any], at: str | None, zone: str | None, found: Taxes) -> None:
    mode = tax.get("rounding", "half_up")
    parts_of: dict[tuple[str, int, bool], list[Fraction]] = {}  # by named tax, its exact part of each line
    owners: dict[tuple[str, int, bool], tuple[dict[str, Any], str | None]] = {}
    gross, net_sum = 0, Fraction(0)
    for index, line in enumerate(lines):
        rates = live_rates(tax, line.tax_class, at, zone)
        if not rates:
            continue
        net, parts = exact_taxes(line.whole, rates, tax)
        if any(is_inclusive(rate, tax) for rate in rates):
            gross, net_sum = gross + line.whole.amount, net_sum + net
        for place, (rate, part) in enumerate(zip(rates, parts, strict=True)):
            inclusive = is_inclusive(rate, tax)
            # An unnamed tax is its own tax: one per class and place in the class's list.
            key = (rate["name"], -1, inclusive) if "name" in rate else (str(line.tax_class), place, inclusive)
            parts_of.setdefault(key, [Fraction(0)] * len(lines))[index] += part
            owners[key] = (rate, line.tax_class)
    sums = {key: sum(parts, Fraction(0)) for key, parts in parts_of.items()}
    whole = {key: rounded(exact_sum, mode) for key, exact_sum in sums.items()}
    inside = [key for key in sums if key[2]]
    if tax.get("round_target", "tax") == "net" and inside:
        shares = allocate(gross - rounded(net_sum, mode), [abs(sums[key]) for key in inside])
        whole.update(zip(inside, shares, strict=True))
    for key, exact_parts in parts_of.items():
        rate, tax_class = owners[key]
        book(found, rate, tax_class, whole[key], key[2])
        if not key[2]:  # each named tax sums over the lines to what it is
            for index, share in enumerate(share_rounded(whole[key], exact_parts)):
                found.additive_by_line[index] += share


def share_rounded(amount: int, exact_parts: list[Fraction]) -> list[int]:
    """Whole parts of a rounded sum: each exact part rounded down, then one more for the largest remainders."""
    parts = [part.numerator // part.denominator for part in exact_parts]
    left = amount - sum(parts)
    if not 0 <= left <= len(parts):
        raise ValueError(f"expected {amount} to be the rounded sum of {exact_parts}")
    order = sorted(range(len(parts)), key=lambda i: (parts[i] - exact_parts[i], i))
    for index in order[:left]:
        parts[index] += 1
    return parts


def book(found: Taxes, rate: dict[str, Any], tax_class: str | None, amount: int, inclusive: bool) -> None:
    name = rate.get("name", str(tax_class))
    found.by_name[name] = found.by_name.get(name, 0) + amount
    if inclusive:
        found.inclusive += amount
    else:
        found.additive += amount


def tax_lines(basket: Basket, tax: dict[str, Any] | None) -> list[TaxLine]:
    """Lines, then charges, as taxed amounts: after discounts (what a vendor pays stays in) or before them."""
    before = tax is not None and tax.get("base", "after_discount") == "before_discount"
    lines: list[TaxLine] = []
    for index, line in enumerate(basket.lines):
        if line.fixed_value is not None:
            lines.append(TaxLine(line.tax_class, fixed_pieces(line.unit_price, line.qty, line.fixed_value)))
            continue
        units = [basket.units[i] for i in basket.units_of(index)]
        pieces = tuple(Piece(u.original if before else u.price + u.vendor, u.share) for u in units)
        lines.append(TaxLine(line.tax_class, pieces))
    for charge in basket.charges:
        amount = charge.original if before else charge.amount + charge.vendor
        lines.append(TaxLine(charge.tax_class, (Piece(amount, Fraction(1)),)))
    return lines


def fixed_pieces(unit_price: int, qty: Fraction, value: int) -> tuple[Piece, ...]:
    """A return or reduction line unit by unit; a broken quantity is one piece."""
    sign = -1 if qty < 0 else 1
    whole, rest = (0, abs(qty)) if qty.denominator != 1 else (abs(qty), Fraction(0))
    pieces = [Piece(sign * unit_price, Fraction(sign))] * int(whole)
    if rest:
        pieces.append(Piece(value - sum(p.amount for p in pieces), sign * rest))
    return tuple(pieces)


def additive_factor(tax: dict[str, Any] | None, tax_class: str | None, at: str | None, zone: str | None) -> Fraction:
    """1 + the additive percent taxes on an amount of a class; per-unit taxes do not follow a discount."""
    if not tax:
        return Fraction(1)
    rates = live_rates(tax, tax_class, at, zone)
    forms = linear_forms(rates, Fraction(0))
    inside = sum((a for (a, _), r in zip(forms, rates, strict=True) if is_inclusive(r, tax)), Fraction(0))
    extra = sum((a for (a, _), r in zip(forms, rates, strict=True) if not is_inclusive(r, tax)), Fraction(0))
    return 1 + extra / (1 + inside)

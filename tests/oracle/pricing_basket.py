"""The basket of the pricing oracle: lines broken into units, charges, and what a target selects.

A sale line of quantity 3 is three units. A line with a broken quantity (2.5 kg) is one unit, worth the rounded value of
the line. Return lines (negative quantity) and manual
reductions (negative price) have a value and no units: no promotion lays a discount on them, but they count in sums.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Any

from pricing_money import allocate_capped, exact, rounded


@dataclass(slots=True)
class Unit:
    """One sold unit, or the broken rest of a weighed line."""

    line: int
    share: Fraction  # of a whole unit: 1, or the broken part of the quantity
    shelf: int  # price before any promotion
    original: int  # price after the catalog stage
    price: int  # price as left by the promotions so far
    floor: int  # no promotion goes below
    used: bool = False  # taken by a set offer; no other set offer may take it
    vendor: int = 0  # part of the discount that the vendor pays

    @property
    def room(self) -> int:
        return max(0, self.price - self.floor)


@dataclass(slots=True)
class Line:
    sku: str
    categories: tuple[str, ...]
    qty: Fraction
    factor: Fraction
    tax_class: str | None
    discountable: bool
    deposit: int
    unit_price: int
    fixed_value: int | None = None  # return and reduction lines: their value, which nothing changes

    @property
    def base_qty(self) -> Fraction:
        return self.qty * self.factor


@dataclass(slots=True)
class Charge:
    id: str
    amount: int
    tax_class: str | None
    original: int = 0
    vendor: int = 0


@dataclass
class Basket:
    lines: list[Line]
    units: list[Unit]
    charges: list[Charge]
    rules: dict[str, Any]
    free_items: list[tuple[str, int]] = field(default_factory=list)

    def copy(self) -> Basket:
        return Basket(
            self.lines,
            [replace(u) for u in self.units],
            [replace(c) for c in self.charges],
            self.rules,
            list(self.free_items),
        )

    def units_of(self, line: int) -> list[int]:
        return [i for i, unit in enumerate(self.units) if unit.line == line]

    def line_value(self, line: int) -> int:
        fixed = self.lines[line].fixed_value
        return fixed if fixed is not None else sum(self.units[i].price for i in self.units_of(line))

    def value(self, target: dict[str, Any] | None = None, base: str = "running") -> int:
        """Running or original value of the lines of a target (all when None), returns and reductions included."""
        units = [u for u in self.units if matches(self.lines[u.line], target)]
        total = sum(u.original if base == "original" else u.price for u in units)
        return total + self.fixed_value(target)

    def fixed_value(self, target: dict[str, Any] | None = None) -> int:
        return sum(x.fixed_value for x in self.lines if x.fixed_value is not None and matches(x, target))

    def original_value(self) -> int:
        return sum(u.original for u in self.units) + self.fixed_value()


def open_basket(case: dict[str, Any], unit_prices: list[int]) -> Basket:
    """The basket of a case before any promotion; `unit_prices` are the resolved shelf prices of its items."""
    lines: list[Line] = []
    units: list[Unit] = []
    for index, (item, price) in enumerate(zip(case["items"], unit_prices, strict=True)):
        qty = exact(item["qty"])
        line = Line(
            sku=item["sku"],
            categories=tuple(item.get("category", ())),
            qty=qty,
            factor=exact(item.get("uom_factor", 1)),
            tax_class=item.get("tax_class"),
            discountable=item.get("discountable", True),
            deposit=item.get("deposit_minor", 0),
            unit_price=price,
        )
        lines.append(line)
        if qty < 0 or price < 0:
            line.fixed_value = rounded(price * qty)
            continue
        floor = item.get("min_price_minor", 0)
        whole, rest = (0, qty) if qty.denominator != 1 else (qty, Fraction(0))
        units += [Unit(index, Fraction(1), price, price, price, floor) for _ in range(int(whole))]
        if rest:
            piece = rounded(price * rest)
            units.append(Unit(index, rest, piece, piece, piece, rounded(floor * rest)))
    charges = [
        Charge(c["id"], c["amount_minor"], c.get("tax_class"), c["amount_minor"]) for c in case.get("charges", ())
    ]
    return Basket(lines, units, charges, case.get("rules", {}))


# ---- targets ---------------------------------------------------------------------------------------------------------


def matches(line: Line, target: dict[str, Any] | None) -> bool:
    """Whether a line belongs to a target: {all}, any of {skus}, any of {categories}."""
    if target is None or target.get("all"):
        return True
    if "skus" not in target and "categories" not in target:
        return True
    return line.sku in target.get("skus", ()) or any(c in target.get("categories", ()) for c in line.categories)


def in_price_range(unit: Unit, target: dict[str, Any]) -> bool:
    low, high = target.get("unit_price_min"), target.get("unit_price_max")
    return (low is None or unit.original >= low) and (high is None or unit.original <= high)


def picked(basket: Basket, indexes: Iterable[int], pick: str) -> list[int]:
    """Units in the order in which a pick rule takes them; equal prices stay as listed."""
    order = sorted(indexes)
    if pick == "cheapest":
        return sorted(order, key=lambda i: (basket.units[i].price, i))
    if pick == "dearest":
        return sorted(order, key=lambda i: (-basket.units[i].price, i))
    if pick == "as_listed":
        return order
    raise ValueError(f"pick: expected cheapest, dearest or as_listed, found {pick!r}")


def members(basket: Basket, target: dict[str, Any] | None, *, gives: bool = True) -> list[int]:
    """Units of a target as listed, before max_units; with `gives` only those that may be discounted."""
    target = target or {"all": True}
    return [
        i
        for i, unit in enumerate(basket.units)
        if matches(basket.lines[unit.line], target)
        and (basket.lines[unit.line].discountable or not gives)
        and in_price_range(unit, target)
        and not (target.get("exclude_discounted") and unit.original < unit.shelf)
    ]


def selected(basket: Basket, target: dict[str, Any] | None) -> list[int]:
    """Units that a target gives a benefit to, as listed: `members`, limited per line and then in all by `pick`."""
    target = target or {"all": True}
    order = picked(basket, members(basket, target), target.get("pick", "as_listed"))
    per_line = target.get("max_units_per_line")
    if per_line is not None:
        seen: dict[int, int] = {}
        kept = []
        for i in order:
            line = basket.units[i].line
            seen[line] = seen.get(line, 0) + 1
            if seen[line] <= per_line:
                kept.append(i)
        order = kept
    if target.get("max_units") is not None:
        order = order[: target["max_units"]]
    return sorted(order)


def target_qty(basket: Basket, target: dict[str, Any] | None) -> Fraction:
    """Quantity of a target's sale lines in base units."""
    indexes = members(basket, target, gives=False)
    return sum((basket.units[i].share * basket.lines[basket.units[i].line].factor for i in indexes), Fraction(0))


# ---- laying amounts on units -----------------------------------------------------------------------------------------


def by_line(basket: Basket, indexes: Iterable[int]) -> Iterator[tuple[int, list[int]]]:
    groups: dict[int, list[int]] = {}
    for i in sorted(indexes):
        groups.setdefault(basket.units[i].line, []).append(i)
    yield from sorted(groups.items())


def lay(basket: Basket, amount: int, weights: dict[int, int]) -> dict[int, int]:
    """Lay `amount` over units: first over lines by the lines' weights, then inside each line; never below a floor."""
    groups = list(by_line(basket, weights))
    line_weights = [sum(weights[i] for i in indexes) for _, indexes in groups]
    line_caps = [sum(basket.units[i].room for i in indexes if weights[i] > 0) for _, indexes in groups]
    laid: dict[int, int] = {}
    for (_, indexes), part in zip(groups, allocate_capped(amount, line_weights, line_caps), strict=True):
        rooms = [basket.units[i].room for i in indexes]
        shares = allocate_capped(part, [weights[i] for i in indexes], rooms)
        laid.update(zip(indexes, shares, strict=True))
    return {i: share for i, share in laid.items() if share}

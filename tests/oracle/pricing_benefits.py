"""What each benefit of a promotion gives to a basket: one function a benefit type.

`effect_of` plays a promotion's benefits in order on a copy of the basket, each seeing the prices that the one before
left, and answers what was given; nothing is changed until `commit`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from pricing_basket import (
    Basket,
    by_line,
    lay,
    matches,
    members,
    picked,
    selected,
    target_qty,
)
from pricing_money import allocate_capped, exact, rounded
from pricing_tax import Taxes

Benefit = dict[str, Any]


@dataclass
class Effect:
    """What a promotion gives: discounts by unit index and charge index (a markup is negative), free units, uses."""

    units: Counter[int] = field(default_factory=Counter)
    charges: Counter[int] = field(default_factory=Counter)
    free: list[tuple[str, int]] = field(default_factory=list)
    used: set[int] = field(default_factory=set)
    applications: int = 0

    @property
    def worth(self) -> int:
        return sum(self.units.values()) + sum(self.charges.values())

    @property
    def gave(self) -> bool:
        return bool(self.free) or any(self.units.values()) or any(self.charges.values())


@dataclass
class Context:
    """What a benefit needs besides the basket."""

    tax_factor: Callable[[str | None], Fraction]  # 1 + additive tax rate of a tax class
    max_applications: int | None = None

    def capped(self, count: int) -> int:
        return count if self.max_applications is None else min(count, self.max_applications)


def effect_of(promotion: dict[str, Any], basket: Basket, tax_factor: Callable[[str | None], Fraction]) -> Effect:
    """All that a promotion gives to the basket as it stands, conditions and limits of use not looked at."""
    play, total = basket.copy(), Effect()
    context = Context(tax_factor, promotion.get("limits", {}).get("max_applications"))
    if context.max_applications is not None and context.max_applications <= 0:
        return total
    for benefit in promotion["benefits"]:
        kind = benefit["type"]
        if kind not in BENEFITS:
            raise ValueError(f"benefit type: expected one of {sorted(BENEFITS)}, found {kind!r}")
        part = BENEFITS[kind](benefit, play, context)
        commit(play, part, vendor=False)
        total.units.update(part.units)
        total.charges.update(part.charges)
        total.free += part.free
        total.used |= part.used
        total.applications += part.applications
    return total


def commit(basket: Basket, effect: Effect, *, vendor: bool) -> None:
    """Let an effect happen."""
    for i, amount in effect.units.items():
        basket.units[i].price -= amount
        if vendor:
            basket.units[i].vendor += amount
    for i, amount in effect.charges.items():
        basket.charges[i].amount -= amount
        if vendor:
            basket.charges[i].vendor += amount
    for i in effect.used:
        basket.units[i].used = True
    basket.free_items += effect.free


def limited(basket: Basket, effect: Effect, most: int) -> Effect:
    """The same effect worth at most `most` in all, shrunk in proportion to what each unit and charge got."""
    if effect.worth <= most:
        return effect
    charge_ids = [i for i, amount in effect.charges.items() if amount > 0]
    unit_worth = sum(effect.units.values())
    weights = [unit_worth, *(effect.charges[i] for i in charge_ids)]
    shares = allocate_capped(most, weights, weights)
    units = lay(basket, shares[0], {i: amount for i, amount in effect.units.items() if amount > 0})
    charges = dict(zip(charge_ids, shares[1:], strict=True))
    return Effect(Counter(units), Counter(charges), effect.free, effect.used, effect.applications)


# ---- percentages -----------------------------------------------------------------------------------------------------


def part_of(value: int, share: Fraction, rules: dict[str, Any]) -> int:
    """The discount that a share of `value` makes: the discount is rounded, or the price that remains."""
    mode = rules.get("rounding", "half_up")
    if rules.get("price_round") == "after_discount":
        return value - rounded(value * (1 - share), mode)
    return rounded(value * share, mode)


def percent_off(
    basket: Basket,
    indexes: Iterable[int],
    percent: Any,
    place: str,
    *,
    base: str = "running",
    cap: int | None = None,
    fixed_value: int = 0,
) -> Counter[int]:
    """A percentage off units, rounded per unit, per line or once for the set, and laid on the units exactly.

    `fixed_value` is the value of return and reduction lines that belong to the set: it makes the set's total smaller.
    """
    share = exact(percent) / 100
    place = basket.rules.get("percent_round_at", place)
    prices = {i: basket.units[i].original if base == "original" else basket.units[i].price for i in sorted(indexes)}
    if place == "unit" and not fixed_value:
        found = {i: min(part_of(price, share, basket.rules), basket.units[i].room) for i, price in prices.items()}
    elif place == "line" and not fixed_value:
        found = {}
        for _, line_units in by_line(basket, prices):
            weights = {i: prices[i] for i in line_units}
            found.update(lay(basket, part_of(sum(weights.values()), share, basket.rules), weights))
    else:
        set_value = max(0, sum(prices.values()) + fixed_value)
        found = lay(basket, part_of(set_value, share, basket.rules), prices)
    if cap is not None and sum(found.values()) > cap:
        found = lay(basket, cap, found)
    return Counter({i: amount for i, amount in found.items() if amount})


def order_members(basket: Basket, target: dict[str, Any] | None) -> tuple[list[int], int]:
    """The units of an order-level target, and the value of its return and reduction lines."""
    return selected(basket, target), basket.fixed_value(target)


# ---- benefits on items -----------------------------------------------------------------------------------------------


def item_percent_off(benefit: Benefit, basket: Basket, context: Context) -> Effect:
    units = percent_off(
        basket,
        selected(basket, benefit.get("target")),
        benefit["percent"],
        "unit",
        base=benefit.get("base", "running"),
        cap=benefit.get("cap_minor"),
    )
    return Effect(units=units, applications=1)


def item_amount_off(benefit: Benefit, basket: Basket, context: Context) -> Effect:
    amount, chosen = benefit["amount_minor"], selected(basket, benefit.get("target"))
    units: Counter[int] = Counter()
    if benefit.get("apply", "per_unit") == "per_line":
        for _, indexes in by_line(basket, chosen):
            units.update(lay(basket, amount, {i: basket.units[i].price for i in indexes}))
    else:
        units.update(amount_off(basket, chosen, amount))
    return Effect(units=units, applications=1)


def amount_off(basket: Basket, indexes: Iterable[int], amount: int) -> dict[int, int]:
    """An amount off each unit, at most down to its floor."""
    return {i: min(rounded(amount * basket.units[i].share), basket.units[i].room) for i in indexes}


def to_price(basket: Basket, i: int, price: int) -> int:
    """Discount that brings a unit to a new unit price; nothing where it is no cheaper."""
    unit = basket.units[i]
    return max(0, min(unit.price - rounded(price * unit.share), unit.room))


def item_fixed_price(benefit: Benefit, basket: Basket, context: Context) -> Effect:
    chosen = selected(basket, benefit.get("target"))
    return Effect(units=Counter({i: to_price(basket, i, benefit["price_minor"]) for i in chosen}), applications=1)


def item_markup_percent(benefit: Benefit, basket: Basket, context: Context) -> Effect:
    share, mode = exact(benefit["percent"]) / 100, basket.rules.get("rounding", "half_up")
    chosen = selected(basket, benefit.get("target"))
    original = benefit.get("base") == "original"
    prices = {i: basket.units[i].original if original else basket.units[i].price for i in chosen}
    return Effect(units=Counter({i: -rounded(prices[i] * share, mode) for i in chosen}), applications=1)


def quantity_break(benefit: Benefit, basket: Basket, context: Context) -> Effect:
    """All units at the price of the highest tier reached; quantities in base units, prices per base unit."""
    qty = target_qty(basket, benefit.get("target"))
    reached = [t for t in benefit["tiers"] if qty >= t["min_qty"]]
    if not reached:
        return Effect()
    price = max(reached, key=lambda t: t["min_qty"])["unit_price_minor"]
    units: Counter[int] = Counter()
    for i in selected(basket, benefit.get("target")):
        factor = basket.lines[basket.units[i].line].factor
        units[i] = to_price(basket, i, rounded(price * factor))
    return Effect(units=units, applications=1)


def first_then_amount(benefit: Benefit, basket: Basket, context: Context) -> Effect:
    units: Counter[int] = Counter()
    for place, i in enumerate(selected(basket, benefit.get("target"))):
        amount = benefit["first_minor"] if place == 0 else benefit["additional_minor"]
        units[i] = min(amount, basket.units[i].room)
    return Effect(units=units, applications=1)


def cheapest_percent_off(benefit: Benefit, basket: Basket, context: Context) -> Effect:
    chosen = picked(basket, selected(basket, benefit.get("target")), "cheapest")[: benefit.get("units", 1)]
    base, cap = benefit.get("base", "running"), benefit.get("cap_minor")
    units = percent_off(basket, chosen, benefit["percent"], "unit", base=base, cap=cap)
    return Effect(units=units, applications=1)


def quantity_group(benefit: Benefit, basket: Basket, context: Context) -> Effect:
    """An amount or a percentage off each unit of complete groups."""
    size = benefit["group_size"]
    order = picked(basket, selected(basket, benefit.get("target")), benefit.get("pick", "as_listed"))
    groups = context.capped(len(order) // size)
    chosen = order[: groups * size]
    if "percent" in benefit:
        base = benefit.get("base", "running")
        return Effect(units=percent_off(basket, chosen, benefit["percent"], "unit", base=base), applications=groups)
    return Effect(units=Counter(amount_off(basket, chosen, benefit["amount_minor"])), applications=groups)


# ---- tiers -----------------------------------------------------------------------------------------------------------


def tier_value(benefit: Benefit, key: str, measure: Fraction | int) -> Any:
    """The value of the highest tier that `measure` reaches; the base value below the first tier."""
    reached = [(t.get("min_minor", t.get("min_qty")), t[key]) for t in benefit["tiers"]]
    reached = [pair for pair in reached if measure >= pair[0]]
    base_key = "base_minor" if key == "amount_minor" else "base_percent"
    return max(reached, key=lambda pair: pair[0])[1] if reached else benefit.get(base_key, 0)


def tiered(benefit: Benefit, basket: Basket, context: Context) -> Effect:
    by_percent = benefit["type"] == "tiered_percent"
    key = "percent" if by_percent else "amount_minor"
    chosen, units = selected(basket, benefit.get("target")), Counter[int]()
    base = benefit.get("base", "running")
    prices = {i: basket.units[i].price for i in chosen}
    if benefit["basis"] == "line_subtotal":
        for line, indexes in by_line(basket, chosen):
            value = tier_value(benefit, key, basket.line_value(line))
            if by_percent:
                units.update(percent_off(basket, indexes, value, "line", base=base))
            else:
                units.update(lay(basket, value, {i: prices[i] for i in indexes}))
        return Effect(units=units, applications=1)
    measure = basket.value() if benefit["basis"] == "order_subtotal" else target_qty(basket, benefit.get("target"))
    value = tier_value(benefit, key, measure)
    if by_percent:
        fixed = basket.fixed_value(benefit.get("target"))
        return Effect(units=percent_off(basket, chosen, value, "set", base=base, fixed_value=fixed), applications=1)
    most = max(0, min(value, basket.value()))
    return Effect(units=Counter(lay(basket, most, prices)), applications=1)


# ---- benefits on the order -------------------------------------------------------------------------------------------


def order_percent_off(benefit: Benefit, basket: Basket, context: Context) -> Effect:
    chosen, fixed = order_members(basket, benefit.get("target"))
    units = percent_off(
        basket,
        chosen,
        benefit["percent"],
        "set",
        base=benefit.get("base", "running"),
        cap=benefit.get("cap_minor"),
        fixed_value=fixed,
    )
    return Effect(units=units, applications=1)


def order_amount_off(benefit: Benefit, basket: Basket, context: Context) -> Effect:
    """An amount, capped by the net value of its set and of the basket, prorated by running line value."""
    chosen, fixed = order_members(basket, benefit.get("target"))
    prices = {i: basket.units[i].price for i in chosen}
    wanted = benefit.get("include_charges") or []
    charge_ids = [i for i, c in enumerate(basket.charges) if (wanted is True or c.id in wanted) and c.amount > 0]
    charge_value = sum(basket.charges[i].amount for i in charge_ids)
    amount = benefit["amount_minor"]
    if benefit.get("value_tax") == "incl":
        # The customer's saving includes the additive tax that falls away with the price.
        taxed = [(price, basket.lines[basket.units[i].line].tax_class) for i, price in prices.items()]
        taxed += [(basket.charges[i].amount, basket.charges[i].tax_class) for i in charge_ids]
        with_tax = sum((price * context.tax_factor(tax_class) for price, tax_class in taxed), Fraction(0))
        value = sum(prices.values()) + charge_value
        amount = rounded(amount * value / with_tax) if with_tax else 0
    set_value = sum(prices.values()) + fixed + charge_value
    amount = max(0, min(amount, set_value, basket.value() + charge_value))
    if not charge_ids:
        return Effect(units=Counter(lay(basket, amount, prices)), applications=1)
    groups = list(by_line(basket, prices))
    weights = [sum(prices[i] for i in g) for _, g in groups] + [basket.charges[i].amount for i in charge_ids]
    caps = [sum(basket.units[i].room for i in g) for _, g in groups] + [basket.charges[i].amount for i in charge_ids]
    shares = allocate_capped(amount, weights, caps)
    effect = Effect(applications=1)
    for (_, indexes), share in zip(groups, shares[: len(groups)], strict=True):
        effect.units.update(lay(basket, share, {i: prices[i] for i in indexes}))
    effect.charges.update(dict(zip(charge_ids, shares[len(groups) :], strict=True)))
    return effect


def order_fixed_total(benefit: Benefit, basket: Basket, context: Context) -> Effect:
    chosen, fixed = order_members(basket, benefit.get("target"))
    prices = {i: basket.units[i].price for i in chosen}
    amount = max(0, sum(prices.values()) + fixed - benefit["total_minor"])
    return Effect(units=Counter(lay(basket, amount, prices)), applications=1)


# ---- sets of units ---------------------------------------------------------------------------------------------------


def free_units(basket: Basket, target: dict[str, Any] | None, taken: set[int], *, gives: bool = True) -> list[int]:
    """Units of a target that no set offer has taken yet."""
    chosen = selected(basket, target) if gives else members(basket, target, gives=False)
    return [i for i in chosen if not basket.units[i].used and i not in taken]


def bundle_discount(benefit: Benefit, basket: Basket, indexes: list[int]) -> Counter[int]:
    """What one complete bundle gives, laid over its units by their prices; empty where it saves nothing."""
    prices = {i: basket.units[i].price for i in indexes}
    value = sum(prices.values())
    if benefit["type"] == "bundle_percent_off":
        return percent_off(basket, indexes, benefit["percent"], "set", base=benefit.get("base", "running"))
    amount = benefit["amount_minor"] if benefit["type"] == "bundle_amount_off" else value - benefit["price_minor"]
    return Counter(lay(basket, max(0, amount), prices))


def component_choice(benefit: Benefit, basket: Basket, taken: set[int]) -> list[int] | None:
    """Units for one meal deal: in pick order, each kept where all kept ones still fit into the components' places."""
    places: list[set[int]] = []
    for component in benefit["components"]:
        candidates = set(free_units(basket, component["target"], taken))
        places += [candidates] * component["qty"]
    everyone = set().union(*places) if places else set()
    kept: list[int] = []
    for i in picked(basket, everyone, benefit.get("pick", "dearest")):
        if fits([*kept, i], places):
            kept.append(i)
    return kept if places and len(kept) == len(places) else None


def fits(indexes: list[int], places: list[set[int]]) -> bool:
    """Whether every unit can have a place of its own (augmenting paths)."""
    holder: dict[int, int] = {}

    def seat(i: int, tried: set[int]) -> bool:
        for place, candidates in enumerate(places):
            if i in candidates and place not in tried:
                tried.add(place)
                if place not in holder or seat(holder[place], tried):
                    holder[place] = i
                    return True
        return False

    return all(seat(i, set()) for i in indexes)


def bundle(benefit: Benefit, basket: Basket, context: Context) -> Effect:
    effect, skipped = Effect(), set[int]()
    most = context.capped(len(basket.units) if benefit.get("repeat", True) else 1)
    while effect.applications < most:
        if "components" in benefit:
            chosen = component_choice(benefit, basket, effect.used | skipped)
            if chosen is None:
                break
        else:
            candidates = free_units(basket, benefit.get("target"), effect.used | skipped)
            chosen = picked(basket, candidates, benefit.get("pick", "dearest"))[: benefit["qty"]]
            if len(chosen) < benefit["qty"]:
                break
        given = bundle_discount(benefit, basket, chosen)
        if sum(given.values()) <= 0:
            skipped |= set(chosen)
            continue
        effect.units.update(given)
        effect.used |= set(chosen)
        effect.applications += 1
    return effect


def multibuy_cheapest_free(benefit: Benefit, basket: Basket, context: Context) -> Effect:
    """One unit free for every complete `qty` units: the cheapest of all; the dearest others make the sets complete."""
    size = benefit["qty"]
    order = picked(basket, free_units(basket, benefit.get("target"), set()), "cheapest")
    count = context.capped(len(order) // size)
    free, rest = order[:count], order[count:]
    filling = sorted(rest, key=lambda i: (-basket.units[i].price, i))[: count * (size - 1)]
    units = Counter({i: basket.units[i].room for i in free})
    return Effect(units=units, used={*free, *filling}, applications=count)


def buy_get(benefit: Benefit, basket: Basket, context: Context) -> Effect:
    """Buy some, get others cheaper; application by application until a set is no longer complete."""
    effect = Effect()
    most = context.capped(len(basket.units) if benefit.get("repeat", True) else 1)
    while effect.applications < most:
        choice = buy_get_choice(benefit, basket, effect.used)
        if choice is None:
            break
        bought, got = choice
        percent, base = benefit["get"].get("percent", 100), benefit.get("base", "running")
        effect.units.update(percent_off(basket, got, percent, "unit", base=base))
        effect.used |= {*bought, *got}
        effect.applications += 1
    return effect


def buy_get_choice(benefit: Benefit, basket: Basket, taken: set[int]) -> tuple[list[int], list[int]] | None:
    """The buy and get units of one application, or None.

    Without `consume` the get units are chosen first, by their pick rule, and the buy units are the first listed of the
    rest. With `consume` the buy units are chosen first, by that rule. Either way a unit is passed over where taking it
    would leave the set incomplete.
    """
    buy, get = benefit["buy"], benefit["get"]
    buyable = set(free_units(basket, buy.get("target"), taken, gives=False))
    gettable = set(free_units(basket, get.get("target"), taken))

    def possible(bought: list[int], got: list[int]) -> bool:
        out = {*bought, *got}
        need_buy, need_get = int(buy["qty"]) - len(bought), int(get["qty"]) - len(got)
        only_buy, only_get = len(buyable - gettable - out), len(gettable - buyable - out)
        both = len((buyable & gettable) - out)
        return max(0, need_buy - only_buy) + max(0, need_get - only_get) <= both

    bought: list[int] = []
    got: list[int] = []
    if not possible(bought, got):
        return None

    def take(pool: set[int], into: list[int], qty: int, pick: str) -> None:
        for i in picked(basket, pool, pick):
            if len(into) == qty:
                return
            if i in bought or i in got:
                continue
            into.append(i)
            if not possible(bought, got):
                into.pop()

    if "consume" in benefit:
        take(buyable, bought, buy["qty"], benefit["consume"])
        take(gettable, got, get["qty"], get.get("pick", "cheapest"))
    else:
        take(gettable, got, get["qty"], get.get("pick", "cheapest"))
        take(buyable, bought, buy["qty"], "as_listed")
    return bought, got


# ---- charges and free items ------------------------------------------------------------------------------------------


def on_charges(benefit: Benefit, basket: Basket, context: Context) -> Effect:
    effect = Effect(applications=1)
    for i, charge in enumerate(basket.charges):
        if charge.id != benefit["charge"] or charge.amount <= 0:
            continue
        if benefit["type"] == "charge_percent_off":
            of = charge.original if benefit.get("base") == "original" else charge.amount
            amount = part_of(of, exact(benefit["percent"]) / 100, basket.rules)
        elif benefit["type"] == "charge_amount_off":
            amount = benefit["amount_minor"]
        else:
            amount = charge.amount - benefit["price_minor"]
        effect.charges[i] = max(0, min(amount, charge.amount))
    return effect


def free_item(benefit: Benefit, basket: Basket, context: Context) -> Effect:
    each = benefit.get("for_each")
    times = 1
    if each is not None:
        indexes = members(basket, each.get("target"), gives=False)
        times = int(sum((basket.units[i].share for i in indexes), Fraction(0)) // each["qty"])
    times = context.capped(times)
    free = [(benefit["sku"], benefit["qty"] * times)] if times else []
    return Effect(free=free, applications=times)


BENEFITS: dict[str, Callable[[Benefit, Basket, Context], Effect]] = {
    "item_percent_off": item_percent_off,
    "item_amount_off": item_amount_off,
    "item_fixed_price": item_fixed_price,
    "item_markup_percent": item_markup_percent,
    "order_percent_off": order_percent_off,
    "order_amount_off": order_amount_off,
    "order_fixed_total": order_fixed_total,
    "bundle_fixed_price": bundle,
    "bundle_percent_off": bundle,
    "bundle_amount_off": bundle,
    "multibuy_cheapest_free": multibuy_cheapest_free,
    "buy_get": buy_get,
    "quantity_group": quantity_group,
    "quantity_break": quantity_break,
    "tiered_amount": tiered,
    "tiered_percent": tiered,
    "first_then_amount": first_then_amount,
    "cheapest_percent_off": cheapest_percent_off,
    "charge_percent_off": on_charges,
    "charge_amount_off": on_charges,
    "charge_fixed_price": on_charges,
    "free_item": free_item,
}


CONDITIONS = (
    "min_subtotal",
    "max_subtotal",
    "min_qty",
    "max_qty",
    "min_line_qty",
    "min_value",
    "contains",
    "distinct",
    "nth_order",
)


def conditions_hold(
    promotion: dict[str, Any], basket: Basket, case: dict[str, Any], taxes: Callable[[bool], Taxes]
) -> bool:
    return all(holds(c, basket, case, taxes) for c in promotion.get("conditions", ()))


def holds(condition: dict[str, Any], basket: Basket, case: dict[str, Any], taxes: Callable[[bool], Taxes]) -> bool:
    """Whether one condition holds for the basket as it stands."""
    kind, target = condition["type"], condition.get("target")
    if kind in ("min_subtotal", "max_subtotal"):
        original = condition.get("base") == "original"
        value = basket.original_value() if original else basket.value()
        if condition.get("tax") in ("excl", "net"):
            value -= taxes(original).inclusive
        elif condition.get("tax") in ("incl", "gross"):
            value += taxes(original).additive
        limit = int(condition["amount_minor"])
        return value >= limit if kind == "min_subtotal" else value <= limit
    if kind == "min_qty":
        return target_qty(basket, target) >= exact(condition["qty"])
    if kind == "max_qty":
        return target_qty(basket, target) <= exact(condition["qty"])
    if kind == "min_line_qty":
        return any(
            line.fixed_value is None and matches(line, target) and line.base_qty >= exact(condition["qty"])
            for line in basket.lines
        )
    if kind == "min_value":
        return basket.value(target, condition.get("base", "running")) >= int(condition["amount_minor"])
    if kind == "contains":
        return bool(members(basket, target, gives=False))
    if kind == "distinct":
        found = {basket.lines[basket.units[i].line].sku for i in members(basket, target, gives=False)}
        return len(found) >= int(condition["count"])
    if kind == "nth_order":
        customer = case.get("context", {}).get("customer")
        return customer is not None and int(customer.get("completed_orders", 0)) + 1 == int(condition["n"])
    raise ValueError(f"condition type: expected one of {CONDITIONS}, found {kind!r}")

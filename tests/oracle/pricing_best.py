"""The best deal by brute force: every mix of offers in which each unit is in at most one application.

An offer is one application of one promotion: a single unit for the item benefits, a whole set for bundles, multibuys,
buy-gets and quantity groups. The search takes the first free unit and tries every offer that holds it, and leaving it
alone. Units that are the same to every offer are counted, not told apart, and a situation met before is remembered.
Benefits on the order, on charges and free items are no offers on units: they follow the mix, in priority order (see
`pricing_select`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cache
from itertools import combinations
from math import prod
from typing import Any

from pricing_basket import Basket, by_line, lay, members, selected
from pricing_benefits import BENEFITS, Context, Effect, amount_off, bundle_discount, fits, free_units, percent_off

SINGLE = ("item_percent_off", "item_amount_off", "item_fixed_price", "quantity_break", "cheapest_percent_off")
SETS = (
    "bundle_fixed_price",
    "bundle_percent_off",
    "bundle_amount_off",
    "multibuy_cheapest_free",
    "buy_get",
    "quantity_group",
)
SITUATIONS_MAX = 100_000


def is_offer(benefit: dict[str, Any]) -> bool:
    return benefit["type"] in SINGLE or benefit["type"] in SETS


@dataclass(frozen=True)
class Offer:
    promotion: int
    benefit: int
    units: frozenset[int]
    gives: tuple[tuple[int, int], ...]  # (unit, discount)
    counts: tuple[int, ...]  # purses of counts that lose one
    money: tuple[int, ...]  # purses of money that lose the discount
    is_set: bool

    @property
    def worth(self) -> int:
        return sum(amount for _, amount in self.gives)


@dataclass
class Purses:
    """What limits a promotion across its applications: uses and units (counts), caps and budgets (money)."""

    left: list[int] = field(default_factory=list)
    all_or_nothing: list[bool] = field(default_factory=list)

    def open(self, amount: int, *, all_or_nothing: bool = True) -> int:
        self.left.append(amount)
        self.all_or_nothing.append(all_or_nothing)
        return len(self.left) - 1


def offers_of(
    promotions: list[dict[str, Any]], basket: Basket, purses: Purses, context: Context, *, free_pick: bool
) -> list[Offer]:
    found: list[Offer] = []
    for number, promotion in enumerate(promotions):
        limits = promotion.get("limits", {})
        money, uses = [], []
        if "budget_minor" in limits:
            left = limits["budget_minor"] - limits.get("budget_spent_minor", 0)
            money.append(purses.open(left, all_or_nothing=limits.get("on_exceed") == "skip"))
        if limits.get("max_applications") is not None:
            uses.append(purses.open(limits["max_applications"]))
        for place, benefit in enumerate(promotion["benefits"]):
            if not is_offer(benefit):
                continue
            is_set = benefit["type"] in SETS
            counts, own_money = list(uses) if is_set else [], list(money)
            if benefit.get("repeat") is False:
                counts.append(purses.open(1))
            if benefit["type"] in SINGLE and benefit.get("target", {}).get("max_units") is not None:
                counts.append(purses.open(benefit["target"]["max_units"]))
            if benefit.get("cap_minor") is not None:
                # The cap cuts first: what it leaves is what the budget pays.
                own_money.insert(0, purses.open(benefit["cap_minor"], all_or_nothing=False))
            tied = purses.open(tied_places(benefit, basket)) if benefit["type"] == "cheapest_percent_off" else None
            per_line = benefit.get("target", {}).get("max_units_per_line")
            of_line = {n: purses.open(per_line) for n in range(len(basket.lines))} if by_unit(benefit, per_line) else {}
            makers = set_gifts if is_set else single_gifts
            for units, gives in makers(benefit, basket, context, free_pick):
                if tied is not None:
                    counts = [tied] if basket.units[units[0]].price == last_price(benefit, basket) else []
                own_counts = [*counts, *(of_line[n] for n in {basket.units[i].line for i in units} if of_line)]
                pairs = tuple((i, amount) for i, amount in sorted(gives.items()) if amount > 0)
                if pairs:
                    found.append(
                        Offer(number, place, frozenset(units), pairs, tuple(own_counts), tuple(own_money), is_set)
                    )
    return found


def by_unit(benefit: dict[str, Any], per_line: int | None) -> bool:
    """Whether a benefit is offered unit by unit and limited to some units of each line."""
    return per_line is not None and benefit["type"] in SINGLE and benefit.get("apply") != "per_line"


def last_price(benefit: dict[str, Any], basket: Basket) -> int | None:
    """The price of the dearest unit that still belongs to the cheapest ones."""
    prices = sorted(basket.units[i].price for i in selected(basket, benefit.get("target")))
    chosen = prices[: benefit.get("units", 1)]
    return chosen[-1] if chosen else None


def tied_places(benefit: dict[str, Any], basket: Basket) -> int:
    """How many units at that price belong to the cheapest ones; any of those that cost as much may have the place."""
    prices = sorted(basket.units[i].price for i in selected(basket, benefit.get("target")))
    return prices[: benefit.get("units", 1)].count(last_price(benefit, basket) or 0)


Gifts = Iterator[tuple[tuple[int, ...], dict[int, int]]]


def single_gifts(benefit: dict[str, Any], basket: Basket, context: Context, free_pick: bool) -> Gifts:
    """An application for each unit (for an amount per line: each line)."""
    target = {k: v for k, v in benefit.get("target", {"all": True}).items() if k != "max_units"}
    if benefit.get("apply") != "per_line":
        target.pop("max_units_per_line", None)
    if benefit.get("apply") == "per_line":
        for _, indexes in by_line(basket, selected(basket, target)):
            prices = {i: basket.units[i].price for i in indexes}
            yield tuple(indexes), lay(basket, benefit["amount_minor"], prices)
        return
    plain = {k: v for k, v in benefit.items() if k != "cap_minor"} | {"target": target}
    if benefit["type"] == "cheapest_percent_off":
        most = last_price(benefit, basket)
        plain["units"] = sum(most is not None and basket.units[i].price <= most for i in selected(basket, target))
    alone = replace(basket, rules={k: v for k, v in basket.rules.items() if k != "percent_round_at"})
    for i, amount in BENEFITS[benefit["type"]](plain, alone, context).units.items():
        yield (i,), {i: amount}


def set_gifts(benefit: dict[str, Any], basket: Basket, context: Context, free_pick: bool) -> Gifts:
    kind = benefit["type"]
    if kind == "buy_get":
        yield from buy_get_gifts(benefit, basket, free_pick)
    elif kind == "multibuy_cheapest_free":
        for units in combinations(free_units(basket, benefit.get("target"), set()), benefit["qty"]):
            cheapest = min(units, key=lambda i: (basket.units[i].price, i))
            yield units, {cheapest: basket.units[cheapest].room}
    elif kind == "quantity_group":
        for units in combinations(selected(basket, benefit.get("target")), benefit["group_size"]):
            if "percent" in benefit:
                yield units, percent_off(basket, units, benefit["percent"], "unit")
            else:
                yield units, amount_off(basket, units, benefit["amount_minor"])
    elif "components" in benefit:
        places = [set(free_units(basket, c["target"], set())) for c in benefit["components"] for _ in range(c["qty"])]
        for units in combinations(sorted(set().union(*places)), len(places)):
            if fits(list(units), places):
                yield units, bundle_discount(benefit, basket, list(units))
    else:
        for units in combinations(free_units(basket, benefit.get("target"), set()), benefit["qty"]):
            yield units, bundle_discount(benefit, basket, list(units))


def buy_get_gifts(benefit: dict[str, Any], basket: Basket, free_pick: bool) -> Gifts:
    """Every set of buy and get units; which of a set are the get units is settled by the pick rule inside the set."""
    buy, get = benefit["buy"], benefit["get"]
    buyable = {i for i in members(basket, buy.get("target"), gives=False) if not basket.units[i].used}
    gettable = set(free_units(basket, get.get("target"), set()))
    for units in combinations(sorted(buyable | gettable), buy["qty"] + get["qty"]):
        choices = combinations([i for i in units if i in gettable], get["qty"])
        fair = [got for got in choices if all(i in buyable for i in units if i not in got)]
        ways = [(sum(basket.units[i].price for i in got), got) for got in fair]
        if not ways:
            continue
        dearest = free_pick or (get.get("pick", "cheapest") == "dearest" and benefit.get("consume") != "dearest")
        _, got = max(ways, key=lambda w: w[0]) if dearest else min(ways, key=lambda w: w[0])
        yield units, percent_off(basket, got, get.get("percent", 100), "unit")


def best_mix(promotions: list[dict[str, Any]], basket: Basket, context: Context, *, free_pick: bool) -> list[Effect]:
    """The effects, one a promotion, of the mix with the greatest total discount; ties go to the first in order."""
    kind_of = unit_kinds(promotions, basket)
    stock = tuple(kind_of.count(kind) for kind in range(max(kind_of, default=-1) + 1))
    situations = prod(count + 1 for count in stock)
    if situations > SITUATIONS_MAX:
        raise ValueError(f"best deal by brute force: expected at most {SITUATIONS_MAX} situations, found {situations}")
    purses = Purses()
    offers = offers_of(promotions, basket, purses, context, free_pick=free_pick)
    needing: list[list[tuple[Offer, tuple[int, ...]]]] = [[] for _ in stock]
    seen: set[tuple[int, int, tuple[int, ...]]] = set()
    for offer in offers:
        need = tuple(sum(kind_of[i] == kind for i in offer.units) for kind in range(len(stock)))
        if (offer.promotion, offer.benefit, need) in seen:
            continue  # the same offer on other units of the same kinds
        seen.add((offer.promotion, offer.benefit, need))
        for kind, count in enumerate(need):
            if count:
                needing[kind].append((offer, need))
    Plan = tuple[int, Any]  # (worth, ((offer, its worth), rest of the plan) or None)

    @cache
    def search(free: tuple[int, ...], left: tuple[int, ...]) -> Plan:
        """The best plan for so many free units of each kind: the first kind's next unit is in an offer or alone."""
        kind = next((kind for kind, count in enumerate(free) if count), None)
        if kind is None:
            return 0, None
        best: Plan | None = None
        for offer, need in needing[kind]:
            if any(wanted > there for wanted, there in zip(need, free, strict=True)):
                continue
            worth, after = spend(offer, left, purses)
            if worth <= 0:
                continue
            onward = search(tuple(there - wanted for wanted, there in zip(need, free, strict=True)), after)
            if best is None or worth + onward[0] > best[0]:
                best = worth + onward[0], ((offer, worth), onward[1])
        alone = search((*free[:kind], free[kind] - 1, *free[kind + 1 :]), left)
        return alone if best is None or alone[0] > best[0] else best

    _, steps = search(stock, tuple(purses.left))
    effects = [Effect() for _ in promotions]
    pool = [[i for i, kind in enumerate(kind_of) if kind == number] for number in range(len(stock))]
    while steps is not None:
        (offer, worth), steps = steps
        # The offer was drawn on some units; it happens on the first ones of the same kinds that are still free.
        name = {i: pool[kind_of[i]].pop(0) for i in sorted(offer.units)}
        gifts = {name[i]: amount for i, amount in offer.gives}
        if worth < offer.worth:
            gifts = lay(basket, worth, gifts)
        effect = effects[offer.promotion]
        effect.units.update(gifts)
        effect.applications += 1
        if offer.is_set:
            effect.used |= set(name.values())
    return effects


def spend(offer: Offer, left: tuple[int, ...], purses: Purses) -> tuple[int, tuple[int, ...]]:
    """What an offer is worth with what is left in the purses, and what is left after it."""
    worth = offer.worth
    for purse in offer.counts:
        if left[purse] < 1:
            return 0, left
    for purse in offer.money:
        if worth > left[purse]:
            worth = 0 if purses.all_or_nothing[purse] else max(0, left[purse])
    after = list(left)
    for purse in offer.counts:
        after[purse] -= 1
    for purse in offer.money:
        after[purse] -= worth
    return worth, tuple(after)


def unit_kinds(promotions: list[dict[str, Any]], basket: Basket) -> list[int]:
    """A number for each unit; units with the same number are the same to every offer."""
    benefits = [b for p in promotions for b in p["benefits"]]
    lines_matter = basket.rules.get("percent_round_at") == "line" or any(
        b.get("apply") == "per_line" or "max_units_per_line" in b.get("target", {}) for b in benefits
    )
    places_matter = any(b["type"] in SETS and limited_target(b) for b in benefits)
    numbers: dict[Any, int] = {}
    kinds = []
    for index, unit in enumerate(basket.units):
        line = basket.lines[unit.line]
        goods = (line.sku, line.categories, line.discountable, line.factor)
        state = (unit.share, unit.price, unit.original, unit.shelf, unit.floor, unit.used)
        look = (goods, state, unit.line if lines_matter else None, index if places_matter else None)
        kinds.append(numbers.setdefault(look, len(numbers)))
    return kinds


def limited_target(benefit: dict[str, Any]) -> bool:
    """Whether a set's target takes only some of its units, so that equal units are not the same to it."""
    targets = [benefit, benefit.get("buy", {}), benefit.get("get", {}), *benefit.get("components", ())]
    return any("max_units_per_line" in t.get("target", {}) or "max_units" in t.get("target", {}) for t in targets)

"""The pricing oracle: what a case is worth, in plain Python, one section a rule; an executable specification.

`price_case(case)` answers every key of `expect` that the case can have. It shares nothing with the engine's pricing
code, so that the two can check each other. It is exact and slow: the best deal is brute force over every mix.

Readings: where the meaning of a rule leaves a choice, this is the choice taken.

Prices and sums
 1. subtotal_minor is the value of the items before any promotion, catalog ones included; discount_minor is what all
    stages took off items (a markup counts negative), so subtotal - discount = value of the items as sold. Charges are
    apart. net_minor is items plus charges without taxes and without deposits: total = net + tax + deposits.
 2. A line of broken quantity (2.5 kg) is one unit worth its rounded value; an amount per unit, a fixed price and a
    floor scale with the quantity. A percent is taken of the line's value.
 3. Return lines (negative quantity) and manual reductions (negative price) are not touched by promotions on units,
    are not counted by quantity conditions, and stand in every sum of value: thresholds, order percentages and caps
    see the net basket value. Order discounts are laid on the sale lines; a
    percentage of a set that holds such lines is rounded once for the set. A line of quantity 0 has no units and is
    contained in nothing.
 4. discountable false keeps an item out of every benefit and of the base of order percentages; conditions count it,
    and it may be a buy unit.
 5. unit_price_minor of a priced basket is what the first unit of the first line sells for (of measured goods: the
    line's value by its quantity); list_price_minor its shelf price. Where an item has its own unit_price_minor the
    price book is not asked for it.
Price books
 6. A row in the item's own uom counts and prices that unit. Any other row is in base units: its price times
    uom_factor, its quantities against qty times uom_factor; where the item is sold in base units a row that names
    another unit does not match. Among rows with equally many rules the row in the item's
    unit wins, then the lowest price. rules.price_selection "lowest" takes the lowest matching price instead. With an
    overriding row the list price is that row's price. `to` is exclusive.
Selection
 7. `manual` says that a person gave the promotion: it applies like any other.
 8. Codes compare without case and outer blanks; a code presented twice counts once. A code is accepted when one of
    its promotions applied or was only beaten by another; conditions that fail, and a promotion that finds nothing to
    give, are not_eligible. not_applied lists what a gate, a condition or a budget kept out, not what was beaten or
    excluded, whose code nobody presented, or that found nothing to give.
 9. Gates are looked at in this order: window, channel, uses, uses per customer, budget, schedule, customer group.
    Without `at` no dated gate closes. `used` includes the cancelled uses.
10. "best" in a group is judged when its first member's turn comes, on the prices of that moment; the winner applies
    at that turn. "first" is the first by priority that gives something. Groups hold inside one stage.
11. max_applications counts sets for set benefits (bundle, multibuy, buy_get, quantity_group, free_item for_each); any
    other benefit is one application.
12. A budget that is too small for the discount cuts it to what is left (all shares in proportion); on_exceed skip
    gives nothing, reason budget.
13. Sets (bundles, multibuy, buy_get) take their units away from each other, across promotions too; item and order
    benefits neither take units nor mind taken ones; quantity_group takes none.
Benefits
14. unit_price_min and _max, and exclude_discounted, look at the price after the catalog stage. pick defaults: as
    listed for max_units and quantity groups, dearest for bundles, cheapest for get units. Picks go by running price.
15. cap_minor caps the whole benefit, not each unit. rules.percent_round_at replaces the default place of every
    percent. With base original every percentage is of the price after the catalog stage (of a charge: its amount
    before promotions) and takes no more than what is left; which tier is reached is seen in running prices.
16. multibuy: the free units are the cheapest of all (one for each complete set).
17. buy_get chooses the get units first and then the first listed buy units; with `consume` the buy units first, by
    that rule. A bundle that saves nothing is passed over with its units.
18. quantity_group's amount is per unit. first_then_amount runs once over all units of the target. A quantity_break
    counts the target's units together, in base units, and its price is per base unit.
19. tiered basis: order_subtotal is the running value of the basket; line_subtotal gives each line its own tier;
    eligible_qty is the target's quantity in base units. Percentages round per line for line_subtotal, else on the
    set.
20. An order discount is laid on lines by running value, inside a line on units by running price; a line at its floor
    passes the rest on to the others.
21. value_tax incl: the amount covers the price and its additive percent taxes; every line gives the same share.
22. min_line_qty holds when one line reaches the quantity in base units. nth_order needs a known customer.
Best deal
23. Offers are item_percent_off, item_amount_off, item_fixed_price, quantity_break, cheapest_percent_off (a unit each;
    an amount per line: a line), and the sets with any units of their targets. Inside one buy_get set the pick rule
    says which units are the get units. Other benefits follow the mix in priority order. Conditions of offers see the
    prices before the mix. Of units that cost the same any may count as the cheapest. With best_allocation the pick
    rule does not bind. applied names the mix first, then what followed it.
Taxes
24. Compound taxes build on exact, not rounded, taxes; only the booked amount is rounded. Unnamed taxes have their
    class for a name, and at round_at total are rounded one by one. before_discount means the price after the catalog
    stage. Deposits and free items are not taxed. A charge is one unit.
Paying
25. due_minor is total less gift cards plus cash rounding. A cash rounding without payments says that all is cash.
    Redeemed points are a discount laid on the items after all promotions (before tax), and cost the whole points that
    what they took off is worth; a reward item is a free item. Points per currency unit are earned, unrounded, on the
    items' value after discounts in price mode, without charges, deposits and additive tax, and never below 0; per
    unit on the net quantity.
26. A refund at the paid price takes each line's paid amount (additive tax and deposit included) in equal shares over
    its units, the first units first. reprice_kept is what was paid less what the kept basket costs, never below 0,
    all charges and coupons staying.
27. converted: unit_minor is the first item's shelf price, total_minor the converted total.
28. A barcode pattern shorter than the code says how the code begins; one without braces has the value 0; a value that
    reaches over the check digit's place is zeroed with it, and the fresh digit stands there.
29. Gifts are compared by their number of each item, codes in any order; a percent is kept to its seventh decimal.
"""

from __future__ import annotations

import sys
from fractions import Fraction
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))

from pricing_basket import Basket, lay, open_basket
from pricing_book import book_prices, converted_minor, read_barcode
from pricing_money import allocate, decimal_text, exact, exponent, rounded
from pricing_pay import Redemption, charged, earned, points_text, redeem, settle
from pricing_select import Selection
from pricing_tax import Taxes, compute, tax_lines

Case = dict[str, Any]


def price_case(case: Case, store_zone: str | None = None) -> dict[str, Any]:
    """Every `expect` key that the case can have. `store_zone` is the IANA zone of times that carry none."""
    found: dict[str, Any] = {}
    if "barcode" in case:
        found |= read_barcode(case["barcode"])
    if "allocate" in case:
        found["parts"] = allocate(case["allocate"]["amount_minor"], case["allocate"]["weights"])
    if not case.get("items") and found:
        return found
    prices = [item_prices(item, case, store_zone) for item in case["items"]]
    if any(price is None for price, _ in prices):
        return found | {"unit_price_minor": prices[0][0], "list_price_minor": prices[0][1], "total_minor": None}
    sale = Sale(case, [int(price) for price, _ in prices if price is not None], store_zone)
    found |= sale.answer()
    if case["items"] and "unit_price_minor" not in case["items"][0]:
        found["list_price_minor"] = prices[0][1]
    if not case["items"] and "price_book" in case:  # what one of anything costs
        found["unit_price_minor"], found["list_price_minor"] = book_prices({"sku": "-", "qty": 1}, case, store_zone)
    if "refund" in case:
        found["refund_minor"] = refund(case, sale, store_zone)
    return found


def item_prices(item: dict[str, Any], case: Case, zone: str | None) -> tuple[int | None, int | None]:
    """(unit price, list price) of an item: its own, or the price book's."""
    if "unit_price_minor" in item:
        return item["unit_price_minor"], item["unit_price_minor"]
    return book_prices(item, case, zone)


class Sale:
    """A basket with all its promotions, taxes and points worked out."""

    def __init__(self, case: Case, unit_prices: list[int], zone: str | None) -> None:
        self.case, self.zone = case, zone
        self.basket: Basket = open_basket(case, unit_prices)
        self.subtotal = self.basket.value()
        self.outcome = Selection(case, self.basket, zone).run()
        self.promotion_discount = self.subtotal - self.basket.value()
        self.redemption = self.burn_points()
        self.taxes: Taxes = compute(tax_lines(self.basket, case.get("tax")), case.get("tax"), case.get("at"), zone)
        self.charges = sum(c.amount for c in self.basket.charges)
        self.deposits = [int(x.deposit * x.qty) for x in self.basket.lines]
        self.total = self.basket.value() + self.charges + self.taxes.additive + sum(self.deposits)

    def burn_points(self) -> Redemption:
        if "loyalty" not in self.case:
            return Redemption()
        redemption = redeem(self.case["loyalty"], max(0, self.basket.value()))
        if redemption.free_item is not None:
            self.basket.free_items.append(redemption.free_item)
        prices = {i: unit.price for i, unit in enumerate(self.basket.units)}
        laid = lay(self.basket, redemption.discount, prices)
        for i, amount in laid.items():
            self.basket.units[i].price -= amount
        return charged(self.case["loyalty"], redemption, sum(laid.values()))

    def answer(self) -> dict[str, Any]:
        basket, outcome = self.basket, self.outcome
        lines = range(len(basket.lines))
        by_line = [[basket.units[i] for i in basket.units_of(line)] for line in lines]
        values = [basket.line_value(line) for line in lines]
        found: dict[str, Any] = {
            "total_minor": self.total,
            "net_minor": basket.value() + self.charges - self.taxes.inclusive,
            "subtotal_minor": self.subtotal,
            "discount_minor": self.subtotal - basket.value(),
            "line_totals_minor": values,
            "line_discounts_minor": [sum(u.shelf - u.price for u in units) for units in by_line],
            "unit_discounts_minor": [[u.shelf - u.price for u in units] for units in by_line],
            "charges_minor": self.charges,
            "tax_minor": self.taxes.total,
            "tax_by_name_minor": self.taxes.by_name,
            "applied": outcome.applied,
            "not_applied": outcome.not_applied(self.case.get("promotions", [])),
            "rejected_coupons": outcome.rejected,
            "accepted_coupons": outcome.accepted,
            "discount_by_promotion_minor": outcome.worth,
            "free_items": [{"sku": sku, "qty": qty} for sku, qty in basket.free_items],
            "deposit_total_minor": sum(self.deposits),
            **settle(self.total, self.case.get("tender", {})),
        }
        if basket.lines:
            first, shelf = next(iter(by_line[0]), None), basket.lines[0].unit_price
            sold_as_is = first is None or first.price == first.shelf
            found["unit_price_minor"] = shelf if sold_as_is else rounded(first.price / first.share)
            found["list_price_minor"] = basket.lines[0].unit_price
        if "loyalty" in self.case:
            found |= self.points()
        wanted = self.case.get("expect", {}).get("converted")
        if wanted is not None:
            found["converted"] = self.shown_in(wanted["currency"], exact(wanted["rate"]), wanted["rate"])
        return found

    def points(self) -> dict[str, Any]:
        loyalty, burned = self.case["loyalty"], self.redemption.points
        gained = earned(loyalty, self.basket, self.redemption.discount, self.case["currency"])
        found: dict[str, Any] = {"points_earned": points_text(gained), "points_burned": burned}
        if loyalty.get("opening_points") is not None:
            found["points_balance"] = points_text(loyalty["opening_points"] + gained - burned)
        return found

    def shown_in(self, currency: str, rate: Fraction, rate_text: str) -> dict[str, Any]:
        ours, theirs = exponent(self.case["currency"]), exponent(currency)
        return {
            "currency": currency,
            "rate": rate_text,
            "unit_minor": converted_minor(self.basket.lines[0].unit_price, rate, ours, theirs),
            "total_minor": converted_minor(self.total, rate, ours, theirs),
        }


# ---- refunds ---------------------------------------------------------------------------------------------------------


def refund(case: Case, sale: Sale, zone: str | None) -> int:
    """What is paid back for returned lines."""
    if case["refund"].get("policy", "paid_price") == "reprice_kept":
        return max(0, sale.total - kept_total(case, zone))
    left = {line: x.qty for line, x in enumerate(sale.basket.lines) if x.qty > 0}
    amount = 0
    for back in case["refund"]["lines"]:
        wanted = exact(back["qty"])
        for line, available in left.items():
            if sale.basket.lines[line].sku != back["sku"] or wanted == 0:
                continue
            take = min(wanted, available)
            gone = sale.basket.lines[line].qty - available
            amount += paid_until(sale, line, gone + take) - paid_until(sale, line, gone)
            left[line], wanted = available - take, wanted - take
    return amount


def paid_until(sale: Sale, line: int, qty: Fraction) -> int:
    """What was paid for the first `qty` of a line; a part of a unit, or of a measured line, by its size."""
    bought = sale.basket.lines[line].qty
    paid = sale.basket.line_value(line) + sale.taxes.additive_by_line[line] + sale.deposits[line]
    if bought.denominator > 1:
        return rounded(paid * qty / bought, "half_up")
    shares = allocate(paid, [1] * int(bought))
    whole = int(qty)
    part = qty - whole
    return sum(shares[:whole]) + (rounded(shares[whole] * part, "half_up") if part else 0)


def kept_total(case: Case, zone: str | None) -> int:
    """What the basket would have cost without the returned units."""
    back: dict[str, Fraction] = {}
    for line in case["refund"]["lines"]:
        back[line["sku"]] = back.get(line["sku"], Fraction(0)) + line["qty"]
    kept = []
    for item in case["items"]:
        qty = exact(item["qty"])
        gone = min(qty, back.get(item["sku"], Fraction(0))) if qty > 0 else Fraction(0)
        if gone:
            back[item["sku"]] -= gone
        if qty - gone != 0:
            rest = qty - gone
            kept.append({**item, "qty": int(rest) if rest.denominator == 1 else decimal_text(rest)})
    again = {k: v for k, v in case.items() if k != "refund"} | {"items": kept}
    return int(price_case(again, zone)["total_minor"])

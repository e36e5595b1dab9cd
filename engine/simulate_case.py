"""The vocabulary of pricing cases: every key, its type, and what to say about one that is not known.

`check_case` walks a case and raises `CaseError` with the case, the key's path and the nearest known
key.  What a key means is in `simulate_pricing`; here is only what may stand where.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any


class CaseError(ValueError):
    """A file that is not valid: which case, which key, what was expected and found."""


Check = Callable[[Any, str], None]
NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)(e[+-]?[0-9]{1,3})?", re.IGNORECASE)


def _fail(path: str, expected: str, found: object) -> None:
    shown = repr(found)
    raise CaseError(f"{path}: expected {expected}, found {shown[:80]}{'...' if len(shown) > 80 else ''}")


def text(value: Any, path: str) -> None:
    if not isinstance(value, str):
        _fail(path, "a text", value)
    if (size := len(value.encode(errors="surrogatepass"))) > 4096:
        raise CaseError(f"{path}: expected a text of at most 4,096 bytes, found {size:,}")
    if any("\ud800" <= letter <= "\udfff" for letter in value):
        _fail(path, "a text of whole characters", value)


def name(value: Any, path: str) -> None:
    """A text that names something."""
    text(value, path)
    if not value:
        _fail(path, "a name", value)


def whole(value: Any, path: str) -> None:
    if not isinstance(value, int) or isinstance(value, bool):
        _fail(path, "a whole number", value)
    if abs(value) > 10**15:
        _fail(path, "at most 10^15", value)


def positive(value: Any, path: str) -> None:
    whole(value, path)
    if value <= 0:
        _fail(path, "a number above zero", value)


def amount(value: Any, path: str) -> None:
    whole(value, path)
    if value < 0:
        _fail(path, "an amount not below zero", value)


def moment(value: Any, path: str) -> None:
    """A date, or a time of ISO 8601."""
    text(value, path)
    try:
        datetime.fromisoformat(value)
    except ValueError:
        _fail(path, "an ISO time like 2025-03-01T09:30", value)


def flag(value: Any, path: str) -> None:
    if not isinstance(value, bool):
        _fail(path, "true or false", value)


def number(value: Any, path: str) -> None:
    """A number or a decimal text."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        _fail(path, "a number or a decimal text", value)
    if isinstance(value, str) and not NUMBER.fullmatch(value.strip()):
        _fail(path, "a number or a decimal text", value)
    if not abs(float(value)) <= 1e15:
        _fail(path, "a number or a decimal text", value)


def present(value: Any, path: str) -> None:
    """A time that a till's clock can show."""
    moment(value, path)
    if not 1970 < datetime.fromisoformat(value).year < 2262:
        _fail(path, "a time between 1971 and 2261", value)


def quantity(value: Any, path: str) -> None:
    """A number not below zero."""
    number(value, path)
    if float(value) < 0:
        _fail(path, "a number not below zero", value)


def over_zero(value: Any, path: str) -> None:
    number(value, path)
    if float(value) <= 0:
        _fail(path, "a number above zero", value)


def units(value: Any, path: str) -> None:
    """A count of whole units, at least one; it may be a decimal text."""
    number(value, path)
    if float(value) < 1 or float(value) != int(float(value)):
        _fail(path, "a whole number of units above zero", value)


def units_or_none(value: Any, path: str) -> None:
    number(value, path)
    if float(value) != 0:
        units(value, path)


def percent(value: Any, path: str) -> None:
    number(value, path)
    if not 0 <= float(value) <= 100:
        _fail(path, "a percent from 0 to 100", value)


def rate(value: Any, path: str) -> None:
    number(value, path)
    if not 0 <= float(value) <= 1000:
        _fail(path, "a percent from 0 to 1,000", value)


def optional(check: Check) -> Check:
    def run(value: Any, path: str) -> None:
        if value is not None:
            check(value, path)

    return run


def one_of(*words: str) -> Check:
    def run(value: Any, path: str) -> None:
        if not isinstance(value, str) or value not in words:
            near = difflib.get_close_matches(str(value)[:80], words, 1)
            _fail(path, f"one of {', '.join(words)}" + (f" (perhaps {near[0]})" if near else ""), value)

    return run


def list_of(check: Check, most: int = 100_000) -> Check:
    def run(value: Any, path: str) -> None:
        if not isinstance(value, list):
            _fail(path, "a list", value)
        if len(value) > most:
            raise CaseError(f"{path}: expected at most {most:,} entries, found {len(value):,}")
        for index, entry in enumerate(value):
            check(entry, f"{path}[{index}]")

    return run


def either(*checks: Check) -> Check:
    def run(value: Any, path: str) -> None:
        for check in checks[:-1]:
            try:
                check(value, path)
            except CaseError:
                continue
            return
        checks[-1](value, path)

    return run


def map_of(check: Check) -> Check:
    def run(value: Any, path: str) -> None:
        if not isinstance(value, dict):
            _fail(path, "an object", value)
        for key, entry in value.items():
            text(key, path)
            check(entry, f"{path}.{key}")

    return run


def record(keys: Mapping[str, Check], *required: str) -> Check:
    def run(value: Any, path: str) -> None:
        if not isinstance(value, dict):
            _fail(path, "an object", value)
        for key, entry in value.items():
            if key not in keys:
                near = difflib.get_close_matches(key, keys, 1, 0.4)
                hint = f"; the nearest known key is {near[0]!r}" if near else f"; known are {', '.join(sorted(keys))}"
                raise CaseError(f"{path}.{key}: unknown key{hint}")
            keys[key](entry, f"{path}.{key}")
        for key in required:
            if key not in value:
                raise CaseError(f"{path}: the key {key!r} is missing")

    return run


def by_type(kinds: Mapping[str, Check], what: str) -> Check:
    def run(value: Any, path: str) -> None:
        if not isinstance(value, dict):
            _fail(path, "an object", value)
        kind = value.get("type")
        if not isinstance(kind, str) or kind not in kinds:
            near = difflib.get_close_matches(str(kind)[:80], kinds, 1, 0.4)
            hint = f"; the nearest known type is {near[0]!r}" if near else ""
            raise CaseError(f"{path}.type: unknown {what} type {repr(kind)[:80]}{hint}")
        kinds[kind](value, path)

    return run


def _target(value: Any, path: str) -> None:
    record(
        {
            "all": flag,
            "skus": list_of(name),
            "categories": list_of(name),
            "unit_price_min": whole,
            "unit_price_max": whole,
            "exclude_discounted": flag,
            "max_units": units,
            "max_units_per_line": units,
            "pick": PICK,
        }
    )(value, path)
    named = value.get("all") or value.get("skus") or value.get("categories")
    if not named and ({"skus", "categories"} & set(value) or not set(value) - {"all"}):
        raise CaseError(f"{path}: an empty target; give all, skus or categories")
    if value.get("unit_price_min", 0) > value.get("unit_price_max", 10**18):
        raise CaseError(f"{path}: unit_price_min is above unit_price_max, so nothing can match")


def _weights(value: Any, path: str) -> None:
    list_of(quantity)(value, path)
    if not value:
        _fail(path, "one weight or more", value)


PICK = one_of("cheapest", "dearest", "as_listed")
PART = {"target": _target, "qty": units, "pick": PICK, "percent": percent}
TIER = {"min_minor": amount, "min_qty": units_or_none, "percent": percent, "amount_minor": amount}
BASE = one_of("original", "running")


def _kind(*required: str, **keys: Check) -> Check:
    return record({"type": text, "target": _target, **keys}, *required)


CONDITIONS = {
    "min_subtotal": _kind(
        "amount_minor", amount_minor=amount, base=BASE, tax=one_of("excl", "incl", "net", "gross", "none")
    ),
    "max_subtotal": _kind(
        "amount_minor", amount_minor=amount, base=BASE, tax=one_of("excl", "incl", "net", "gross", "none")
    ),
    "min_qty": _kind("qty", qty=quantity),
    "max_qty": _kind("qty", qty=quantity),
    "min_line_qty": _kind("qty", qty=quantity),
    "min_value": _kind("amount_minor", amount_minor=amount, base=BASE),
    "contains": _kind("target"),
    "distinct": _kind("count", count=positive),
    "nth_order": _kind("n", n=positive),
}
SET = {"qty": units, "pick": PICK, "repeat": flag}
BENEFITS = {
    "item_percent_off": _kind("percent", percent=percent, cap_minor=amount, base=BASE),
    "item_amount_off": _kind("amount_minor", amount_minor=amount, apply=one_of("per_unit", "per_line")),
    "item_fixed_price": _kind("price_minor", price_minor=amount),
    "item_markup_percent": _kind("percent", percent=rate, base=BASE),
    "order_percent_off": _kind("percent", percent=percent, cap_minor=amount, base=BASE),
    "order_amount_off": _kind(
        "amount_minor",
        amount_minor=amount,
        include_charges=either(flag, list_of(text)),
        value_tax=one_of("incl", "excl"),
    ),
    "order_fixed_total": _kind("total_minor", total_minor=amount),
    "bundle_fixed_price": _kind(
        "price_minor", price_minor=amount, components=list_of(record(PART, "target", "qty"), 8), **SET
    ),
    "bundle_percent_off": _kind("percent", "qty", percent=percent, base=BASE, **SET),
    "bundle_amount_off": _kind("amount_minor", "qty", amount_minor=amount, **SET),
    "multibuy_cheapest_free": _kind("qty", **SET),
    "buy_get": _kind(
        "buy",
        "get",
        buy=record(PART, "target", "qty"),
        get=record(PART, "target", "qty"),
        repeat=flag,
        consume=PICK,
        base=BASE,
    ),
    "quantity_group": _kind(
        "group_size", group_size=units, amount_minor=amount, percent=percent, pick=PICK, repeat=flag, base=BASE
    ),
    "quantity_break": _kind(
        "tiers",
        tiers=list_of(record({"min_qty": units_or_none, "unit_price_minor": amount}, "min_qty", "unit_price_minor")),
    ),
    "tiered_amount": _kind(
        "tiers",
        tiers=list_of(record(TIER, "amount_minor")),
        base_minor=amount,
        basis=one_of("order_subtotal", "line_subtotal", "eligible_qty"),
    ),
    "tiered_percent": _kind(
        "tiers",
        tiers=list_of(record(TIER, "percent")),
        base_percent=percent,
        base=BASE,
        basis=one_of("order_subtotal", "line_subtotal", "eligible_qty"),
    ),
    "first_then_amount": _kind("first_minor", "additional_minor", first_minor=amount, additional_minor=amount),
    "cheapest_percent_off": _kind("percent", percent=percent, units=units, cap_minor=amount, base=BASE),
    "charge_percent_off": _kind("charge", "percent", charge=text, percent=percent, cap_minor=amount, base=BASE),
    "charge_amount_off": _kind("charge", "amount_minor", charge=text, amount_minor=amount),
    "charge_fixed_price": _kind("charge", "price_minor", charge=text, price_minor=amount),
    "free_item": _kind("sku", "qty", sku=text, qty=units, for_each=record(PART, "target", "qty"), repeat=flag),
}
ROUNDING = one_of("half_up", "half_down", "half_even", "up", "down", "ceiling", "floor")
PROMOTION = record(
    {
        "id": text,
        "name": text,
        "note": text,
        "conditions": list_of(by_type(CONDITIONS, "condition")),
        "benefits": list_of(by_type(BENEFITS, "benefit")),
        "priority": whole,
        "coupon": text,
        "unique_coupons": flag,
        "stage": one_of("catalog", "cart"),
        "exclusive": flag,
        "group": text,
        "funded_by": one_of("store", "vendor"),
        "manual": flag,
        "channels": list_of(text),
        "customer_groups": list_of(text),
        "window": record({"from": optional(moment), "to": optional(moment)}),
        "schedule": record({"days": list_of(text), "times": list_of(list_of(text, 2))}),
        "limits": record(
            {
                "max_uses": optional(amount),
                "used": amount,
                "cancelled_uses": amount,
                "release_on_cancel": flag,
                "max_uses_per_customer": optional(amount),
                "customer_used": amount,
                "max_applications": optional(amount),
                "budget_minor": optional(amount),
                "budget_spent_minor": amount,
                "on_exceed": one_of("skip", "cap", "partial"),
            }
        ),
    },
    "id",
    "benefits",
)
ITEM = record(
    {
        "sku": text,
        "category": either(list_of(text), text),
        "unit_price_minor": optional(whole),
        "qty": number,
        "tax_class": optional(text),
        "min_price_minor": amount,
        "discountable": flag,
        "deposit_minor": amount,
        "uom": text,
        "uom_factor": over_zero,
        "line": text,
        "name": text,
    },
    "sku",
    "qty",
)
TAX = record(
    {
        "mode": one_of("inclusive", "exclusive"),
        "rates": map_of(
            list_of(
                record(
                    {
                        "name": text,
                        "percent": rate,
                        "amount_minor_per_unit": amount,
                        "mode": one_of("inclusive", "exclusive"),
                        "on": list_of(text),
                        "from": optional(moment),
                        "to": optional(moment),
                    }
                ),
                8,
            )
        ),
        "round_at": one_of("unit", "line", "total"),
        "rounding": ROUNDING,
        "round_target": one_of("tax", "net"),
        "base": one_of("after_discount", "before_discount"),
    },
    "mode",
    "rates",
)
TENDER = record(
    {
        "payments": list_of(
            record({"method": text, "amount_minor": optional(whole), "tendered_minor": optional(whole)}, "method")
        ),
        "cash_rounding": record({"increment_minor": positive, "mode": ROUNDING}, "increment_minor", "mode"),
        "gift_cards": list_of(record({"balance_minor": amount, "code": text}, "balance_minor")),
    }
)
FREE = record({"sku": text, "qty": positive}, "sku", "qty")
BACK = record({"sku": text, "qty": quantity}, "sku", "qty")
LOYALTY = record(
    {
        "earn": record(
            {
                "per": one_of("unit", "currency_unit"),
                "points": quantity,
                "target": _target,
                "base": one_of("before_redemption", "after_redemption"),
            },
            "per",
            "points",
        ),
        "burn": record({"points": positive, "free_item": FREE, "value_minor_per_point": amount}, "points"),
        "opening_points": optional(whole),
        "redeem": flag,
    },
    "earn",
)
BOOK_ROW = record(
    {
        "list": text,
        "currency": text,
        "price_minor": whole,
        "min_qty": optional(number),
        "max_qty": optional(number),
        "from": optional(moment),
        "to": optional(moment),
        "rules": map_of(either(text, list_of(text))),
        "overrides_base": flag,
        "uom": text,
        "sku": text,
    },
    "price_minor",
)
REASON = record({"id": text, "reason": text}, "id", "reason")
EXPECT = record(
    {
        **dict.fromkeys(
            (
                *("total_minor", "net_minor", "subtotal_minor", "discount_minor", "charges_minor", "tax_minor"),
                *("unit_price_minor", "list_price_minor", "deposit_total_minor", "due_minor", "cash_rounding_minor"),
                *("change_minor", "points_burned", "refund_minor", "lines_tolerance_minor"),
            ),
            optional(whole),
        ),
        "points_earned": optional(either(whole, text)),
        "points_balance": optional(either(whole, text)),
        "line_totals_minor": list_of(optional(whole)),
        "line_discounts_minor": list_of(optional(whole)),
        "unit_discounts_minor": list_of(optional(list_of(optional(whole)))),
        "tax_by_name_minor": map_of(optional(whole)),
        "discount_by_promotion_minor": map_of(optional(whole)),
        "applied": list_of(text),
        "not_applied": list_of(REASON),
        "rejected_coupons": list_of(record({"code": text, "reason": text}, "code", "reason")),
        "accepted_coupons": list_of(text),
        "free_items": list_of(record({"sku": text, "qty": whole}, "sku", "qty")),
        "gift_card_used_minor": list_of(optional(whole)),
        "gift_card_left_minor": list_of(optional(whole)),
        "parts": list_of(optional(whole)),
        "converted": record(
            {"currency": text, "rate": over_zero, "unit_minor": optional(whole), "total_minor": optional(whole)},
            "currency",
            "rate",
        ),
        "base_code": text,
        "value": either(text, number),
        "error": text,
    }
)
CASE = record(
    {
        "id": text,
        "source": text,
        "kind": text,
        "note": text,
        "currency": text,
        "at": optional(present),
        "items": list_of(ITEM, 2_000),
        "promotions": list_of(PROMOTION),
        "coupons": list_of(text),
        "charges": list_of(
            record({"id": text, "amount_minor": whole, "tax_class": optional(text)}, "id", "amount_minor"), 64
        ),
        "context": record(
            {
                "channel": optional(text),
                "customer": optional(record({"id": text, "groups": list_of(text), "completed_orders": amount})),
                "pricing": map_of(optional(text)),
            }
        ),
        "tax": optional(TAX),
        "rules": record(
            {
                "rounding": ROUNDING,
                "percent_round_at": one_of("unit", "line", "set"),
                "price_round": one_of("after_discount", "discount"),
                "group_modes": map_of(one_of("best", "first")),
                "allocation": text,
                "unit_split": text,
                "price_selection": text,
            }
        ),
        "selection": one_of("priority", "best_deal", "best_allocation"),
        "tender": TENDER,
        "loyalty": LOYALTY,
        "refund": record(
            {"lines": list_of(BACK), "policy": one_of("paid_price", "reprice_kept")},
            "lines",
        ),
        "price_book": list_of(BOOK_ROW),
        "allocate": record({"amount_minor": whole, "weights": _weights, "method": text}, "amount_minor", "weights"),
        "barcode": record({"code": text, "pattern": text, "symbology": text}, "code", "pattern"),
        "expect": EXPECT,
    },
    "id",
    "currency",
    "items",
    "expect",
)


def check_case(case: Any, place: str) -> None:
    """Raise CaseError, naming the case and the key, unless the case is well formed."""
    name = case.get("id") if isinstance(case, dict) else None
    label = f"case {name!r}" if isinstance(name, str) and len(name) < 200 else place
    CASE(case, label)
    _check_currency(case["currency"], f"{label}.currency")
    for tax_class, rates in (case.get("tax") or {}).get("rates", {}).items():
        _check_tax_names(rates, f"{label}.tax.rates.{tax_class}")
    for number, row in enumerate(case.get("price_book", ())):
        if row.get("currency"):
            _check_currency(row["currency"], f"{label}.price_book[{number}].currency")
    ids: set[str] = set()
    for promotion in case.get("promotions", ()):
        _check_schedule(promotion, label)
        if promotion["id"] in ids:
            raise CaseError(f"{label}.promotions: two promotions have the id {promotion['id']!r}")
        ids.add(promotion["id"])
    _check_free_items(case.get("promotions", ()), label)


def _check_currency(code: str, place: str) -> None:
    """A currency whose minor unit is not known makes every amount of the case unclear."""
    from ringup.native.currency import known_currencies

    known = known_currencies()
    if code.upper() not in known:
        near = difflib.get_close_matches(code.upper(), known, 1, 0.5)
        hint = f"; the nearest known one is {near[0]}" if near else ""
        raise CaseError(f"{place}: {code[:20]!r} has no known exponent (ISO 4217){hint}")


def _check_tax_names(rates: list[dict[str, Any]], place: str) -> None:
    """A tax on a tax that does not exist would silently be on the price alone."""
    names = {rate["name"] for rate in rates if "name" in rate}
    for number, rate in enumerate(rates):
        for name in rate.get("on", ()):
            if name not in names:
                near = difflib.get_close_matches(name, names, 1)
                hint = f"; the nearest is {near[0]!r}" if near else f"; there are {', '.join(sorted(names)) or 'none'}"
                raise CaseError(f"{place}[{number}].on: expected names of taxes of this class, found {name!r}{hint}")


def _check_schedule(promotion: dict[str, Any], label: str) -> None:
    """Days and times that can be read, and times that do not overlap."""
    from ringup.engine.simulate_request import Unfit, schedule

    try:
        periods = schedule(promotion.get("schedule", {})).periods
    except (Unfit, ValueError) as error:
        raise CaseError(f"{label}.promotions: {promotion['id']!r}: {error}") from None
    taken: set[int] = set()
    for period in periods:
        if period.from_minute == period.to_minute:
            raise CaseError(
                f"{label}.promotions: {promotion['id']!r}: schedule.times: expected an end other than the beginning; "
                'a whole day is ["00:00", "24:00"]'
            )
        end = period.to_minute if period.to_minute > period.from_minute else period.to_minute + 1440
        minutes = {minute % 1440 for minute in range(period.from_minute, end)}
        if taken & minutes:
            raise CaseError(f"{label}.promotions: {promotion['id']!r}: the times of its schedule overlap")
        taken |= minutes


def _check_free_items(promotions: list[dict[str, Any]], label: str) -> None:
    """Free items that earn each other would have no end."""
    gives: dict[str, set[str]] = {}
    for promotion in promotions:
        for benefit in promotion["benefits"]:
            if benefit["type"] == "free_item" and "for_each" in benefit:
                for sku in benefit["for_each"]["target"].get("skus", ()):
                    if sku != benefit["sku"]:
                        gives.setdefault(sku, set()).add(benefit["sku"])
    for start in gives:
        seen, open_ = set(), [start]
        while open_:
            for sku in gives.get(open_.pop(), ()):
                if sku == start:
                    raise CaseError(f"{label}.promotions: free items in a circle through {start!r}")
                if sku not in seen:
                    seen.add(sku)
                    open_.append(sku)

"""A pricing case as the messages of the engine: promotions, rules, taxes, lines, time."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta, tzinfo
from decimal import ROUND_CEILING, ROUND_HALF_UP, Decimal
from typing import Any
from zoneinfo import ZoneInfo

from ringup.v1 import catalog_pb2
from ringup.v1 import promotion_pb2 as pb

Case = dict[str, Any]
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
INT64_MAX = 2**63 - 1
PPB_OF_PERCENT = 10_000_000
# Stands for the benefits of a promotion that has none: its gates and its code are still looked at.
NOTHING: list[dict[str, Any]] = [{"type": "item_percent_off", "percent": 0, "target": {"all": True}}]
DAYS = {day: number for number, day in enumerate(("mon", "tue", "wed", "thu", "fri", "sat", "sun"), 1)}
PICKS = {"cheapest": 1, "dearest": 2, "as_listed": 3}
ROUNDINGS = {"half_up": 1, "half_down": 2, "half_even": 3, "up": 4, "down": 5, "ceiling": 6, "floor": 7}
PLACES = {"unit": 1, "line": 2, "set": 3, "total": 3}
SELECTIONS = {"priority": 1, "best_deal": 2, "best_allocation": 3}
VIEWS = {"excl": 1, "net": 1, "incl": 2, "gross": 2}
BASES = {"order_subtotal": 1, "line_subtotal": 2, "eligible_qty": 3}
CONDITION_TYPES = {
    name.removeprefix("CONDITION_TYPE_").lower(): number for name, number in pb.ConditionType.items() if number
}
BENEFIT_TYPES = {
    name.removeprefix("BENEFIT_TYPE_").lower(): number for name, number in pb.BenefitType.items() if number
}


class Unfit(ValueError):
    """A value that is well formed and yet beyond what the engine can hold exactly."""


def scaled(value: Any, scale: int, what: str) -> int:
    """`value` times `scale` as a whole number; refuses what would have to be rounded."""
    exact = Decimal(str(value)) * scale
    if exact != exact.to_integral_value():
        raise Unfit(f"{what}: {value} has more digits than the engine keeps (1/{scale:,})")
    return held(int(exact), what)


def near(value: Any, scale: int) -> int:
    return int((Decimal(str(value)) * scale).to_integral_value(ROUND_HALF_UP))


def held(number: int, what: str) -> int:
    """A number that the messages can carry."""
    if abs(number) > INT64_MAX:
        raise Unfit(f"{what}: expected less than the engine can hold ({INT64_MAX:,}), found {number:,}")
    return number


def ppb(percent: Any) -> int:
    """A percent in billionths; digits beyond the seventh of a percent (a third, as a float) are rounded off."""
    return near(percent, PPB_OF_PERCENT)


class Clock:
    """The instant of a case, and every other time of it, on the store's clock where no zone is given."""

    def __init__(self, at: str | None, zone: str | None) -> None:
        self.zone: tzinfo = ZoneInfo(zone) if zone else UTC
        self.at: datetime | None = None
        if at is not None:
            moment = self.parse(at)
            if not zone and moment.tzinfo is not None:
                self.zone = moment.tzinfo
            self.at = self.instant(moment)

    @staticmethod
    def parse(text: str) -> datetime:
        try:
            return datetime.fromisoformat(text)
        except ValueError:
            raise Unfit(f"time: expected an ISO time like 2025-03-01T09:30, found {text!r}") from None

    def instant(self, moment: datetime) -> datetime:
        return moment if moment.tzinfo is not None else moment.replace(tzinfo=self.zone)

    @staticmethod
    def ns(moment: datetime) -> int:
        """Since 1970, exact to the microsecond."""
        past = moment.replace(tzinfo=UTC) - (moment.utcoffset() or timedelta(0)) - EPOCH
        return (past.days * 86_400 + past.seconds) * 1_000_000_000 + past.microseconds * 1_000

    def ns_of(self, text: str | None) -> int:
        """A bound; years that no clock here can show (9999 for no end) are the nearest that it can."""
        if text is None:
            return 0
        moment = self.parse(text)
        if not 1970 < moment.year < 2262:
            return 1 if moment.year < 2000 else INT64_MAX
        return self.ns(self.instant(moment))

    def at_ns(self) -> int:
        return 0 if self.at is None else self.ns(self.at)

    def offset_s(self) -> int:
        if self.at is None:
            return 0
        offset = self.at.astimezone(self.zone).utcoffset()
        return int(offset.total_seconds()) if offset else 0


def target(value: dict[str, Any] | None) -> pb.Target | None:
    if value is None:
        return None
    named = bool(value.get("skus") or value.get("categories"))
    return pb.Target(
        all=bool(value.get("all")) or not named,
        item_ids=value.get("skus", ()),
        categories=value.get("categories", ()),
        unit_price_min_minor=value.get("unit_price_min"),
        unit_price_max_minor=value.get("unit_price_max"),
        exclude_discounted=value.get("exclude_discounted", False),
        max_units=whole_units(value.get("max_units", 0)),
        max_units_per_line=whole_units(value.get("max_units_per_line", 0)),
        pick=PICKS.get(value.get("pick", ""), 0),  # type: ignore[arg-type]  # enums are numbers on the wire
    )


def component(value: dict[str, Any], *, whole: bool = True) -> pb.Component:
    rate = ppb(value.get("percent", 100)) if whole else ppb(value["percent"]) if "percent" in value else 0
    return pb.Component(
        target=target(value.get("target")),
        qty=whole_units(value.get("qty", 1)),
        rate_ppb=rate,
        pick=PICKS.get(value.get("pick", ""), 0),  # type: ignore[arg-type]  # enums are numbers on the wire
    )


def condition(value: dict[str, Any]) -> pb.Condition:
    return pb.Condition(
        type=CONDITION_TYPES[value["type"]],  # type: ignore[arg-type]  # enums are numbers on the wire
        target=target(value.get("target")),
        amount_minor=value.get("amount_minor", 0),
        qty_milli=scaled(value.get("qty", 0), 1000, "qty"),
        count=value.get("count", value.get("n", 0)),
        original=value.get("base") == "original",
        tax_view=VIEWS.get(value.get("tax", ""), 0),  # type: ignore[arg-type]  # enums are numbers on the wire
    )


def benefit(value: dict[str, Any], charge_ids: Iterable[str]) -> pb.Benefit:
    kind = value["type"]
    amount = next(
        (value[k] for k in ("amount_minor", "price_minor", "total_minor", "first_minor") if k in value),
        0,
    )
    qty = next((value[k] for k in ("group_size", "units", "qty") if k in value), 0)
    include = value.get("include_charges") or []
    charges = [value["charge"]] if "charge" in value else list(charge_ids) if include is True else include
    found = pb.Benefit(
        type=BENEFIT_TYPES[kind],  # type: ignore[arg-type]  # enums are numbers on the wire
        target=target(value.get("target")),
        rate_ppb=ppb(value.get("percent", 0)),
        amount_minor=amount,
        cap_minor=value.get("cap_minor"),
        per_line=value.get("apply") == "per_line",
        original=value.get("base") == "original",
        tax_view=VIEWS.get(value.get("value_tax", ""), 0),  # type: ignore[arg-type]  # enums are numbers on the wire
        charge_ids=charges,
        qty=whole_units(qty),
        pick=PICKS.get(value.get("pick", ""), 0),  # type: ignore[arg-type]  # enums are numbers on the wire
        components=[component(part, whole=False) for part in value.get("components", ())],
        once=not value.get("repeat", True),
        consume=PICKS.get(value.get("consume", ""), 0),  # type: ignore[arg-type]  # enums are numbers on the wire
        basis=BASES.get(value.get("basis", ""), 0),  # type: ignore[arg-type]  # enums are numbers on the wire
        base_amount_minor=value.get("base_minor", 0),
        base_rate_ppb=ppb(value.get("base_percent", 0)),
        additional_minor=value.get("additional_minor", 0),
        item_id=value.get("sku", ""),
    )
    if "buy" in value:
        found.buy.CopyFrom(component(value["buy"], whole=False))
        found.get.CopyFrom(component(value["get"]))
    if "for_each" in value:
        found.for_each.CopyFrom(component(value["for_each"], whole=False))
    for tier in value.get("tiers", ()):
        found.tiers.add(
            min=whole_units(tier.get("min_qty", tier.get("min_minor", 0))),
            amount_minor=tier.get("amount_minor", tier.get("unit_price_minor", 0)),
            rate_ppb=ppb(tier.get("percent", 0)),
        )
    return found


def minutes(text: str) -> int:
    try:
        hours, _, rest = text.partition(":")
        found = int(hours) * 60 + int((rest or "0").partition(":")[0])
    except ValueError:
        found = -1
    if not 0 <= found <= 1440:
        raise Unfit(f"schedule: expected a time of day like 09:30, found {text!r}")
    return found


def schedule(value: dict[str, Any]) -> pb.Schedule:
    try:
        weekdays = [DAYS[day.lower()[:3]] for day in value.get("days", ())]
    except KeyError as error:
        raise Unfit(f"schedule.days: expected mon, tue, ... sun, found {error.args[0]!r}") from None
    found = pb.Schedule(weekdays=weekdays)
    for start, end in value.get("times", ()):
        found.periods.add(from_minute=minutes(start) % 1440, to_minute=minutes(end))
    return found


def whole_units(value: Any) -> int:
    """A count of units that may be written as a decimal text."""
    return int(Decimal(str(value)))


def promotion(value: dict[str, Any], clock: Clock, charge_ids: Iterable[str]) -> pb.Promotion:
    limits, window = value.get("limits", {}), value.get("window", {})
    from_ns, to_ns = clock.ns_of(window.get("from")), clock.ns_of(window.get("to"))
    if from_ns >= to_ns > 0:
        raise Unfit(
            f"window of {value['id']!r}: expected an end after its beginning {window['from']}, found {window['to']}"
        )
    found = pb.Promotion(
        promotion_id=value["id"],
        name=value.get("name", ""),
        conditions=[condition(c) for c in value.get("conditions", ())],
        benefits=[benefit(b, charge_ids) for b in value["benefits"]],
        priority=value.get("priority", 0),
        coupon=value.get("coupon", ""),
        unique_coupons=value.get("unique_coupons", False),
        stage=pb.STAGE_CATALOG if value.get("stage") == "catalog" else pb.STAGE_CART,
        exclusive=value.get("exclusive", False),
        group_id=value.get("group", ""),
        vendor_funded=value.get("funded_by") == "vendor",
        manual=value.get("manual", False),
        channels=value.get("channels", ()),
        customer_groups=value.get("customer_groups", ()),
        from_ns=from_ns,
        to_ns=to_ns,
    )
    if value.get("schedule"):
        found.schedule.CopyFrom(schedule(value["schedule"]))
    if limits:
        found.limits.CopyFrom(
            pb.Limits(
                max_uses=limits.get("max_uses"),
                max_uses_per_customer=limits.get("max_uses_per_customer"),
                max_applications=limits.get("max_applications"),
                budget_minor=limits.get("budget_minor"),
                on_exceed=pb.ON_EXCEED_SKIP if limits.get("on_exceed") == "skip" else pb.ON_EXCEED_CAP,
                release_on_cancel=limits.get("release_on_cancel", False),
            )
        )
    return found


def usage(value: dict[str, Any]) -> pb.PromotionUsage:
    limits = value.get("limits", {})
    return pb.PromotionUsage(
        used=limits.get("used", 0),
        cancelled_uses=limits.get("cancelled_uses", 0),
        customer_used=limits.get("customer_used", 0),
        budget_spent_minor=limits.get("budget_spent_minor", 0),
    )


def rules(case: Case) -> pb.PricingRules:
    given, tax = case.get("rules", {}), case.get("tax") or {}
    modes = {"best": pb.GROUP_MODE_BEST, "first": pb.GROUP_MODE_FIRST}
    return pb.PricingRules(
        rounding=ROUNDINGS[given.get("rounding", "half_up")],  # type: ignore[arg-type]  # enums are numbers on the wire
        percent_round_at=PLACES.get(given.get("percent_round_at", ""), 0),  # type: ignore[arg-type]  # as above
        round_new_price=given.get("price_round") == "after_discount",
        selection=SELECTIONS[case.get("selection", "priority")],  # type: ignore[arg-type]  # as above
        groups=[
            pb.PromotionGroup(group_id=group, mode=modes[mode]) for group, mode in given.get("group_modes", {}).items()
        ],
        tax_rounding=ROUNDINGS[tax.get("rounding", "half_up")],  # type: ignore[arg-type]  # as above
        tax_round_at=PLACES[tax.get("round_at", "line")],  # type: ignore[arg-type]  # as above
        tax_round_net=tax.get("round_target") == "net",
        tax_before_discount=tax.get("base") == "before_discount",
        price_selection=price_selection(given.get("price_selection", "")),
    )


def price_selection(text: str) -> pb.PriceSelection:
    """Of rows with equally many rules a case's book takes the lowest price, unless it asks for another."""
    if text.startswith(("lowest", "cheapest", "best", "min")):
        return pb.PRICE_SELECTION_LOWEST
    return pb.PRICE_SELECTION_LATEST if text.startswith("latest") else pb.PRICE_SELECTION_LOWEST_OF_MOST_RULES


def tax_rates(tax: dict[str, Any], clock: Clock) -> list[pb.TaxRates]:
    return [
        pb.TaxRates(
            tax_class_id=tax_class,
            rates=[
                pb.TaxRate(
                    name=rate.get("name", ""),
                    rate_ppb=ppb(rate.get("percent", 0)),
                    amount_minor_per_unit=rate.get("amount_minor_per_unit", 0),
                    inclusive=rate.get("mode", tax["mode"]) == "inclusive",
                    on=rate.get("on", ()),
                    from_ns=clock.ns_of(rate.get("from")),
                    to_ns=clock.ns_of(rate.get("to")),
                )
                for rate in rates
            ],
        )
        for tax_class, rates in tax["rates"].items()
    ]


def price_row(row: dict[str, Any], currency: str, clock: Clock) -> catalog_pb2.PriceRow | None:
    """A row of a price book; None for one whose quantities or times are empty, which matches nothing.

    A case without an instant has rows of all times.
    """
    low = max(0, int((Decimal(str(row.get("min_qty", 0))) * 1000).to_integral_value(ROUND_CEILING)))
    high = max(1, int(Decimal(str(row["max_qty"])) * 1000)) if "max_qty" in row else 0
    start = max(0, clock.ns_of(row["from"])) if "from" in row and clock.at else 0
    end = max(1, clock.ns_of(row["to"])) if "to" in row and clock.at else 0
    if 0 < high < low or 0 < end <= start:
        return None
    return catalog_pb2.PriceRow(
        item_id=row.get("sku", ""),
        list_id="" if row.get("list", "base") == "base" else row["list"],
        currency=(row.get("currency") or currency).upper(),
        price_minor=row["price_minor"],
        min_qty_milli=low,
        max_qty_milli=high,
        from_ns=start,
        to_ns=end,
        overrides_base=row.get("overrides_base", False),
        uom=row.get("uom", ""),
        rules=[
            catalog_pb2.PriceRule(key=key, values=values if isinstance(values, list) else [values])
            for key, values in row.get("rules", {}).items()
        ],
    )


def line(item: dict[str, Any], classes: Iterable[str]) -> pb.SimulatedLine:
    category = item.get("category", [])
    tax_class = item.get("tax_class") or ""
    return pb.SimulatedLine(
        item_id=item["sku"],
        categories=[category] if isinstance(category, str) else category,
        qty_milli=scaled(item["qty"], 1000, f"qty of {item['sku']}"),
        price_minor=item.get("unit_price_minor") or 0,
        from_book=item.get("unit_price_minor") is None,
        uom=item.get("uom", ""),
        tax_class_id=tax_class if tax_class in classes else "",
        floor_minor=item.get("min_price_minor", 0),
        not_discountable=not item.get("discountable", True),
        deposit_minor=item.get("deposit_minor", 0),
        base_units_ppm=held(near(item.get("uom_factor", 1), 1_000_000), "uom_factor"),
    )


def request_of(case: Case, clock: Clock) -> pb.SimulateRequest:
    """The request that prices the case's items."""
    tax, context = case.get("tax") or {}, case.get("context", {})
    customer = context.get("customer")
    charges = case.get("charges", ())
    charge_ids = [charge["id"] for charge in charges]
    classes = tax.get("rates", {})
    promotions = case.get("promotions", ())
    found = pb.SimulateRequest(
        promotions=[promotion({**p, "benefits": p["benefits"] or NOTHING}, clock, charge_ids) for p in promotions],
        usage=[usage(p) for p in promotions],
        rules=rules(case),
        taxes=tax_rates(tax, clock) if tax else (),
        lines=[line(item, classes) for item in case["items"]],
        charges=[
            pb.Charge(
                charge_id=charge["id"],
                amount_minor=charge["amount_minor"],
                tax_class_id=(charge.get("tax_class") or "") if charge.get("tax_class") in classes else "",
            )
            for charge in charges
        ],
        coupons=case.get("coupons", ()),
        channel_id=context.get("channel") or "",
        at_ns=clock.at_ns(),
        utc_offset_s=clock.offset_s(),
        explain_all=True,
        currency=case["currency"].upper(),
        price_rows=filter(None, (price_row(row, case["currency"], clock) for row in case.get("price_book", ()))),
        price_attributes=[
            catalog_pb2.PriceAttribute(key=key, value=value)
            for key, value in context.get("pricing", {}).items()
            if value
        ],
    )
    if customer is not None:
        found.customer_id = customer.get("id", "") or "-"
        found.customer_groups.extend(customer.get("groups", ()))
        found.completed_orders = customer.get("completed_orders", 0)
    return found

"""A replay of draft promotions as people read it, and as programs do."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from ringup.engine.explain_text import money, quantity
from ringup.engine.promotion_replay import Days, DraftReport, ReplayReport
from ringup.v1 import promotion_pb2

OTHERS_SHOWN = 10
LIMITS = {"max_uses": "uses", "max_uses_per_customer": "uses of a customer", "budget_minor": "budget"}
REASONS = {
    "beaten": "beaten by another",
    "excluded": "kept out by an exclusive one",
    "needs_value": "basket below the threshold",
    "above_value": "basket above the threshold",
    "needs_qty": "too few units",
    "above_qty": "too many units",
    "needs_distinct": "too few different items",
    "set_incomplete": "a set not complete",
    "nothing_to_give": "nothing to make cheaper",
    "coupon_missing": "coupon not presented",
    "wrong_customer": "another customer group",
    "wrong_channel": "another channel",
    "wrong_order": "another order of the customer",
    "schedule": "another day or hour",
    "usage_limit": "used up",
    "customer_limit": "used up by the customer",
    "budget": "budget spent",
}


def notes(report: ReplayReport, drafts: list[promotion_pb2.Promotion], own_dates: bool, present: bool) -> list[str]:
    """What the numbers rest on, in sentences."""
    found = [
        "Shoppers do as they did: nobody comes, buys more or leaves out because of a draft. A cost is what the "
        "recorded baskets would have been cheaper; what a promotion draws in is not in it.",
        "Each sale is priced by the prices and promotions that held at it; uses and budgets are taken sale by sale.",
    ]
    if not own_dates and any(draft.from_ns or draft.to_ns for draft in drafts):
        found.append("The drafts hold on all days asked for, whatever their own dates (see --own-dates).")
    with_code = [draft.promotion_id for draft in drafts if draft.coupon or draft.unique_coupons]
    if with_code and present:
        found.append(f"Every basket presents the coupon of {_few(with_code)}: the most that they can cost.")
    elif with_code:
        found.append(
            f"A coupon is needed for {_few(with_code)}, and only recorded ones are presented: with --present-coupons "
            "every basket presents it."
        )
    if report.other_version:
        found.append("Another version of the engine wrote the journal: a part of the differences may come from that.")
    if report.not_repriced:
        listed = ", ".join(f"{count:,} x {code}" for code, count in _most(report.not_repriced))
        found.append(f"Sales that could not be sold again, and are not counted: {listed}.")
    return found


def _most(counts: dict[str, int]) -> list[tuple[str, int]]:
    return sorted(counts.items(), key=lambda entry: -entry[1])


def _few(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3:,} more" if len(names) > 3 else "")


def as_json(report: ReplayReport, days: Days, source: str, remarks: list[str]) -> dict[str, Any]:
    """The whole report as one object."""
    body = asdict(report)
    body["others"] = {
        name: {"before_minor": before, "after_minor": after}
        for name, (before, after) in sorted(report.others.items())
        if before != after
    }
    body["others_before_minor"], body["others_after_minor"] = _sums(report)
    return {
        "source": source,
        "days": {"first": days.first.isoformat(), "last": days.last.isoformat(), "zone": str(days.zone)},
        **body,
        "notes": remarks,
    }


def _sums(report: ReplayReport) -> tuple[int, int]:
    """What all other promotions gave on the baskets read, and what they would give."""
    pairs = report.others.values()
    return sum(before for before, _ in pairs), sum(after for _, after in pairs)


WORDS = {"draft", "day", "promotion", "sold at", "till", "promotions", "gave nothing on", "limits"}


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold")
    for column in columns:
        table.add_column(column, justify="left" if column in WORDS else "right", overflow="fold")
    return table


def _why(found: DraftReport) -> str:
    parts = [f"{REASONS.get(name, name.replace('_', ' '))} {count:,}" for name, count in _most(found.not_applied)]
    return "; ".join(parts)


def show(report: ReplayReport, days: Days, source: str, remarks: list[str], width: int | None) -> None:
    """Print the report to standard output."""

    def amount(minor: int) -> str:
        digits, space, currency = money(abs(minor), report.currency or "EUR").partition(" ")
        whole, point, part = digits.partition(".")
        return f"{'-' if minor < 0 else ''}{int(whole):,}{point}{part}{space}{currency}"

    total = Table(
        title=f"Drafts on {source}, {days.first} to {days.last} ({days.zone})",
        title_justify="left",
        title_style="bold",
        show_header=False,
    )
    total.add_column(style="bold")
    total.add_column(justify="right")
    total.add_column(style="dim")
    share = f"{report.touched * 100 / report.baskets:.1f} % of them" if report.baskets else ""
    total.add_row("baskets read", f"{report.baskets:,}", f"turnover {amount(report.before_minor)}")
    total.add_row("touched by a draft", f"{report.touched:,}", share)
    total.add_row("discount by the drafts", amount(report.discount_minor), f"on {report.discounted_units:,} units")
    total.add_row("cost", amount(report.cost_minor), "shoppers pay so much less, all promotions counted")
    before, after = _sums(report)
    total.add_row(
        "other promotions", amount(after - before), f"they gave {amount(before)}, and would give {amount(after)}"
    )
    total.add_row(
        "in the touched baskets",
        amount(report.touched_before_minor),
        f"turnover as it was, {quantity(report.touched_qty_milli)} units of goods",
    )
    if report.refunds_less_minor:
        total.add_row("refunds", amount(-report.refunds_less_minor), f"less at {report.returns:,} returns")
    per_draft = _table("By draft", "draft", "baskets", "times", "units", "discount", "was", "gave nothing on", "limits")
    for name, found in report.drafts.items():
        limits = [
            f"{LIMITS[limit]} of {amount(value) if limit == 'budget_minor' else f'{value:,}'} "
            + (f"gone at {found.reached[limit]}" if limit in found.reached else "not reached")
            for limit, value in found.limits.items()
            if limit in LIMITS
        ]
        per_draft.add_row(
            Text(name),
            f"{found.baskets:,}",
            f"{found.applications:,}",
            f"{found.units:,}",
            amount(found.discount_minor),
            amount(found.discount_before_minor),
            Text(_why(found)),
            Text("; ".join(limits)),
        )
    parts: list[Any] = [total, per_draft]
    for name, found in report.drafts.items():
        if found.beaten_by:
            listed = ", ".join(f"{other} {count:,} times" for other, count in _most(found.beaten_by)[:3])
            parts.append(Text(f"{name} is beaten by {listed}, by {amount(found.beaten_minor)} in all"))
    per_day = _table("By day", "day", "baskets", "touched", "discount", "cost")
    for name, day in report.by_day.items():
        per_day.add_row(
            name, f"{day.baskets:,}", f"{day.touched:,}", amount(day.discount_minor), amount(day.cost_minor)
        )
    parts.append(per_day)
    moved = {name: pair for name, pair in report.others.items() if pair[0] != pair[1]}
    if moved:
        others = _table(
            f"Other promotions that change ({len(moved):,})", "promotion", "gave", "would give", "difference"
        )
        ranked = sorted(moved.items(), key=lambda entry: (-abs(entry[1][1] - entry[1][0]), entry[0]))
        for name, (before, after) in ranked[:OTHERS_SHOWN]:
            others.add_row(Text(name), amount(before), amount(after), amount(after - before))
        parts.append(others)
    if report.top:
        top = _table("Baskets that change most", "sold at", "till", "receipt", "was", "would be", "promotions")
        for basket in report.top:
            top.add_row(
                basket.sold_at,
                Text(basket.till_id),
                f"{basket.number:,}",
                amount(basket.before_minor),
                amount(basket.after_minor),
                Text(_few(list(basket.promotions))),
            )
        parts.append(top)
    parts.extend(Text(f"* {remark}", style="dim") for remark in remarks)
    Console(width=width).print(Group(*parts))

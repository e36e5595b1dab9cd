"""Which row of a price book gave a price, and why the others did not, as a person reads it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ringup.engine.explain_text import instant, money, quantity
from ringup.v1 import catalog_pb2 as pb

OUT = {name.removeprefix("PRICE_OUTCOME_"): number for name, number in pb.PriceOutcome.items()}
ROWS_SHOWN_MAX = 20


def of_row(row: pb.PriceRow) -> str:
    """What a row is: its list, its rules and what else it asks for."""
    parts = [f"list {row.list_id}" if row.list_id else "base list"]
    if row.overrides_base:
        parts.append("overrides the base")
    parts += [f"{rule.key} {' or '.join(rule.values)}" for rule in sorted(row.rules, key=lambda rule: rule.key)]
    for name, value in (("location", row.location_id), ("channel", row.channel_id), ("group", row.customer_group_id)):
        if value:
            parts.append(f"{name} {value}")
    return ", ".join(parts)


def why_not(found: pb.ExplainedPrice, currency: str, zone: str | None) -> str:
    """Why a row did not give the price, with its numbers."""
    row = found.row
    unit = f" {row.uom}" if row.uom else ""
    texts = {
        OUT["LIST_PRICE"]: "the list price",
        OUT["BEATEN"]: f"another row comes first, at {money(found.needed, currency)}",
        OUT["WRONG_CURRENCY"]: f"it is in {row.currency}",
        OUT["WRONG_CHANNEL"]: "not in this channel",
        OUT["WRONG_CUSTOMER"]: "not for this customer's group",
        OUT["WRONG_RULE"]: f"its {found.key} is another",
        OUT["WRONG_UNIT"]: f"the item is not sold by{unit}",
        OUT["NOT_STARTED"]: f"it begins on {instant(found.needed, zone)}",
        OUT["EXPIRED"]: f"it is over since {instant(found.needed, zone)}",
        OUT["NEEDS_QTY"]: f"from {quantity(found.needed)}{unit}, here {quantity(found.found)}",
        OUT["ABOVE_QTY"]: f"up to {quantity(found.needed)}{unit}, here {quantity(found.found)}",
    }
    return texts.get(found.outcome, "it does not match")


def explain_rows(rows: Iterable[pb.ExplainedPrice], currency: str, zone: str | None) -> Iterator[str]:
    """A line for each row: the one that gave the price first, then the others as they stand in the book."""
    ordered = sorted(rows, key=lambda found: found.outcome != OUT["CHOSEN"])
    for found in ordered[:ROWS_SHOWN_MAX]:
        price = money(found.row.price_minor, found.row.currency or currency)
        per = f" per {found.row.uom}" if found.row.uom else ""
        if found.outcome == OUT["CHOSEN"]:
            yield f"  {price}{per} by {of_row(found.row)}"
        else:
            yield f"  not {price}{per} by {of_row(found.row)}: {why_not(found, currency, zone)}"
    if len(ordered) > ROWS_SHOWN_MAX:
        yield f"  and {len(ordered) - ROWS_SHOWN_MAX:,} rows more"

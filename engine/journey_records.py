"""The real weeks as batches of a journal, made in memory: sales to try draft promotions on without a data directory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from google.protobuf.message import Message

from ringup.engine import journey
from ringup.engine.demo_promotions import plan_promotions
from ringup.engine.demo_shop import sell_request, till_id
from ringup.engine.record import Record
from ringup.native.core import Core
from ringup.v1 import admin_pb2, catalog_pb2, promotion_pb2, session_pb2

ROWS_PER_COMMAND = 5000
LANE = "1"


def weeks_of(from_ns: int, to_ns: int) -> tuple[int, int]:
    """The first and last week of the data that have a part of [from_ns, to_ns).

    Raises ValueError when there is none.
    """
    weeks = [
        week
        for week in range(journey.FIRST_WEEK, journey.LAST_WEEK + 1)
        if journey.week_bounds_ns(week)[0] < to_ns and journey.week_bounds_ns(week)[1] > from_ns
    ]
    if not weeks:
        raise ValueError("expected days of the year 2017, which The Complete Journey has, found others")
    return weeks[0], weeks[-1]


def _loads(baskets: Sequence[journey.Basket], first_week: int, last_week: int) -> Iterator[Message]:
    """What is there before the first sale: only the items that are sold, without stock."""
    sold = {line.item_id for basket in baskets for line in basket.lines}
    stores = sorted({basket.location_id for basket in baskets})
    yield admin_pb2.PutSettingsRequest(settings=admin_pb2.Settings(currency="USD", cash_increment_minor=1))
    yield catalog_pb2.PutLocationsRequest(
        locations=[catalog_pb2.Location(location_id=str(store), name=f"Store {store}") for store in stores]
    )
    yield catalog_pb2.PutTillsRequest(
        tills=[catalog_pb2.Till(till_id=till_id(store, LANE), location_id=str(store)) for store in stores]
    )
    items = [
        catalog_pb2.Item(
            item_id=str(item.item_id),
            name=item.name,
            categories=item.categories,
            measured=item.measured,
            untracked=True,
        )
        for item in journey.load_items()
        if item.item_id in sold
    ]
    for start in range(0, len(items), ROWS_PER_COMMAND):
        yield catalog_pb2.PutItemsRequest(items=items[start : start + ROWS_PER_COMMAND])
    rows = [
        catalog_pb2.PriceRow(
            item_id=str(row.item_id),
            location_id=str(row.location_id) if row.location_id else "",
            min_qty_milli=row.min_qty_milli,
            price_minor=row.price_minor,
            base_qty_milli=row.base_qty_milli,
            from_ns=row.from_ns,
            to_ns=row.to_ns,
        )
        for row in journey.build_price_rows(first_week, last_week)
        if row.item_id in sold
    ]
    for start in range(0, len(rows), ROWS_PER_COMMAND):
        yield catalog_pb2.PutPricesRequest(rows=rows[start : start + ROWS_PER_COMMAND])


def journey_records(first_week: int, last_week: int) -> tuple[int, Iterator[Record]]:
    """How many batches, and the batches: the book and its promotions, then every basket at its time."""
    baskets = [basket for basket in journey.load_baskets(first_week, last_week) if basket.lines]
    plan = plan_promotions(baskets, first_week, last_week)
    opened_ns = journey.week_bounds_ns(first_week)[0]
    loads = list(_loads(baskets, first_week, last_week))
    loads += [
        promotion_pb2.PutPromotionsRequest(promotions=plan.promotions[start : start + ROWS_PER_COMMAND])
        for start in range(0, len(plan.promotions), ROWS_PER_COMMAND)
    ]
    fields = {
        field.message_type.full_name: field.name
        for field in session_pb2.Command.DESCRIPTOR.fields
        if field.message_type is not None
    }

    def batches() -> Iterator[Record]:
        core = Core()
        layout = core.layout()[:16]
        for sequence in range(1, len(loads) + len(baskets) + 1):
            id_ = sequence.to_bytes(16, "big")
            now_ns, request = opened_ns, loads[sequence - 1] if sequence <= len(loads) else None
            if request is None:
                basket = baskets[sequence - len(loads) - 1]
                now_ns, request = basket.sold_at_ns, sell_request(basket, LANE, id_, plan)
            request.command_id = id_  # type: ignore[attr-defined]  # every command has one
            command = session_pb2.Command(**{fields[request.DESCRIPTOR.full_name]: request})  # type: ignore[arg-type]
            commands = session_pb2.SessionRequest(commands=[command]).SerializeToString()
            core.begin(sequence, now_ns)
            replies = core.apply(commands)[0]
            yield Record(sequence, core.now_ns, layout, commands, replies, b"")

    return len(loads) + len(baskets), batches()

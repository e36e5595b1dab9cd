"""A core with a small shop in it, driven by messages."""

from __future__ import annotations

import itertools
from typing import Any

from google.protobuf.message import Message

from ringup.native.core import Core
from ringup.v1 import (
    admin_pb2,
    catalog_pb2,
    pricing_pb2,
    sale_pb2,
    session_pb2,
    stock_pb2,
)

SECOND_NS = 1_000_000_000
_FIELD_BY_TYPE = {
    field.message_type.full_name: field.name
    for field in session_pb2.Command.DESCRIPTOR.fields
    if field.message_type is not None
}


def command_of(request: Message) -> session_pb2.Command:
    """The `Command` that carries a request."""
    return session_pb2.Command(**{_FIELD_BY_TYPE[request.DESCRIPTOR.full_name]: request})  # type: ignore[arg-type]


class CoreHarness:
    """One core; `send` answers a command in a batch of its own, at a clock that the test moves."""

    def __init__(self, core: Core | None = None) -> None:
        self.core = core or Core()
        self.now_ns = 1_700_000_000 * SECOND_NS
        self._ids = itertools.count(1)
        self.journal: list[tuple[int, int, list[bytes], list[bytes]]] = []
        self.events: dict[int, tuple[bytes, int]] = {}  # of a batch, packed, and the sequence of the last

    def id(self) -> bytes:
        """A fresh command id."""
        return next(self._ids).to_bytes(16, "big")

    def batch(self, *requests: Message) -> list[Any]:
        """Answers to several commands in one batch; fills in missing command ids."""
        commands = []
        for request in requests:
            if not request.command_id:  # type: ignore[attr-defined]
                request.command_id = self.id()  # type: ignore[attr-defined]
            commands.append(command_of(request))
        data = session_pb2.SessionRequest(commands=commands).SerializeToString()
        replies = self.raw(data)
        return [getattr(reply, str(reply.WhichOneof("body"))) for reply in replies.replies]

    def raw(self, data: bytes) -> session_pb2.SessionResponse:
        """The answer to the bytes of a SessionRequest, in a batch of its own."""
        self.core.begin(self.core.sequence + 1, self.now_ns)
        replies, _, _ = self.core.apply(data)
        self.events[self.core.sequence] = self.core.end(), self.core.event_sequence
        self.journal.append((self.core.sequence, self.core.now_ns, [data], [replies]))
        return session_pb2.SessionResponse.FromString(replies)

    def send(self, request: Message) -> Any:
        """The answer to one command."""
        return self.batch(request)[0]

    def ask(self, name: str, request: Message, response: type[Any]) -> Any:
        """The answer to a query."""
        return response.FromString(self.core.query(name, request.SerializeToString(), self.now_ns))

    def refold(self) -> Core:
        """A fresh core after the same batches; asserts that it gives the same answers."""
        core = Core()
        for sequence, now_ns, commands, replies in self.journal:
            core.begin(sequence, now_ns)
            assert [core.apply(data)[0] for data in commands] == replies
            found = core.end(), core.event_sequence
            assert found == self.events.get(sequence, found)
        return core


def line(item_id: str, pieces: int = 1, **fields: Any) -> pricing_pb2.BasketLine:
    """A basket line of whole pieces."""
    return pricing_pb2.BasketLine(item_id=item_id, qty_milli=pieces * 1000, **fields)


def cash(amount_minor: int) -> sale_pb2.Tender:
    """A cash tender."""
    return sale_pb2.Tender(method=sale_pb2.TENDER_METHOD_CASH, amount_minor=amount_minor)


def card(amount_minor: int) -> sale_pb2.Tender:
    """A card tender."""
    return sale_pb2.Tender(method=sale_pb2.TENDER_METHOD_CARD, amount_minor=amount_minor)


def small_shop(*, cash_increment_minor: int = 1, shortfall_allowed: bool = False, pieces: int = 100) -> CoreHarness:
    """Two locations, tills T1 and T2 at S1 and T3 at S2, five items with prices, stock of three at S1.

    milk 1.19 (19 % in the price), bread 2.50 (7 % in the price), lamp 10.00 (8 % added), cheese 18.90
    a kilo (measured, untaxed), gift wrap 1.00 (untracked).
    """
    shop = CoreHarness()
    vat = {"std": (190_000_000, True), "low": (70_000_000, True), "added": (80_000_000, False)}
    answers = shop.batch(
        admin_pb2.PutSettingsRequest(
            settings=admin_pb2.Settings(currency="EUR", cash_increment_minor=cash_increment_minor)
        ),
        catalog_pb2.PutTaxClassesRequest(
            tax_classes=[
                catalog_pb2.TaxClass(
                    tax_class_id=name, taxes=[catalog_pb2.Tax(name=f"VAT {name}", rate_ppb=rate, inclusive=inside)]
                )
                for name, (rate, inside) in vat.items()
            ]
        ),
        catalog_pb2.PutLocationsRequest(
            locations=[
                catalog_pb2.Location(location_id="S1", name="High Street", till_shortfall_allowed=shortfall_allowed),
                catalog_pb2.Location(location_id="S2", name="Station"),
            ]
        ),
        catalog_pb2.PutTillsRequest(
            tills=[
                catalog_pb2.Till(till_id="T1", location_id="S1"),
                catalog_pb2.Till(till_id="T2", location_id="S1"),
                catalog_pb2.Till(till_id="T3", location_id="S2"),
            ]
        ),
        catalog_pb2.PutItemsRequest(
            items=[
                catalog_pb2.Item(item_id="milk", name="Milk 1 l", barcodes=["4006381333931"], tax_class_id="std"),
                catalog_pb2.Item(item_id="bread", name="Rye bread", barcodes=["4012345678901"], tax_class_id="low"),
                catalog_pb2.Item(item_id="lamp", name="Lamp", tax_class_id="added"),
                catalog_pb2.Item(item_id="cheese", name="Cheese", measured=True),
                catalog_pb2.Item(item_id="wrap", name="Gift wrap", untracked=True),
            ]
        ),
        catalog_pb2.PutPricesRequest(
            rows=[
                catalog_pb2.PriceRow(item_id="milk", price_minor=119),
                catalog_pb2.PriceRow(item_id="bread", price_minor=250),
                catalog_pb2.PriceRow(item_id="lamp", price_minor=1000),
                catalog_pb2.PriceRow(item_id="cheese", price_minor=1890),
                catalog_pb2.PriceRow(item_id="wrap", price_minor=100),
            ]
        ),
        stock_pb2.ReceiveStockRequest(
            location_id="S1",
            lines=[
                stock_pb2.StockLine(item_id=item, qty_milli=pieces * 1000)
                for item in ("milk", "bread", "lamp", "cheese")
            ],
        ),
    )
    assert all(answer.code == 1 for answer in answers), answers
    return shop

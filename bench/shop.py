"""A shop to measure with: items with prices, tax and stock, and requests as bytes, made before the clock runs.

Item codes, quantities and prices are chosen so that all sales have the same length on the wire: an
echo can then answer "the same bytes" without reading them.
"""

from __future__ import annotations

import itertools
import operator
import random
import struct
from collections.abc import Callable, Iterator

from google.protobuf.message import Message

from ringup.v1 import admin_pb2, catalog_pb2, pricing_pb2, sale_pb2, session_pb2, stock_pb2

LINES_PER_SALE = 10
TILLS = 16
LOCATION = "S1"
STOCK_MILLI = 10**12  # never runs out
CHUNK = 2000  # rows a command; stock commands take no more
SELL_PATH = "/ringup.v1.SaleService/Sell"
STATS_PATH = "/ringup.v1.AdminService/GetStats"
_KIND_BY_TYPE = {
    field.message_type.full_name: field.number
    for field in session_pb2.Command.DESCRIPTOR.fields
    if field.message_type is not None
}
_CODE_OK = b"\x08\x01"
_ID_PREFIX = b"\x0a\x10"  # command_id, 16 bytes


def varint(number: int) -> bytes:
    """A whole number as the wire has it."""
    out = bytearray()
    while number >= 0x80:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def field(number: int, body: bytes) -> bytes:
    """A length-delimited field."""
    return varint(number << 3 | 2) + varint(len(body)) + body


def item_id(index: int) -> str:
    """The code of item `index`, always 8 bytes."""
    return f"I{index:07}"


def price_minor(index: int) -> int:
    """The price of item `index`: 130 to 1,099, so that the total of ten lines always takes two bytes."""
    return 130 + index * 7919 % 970


class Ids:
    """Command ids that are never used twice in a run: 8 bytes of a seed, 8 of a counter."""

    def __init__(self, seed: int) -> None:
        self._prefix = _ID_PREFIX + random.Random(seed).randbytes(8)
        self._count = itertools.count()
        self._last = b""

    def field(self) -> bytes:
        """command_id as a field on the wire."""
        self._last = self._prefix + next(self._count).to_bytes(8, "big")
        return self._last

    @property
    def last(self) -> bytes:
        """The 16 bytes of the id that `field` gave last."""
        return self._last[2:]

    def fields(self, head: bytes) -> Iterator[bytes]:
        """Endless ids as `field` gives them, each with `head` in front; no Python runs for one."""
        prefix = head + self._prefix
        return map(struct.Struct(f">{len(prefix)}sQ").pack, itertools.repeat(prefix), self._count)


def setup_requests(items: int, *, stocked: bool = True) -> Iterator[Message]:
    """The commands that make the shop, in order; each still needs its id."""
    yield admin_pb2.PutSettingsRequest(settings=admin_pb2.Settings(currency="EUR"))
    vat = catalog_pb2.Tax(name="VAT 19%", rate_ppb=190_000_000, inclusive=True)
    yield catalog_pb2.PutTaxClassesRequest(tax_classes=[catalog_pb2.TaxClass(tax_class_id="std", taxes=[vat])])
    yield catalog_pb2.PutLocationsRequest(locations=[catalog_pb2.Location(location_id=LOCATION, name="High Street")])
    tills = [catalog_pb2.Till(till_id=f"T{number:02}", location_id=LOCATION) for number in range(TILLS)]
    yield catalog_pb2.PutTillsRequest(tills=tills)
    for start in range(0, items, CHUNK):
        chunk = range(start, min(items, start + CHUNK))
        yield catalog_pb2.PutItemsRequest(
            items=[catalog_pb2.Item(item_id=item_id(i), name=f"Article {i}", tax_class_id="std") for i in chunk]
        )
        yield catalog_pb2.PutPricesRequest(
            rows=[catalog_pb2.PriceRow(item_id=item_id(i), price_minor=price_minor(i)) for i in chunk]
        )
        if stocked:
            lines = [stock_pb2.StockLine(item_id=item_id(i), qty_milli=STOCK_MILLI) for i in chunk]
            yield stock_pb2.ReceiveStockRequest(location_id=LOCATION, lines=lines)


def command(request: Message, ids: Ids) -> bytes:
    """The bytes of a Command with a new id."""
    return field(_KIND_BY_TYPE[request.DESCRIPTOR.full_name], ids.field() + request.SerializeToString())


def session_request(commands: list[bytes]) -> bytes:
    """The bytes of a SessionRequest with these commands."""
    return b"".join([field(1, one) for one in commands])


def setup_batches(items: int, ids: Ids, *, stocked: bool = True) -> Iterator[bytes]:
    """The shop as SessionRequests."""
    for request in setup_requests(items, stocked=stocked):
        yield session_request([command(request, ids)])


def sale(indexes: list[int], till: int) -> sale_pb2.SellRequest:
    """One piece of each item, paid by card to the cent."""
    total = sum(price_minor(i) for i in indexes)
    return sale_pb2.SellRequest(
        till_id=f"T{till % TILLS:02}",
        channel_id="till",
        lines=[pricing_pb2.BasketLine(item_id=item_id(i), qty_milli=1000) for i in indexes],
        tenders=[sale_pb2.Tender(method=sale_pb2.TENDER_METHOD_CARD, amount_minor=total)],
        expected_total_minor=total,
    )


def hold(index: int) -> stock_pb2.HoldStockRequest:
    """One piece of an item, reserved for ten minutes."""
    lines = [stock_pb2.StockLine(item_id=item_id(index), qty_milli=1000)]
    return stock_pb2.HoldStockRequest(location_id=LOCATION, lines=lines, ttl_ms=600_000)


class Requests:
    """Endless requests as bytes: bodies made beforehand, each time with a new id in front."""

    def __init__(self, bodies: list[Message], ids: Ids) -> None:
        kind = _KIND_BY_TYPE[bodies[0].DESCRIPTOR.full_name]
        longest = max(len(body.SerializeToString()) for body in bodies) + 18
        assert all(len(body.SerializeToString()) + 18 == longest for body in bodies), "bodies of different lengths"
        self.body_bytes = longest
        head = varint(kind << 3 | 2) + varint(longest)
        serialized = itertools.cycle([body.SerializeToString() for body in bodies])
        # Iterators in C: what the load makes for each call counts as the client's time.
        self.body: Callable[[], bytes] = map(operator.concat, ids.fields(b""), serialized).__next__
        """The bytes of the next request message."""
        self.command: Callable[[], bytes] = map(operator.concat, ids.fields(head), serialized).__next__
        """The bytes of a Command that carries the next one."""


def sales(items: int, ids: Ids, *, lines: int = LINES_PER_SALE, seed: int = 1, different: int = 500) -> Requests:
    """Sales of `lines` different items each, chosen evenly."""
    choose = random.Random(seed)
    return Requests([sale(choose.sample(range(items), lines), number) for number in range(different)], ids)


def holds(choose: Callable[[], int], ids: Ids, *, different: int = 5000) -> Requests:
    """Reservations of one piece of one item each."""
    return Requests([hold(choose()) for _ in range(different)], ids)


def body_is_ok(body: bytes) -> bool:
    """Whether a response message says RESULT_CODE_OK.

    Looks for field 1 with value 1 where the engine writes it, at either end, because decoding every answer
    would measure the decoder.  Parts compare the engine's own counts with the answers as well.
    """
    return body.endswith(_CODE_OK) or body.startswith(_CODE_OK)


def is_ok(reply: bytes) -> bool:
    """The same for a CommandReply: one length-delimited field around the response."""
    return reply.endswith(_CODE_OK) or reply.startswith(_CODE_OK, 2) or reply.startswith(_CODE_OK, 3)

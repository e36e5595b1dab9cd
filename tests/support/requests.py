"""A request for every RPC, with every field set, for the small shop; and ways to spoil them."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from ringup.engine.contract import FILES, Method, methods
from ringup.v1 import admin_pb2, catalog_pb2, pricing_pb2, sale_pb2, stock_pb2
from support.core import cash, line

_CODES = {"item_id": "milk", "location_id": "S1", "till_id": "T1", "channel_id": "till"}
NASTY_INTS = (0, 1, -1, 999, 10**12, 10**12 + 1, 10**15, 2**31, 2**32 - 1, 2**53, 2**63 - 1, -(2**63))
NASTY_TEXTS = ("", " ", "milk", "S1", "T1", "std", "\x00", "ä" * 32, "x" * 64, "x" * 65, "x" * 201, "\U0001f6d2")


def method_of(name: str) -> Method:
    """The RPC of this name."""
    return next(method for method in methods() if method.name == name)


def message_type(name: str) -> type[Any]:
    """The class of a message of ringup.v1, by its short name."""
    descriptor = next(file.message_types_by_name[name] for file in FILES if name in file.message_types_by_name)
    return GetMessageClass(descriptor)


def samples() -> dict[str, Message]:
    """RPC name -> a request with every field set; commands have the id 16 times "i"."""
    found = {
        method.name: _filled(message_type(f"{method.name}Request")()) for method in methods() if not method.streams
    }
    return found | written_samples()


def _filled(message: Message, depth: int = 3) -> Message:
    """Set every field to something plausible, by its name."""
    for field in message.DESCRIPTOR.fields:
        value: Any
        if field.cpp_type == FieldDescriptor.CPPTYPE_MESSAGE:
            if depth == 0:
                continue
            value = _filled(GetMessageClass(field.message_type)(), depth - 1)
        elif field.type == FieldDescriptor.TYPE_STRING:
            value = _CODES.get(field.name.removesuffix("s"), "text")
        elif field.type == FieldDescriptor.TYPE_BYTES:
            value = b"i" * 16 if field.name == "command_id" else b"h" * 16
        elif field.type == FieldDescriptor.TYPE_BOOL:
            value = True
        elif field.name.endswith("_milli"):
            value = 1000
        else:
            value = 1
        if field.is_repeated:
            getattr(message, field.name).append(value)
        elif field.cpp_type == FieldDescriptor.CPPTYPE_MESSAGE:
            getattr(message, field.name).CopyFrom(value)
        else:
            setattr(message, field.name, value)
    return message


def written_samples() -> dict[str, Message]:
    """RPC name -> a request that the small shop answers OK after `prerequisites`; commands have the id 16 times "i"."""
    id_ = b"i" * 16
    stock_line = stock_pb2.StockLine(item_id="milk", qty_milli=1000)
    basket_line = pricing_pb2.BasketLine(
        item_id="milk",
        qty_milli=2000,
        price_override=pricing_pb2.PriceOverride(price_minor=100, base_qty_milli=1000, reason="torn pack"),
        discounts=[
            pricing_pb2.LineDiscount(amount_minor=10, reason="goodwill"),
            pricing_pb2.LineDiscount(rate_ppb=100_000_000, reason="staff"),
        ],
    )
    item = catalog_pb2.Item(
        item_id="tea",
        name="Tea",
        barcodes=["4000000000006"],
        categories=["food", "tea"],
        tax_class_id="low",
        measured=True,
        untracked=True,
    )
    price = catalog_pb2.PriceRow(
        item_id="milk",
        location_id="S1",
        channel_id="till",
        customer_group_id="staff",
        min_qty_milli=1000,
        price_minor=99,
        base_qty_milli=1000,
        from_ns=1,
        to_ns=10**18 * 5,
    )
    tax = catalog_pb2.Tax(name="VAT", rate_ppb=190_000_000, inclusive=True)
    return {
        "PutSettings": admin_pb2.PutSettingsRequest(
            command_id=id_,
            settings=admin_pb2.Settings(currency="EUR", cash_increment_minor=5, reply_retention_ms=86_400_000),
        ),
        "PutTaxClasses": catalog_pb2.PutTaxClassesRequest(
            command_id=id_, tax_classes=[catalog_pb2.TaxClass(tax_class_id="std", taxes=[tax])]
        ),
        "PutLocations": catalog_pb2.PutLocationsRequest(
            command_id=id_,
            locations=[catalog_pb2.Location(location_id="S9", name="New", till_shortfall_allowed=True)],
        ),
        "PutTills": catalog_pb2.PutTillsRequest(
            command_id=id_, tills=[catalog_pb2.Till(till_id="T9", location_id="S1")]
        ),
        "PutItems": catalog_pb2.PutItemsRequest(command_id=id_, items=[item]),
        "PutPrices": catalog_pb2.PutPricesRequest(command_id=id_, rows=[price]),
        "ReceiveStock": stock_pb2.ReceiveStockRequest(
            command_id=id_, location_id="S1", lines=[stock_line], reference="note 7"
        ),
        "AdjustStock": stock_pb2.AdjustStockRequest(
            command_id=id_, location_id="S1", lines=[stock_line], reason="found"
        ),
        "HoldStock": stock_pb2.HoldStockRequest(
            command_id=id_, hold_id=b"k" * 16, location_id="S1", lines=[stock_line], ttl_ms=60_000, owner="cart 1"
        ),
        "ExtendHold": stock_pb2.ExtendHoldRequest(command_id=id_, hold_id=b"h" * 16, ttl_ms=60_000),
        "ReleaseHold": stock_pb2.ReleaseHoldRequest(command_id=id_, hold_id=b"h" * 16),
        "CommitHold": stock_pb2.CommitHoldRequest(command_id=id_, hold_id=b"h" * 16),
        "Sell": sale_pb2.SellRequest(
            command_id=id_,
            till_id="T1",
            channel_id="till",
            customer_id="C1",
            customer_group_id="staff",
            lines=[basket_line],
            tenders=[sale_pb2.Tender(method=sale_pb2.TENDER_METHOD_CASH, amount_minor=10**6, reference="drawer")],
            hold_ids=[b"h" * 16],
        ),
        "ReturnLines": sale_pb2.ReturnLinesRequest(
            command_id=id_,
            till_id="T1",
            sale_id=b"s" * 16,
            lines=[sale_pb2.ReturnLine(line=0, qty_milli=1000, scrapped=True)],
            refund_method=sale_pb2.TENDER_METHOD_CARD,
            reason="too large",
        ),
        "GetItem": catalog_pb2.GetItemRequest(item_code="milk"),
        "SearchItems": catalog_pb2.SearchItemsRequest(text="i", page_size=2),
        "PriceBasket": pricing_pb2.PriceBasketRequest(
            location_id="S1", channel_id="till", customer_group_id="staff", lines=[basket_line], at_ns=10**18
        ),
        "GetHold": stock_pb2.GetHoldRequest(hold_id=b"h" * 16),
        "GetAvailability": stock_pb2.GetAvailabilityRequest(item_ids=["milk", "bread"], location_id="S1"),
        "GetReceipt": sale_pb2.GetReceiptRequest(sale_id=b"s" * 16, till_id="T1", number=1),
        "GetSettings": admin_pb2.GetSettingsRequest(),
        "GetStats": admin_pb2.GetStatsRequest(),
    }


def prerequisites() -> list[Message]:
    """Commands after which every sample is answered OK: the hold "h" and the sale "s"."""
    return [
        stock_pb2.HoldStockRequest(
            command_id=b"h" * 16, location_id="S1", lines=[stock_pb2.StockLine(item_id="milk", qty_milli=1000)]
        ),
        sale_pb2.SellRequest(command_id=b"s" * 16, till_id="T1", lines=[line("milk", 3)], tenders=[cash(10**6)]),
    ]


def string_fields(message: Message) -> Iterator[tuple[str, Message, FieldDescriptor]]:
    """(path, the message that holds it, field) of every string in a message and below that is set or could be."""
    for field in message.DESCRIPTOR.fields:
        if field.cpp_type == FieldDescriptor.CPPTYPE_MESSAGE:
            value = getattr(message, field.name)
            for inner in value if field.is_repeated else [value]:
                for path, holder, found in string_fields(inner):
                    yield f"{field.name}.{path}", holder, found
        elif field.type == FieldDescriptor.TYPE_STRING:
            yield field.name, message, field


def set_text(holder: Message, field: FieldDescriptor, text: str) -> None:
    """Put a text into a string field; a repeated one gets it as its only element."""
    if field.is_repeated:
        del getattr(holder, field.name)[:]
        getattr(holder, field.name).append(text)
    else:
        setattr(holder, field.name, text)


def mutated(data: bytes, rng: random.Random) -> bytes:
    """Bytes with one to four small faults: flips, cuts, copies, foreign bytes, other lengths."""
    out = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        at, kind = rng.randrange(len(out) + 1), rng.randrange(7)
        if kind == 0 and out:
            out[at % len(out)] ^= 1 << rng.randrange(8)
        elif kind == 1:
            del out[at:]
        elif kind == 2:
            out[at:at] = rng.randbytes(rng.randint(1, 8))
        elif kind == 3:
            out[at:at] = out[rng.randrange(len(out) + 1) :][: rng.randint(1, 40)]
        elif kind == 4:
            del out[at : at + rng.randint(1, 8)]
        elif kind == 5 and out:
            out[at % len(out)] = rng.choice((0, 1, 0x7F, 0x80, 0xFF))
        else:
            out[at:at] = b"\xff" * rng.choice((1, 9, 10, 11))
    return bytes(out)


def scrambled(message: Message, rng: random.Random) -> Message:
    """A message of the same type with some fields set to values that are on or over some edge."""
    copy = type(message)()
    copy.CopyFrom(message)
    _scramble(copy, rng)
    return copy


def _scramble(message: Message, rng: random.Random) -> None:
    for field in message.DESCRIPTOR.fields:
        if field.name == "command_id" or rng.random() < 0.5:
            continue
        if field.is_repeated:
            values = getattr(message, field.name)
            if rng.random() < 0.2:
                del values[:]
            elif values and rng.random() < 0.3:
                values.extend(list(itertools.repeat(values[0], rng.randint(1, 5))))
            for value in values if field.cpp_type == FieldDescriptor.CPPTYPE_MESSAGE else ():
                _scramble(value, rng)
        elif field.cpp_type == FieldDescriptor.CPPTYPE_MESSAGE:
            _scramble(getattr(message, field.name), rng)
        else:
            _set_scalar(message, field, rng)


def _set_scalar(message: Message, field: FieldDescriptor, rng: random.Random) -> None:
    value: Any
    if field.type == FieldDescriptor.TYPE_STRING:
        value = rng.choice(NASTY_TEXTS)
    elif field.type == FieldDescriptor.TYPE_BYTES:
        value = rng.choice((b"", b"h" * 16, b"s" * 16, rng.randbytes(16), b"x" * 15, b"x" * 17))
    elif field.type == FieldDescriptor.TYPE_BOOL:
        value = rng.random() < 0.5
    elif field.type == FieldDescriptor.TYPE_ENUM:
        value = rng.choice((0, 1, 5, 6, 2**31 - 1, -1))
    else:
        value = rng.choice(NASTY_INTS)
        low, high = {
            FieldDescriptor.TYPE_INT32: (-(2**31), 2**31 - 1),
            FieldDescriptor.TYPE_UINT32: (0, 2**32 - 1),
            FieldDescriptor.TYPE_UINT64: (0, 2**64 - 1),
        }.get(field.type, (-(2**63), 2**63 - 1))
        value = max(low, min(high, value))
    setattr(message, field.name, value)

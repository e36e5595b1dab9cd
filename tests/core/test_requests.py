"""Requests that no honest client writes: odd encodings, foreign fields, mutated bytes."""

from __future__ import annotations

import os
import random
from typing import Any

import pytest
from google.protobuf.message import Message

from ringup.native.core import Core, MalformedRequest
from ringup.v1 import catalog_pb2, result_pb2, sale_pb2, session_pb2, stock_pb2
from support.core import CoreHarness, card, command_of, line, small_shop

KIND = {field.name: field.number for field in session_pb2.Command.DESCRIPTOR.fields}


def _field(number: int, data: bytes, *, overlong: bool = False) -> bytes:
    """A field of bytes; `overlong` writes a length below 128 in two bytes, which protobuf allows."""
    size, length = len(data), b""
    if overlong:
        assert size < 128
        length = bytes([size | 0x80, 0])
    else:
        while size >= 0x80:
            length += bytes([size & 0x7F | 0x80])
            size >>= 7
        length += bytes([size])
    tag = number << 3 | 2
    return (bytes([tag]) if tag < 0x80 else bytes([tag & 0x7F | 0x80, tag >> 7])) + length + data


def _name(code: int) -> str:
    return result_pb2.ResultCode.Name(code).removeprefix("RESULT_CODE_")  # type: ignore[arg-type]


@pytest.mark.parametrize("first", [False, True])
@pytest.mark.parametrize("second", [False, True])
def test_a_barcode_is_on_one_item_however_its_length_is_written(first: bool, second: bool) -> None:
    """Two items of one command could share a barcode whose length was written in two bytes."""
    shop = small_shop()
    items = [
        _field(1, code) + _field(2, b"name") + _field(3, b"7777", overlong=overlong)
        for code, overlong in ((b"one", first), (b"two", second))
    ]
    body = _field(1, b"i" * 16) + b"".join(_field(2, item) for item in items)
    answer = shop.raw(_field(1, _field(KIND["put_items"], body))).replies[0].put_items
    assert _name(answer.code) == "BARCODE_TAKEN"
    found = shop.ask("GetItem", catalog_pb2.GetItemRequest(item_code="7777"), catalog_pb2.GetItemResponse)
    assert _name(found.code) == "ITEM_UNKNOWN"


def test_a_barcode_that_begins_as_another_is_another() -> None:
    shop = small_shop()
    answer = shop.send(
        catalog_pb2.PutItemsRequest(
            items=[
                catalog_pb2.Item(item_id=f"item{size}", name="x", barcodes=["1" * size, "2" * size])
                for size in range(1, 60)
            ]
        )
    )
    assert _name(answer.code) == "OK"


@pytest.mark.parametrize("kind", [1000, 1001, 1002])
def test_a_command_cannot_be_of_a_kind_that_only_answers_have(kind: int) -> None:
    """With an id that was used before it was answered as a conflict, in the shape of a rejection or of the
    journal's own reference to an earlier answer."""
    shop = small_shop()
    hold = stock_pb2.HoldStockRequest(
        command_id=b"h" * 16, location_id="S1", lines=[stock_pb2.StockLine(item_id="milk", qty_milli=1000)]
    )
    shop.send(hold)
    reply = shop.raw(_field(1, _field(kind, _field(1, b"h" * 16)))).replies[0]
    assert reply.WhichOneof("body") == "rejected"
    assert reply.rejected.message


@pytest.mark.parametrize("text", ["\x7f", "\x80", "\x9b", "\x9f", "\x1b", "\n"])
def test_control_characters_have_no_place_in_a_name(text: str) -> None:
    """DEL and the C1 controls passed: on a receipt printer or a terminal U+009B begins a command."""
    shop = small_shop()
    answer = shop.send(catalog_pb2.PutItemsRequest(items=[catalog_pb2.Item(item_id="i", name=f"a{text}b")]))
    assert (_name(answer.code), answer.problem.field) == ("FIELD_INVALID", "items.name")


@pytest.mark.parametrize("text", ["\u00a0", "\u00c2", "\u00e9", "\u0100", "\u20ac", "\U0001f9c0"])
def test_letters_beside_the_control_characters_are_letters(text: str) -> None:
    shop = small_shop()
    answer = shop.send(catalog_pb2.PutItemsRequest(items=[catalog_pb2.Item(item_id="i", name=f"a{text}b")]))
    assert _name(answer.code) == "OK"


def _samples(shop: CoreHarness) -> list[Message]:
    """One command of many kinds, each of which succeeds on the small shop."""
    sale = sale_pb2.SellRequest(till_id="T1", lines=[line("milk", 2), line("bread")], tenders=[card(488)])
    sold = shop.send(sale)
    assert sold.code == 1
    return [
        sale,
        sale_pb2.ReturnLinesRequest(
            till_id="T2", sale_id=sold.receipt.sale_id, lines=[sale_pb2.ReturnLine(line=0, qty_milli=1000)]
        ),
        catalog_pb2.PutItemsRequest(
            items=[
                catalog_pb2.Item(item_id="jam", name="Jam", barcodes=["5000", "5001"], categories=["food", "sweet"]),
                catalog_pb2.Item(item_id="milk", name="Milk", barcodes=["4006381333931"], tax_class_id="low"),
            ]
        ),
        catalog_pb2.PutPricesRequest(
            rows=[
                catalog_pb2.PriceRow(item_id="milk", location_id="S1", channel_id="web", price_minor=99, to_ns=10**18),
                catalog_pb2.PriceRow(item_id="bread", removed=True),
            ]
        ),
        catalog_pb2.PutTaxClassesRequest(
            tax_classes=[
                catalog_pb2.TaxClass(tax_class_id="low", taxes=[catalog_pb2.Tax(name="VAT", rate_ppb=50_000_000)])
            ]
        ),
        catalog_pb2.PutLocationsRequest(locations=[catalog_pb2.Location(location_id="S3", name="New")]),
        catalog_pb2.PutTillsRequest(tills=[catalog_pb2.Till(till_id="T4", location_id="S2")]),
        stock_pb2.ReceiveStockRequest(location_id="S2", lines=[stock_pb2.StockLine(item_id="milk", qty_milli=5000)]),
        stock_pb2.HoldStockRequest(
            location_id="S1", lines=[stock_pb2.StockLine(item_id="bread", qty_milli=2000)], ttl_ms=1000
        ),
    ]


def _mutated(data: bytes, rng: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(rng.randint(1, 3)):
        at = rng.randrange(len(changed))
        match rng.randrange(4):
            case 0:
                changed[at] = rng.randrange(256)
            case 1:
                changed[at] ^= 1 << rng.randrange(8)
            case 2:
                changed[at:at] = bytes(rng.choice((b"\xff" * 9 + b"\x01", b"\x80\x00", b"\x00", b"\x7f")))
            case _:
                del changed[at : at + rng.randint(1, 4)]
                changed += b"\x00" * (not changed)
    return bytes(changed)


def _from_checkpoint(core: Core) -> Core:
    """A core that was given the pages of `core`, as a start gives them."""
    other, counts, pages = Core(), core.row_counts(), core.checkpoint()
    for number, page, data in pages:
        table = other.tables[number]
        table.load_page(page, bytes(data), counts[table.name])
    pages.failed()  # all pages count as changed again: the next checkpoint has them all
    other.rebuild()
    return other


def test_mutated_commands_change_nothing_that_a_fold_does_not_change() -> None:
    """The core stays up, and a fold of the journal, and the pages of a checkpoint, give the same state and answers.

    RINGUP_MUTATIONS sets how many commands are tried (default 3,000).
    """
    rng = random.Random(7)
    shop = small_shop()
    samples = _samples(shop)
    accepted = 0
    for number in range(int(os.environ.get("RINGUP_MUTATIONS", "3000"))):
        sample: Any = rng.choice(samples)
        sample.command_id = (10**6 + number).to_bytes(16, "big")
        data = session_pb2.SessionRequest(commands=[command_of(sample)]).SerializeToString()
        request = data[:2] + _mutated(data[2:], rng) if rng.random() < 0.9 else _mutated(data, rng)
        shop.now_ns += rng.choice((0, 10**6, 10**9))
        shop.core.begin(shop.core.sequence + 1, shop.now_ns)
        try:
            replies, kept, _ = shop.core.apply(request)
        except MalformedRequest:
            request = replies = b""
        else:
            accepted += kept
            if not kept:
                request = replies = b""
        shop.core.end()
        shop.journal.append((shop.core.sequence, shop.core.now_ns, [request], [replies]))
    assert accepted > 100, "some mutations must be commands"
    loaded = _from_checkpoint(shop.core)
    assert shop.refold().digest() == loaded.digest() == shop.core.digest()
    for sample in _samples(small_shop())[2:]:
        sample.command_id = rng.randbytes(16)
        data = session_pb2.SessionRequest(commands=[command_of(sample)]).SerializeToString()
        answers = set()
        for core in (shop.core, loaded):
            core.begin(core.sequence + 1, shop.now_ns)
            answers.add(core.apply(data)[0])
            core.end()
        assert len(answers) == 1
    assert loaded.digest() == shop.core.digest()

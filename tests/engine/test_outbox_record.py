"""Events in the journal: part of the record and of its chain, compared by every fold, absent in older records."""

from __future__ import annotations

import hashlib
import struct
from pathlib import Path

import pytest

from ringup.engine.lmdb_store import LmdbJournal
from ringup.engine.record import GENESIS, HEADER_BYTES, DamagedRecord, Record, decode, encode, last_event_of
from ringup.engine.recovery import Answers, NotDeterministic, fold, recover
from ringup.native.core import Core
from ringup.v1 import stock_pb2
from support.core import CoreHarness, small_shop


def _shop() -> CoreHarness:
    shop = small_shop(pieces=20)
    for pieces in (1, 2):
        line = stock_pb2.StockLine(item_id="milk", qty_milli=pieces * 1000)
        assert shop.send(stock_pb2.SellStockRequest(location_id="S1", lines=[line])).code == 1
    return shop


def _old_record(sequence: int, now_ns: int, commands: bytes, replies: bytes, previous: bytes) -> tuple[bytes, bytes]:
    """A record as format 1 had it."""
    header = struct.pack(">4s16sQqQQ", b"RJ01", b"7/0123456789abcd", sequence, now_ns, len(commands), len(replies))
    body = header + previous + commands + replies
    digest = hashlib.sha256(body).digest()
    return body + digest, digest


def _records(shop: CoreHarness) -> list[Record]:
    found, digest = [], GENESIS
    for sequence, now_ns, commands, replies in shop.journal:
        events, last = shop.events[sequence]
        raw, digest = encode(sequence, now_ns, shop.core.layout(), commands, replies, digest, events, last)
        assert last_event_of(raw[:HEADER_BYTES]) == last
        found.append(decode(raw, sequence, None))
    return found


def test_a_record_brings_its_events_back_and_any_flipped_bit_in_them_breaks_it() -> None:
    raw, _ = encode(3, 5, "layout", [b"one"], [b"two"], GENESIS, b"three", 77)
    record = decode(raw, 3, GENESIS)
    assert (record.commands, record.replies, record.events, record.last_event) == (b"one", b"two", b"three", 77)
    for at in range(len(raw)):
        broken = bytearray(raw)
        broken[at] ^= 4
        with pytest.raises(DamagedRecord, match="record 3"):
            decode(bytes(broken), 3, GENESIS)
    for cut in range(len(raw)):
        with pytest.raises(DamagedRecord):
            decode(raw[:cut], 3, GENESIS)


def test_a_fold_compares_events_and_their_numbers() -> None:
    records = _records(_shop())
    for change in ({}, {"events": records[2].events[:-1] + b"\0"}, {"last_event": records[2].last_event + 1}):
        core = Core()
        fields = {name: getattr(records[2], name) for name in Record.__dataclass_fields__}
        fold(core, records[0], Answers())
        fold(core, records[1], Answers())
        changed = Record(**{**fields, **change})
        if not change:
            fold(core, changed, Answers())
            continue
        with pytest.raises(NotDeterministic, match="events"):
            fold(core, changed, Answers())


def test_records_of_before_events_stay_readable_and_numbers_begin_after_them(tmp_path: Path) -> None:
    shop = _shop()
    journal, digest = LmdbJournal(tmp_path), GENESIS
    journal.acquire()
    for sequence, now_ns, commands, replies in shop.journal:
        raw, digest = _old_record(sequence, now_ns, b"".join(commands), b"".join(replies), digest)
        assert decode(raw, sequence, None).events == b""
        assert last_event_of(raw[:HEADER_BYTES]) == 0
        journal.append(sequence, raw)
    recovered = recover(journal, None)
    assert recovered.core.event_sequence == 0
    shop.core, shop.journal, shop.events = recovered.core, [], {}
    line = stock_pb2.StockLine(item_id="milk", qty_milli=1000)
    assert shop.send(stock_pb2.SellStockRequest(location_id="S1", lines=[line])).code == 1
    (sequence, now_ns, commands, replies), (events, last) = shop.journal[0], shop.events[shop.core.sequence]
    assert last == 1
    raw, _ = encode(sequence, now_ns, shop.core.layout(), commands, replies, digest, events, last)
    journal.append(sequence, raw)
    again = recover(journal, None)
    assert again.core.event_sequence == 1
    assert again.core.digest() == recovered.core.digest()
    journal.close()


def test_a_record_of_another_layout_keeps_the_numbers_that_it_told() -> None:
    records, core = _records(_shop()), Core()
    for record in records:
        fields = {name: getattr(record, name) for name in Record.__dataclass_fields__}
        fold(
            core, Record(**{**fields, "layout": "of another version", "last_event": 1000 * record.sequence}), Answers()
        )
        assert core.event_sequence == 1000 * record.sequence

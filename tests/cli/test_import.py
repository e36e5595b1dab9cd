"""`ringup import`: all rows or none, every bad row named, and a broken import completed by running it again."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ringup.clients import Client
from ringup.engine import import_rows
from ringup.engine.import_rows import Known, UnreadableFile, read_items, read_prices, read_stock
from ringup.v1 import catalog_pb2
from support.data_directory import write_directory
from support.engine_process import EngineProcess

ROOT = Path(__file__).parents[2]


def write(path: Path, *lines: str) -> Path:
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EngineProcess]:
    """The small shop: locations S1 and S2, tax classes std, low and added, five items."""
    with EngineProcess(write_directory(tmp_path_factory.mktemp("import") / "book", sales=1).path) as process:
        yield process


def sequence(engine: EngineProcess) -> int:
    with Client(engine.target) as client:
        return client.get_stats().counters["sequence"]


def on_hand(engine: EngineProcess, item: str, location: str = "S2") -> int:
    with Client(engine.target) as client:
        return client.get_availability([item], location_id=location)[0].on_hand_milli


def test_items_prices_and_stock_in_one_run(ringup: Any, engine: EngineProcess, tmp_path: Path) -> None:
    items = write(
        tmp_path / "items.csv",
        "item_id;name;barcodes;tax_class_id;measured;categories",
        'tea;"Tea; green";4000000000017|4000000000024;std;;food|drinks',
        "rice;Rice;;low;yes;food",
    )
    prices = write(
        tmp_path / "prices.csv",
        "item_id,price_minor,location_id,from_ns,min_qty_milli",
        "tea,349,,,",
        "tea,299,S1,2026-11-27T00:00:00+01:00,5000",
        "rice,199,,,",
    )
    stock = write(
        tmp_path / "stock.csv", "location_id\titem_id\tqty_milli", "S2\ttea\t12000", "S2\trice\t1250", "S1\ttea\t3000"
    )
    arguments = ("import", "--items", items, "--prices", prices, "--stock", stock, "--to", engine.target, "--json")
    dry = ringup(*arguments, "--dry-run")
    assert dry.returncode == 0, dry.stderr
    done = ringup(*arguments)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {
        "imported": True, "rows": {"items": 2, "prices": 3, "stock": 3}, "commands": 4, "sent_before": 0,
    }  # fmt: skip
    with Client(engine.target) as client:
        found = client.call(catalog_pb2.GetItemRequest(item_code="4000000000024"))
    assert (found.item.item_id, found.item.name, found.item.tax_class_id) == ("tea", "Tea; green", "std")
    assert list(found.item.categories) == ["food", "drinks"]
    assert {(row.location_id, row.price_minor, row.from_ns) for row in found.price_rows} == {
        ("", 349, 0), ("S1", 299, 1_795_734_000_000_000_000),
    }  # fmt: skip
    assert (on_hand(engine, "tea"), on_hand(engine, "rice"), on_hand(engine, "tea", "S1")) == (12000, 1250, 3000)

    again = ringup(*arguments)
    assert again.returncode == 0
    assert json.loads(again.stdout)["sent_before"] == 2
    assert "were not booked again" in again.stderr
    assert on_hand(engine, "tea") == 12000, "the same delivery is received once"
    assert ringup(*arguments, "--reference", "second truck").returncode == 0
    assert on_hand(engine, "tea") == 24000


def test_an_items_own_rules_are_columns(tmp_path: Path) -> None:
    """Floor, deposit, unit and not_discountable; a wrong cell is named."""
    path = write(
        tmp_path / "items.csv",
        "item_id,name,min_price_minor,not_discountable,deposit_minor,uom,base_units_ppm",
        "cola,Cola,89,,25,case,6000000",
        "stamps,Stamps,,yes,,,",
        "bad,Bad,-1,perhaps,1000000000001,,0.5",
    )
    read = read_items(path, Known())
    assert [item for _, item in read.rows[:2]] == [
        catalog_pb2.Item(
            item_id="cola", name="Cola", min_price_minor=89, deposit_minor=25, uom="case", base_units_ppm=6_000_000
        ),
        catalog_pb2.Item(item_id="stamps", name="Stamps", not_discountable=True),
    ]
    assert [(bad.line, bad.column) for bad in read.bad] == [
        (4, "min_price_minor"), (4, "not_discountable"), (4, "deposit_minor"), (4, "base_units_ppm"),
    ]  # fmt: skip


def test_every_bad_row_is_named_and_nothing_goes_in(ringup: Any, engine: EngineProcess, tmp_path: Path) -> None:
    items = write(
        tmp_path / "items.csv",
        "item_id,name,barcodes,tax_class_id,measured",
        "good,Good,,std,",
        ",No code,,,",
        "x1,,,,",
        "x2,Name,4006381333931,,",  # the barcode of milk
        "x3,Name,,stt,",
        "good,Again,,,",
        "x4,Name,,,perhaps",
        '"x5","two',
        'lines",,none',
        "x6,Name,7|7,,",
        f"x7,{'n' * 201},,,",
    )
    prices = write(
        tmp_path / "prices.csv",
        "item_id,price_minor,location_id,to_ns,base_qty_milli",
        "good,1.99,,,",
        "nothing,5,,,",
        "good,-1,S9,,",
        "good,2,,yesterday-ish,",
        "good,3,S1,2026-11-27T00:00:00,",
        "good,,S2,,0x10",
    )
    stock = write(tmp_path / "stock.csv", "location_id,item_id,qty_milli", "S1,good,1500", "S3,good,1000", "S1,bad,0")
    before = sequence(engine)
    done = ringup("import", "--items", items, "--prices", prices, "--stock", stock, "--to", engine.target, "--json")
    assert done.returncode == 1
    expected = [
        ("items", 3, "item_id", "found nothing"),
        ("items", 4, "name", "found nothing"),
        ("items", 5, "barcodes", "belongs to item 'milk'"),
        ("items", 6, "tax_class_id", "no tax class 'stt'; did you mean 'std'?"),
        ("items", 7, "item_id", "'good' is on line 2, too"),
        ("items", 8, "measured", "expected true or false, found 'perhaps'"),
        ("items", 9, "row", "expected 5 cells, found 4"),
        ("items", 11, "barcodes", "'7' belongs to item 'x6'"),
        ("items", 12, "name", "expected at most 200 bytes, found 201"),
        ("prices", 2, "price_minor", "expected a whole number, found '1.99'"),
        ("prices", 3, "item_id", "has 'nothing'"),
        ("prices", 4, "price_minor", "found -1"),
        ("prices", 4, "location_id", "no location 'S9'"),
        ("prices", 5, "to_ns", "expected a time such as"),
        ("prices", 6, "to_ns", "with its zone"),
        ("prices", 7, "price_minor", "expected a whole number, found ''"),
        ("prices", 7, "base_qty_milli", "found '0x10'"),
        ("stock", 2, "qty_milli", "whole pieces"),
        ("stock", 3, "location_id", "no location 'S3'"),
        ("stock", 4, "item_id", "has 'bad'"),
        ("stock", 4, "qty_milli", "found 0"),
    ]
    found = json.loads(done.stdout)
    for name, line, column, reason in expected:
        hits = [
            one for one in found["bad"] if (Path(one["file"]).stem, one["line"], one["column"]) == (name, line, column)
        ]
        assert any(reason in one["reason"] for one in hits), (name, line, column, reason, hits)
        assert f"{name}.csv:{line}: {column}: " in done.stderr
    assert found["bad_count"] == len(found["bad"])
    assert {(Path(one["file"]).stem, one["line"]) for one in found["bad"]} == {
        (name, line) for name, line, _, _ in expected
    }
    assert sequence(engine) == before, "not one command was sent"


def test_columns_are_checked(ringup: Any, engine: EngineProcess, tmp_path: Path) -> None:
    file = write(tmp_path / "prices.csv", "item_id,price", "milk,1")
    done = ringup("import", "--prices", file, "--to", engine.target)
    assert done.returncode == 1
    assert "prices.csv:1: price: no column has this name; did you mean price_minor?" in done.stderr
    assert "prices.csv:1: price_minor: expected this column, found none" in done.stderr
    assert ringup("import", "--to", engine.target).returncode == 2
    missing = ringup("import", "--items", tmp_path / "none.csv", "--to", engine.target)
    assert missing.returncode == 1
    assert "No such file" in missing.stderr


def test_without_an_engine(ringup: Any, tmp_path: Path) -> None:
    file = write(tmp_path / "prices.csv", "item_id,price_minor", "milk,1")
    done = ringup("import", "--prices", file, "--to", "127.0.0.1:9")
    assert done.returncode == 69
    assert "127.0.0.1:9" in done.stderr


def test_parquet_is_the_same(ringup: Any, engine: EngineProcess, tmp_path: Path) -> None:
    polars = pytest.importorskip("polars", reason="Parquet needs the extra `import`")
    table = polars.DataFrame(
        {"item_id": ["p1", "p2"], "name": ["One", "Two"], "measured": [True, None], "barcodes": [["4000000000031"], []]}
    )
    table.write_parquet(tmp_path / "items.parquet")
    done = ringup("import", "--items", tmp_path / "items.parquet", "--to", engine.target)
    assert done.returncode == 0, done.stderr
    with Client(engine.target) as client:
        assert client.call(catalog_pb2.GetItemRequest(item_code="4000000000031")).item.measured
    polars.DataFrame({"item_id": ["p1", "p2"], "price_minor": [1.5, 2.0]}).write_parquet(tmp_path / "prices.parquet")
    done = ringup("import", "--prices", tmp_path / "prices.parquet", "--to", engine.target)
    assert done.returncode == 1
    assert "prices.parquet:1: price_minor: expected a whole number, found float 1.5" in done.stderr


def test_many_rows_go_in_as_several_commands(ringup: Any, engine: EngineProcess, tmp_path: Path) -> None:
    count = 12_000
    items = write(tmp_path / "items.csv", "item_id,name", *(f"m{n},Item number {n}" for n in range(count)))
    stock = write(tmp_path / "stock.csv", "location_id,item_id,qty_milli", *(f"S2,m{n},1000" for n in range(5000)))
    done = ringup("import", "--items", items, "--stock", stock, "--to", engine.target, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["commands"] == 2 + 3
    assert on_hand(engine, "m4999") == 1000


def test_a_refusal_in_the_middle_names_its_row_and_can_be_completed(
    ringup: Any, engine: EngineProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody takes a barcode between the check and the sending: what is in is not received twice afterwards."""
    from ringup.engine import commands_import

    stock = write(tmp_path / "stock.csv", "location_id,item_id,qty_milli", "S1,lamp,7000", "S2,lamp,9000")
    known = Known(measured={"lamp": False, "later": False}, locations={"S1", "S2"})
    read = read_stock(stock, known)
    commands = commands_import._commands({"stock": read}, "")
    with Client(engine.target) as client:
        before = client.get_availability(["lamp"], location_id="S1")[0].on_hand_milli
        broken = [commands[0], (type(commands[1][0])(), stock, [3])]
        broken[1][0].CopyFrom(commands[1][0])
        broken[1][0].lines[0].item_id = "later"
        broken[1][0].command_id = bytes(16)
        with pytest.raises(commands_import.typer.Exit):
            commands_import._send(client, broken, lambda done, total: None)
        assert client.get_availability(["lamp"], location_id="S1")[0].on_hand_milli == before + 7000
    assert ringup("import", "--stock", stock, "--to", engine.target).returncode == 0
    assert on_hand(engine, "lamp", "S1") == before + 7000
    assert on_hand(engine, "lamp", "S2") == 9000


def test_limits_are_those_of_the_core() -> None:
    text = (ROOT / "native" / "limits.pxd").read_text()
    for name in ("CODE_BYTES_MAX", "NAME_BYTES_MAX", "BARCODES_PER_ITEM_MAX", "CATEGORIES_PER_ITEM_MAX", "PUT_ROWS_MAX",
                 "LINES_MAX", "QTY_MILLI_MAX", "PRICE_MINOR_MAX", "TIME_NS_MAX"):  # fmt: skip
        match = re.search(rf"\b{name}\s*=?\s*(\d+)", text)
        assert match, name
        assert getattr(import_rows, name) == int(match[1]), name


CELL = st.text(max_size=12) | st.sampled_from(
    ["1", "-1", "S1", "tea", "true", "1e3", "٣", "2026-01-01", "9" * 30, "|", '"']
)


def test_price_rows_of_lists_rules_units_and_currencies(tmp_path: Path) -> None:
    known = Known(measured={"tea": False}, locations=set())
    header = "item_id,price_minor,list_id,currency,uom,rules,max_qty_milli,overrides_base"
    path = write(tmp_path / "prices.csv", header, "tea,90,b2b,USD,case,region=DE|company=acme| region=AT,9000,yes")
    rules = [
        catalog_pb2.PriceRule(key="company", values=["acme"]),
        catalog_pb2.PriceRule(key="region", values=["AT", "DE"]),
    ]
    assert [row for _, row in read_prices(path, known).rows] == [
        catalog_pb2.PriceRow(
            item_id="tea", price_minor=90, list_id="b2b", currency="USD", uom="case", rules=rules, max_qty_milli=9000,
            overrides_base=True,
        )
    ]  # fmt: skip
    lines = [
        "tea,1,,EUX,,",
        "tea,1,,,,region",
        "tea,1,,,,a=1|b=1",
        "tea,2,,,,b=1|a=1",
        f"tea,1,,,,{'|'.join(f'k{n}=v' for n in range(9))}",
    ]
    bad = read_prices(write(tmp_path / "bad.csv", header, *(f"{line},," for line in lines)), known).bad
    assert [(one.line, one.column) for one in bad] == [(2, "currency"), (3, "rules"), (5, "item_id"), (6, "rules")]
    assert "did you mean" in bad[0].reason


@settings(max_examples=150, deadline=None)
@given(rows=st.lists(st.lists(CELL, max_size=6), max_size=8), header=st.booleans())
def test_any_table_is_read_or_its_faults_are_named(
    tmp_path_factory: pytest.TempPathFactory, rows: list[list[str]], header: bool
) -> None:
    path = tmp_path_factory.getbasetemp() / "fuzz.csv"
    with open(path, "w", newline="", encoding="utf-8", errors="replace") as file:
        if header:
            file.write("item_id,name,barcodes,measured\n")
        csv.writer(file).writerows(rows)
    for read in (read_items, read_prices, read_stock):
        try:
            found = read(path, Known(measured={"tea": False}, locations={"S1"}))
        except UnreadableFile:
            continue
        for bad in found.bad:
            assert bad.line >= 1
            assert bad.reason


@settings(max_examples=150, deadline=None)
@given(data=st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    for suffix in (".csv", ".parquet"):
        path = tmp_path_factory.getbasetemp() / f"bytes{suffix}"
        path.write_bytes(data)
        try:
            found = read_items(path, Known())
        except UnreadableFile:
            continue
        assert found.bad or not found.rows or b"item_id" in data

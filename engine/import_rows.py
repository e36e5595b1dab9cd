"""Read items, prices and stock from files and check every row against what the engine knows.

A file's columns are the fields of the contract's messages (`Item`, `PriceRow`, `StockLine`).  Nothing
is sent from here: `read_items` and its like give messages and the list of all that is wrong.
"""

from __future__ import annotations

import csv
import datetime
import difflib
import hashlib
import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ringup.native.currency import known_currencies
from ringup.v1 import catalog_pb2, stock_pb2

# Those of native/limits.pxd; a test holds them to it.
PRICE_RULES_MAX, PRICE_VALUES_MAX = 8, 64  # of a row, as the core has them
CODE_BYTES_MAX = 64
NAME_BYTES_MAX = 200
BARCODES_PER_ITEM_MAX = 32
CATEGORIES_PER_ITEM_MAX = 16
PUT_ROWS_MAX = 10_000
LINES_MAX = 2_000
QTY_MILLI_MAX = 1_000_000_000_000
PRICE_MINOR_MAX = 1_000_000_000_000
TIME_NS_MAX = 9_000_000_000_000_000_000

_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
_TRUE, _FALSE = {"true", "yes", "1"}, {"false", "no", "0", ""}


@dataclass(frozen=True, slots=True)
class Bad:
    """One thing wrong with a file.  Lines count from 1 and a CSV's header is line 1; of Parquet they are rows."""

    file: str
    line: int
    column: str
    reason: str

    def __str__(self) -> str:
        return (
            f"{self.file}:{self.line}: {self.column}: {self.reason}" if self.column else f"{self.file}: {self.reason}"
        )


@dataclass(slots=True)
class Known:
    """What the engine has, and what the files add to it."""

    measured: dict[str, bool] = field(default_factory=dict)  # item: sold by weight or the like
    barcodes: dict[str, str] = field(default_factory=dict)  # barcode: item
    locations: set[str] = field(default_factory=set)
    tax_classes: set[str] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class Line:
    """A row of a file: its line and its cells by column; an empty cell is ""."""

    number: int
    cells: dict[str, Any]


class UnreadableFile(Exception):
    """A file that is no table at all."""


def read_lines(path: Path) -> tuple[list[str], Iterator[Line]]:
    """The columns and the rows of a .csv (UTF-8; comma, semicolon or tab) or .parquet file.

    Raises UnreadableFile, also while the rows are read.
    """
    try:
        if path.suffix.lower() in (".parquet", ".pq"):
            return _read_parquet(path)
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise UnreadableFile(f"{path}: expected a file to read, found: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UnreadableFile(f"{path}: expected text in UTF-8, found: {error}") from error
    rows = csv.reader(
        io.StringIO(text, newline=""), delimiter=max(",;\t", key=text.split("\n", 1)[0].count), strict=True
    )
    try:
        columns = [name.strip() for name in next(rows, [])]
    except csv.Error as error:
        raise UnreadableFile(f"{path}:1: expected a line of column names, found: {error}") from error

    def lines() -> Iterator[Line]:
        start = rows.line_num + 1
        try:
            for row in rows:
                if row:
                    # A cell may hold line breaks: the row is where it begins.
                    cells: dict[str, Any] = dict(zip(columns, row, strict=False))
                    yield Line(start, cells if len(row) == len(columns) else {"": row})
                start = rows.line_num + 1
        except csv.Error as error:
            raise UnreadableFile(f"{path}:{rows.line_num}: expected CSV, found: {error}") from error

    return columns, lines()


def _read_parquet(path: Path) -> tuple[list[str], Iterator[Line]]:
    try:
        import polars
    except ImportError as error:
        raise UnreadableFile(f"{path}: Parquet needs polars; pip install 'ringup[import]', or write CSV") from error
    try:
        table = polars.read_parquet(path)
    except (polars.exceptions.PolarsError, OSError) as error:
        raise UnreadableFile(f"{path}: expected Parquet, found: {error}") from error

    def lines() -> Iterator[Line]:
        for number, row in enumerate(table.iter_rows(named=True), 1):
            yield Line(number, {key: "" if value is None else value for key, value in row.items()})

    return table.columns, lines()


class Reader:
    """Takes the cells of one file's rows; collects what is wrong instead of stopping."""

    def __init__(self, path: Path, required: tuple[str, ...], optional: tuple[str, ...]) -> None:
        """Check the columns; `bad` has what is wrong with them."""
        self.path = path
        self.bad: list[Bad] = []
        self.columns, self._lines = read_lines(path)
        self._line: Line = Line(0, {})
        for name in self.columns:
            if name not in required + optional:
                near = difflib.get_close_matches(name, required + optional, 1, 0.4)
                meant = f"did you mean {near[0]}?" if near else f"known are {', '.join(required + optional)}"
                self.bad.append(Bad(str(path), 1, name or "(empty)", f"no column has this name; {meant}"))
        for name in sorted(set(self.columns)):
            if self.columns.count(name) > 1:
                self.bad.append(Bad(str(path), 1, name, "the column is there twice"))
        for name in required:
            if name not in self.columns:
                self.bad.append(Bad(str(path), 1, name, "expected this column, found none"))

    def rows(self) -> Iterator[Line]:
        """The rows that have a cell for each column; none where the columns are wrong."""
        if self.bad:
            return
        try:
            for line in self._lines:
                self._line = line
                if "" in line.cells:
                    found = len(line.cells[""])
                    self.fault("row", f"expected {len(self.columns)} cells, found {found}")
                    continue
                yield line
        except UnreadableFile as error:
            self.bad.append(Bad(str(self.path), self._line.number + 1, "", str(error)))

    def fault(self, column: str, reason: str) -> None:
        """Say what is wrong with the row at hand."""
        self.bad.append(Bad(str(self.path), self._line.number, column, reason))

    def text(self, column: str, bytes_max: int, *, required: bool = False) -> str:
        """A text without control characters."""
        value = self._line.cells.get(column, "")
        text = value if isinstance(value, str) else str(value)
        self._is_text(column, text, bytes_max, required=required)
        return text

    def _is_text(self, column: str, text: str, bytes_max: int, *, required: bool) -> bool:
        size = len(text.encode("utf-8", "surrogatepass"))
        if required and not text:
            self.fault(column, "expected a text, found nothing")
        elif size > bytes_max:
            self.fault(column, f"expected at most {bytes_max} bytes, found {size}")
        elif any(ord(letter) < 32 for letter in text):
            self.fault(column, f"expected no control characters, found {text!r}")
        else:
            return True
        return False

    def texts(self, column: str, count_max: int) -> list[str]:
        """Codes with | between them, or a list."""
        value = self._line.cells.get(column, "")
        codes = [one.strip() for one in value.split("|")] if isinstance(value, str) else [str(one) for one in value]
        codes = [code for code in codes if code]
        if len(codes) > count_max:
            self.fault(column, f"expected at most {count_max}, found {len(codes)}")
            return []
        return [code for code in codes if self._is_text(column, code, CODE_BYTES_MAX, required=True)]

    def flag(self, column: str) -> bool:
        """true, yes or 1; false, no, 0 or nothing."""
        value = str(self._line.cells.get(column, "")).strip().lower()
        if value not in _TRUE | _FALSE:
            self.fault(column, f"expected true or false, found {value!r}")
        return value in _TRUE

    def number(self, column: str, minimum: int, maximum: int, *, required: bool = False) -> int:
        """A whole number; never by way of a float."""
        value = self._line.cells.get(column, "")
        if isinstance(value, bool) or not isinstance(value, str | int):
            self.fault(column, f"expected a whole number, found {type(value).__name__} {value!r}")
            return minimum
        text = str(value).strip()
        if not text and not required:
            return 0
        try:
            number = int(text) if text.lstrip("-").isascii() and text.lstrip("-").isdigit() else None
        except ValueError:  # thousands of digits
            number = None
        if number is None:
            self.fault(column, f"expected a whole number, found {text[:40]!r}")
        elif not minimum <= number <= maximum:
            self.fault(column, f"expected {minimum:,} to {maximum:,}, found {number:,}")
        else:
            return number
        return minimum

    def time(self, column: str) -> int:
        """Nanoseconds since 1970 UTC, or a time in ISO 8601 with its zone; nothing is 0."""
        value = self._line.cells.get(column, "")
        if isinstance(value, str) and ("-" in value[1:] or ":" in value):
            try:
                value = datetime.datetime.fromisoformat(value.strip())
            except ValueError:
                self.fault(column, f"expected a time such as 2026-11-27T18:00:00+01:00, found {value!r}")
                return 0
        if isinstance(value, datetime.datetime):
            if value.tzinfo is None:
                self.fault(column, f"expected a time with its zone, such as +01:00, found {value.isoformat()}")
                return 0
            value = (value - _EPOCH) // datetime.timedelta(microseconds=1) * 1000
            if not 0 <= value <= TIME_NS_MAX:
                self.fault(column, "expected a time from 1970 to 2255")
                return 0
            return int(value)
        return self.number(column, 0, TIME_NS_MAX)


@dataclass(slots=True)
class Read:
    """What a file holds: (line, message) of every row, and what is wrong with it."""

    path: Path
    rows: list[tuple[int, Any]] = field(default_factory=list)
    bad: list[Bad] = field(default_factory=list)


def read_items(path: Path, known: Known) -> Read:
    """Items of a file; what it adds is put into `known`."""
    rules = ("min_price_minor", "not_discountable", "deposit_minor", "uom", "base_units_ppm")
    optional = ("barcodes", "categories", "tax_class_id", "measured", "untracked", *rules)
    reader = Reader(path, ("item_id", "name"), optional)
    read = Read(path, bad=reader.bad)
    lines: dict[str, int] = {}
    owners: dict[str, str] = {}
    for line in reader.rows():
        item = catalog_pb2.Item(
            item_id=reader.text("item_id", CODE_BYTES_MAX, required=True),
            name=reader.text("name", NAME_BYTES_MAX, required=True),
            barcodes=reader.texts("barcodes", BARCODES_PER_ITEM_MAX),
            categories=reader.texts("categories", CATEGORIES_PER_ITEM_MAX),
            tax_class_id=reader.text("tax_class_id", CODE_BYTES_MAX),
            measured=reader.flag("measured"),
            untracked=reader.flag("untracked"),
            min_price_minor=reader.number("min_price_minor", 0, PRICE_MINOR_MAX),
            not_discountable=reader.flag("not_discountable"),
            deposit_minor=reader.number("deposit_minor", 0, PRICE_MINOR_MAX),
            uom=reader.text("uom", CODE_BYTES_MAX),
            base_units_ppm=reader.number("base_units_ppm", 0, QTY_MILLI_MAX),
        )
        if item.item_id in lines:
            reader.fault("item_id", f"{item.item_id!r} is on line {lines[item.item_id]}, too")
        if item.tax_class_id and item.tax_class_id not in known.tax_classes:
            reader.fault(
                "tax_class_id",
                f"the engine knows no tax class {item.tax_class_id!r}{_near(item.tax_class_id, known.tax_classes)}",
            )
        for barcode in item.barcodes:
            owner = owners.get(barcode) or known.barcodes.get(barcode, item.item_id)
            if owner != item.item_id or list(item.barcodes).count(barcode) > 1:
                reader.fault("barcodes", f"{barcode!r} belongs to item {owner!r}")
            owners[barcode] = item.item_id
        lines[item.item_id] = line.number
        read.rows.append((line.number, item))
    for _, item in read.rows:
        known.measured[item.item_id] = item.measured
    known.barcodes.update(owners)
    return read


def _rules(reader: Reader) -> list[catalog_pb2.PriceRule]:
    """The rules of a price row: region=AT|region=DE|company=acme is a region that is one of two, and a company."""
    found: dict[str, list[str]] = {}
    for text in reader.texts("rules", PRICE_VALUES_MAX):
        key, equals, value = (part.strip() for part in text.partition("="))
        if not (key and equals and value):
            reader.fault("rules", f"expected key=value with | between them, found {text!r}")
        elif value not in found.setdefault(key, []):
            found[key].append(value)
    if len(found) > PRICE_RULES_MAX:
        reader.fault("rules", f"expected at most {PRICE_RULES_MAX} keys, found {len(found)}")
    return [catalog_pb2.PriceRule(key=key, values=sorted(found[key])) for key in sorted(found)]


def read_prices(path: Path, known: Known) -> Read:
    """Price-book rows of a file."""
    rules = ("location_id", "channel_id", "customer_group_id", "min_qty_milli", "from_ns", "to_ns")
    further = ("max_qty_milli", "overrides_base", "list_id", "currency", "uom", "rules")
    reader = Reader(path, ("item_id", "price_minor"), (*rules, *further, "base_qty_milli", "removed"))
    currencies = set(known_currencies())
    read = Read(path, bad=reader.bad)
    lines: dict[bytes, int] = {}
    for line in reader.rows():
        row = catalog_pb2.PriceRow(
            item_id=reader.text("item_id", CODE_BYTES_MAX, required=True),
            location_id=reader.text("location_id", CODE_BYTES_MAX),
            channel_id=reader.text("channel_id", CODE_BYTES_MAX),
            customer_group_id=reader.text("customer_group_id", CODE_BYTES_MAX),
            min_qty_milli=reader.number("min_qty_milli", 0, QTY_MILLI_MAX),
            price_minor=reader.number("price_minor", 0, PRICE_MINOR_MAX, required=True),
            base_qty_milli=reader.number("base_qty_milli", 0, QTY_MILLI_MAX),
            from_ns=reader.time("from_ns"),
            to_ns=reader.time("to_ns"),
            removed=reader.flag("removed"),
            max_qty_milli=reader.number("max_qty_milli", 0, QTY_MILLI_MAX),
            overrides_base=reader.flag("overrides_base"),
            list_id=reader.text("list_id", CODE_BYTES_MAX),
            currency=reader.text("currency", CODE_BYTES_MAX),
            uom=reader.text("uom", CODE_BYTES_MAX),
            rules=_rules(reader),
        )
        if row.currency and row.currency not in currencies:
            reader.fault("currency", f"{row.currency!r} is no code of ISO 4217{_near(row.currency, currencies)}")
        if row.max_qty_milli and row.max_qty_milli < row.min_qty_milli:
            reader.fault("max_qty_milli", "expected at least min_qty_milli")
        if row.item_id and row.item_id not in known.measured:
            reader.fault("item_id", f"neither the engine nor the file of items has {row.item_id!r}")
        if row.location_id and row.location_id not in known.locations:
            reader.fault(
                "location_id",
                f"the engine knows no location {row.location_id!r}{_near(row.location_id, known.locations)}",
            )
        if row.to_ns and row.to_ns <= row.from_ns:
            reader.fault("to_ns", "expected a time after from_ns")
        same = catalog_pb2.PriceRow()
        same.CopyFrom(row)
        for name in ("price_minor", "base_qty_milli", "to_ns", "max_qty_milli", "removed"):
            same.ClearField(name)
        key = same.SerializeToString(deterministic=True)
        if key in lines:
            reader.fault(
                "item_id", f"the same item, rules, unit, list, min_qty_milli and from_ns are on line {lines[key]}, too"
            )
        lines[key] = line.number
        read.rows.append((line.number, row))
    return read


def read_stock(path: Path, known: Known) -> Read:
    """(location, StockLine) of every row of goods received."""
    reader = Reader(path, ("location_id", "item_id", "qty_milli"), ())
    read = Read(path, bad=reader.bad)
    for line in reader.rows():
        location = reader.text("location_id", CODE_BYTES_MAX, required=True)
        item = reader.text("item_id", CODE_BYTES_MAX, required=True)
        faults = len(reader.bad)
        qty_milli = reader.number("qty_milli", 1, QTY_MILLI_MAX, required=True)
        is_number = len(reader.bad) == faults
        if location and location not in known.locations:
            reader.fault("location_id", f"the engine knows no location {location!r}{_near(location, known.locations)}")
        code = item if item in known.measured else known.barcodes.get(item, "")
        if item and not code:
            reader.fault("item_id", f"neither the engine nor the file of items has {item!r}")
        elif code and is_number and not known.measured[code] and qty_milli % 1000:
            reader.fault("qty_milli", f"expected whole pieces (thousands), found {qty_milli:,}")
        read.rows.append((line.number, (location, stock_pb2.StockLine(item_id=item, qty_milli=qty_milli))))
    return read


def _near(name: str, known: set[str]) -> str:
    near = difflib.get_close_matches(name, known, 1)
    return f"; did you mean {near[0]!r}?" if near else ""


CHUNK_BYTES_MAX = 2 << 20  # well below what the engine takes in one message


def chunks(rows: list[tuple[int, Any]], rows_max: int, size: Callable[[Any], int]) -> Iterator[list[tuple[int, Any]]]:
    """Rows in their order, in commands that the engine takes."""
    chunk: list[tuple[int, Any]] = []
    chunk_bytes = 0
    for row in rows:
        row_bytes = size(row[1]) + 8
        if chunk and (len(chunk) == rows_max or chunk_bytes + row_bytes > CHUNK_BYTES_MAX):
            yield chunk
            chunk, chunk_bytes = [], 0
        chunk.append(row)
        chunk_bytes += row_bytes
    if chunk:
        yield chunk


def stock_bytes(read: Read) -> bytes:
    """The rows of a file of stock, without what does not matter (spaces, the order of columns)."""
    return b"".join(
        b"%d:%b%b" % (len(location.encode()), location.encode(), row.SerializeToString(deterministic=True))
        for _, (location, row) in read.rows
    )


def receipt_id(contents: bytes, reference: str, number: int) -> bytes:
    """The command id of chunk `number` of a file of stock: the same rows and reference give the same ids."""
    head = f"ringup import stock\n{len(reference)}\n{reference}\n{number}\n".encode()
    return hashlib.sha256(head + contents).digest()[:16]

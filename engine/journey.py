"""A real year of groceries as items, prices, stock and baskets, to drive an engine with.

The source is The Complete Journey (see journey_data).  This is data preparation: it knows neither the
wire nor the engine, and its numbers are int64 cents, milli-units (1 piece = 1000; fuel: 1000 = 1 gallon)
and UTC nanoseconds.  What a line of the data became is its representation; every line of the data is
either a line to sell, or named in its basket's not_sold with the reason.  Nothing is dropped in silence.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import groupby
from operator import attrgetter
from typing import NamedTuple

from .journey_data import (
    FIRST_WEEK,
    LAST_WEEK,
    STORE_TIME_ZONE,
    JourneyDataMissing,
    measured_products,
    products,
    transactions,
    week_bounds_ns,
)
from .journey_prices import (
    ALL_LOCATIONS,
    ALWAYS_FROM_NS,
    BOOK_ITEM,
    BOOK_NONE,
    BOOK_STORE,
    BOOK_WEEK,
    NO_END_NS,
    PIECE_MILLI,
    PriceRow,
    find_row,
    fit,
    line_amount_minor,
)

__all__ = [
    "ALL_LOCATIONS",
    "ALWAYS_FROM_NS",
    "FIRST_WEEK",
    "LAST_WEEK",
    "NO_END_NS",
    "PIECE_MILLI",
    "REASON_COUPON_MATCH",
    "REASON_LOYALTY",
    "REASON_SHELF_PRICE",
    "STORE_TIME_ZONE",
    "Basket",
    "Item",
    "JourneyDataMissing",
    "Line",
    "NotSold",
    "PriceRow",
    "Representation",
    "Summary",
    "UnsoldReason",
    "build_price_rows",
    "expected_line_minor",
    "find_row",
    "hot_items",
    "line_amount_minor",
    "load_baskets",
    "load_items",
    "opening_stock",
    "summary",
    "week_bounds_ns",
]

REASON_LOYALTY = "LOYALTY"
REASON_COUPON_MATCH = "COUPON_MATCH"
REASON_SHELF_PRICE = "SHELF_PRICE"

# A GTIN-13 that begins with 20 to 29 is a number of restricted circulation, for a retailer's own use (GS1 General
# Specifications, section 1.4, GS1 prefixes): the data carry product numbers, not the makers' barcodes.
OWN_PREFIX_PRODUCT, OWN_PREFIX_DEPARTMENT_KEY = "20", "21"
UNLISTED_DEPARTMENT = "UNLISTED"
# What these departments sell has no stock: coupons, donations, postage, tickets, store supplies.
DEPARTMENTS_WITHOUT_STOCK = frozenset(
    {
        "COUPON",
        "CHARITABLE CONT",
        "CNTRL/STORE SUP",
        "GM MERCH EXP",
        "PHOTO & VIDEO",
        "POSTAL CENTER",
        "TRAVEL & LEISURE",
    }
)


class Representation(StrEnum):
    """How a line of the data is sold.  The names are keys in the run's summary."""

    BOOK_ITEM = "price_book_item"  # the item's one price
    BOOK_WEEK = "price_book_week"  # the item's price of the week at all stores
    BOOK_STORE = "price_book_store"  # the store's own price of the week, charged on two lines or more
    BOOK_STORE_SINGLE = "price_book_store_single"  # the same, known from this line alone
    MEASURED = "measured"  # by the measure, from the pump's price
    MEASURED_OVERRIDE = "measured_override"  # by the measure, at no pump price: price override
    LABEL = "label_price"  # weighed or cut in the store, priced by its label: price override
    OVERRIDE = "price_override"  # another price than its store asked from others in the week
    FREE = "free"  # goods that the shelf asked nothing for: price override of zero
    OPEN_PRICE = "open_price"  # money without a quantity: one piece of the department's open key, no stock


BY_BOOK = frozenset(
    {
        Representation.BOOK_ITEM,
        Representation.BOOK_WEEK,
        Representation.BOOK_STORE,
        Representation.BOOK_STORE_SINGLE,
        Representation.MEASURED,
    }
)


class UnsoldReason(StrEnum):
    """Why a line of the data is not a line to sell."""

    COUPON_ONLY = "coupon_only"  # no goods and no sales value: a manufacturer's coupon, booked as a tender
    NOTHING = "no_quantity_no_money"  # no goods, no value, no coupon: nothing happened that could be booked


@dataclass(frozen=True, slots=True)
class Item:
    """A product, or a department's open key.  barcode is a GTIN-13 of the store's own range."""

    item_id: int
    name: str
    categories: tuple[str, ...]  # department, category, type; unknown ones are left out
    brand: str
    package_size: str
    barcode: str
    measured: bool
    stocked: bool


@dataclass(frozen=True, slots=True)
class Line:
    """A line to sell.  The total is the book's amount, or the override's, less the discounts: expected_minor."""

    item_id: int  # product_id, except at OPEN_PRICE: the department's key
    product_id: int  # as in the data
    qty_milli: int
    representation: Representation
    override_unit: tuple[int, int] | None  # price_minor, base_qty_milli; reason REASON_SHELF_PRICE
    discounts: tuple[tuple[str, int], ...]  # reason, amount_minor > 0
    expected_minor: int  # sales_value
    marker_minor: int  # retail_disc that marks a card at the pump and is no money


@dataclass(frozen=True, slots=True)
class NotSold:
    """A line of the data that is no line to sell.  coupon_minor is in the basket's coupon tender."""

    product_id: int
    reason: UnsoldReason
    coupon_minor: int


@dataclass(frozen=True, slots=True)
class Basket:
    """A basket.  With no lines there is nothing to sell, and not_sold says why.

    The shopper hands over manufacturers' coupons worth tenders_coupon_minor, and money for the rest of
    expected_total_minor.  Coupons beyond the total are coupon_excess_minor and no tender.
    """

    basket_id: int
    location_id: int
    household_id: int
    sold_at_ns: int
    lines: tuple[Line, ...]
    not_sold: tuple[NotSold, ...]
    tenders_coupon_minor: int
    coupon_excess_minor: int
    expected_total_minor: int


@dataclass(frozen=True, slots=True)
class Summary:
    """Counts of the data's lines and sums of money; representation and not_sold together are the source_lines."""

    baskets: int
    baskets_without_lines: int
    source_lines: int
    lines: int
    representation: dict[str, int]
    not_sold: dict[str, int]
    expected_total_minor: int
    loyalty_minor: int
    coupon_match_minor: int
    coupon_tender_minor: int
    coupon_excess_minor: int
    marker_minor: int


def gtin13(prefix: str, number: int) -> str:
    """Return prefix and number, zero-filled to twelve digits, with GTIN-13's check digit."""
    body = prefix + str(number).zfill(12 - len(prefix))
    if len(body) != 12 or not body.isascii() or not body.isdigit():
        raise ValueError(f"expected a number of at most {12 - len(prefix)} digits, found {number}")
    weighted = sum(int(digit) * (3 if index % 2 else 1) for index, digit in enumerate(body))
    return body + str(-weighted % 10)


def department_keys() -> dict[str, int]:
    """Return the item id of each department's open key: 1, 2, ... by name; real product ids begin above 25,000."""
    departments = sorted({*products()["department"].to_list(), UNLISTED_DEPARTMENT})
    return {department: index for index, department in enumerate(departments, start=1)}


def load_items() -> list[Item]:
    """Return the 92,331 products of the list, the 17 that only the sales name, and the departments' open keys."""
    import polars as pl

    measured = measured_products()
    items = [
        Item(
            item_id=key_id,
            name=f"{department} (open price)",
            categories=(department,),
            brand="",
            package_size="",
            barcode=gtin13(OWN_PREFIX_DEPARTMENT_KEY, key_id),
            measured=False,
            stocked=False,
        )
        for department, key_id in department_keys().items()
    ]
    columns = ("product_id", "department", "product_category", "product_type", "brand", "package_size")
    for item_id, department, category, kind, brand, size in products().select(columns).iter_rows():
        name = " ".join(part for part in (kind or category or f"{department} {item_id}", size) if part)
        items.append(
            Item(
                item_id,
                name,
                tuple(part for part in (department, category, kind) if part),
                brand or "",
                size or "",
                gtin13(OWN_PREFIX_PRODUCT, item_id),
                item_id in measured,
                department not in DEPARTMENTS_WITHOUT_STOCK,
            )
        )
    unlisted = transactions(FIRST_WEEK, LAST_WEEK).join(products(), on="product_id", how="anti")
    sold = unlisted.group_by("product_id").agg(pl.col("quantity").sum()).sort("product_id")
    items.extend(
        Item(
            item_id,
            f"Unlisted product {item_id}",
            (UNLISTED_DEPARTMENT,),
            "",
            "",
            gtin13(OWN_PREFIX_PRODUCT, item_id),
            False,
            quantity > 0,  # the others are coupons' own numbers
        )
        for item_id, quantity in sold.iter_rows()
    )
    return items


def build_price_rows(first_week: int, last_week: int) -> list[PriceRow]:
    """Return the book that explains the weeks: items of the whole year, weeks and stores of the range only."""
    return list(fit(first_week, last_week).rows)


def load_baskets(first_week: int, last_week: int) -> list[Basket]:
    """Return the weeks' baskets by time.  Lines keep the order of the file."""
    import polars as pl

    keys = department_keys()
    departments = products().select("product_id", "department")
    lines = fit(first_week, last_week).lines.join(departments, on="product_id", how="left", maintain_order="left")
    lines = lines.with_columns(
        key_id=pl.col("department").fill_null(UNLISTED_DEPARTMENT).replace_strict(keys, return_dtype=pl.Int64)
    )
    rows = map(SourceLine._make, lines.select(SourceLine._fields).iter_rows())
    return [_basket(list(group)) for _, group in groupby(rows, key=attrgetter("basket_id"))]


class SourceLine(NamedTuple):
    """A line of the data with what the fit says of it."""

    basket_id: int
    store_id: int
    household_id: int
    sold_at_ns: int
    product_id: int
    key_id: int
    quantity: int
    qty_milli: int
    shelf_minor: int
    sales_minor: int
    loyalty_minor: int
    match_minor: int
    coupon_minor: int
    marker_minor: int
    book: int
    support_count: int
    measured: bool
    labelled: bool


def _representation(source: SourceLine) -> Representation:
    if source.quantity == 0:
        return Representation.OPEN_PRICE
    if source.shelf_minor == 0:
        return Representation.FREE
    if source.measured:
        return Representation.MEASURED_OVERRIDE if source.book == BOOK_NONE else Representation.MEASURED
    if source.book == BOOK_ITEM:
        return Representation.BOOK_ITEM
    if source.book == BOOK_WEEK:
        return Representation.BOOK_WEEK
    if source.book == BOOK_STORE:
        return Representation.BOOK_STORE if source.support_count > 1 else Representation.BOOK_STORE_SINGLE
    return Representation.LABEL if source.labelled else Representation.OVERRIDE


def _line(source: SourceLine) -> Line:
    representation = _representation(source)
    open_price = representation is Representation.OPEN_PRICE
    qty_milli = PIECE_MILLI if open_price else source.qty_milli
    discounts = (
        (REASON_LOYALTY, source.loyalty_minor - source.marker_minor),
        (REASON_COUPON_MATCH, source.match_minor),
    )
    return Line(
        item_id=source.key_id if open_price else source.product_id,
        product_id=source.product_id,
        qty_milli=qty_milli,
        representation=representation,
        # The whole line's value per the whole line's quantity is exact for every line.
        override_unit=None if representation in BY_BOOK else (source.shelf_minor, qty_milli),
        discounts=tuple((reason, amount_minor) for reason, amount_minor in discounts if amount_minor),
        expected_minor=source.sales_minor,
        marker_minor=source.marker_minor,
    )


def _basket(sources: Sequence[SourceLine]) -> Basket:
    lines: list[Line] = []
    not_sold: list[NotSold] = []
    for source in sources:
        if source.quantity or source.shelf_minor:
            lines.append(_line(source))
        else:
            reason = UnsoldReason.COUPON_ONLY if source.coupon_minor else UnsoldReason.NOTHING
            not_sold.append(NotSold(source.product_id, reason, source.coupon_minor))
    first = sources[0]
    total_minor = sum(line.expected_minor for line in lines)
    coupon_minor = sum(source.coupon_minor for source in sources)
    return Basket(
        basket_id=first.basket_id,
        location_id=first.store_id,
        household_id=first.household_id,
        sold_at_ns=first.sold_at_ns,
        lines=tuple(lines),
        not_sold=tuple(not_sold),
        tenders_coupon_minor=min(coupon_minor, total_minor),
        coupon_excess_minor=max(coupon_minor - total_minor, 0),
        expected_total_minor=total_minor,
    )


def expected_line_minor(line: Line, row: PriceRow | None) -> int:
    """Return the line's total from its override or else from row, less the discounts.  Plain Python: the check.

    row is what find_row says for the line; None where a line has an override.
    """
    if line.override_unit is not None:
        price_minor, base_qty_milli = line.override_unit
    elif row is not None:
        price_minor, base_qty_milli = row.price_minor, row.base_qty_milli
    else:
        raise ValueError(f"expected a price row or an override for item {line.item_id}, found neither: load the book")
    amount_minor = line_amount_minor(line.qty_milli, price_minor, base_qty_milli)
    return amount_minor - sum(discount_minor for _, discount_minor in line.discounts)


def _sold_qty_milli(baskets: Iterable[Basket]) -> Counter[tuple[int, int]]:
    sold: Counter[tuple[int, int]] = Counter()
    for basket in baskets:
        for line in basket.lines:
            sold[line.item_id, basket.location_id] += line.qty_milli
    return sold


def hot_items(baskets: Iterable[Basket], items: Iterable[Item], count: int) -> list[int]:
    """Return the count stocked items by the piece that sell most, over all locations; ties by item id."""
    eligible = {item.item_id for item in items if item.stocked and not item.measured}
    sold: Counter[int] = Counter()
    for (item_id, _), qty_milli in _sold_qty_milli(baskets).items():
        if item_id in eligible:
            sold[item_id] += qty_milli
    return sorted(sold, key=lambda item_id: (-sold[item_id], item_id))[:count]


def opening_stock(
    baskets: Iterable[Basket],
    items: Iterable[Item],
    *,
    cover_percent: int = 120,
    spare_milli: int = 2 * PIECE_MILLI,
    scarce_percent: Mapping[int, int] | None = None,
) -> dict[tuple[int, int], int]:
    """Return qty_milli per (item_id, location_id) for the stocked items that the baskets sell.

    What is sold, times cover_percent, plus spare_milli, so that sales succeed while other orders hold some.
    scarce_percent names items that shall run out: their percent of what is sold, and no spare.  Goods by the
    piece get whole pieces, rounded up.
    """
    if cover_percent < 0 or spare_milli < 0 or any(percent < 0 for percent in (scarce_percent or {}).values()):
        raise ValueError("expected a cover and a spare of zero or more, found a negative one")
    by_id = {item.item_id: item for item in items}
    scarce = scarce_percent or {}
    stock: dict[tuple[int, int], int] = {}
    for (item_id, location_id), sold_milli in sorted(_sold_qty_milli(baskets).items()):
        item = by_id[item_id]
        if not item.stocked:
            continue
        percent, spare = (scarce[item_id], 0) if item_id in scarce else (cover_percent, spare_milli)
        step = 1 if item.measured else PIECE_MILLI
        stock[item_id, location_id] = -(-(sold_milli * percent + spare * 100) // (100 * step)) * step
    return stock


def summary(baskets: Iterable[Basket]) -> Summary:
    """Count how the baskets' lines are represented, and sum their money."""
    represented: Counter[str] = Counter({kind.value: 0 for kind in Representation})
    unsold: Counter[str] = Counter({reason.value: 0 for reason in UnsoldReason})
    money: Counter[str] = Counter()
    count = empty = 0
    for basket in baskets:
        count += 1
        empty += not basket.lines
        money["total"] += basket.expected_total_minor
        money["tender"] += basket.tenders_coupon_minor
        money["excess"] += basket.coupon_excess_minor
        unsold.update(line.reason.value for line in basket.not_sold)
        for line in basket.lines:
            represented[line.representation.value] += 1
            money["marker"] += line.marker_minor
            for reason, amount_minor in line.discounts:
                money[reason] += amount_minor
    lines = represented.total()
    return Summary(
        baskets=count,
        baskets_without_lines=empty,
        source_lines=lines + unsold.total(),
        lines=lines,
        representation=dict(represented),
        not_sold=dict(unsold),
        expected_total_minor=money["total"],
        loyalty_minor=money[REASON_LOYALTY],
        coupon_match_minor=money[REASON_COUPON_MATCH],
        coupon_tender_minor=money["tender"],
        coupon_excess_minor=money["excess"],
        marker_minor=money["marker"],
    )

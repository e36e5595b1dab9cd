"""What a part of the benchmark writes down, and how numbers are taken on a noisy machine.

Whatever is compared is measured in short rounds in turn (a b a b ...), so that a slow second of the
machine falls on both, and the medians are compared.
"""

from __future__ import annotations

import json
import math
import os
import statistics
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

Value = float | int | str


class Skipped(Exception):
    """A part cannot run here; the message says what is missing and how to get it."""


@dataclass(slots=True)
class Chart:
    """One chart: named series of points, or bars when `bars` is set."""

    name: str
    title: str
    x_label: str
    y_label: str
    series: dict[str, list[tuple[float | str, float]]]
    log_x: bool = False
    log_y: bool = False
    bars: bool = False


@dataclass(slots=True)
class Record:
    """What one part found, and how long it took."""

    values: dict[str, Value] = field(default_factory=dict)
    charts: list[Chart] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    seconds: float = 0.0
    quick: bool = False
    """Tiny sizes: the numbers mean nothing, in whatever run they are read again."""
    revision: str = ""
    """Of the code that was measured."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What a run was asked for."""

    quick: bool = False
    """Tiny sizes, to try the code."""
    journal_gb: float = 1.0
    """The largest journal that growth_journal writes."""

    def arguments(self) -> list[str]:
        """The same for a process of `python -m bench`."""
        return [f"--journal-gb={self.journal_gb:g}", *(["--quick"] if self.quick else [])]


class Bench:
    """Given to each part: how long to measure, where to keep files, where results go."""

    def __init__(self, work: Path, settings: Settings) -> None:
        """`work` is an empty folder on the disk to be measured."""
        self.work = work
        self.settings = settings
        self.quick = settings.quick
        self.record = Record(quick=settings.quick)

    def size(self, full: int, quick: int) -> int:
        """The full size, or the tiny one."""
        return quick if self.quick else full

    def seconds(self, full: float) -> float:
        """How long one round lasts."""
        return min(full, 0.3) if self.quick else full

    def rounds(self, full: int) -> int:
        """How many rounds there are."""
        return 1 if self.quick else full

    def step(self, text: str) -> None:
        """Say what is being done; the parent process shows it."""
        print(f"> {text}", flush=True)

    def put(self, key: str, value: Value) -> None:
        """Write a number down under a key of bench.json."""
        assert key not in self.record.values, f"{key} is written twice"
        self.record.values[key] = round(value, 4) if isinstance(value, float) else value
        self.step(f"{key} = {self.record.values[key]}")

    def put_all(self, prefix: str, values: Mapping[str, Value]) -> None:
        """Write several down, each as prefix_name."""
        for name, value in values.items():
            self.put(f"{prefix}_{name}", value)

    def note(self, text: str) -> None:
        """Say something the reader of the report must know beside the numbers."""
        self.record.notes.append(text)
        self.step(text)

    def growth(self, key: str, points: Sequence[tuple[float | str, float]]) -> None:
        """Write a curve's slope and its last point over its first down."""
        self.put(f"{key}_slope", slope(points))
        self.put(f"{key}_last_over_first", points[-1][1] / points[0][1])

    def chart(self, chart: Chart) -> None:
        """Add a chart to the report."""
        self.record.charts.append(chart)


def write_whole(path: Path, text: str) -> None:
    """Write a file so that it is there as it was or as it shall be, wherever this process is ended."""
    new = path.with_name(f".{path.name}.new")
    new.write_text(text)
    os.replace(new, path)


def save(record: Record, path: Path) -> None:
    """Write a record as JSON."""
    write_whole(path, json.dumps(asdict(record)))


def load(path: Path) -> Record | None:
    """Read what `save` wrote; None for what another version of it wrote, and for what is no record at all."""
    try:
        data = json.loads(path.read_text())
        data["charts"] = [Chart(**chart) for chart in data["charts"]]
        return Record(**data)
    except (KeyError, TypeError, ValueError):
        return None


def interleaved(rounds: int, measures: Mapping[str, Callable[[], float]]) -> dict[str, float]:
    """Median of each measure over rounds in which all are taken in turn, every other round backwards.

    Backwards, because what one measure leaves to the next (dirty pages, a hot cache) must not always hit the same.
    """
    found: dict[str, list[float]] = {name: [] for name in measures}
    for number in range(rounds):
        for name, measure in list(measures.items())[:: -1 if number % 2 else 1]:
            found[name].append(measure())
    return {name: statistics.median(values) for name, values in found.items()}


def in_pairs(pairs: int, one: Callable[[], float], other: Callable[[], float]) -> float:
    """Median of `one` over `other`, taken right after each other, every other pair the other way round.

    For two that are nearly alike: a machine that is slower for some seconds then slows both of a pair.
    """
    ratios: list[float] = []
    for number in range(pairs):
        first, second = (other, one) if number % 2 else (one, other)
        found = first(), second()
        ratios.append(found[1] / found[0] if number % 2 else found[0] / found[1])
    return statistics.median(ratios)


def rate(step: Callable[[], int], seconds: float) -> float:
    """Things a second: `step` does some and returns how many, again and again for so long."""
    done, began = 0, time.perf_counter()
    until = began + seconds
    while (now := time.perf_counter()) < until:
        done += step()
    return done / (now - began)


def contention(seconds: float = 0.2) -> float:
    """How many times longer than its processor time a busy loop takes now: 1 on a quiet machine."""
    began_s, began_cpu_s = time.perf_counter(), time.thread_time()
    while (took_s := time.perf_counter() - began_s) < seconds:
        pass
    return took_s / max(1e-9, time.thread_time() - began_cpu_s)


def percentile(values_sorted: Sequence[float], percent: float) -> float:
    """The value that `percent` of the sorted values do not exceed (nearest rank)."""
    assert values_sorted, "a percentile of nothing"
    rank = -(-len(values_sorted) * percent // 100)
    return values_sorted[min(len(values_sorted), max(1, int(rank))) - 1]


def latency_ms(latencies_s: Iterable[float]) -> dict[str, float]:
    """p50_ms, p99_ms and p999_ms of latencies in seconds."""
    ordered = sorted(latencies_s)
    return {
        name: percentile(ordered, percent) * 1000
        for name, percent in (("p50_ms", 50), ("p99_ms", 99), ("p999_ms", 99.9))
    }


def slope(points: Sequence[tuple[float | str, float]]) -> float:
    """How a cost grows with its size: the exponent of the power law through the points (least squares of logarithms).

    0 is flat, 1 grows with the size, -1 falls with it.
    """
    logs = [(math.log(float(x)), math.log(y)) for x, y in points]
    assert len(logs) > 1, "a slope of one point"
    mean_x, mean_y = (statistics.fmean(values) for values in zip(*logs, strict=True))
    spread = sum((x - mean_x) ** 2 for x, _ in logs)
    assert spread > 0, "a slope over one size"
    return sum((x - mean_x) * (y - mean_y) for x, y in logs) / spread

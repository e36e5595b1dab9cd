"""What a part of the benchmark writes down, and how numbers are taken on a noisy machine.

Whatever is compared is measured in short rounds in turn (a b a b ...), so that a slow second of the
machine falls on both, and the medians are compared.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

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
    """What one part found."""

    values: dict[str, Value] = field(default_factory=dict)
    charts: list[Chart] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


class Bench:
    """Given to each part: how long to measure, where to keep files, where results go."""

    def __init__(self, work: Path, *, quick: bool = False) -> None:
        """`work` is an empty folder on the disk to be measured; `quick` runs tiny sizes, to try the code."""
        self.work = work
        self.quick = quick
        self.record = Record()

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

    def chart(self, chart: Chart) -> None:
        """Add a chart to the report."""
        self.record.charts.append(chart)

    def save(self, path: Path) -> None:
        """Write the record as JSON."""
        path.write_text(json.dumps(asdict(self.record)))


def load(path: Path) -> Record:
    """Read what `save` wrote."""
    data = json.loads(path.read_text())
    return Record(data["values"], [Chart(**chart) for chart in data["charts"]], data["notes"])


def interleaved(rounds: int, measures: Mapping[str, Callable[[], float]]) -> dict[str, float]:
    """Median of each measure over rounds in which all are taken in turn, every other round backwards.

    Backwards, because what one measure leaves to the next (dirty pages, a hot cache) must not always hit the same.
    """
    found: dict[str, list[float]] = {name: [] for name in measures}
    for number in range(rounds):
        for name, measure in list(measures.items())[:: -1 if number % 2 else 1]:
            found[name].append(measure())
    return {name: statistics.median(values) for name, values in found.items()}


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


def json_ready(record: Record) -> dict[str, Any]:
    """The values as bench.json has them."""
    return dict(sorted(record.values.items()))

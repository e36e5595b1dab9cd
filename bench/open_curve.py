"""Latency and goodput against a fixed rate, up to saturation and past it, for any client that can drive an open loop.

The peak is the best goodput on the curve, by the same client that overloads the engine afterwards: a closed loop's
rate would be another client's, and the ratio to it flattered or slandered by that.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import dataclass

from hdrh.histogram import HdrHistogram  # type: ignore[import-untyped]  # it has no stubs

from bench.measure import Bench, Chart
from bench.unary_load import Load

Drive = Callable[[float, float], Load]  # (calls a second, seconds)
Points = list[tuple[float | str, float]]
SHARES = (0.25, 0.5, 0.75, 0.9, 1.0, 1.15, 1.35, 1.6, 2.0, 2.6)  # of the first guess
PAST_PEAK = 2  # points below the best goodput before the curve ends
CARRIED = 0.98  # of what is due: so much must be answered in time where a rate counts as carried


def histogram_ms(latencies_s: list[float]) -> dict[str, float]:
    """p50_ms, p99_ms and p999_ms by an HdrHistogram from 1 us to 5 minutes, three digits."""
    histogram = HdrHistogram(1, 300_000_000, 3)
    for latency_s in latencies_s:
        histogram.record_value(max(1, round(latency_s * 1e6)))
    return {
        name: histogram.get_value_at_percentile(percent) / 1000
        for name, percent in (("p50_ms", 50), ("p99_ms", 99), ("p999_ms", 99.9))
    }


@dataclass(slots=True)
class Curve:
    """What a curve found."""

    peak_rate_per_s: float = 0.0
    """The rate at which the most calls were answered in time."""
    peak_per_s: float = 0.0
    """How many that were."""
    carried_per_s: float = 0.0
    """The highest rate of which nearly all calls were answered in time."""


def curve(bench: Bench, prefix: str, title: str, drive: Drive, guess_per_s: float) -> Curve:
    """Raise the rate in steps until goodput falls; writes every point, two charts and the peak down."""
    found = Curve()
    latency: dict[str, Points] = {"p50": [], "p99": [], "p99.9": []}
    flow: dict[str, Points] = {"answered within 1 s": [], "refused or given up": []}
    below = 0
    for share in SHARES[: bench.size(len(SHARES), 2)]:
        rate, seconds = guess_per_s * share, bench.seconds(2)
        load = drive(rate, seconds)
        key = f"{prefix}_{round(share * 100)}"
        bench.put(f"{key}_offered_per_s", rate)
        bench.put(f"{key}_goodput_per_s", load.good_per_s)
        bench.put(f"{key}_refused", load.refused + load.late)
        if load.latencies_s:
            at = histogram_ms(load.latencies_s)
            bench.put_all(key, at)
            for label, name in (("p50", "p50_ms"), ("p99", "p99_ms"), ("p99.9", "p999_ms")):
                latency[label].append((rate, at[name]))
        flow["answered within 1 s"].append((rate, load.good_per_s))
        flow["refused or given up"].append((rate, (load.refused + load.late) / seconds))
        if load.good_per_s >= CARRIED * rate:
            found.carried_per_s = max(found.carried_per_s, rate)
        if load.good_per_s > found.peak_per_s:
            found.peak_rate_per_s, found.peak_per_s, below = rate, load.good_per_s, 0
        else:
            below += 1
        if below == PAST_PEAK:
            break
    assert found.peak_per_s, "no call was answered in time at any rate"
    bench.put(f"{prefix}_peak_rate_per_s", found.peak_rate_per_s)
    bench.put(f"{prefix}_peak_per_s", found.peak_per_s)
    bench.put(f"{prefix}_carried_per_s", found.carried_per_s)
    due = "calls due a second"
    bench.chart(
        Chart(f"{prefix}_latency", f"{title}: latency from when a call was due", due, "ms", latency, log_y=True)
    )
    bench.chart(Chart(f"{prefix}_goodput", f"{title}: answers in time", due, "a second", flow))
    return found


@dataclass(slots=True)
class Overload:
    """Rounds at the peak's rate and at twice the peak, in turn, and once more at the peak's rate."""

    at_peak: list[Load]
    at_twice: list[Load]

    @property
    def goodput(self) -> float:
        """Goodput at twice the peak over the peak's of the same round; the median of the rounds."""
        pairs = zip(self.at_twice, self.at_peak, strict=False)
        return statistics.median(twice.good_per_s / peak.good_per_s for twice, peak in pairs)

    @property
    def recovered(self) -> float:
        """Goodput at the peak's rate after the last overload, over that before the first."""
        return self.at_peak[-1].good_per_s / self.at_peak[0].good_per_s


def overload(bench: Bench, prefix: str, drive: Drive, found: Curve) -> Overload:
    """Twice the load that it can carry, beside the peak in the same rounds; writes what it finds down."""
    result, seconds = Overload([], []), bench.seconds(2.5)
    for _ in range(bench.rounds(3)):
        result.at_peak.append(drive(found.peak_rate_per_s, seconds))
        result.at_twice.append(drive(2 * found.peak_per_s, seconds))
    result.at_peak.append(drive(found.peak_rate_per_s, seconds))
    bench.put(f"{prefix}_offered_per_s", 2 * found.peak_per_s)
    bench.put(f"{prefix}_peak_per_s", statistics.median(load.good_per_s for load in result.at_peak))
    goodput_per_s = statistics.median(load.good_per_s for load in result.at_twice)
    bench.put(f"{prefix}_goodput_per_s", goodput_per_s)
    # Answers that came too late are no goodput, but they show whether the engine or its queue is what fails.
    bench.put(f"{prefix}_answers_per_s", statistics.median(load.per_s for load in result.at_twice))
    bench.put(f"{prefix}_refused", sum(load.refused + load.late for load in result.at_twice))
    if latencies_s := [s for load in result.at_twice for s in load.latencies_s]:
        bench.put_all(f"{prefix}_answered", histogram_ms(latencies_s))
    if refused_s := [s for load in result.at_twice for s in load.refused_latencies_s]:
        bench.put_all(f"{prefix}_refusal", histogram_ms(refused_s))
    bench.put(f"{prefix}_recovered", result.recovered)
    bench.put(f"{prefix}_goodput", result.goodput)
    # Beside it the curve's best, minutes earlier: the rate of the peak may have been too much in these rounds.
    bench.put(f"{prefix}_goodput_over_curve_peak", goodput_per_s / found.peak_per_s)
    return result

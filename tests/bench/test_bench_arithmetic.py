"""The arithmetic of the benchmark: names of parts, counts that must agree, slopes, peaks, floors, verdicts."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
pytest.importorskip("hdrh", reason="the extra `bench` is not installed: pip install -e '.[bench]'")
sys.path.append(str(ROOT))
from bench import beside, compare, measure, open_curve, parts, shop_server  # noqa: E402  # only where it can be
from bench.targets import TARGETS  # noqa: E402  # likewise
from bench.unary_load import Load  # noqa: E402  # likewise


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ("reserve", ["reserve_batch", "reserve_client"]),
        ("load", ["load_unary", "load_session"]),
        ("journal,floors", ["floors", "journal"]),
        ("pricing", ["price", "best_deal", "growth_promotions"]),
        ("hot", ["hot"]),
    ],
)
def test_names_of_parts_beginnings_and_groups(names: str, expected: list[str]) -> None:
    assert parts.chosen(names) == expected


def test_all_parts_are_there_have_a_time_and_stay_under_the_total() -> None:
    files = {path.stem.removeprefix("part_") for path in (ROOT / "bench").glob("part_*.py")}
    assert files == set(parts.PARTS)
    assert sum(parts.SECONDS_BY_PART.values()) < parts.TOTAL_SECONDS_MAX
    assert all(set(members) <= files for members in parts.GROUPS.values())
    assert {target.part for target in TARGETS} <= files


def test_a_part_whose_callers_were_answered_otherwise_than_the_engine_counts_fails(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(shop_server, "counters", lambda target: {"commands": 107})
    before = {"commands": 7}
    assert shop_server.booked("", before, answered=100) == 100
    assert shop_server.booked("", before, answered=98, unanswered=2) == 100
    with pytest.raises(shop_server.BooksDiffer, match="101 answers, but the engine counts 100"):
        shop_server.booked("", before, answered=101)
    with pytest.raises(shop_server.BooksDiffer, match="98 answers"):
        shop_server.booked("", before, answered=98)


def test_slopes_are_exponents() -> None:
    assert measure.slope([(10, 5.0), (100, 5.0), (1000, 5.0)]) == pytest.approx(0)
    assert measure.slope([(10, 2.0), (100, 20.0)]) == pytest.approx(1)
    assert measure.slope([(1, 9.0), (4, 18.0), (16, 36.0)]) == pytest.approx(0.5)


def test_a_peak_is_the_best_goodput_of_the_same_client(tmp_path: Path) -> None:
    """A server that answers at most 100 a second, and half as many when twice that is asked of it."""

    def drive(per_s: float, seconds: float) -> Load:
        answered = per_s if per_s <= 100 else 50
        return Load(seconds=seconds, good=round(answered * seconds), latencies_s=[0.001])

    bench = measure.Bench(tmp_path, measure.Settings())
    found = open_curve.curve(bench, "some", "Some", drive, 100)
    assert found.peak_per_s == pytest.approx(100)
    assert found.carried_per_s == pytest.approx(100)
    result = open_curve.overload(bench, "over", drive, found)
    assert result.goodput == pytest.approx(0.5)
    assert result.recovered == pytest.approx(1)


def test_figures_stand_beside_floors_that_are_measured() -> None:
    values = {"sale_unary_per_s": 50.0, "echo_unary_per_s": 100.0, "start_1m_s": 0.9, "start_empty_s": 0.3}
    found = {share.key: share.share for share in beside.shares(values)}
    assert found == {
        "sale_unary_per_s_over_echo_unary_per_s": pytest.approx(0.5),
        "start_1m_s_over_start_empty_s": pytest.approx(3),
    }


@pytest.mark.parametrize(
    ("now", "before", "word"), [(1.3, 1.0, "slower"), (0.7, 1.0, "faster"), (1.1, 1.0, "same"), (0.9, 1.0, "same")]
)
def test_compare_says_what_changed(now: float, before: float, word: str) -> None:
    assert compare.verdict(now, before).startswith(word)

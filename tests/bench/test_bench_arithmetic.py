"""The arithmetic of the benchmark: names of parts, counts that must agree, slopes, peaks, floors, verdicts."""

from __future__ import annotations

import random
import sys
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
pytest.importorskip("hdrh", reason="the extra `bench` is not installed: pip install -e '.[bench]'")
sys.path.append(str(ROOT))
from bench import beside, compare, figures, measure, open_curve, part_flash, part_hot, part_session, parts, shop_server  # noqa: E402  # only where it can be
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
    monkeypatch.setattr(shop_server, "counters", lambda target: {"commands": 112, "replays": 5})
    before = {"commands": 7, "replays": 0}  # five were sent again and count once
    assert shop_server.booked("", before, answered=100) == 100
    assert shop_server.booked("", before, answered=98, unanswered=2) == 100
    with pytest.raises(shop_server.BooksDiffer, match="101 answers, but the engine counts 100"):
        shop_server.booked("", before, answered=101)
    with pytest.raises(shop_server.BooksDiffer, match="98 answers"):
        shop_server.booked("", before, answered=98)


def test_a_whole_part_fails_where_the_engine_counts_one_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The control is the same part in test_bench_parts.py, which passes."""
    truth = shop_server.counters

    def counters(target: str) -> dict[str, int]:
        return {name: count + (name == "commands") for name, count in truth(target).items()}

    monkeypatch.setattr(shop_server, "counters", counters)  # not part_session's own, which looks before the load
    with pytest.raises(shop_server.BooksDiffer):
        part_session.run(measure.Bench(tmp_path, measure.Settings(quick=True)))


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


def test_the_table_of_figures_has_each_with_its_verdict() -> None:
    lines = figures.table({"hot_vs_postgres": 33.0, "start_1m_s": 2.5})
    assert len(lines) == 2 + len(TARGETS)
    assert "| hot_vs_postgres | 33 | 20 | 100 | must |  | hot |" in lines
    assert "| start_1m_s | 2.5 | 2 | 0.5 | missed |  | start |" in lines
    assert any("| hot_vs_uniform | - | 0.95 | 1 | not measured |" in line for line in lines)


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


def test_the_first_answers_of_a_crowd_are_the_sales() -> None:
    rows = [(10.0, 10.5), (10.1, 10.6), (10.2, 10.7)]
    answers = part_flash.rows_to_shoppers(rows, 2)
    assert [one.sold for one in answers] == [True, True, False]
    assert [one.answered_s for one in answers] == pytest.approx([0.5, 0.6, 0.7])


def test_an_oversold_crowd_gives_no_figure() -> None:
    answers = [part_flash.Shopper(number < 3, 0.0, 0.1 + number / 10) for number in range(10)]
    with pytest.raises(AssertionError, match="expected exactly 2 sold, found 3"):
        part_flash.outcome("ringup", answers, shoppers=10, pieces=2)
    found = part_flash.outcome("ringup", answers, shoppers=10, pieces=3)
    assert (found["sold"], found["refused"]) == (3, 7)
    assert found["sold_out_s"] == pytest.approx(0.3)
    assert found["per_s"] == pytest.approx(10)


def test_zipf_draws_the_first_ranks_most() -> None:
    draw = part_hot.zipf(1000, random.Random(1))
    counts = sorted(Counter(draw() for _ in range(20_000)).values(), reverse=True)
    weights = [rank**-part_hot.ZIPF_EXPONENT for rank in range(1, 1001)]
    assert counts[0] / 20_000 == pytest.approx(weights[0] / sum(weights), rel=0.1)
    assert sum(counts[:10]) / 20_000 == pytest.approx(sum(weights[:10]) / sum(weights), rel=0.1)

"""The arithmetic of the benchmark: names of parts, counts that must agree, slopes, peaks, floors, verdicts."""

from __future__ import annotations

import asyncio
import random
import shutil
import sys
from collections import Counter
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest

ROOT = Path(__file__).parents[2]
pytest.importorskip("hdrh", reason="the extra `bench` is not installed: pip install -e '.[bench]'")
sys.path.append(str(ROOT))
from bench import (  # noqa: E402  # only where it can be
    beside,
    compare,
    figures,
    measure,
    open_curve,
    part_flash,
    part_hot,
    part_peak,
    part_session,
    parts,
    peers,
    runner,
    shop_server,
)
from bench.targets import TARGETS  # noqa: E402  # likewise
from bench.unary_load import Load  # noqa: E402  # likewise

LOOPBACK = ("bind", "daemonize")  # where a peer listens and that it is a child: no setting of its speed


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


@pytest.mark.parametrize("names", ["", ",", " , "])
def test_no_name_at_all_is_refused(names: str) -> None:
    with pytest.raises(parts.UnknownPart, match="at least one name"):
        parts.chosen(names)


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


def test_a_record_comes_back_as_it_was_saved_and_what_is_none_is_none(tmp_path: Path) -> None:
    """A record cut short by a kill once ended every later run with an error."""
    record = measure.Record(
        {"hot_vs_uniform": 1.1}, [measure.Chart("hot", "Hot", "", "", {"": [("a", 1.0)]})], ["said"]
    )
    record.quick, record.revision = True, "abc"
    measure.save(record, tmp_path / "hot.json")
    found = measure.load(tmp_path / "hot.json")
    assert found is not None
    assert (found.values, found.notes, found.quick, found.revision) == (record.values, ["said"], True, "abc")
    assert found.charts[0].title == "Hot"
    whole = (tmp_path / "hot.json").read_text()
    for text in ("", whole[: len(whole) // 2], "[]", "{}", '{"values": {}, "charts": [], "unheard_of": 1}'):
        (tmp_path / "hot.json").write_text(text)
        assert measure.load(tmp_path / "hot.json") is None


def test_a_file_that_cannot_be_written_whole_stays_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    measure.write_whole(tmp_path / "bench.json", "old")

    def full(path: Path, text: str) -> int:
        with path.open("w") as file:
            file.write(text[:2])
        raise OSError("No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(OSError, match="No space"):
        measure.write_whole(tmp_path / "bench.json", "new and longer")
    assert (tmp_path / "bench.json").read_text() == "old"


def test_why_a_part_failed_is_told_and_whether_the_disk_is_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A part's errors were kept on the disk to be measured: where that was full, nobody learned why it failed."""
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=10**12))
    assert runner._why(1, "Traceback\nOSError: no\n", "a step", tmp_path) == "OSError: no"
    assert runner._why(-7, "", "a step", tmp_path) == "ended by SIGBUS; it said last: a step"
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=3 * 10**6))
    assert f"only 3 MB are free in {tmp_path.parent}" in runner._why(-7, "", "a step", tmp_path)


def test_the_text_names_the_settings_that_peers_are_started_with() -> None:
    text = " ".join((ROOT / "bench" / "README.md").read_text().replace("\n", " ").split())
    told = [f"{name}={value}" for name, value in peers.POSTGRES_SETTINGS.items() if name != "listen_addresses"]
    told += [f"{name}={value or chr(34) * 2}" for name, value in peers.REDIS_SETTINGS.items() if name not in LOOPBACK]
    told += [f"{name}={value}" for name, value in peers.SQLITE_SETTINGS.items()]
    assert not [one for one in told if one not in text]


def test_slopes_are_exponents() -> None:
    assert measure.slope([(10, 5.0), (100, 5.0), (1000, 5.0)]) == pytest.approx(0)
    assert measure.slope([(10, 2.0), (100, 20.0)]) == pytest.approx(1)
    assert measure.slope([(1, 9.0), (4, 18.0), (16, 36.0)]) == pytest.approx(0.5)


def test_a_machine_that_becomes_slower_changes_no_ratio_of_pairs() -> None:
    speeds = iter([1.0] * 5 + [0.5] * 5)  # in the midst of the third pair: medians of each by itself are 90 and 50
    assert measure.in_pairs(5, lambda: 90 * next(speeds), lambda: 100 * next(speeds)) == pytest.approx(0.9)


def test_pairs_begin_with_either() -> None:
    order: list[str] = []

    def take(name: str) -> float:
        order.append(name)
        return 1.0

    measure.in_pairs(3, partial(take, "one"), partial(take, "other"))
    assert order == ["one", "other", "other", "one", "one", "other"]


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


def test_compare_counts_what_became_slower_but_for_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Stored, run again, run with a slower disk, and with a slower kernel; a kernel that is no more is named."""
    runs = [
        ({"hold_64": (0.08, 80.0), "append_record": (0.7, 700.0), "split": (0.4, 400.0)}, 1000.0),
        ({"hold_64": (0.08, 160.0), "append_record": (0.7, 1400.0), "split": (0.4, 800.0)}, 2000.0),
        ({"hold_64": (0.08, 80.0), "append_record": (1.4, 1400.0)}, 1000.0),
        ({"hold_64": (0.11, 110.0), "append_record": (0.7, 700.0), "verify": (0.1, 100.0)}, 1000.0),
    ]
    monkeypatch.setattr(compare, "FOLDER", tmp_path / "bench")
    monkeypatch.setattr(compare, "BASELINE", tmp_path / "baseline.json")
    monkeypatch.setattr(compare, "run_kernels", lambda arguments: runs.pop(0))
    monkeypatch.setattr(sys, "argv", ["compare", "--store"])
    assert compare.main() == 0
    monkeypatch.setattr(sys, "argv", ["compare"])
    assert compare.main() == 0
    assert "took 2,000 us, 1,000 when the baseline was stored" in capsys.readouterr().out
    assert compare.main() == 0
    said = capsys.readouterr().out
    assert "slower: 2.00 x (disk)" in said
    assert "gone" in said
    assert compare.main() == 1
    said = capsys.readouterr().out
    assert "slower: 1.38 x" in said
    assert "new" in said


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


@pytest.mark.parametrize(
    ("tries", "is_carried"),
    [((True,), True), ((False, False), False), ((False, True, False), False), ((False, True, True), True)],
)
def test_a_number_of_tills_that_fails_is_carried_only_by_two_further_tries(
    tries: tuple[bool, ...], is_carried: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = list(tries)

    async def one_try(day: object, tills: int, found: dict[str, float]) -> bool:
        found["refused"] = float(len(left))
        return left.pop(0)

    monkeypatch.setattr(part_peak._Day, "_try", one_try)
    bench = SimpleNamespace(values={}, put=lambda key, value: bench.values.update({key: value}), seconds=lambda s: s)
    day = part_peak._Day(bench, None, None, [], None, None)  # type: ignore[arg-type]  # only its tries are asked
    assert asyncio.run(day.carries(40)) is is_carried
    assert not left
    assert bench.values == {"peak_40_tills_refused": 1.0, "peak_40_tills_tries": len(tries)}, "those of the last try"

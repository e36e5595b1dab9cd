"""The price beside its peers: what a ratio is made of is told beside it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

pytest.importorskip("matplotlib", reason="the extra `bench` is not installed: pip install -e '.[bench]'")
sys.path.append(str(Path(__file__).parents[2]))  # bench is not installed
from bench import measure, part_price  # after the reason to skip


def test_ratios_follow_from_the_raw_numbers_beside_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The price's ratios once were made of times that no key told."""
    times = {"ringup": [9e-6, 4e-6, 5e-6, 3e-6], "python": [9e-3, 2e-3, 1e-3, 3e-3]}
    monkeypatch.setattr(part_price, "_ours", lambda bench: times["ringup"].pop(0))
    monkeypatch.setattr(part_price, "_oracle", lambda: lambda: times["python"].pop(0))

    def missing() -> None:
        raise measure.Skipped("django-oscar is missing")

    monkeypatch.setattr(part_price, "OscarShop", missing)
    bench = measure.Bench(tmp_path, measure.Settings())
    monkeypatch.setattr(bench, "rounds", lambda full: 3)
    part_price._beside_peers(bench)
    values = bench.record.values
    assert values["price_ringup_us"] == pytest.approx(4)  # the first round warms up
    assert values["price_python_us"] == pytest.approx(2000)
    assert values["price_vs_python"] == pytest.approx(500)
    assert "price_vs_oscar" not in values
    assert "django-oscar is missing" in str(values["skipped_price_vs_oscar"])

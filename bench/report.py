"""bench.json as a page for people: report.html with its charts inside, and the charts as PNG files."""

from __future__ import annotations

import base64
import html
import importlib
from collections.abc import Mapping
from pathlib import Path

from matplotlib.figure import Figure

from bench.measure import Chart, Record, Value
from bench.targets import TARGETS

STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 70rem; margin: 2rem auto; padding: 0 1rem; color: #1b1b1b }
table { border-collapse: collapse; margin: 1rem 0 } td, th { padding: .25rem .75rem; border-bottom: 1px solid #ddd }
td.number { text-align: right; font-variant-numeric: tabular-nums } th { text-align: left }
.aim { background: #d8f0d8 } .must { background: #eef6d8 } .missed { background: #f9dede } .absent { color: #777 }
img { max-width: 100%; height: auto } .note { color: #444 } details { margin: .5rem 0 }
"""


def draw(chart: Chart, path: Path) -> None:
    """Write one chart as PNG."""
    figure = Figure(figsize=(8, 4.5), dpi=110)  # not pyplot's: no screen and no global state is needed
    axes = figure.add_subplot()
    for label, points in chart.series.items():
        xs, ys = [point[0] for point in points], [point[1] for point in points]
        if chart.bars:
            axes.bar([str(x) for x in xs], ys, label=label)
        else:
            axes.plot(xs, ys, marker="o", label=label)
    if chart.log_x:
        axes.set_xscale("log")
        ticks = sorted({float(point[0]) for points in chart.series.values() for point in points})
        axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
        axes.minorticks_off()
    if chart.log_y:
        axes.set_yscale("log")
    else:
        axes.set_ylim(bottom=0)
    axes.set_title(chart.title)
    axes.set_xlabel(chart.x_label)
    axes.set_ylabel(chart.y_label)
    axes.grid(visible=True, alpha=0.3)
    if len(chart.series) > 1:
        axes.legend()
    figure.tight_layout()
    figure.savefig(path)


def _text(value: Value) -> str:
    return html.escape(
        f"{value:,.4g}"
        if isinstance(value, float) and abs(value) < 1000
        else f"{value:,.0f}"
        if isinstance(value, int | float)
        else value
    )


def _targets(values: Mapping[str, Value]) -> str:
    rows = []
    for target in TARGETS:
        found = values.get(target.key)
        known = isinstance(found, int | float)
        verdict = target.verdict(float(found)) if known else "absent"  # type: ignore[arg-type]  # known says so
        shown = _text(found) if known else "not measured"  # type: ignore[arg-type]
        rows.append(
            f"<tr class={verdict}><td><code>{target.key}</code><td>{html.escape(target.meaning)}"
            f"<td class=number>{shown}<td class=number>{target.must:,g}<td class=number>{target.aim:,g}<td>{verdict}"
        )
    return "<table><tr><th>figure<th>what<th>found<th>must<th>aim<th>reached" + "".join(rows) + "</table>"


def write_report(build: Path, values: Mapping[str, Value], records: Mapping[str, Record]) -> None:
    """Write report.html and the charts' PNG files into `build`."""
    sections = []
    for name, record in records.items():
        module = importlib.import_module(f"bench.part_{name}")
        pictures = []
        for chart in record.charts:
            path = build / f"{chart.name}.png"
            draw(chart, path)
            data = base64.b64encode(path.read_bytes()).decode()
            pictures.append(f'<p><img alt="{html.escape(chart.title)}" src="data:image/png;base64,{data}">')
        numbers = "".join(
            f"<tr><td><code>{key}</code><td class=number>{_text(value)}" for key, value in record.values.items()
        )
        about = html.escape((module.__doc__ or "").strip()).replace("\n\n", "<p>")
        notes = "".join(f"<p class=note>{html.escape(note)}" for note in record.notes)
        sections.append(
            f"<h2 id={name}>{html.escape(module.TITLE)}</h2><p>{about}{notes}{''.join(pictures)}"
            f"<details><summary>Numbers</summary><table>{numbers}</table></details>"
            f"<p><code>make bench ONLY={name}</code>"
        )
    about_machine = ", ".join(
        f"{key.removeprefix('machine_')} {value}" for key, value in values.items() if key.startswith("machine_")
    )
    (build / "report.html").write_text(
        "<!doctype html><html lang=en><meta charset=utf-8><title>RingUp: speed</title>"
        f"<style>{STYLE}</style><h1>RingUp: speed, beside floors and peers</h1>"
        + ("<p class=missed>A quick run with tiny sizes: the numbers mean nothing.</p>" if values.get("quick") else "")
        + f"<p>Measured {values['measured_at']} on: {html.escape(about_machine)}. Ratios compare what was measured in "
        "the same part of the same run. A peer that was missing is named, and counts for nothing.</p>"
        + _targets(values)
        + "".join(sections)
    )

"""bench.json as a page for people: report.html with its charts inside, and the charts as PNG files."""

from __future__ import annotations

import base64
import html
import importlib
import re
from collections.abc import Mapping
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from bench.beside import shares
from bench.measure import Chart, Record, Value
from bench.peers import POSTGRES_SETTINGS, REDIS_SETTINGS, SQLITE_SETTINGS
from bench.targets import TARGETS

STYLE = """
:root { --line: #d8dce2; --ink: #1a1d21; --soft: #5d6570; --good: #1d7a3e; --fair: #8a6a00; --bad: #b3261e }
* { box-sizing: border-box }
body { font: 15px/1.5 system-ui, "DejaVu Sans", sans-serif; max-width: 78rem; margin: 0 auto; padding: 2rem 1.5rem 4rem;
  color: var(--ink); background: #fff }
h1 { font-size: 1.7rem; margin: 0 0 .25rem } h2 { font-size: 1.2rem; margin: 2.5rem 0 .5rem; padding-top: 1rem;
  border-top: 1px solid var(--line) }
p { margin: .4rem 0; max-width: 60rem } .soft, td.soft { color: var(--soft) } code { font-size: .88em }
nav a { margin-right: .6rem } a { color: #1a56a8; text-decoration: none }
table { border-collapse: collapse; margin: .75rem 0; width: 100% }
th { text-align: left; font-weight: 600; color: var(--soft); font-size: .85rem; border-bottom: 2px solid var(--line) }
th.number { text-align: right } td, th { padding: .3rem .7rem; vertical-align: top }
td { border-bottom: 1px solid var(--line) } tr:hover td { background: #f6f8fa }
td.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap }
.badge { display: inline-block; min-width: 4.6rem; text-align: center; border-radius: 1rem; padding: 0 .6rem;
  font-size: .85rem; font-weight: 600; color: #fff; background: #888 }
.aim { background: var(--good) } .must { background: var(--fair) } .missed { background: var(--bad) }
.gone { color: var(--bad) }
.bar { display: inline-block; height: .7rem; background: #4878b8; border-radius: 2px; vertical-align: middle }
.track { display: inline-block; width: 9rem; background: #e8ebef; border-radius: 2px; line-height: 0 }
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(30rem, 1fr)); gap: 1rem; margin: 1rem 0 }
.charts img { width: 100%; max-width: 44rem; height: auto; border: 1px solid var(--line); border-radius: 4px }
.note { background: #fff6dd; border-left: 4px solid #d9a400; padding: .4rem .8rem; margin: .5rem 0 }
.alarm { background: #fdecea; border-left: 4px solid var(--bad); padding: .4rem .8rem; margin: .5rem 0 }
details { margin: .5rem 0 } summary { cursor: pointer; color: var(--soft) }
.raw { columns: 2 24rem; margin: .5rem 0 } .raw div { display: flex; justify-content: space-between; gap: 1rem;
  border-bottom: 1px dotted var(--line); break-inside: avoid; font-variant-numeric: tabular-nums; font-size: .88rem }
@media (max-width: 40rem) { .charts { grid-template-columns: 1fr } }
"""
PEERS = ("postgres", "redis", "sqlite", "oscar", "python")
BARS_UPRIGHT_MAX = 6
IN_MEMORY = ("tmpfs", "ramfs")  # file systems whose sync costs nothing
IN_MEMORY_TEXT = (
    "The files were in memory, where a sync costs nothing: durable figures mean nothing. Name a disk: --work-dir"
)
COLORS = ("#2563a8", "#d1702a", "#3a8f4f", "#a63a50", "#7657a8", "#777777")


def _plain(number: float, _: object = None) -> str:
    """12, 1,500, 20k, 3M, 0.05: as an axis shows it."""
    for size, suffix in ((1e6, "M"), (1e4, "k")):
        if abs(number) >= size:
            return f"{number / (1e6 if suffix == 'M' else 1e3):g}{suffix}"
    return f"{number:,.0f}" if abs(number) >= 1000 else f"{number:g}"


def _bar_color(name: str) -> str:
    """Ours, a floor, or a peer."""
    if "echo" in name or "floor" in name:
        return "#7fb08a"
    return "#9aa5b1" if name.startswith(PEERS) else COLORS[0]


def _bars(axes: Axes, points: list[tuple[float | str, float]]) -> None:
    """Upright where there are few, lying where there are many."""
    heights = [y for _, y in points]
    colors = [_bar_color(str(x)) for x, _ in points]
    names = [str(x).removeprefix("floor_").replace("_", " ") for x, _ in points]
    lying = len(points) > BARS_UPRIGHT_MAX
    if lying:
        bars = axes.barh(names[::-1], heights[::-1], color=colors[::-1])
        axes.margins(x=0.15)
    else:
        bars = axes.bar([name.replace(" ", "\n") for name in names], heights, color=colors)
        axes.margins(y=0.12)
    labels = [_text(round(height, 2)) for height in heights]
    axes.bar_label(bars, labels[::-1] if lying else labels, fontsize=8, padding=2)


def draw(chart: Chart, path: Path) -> None:
    """Write one chart as PNG."""
    figure = Figure(figsize=(7.6, 4.2), dpi=120)  # not pyplot's: no screen and no global state is needed
    axes = figure.add_subplot()
    for number, (label, points) in enumerate(chart.series.items()):
        color = COLORS[number % len(COLORS)]
        if chart.bars:
            _bars(axes, points)
        else:
            marker = "o" if len(points) < 20 else None
            axes.plot([x for x, _ in points], [y for _, y in points], marker=marker, label=label, color=color)
    if chart.log_x:
        axes.set_xscale("log")
        ticks = sorted({float(point[0]) for points in chart.series.values() for point in points})
        axes.set_xticks(ticks, [_plain(tick) for tick in ticks])
        axes.minorticks_off()
    elif not chart.bars:
        axes.set_xlim(left=0)
        axes.xaxis.set_major_formatter(FuncFormatter(_plain))
    lying = chart.bars and max(map(len, chart.series.values())) > BARS_UPRIGHT_MAX
    if lying:
        axes.set_xscale("log" if chart.log_y else "linear")
        axes.xaxis.set_major_formatter(FuncFormatter(_plain))
    else:
        if chart.log_y:
            axes.set_yscale("log")
        else:
            highest = max((y for points in chart.series.values() for _, y in points), default=0) or 1
            axes.set_ylim(0, highest * 1.1)  # room for the highest point and its label
        axes.yaxis.set_major_formatter(FuncFormatter(_plain))
    axes.set_title(chart.title, fontsize=11, loc="left", fontweight="bold")
    axes.set_xlabel(chart.y_label if lying else chart.x_label)
    axes.set_ylabel(chart.x_label if lying else chart.y_label)
    axes.grid(visible=True, axis="both" if not chart.bars else "x" if lying else "y", which="major", alpha=0.3)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    if len(chart.series) > 1:
        axes.legend(frameon=False, fontsize=9)
    figure.tight_layout()
    figure.savefig(path)


def _text(value: Value) -> str:
    """A number as a person reads it: four digits, or whole with thousands."""
    if isinstance(value, str):
        return html.escape(value)
    if isinstance(value, int) or abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:,.4g}"


def _targets(values: Mapping[str, Value]) -> str:
    rows = []
    for target in TARGETS:
        found = values.get(target.key)
        known = isinstance(found, int | float)
        verdict = target.verdict(float(found)) if known else "absent"  # type: ignore[arg-type]  # known says so
        shown = f"<b>{_text(found)}</b>" if known else "not measured"  # type: ignore[arg-type]
        sign = "&le;" if target.better == "lower" else "&ge;"
        beside = "<br>".join(f"<code>{key}</code> {_text(values[key])}" for key in target.beside if key in values)
        rows.append(
            f"<tr><td><code>{target.key}</code><div class=soft>{html.escape(target.meaning)}</div>"
            f"<td class=number>{shown}<td class=number>{sign} {target.must:,g}<td class=number>{sign} {target.aim:,g}"
            f"<td><span class='badge {verdict}'>{verdict}</span><td class=soft>{beside}"
            + (f"<td><a href='#{target.part}'>{target.part}</a>" if known else f"<td class=soft>{target.part}")
        )
    head = "<th>figure<th class=number>found<th class=number>must<th class=number>aim<th>reached<th>made of<th>part"
    return f"<table><tr>{head}{''.join(rows)}</table>"


def _summary(values: Mapping[str, Value]) -> str:
    """How many figures reached what, and which did not, before anybody has to look for it."""
    found: dict[str, list[str]] = {"aim": [], "must": [], "missed": [], "absent": []}
    for target in TARGETS:
        value = values.get(target.key)
        found[target.verdict(float(value)) if isinstance(value, int | float) else "absent"].append(target.key)
    said = {"aim": "reach their aim", "must": "reach their must", "missed": "miss their must", "absent": "not measured"}
    parts = [f"<span class='badge {word}'>{len(keys)}</span> {said[word]}" for word, keys in found.items() if keys]
    missed = "".join(f" <code>{key}</code>" for key in found["missed"])
    return f"<p>Of {len(TARGETS)} figures: {', '.join(parts)}.{' Missed:' + missed + '.' if missed else ''}"


def _floors(values: Mapping[str, Value]) -> str:
    rows = []
    for share in shares(values):
        one = share.floor
        is_rate = one.unit.endswith("/s") or not one.unit
        width = min(1.0, share.share if is_rate else 1 / share.share if share.share else 1.0)
        said = f"{share.share:.0%} of it" if is_rate else f"{share.share:.3g} times it"
        rows.append(
            f"<tr><td>{html.escape(one.meaning)}<br><code class=soft>{one.key}</code>"
            f"<td class=number><b>{_text(share.found)}</b> {one.unit}<td class=number>{_text(share.bound)} {one.unit}"
            f"<td class=soft>{html.escape(one.bound)}<td class=number>{said}"
            f"<td><span class=track><span class=bar style='width:{width:.1%}'></span></span>"
        )
    head = "<th>figure<th class=number>found<th class=number>floor<th>what the floor is<th class=number>found is<th>"
    return f"<table><tr>{head}{''.join(rows)}</table>"


def _peers(values: Mapping[str, Value]) -> str:
    """Which release of each peer stood beside the engine, with which settings."""
    settings = {
        "postgres": " ".join(f"{name}={value}" for name, value in POSTGRES_SETTINGS.items()),
        "redis": " ".join(f"{name} {value or chr(34) * 2}" for name, value in REDIS_SETTINGS.items()),
        "sqlite": "in process; " + " ".join(f"{name}={value}" for name, value in SQLITE_SETTINGS.items()),
        "oscar": "in process; SQLite in memory",
    }
    rows = []
    for name, told in settings.items():
        version = str(values.get(f"peer_{name}_version", "unknown"))
        shown = f"<b class=gone>{version}</b>" if version == "missing" else html.escape(version)
        rows.append(f"<tr><td>{name}<td>{shown}<td><code>{html.escape(told)}</code>")
    return f"<table><tr><th>peer<th>version<th>settings{''.join(rows)}</table>"


def _mixed(values: Mapping[str, Value]) -> str:
    """A warning where the numbers are not of one run of one code."""
    revisions = sorted({str(value) for key, value in values.items() if key.startswith("revision_")})
    days = sorted(str(value) for key, value in values.items() if key.startswith("measured_at_"))
    if len(revisions) < 2 and "run_interrupted" not in values and len(days) <= int(values.get("run_parts", 0)):
        return ""
    return (
        f"<p class=note>Not all parts were measured in one run: from {days[0] if days else '-'} to "
        f"{days[-1] if days else '-'}, code {html.escape(', '.join(revisions) or 'unknown')}. Each part says below "
        "when; a figure and a floor of another part may be of different hours."
    )


def _section(build: Path, name: str, record: Record, measured_at: Value) -> str:
    module = importlib.import_module(f"bench.part_{name}")
    pictures = []
    for chart in record.charts:
        path = build / f"{chart.name}.png"
        draw(chart, path)
        data = base64.b64encode(path.read_bytes()).decode()
        pictures.append(f'<img alt="{html.escape(chart.title)}" src="data:image/png;base64,{data}">')
    numbers = "".join(
        f"<div><code>{key}</code><span>{_text(value)}</span></div>" for key, value in record.values.items()
    )
    about = html.escape((module.__doc__ or "").strip()).replace("\n\n", "<p>")
    about = re.sub(r"`([^`]+)`", r"<code>\1</code>", about)
    failed = any(key.startswith("failed_") for key in record.values)
    notes = "".join(f"<p class={'alarm' if failed else 'note'}>{html.escape(note)}" for note in record.notes)
    return (
        f"<h2 id={name}>{html.escape(module.TITLE)}</h2><p>{about}{notes}<div class=charts>{''.join(pictures)}</div>"
        f"<details><summary>All {len(record.values)} numbers</summary><div class=raw>{numbers}</div></details>"
        f"<p class=soft><code>make bench ONLY={name}</code>, {record.seconds:.0f} s, ended {measured_at}, "
        f"code {html.escape(record.revision or 'unknown')}"
        + (" <b class=gone>quick: tiny sizes, the numbers mean nothing</b>" if record.quick else "")
    )


def _not_measured(values: Mapping[str, Value]) -> str:
    """What failed and what was skipped, first of all: nobody may take it for a win."""
    rows = [
        f"<p class={'alarm' if key.startswith('failed_') else 'note'}><b>{key.replace('_', ' ', 1)}</b>: {_text(why)}"
        for key, why in values.items()
        if key.startswith(("failed_", "skipped_"))
    ]
    return "".join(rows)


def write_report(build: Path, values: Mapping[str, Value], records: Mapping[str, Record]) -> None:
    """Write report.html and the charts' PNG files into `build`."""
    sections = "".join(
        _section(build, name, record, values.get(f"measured_at_{name}", "-")) for name, record in records.items()
    )
    about_machine = ", ".join(
        f"{key.removeprefix('machine_').replace('_', ' ')} {value}"
        for key, value in values.items()
        if key.startswith("machine_")
    )
    links = " ".join(f"<a href='#{name}'>{name}</a>" for name in records)
    busiest = max((float(v) for k, v in values.items() if k.startswith("contention_")), default=1.0)
    (build / "report.html").write_text(
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'>"
        f"<title>RingUp: speed</title><style>{STYLE}</style><h1>RingUp: speed, beside floors and peers</h1>"
        + (f"<p class=alarm>Quick: {html.escape(str(values['quick']))}.</p>" if values.get("quick") else "")
        + (f"<p class=alarm>{IN_MEMORY_TEXT}</p>" if str(values.get("machine_disk")).startswith(IN_MEMORY) else "")
        + f"<p class=soft>Measured {values['measured_at']} on: {html.escape(about_machine)}. Ratios compare what was "
        "measured in the same part of the same run. A peer that was missing is named, and counts for nothing. "
        f"Between the parts a busy loop took up to {busiest:.2f} times its processor time (1 is a quiet machine).</p>"
        + f"<nav>{links}</nav>"
        + _mixed(values)
        + _not_measured(values)
        + _summary(values)
        + "<h2 id=figures>Figures that users may rely on</h2><p class=soft>In the charts with bars, blue is the "
        "engine, green a floor of the machine, grey a peer."
        + _targets(values)
        + "<h2 id=beside>Beside the floors of this machine</h2><p>What the same bytes cost where the engine does "
        "nothing. Client and server share the machine's cores in both."
        + _floors(values)
        + "<h2 id=peers>The peers</h2><p>Started by the parts on loopback, with their files on the same disk, a sync "
        "before each answer, and these settings; what each part asks of them stands in its section."
        + _peers(values)
        + sections
    )

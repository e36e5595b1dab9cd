"""Stock cases: reading them, checking their keys, running them on the plain model, and saying what differs.

A report is {"id", "ok", "got", "differs"}: `differs` is a list of sentences, empty when all agrees. A race is run in
every order its steps can take effect in; what is expected must hold for each.
"""

from __future__ import annotations

import difflib
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

from stock_goods import COUNTERS
from stock_model import INTERLEAVINGS_MAX, StockModel, interleavings, named_items
from stock_result import Result
from stock_state import from_milli, to_milli

Case = dict[str, Any]

SCOPE = {"channel", "location", "locations"}
REQUIRED: dict[str, set[str]] = {
    "check": {"sku", "qty"},
    "query": {"sku"},
    "hold": {"ref", "lines"},
    "resize": {"ref", "lines"},
    "extend": {"ref", "ttl"},
    "release": {"ref"},
    "commit": {"ref"},
    "place": {"order"},
    "cancel": {"order"},
    "ship": {"order"},
    "unship": {"order"},
    "return": {"order", "sku", "qty", "location"},
    "sell": {"location", "lines"},
    "adjust": {"sku", "location", "delta", "reason"},
    "count": {"sku", "location", "on_hand"},
    "receive": {"sku", "location", "qty"},
    "transfer": {"sku", "qty", "from", "to"},
    "remove_position": {"sku", "location"},
    "set_policy": {"sku", "policy"},
    "tick": {"seconds"},
    "reallocate": {"order", "sku", "qty", "from", "to"},
    "reorder": {"sku", "location", "min", "max"},
    "race": {"steps"},
}
OPTIONAL: dict[str, set[str]] = {
    "check": SCOPE | {"hold"},
    "query": SCOPE | {"hold"},
    "hold": SCOPE | {"ttl", "mode", "collection_point"},
    "release": {"qty"},
    "commit": {"qty"},
    "place": SCOPE | {"lines", "hold", "add", "collection_point"},
    "cancel": {"lines"},
    "ship": {"lines"},
    "return": {"restock"},
    "sell": {"mode"},
    "count": {"book"},
    "remove_position": {"force"},
    "reorder": {"multiple", "order"},
}
STEP_EXPECT = {"result", "take", "taken", "backordered", "locations_used", "short", "qty", "forecast", "counts"}
STEP_EXPECT |= {"available", *COUNTERS}
ROW_KEYS = {
    "levels": {"sku", "location", "lot", "free", *COUNTERS},
    "totals": {"sku", "free", *COUNTERS},
    "available": {"sku", "available", "hold"} | SCOPE,
    "preorders": {"sku", "channel", "taken", "available"},
}
ROW_NAMES = SCOPE | {"sku", "lot", "hold"}
SETUP = {"locations", "channels", "skus", "stock"}
STOCK_ROW = {"sku", "location", "on_hand", "saleable", "incoming", "lot", "received", "expiry"}
RESULT_WORDS = {"ok", "partial", "insufficient", "invalid", "not_found", "refused", "exceeds"}
RESULT_WORDS |= {"already_done", "expired", "replayed", "conflict"}


def load_cases(path: Path) -> list[Case]:
    """The cases of a file, numbers exact. Raises ValueError naming the case and the key that is not valid."""
    cases: list[Case] = json.loads(path.read_text(encoding="utf-8"), parse_float=Decimal)["cases"]
    for case in cases:
        validate(case)
    return cases


def validate(case: Case) -> None:
    """Raises ValueError for a key that is unknown or missing, with the nearest known one."""
    name = case.get("id", "a case without id")
    need(name, "case", set(case), {"id", "source", "kind", "setup", "steps", "expect"}, {"about"})
    need(name, "setup", set(case["setup"]), {"locations"}, SETUP)
    for row in case["setup"].get("stock", []):
        need(name, "stock", set(row), {"sku", "location", "on_hand"}, STOCK_ROW)
    for number, step in enumerate(case["steps"]):
        validate_step(name, f"step {number}", step)
    need(name, "expect", set(case["expect"]), set(), set(ROW_KEYS))
    for kind, rows in case["expect"].items():
        for row in rows:
            need(name, kind, set(row), {"sku"}, ROW_KEYS[kind])


def validate_step(name: str, where: str, step: dict[str, Any]) -> None:
    op = step.get("op")
    if op not in REQUIRED:
        raise ValueError(f"{name}: {where}: expected an op of {sorted(REQUIRED)}, found {op!r}")
    need(name, f"{where} {op}", set(step), REQUIRED[op] | {"op"}, OPTIONAL.get(op, set()) | {"key", "expect"})
    for line in step.get("lines", []):
        need(name, f"{where} line", set(line), {"sku", "qty"}, {"location"})
    need(name, f"{where} expect", set(step.get("expect", {})), set(), STEP_EXPECT)
    word = step.get("expect", {}).get("result", "ok")
    if word not in RESULT_WORDS:
        raise ValueError(f"{name}: {where}: expected a result of {sorted(RESULT_WORDS)}, found {word!r}")
    for inner in step.get("steps", []):
        validate_step(name, f"{where} race", inner)


def need(name: str, where: str, found: set[str], required: set[str], optional: set[str]) -> None:
    if missing := required - found:
        raise ValueError(f"{name}: {where}: expected {sorted(missing)}, found only {sorted(found)}")
    for key in sorted(found - required - optional):
        near = difflib.get_close_matches(key, sorted(required | optional), 1)
        raise ValueError(f"{name}: {where}: unknown key {key!r}" + (f", nearest is {near[0]!r}" if near else ""))


def run_case(case: Case) -> dict[str, Any]:
    """Run a case on a fresh model: {"id", "ok", "got", "differs"}."""
    differs: list[str] = []
    got: dict[str, Any] = {}
    for variant in variants(case):
        model = StockModel(variant["setup"], named_items(variant["steps"]))
        for number, step in enumerate(variant["steps"]):
            found = step_differs(step.get("expect", {}), model.do(step))
            differs += [f"step {number} {step['op']}: {text}" for text in found]
        got = end_state(model, case["expect"])
        differs += end_differs(case["expect"], got)
    differs = list(dict.fromkeys(differs))
    return {"id": case["id"], "ok": not differs, "got": got, "differs": differs}


def variants(case: Case) -> list[Case]:
    """The case with its races in each order: one case when it has none."""
    orders = {number: interleavings(step["steps"]) for number, step in enumerate(case["steps"]) if step["op"] == "race"}
    if not orders:
        return [case]
    made = []
    for pick in range(min(INTERLEAVINGS_MAX, max(map(len, orders.values())))):
        steps = list(case["steps"])
        for number, choices in orders.items():
            steps[number] = {**steps[number], "steps": choices[pick % len(choices)]}
        made.append({**case, "steps": steps})
    return made


def step_differs(expect: dict[str, Any], result: Result) -> list[str]:
    """What an answer has different from a step's expectation."""
    differs = []
    if result.word != expect.get("result", "ok"):
        differs.append(f"result: expected {expect.get('result', 'ok')}, found {result.word}")
    for key, wanted in expect.items():
        if key == "result":
            continue
        if key == "take":
            marks = sorted({name for unit in wanted for name in unit} - {"qty"}) or ["location"]
            want, found = summed(wanted, marks), summed(result.take, marks)
        elif key == "short":
            want, found = sorted(wanted), sorted(result.short)
        else:
            want = wanted
            found = result.values[key] if key in result.values else getattr(result, key, None)
        if key == "counts":  # a result that nobody got may be named with 0, one that is not named is not asserted
            found = {word: found.get(word, 0) for word in wanted}
        if not same(want, found):
            differs.append(f"{key}: expected {want}, found {found}")
    return differs


def summed(units: list[dict[str, Any]], marks: list[str]) -> dict[tuple[Any, ...], int]:
    """Milli-units of a take by the marks (place, lot, item) that the expectation names."""
    total: dict[tuple[Any, ...], int] = {}
    for unit in units:
        key = tuple(unit.get(mark) for mark in marks)
        total[key] = total.get(key, 0) + to_milli(unit["qty"])
    return {key: qty for key, qty in total.items() if qty}


def same(want: Any, found: Any) -> bool:
    if want != "unlimited" and isinstance(want, int | Decimal | str) and isinstance(found, int | Decimal):
        return to_milli(want) == to_milli(found)
    return bool(want == found)


def end_state(model: StockModel, expect: dict[str, Any]) -> dict[str, Any]:
    """The same rows as the expectation, with what the model has."""
    got: dict[str, Any] = {}
    for kind, rows in expect.items():
        got[kind] = []
        for row in rows:
            if kind == "available":
                scope = {name: row[name] for name in SCOPE | {"hold"} if name in row}
                found = model.op_query({"sku": row["sku"], **scope}).values
            elif kind == "preorders":
                found = {"taken": from_milli(model.preorder_taken(row["sku"], row.get("channel")))}
                scope = {"channel": row["channel"]} if "channel" in row else {}
                found |= model.op_query({"sku": row["sku"], **scope}).values
            else:
                found = model.levels(row["sku"], row.get("location"), row.get("lot"))
            got[kind].append({name: row[name] if name in ROW_NAMES else found.get(name) for name in row})
    return got


def end_differs(expect: dict[str, Any], got: dict[str, Any]) -> list[str]:
    differs = []
    for kind, rows in expect.items():
        for want, found in zip(rows, got[kind], strict=True):
            if not all(same(want[name], found[name]) for name in want):
                differs.append(f"{kind}: expected {want}, found {found}")
    return differs


def to_json(value: Any, indent: str = "") -> str:
    """JSON text with Decimals as plain numbers, exact: the standard encoder would want a float."""
    if isinstance(value, Decimal):
        return format(value, "f")
    inner = indent + " "
    if isinstance(value, dict):
        parts = [f"{json.dumps(key)}: {to_json(item, inner)}" for key, item in value.items()]
        return "{" + ", ".join(parts) + "}"
    if isinstance(value, list):
        if any(isinstance(item, dict) for item in value) and len(indent) < 3:
            return "[\n" + ",\n".join(inner + to_json(item, inner) for item in value) + "\n" + indent + "]"
        return "[" + ", ".join(to_json(item, inner) for item in value) + "]"
    return json.dumps(value, ensure_ascii=False)

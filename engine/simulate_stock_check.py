"""The shape of stock cases: which keys there are, which must be there, and what their values may be."""

from __future__ import annotations

import difflib
from decimal import Decimal
from typing import Any

from ringup.engine.simulate_case import CaseError

SCOPE = {"channel", "location", "locations"}
# op: (keys that must be there, keys that may be there)
OPERATIONS: dict[str, tuple[set[str], set[str]]] = {
    "check": ({"sku", "qty"}, SCOPE | {"hold"}),
    "query": ({"sku"}, SCOPE),
    "hold": ({"ref", "lines"}, SCOPE | {"ttl", "mode", "collection_point"}),
    "resize": ({"ref", "lines"}, set()),
    "extend": ({"ref", "ttl"}, set()),
    "release": ({"ref"}, {"qty"}),
    "commit": ({"ref"}, {"qty"}),
    "place": ({"order"}, SCOPE | {"lines", "hold", "add", "collection_point"}),
    "cancel": ({"order"}, {"lines"}),
    "ship": ({"order"}, {"lines"}),
    "unship": ({"order"}, set()),
    "return": ({"order", "sku", "qty", "location"}, {"restock"}),
    "sell": ({"location", "lines"}, {"mode"}),
    "adjust": ({"sku", "location", "delta", "reason"}, set()),
    "count": ({"sku", "location", "on_hand"}, {"book"}),
    "receive": ({"sku", "location", "qty"}, set()),
    "transfer": ({"sku", "qty", "from", "to"}, set()),
    "remove_position": ({"sku", "location"}, {"force"}),
    "set_policy": ({"sku", "policy"}, set()),
    "tick": ({"seconds"}, set()),
    "reallocate": ({"order", "sku", "qty", "from", "to"}, set()),
    "reorder": ({"sku", "location", "min", "max"}, {"multiple", "order"}),
    "race": ({"steps"}, set()),
}
COUNTERS = {"on_hand", "allocated", "held", "incoming"}
STEP_EXPECT = COUNTERS | {
    "result", "take", "taken", "backordered", "locations_used", "short", "qty", "forecast", "counts", "available",
}  # fmt: skip
END_ROWS: dict[str, set[str]] = {
    "levels": COUNTERS | {"sku", "location", "lot", "free", "available"},
    "totals": COUNTERS | {"sku", "free", "available"},
    "available": SCOPE | {"sku", "available"},
    "preorders": {"sku", "channel", "taken", "total", "left"},
}
RESULTS = {
    "ok", "partial", "insufficient", "invalid", "not_found", "refused", "exceeds", "already_done", "expired",
    "replayed", "conflict",
}  # fmt: skip
STOCK_ROW = {"saleable", "incoming", "lot", "received", "expiry"}
SOURCINGS = {"priority", "most_available", "fewest_shipments"}
POLICIES = {
    "track", "backorder", "backorder_at", "safety", "decimals", "min_qty", "max_qty", "step", "removal", "count_floor",
    "preorder", "kit", "kit_apart",
}  # fmt: skip


def check_case(case: dict[str, Any], place: str) -> None:
    """Raise CaseError for a case that is not of the format: it names the case and the key."""
    name = f"{place} ({case['id']})" if isinstance(case.get("id"), str) else place
    check_keys(name, case, {"id", "setup", "steps", "expect"}, {"source", "kind", "about", "note"})
    setup = check_object(f"{name}: setup", case["setup"])
    check_keys(f"{name}: setup", setup, {"locations"}, {"channels", "skus", "stock"})
    places = set()
    for entry in check_list(f"{name}: locations", setup["locations"]):
        if isinstance(entry, dict):
            check_keys(f"{name}: locations", entry, {"id"}, {"enabled"})
        places.add(entry["id"] if isinstance(entry, dict) else check_text(f"{name}: locations", entry))
    for channel, rule in check_object(f"{name}: channels", setup.get("channels", {})).items():
        where = f"{name}: channel {channel}"
        check_keys(where, check_object(where, rule), {"locations"}, {"sourcing"})
        for location in check_list(where, rule["locations"]):
            check_choice(f"{where}: locations", location, places)
        check_choice(f"{where}: sourcing", rule.get("sourcing", "priority"), SOURCINGS)
    for sku, policy in check_object(f"{name}: skus", setup.get("skus", {})).items():
        check_keys(f"{name}: sku {sku}", check_object(f"{name}: sku {sku}", policy), set(), POLICIES)
        for part, qty in check_object(f"{name}: kit {sku}", policy.get("kit") or {}).items():
            check_number(f"{name}: kit {sku}: {part}", qty)
    for row in check_list(f"{name}: stock", setup.get("stock", [])):
        check_keys(f"{name}: stock", check_object(f"{name}: stock", row), {"sku", "location", "on_hand"}, STOCK_ROW)
        check_choice(f"{name}: stock: location", row["location"], places)
        check_number(f"{name}: stock: on_hand", row["on_hand"])
    for number, step in enumerate(check_list(f"{name}: steps", case["steps"])):
        check_step(f"{name}: step {number}", step)
    check_keys(f"{name}: expect", check_object(f"{name}: expect", case["expect"]), set(), set(END_ROWS))
    for kind, rows in case["expect"].items():
        for row in check_list(f"{name}: {kind}", rows):
            check_keys(f"{name}: {kind}", check_object(f"{name}: {kind}", row), {"sku"}, END_ROWS[kind])


def check_step(where: str, step: Any) -> None:
    """Raise CaseError for a step that is none."""
    op = check_object(where, step).get("op")
    check_choice(f"{where}: op", op, set(OPERATIONS))
    required, optional = OPERATIONS[str(op)]
    check_keys(f"{where} {op}", step, required | {"op"}, optional | {"key", "expect"})
    for line in check_list(f"{where}: lines", step.get("lines", [])):
        check_keys(f"{where}: lines", check_object(f"{where}: lines", line), {"sku", "qty"}, {"location"})
        check_number(f"{where}: lines: qty", line["qty"])
    for name in ("sku", "ref", "order", "location", "channel", "hold", "from", "to", "collection_point", "reason"):
        if name in step and not (op == "reorder" and name == "order"):
            check_text(f"{where}: {name}", step[name])
    for name in ("qty", "delta", "on_hand", "book", "restock", "min", "max", "multiple", "ttl", "seconds"):
        if name in step:
            check_number(f"{where}: {name}", step[name])
    expect = check_object(f"{where}: expect", step.get("expect", {}))
    check_keys(f"{where}: expect", expect, set(), STEP_EXPECT)
    check_choice(f"{where}: expect: result", expect.get("result", "ok"), RESULTS)
    for number, inner in enumerate(check_list(f"{where}: steps", step.get("steps", []))):
        check_step(f"{where}: race {number}", inner)
        if inner["op"] in ("race", "tick", "query", "check"):
            raise CaseError(f"{where}: race {number}: expected a step that changes stock, found {inner['op']!r}")


def check_keys(where: str, found: dict[str, Any], required: set[str], optional: set[str]) -> None:
    for key in sorted(required - set(found)):
        raise CaseError(f"{where}: expected the key {key!r}, found only {sorted(found)}")
    for key in sorted(set(found) - required - optional):
        near = difflib.get_close_matches(key, sorted(required | optional), 1)
        raise CaseError(f"{where}: unknown key {key!r}" + (f", nearest is {near[0]!r}" if near else ""))


def check_object(where: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise CaseError(f"{where}: expected an object, found {type(value).__name__}")
    return value


def check_list(where: str, value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise CaseError(f"{where}: expected a list, found {type(value).__name__}")
    return value


def check_text(where: str, value: Any) -> str:
    if not isinstance(value, str):
        raise CaseError(f"{where}: expected a text, found {value!r}")
    return value


def check_number(where: str, value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        raise CaseError(f"{where}: expected a number, found {value!r}")


def check_choice(where: str, value: Any, known: set[str]) -> None:
    if not isinstance(value, str) or value not in known:
        near = difflib.get_close_matches(str(value), sorted(known), 1)
        hint = f", nearest is {near[0]!r}" if near else ""
        raise CaseError(f"{where}: expected one of {sorted(known)}, found {value!r}{hint}")

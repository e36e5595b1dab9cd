"""The shape of stock cases: which keys there are, which must be there, and what their values may be."""

from __future__ import annotations

import difflib
import json
from datetime import datetime
from decimal import Decimal
from typing import Any

from ringup.engine.simulate_case import CaseError
from ringup.engine.simulate_stock_requests import InvalidQuantityError, to_milli

SCOPE = {"channel", "location", "locations"}
GOODS = {"saleable", "lot", "received", "expiry"}
# op: (keys that must be there, keys that may be there)
OPERATIONS: dict[str, tuple[set[str], set[str]]] = {
    "check": ({"sku", "qty"}, SCOPE | {"hold"}),
    "query": ({"sku"}, SCOPE | {"hold"}),
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
    "adjust": ({"sku", "location", "delta", "reason"}, {"lot"}),
    "count": ({"sku", "location", "on_hand"}, {"book", "lot"}),
    "receive": ({"sku", "location", "qty"}, GOODS),
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
STEP_QUANTITIES = STEP_EXPECT - {"result", "take", "short", "counts"}
ROW_TEXTS = {"sku", "location", "lot", "channel", "hold"}
END_ROWS: dict[str, set[str]] = {
    "levels": COUNTERS | {"sku", "location", "lot", "free", "available"},
    "totals": COUNTERS | {"sku", "free", "available"},
    "available": SCOPE | {"sku", "available", "hold"},
    "preorders": {"sku", "channel", "taken", "total", "left", "available", "qty"},
}
SHOWN_MAX = 80  # characters of a value that is named in a message
TAKE_ROW = {"sku", "location", "lot"}
RESULTS = {
    "ok", "partial", "insufficient", "invalid", "not_found", "refused", "exceeds", "already_done", "expired",
    "replayed", "conflict",
}  # fmt: skip
STOCK_ROW = GOODS | {"incoming"}
SOURCINGS = {"priority", "most_available", "fewest_shipments"}
YES_OR_NO = {"track", "decimals", "kit_apart"}
POLICY_QUANTITIES = {"safety", "min_qty", "max_qty", "step"}
POLICY_CHOICES = {"removal": {"fifo", "lifo", "fefo"}, "count_floor": {"allocated"}}
POLICIES = {"backorder", "backorder_at", "preorder", "kit"} | YES_OR_NO | POLICY_QUANTITIES | set(POLICY_CHOICES)
STEP_TEXTS = ("sku", "ref", "location", "channel", "hold", "from", "to", "collection_point", "reason", "key")
STEP_NUMBERS = ("qty", "delta", "on_hand", "book", "restock", "min", "max", "multiple", "ttl", "seconds")


def check_case(case: dict[str, Any], place: str) -> None:
    """Raise CaseError for a case that is not of the format: it names the case and the key."""
    name = f"{place} ({case['id']})" if isinstance(case.get("id"), str) else place
    check_keys(name, case, {"id", "setup", "steps", "expect"}, {"source", "kind", "about", "note"})
    check_text(f"{name}: id", case["id"])
    check_setup(name, check_object(f"{name}: setup", case["setup"]))
    for number, step in enumerate(check_list(f"{name}: steps", case["steps"])):
        check_step(f"{name}: step {number}", step)
    check_keys(f"{name}: expect", check_object(f"{name}: expect", case["expect"]), set(), set(END_ROWS))
    for kind, rows in case["expect"].items():
        for number, row in enumerate(check_list(f"{name}: {kind}", rows)):
            where = f"{name}: {kind} {number}"
            check_keys(where, check_object(where, row), {"sku"}, END_ROWS[kind])
            check_text(f"{where}: sku", row["sku"])
            check_row(where, row)


def check_setup(name: str, setup: dict[str, Any]) -> None:
    """Raise CaseError for a setup that is none."""
    check_keys(f"{name}: setup", setup, {"locations"}, {"channels", "skus", "stock"})
    places = set()
    for entry in check_list(f"{name}: locations", setup["locations"]):
        if isinstance(entry, dict):
            check_keys(f"{name}: locations", entry, {"id"}, {"enabled"})
            check_yes_or_no(f"{name}: locations: enabled", entry.get("enabled", True))
        places.add(check_text(f"{name}: locations", entry["id"] if isinstance(entry, dict) else entry))
    for channel, rule in check_object(f"{name}: channels", setup.get("channels", {})).items():
        where = f"{name}: channel {check_text(f'{name}: channels', channel)}"
        check_keys(where, check_object(where, rule), {"locations"}, {"sourcing"})
        for location in check_list(where, rule["locations"]):
            check_choice(f"{where}: locations", location, places)
        check_choice(f"{where}: sourcing", rule.get("sourcing", "priority"), SOURCINGS)
    for sku, policy in check_object(f"{name}: skus", setup.get("skus", {})).items():
        check_policy(f"{name}: sku {check_text(f'{name}: skus', sku)}", policy)
    for number, row in enumerate(check_list(f"{name}: stock", setup.get("stock", []))):
        where = f"{name}: stock {number}"
        check_keys(where, check_object(where, row), {"sku", "location", "on_hand"}, STOCK_ROW)
        check_choice(f"{where}: location", row["location"], places)
        check_text(f"{where}: sku", row["sku"])
        for key in ("on_hand", "incoming"):
            check_quantity(f"{where}: {key}", row.get(key, 0))
        check_goods(where, row)


def check_goods(where: str, row: dict[str, Any]) -> None:
    """Raise CaseError for goods whose lot, dates or saleability are none."""
    check_text(f"{where}: lot", row.get("lot", ""))
    check_yes_or_no(f"{where}: saleable", row.get("saleable", True))
    for key in ("received", "expiry"):
        if key in row:
            check_date(f"{where}: {key}", row[key])


def check_policy(where: str, policy: Any) -> None:
    """Raise CaseError for policies that are none."""
    check_keys(where, check_object(where, policy), set(), POLICIES)
    for key, value in policy.items():
        if value is None:
            continue
        if key in YES_OR_NO:
            check_yes_or_no(f"{where}: {key}", value)
        elif key in POLICY_QUANTITIES:
            check_quantity(f"{where}: {key}", value)
        elif key in POLICY_CHOICES:
            check_choice(f"{where}: {key}", value, POLICY_CHOICES[key])
        elif key == "backorder_at":
            check_text(f"{where}: {key}", value)
        elif key == "backorder" and not isinstance(value, bool):
            check_keys(f"{where}: {key}", check_object(f"{where}: {key}", value), {"limit"}, set())
            check_quantity(f"{where}: {key}: limit", value["limit"])
    for part, qty in check_object(f"{where}: kit", policy.get("kit") or {}).items():
        check_quantity(f"{where}: kit: {check_text(f'{where}: kit', part)}", qty)
    preorder = check_object(f"{where}: preorder", policy.get("preorder") or {})
    check_keys(f"{where}: preorder", preorder, set(), {"total", "channels"})
    if preorder.get("total") is not None:
        check_quantity(f"{where}: preorder: total", preorder["total"])
    for channel, limit in check_object(f"{where}: preorder: channels", preorder.get("channels") or {}).items():
        if limit is not None:
            where_limit = f"{where}: preorder: {check_text(f'{where}: preorder: channels', channel)}"
            check_quantity(where_limit, limit)


def check_step(where: str, step: Any) -> None:
    """Raise CaseError for a step that is none."""
    op = check_object(where, step).get("op")
    check_choice(f"{where}: op", op, set(OPERATIONS))
    required, optional = OPERATIONS[str(op)]
    check_keys(f"{where} {op}", step, required | {"op"}, optional | {"key", "expect"})
    for number, line in enumerate(check_list(f"{where}: lines", step.get("lines", []))):
        at = f"{where}: line {number}"
        check_keys(at, check_object(at, line), {"sku", "qty"}, {"location"})
        check_text(f"{at}: sku", line["sku"])
        check_text(f"{at}: location", line.get("location", ""))
        check_number(f"{at}: qty", line["qty"])
    for name in STEP_TEXTS:
        if name in step:
            check_text(f"{where}: {name}", step[name])
    if "order" in step and op != "reorder":
        check_text(f"{where}: order", step["order"])
    for name in ("add", "force", *(("order",) if op == "reorder" else ())):
        check_yes_or_no(f"{where}: {name}", step.get(name, False))
    check_goods(where, step)
    for place in check_list(f"{where}: locations", step.get("locations", [])):
        check_text(f"{where}: locations", place)
    for name in STEP_NUMBERS:
        if name in step:
            check_number(f"{where}: {name}", step[name])
    if "mode" in step:
        check_choice(f"{where}: mode", step["mode"], {"partial"})
    if "policy" in step:
        check_policy(f"{where}: policy", step["policy"])
    expect = check_object(f"{where}: expect", step.get("expect", {}))
    check_keys(f"{where}: expect", expect, set(), STEP_EXPECT)
    check_choice(f"{where}: expect: result", expect.get("result", "ok"), RESULTS)
    check_expected(f"{where}: expect", expect)
    for number, inner in enumerate(check_list(f"{where}: steps", step.get("steps", []))):
        check_step(f"{where}: race {number}", inner)
        if inner["op"] in ("race", "tick"):
            raise CaseError(f"{where}: race {number}: expected a step on stock, found {inner['op']!r}")


def check_expected(where: str, expect: dict[str, Any]) -> None:
    """Raise CaseError for values that no answer could have; null asserts nothing."""
    expect = {name: value for name, value in expect.items() if value is not None}
    for unit in check_list(f"{where}: take", expect.get("take", [])):
        check_keys(f"{where}: take", check_object(f"{where}: take", unit), {"qty"}, TAKE_ROW)
        check_quantity(f"{where}: take: qty", unit["qty"])
        for name in TAKE_ROW & set(unit):
            if unit[name] is not None:
                check_text(f"{where}: take: {name}", unit[name])
    for sku in check_list(f"{where}: short", expect.get("short", [])):
        check_text(f"{where}: short", sku)
    for word, count in check_object(f"{where}: counts", expect.get("counts", {})).items():
        check_choice(f"{where}: counts", word, RESULTS)
        check_quantity(f"{where}: counts: {word}", count)
    check_row(where, {name: value for name, value in expect.items() if name in STEP_QUANTITIES})


def check_row(where: str, row: dict[str, Any]) -> None:
    """Raise CaseError for a row of names and quantities whose values are neither; null asserts nothing."""
    for key, value in row.items():
        if value is None or (key == "available" and value == "unlimited"):
            continue
        if key == "locations":
            for place in check_list(f"{where}: {key}", value):
                check_text(f"{where}: {key}", place)
        elif key in ROW_TEXTS:
            check_text(f"{where}: {key}", value)
        else:
            check_quantity(f"{where}: {key}", value)


def check_keys(where: str, found: dict[str, Any], required: set[str], optional: set[str]) -> None:
    for key in sorted(set(found) - required - optional):  # first, for it is what a missing one was meant to be
        raise CaseError(f"{where}: unknown key {key[:SHOWN_MAX]!r}{nearest(key, required | optional)}")
    for key in sorted(required - set(found)):
        raise CaseError(f"{where}: expected the key {key!r}, found only {sorted(found)}")


def shown(value: Any) -> str:
    """A value as JSON has it, short; a text in the quotes of all messages."""
    text = repr(value) if isinstance(value, str) else json.dumps(value, default=str).replace('"', "'")
    text = str(value) if isinstance(value, Decimal) else text
    return text if len(text) <= SHOWN_MAX else f"{text[:SHOWN_MAX]}..."


def nearest(word: str, known: set[str]) -> str:
    near = difflib.get_close_matches(word.lower(), sorted(known), 1, 0)
    return f", nearest is {near[0]!r}" if near else ""


def check_object(where: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise CaseError(f"{where}: expected an object, found {shown(value)}")
    return value


def check_list(where: str, value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise CaseError(f"{where}: expected a list, found {shown(value)}")
    return value


def check_text(where: str, value: Any) -> str:
    if not isinstance(value, str):
        raise CaseError(f"{where}: expected a text, found {shown(value)}")
    if any("\ud800" <= char <= "\udfff" for char in value):
        raise CaseError(f"{where}: expected a text of whole characters, found half of one in {shown(value)}")
    return value


def check_number(where: str, value: Any) -> None:
    """A number, or one in a text for those whose numbers are floats; whether it is a quantity is told by the answer."""
    if isinstance(value, bool) or not isinstance(value, int | Decimal | str):
        raise CaseError(f"{where}: expected a number, found {shown(value)}")
    if isinstance(value, str) and not value.lstrip("-").replace(".", "", 1).isdecimal():
        raise CaseError(f"{where}: expected a number, found {shown(value)}")


def check_quantity(where: str, value: Any) -> None:
    """A quantity that the engine can have."""
    check_number(where, value)
    try:
        to_milli(value)
    except InvalidQuantityError as error:
        raise CaseError(f"{where}: {error}") from None


def check_yes_or_no(where: str, value: Any) -> None:
    if not isinstance(value, bool):
        raise CaseError(f"{where}: expected true or false, found {shown(value)}")


def check_date(where: str, value: Any) -> None:
    try:
        datetime.fromisoformat(check_text(where, value))
    except ValueError:
        raise CaseError(f'{where}: expected a date as "2026-12-31" or with a time, found {shown(value)}') from None


def check_choice(where: str, value: Any, known: set[str]) -> None:
    if not isinstance(value, str) or value not in known:
        near = nearest(value, known) if isinstance(value, str) else ""
        raise CaseError(f"{where}: expected one of {sorted(known)}, found {shown(value)}{near}")

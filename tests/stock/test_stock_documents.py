"""Any document is answered: `ringup simulate` reports a case or names the key that is wrong, and never breaks.

Documents are made by seed of all operations and policies, mostly as they should be, some values wild.
RINGUP_DOCUMENT_SEEDS sets how many (default 150).
"""

from __future__ import annotations

import json
import os
import random
from collections import Counter
from typing import Any

from ringup.engine.simulate import load_cases, run_cases
from ringup.engine.simulate_case import CaseError
from ringup.engine.simulate_stock_check import COUNTERS, END_ROWS, OPERATIONS, POLICIES, RESULTS, STEP_EXPECT

SEEDS = int(os.environ.get("RINGUP_DOCUMENT_SEEDS", "150"))
WILD: list[Any] = [
    None, True, "", "ä ö", "x" * 300, "\0", "\ud800", "soon", "1.5", "unlimited", 0, -1, 0.0001, 2.5, 2**63, 10**30,
    -(10**18), [], ["a"], {}, {"a": 1}, [{"qty": 1}],
]  # fmt: skip
NAMES = {
    **{key: ["a", "b"] for key in ("location", "from", "to", "backorder_at", "collection_point")},
    **{key: ["r", "s"] for key in ("ref", "hold")},
    **{key: ["2026-01-01", "2027-02-03T04:05:06Z"] for key in ("received", "expiry")},
    "sku": ["tea", "jam", "box"],
    "order": ["o", "p"],
    "channel": ["web", "shop"],
    "lot": ["l1", "l2"],
    "reason": ["found"],
    "key": ["k1", "k2"],
    "mode": ["partial"],
    "removal": ["fifo", "lifo", "fefo"],
    "sourcing": ["priority", "most_available"],
    "count_floor": ["allocated"],
    "result": sorted(RESULTS),
}
YES_OR_NO = {"add", "force", "track", "decimals", "saleable", "enabled", "kit_apart"}


class Documents:
    """Documents of one seed."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.wildness = self.random.choice([0.0, 0.0, 0.002, 0.02])

    def rows(self, keys: set[str], required: set[str]) -> list[dict[str, Any]]:
        return [self.keyed(keys, required) for _ in range(self.random.randint(0, 3))]

    def keyed(self, keys: set[str], required: set[str]) -> dict[str, Any]:
        chosen = sorted(key for key in keys | required if key in required or self.random.random() < 0.3)
        return {key: self.value(key) for key in chosen}

    def value(self, key: str) -> Any:
        pick = self.random
        if pick.random() < self.wildness:
            return pick.choice(WILD)
        if key in NAMES:
            return pick.choice(NAMES[key])
        if key in YES_OR_NO:
            return pick.random() < 0.5
        if key in ("lines", "take"):
            return self.rows({"sku", "location"}, {"sku", "qty"})
        if key == "locations":
            return pick.sample(["a", "b"], pick.randint(0, 2))
        if key == "short":
            return ["tea"]
        if key == "counts":
            return {"ok": 1}
        if key == "policy":
            return self.keyed(POLICIES - {"kit", "kit_apart"}, set())
        if key == "backorder":
            return pick.choice([True, False, {"limit": self.value("limit")}])
        if key == "preorder":
            return {"total": self.value("total"), "channels": {"web": self.value("limit")}}
        if key == "kit":
            return {"tea": self.value("qty")}
        if key == "available":
            return pick.choice([3, "unlimited"])
        if key == "expect":
            return self.keyed(STEP_EXPECT, set())
        if key == "steps":
            return [self.step(set(OPERATIONS) - {"race", "tick"}) for _ in range(2)]
        return pick.choice([0, 1, 2, 3, 5, 8, 60, 2.5, "4"])

    def step(self, operations: set[str]) -> dict[str, Any]:
        op = self.random.choice(sorted(operations))
        required, optional = OPERATIONS[op]
        step = {"op": op, **self.keyed(optional | {"key", "expect"}, required)}
        if op == "reorder" and "order" in step:
            step["order"] = self.random.random() < 0.5
        return step

    def case(self) -> dict[str, Any]:
        # A race needs a served engine: few of them, or they take all the time.
        operations = set(OPERATIONS) - (set() if self.random.random() < 0.03 else {"race"})
        stock = {"saleable", "incoming", "lot", "received", "expiry"}
        return {
            "id": "made",
            "setup": {
                "locations": ["a", {"id": "b", "enabled": self.value("enabled")}],
                "channels": {"web": self.keyed({"sourcing"}, {"locations"}), "shop": {"locations": ["b"]}},
                "skus": {
                    "tea": self.keyed(POLICIES - {"kit", "kit_apart"}, set()),
                    "jam": {},
                    "box": {"kit": {"jam": 2}},
                },
                "stock": self.rows(stock, {"sku", "location", "on_hand"}),
            },
            "steps": [self.step(operations) for _ in range(self.random.randint(1, 12))],
            "expect": {
                kind: self.rows(keys, {"sku"} | (COUNTERS if kind == "levels" else set()))
                for kind, keys in END_ROWS.items()
            },
        }


def test_any_document_is_answered() -> None:
    seen: Counter[str] = Counter()
    for seed in range(SEEDS):
        text = json.dumps({"cases": [Documents(seed).case()]})
        try:
            (outcome,) = run_cases(load_cases(text))
        except CaseError as error:
            names_it = str(error).startswith("case number 1 (made): ")
            seen["not of the format" if names_it else f"seed {seed} does not name its case"] += 1
            continue
        report = json.loads(outcome.as_json())
        assert report["ok"] == (report["differs"] == []), seed
        assert not [line for line in report["differs"] if line.startswith("law")], seed
        seen["refused" if "refused the setup" in str(report["differs"]) else "replayed"] += 1
    assert set(seen) == {"not of the format", "refused", "replayed"}
    assert seen["replayed"] > SEEDS / 3

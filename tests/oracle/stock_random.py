"""Random stock cases by seed, and what the plain model expects of them.

    case = random_case(random.Random(7), steps=200)      # valid, its expectations empty
    expected = expectations(case)                        # {"steps": [one expect a step], "expect": {the end}}
    full = with_expectations(case)                       # a case that can be run against another engine

The same seed and number of steps give the same case. The walk keeps a model beside it to choose steps that hit:
most are possible, some ask for too much, a few are wrong in one way each.
"""

from __future__ import annotations

import random
from decimal import Decimal
from typing import Any

from stock_goods import COUNTERS
from stock_kits import kits_among
from stock_model import StockModel, named_items
from stock_result import Result
from stock_state import MILLI_PER_UNIT, asked_of, from_milli

Step = dict[str, Any]
Case = dict[str, Any]

PLACES = ("a", "b", "c", "d")
SKUS = ("plain", "owed", "debt", "kept", "lots", "boxed", "ham", "card", "game", "floor")
KITS = ("box", "duo", "bag")
LOTS = (("l1", "2026-01-03", "2026-05-01"), ("l2", "2026-01-01", "2026-04-01"), ("l3", "2026-01-02", None))
WEIGHTS = {
    "hold": 14,
    "place": 14,
    "ship": 8,
    "cancel": 5,
    "sell": 8,
    "commit": 6,
    "release": 5,
    "resize": 4,
    "extend": 2,
    "unship": 2,
    "return": 4,
    "adjust": 4,
    "count": 3,
    "receive": 5,
    "transfer": 4,
    "remove_position": 1,
    "set_policy": 1,
    "tick": 6,
    "reallocate": 3,
    "reorder": 2,
    "race": 1,
    "check": 3,
    "query": 2,
}


def random_case(rng: random.Random, steps: int) -> Case:
    """A valid case of so many steps, with empty expectations. Deterministic by the state of rng."""
    setup = random_setup(rng)
    walk = Walk(rng, setup)
    taken = [walk.step() for _ in range(steps)]
    return {
        "id": f"random-{rng.getrandbits(32):08x}",
        "source": "random",
        "kind": "random",
        "setup": setup,
        "steps": taken,
        "expect": {},
    }


def random_setup(rng: random.Random) -> dict[str, Any]:
    removal = rng.choice(["fifo", "lifo", "fefo"])
    skus: dict[str, Any] = {
        "owed": {"backorder": True, **({"backorder_at": rng.choice(PLACES[:3])} if rng.random() < 0.5 else {})},
        "debt": {"backorder": {"limit": rng.randint(1, 6)}},
        "kept": {"safety": rng.randint(1, 4)},
        "lots": {"removal": removal},
        "boxed": {"step": 3, "min_qty": 3, "max_qty": 9},
        "ham": {"decimals": True},
        "card": {"track": False},
        "game": {"preorder": {"total": rng.randint(4, 12), "channels": {"web": rng.randint(2, 8)}}},
        "floor": {"count_floor": "allocated"},
        "box": {"kit": {"plain": rng.randint(1, 3), "lots": rng.randint(1, 2)}, "max_qty": 5},
        "duo": {"kit": {"kept": 1, rng.choice(["debt", "owed"]): 2}, "kit_apart": rng.random() < 0.4},
        "bag": {"kit": {"card": 1, "ham": Decimal("0.25"), rng.choice(["box", "game", "boxed"]): 1}},
    }
    stock: list[dict[str, Any]] = []
    for sku in SKUS:
        for place in PLACES:
            if sku == "lots":
                for lot, received, expiry in LOTS:
                    row = {
                        "sku": sku,
                        "location": place,
                        "on_hand": rng.randint(0, 5),
                        "lot": lot,
                        "received": received,
                    }
                    stock.append(row if expiry is None else {**row, "expiry": expiry})
            elif rng.random() < 0.9:
                on_hand: Any = rng.randint(0, 12)
                if sku == "ham":
                    on_hand = from_milli(rng.randint(0, 12_000))
                row = {"sku": sku, "location": place, "on_hand": on_hand}
                if rng.random() < 0.1:
                    row["incoming"] = rng.randint(1, 5)
                if rng.random() < 0.05:
                    row["saleable"] = False
                stock.append(row)
    return {
        "locations": ["a", "b", "c", {"id": "d", "enabled": rng.random() < 0.5}],
        "channels": {
            "web": {"locations": rng.sample(PLACES, 4), "sourcing": rng.choice(["priority", "most_available"])},
            "till": {"locations": rng.sample(PLACES, 2), "sourcing": "priority"},
        },
        "skus": skus,
        "stock": stock,
    }


class Walk:
    """Chooses one step after the other; `model` is where the walk stands."""

    def __init__(self, rng: random.Random, setup: dict[str, Any]) -> None:
        self.rng = rng
        self.model = StockModel(setup)
        self.names = 0
        self.keyed: list[Step] = []

    def step(self) -> Step:
        rng = self.rng
        if self.keyed and rng.random() < 0.02:
            step = dict(rng.choice(self.keyed))
            if rng.random() < 0.3:
                step = {"op": "tick", "seconds": 1, "key": step["key"]}
        else:
            name = rng.choices(list(WEIGHTS), list(WEIGHTS.values()))[0]
            step = {"op": name, **getattr(self, name.replace("return", "return_"))()}
            if name not in ("check", "query", "race") and rng.random() < 0.06:
                self.names += 1
                step["key"] = f"k{self.names}"
                self.keyed.append(step)
        self.model.do(step)
        return step

    # Pieces

    def sku(self) -> str:
        roll = self.rng.random()
        return "missing" if roll < 0.01 else self.rng.choice(KITS if roll < 0.2 else SKUS)

    def place_name(self) -> str:
        return "nowhere" if self.rng.random() < 0.01 else self.rng.choice(PLACES)

    def qty(self, sku: str, most: int = 6) -> Any:
        rng = self.rng
        if rng.random() < 0.02:
            return rng.choice([0, -1, Decimal("0.0005"), Decimal("1.5")])
        if sku == "ham":
            return from_milli(rng.randint(1, most * MILLI_PER_UNIT))
        if sku == "boxed" and rng.random() < 0.9:
            return rng.choice([3, 6, 9])
        return rng.randint(1, most)

    def lines(self, located: bool = True) -> list[Step]:
        rng = self.rng
        made = []
        for _ in range(rng.choice([1, 1, 1, 2, 3])):
            sku = self.sku()
            line: Step = {"sku": sku, "qty": self.qty(sku)}
            if located and rng.random() < 0.1:
                line["location"] = self.place_name()
            made.append(line)
        if rng.random() < 0.1:
            made.append({"sku": made[0]["sku"], "qty": self.qty(made[0]["sku"])})
        return made

    def scope(self) -> Step:
        rng, roll = self.rng, self.rng.random()
        if roll < 0.5:
            return {}
        if roll < 0.75:
            return {"channel": "fax" if rng.random() < 0.02 else rng.choice(["web", "till"])}
        if roll < 0.9:
            return {"location": self.place_name()}
        return {"locations": rng.sample(PLACES, rng.randint(1, 3))}

    def ref(self, likely: str = "open") -> str:
        fitting = [ref for ref, hold in self.model.holds.items() if hold.state == likely]
        if fitting and self.rng.random() < 0.85:
            return self.rng.choice(fitting)
        return self.rng.choice([*self.model.holds, "nobody"])

    def order(self, book: str) -> str:
        orders = self.orders()
        fitting = [name for name in orders if getattr(self.model.orders[name], book)]
        if fitting and self.rng.random() < 0.85:
            return self.rng.choice(fitting)
        return self.rng.choice([*orders, "nobody"])

    def orders(self) -> list[str]:
        return [name for name in self.model.orders if not name.startswith("race")]

    def new(self, letter: str) -> str:
        self.names += 1
        return f"{letter}{self.names}"

    def lines_of(self, name: str, book: str) -> list[Step]:
        """A line over something the order has, seldom over more than it has."""
        order = self.model.orders.get(name)
        entries = getattr(order, book) if order else []
        if not entries:
            return [{"sku": "plain", "qty": 1}]
        entry = self.rng.choice(entries)
        sku = entry.sku
        have = sum(entry.qty for entry in entries if entry.sku == sku)
        if entry.kit is not None and self.rng.random() < 0.7:
            sku = entry.kit.sku
            have = sum(count for _, count in kits_among(entries, sku)) * MILLI_PER_UNIT
        grain = 1 if sku == "ham" else MILLI_PER_UNIT
        milli = self.rng.randint(1, max(1, have // grain)) * grain
        if self.rng.random() < 0.08:
            milli = have + MILLI_PER_UNIT
        return [{"sku": sku, "qty": from_milli(milli)}]

    # One method an operation: its fields

    def check(self) -> Step:
        sku = self.sku()
        hold = {"hold": self.ref()} if self.rng.random() < 0.3 else {}
        return {"sku": sku, "qty": self.qty(sku, 15), **self.scope(), **hold}

    def query(self) -> Step:
        return {"sku": self.sku(), **self.scope()}

    def hold(self) -> Step:
        rng = self.rng
        made = {"ref": self.ref() if rng.random() < 0.2 else self.new("h"), "lines": self.lines(), **self.scope()}
        if rng.random() < 0.6:
            made["ttl"] = 0 if rng.random() < 0.02 else rng.choice([10, 30, 60, 300])
        if rng.random() < 0.25:
            made["mode"] = "partial"
        if rng.random() < 0.1:
            made["collection_point"] = self.place_name()
        return made

    def resize(self) -> Step:
        ref = self.ref()
        hold = self.model.holds.get(ref)
        if hold is None or not hold.entries or self.rng.random() < 0.1:
            return {"ref": ref, "lines": self.lines()}
        sku = asked_of(self.rng.choice(hold.entries))
        return {"ref": ref, "lines": [{"sku": sku, "qty": self.qty(sku)}]}

    def extend(self) -> Step:
        return {"ref": self.ref(), "ttl": self.rng.choice([5, 30, 60, 600])}

    def part(self) -> Step:
        """A hold, and of one that has one item only sometimes a part."""
        ref = self.ref()
        hold = self.model.holds.get(ref)
        if hold is not None and len({asked_of(entry) for entry in hold.entries}) == 1 and self.rng.random() < 0.4:
            return {"ref": ref, "qty": self.qty(asked_of(hold.entries[0]), 4)}
        return {"ref": ref}

    def release(self) -> Step:
        return self.part()

    def commit(self) -> Step:
        return self.part()

    def place(self) -> Step:
        rng, roll = self.rng, self.rng.random()
        if roll < 0.1:
            return {"order": self.order("allocated"), "lines": self.lines(), "add": True, **self.scope()}
        if roll < 0.3:
            return {"order": self.new("o"), "hold": self.ref()}
        made = {"order": self.new("o"), "lines": self.lines(), **self.scope()}
        if roll < 0.4:
            made["hold"] = self.ref()
        if rng.random() < 0.1:
            made["collection_point"] = self.place_name()
        if rng.random() < 0.03 and self.orders():
            made["order"] = rng.choice(self.orders())
        return made

    def cancel(self) -> Step:
        name = self.order("allocated")
        return (
            {"order": name} if self.rng.random() < 0.5 else {"order": name, "lines": self.lines_of(name, "allocated")}
        )

    def ship(self) -> Step:
        name = self.order("allocated")
        if self.rng.random() < 0.4:
            return {"order": name}
        lines = self.lines_of(name, "allocated")
        if self.rng.random() < 0.4:
            lines[0]["location"] = self.place_name()
        return {"order": name, "lines": lines}

    def unship(self) -> Step:
        return {"order": self.order("shipped")}

    def return_(self) -> Step:
        name = self.order("shipped")
        line = self.lines_of(name, "shipped")[0]
        made = {"order": name, **line, "location": self.place_name()}
        if self.rng.random() < 0.3:
            made["restock"] = self.rng.choice([0, 1])
        return made

    def sell(self) -> Step:
        mode = {"mode": "partial"} if self.rng.random() < 0.25 else {}
        return {"location": self.place_name(), "lines": self.lines(located=False), **mode}

    def adjust(self) -> Step:
        sku = self.sku()
        delta = self.qty(sku, 4) * self.rng.choice([1, -1])
        return {"sku": sku, "location": self.place_name(), "delta": delta, "reason": "damaged"}

    def count(self) -> Step:
        sku = self.sku()
        made = {"sku": sku, "location": self.place_name(), "on_hand": self.rng.randint(0, 12)}
        if self.rng.random() < 0.4:
            made["book"] = made["on_hand"] + self.rng.randint(-3, 3)
        return made

    def receive(self) -> Step:
        sku = self.sku()
        return {"sku": sku, "location": self.place_name(), "qty": self.qty(sku, 8)}

    def transfer(self) -> Step:
        sku = self.sku()
        return {"sku": sku, "from": self.place_name(), "to": self.place_name(), "qty": self.qty(sku)}

    def remove_position(self) -> Step:
        force = {"force": True} if self.rng.random() < 0.15 else {}
        return {"sku": self.sku(), "location": self.place_name(), **force}

    def set_policy(self) -> Step:
        rng = self.rng
        limit = rng.randint(1, 6)
        sku, policy = rng.choice(
            [
                ("debt", {"backorder": {"limit": limit}}),
                ("debt", {"backorder": False}),
                ("owed", {"backorder": rng.random() < 0.5}),
                ("kept", {"safety": rng.randint(0, 4)}),
                ("lots", {"removal": rng.choice(["fifo", "lifo", "fefo"])}),
                ("box", {"kit": {"plain": rng.randint(1, 3), rng.choice(["lots", "boxed"]): rng.randint(1, 2)}}),
                ("duo", {"kit_apart": rng.random() < 0.5}),
            ]
        )
        return {"sku": sku, "policy": policy}

    def tick(self) -> Step:
        return {"seconds": self.rng.choice([0, 1, 5, 10, 20, 29, 30, 60])}

    def reallocate(self) -> Step:
        name = self.order("allocated")
        line = self.lines_of(name, "allocated")[0]
        order = self.model.orders.get(name)
        places = [entry.position.location for entry in order.allocated if entry.position] if order else []
        return {"order": name, **line, "from": self.rng.choice(places or ["a"]), "to": self.place_name()}

    def reorder(self) -> Step:
        low = self.rng.randint(0, 8)
        made = {"sku": self.sku(), "location": self.place_name(), "min": low, "max": low + self.rng.randint(-1, 9)}
        if self.rng.random() < 0.5:
            made["multiple"] = self.rng.choice([1, 2, 6])
        if self.rng.random() < 0.5:
            made["order"] = True
        return made

    def race(self) -> Step:
        """Equal demands for one item in one scope: how many pass does not depend on their order.

        Which of them pass does, so no later step names their orders.
        """
        sku = self.rng.choice(["plain", "debt", "kept", "ham", "game"])
        qty = self.qty(sku, 3)
        steps = [
            {"op": "place", "order": self.new("race"), "lines": [{"sku": sku, "qty": qty}]}
            for _ in range(self.rng.randint(2, 6))
        ]
        return {"steps": steps}


def step_expectation(step: Step, result: Result) -> dict[str, Any]:
    """All that a step's answer says, in the words of an expectation."""
    expect: dict[str, Any] = {"result": result.word}
    done, op = result.word in ("ok", "partial"), step["op"]
    if op in ("query", "reorder", "race") and done:
        expect |= result.values
    elif op in ("hold", "place") and done:
        expect |= {"take": result.take, "taken": result.taken, "backordered": result.backordered}
    elif op == "sell" and done:
        expect["taken"] = result.taken
    if op in ("hold", "place") and result.word in ("partial", "insufficient"):
        expect["short"] = result.short
    return expect


def expectations(case: Case) -> dict[str, Any]:
    """{"steps": [expect of each step], "expect": levels, totals, available and preorders at the end}."""
    model = StockModel(case["setup"], named_items(case["steps"]))
    steps = [step_expectation(step, model.do(step)) for step in case["steps"]]
    end: dict[str, Any] = {"levels": [], "totals": [], "available": [], "preorders": []}
    for sku, policy in model.policies.items():
        end["totals"].append({"sku": sku, **{name: model.levels(sku)[name] for name in COUNTERS}})
        for place in model.enabled:
            for lot in sorted({row.lot for row in model.rows.get((sku, place), []) if row.lot}):
                levels = model.levels(sku, place, lot)
                end["levels"].append({"sku": sku, "location": place, "lot": lot} | {n: levels[n] for n in COUNTERS})
            levels = model.levels(sku, place)
            end["levels"].append({"sku": sku, "location": place} | {name: levels[name] for name in COUNTERS})
        for channel in model.channels:
            query = model.op_query({"sku": sku, "channel": channel})
            end["available"].append({"sku": sku, "channel": channel, "available": query.values["available"]})
            if policy.preorder is not None:
                taken = from_milli(model.preorder_taken(sku, channel))
                end["preorders"].append({"sku": sku, "channel": channel, "taken": taken})
    return {"steps": steps, "expect": end}


def with_expectations(case: Case) -> Case:
    """The case with what the model expects written into it."""
    expected = expectations(case)
    steps = [{**step, "expect": expect} for step, expect in zip(case["steps"], expected["steps"], strict=True)]
    return {**case, "steps": steps, "expect": expected["expect"]}

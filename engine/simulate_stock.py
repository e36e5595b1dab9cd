"""Replay stock cases through the API, each in a fresh engine, and say what differs from their expectations.

A case is {id, source, kind, about, setup, steps, expect}: quantities are ints or decimals, never floats.
Each step becomes one request; result codes are told in the words of the case format (RESULT_WORDS).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any, Protocol, TypeVar

from google.protobuf.message import Message

from ringup.engine.simulate_embedded import EmbeddedEngine
from ringup.engine.simulate_served import ServedEngine
from ringup.engine.simulate_stock_check import check_case
from ringup.engine.simulate_stock_requests import (
    MILLI_PER_UNIT,
    CaseRequests,
    InvalidQuantityError,
    Json,
    from_milli,
    goods,
    id_of,
    to_milli,
    with_decimals,
)
from ringup.v1 import admin_pb2, catalog_pb2, stock_pb2
from ringup.v1.result_pb2 import ResultCode

COUNTERS = ("on_hand", "allocated", "held", "incoming")
SCOPE_KEYS = ("channel", "location", "locations")
NAMES = {*SCOPE_KEYS, "sku", "lot", "hold"}  # in a row of the end: what it is about, all else is what is asserted
KEYS_KEPT_MS = 3650 * 86_400_000  # the longest there is: a case's clock may run for years
SETUP_ROWS_MAX = 1000
Row = TypeVar("Row")
SECONDS_MAX = 100 * 366 * 86_400
__all__ = ["Engine", "Replay", "SetupError", "check_case", "run_case"]
RESULT_WORDS = {
    "OK": "ok",
    "ID_CONFLICT": "conflict",
    "FIELD_INVALID": "invalid",
    "TOO_MANY": "invalid",
    "LINES_EMPTY": "invalid",
    "QTY_INVALID": "invalid",
    "QTY_TOO_LARGE": "invalid",
    "TIME_INVALID": "invalid",
    "REASON_MISSING": "invalid",
    "ITEM_UNKNOWN": "not_found",
    "LOCATION_UNKNOWN": "not_found",
    "HOLD_UNKNOWN": "not_found",
    "POSITION_UNKNOWN": "not_found",
    "ORDER_UNKNOWN": "not_found",
    "CHANNEL_UNKNOWN": "not_found",
    "LOCATION_DISABLED": "insufficient",
    "HOLD_EXPIRED": "expired",
    "HOLD_COMMITTED": "already_done",
    "HOLD_RELEASED": "already_done",
    "HOLD_ORDERED": "already_done",
    "HOLD_PAYING": "refused",
    "HOLD_EXCEEDED": "exceeds",
    "ORDER_EXISTS": "already_done",
    "ORDER_DONE": "already_done",
    "ORDER_EXCEEDED": "exceeds",
    "STOCK_INSUFFICIENT": "insufficient",
    "STOCK_BELOW_LIMIT": "invalid",
    "STOCK_PROMISED": "refused",
    "ITEM_IS_KIT": "refused",
    "KIT_NESTED": "invalid",
}


class Engine(Protocol):
    """What a case runs on: an embedded engine, or a client of a served one with a clock to set."""

    def advance(self, millis: int) -> None:
        """Let time pass, in ms."""

    def call(self, method: str, request: Message) -> Any:
        """Answer one RPC."""

    def batch(self, requests: Sequence[tuple[str, Message]]) -> list[Any]:
        """Send commands at the same time; their answers, in the order given."""


class SetupError(ValueError):
    """The engine refuses what a case begins with."""


class Outcome:
    """The answer to a step, in the words of the case format."""

    def __init__(self, word: str, response: Any = None) -> None:
        self.word = word
        self.take: list[Json] = []
        self.short: list[str] = []
        self.values: Json = {"taken": 0, "backordered": 0, "locations_used": 0}
        if response is None:
            return
        self.short = list(getattr(response, "short_item_ids", ()))
        if word == "ok" and self.short:
            self.word = "partial"
        takes = list(getattr(response, "takes", ()))
        self.take = [
            {
                "sku": take.item_id,
                "location": take.location_id,
                **({"lot": take.lot_id} if take.lot_id else {}),
                "qty": from_milli(take.qty_milli),
            }
            for take in takes
            if take.location_id
        ]
        self.values["taken"] = from_milli(sum(take.qty_milli for take in takes))
        self.values["backordered"] = from_milli(sum(take.owed_milli for take in takes))
        self.values["locations_used"] = len({unit["location"] for unit in self.take})


class Replay(CaseRequests):
    """One case on one engine."""

    def __init__(self, case: Json, engine: Engine) -> None:
        super().__init__(case)
        self.engine = engine
        self.sent: dict[str, tuple[str, str, Message | None]] = {}  # key -> body of the step, method, request
        self.steps = 0
        self.passed_ms = 0
        self.lowered: set[tuple[str, str]] = set()  # places whose level was set below what is promised, perhaps
        self.owing = {sku for sku, policy in self.policies.items() if policy.get("backorder")}

    def run(self) -> tuple[Json, list[str]]:
        """Rows as in the case's `expect`, and what differs.  Raises SetupError."""
        differs: list[str] = []
        self.prepare()
        for number, step in enumerate(self.case["steps"]):
            outcome = self.do(step)
            differs += [f"step {number} {step['op']}: {text}" for text in step_differs(step.get("expect", {}), outcome)]
        got = self.end_state(self.case["expect"])
        differs += end_differs(self.case["expect"], got)
        differs += self.broken_laws()
        return got, differs

    # Setup

    def prepare(self) -> None:
        """Bring the engine to where the case begins."""
        kept = admin_pb2.Settings(currency="EUR", reply_retention_ms=KEYS_KEPT_MS)
        self.must("PutSettings", admin_pb2.PutSettingsRequest(settings=kept))
        places = [catalog_pb2.Location(location_id=name, disabled=not on) for name, on in self.places.items()]
        self.put("PutLocations", places, lambda some: catalog_pb2.PutLocationsRequest(locations=some))
        sourcing = {
            "priority": stock_pb2.SOURCING_PRIORITY,
            "most_available": stock_pb2.SOURCING_MOST_AVAILABLE,
            "fewest_shipments": stock_pb2.SOURCING_FEWEST_SHIPMENTS,
        }
        channels = [
            stock_pb2.Channel(
                channel_id=name,
                location_ids=dict.fromkeys(channel["locations"]),
                sourcing=sourcing[channel.get("sourcing", "priority")],
            )
            for name, channel in self.channels.items()
        ]
        self.put("PutChannels", channels, lambda some: stock_pb2.PutChannelsRequest(channels=some))
        if not self.policies:
            return
        items = [self.item(sku) for sku in self.policies]
        # Tracked and measured until the stock is there: what stands somewhere does not depend on the rules.
        first = [catalog_pb2.Item(item_id=sku, name=sku, measured=True) for sku in self.policies]
        self.put("PutItems", first, lambda some: catalog_pb2.PutItemsRequest(items=some))
        # Empty positions in no lot come first, as do those below zero: lowering them later could take of lots.
        rows = self.setup.get("stock", [])
        for row in sorted(rows, key=lambda row: bool(row.get("lot")) or to_milli(row["on_hand"]) > 0):
            self.stock_row(row)
        self.put("PutItems", items, lambda some: catalog_pb2.PutItemsRequest(items=some))
        kits = [self.kit(sku) for sku, policy in self.policies.items() if policy.get("kit")]
        self.put("PutKits", kits, lambda some: stock_pb2.PutKitsRequest(kits=some))
        policies = [self.policy(sku) for sku in self.policies]
        self.put("PutStockPolicies", policies, lambda some: stock_pb2.PutStockPoliciesRequest(policies=some))

    def stock_row(self, row: Json) -> None:
        """Put one row of the setup's stock where it belongs; a row without units is still a position."""
        sku, place, qty_milli = row["sku"], row["location"], to_milli(row["on_hand"])
        line = goods(row)
        line.qty_milli = qty_milli if qty_milli > 0 else MILLI_PER_UNIT
        self.must("ReceiveStock", stock_pb2.ReceiveStockRequest(location_id=place, lines=[line]))
        if qty_milli <= 0:
            if qty_milli < 0:
                owing = stock_pb2.StockPolicy(item_id=sku, backorder=True)
                self.must("PutStockPolicies", stock_pb2.PutStockPoliciesRequest(policies=[owing]))
            line.qty_milli = qty_milli - MILLI_PER_UNIT
            lines = [stock_pb2.StockLine(item_id=sku, qty_milli=line.qty_milli, lot_id=line.lot_id)]
            self.must("AdjustStock", stock_pb2.AdjustStockRequest(location_id=place, lines=lines, reason="setup"))
        if row.get("incoming"):
            lines = [stock_pb2.StockLine(item_id=sku, qty_milli=to_milli(row["incoming"]))]
            self.must("ExpectStock", stock_pb2.ExpectStockRequest(location_id=place, lines=lines))

    def put(self, method: str, rows: list[Row], request: Callable[[list[Row]], Message]) -> None:
        """Send rows of the setup in as many requests as they need."""
        for start in range(0, len(rows), SETUP_ROWS_MAX):
            self.must(method, request(rows[start : start + SETUP_ROWS_MAX]))

    def must(self, method: str, request: Any) -> None:
        """Send a request of the setup.  Raises SetupError when the engine refuses it."""
        self.steps += 1
        request.command_id = id_of("setup", str(self.steps))
        answer = self.engine.call(method, request)
        if answer.code != ResultCode.RESULT_CODE_OK:
            raise SetupError(f"{method} refused the setup: {ResultCode.Name(answer.code)}, {one_line(answer.problem)}")

    def send_item(self, item: catalog_pb2.Item) -> None:
        self.must("PutItems", catalog_pb2.PutItemsRequest(items=[item]))

    # Steps

    def do(self, step: Json) -> Outcome:
        """Carry one step out."""
        self.steps += 1
        op = step["op"]
        if op == "race":
            return self.race(step)
        key, body = step.get("key"), body_of(step)
        known = self.sent.get(key) if key is not None else None
        if known is not None and known[0] == body:
            return self.again(step, known[1], known[2])
        if known is not None and (known[2] is None or op == "set_policy"):
            return Outcome("conflict")  # the first step never reached the engine, or this one begins with an item
        try:
            method, request = self.request(step)
        except InvalidQuantityError:
            method, request = "", None
        if request is None:
            if key is not None and known is None:
                self.sent[key] = (body, "", None)
            if known is not None:
                return Outcome("conflict")
            return self.pass_time(step) if op == "tick" else Outcome("invalid")
        if hasattr(request, "command_id"):
            request.command_id = id_of("key", key) if key is not None else id_of("step", str(self.steps))
        if known is not None:
            if request == known[2]:  # the same body, written otherwise: 2 and 2.0
                return self.again(step, method, request)
            # The engine is asked all the same: it is what must tell a conflict. A question has no id to tell it by.
            word = word_of(self.engine.call(method, request)) if hasattr(request, "command_id") else "conflict"
            return Outcome(word)
        if key is not None:
            self.sent[key] = (body, method, request)
        outcome = self.outcome(step, self.engine.call(method, request))
        self.note(step, outcome)
        return outcome

    def again(self, step: Json, method: str, request: Message | None) -> Outcome:
        """A step sent again under its key: the first answer, and no second effect."""
        outcome = Outcome("replayed") if request is None else self.outcome(step, self.engine.call(method, request))
        outcome.word = "replayed"
        return outcome

    def outcome(self, step: Json, answer: Any) -> Outcome:
        """An answer in the words of the case format."""
        op, word = step["op"], word_of(answer)
        if op == "check" and word == "not_found":
            word = "insufficient"  # a check has three answers
        if op == "query" and answer.code == ResultCode.RESULT_CODE_ITEM_UNKNOWN:
            outcome = Outcome("ok")  # nobody has any of it
            outcome.values |= dict.fromkeys((*COUNTERS, "available"), 0)
            return outcome
        outcome = Outcome(word, answer)
        if op == "query" and outcome.word == "ok":
            outcome.values |= self.promise_values(answer.promises[0])
            if "hold" in step:
                outcome.values["available"] = self.available_with(step)
        elif op == "reorder" and outcome.word == "ok":
            outcome.values |= {"qty": from_milli(answer.qty_milli), "forecast": from_milli(answer.forecast_milli)}
        elif op == "return" and outcome.word == "ok":
            outcome.values["taken"] = from_milli(to_milli(step["qty"]))
        return outcome

    def pass_time(self, step: Json) -> Outcome:
        try:
            millis = to_milli(step["seconds"])
        except InvalidQuantityError:
            return Outcome("invalid")
        if millis < 0 or self.passed_ms + millis > SECONDS_MAX * 1000:
            return Outcome("invalid")
        self.passed_ms += millis
        self.engine.advance(millis)
        return Outcome("ok")

    def race(self, step: Json) -> Outcome:
        """Steps at the same time: each from a caller of its own."""
        sent: list[tuple[Json, str, Message]] = []
        words: list[str] = []
        for number, inner in enumerate(step["steps"]):
            try:
                method, request = self.request(inner)
            except InvalidQuantityError:
                words.append("invalid")
                continue
            key = inner.get("key")
            if hasattr(request, "command_id"):  # a question has none
                request.command_id = id_of("race", f"{self.steps}.{number}") if key is None else id_of("key", key)
            sent.append((inner, method, request))
        answers = self.engine.batch([(method, request) for _, method, request in sent])
        for (inner, method, request), answer in zip(sent, answers, strict=True):
            outcome, key = self.outcome(inner, answer), inner.get("key")
            self.note(inner, outcome)
            word = outcome.word
            if key is not None and word != "conflict":
                if key in self.sent:  # whichever of them came first took effect, the others are told its answer
                    word = "replayed"
                else:
                    self.sent[key] = (body_of(inner), method, request)
            words.append(word)
        outcome = Outcome("ok")
        outcome.values["counts"] = {word: words.count(word) for word in words}
        return outcome

    def note(self, step: Json, outcome: Outcome) -> None:
        """Remember what the laws of the end need to know."""
        if outcome.word != "ok":
            return
        if step["op"] in ("count", "adjust", "transfer", "remove_position", "unship"):
            self.lowered |= {(step.get("sku", ""), place) for place in self.places}
            if step["op"] == "unship":
                self.lowered |= {(sku, place) for sku in self.policies for place in self.places}
        if step["op"] == "set_policy":
            before, written = self.policies[step["sku"]], step["policy"]
            self.policies[step["sku"]] = with_decimals(before | written, written)
            if step["policy"].get("backorder"):
                self.owing.add(step["sku"])

    # The end

    def promise(self, sku: str, scope: Json) -> Json:
        """What can be promised of an item in a scope, and its counters there; of an unknown item there is none."""
        answer = self.engine.call(*self.make_query({"sku": sku, **scope}))
        if answer.code == ResultCode.RESULT_CODE_ITEM_UNKNOWN:
            return dict.fromkeys((*COUNTERS, "available"), 0)
        return self.promise_values(answer.promises[0]) if answer.promises else {}

    def available_with(self, row: Json) -> Any:
        """What can be promised in a scope to whom a hold belongs: its own units count as available."""
        sold = stock_pb2.StockPolicy() if row["sku"] not in self.policies else self.policy(row["sku"])
        step_milli = sold.step_milli or MILLI_PER_UNIT
        asked = max(-(-sold.min_qty_milli // step_milli), 1) * step_milli  # a quantity that may be asked at all
        answer = self.engine.call(*self.make_check({**row, "qty": from_milli(asked)}))
        if answer.code == ResultCode.RESULT_CODE_OK and not answer.available_milli:
            return "unlimited"
        return from_milli(answer.available_milli)

    def promise_values(self, promise: stock_pb2.Promise) -> Json:
        """The counters of a promise, in units."""
        values: Json = {name: from_milli(getattr(promise, f"{name}_milli")) for name in COUNTERS}
        values["available"] = "unlimited" if promise.unlimited else from_milli(promise.available_milli)
        return values

    def levels(self, sku: str, location: str | None, lot: str | None) -> Json:
        """The counters of an item: in a lot, at a place, or over all places."""
        request = stock_pb2.GetAvailabilityRequest(item_ids=[sku], location_id=location or "")
        rows: list[Any] = list(self.engine.call("GetAvailability", request).positions)
        if lot is not None:
            rows = [row for position in rows for row in position.lots if row.lot_id == lot]
        found = {name: sum(getattr(row, f"{name}_milli", 0) for row in rows) for name in COUNTERS}
        found["free"] = found["on_hand"] - found["allocated"] - found["held"]
        return {name: from_milli(qty_milli) for name, qty_milli in found.items()}

    def end_state(self, expect: Json) -> Json:
        """The same rows as the expectation, with what the engine has."""
        got: Json = {}
        for kind, rows in expect.items():
            got[kind] = []
            for row in rows:
                if kind == "available":
                    scope = {name: row[name] for name in SCOPE_KEYS if name in row}
                    found = self.promise(row["sku"], scope)
                    if row.get("hold") is not None and found:
                        found["available"] = self.available_with({**scope, "sku": row["sku"], "hold": row["hold"]})
                elif kind == "preorders":
                    found = self.preordered(row["sku"], row.get("channel"))
                else:
                    found = self.levels(row["sku"], row.get("location"), row.get("lot"))
                    if "available" in row:
                        scope = {"location": row["location"]} if "location" in row else {}
                        found["available"] = self.promise(row["sku"], scope).get("available")
                got[kind].append({name: row[name] if name in NAMES else found.get(name) for name in row})
        return got

    def preordered(self, sku: str, channel: str | None) -> Json:
        """What was preordered on one channel or on all, and what a channel (none: the first) may still take."""
        total_milli = 0
        found: Json = {}
        for name in self.channels:
            request = stock_pb2.GetPromiseRequest(item_ids=[sku], scope=stock_pb2.Scope(channel_id=name))
            for promise in self.engine.call("GetPromise", request).promises:
                total_milli += promise.preordered_milli
                if name == channel:
                    found["taken"] = from_milli(promise.preordered_milli)
                if name == (channel or next(iter(self.channels))):
                    found["available"] = found["left"] = self.promise_values(promise)["available"]
        found = {"total": from_milli(total_milli), "taken": from_milli(total_milli)} | found
        return found | {"qty": found["taken"]}

    def broken_laws(self) -> list[str]:
        """What must hold at the end of every case."""
        broken = []
        for sku in self.policies:
            request = stock_pb2.GetAvailabilityRequest(item_ids=[sku])
            for row in self.engine.call("GetAvailability", request).positions:
                place = row.location_id
                if row.held_milli < 0 or row.allocated_milli < 0:
                    broken.append(f"law: {sku} at {place} has promised less than nothing: {row}")
                promised = row.allocated_milli + row.held_milli
                if sku not in self.owing and (sku, place) not in self.lowered and promised > max(row.on_hand_milli, 0):
                    broken.append(
                        f"law: {sku} at {place} has promised {promised} of {row.on_hand_milli} (in thousandths)"
                    )
        return broken


def body_of(step: Json) -> str:
    """What an idempotency key stands for: the step without its key and expectation."""
    return json.dumps({k: v for k, v in step.items() if k not in ("key", "expect")}, sort_keys=True, default=str)


def one_line(message: Message) -> str:
    return ", ".join(str(message).splitlines())


def word_of(answer: Any) -> str:
    """The word of the case format for an answer's code."""
    name = ResultCode.Name(answer.code).removeprefix("RESULT_CODE_")
    return RESULT_WORDS.get(name, name.lower())


def same(want: Any, found: Any) -> bool:
    """Whether a quantity or word is the one expected (null: any); a quantity may be written as a text."""
    if isinstance(want, str) and isinstance(found, int | Decimal):
        return to_milli(want) == to_milli(found) if want != "unlimited" else False
    return want is None or bool(want == found)


def summed(units: list[Json], marks: list[str]) -> dict[tuple[Any, ...], int]:
    """Milli-units of a take by the marks (place, lot, item) that the expectation names."""
    total: dict[tuple[Any, ...], int] = {}
    for unit in units:
        key = tuple(unit.get(mark) for mark in marks)
        total[key] = total.get(key, 0) + to_milli(unit["qty"])
    return {key: qty for key, qty in total.items() if qty}


def step_differs(expect: Json, outcome: Outcome) -> list[str]:
    """What an answer has different from a step's expectation."""
    differs = []
    if outcome.word != expect.get("result", "ok"):
        differs.append(f"result: expected {expect.get('result', 'ok')}, found {outcome.word}")
    for key, wanted in expect.items():
        if key == "result" or wanted is None:
            continue
        want, found = wanted, outcome.values.get(key)
        if key == "take":
            marks = sorted({name for unit in wanted for name in unit} - {"qty"}) or ["location"]
            want, found = summed(wanted, marks), summed(outcome.take, marks)
        elif key == "short":
            want, found = sorted(wanted), sorted(outcome.short)
        elif key == "counts":
            want = {word: to_milli(count) // MILLI_PER_UNIT for word, count in wanted.items()}
            found = {word: (found or {}).get(word, 0) for word in want}  # a word that is not named is not asserted
        if not same(want, found):
            differs.append(f"{key}: expected {want}, found {found}")
    return differs


def end_differs(expect: Json, got: Json) -> list[str]:
    """What the end state has different from the expectation."""
    return [
        f"{kind}: expected {want}, found {found}"
        for kind, rows in expect.items()
        for want, found in zip(rows, got[kind], strict=True)
        if not all(same(want[name], found[name]) for name in want)
    ]


def run_case(case: Json, engine: Engine | None = None) -> tuple[Json, list[str]]:
    """Replay a case on a fresh engine, its own when none is given: (rows as in `expect`, what differs).

    A case with a race runs on an engine on loopback, where the steps of the race are calls at the same time.
    """
    try:
        if engine is None and any(step["op"] == "race" for step in case["steps"]):
            with ServedEngine() as served:
                return Replay(case, served).run()
        return Replay(case, engine or EmbeddedEngine()).run()
    except SetupError as error:
        return {}, [str(error)]

"""Steps of a race are calls at the same time on a served engine; keys in them take effect once."""

from __future__ import annotations

from typing import Any

from ringup.engine.simulate_served import ServedEngine
from ringup.engine.simulate_stock import Replay, run_case
from ringup.v1 import stock_pb2 as pb

SETUP: dict[str, Any] = {"locations": ["shop"], "stock": [{"sku": "tea", "location": "shop", "on_hand": 5}]}


def place(order: str, **fields: Any) -> dict[str, Any]:
    return {"op": "place", "order": order, "lines": [{"sku": "tea", "qty": 1}], **fields}


def case(steps: list[dict[str, Any]], **expect: Any) -> dict[str, Any]:
    return {"id": "race", "source": "ringup", "kind": "race", "setup": SETUP, "steps": steps, "expect": expect}


def test_calls_of_a_race_are_answered_by_an_engine_on_loopback_each_to_its_caller() -> None:
    steps = [place(f"o{n}") for n in range(12)]
    counts = {"ok": 5, "insufficient": 7}
    race = {"op": "race", "steps": steps, "expect": {"counts": counts}}
    assert run_case(case([race], totals=[{"sku": "tea", "allocated": 5}]))[1] == []


def test_a_key_in_a_race_takes_effect_once_and_is_known_after_it() -> None:
    steps = [place("o1", key="k")] * 6
    race = {"op": "race", "steps": steps, "expect": {"counts": {"ok": 1, "replayed": 5}}}
    after = [place("o1", key="k", expect={"result": "replayed"}), place("o2", key="k", expect={"result": "conflict"})]
    assert run_case(case([race, *after], totals=[{"sku": "tea", "allocated": 1}]))[1] == []


def test_two_bodies_of_one_key_conflict_whichever_comes_first() -> None:
    race = {"op": "race", "steps": [place("o1", key="k"), place("o2", key="k")]}
    race["expect"] = {"counts": {"ok": 1, "conflict": 1}}
    assert run_case(case([race], totals=[{"sku": "tea", "allocated": 1}]))[1] == []


def test_the_clock_of_a_served_case_is_the_case_s_own() -> None:
    with ServedEngine() as engine:
        replay = Replay(case([]), engine)
        replay.prepare()
        assert replay.do({"op": "hold", "ref": "a", "ttl": 60, "lines": [{"sku": "tea", "qty": 5}]}).word == "ok"
        assert replay.do(place("o1")).word == "insufficient"
        engine.advance(60_000)
        request = pb.GetPromiseRequest(item_ids=["tea"])
        assert engine.call("GetPromise", request).promises[0].available_milli == 5000
        assert replay.do(place("o1")).word == "ok"


def test_a_race_may_have_more_steps_than_the_engine_has_streams() -> None:
    """Streams that were refused ended the whole file in a traceback; sent again with its id, a step counts once."""
    race = {"op": "race", "steps": [place(f"o{n}") for n in range(300)]}
    race["expect"] = {"counts": {"ok": 5, "insufficient": 295}}
    assert run_case(case([race], totals=[{"sku": "tea", "allocated": 5}]))[1] == []

"""The linearizability checker accepts what some order explains and rejects what none does."""

from __future__ import annotations

import heapq
import itertools
import random
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).resolve().parent))
from linearizability import (
    Call,
    ItemState,
    Undecided,
    explained_by,
    find_order,
    item_step,
    items_not_linearizable,
)


def reserve(ref, qty, called, returned, answer):
    return Call("reserve", ref, qty, called, returned, answer)


def release(ref, called, returned, answer):
    return Call("release", ref, 0, called, returned, answer)


def commit(ref, called, returned, answer):
    return Call("commit", ref, 0, called, returned, answer)


def available(called, returned, answer):
    return Call("available", "", 0, called, returned, answer)


GOOD = {
    "nothing happened": (1, []),
    "one after the other": (1, [reserve("a", 1, 0, 1, "ok"), reserve("b", 1, 2, 3, "insufficient")]),
    "the later caller may win while both wait": (
        1,
        [reserve("a", 1, 0, 9, "insufficient"), reserve("b", 1, 5, 6, "ok")],
    ),
    "released in between": (
        1,
        [
            reserve("a", 1, 0, 1, "ok"),
            release("a", 2, 8, "ok"),
            reserve("b", 1, 3, 4, "insufficient"),
            reserve("c", 1, 5, 6, "ok"),
        ],
    ),
    "commit and release at once, one does it": (
        2,
        [reserve("a", 2, 0, 1, "ok"), commit("a", 2, 5, "already_done"), release("a", 3, 4, "ok")],
    ),
    "the lost reserve took effect": (1, [reserve("a", 1, 0, 1, None), reserve("b", 1, 2, 3, "insufficient")]),
    "the lost reserve did not": (1, [reserve("a", 1, 0, 1, None), reserve("b", 1, 2, 3, "ok")]),
    "the lost reserve took effect late": (
        1,
        [reserve("a", 1, 0, 1, None), available(2, 3, 1), reserve("b", 1, 4, 5, "insufficient")],
    ),
    "a lost commit explains what a later release says": (
        1,
        [reserve("a", 1, 0, 1, "ok"), commit("a", 2, 3, None), release("a", 4, 5, "already_done")],
    ),
    "the same ref again replaces": (3, [reserve("a", 2, 0, 1, "ok"), reserve("a", 3, 2, 3, "ok"), available(4, 5, 0)]),
    "a read while a reserve runs sees either": (
        2,
        [reserve("a", 1, 0, 9, "ok"), available(1, 2, 2), available(3, 4, 1)],
    ),
}
BAD = {
    "the last unit sold twice": (1, [reserve("a", 1, 0, 5, "ok"), reserve("b", 1, 1, 4, "ok")]),
    "refused though nobody else was there": (1, [reserve("a", 1, 0, 1, "insufficient")]),
    "refused after the release was answered": (
        1,
        [reserve("a", 1, 0, 1, "ok"), release("a", 2, 3, "ok"), reserve("b", 1, 4, 5, "insufficient")],
    ),
    "sold again after the commit": (
        1,
        [reserve("a", 1, 0, 1, "ok"), commit("a", 2, 3, "ok"), reserve("b", 1, 4, 5, "ok")],
    ),
    "one hold committed twice": (
        2,
        [reserve("a", 1, 0, 1, "ok"), commit("a", 2, 5, "ok"), commit("a", 3, 4, "ok")],
    ),
    "an answer before its cause was sent": (1, [release("a", 0, 1, "ok"), reserve("a", 1, 2, 3, "ok")]),
    "a stale read": (2, [reserve("a", 1, 0, 1, "ok"), available(2, 3, 2)]),
    "reads that go back": (2, [reserve("a", 1, 0, 9, "ok"), available(1, 2, 1), available(3, 4, 2)]),
    "a lost call cannot take effect before it was sent": (
        1,
        [reserve("b", 1, 0, 1, "insufficient"), reserve("a", 1, 2, 3, None)],
    ),
    "a lost call takes effect once": (
        2,
        [reserve("a", 1, 0, 1, None), available(2, 3, 1), reserve("b", 1, 4, 5, "ok"), available(6, 7, 1)],
    ),
}


@pytest.mark.parametrize("name", GOOD)
def test_accepts(name):
    on_hand, history = GOOD[name]
    order = find_order(history, ItemState(on_hand))
    assert order is not None
    assert explained_by(order, history, ItemState(on_hand))


@pytest.mark.parametrize("name", BAD)
def test_rejects(name):
    on_hand, history = BAD[name]
    assert find_order(history, ItemState(on_hand)) is None


def test_an_unknown_operation_is_named():
    with pytest.raises(ValueError, match="found 'steal'"):
        find_order([Call("steal", "a", 1, 0, 1, "ok")], ItemState(1))


def test_items_are_checked_apart():
    good = [replace(call, item="tea") for call in GOOD["released in between"][1]]
    bad = [replace(call, item="jam") for call in BAD["the last unit sold twice"][1]]
    assert items_not_linearizable(good + bad, {"tea": 1, "jam": 1}) == ["jam"]
    assert items_not_linearizable(good + bad, {"tea": 1, "jam": 2}) == []


def by_trying_all(history, state):
    """Every order of every choice of lost calls: the definition, for small histories."""
    known = [call for call in history if call.answer is not None]
    lost = [call for call in history if call.answer is None]
    for count in range(len(lost) + 1):
        for some in itertools.combinations(lost, count):
            for order in itertools.permutations(known + list(some)):
                in_time = all(b.answer is None or a.called <= b.returned for a, b in itertools.combinations(order, 2))
                now, fits = state, in_time
                for call in order if in_time else ():
                    now, answer = item_step(now, call)
                    fits = fits and call.answer in (None, answer)
                if fits:
                    return True
    return False


ANSWERS = {
    "reserve": ["ok", "insufficient", None],
    "release": ["ok", "already_done", "not_found", None],
    "commit": ["ok", "already_done", None],
    "available": [0, 1, 2],
}


@st.composite
def small_histories(draw):
    history = []
    for _ in range(draw(st.integers(1, 5))):
        op = draw(st.sampled_from(["reserve", "reserve", "release", "commit", "available"]))
        called = draw(st.integers(0, 8))
        returned = called + draw(st.integers(1, 6)) + 0.5
        answer = draw(st.sampled_from(ANSWERS[op]))
        history.append(Call(op, draw(st.sampled_from("ab")), draw(st.integers(1, 2)), called, returned, answer))
    return history


@settings(max_examples=300, deadline=None)
@given(small_histories(), st.integers(0, 2))
@example([reserve("a", 1, 0, 1.5, None), reserve("b", 1, 2, 3.5, "insufficient")], 1)
def test_agrees_with_trying_all_orders(history, on_hand):
    order = find_order(history, ItemState(on_hand))
    assert (order is not None) == by_trying_all(history, ItemState(on_hand))
    assert order is None or explained_by(order, history, ItemState(on_hand))


def simulated(seed, callers, calls, on_hand, lost_share=0.0, items=("",)):
    """A good history, in the order of its effects: each call takes effect once between sent and answered."""
    rng = random.Random(seed)
    clock = [(rng.random(), caller) for caller in range(callers)]
    heapq.heapify(clock)
    effects = []
    for number in range(calls):
        called, caller = heapq.heappop(clock)
        op = rng.choice(["reserve", "reserve", "release", "commit", "available"])
        effect = called + rng.random()
        returned = effect + rng.random()
        heapq.heappush(clock, (returned + rng.random() / 10, caller))
        # A caller speaks of its own cart and sometimes of its neighbour's.
        ref = f"cart{(caller + rng.choice([0, 0, 0, 1])) % callers}"
        effects.append((effect, number, Call(op, ref, rng.randint(1, 3), called, returned, None, rng.choice(items))))
    history, states = [], {item: ItemState(on_hand) for item in items}
    for _, _, call in sorted(effects):
        lost = rng.random() < lost_share
        if lost and rng.random() < 0.5:
            history.append(call)
            continue
        states[call.item], answer = item_step(states[call.item], call)
        history.append(call if lost else replace(call, answer=answer))
    return history


def shuffled(history):
    return random.Random(0).sample(history, len(history))


@pytest.mark.parametrize("seed", range(4))
def test_accepts_many_callers_over_several_items(seed):
    items = [f"item{number}" for number in range(12)]
    history = simulated(seed, callers=64, calls=2000, on_hand=9, items=items)
    assert items_not_linearizable(shuffled(history), dict.fromkeys(items, 9)) == []


@pytest.mark.parametrize("seed", range(4))
def test_a_known_order_decides_at_any_width(seed):
    history = simulated(seed, callers=64, calls=2000, on_hand=30)
    state = ItemState(30)
    assert explained_by(history, shuffled(history), state)
    assert not explained_by(history[:-1], history, state), "a call is missing"
    assert not explained_by([*history, history[0]], history, state), "a call twice"
    assert not explained_by([history[-1], *history[:-1]], history, state), "the last call cannot come first"
    number = next(number for number, call in enumerate(history) if call.answer == "insufficient")
    history[number] = replace(history[number], answer="ok")
    assert not explained_by(history, history, state), "a false answer"


@pytest.mark.parametrize("seed", range(4))
def test_accepts_lost_answers(seed):
    history = simulated(seed, callers=6, calls=150, on_hand=10, lost_share=0.03)
    assert any(call.answer is None for call in history)
    assert find_order(shuffled(history), ItemState(10)) is not None


def test_says_when_a_history_is_too_wide():
    history = simulated(0, callers=64, calls=300, on_hand=30)
    with pytest.raises(Undecided, match="shorter history"):
        find_order(history, ItemState(30), states_max=50)


@pytest.mark.parametrize("seed", range(8))
def test_rejects_one_false_answer_among_many(seed):
    """One read that saw a unit too many, in a history that was good."""
    history = simulated(seed, callers=4, calls=120, on_hand=10)
    assert find_order(history, ItemState(10)) is not None
    reads = [index for index, call in enumerate(history) if call.op == "available"]
    history[reads[seed]] = replace(history[reads[seed]], answer=11)
    assert find_order(history, ItemState(10)) is None


class Shelf:
    """A shelf shared by threads; without its lock, check and take are two steps and everybody can pass the check."""

    def __init__(self, on_hand, locked, meeting):
        self.on_hand = on_hand
        self.lock = threading.Lock() if locked else None
        self.meeting = meeting

    def reserve(self, qty):
        if self.lock:
            with self.lock:
                return self.take(qty) if self.on_hand >= qty else "insufficient"
        enough = self.on_hand >= qty
        self.meeting.wait(60)  # all have looked, none has taken
        return self.take(qty) if enough else "insufficient"

    def take(self, qty):
        self.on_hand -= qty
        return "ok"


@pytest.mark.parametrize("locked", [True, False])
def test_tells_a_locked_shelf_from_one_that_oversells(locked):
    callers, ticks = 4, itertools.count()
    shelf = Shelf(2, locked, threading.Barrier(callers))
    history = []

    def buy(name):
        called = next(ticks)
        answer = shelf.reserve(1)
        history.append(reserve(name, 1, called, next(ticks), answer))

    threads = [threading.Thread(target=buy, args=(f"t{number}",)) for number in range(callers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(90)
    assert len(history) == callers
    assert (find_order(history, ItemState(2)) is not None) == locked

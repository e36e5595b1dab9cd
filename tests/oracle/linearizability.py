"""Is a history of concurrent calls on one item explained by some order of single steps?

Wing and Gong's search (Testing and Verifying Concurrent Objects, 1993) with the memory of Lowe's refinement: take, of
all calls that may come next, one whose answer fits, and never look at the same (calls taken, state) twice. A call may
come next when it was sent before any call still open was answered. A call whose answer got lost (answer None) may have
taken effect at any time after it was sent, or never.

The search is exponential in the number of calls open at once: a thousand calls of ten callers on one item take well
under a second, of 64 callers often minutes. Spread callers over items, or let answers carry a sequence and check the
order it gives with explained_by.

    history = [Call("reserve", "a", 1, 0, 5, "ok"), Call("reserve", "b", 1, 2, 9, "insufficient")]
    find_order(history, ItemState(on_hand=1))  ->  the calls in an order that explains the answers, or None
"""

from __future__ import annotations

import heapq
import itertools
from collections import Counter
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from math import inf
from typing import Any, NamedTuple

CHANGING = ("ok", "partial", None)  # answers of calls that may have changed something


def may_change(answer: Any) -> bool:
    """Whether a call with this answer may have changed something; of a tuple the first part is the word."""
    return (answer[0] if isinstance(answer, tuple) else answer) in CHANGING


class Undecided(Exception):
    """The history is too wide to be decided within the states allowed."""


@dataclass(frozen=True)
class Call:
    """One call as its sender saw it: sent at called, answered at returned (any clock, one for all callers)."""

    op: str  # reserve, release, commit, available
    ref: str
    qty: int
    called: float
    returned: float
    answer: Any  # result word, or the number for available; None when it never came
    item: str = ""


class ItemState(NamedTuple):
    """An item at one place: units on hand, open holds, and the refs of holds that are over."""

    on_hand: int
    held: frozenset[tuple[str, int]] = frozenset()
    over: frozenset[str] = frozenset()

    def units(self, ref: str) -> int | None:
        return next((qty for name, qty in self.held if name == ref), None)


def item_step(state: ItemState, call: Call) -> tuple[ItemState, Any]:
    """What one call alone does to an item, and what it answers."""
    own = state.units(call.ref)
    others = state.held - {(call.ref, own)} if own is not None else state.held
    free = state.on_hand - sum(qty for _, qty in others)
    if call.op == "available":
        return state, free - (own or 0)
    if call.op == "reserve":  # the same open ref again replaces the hold
        if call.qty > free:
            return state, "insufficient"
        return ItemState(state.on_hand, others | {(call.ref, call.qty)}, state.over - {call.ref}), "ok"
    if call.op not in ("release", "commit"):
        raise ValueError(f"expected reserve, release, commit or available, found {call.op!r}")
    if own is None:
        return state, "already_done" if call.ref in state.over else "not_found"
    gone = own if call.op == "commit" else 0
    return ItemState(state.on_hand - gone, others, state.over | {call.ref}), "ok"


def find_order(
    history: Iterable[Call],
    state: Hashable,
    step: Callable[[Any, Call], tuple[Any, Any]] = item_step,
    states_max: int = 2_000_000,
) -> list[Call] | None:
    """Calls in an order that keeps real time and explains every answer; None when there is none.

    Lost calls are in it only where they are needed. The state must be hashable, the step pure, and a call whose
    answer may not change anything must leave the state as it is. Raises Undecided after states_max states.
    """
    calls = sorted(history, key=lambda call: call.called)
    ends = [inf if call.answer is None else call.returned for call in calls]
    needed = sum(1 << index for index, call in enumerate(calls) if call.answer is not None)
    seen = {(0, state)}
    count = itertools.count()
    # First the node whose next call due is due latest, then the one that took the fewest changes ahead of need.
    heap: list[Any] = [(0.0, 0, next(count), 0, state, ())]
    while heap:
        _, changes, number, done, state, path = heapq.heappop(heap)
        if done & needed == needed:
            return unwound(calls, path)
        if number > states_max:
            raise Undecided(f"expected an answer within {states_max} states: check a shorter history")
        may_be_next, _ = window(calls, ends, done)
        fitting = []
        for index in may_be_next:
            after, answer = step(state, calls[index])
            if calls[index].answer in (None, answer):
                fitting.append((index, after))
        # A call that fits and, by its answer, never changes anything: taken now it stands in no other call's way.
        quiet = [one for one in fitting if not may_change(calls[one[0]].answer)]
        for index, after in quiet[:1] or fitting:
            mark = (done | 1 << index, after)
            if mark not in seen:
                seen.add(mark)
                _, due = window(calls, ends, mark[0])
                heapq.heappush(heap, (-due, changes + (not quiet), next(count), *mark, (index, path)))
    return None


def window(calls: list[Call], ends: list[float], done: int) -> tuple[list[int], float]:
    """The calls that may come next, and when the first of them is due: none sent later may come before it."""
    open_calls, due = [], inf
    for index in range((~done & (done + 1)).bit_length() - 1, len(calls)):
        if calls[index].called > due:
            break  # so are all after it, and none of them is due earlier
        if not done >> index & 1:
            open_calls.append(index)
            due = min(due, ends[index])
    return open_calls, due


def unwound(calls: list[Call], path: tuple[Any, ...]) -> list[Call]:
    order = []
    while path:
        index, path = path
        order.append(calls[index])
    return order[::-1]


def explained_by(order: list[Call], history: list[Call], state: Any, step: Any = item_step) -> bool:
    """Does this order explain the history: every answered call once, in real time, each with the answer it got?

    Where answers carry a sequence, sorting by it gives the order, and a history of any width is decided at once.
    """
    left = Counter(history)
    left.subtract(order)
    if any(count < 0 or (count and call.answer is not None) for call, count in left.items()):
        return False
    latest_sent = -inf
    for call in order:
        latest_sent = max(latest_sent, call.called)
        state, answer = step(state, call)
        if call.answer not in (None, answer) or (call.answer is not None and latest_sent > call.returned):
            return False
    return True


def items_not_linearizable(history: Iterable[Call], on_hand: dict[str, int]) -> list[str]:
    """The items whose calls no order explains. Each is checked alone: linearizable parts make a linearizable whole."""
    by_item: dict[str, list[Call]] = {}
    for call in history:
        by_item.setdefault(call.item, []).append(call)
    return [item for item, calls in by_item.items() if find_order(calls, ItemState(on_hand[item])) is None]

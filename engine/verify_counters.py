"""Every stock counter of a core beside the fold of all movements, and the batch where two of them part."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from operator import itemgetter

from ringup.engine.answers import Answers
from ringup.engine.journal import Journal
from ringup.engine.movements import Movements
from ringup.engine.movements_counters import COUNTERS, ON_HAND
from ringup.engine.record import GENESIS, decode
from ringup.engine.recovery import Progress, core_of, fold
from ringup.native.core import Core
from ringup.v1 import stock_pb2

ITEMS_PER_QUERY = 1000
DIFFERENCES_MAX = 1000  # kept one by one; all are counted


@dataclass(frozen=True, slots=True)
class CounterDifference:
    """A counter that is not what the movements add up to; quantities in thousandths."""

    item_id: str
    location_id: str
    lot_id: str  # "": the goods in no lot; for incoming: of all
    counter: str
    expected_milli: int  # by the movements
    found_milli: int  # in the core
    at_sequence: int  # after this batch
    first_sequence: int = 0  # the first batch after which they differ; 0: not found by folding again

    def __str__(self) -> str:
        """As a person reads it."""
        lot = f" in lot {self.lot_id}" if self.lot_id else ""
        since = f"since batch {self.first_sequence}" if self.first_sequence else f"at batch {self.at_sequence}"
        return (
            f"{self.counter} of {self.item_id} at {self.location_id}{lot} {since}: "
            f"expected {self.expected_milli} by the movements, found {self.found_milli}"
        )


Key = tuple[str, str, str, str]  # item, location, lot, counter


def _counters_of_core(core: Core, items: list[str]) -> Iterator[tuple[str, dict[Key, int]]]:
    """(item, its counters that are not zero) for each item."""
    for at in range(0, len(items), ITEMS_PER_QUERY):
        request = stock_pb2.GetAvailabilityRequest(item_ids=items[at : at + ITEMS_PER_QUERY])
        raw = core.query("GetAvailability", request.SerializeToString(), core.now_ns)
        found: dict[str, dict[Key, int]] = {item: {} for item in request.item_ids}
        for position in stock_pb2.GetAvailabilityResponse.FromString(raw).positions:
            own = found[position.item_id]
            item, place = position.item_id, position.location_id
            for lot in position.lots or (position,):
                name = lot.lot_id if position.lots else ""  # type: ignore[union-attr]  # a LotPosition then
                values = (lot.on_hand_milli, lot.held_milli, lot.allocated_milli, lot.unavailable_milli)
                for counter, value in zip(COUNTERS, values, strict=True):
                    if value:  # a barred part of a lot stands apart: together they are the lot
                        own[item, place, name, counter] = own.get((item, place, name, counter), 0) + value
            if position.incoming_milli:
                own[item, place, "", "incoming"] = position.incoming_milli
        yield from found.items()


def _counters_of_movements(movements: Movements, places: Iterable[tuple[str, str]]) -> dict[str, dict[Key, int]]:
    """The same as the movements have them, of these (item, location)."""
    found: dict[str, dict[Key, int]] = {}
    for item, place in places:
        own = found.setdefault(item, {})
        for lot, counters in movements.positions.get((item, place), {}).items():
            own.update({(item, place, lot, name): n for name, n in zip(COUNTERS, counters, strict=True) if n})
        on_its_way = movements.incoming.get((item, place), 0)
        if on_its_way:
            own[item, place, "", "incoming"] = on_its_way
    return found


def compare(
    core: Core, movements: Movements, items: list[str] | None = None, progress: Progress | None = None
) -> tuple[int, list[CounterDifference]]:
    """How many counters of these items (None: all) differ, and the first DIFFERENCES_MAX of them."""
    names = movements.items() if items is None else sorted(items)
    wanted = None if items is None else set(items)
    places = sorted(key for key in {*movements.positions, *movements.incoming} if wanted is None or key[0] in wanted)
    count, at = 0, 0
    kept: list[CounterDifference] = []

    def differ(own: dict[Key, int], found: dict[Key, int]) -> None:
        nonlocal count
        for key in sorted({*own, *found}):
            if own.get(key, 0) != found.get(key, 0):
                count += 1
                kept.append(CounterDifference(*key, own.get(key, 0), found.get(key, 0), movements.sequence))
        del kept[DIFFERENCES_MAX:]

    # Both are in the order of items: so many at a time, or the counters of a large shop would be in memory three times.
    for first in range(0, max(len(names), 1), ITEMS_PER_QUERY):
        some = names[first : first + ITEMS_PER_QUERY]
        is_last = first + ITEMS_PER_QUERY >= len(names)
        end = len(places) if is_last else bisect_right(places, some[-1], lo=at, key=itemgetter(0))
        expected = _counters_of_movements(movements, places[at:end])
        at = end
        for item, found in _counters_of_core(core, some):
            own = expected.pop(item, {})
            if own != found:
                differ(own, found)
        for own in expected.values():  # of items that were never put: answers name them, so this must never be
            differ(own, {})
        if progress is not None:
            progress(first + len(some), len(names))
    return count, kept


def on_hand_total(movements: Movements) -> int:
    """What is on hand over all positions."""
    return sum(counters[ON_HAND] for lots in movements.positions.values() for counters in lots.values())


def where_they_part(
    journal: Journal,
    differences: list[CounterDifference],
    make_core: Callable[[], Core] = Core,
    progress: Progress | None = None,
) -> list[CounterDifference]:
    """Fold once more and look after every batch: the differences with their first batch, where it is found."""
    core, movements, answers, digest = core_of(journal, make_core), Movements(), Answers(), GENESIS
    last = max(one.at_sequence for one in differences)
    first: dict[Key, int] = {}
    open_keys: set[Key] = {(one.item_id, one.location_id, one.lot_id, one.counter) for one in differences}
    for number, raw in journal.read(1):
        if number > last or not open_keys:
            break
        record = decode(raw, number, digest)
        digest = record.digest
        movements.take(record, fold(core, record, answers))
        items = sorted({key[0] for key in open_keys} & set(movements.items()))
        for one in compare(core, movements, items)[1] if items else ():
            key = (one.item_id, one.location_id, one.lot_id, one.counter)
            if key in open_keys:
                open_keys.discard(key)
                first[key] = number
        if progress is not None:
            progress(number, last)
    return [
        replace(one, first_sequence=first.get((one.item_id, one.location_id, one.lot_id, one.counter), 0))
        for one in differences
    ]

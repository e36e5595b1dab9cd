"""What happened to stock, folded from events alone: nothing here knows how the engine counts."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from ringup.v1 import event_pb2

PositionKey = tuple[str, str, str, bool]  # item, location, lot, barred
NAMES = ("on_hand_milli", "held_milli", "allocated_milli", "unavailable_milli")


@dataclass(slots=True)
class Fold:
    """Counters as the events tell them; `take` asserts that each event follows from the ones before it."""

    next_sequence: int = 1
    positions: dict[PositionKey, tuple[int, ...]] = field(default_factory=dict)
    versions: dict[PositionKey, int] = field(default_factory=dict)
    incoming: dict[tuple[str, str], int] = field(default_factory=dict)
    crossings: list[tuple[str, str, str]] = field(default_factory=list)  # item, channel, word

    def take(self, batches: Iterable[event_pb2.EventBatch]) -> None:
        """Apply events in order; each has the next sequence, and starts where the one before it ended."""
        for batch in batches:
            assert batch.events, "a batch without events is not told"
            assert batch.first_sequence == self.next_sequence, "a gap, or an event twice"
            self.next_sequence += len(batch.events)
            for event in batch.events:
                getattr(self, f"_{event.WhichOneof('body')}")(getattr(event, str(event.WhichOneof("body"))))

    def _position(self, event: event_pb2.PositionChanged) -> None:
        key = (event.item_id, event.location_id, event.lot_id, event.barred)
        before = self.positions.pop(key, (0, 0, 0, 0))
        changes = tuple(getattr(event, name.replace("_milli", "_change_milli")) for name in NAMES)
        now = tuple(getattr(event, name) for name in NAMES)
        assert now == tuple(a + b for a, b in zip(before, changes, strict=True)), event
        assert event.version > self.versions.pop(key, 0), event
        if event.removed:
            assert not any(now), event
            return
        self.positions[key] = now
        self.versions[key] = event.version

    def _incoming(self, event: event_pb2.IncomingChanged) -> None:
        key = (event.item_id, event.location_id)
        assert event.incoming_milli == self.incoming.get(key, 0) + event.incoming_change_milli, event
        self.incoming[key] = event.incoming_milli

    def _availability(self, event: event_pb2.AvailabilityCrossed) -> None:
        word = event_pb2.Crossing.Name(event.crossing).removeprefix("CROSSING_").lower()
        self.crossings.append((event.item_id, event.channel_id, word))

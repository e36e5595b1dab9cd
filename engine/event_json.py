"""Events of stock as JSON: the names of the contract, one flat object an event."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ringup.v1 import event_pb2


def rows_of(batch: event_pb2.EventBatch) -> Iterator[dict[str, Any]]:
    """One object for each event of a batch, in order.

    `sequence`, `kind` ("position", "incoming" or "availability"), `at_ns` (ns since 1970 UTC), `batch` (of the
    journal), and then every field of PositionChanged, IncomingChanged or AvailabilityCrossed under its own name, also
    where it is zero: quantities in thousandths, `crossing` as "low", "out" or "back".
    """
    for sequence, event in enumerate(batch.events, batch.first_sequence):
        kind = event.WhichOneof("body")
        if kind is None:
            raise ValueError(f"event {sequence}: expected a kind that this version knows, found none; update ringup")
        row: dict[str, Any] = {"sequence": sequence, "kind": kind, "at_ns": batch.at_ns, "batch": batch.batch}
        body = getattr(event, kind)
        for field in body.DESCRIPTOR.fields:
            row[field.name] = getattr(body, field.name)
        if kind == "availability":
            row["crossing"] = event_pb2.Crossing.Name(body.crossing).removeprefix("CROSSING_").lower()
        yield row

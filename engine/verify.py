"""`verify`: fold the whole journal into an empty core and compare it with what a start would load.

Two cores are fed, one after the other: one from the checkpoint on, one from the first batch on.  Both must have
the same tables, byte for byte, at the checkpoint and at the end; of the first one the digests stay, and where there are
no batches since the checkpoint its pages are digested as they are.  Beside the
second all stock movements are folded from the commands and answers alone (movements.py), and every counter of the core
is compared with them; answers that an older version gave are compared with what this one would answer.

Memory: what movements.py needs, a fixed budget for the tables of a core (what is beyond it stands in a temporary file,
spill.py) and about 40 bytes a sale for the core's indexes of receipts and ids.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from ringup.engine.answers import Answers, ChangedAnswer
from ringup.engine.journal import Journal, JournalError
from ringup.engine.lmdb_store import CheckpointStore, DamagedCheckpoint
from ringup.engine.movements import Movements
from ringup.engine.record import GENESIS, DamagedRecord, decode
from ringup.engine.recovery import (
    Digests,
    NotDeterministic,
    Progress,
    checkpoint_digests,
    core_of,
    fold,
    load_checkpoint,
)
from ringup.engine.spill import spilled_tables
from ringup.engine.verify_counters import CounterDifference, compare, on_hand_total, where_they_part
from ringup.native.core import Core

Stages = Callable[[str], Progress | None]
Read = TypeVar("Read")


@dataclass(frozen=True, slots=True)
class TableDifference:
    """A table that the journal and the checkpoint (with the batches since) do not agree on."""

    table: str
    at_sequence: int
    folded_rows: int  # of the core fed from the first batch
    stored_rows: int  # of the core fed from the checkpoint


@dataclass(slots=True)
class VerifyReport:
    """What `verify` found; all is well when there is no problem and no difference."""

    batches: int = 0
    sequence: int = 0  # the last batch folded
    checkpoint_sequence: int = 0  # 0: there was no checkpoint to compare with
    digest: str = ""  # of the state folded from the first batch, hexadecimal
    stored_digest: str = ""  # of the state from the checkpoint
    rows: dict[str, int] = field(default_factory=dict)
    receipt_gaps: int = 0
    receipts: int = 0
    movements: int = 0  # changes of a stock counter, folded from commands and answers
    on_hand_milli: int = 0  # over all positions
    causes_milli: dict[str, int] = field(default_factory=dict)  # what changed on hand, by kind of command: sums to it
    counter_difference_count: int = 0
    counter_differences: list[CounterDifference] = field(default_factory=list)  # the first 1,000
    stored_counter_differences: list[CounterDifference] = field(default_factory=list)  # of the checkpoint
    changed_answer_count: int = 0
    changed_answers: list[ChangedAnswer] = field(default_factory=list)  # the first 1,000
    extended_answer_count: int = 0  # to which later versions only added fields
    differences: list[TableDifference] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def is_well(self) -> bool:
        """Everything agrees."""
        return not self.differences and not self.problems and not self.counter_difference_count


def _digests(core: Core) -> Digests:
    return {table.name: (table.digest(), table.count) for table in core.tables}


def _digest(tables: Digests) -> str:
    """Of the whole state, as `Core.digest` gives it, without reading all of it again."""
    return hashlib.sha256(b"".join(digest for digest, _ in tables.values())).hexdigest()


@dataclass(slots=True)
class _Stored:
    """What a core was that was fed from the checkpoint on."""

    sequence: int
    record_digest: bytes  # of the record that it stands for
    at_checkpoint: Digests
    at_end: Digests | None = None  # None: its tail could not be folded
    last: int = 0  # the last batch that is folded


def _unchanged(store: CheckpointStore, report: VerifyReport, read: Callable[[dict[str, Any]], Read]) -> Read | None:
    """What `read` makes of the checkpoint, whose description it is given; None where there is nothing to compare."""
    for _ in range(10):  # an engine at work may replace the checkpoint between two reads
        before = None
        try:
            before = store.meta()
            if before is None:
                report.notes.append("there is no checkpoint: nothing to compare the journal with")
                return None
            if before["layout"] != (layout := Core().layout()):
                note = f"the checkpoint has layout {before['layout']}, this version has {layout}"
                report.notes.append(f"{note}: it cannot be compared")
                return None
            found = read(before)
            if store.meta() == before:
                return found
        except (DamagedCheckpoint, ValueError) as damage:
            if store.meta() == before:
                report.problems.append(str(damage))
                return None
    report.problems.append("the checkpoint changes faster than it can be read; try again or verify a backup")
    return None


def _loaded(core: Core, store: CheckpointStore) -> Core:
    load_checkpoint(core, store)
    return core


def _stored(
    journal: Journal, store: CheckpointStore, report: VerifyReport, progress: Progress | None
) -> _Stored | None:
    """The tables as the checkpoint has them, and as they are after the batches since."""

    def read(meta: dict[str, Any]) -> tuple[_Stored, Core | None]:
        found = _Stored(meta["sequence"], bytes.fromhex(meta["digest"]), {}, last=journal.last_sequence())
        if found.last <= found.sequence:  # nothing is to be folded: there is no need for a core
            found.at_checkpoint = found.at_end = checkpoint_digests(store, meta, Core())
            return found, None
        core = _loaded(core_of(journal), store)
        found.at_checkpoint = _digests(core)
        return found, core

    stored = _unchanged(store, report, read)
    if stored is None:
        return None
    found, core = stored
    report.checkpoint_sequence, last = found.sequence, found.last
    if found.sequence > last:
        report.problems.append(
            f"the checkpoint stands for batch {found.sequence}, but the journal ends at {last}: records are missing"
        )
        return None
    if core is None:
        return found
    try:
        for number, raw in journal.read(found.sequence + 1):
            if number > last:
                break
            fold(core, decode(raw, number, None), Answers())
            if progress is not None:
                progress(number - found.sequence, last - found.sequence)
    except DamagedRecord:
        return found  # the walk from the first record on comes to it as well, and names it
    except NotDeterministic as error:
        report.problems.append(f"folded from the checkpoint on: {error}")
        return found
    found.at_end = _digests(core)
    return found


def _compare(folded: Digests, stored: Digests, report: VerifyReport) -> bool:
    """Note the tables that differ after the batch at hand; whether there are any."""
    differences = [
        TableDifference(name, report.sequence, rows, stored[name][1])
        for name, (digest, rows) in folded.items()
        if stored[name][0] != digest
    ]
    report.differences += [one for one in differences if one not in report.differences]
    return bool(differences)


def _counters_stored(
    journal: Journal, store: CheckpointStore, sequence: int, movements: Movements
) -> list[CounterDifference]:
    """The counters of the checkpoint that differ from the movements, where it is still the one of this batch."""

    def read(meta: dict[str, Any]) -> list[CounterDifference]:
        if meta["sequence"] != sequence:
            return []
        return compare(_loaded(core_of(journal), store), movements)[1]

    return _unchanged(store, VerifyReport(), read) or []  # what is damaged was told when it was read first


def _compare_counters(
    journal: Journal,
    core: Core,
    movements: Movements,
    report: VerifyReport,
    stage: Stages,
    make_core: Callable[[], Core],
) -> None:
    """Every counter of the folded core beside the movements; what differs is looked for once more, batch by batch."""
    report.receipts, report.movements = movements.receipts, movements.moves
    report.on_hand_milli, report.causes_milli = on_hand_total(movements), dict(movements.causes)
    if movements.unknown:
        kinds = ", ".join(f"{kind} ({count:,})" for kind, count in movements.unknown.most_common())
        report.notes.append(f"the fold of movements does not know these commands: {kinds}")
    report.problems += movements.problems
    if sum(movements.causes.values()) != report.on_hand_milli:
        report.problems.append("the movements on hand do not sum to what is on hand")
    if movements.receipts != report.rows["sales"]:
        report.problems.append(
            f"expected {movements.receipts} sales and returns in the book, one a receipt, found {report.rows['sales']}"
        )
    report.counter_difference_count, found = compare(core, movements, progress=stage("comparing counters"))
    if found:
        report.counter_differences = where_they_part(journal, found, make_core, stage("looking for the first batch"))


def verify(
    journal: Journal,
    store: CheckpointStore | None,
    *,
    stages: Stages | None = None,
    accept_changed_answers: bool = False,
    make_core: Callable[[], Core] = Core,
) -> VerifyReport:
    """Fold and compare, up to the last batch there was at the call; works beside an engine that goes on.

    `stages` is called with the name of each part of the work and gives what is told how far it is, or None.
    With `accept_changed_answers` answers that older versions gave otherwise are listed and are no problem.
    `make_core` makes the empty cores that are fed from the first batch on.
    Raises JournalError for a journal whose beginning is trimmed: there is nothing to fold it from.
    """
    report = VerifyReport()
    stage = stages or (lambda name: None)
    stored = None
    if store is None:
        report.notes.append("there is no checkpoint: nothing to compare the journal with")
    else:
        with spilled_tables():
            stored = _stored(journal, store, report, stage("reading the checkpoint"))
    last = stored.last if stored is not None else journal.last_sequence()
    with spilled_tables():
        _fold_all(journal, store, stored, last, report, stage, make_core, accept_changed_answers)
    return report


def _fold_all(
    journal: Journal,
    store: CheckpointStore | None,
    stored: _Stored | None,
    last: int,
    report: VerifyReport,
    stage: Stages,
    make_core: Callable[[], Core],
    accept_changed_answers: bool,
) -> None:
    """From the first batch on."""
    folded, digest, progress = core_of(journal, make_core), GENESIS, stage("folding all batches")
    movements, answers = Movements(), Answers()
    tables: Digests = {}
    try:
        for number, raw in journal.read(1):
            if number > last:
                break
            if report.batches == 0 and number != 1:
                raise JournalError(
                    f"expected the journal to begin with record 1, found {number}: it was trimmed, and a state can "
                    "only be folded from the beginning; verify the archive that was kept"
                )
            if number != report.sequence + 1:
                raise DamagedRecord(
                    f"record {report.sequence + 1} of the journal: expected next, found record {number}"
                )
            record = decode(raw, number, digest)
            movements.take(record, fold(folded, record, answers))
            digest, report.sequence = record.digest, number
            report.batches += 1
            if stored is not None and store is not None and number == stored.sequence:
                tables = _digests(folded)
                if _compare(tables, stored.at_checkpoint, report):
                    report.stored_counter_differences = _counters_stored(journal, store, number, movements)
                if digest != stored.record_digest:
                    report.problems.append(f"record {number} of the journal is not the one the checkpoint stands for")
            if progress is not None:
                progress(number, last)
    except (DamagedRecord, NotDeterministic) as error:
        report.problems.append(str(error))
        return
    if stored is None or stored.sequence != report.sequence:
        tables = _digests(folded)
    if stored is not None and stored.at_end is not None:
        _compare(tables, stored.at_end, report)
        report.stored_digest = _digest(stored.at_end)
    report.digest = _digest(tables)
    report.rows = folded.row_counts()
    report.receipt_gaps = folded.receipt_gaps()
    if report.receipt_gaps:
        report.problems.append(f"{report.receipt_gaps} receipt numbers are missing")
    report.changed_answer_count, report.changed_answers = answers.changed_count, answers.changed
    report.extended_answer_count = answers.extended_count
    if answers.changed_count:
        text = f"{answers.changed_count:,} answers of older versions would be other today"
        (report.notes if accept_changed_answers else report.problems).append(text)
    _compare_counters(journal, folded, movements, report, stage, make_core)

"""`verify`: fold the whole journal into an empty core and compare it with what a start would load.

One walk feeds two cores: one from the first batch on, one from the checkpoint on.  Both must have
the same tables, byte for byte, at the checkpoint and at the end.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from ringup.engine.journal import Journal, JournalError
from ringup.engine.lmdb_store import CheckpointStore, DamagedCheckpoint
from ringup.engine.record import GENESIS, DamagedRecord, decode
from ringup.engine.recovery import NotDeterministic, Progress, fold, load_checkpoint
from ringup.native.core import Core


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
    differences: list[TableDifference] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def is_well(self) -> bool:
        """Everything agrees."""
        return not self.differences and not self.problems


def _stored_core(store: CheckpointStore | None, report: VerifyReport) -> tuple[Core | None, bytes]:
    """A core with the checkpoint loaded and the digest of the record that it stands for."""
    for _ in range(10):  # an engine at work may replace the checkpoint between two reads
        core = Core()
        try:
            before = store.meta() if store is not None else None
            if store is None or before is None:
                report.notes.append("there is no checkpoint: nothing to compare the journal with")
                return None, GENESIS
            sequence, digest, note = load_checkpoint(core, store)
            if store.meta() != before:
                continue
        except (DamagedCheckpoint, ValueError) as damage:
            if store is not None and store.meta() != before:
                continue
            report.problems.append(str(damage))
            return None, GENESIS
        if note:
            report.notes.append(f"{note}: it cannot be compared")
            return None, GENESIS
        report.checkpoint_sequence = sequence
        return core, digest
    report.problems.append("the checkpoint changes faster than it can be read; try again or verify a backup")
    return None, GENESIS


def _compare(folded: Core, stored: Core, report: VerifyReport) -> None:
    known = {(difference.table, difference.at_sequence) for difference in report.differences}
    for one, other in zip(folded.tables, stored.tables, strict=True):
        if one.digest() != other.digest() and (one.name, folded.sequence) not in known:
            report.differences.append(TableDifference(one.name, folded.sequence, one.count, other.count))


def verify(journal: Journal, store: CheckpointStore | None, progress: Progress | None = None) -> VerifyReport:
    """Fold and compare, up to the last batch there was at the call; works beside an engine that goes on.

    Raises JournalError for a journal whose beginning is trimmed: there is nothing to fold it from.
    """
    report = VerifyReport()
    stored, stored_digest = _stored_core(store, report)
    folded, digest, last = Core(), GENESIS, journal.last_sequence()
    if report.checkpoint_sequence > last:
        report.problems.append(
            f"the checkpoint stands for batch {report.checkpoint_sequence}, but the journal ends at {last}: "
            "records are missing"
        )
        stored = None
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
            fold(folded, record)
            if stored is not None and number > report.checkpoint_sequence:
                fold(stored, record)
            digest, report.sequence = record.digest, number
            report.batches += 1
            if stored is not None and number == report.checkpoint_sequence:
                _compare(folded, stored, report)
                if digest != stored_digest:
                    report.problems.append(f"record {number} of the journal is not the one the checkpoint stands for")
            if progress is not None:
                progress(number, last)
    except (DamagedRecord, NotDeterministic) as error:
        report.problems.append(str(error))
        return report
    if stored is not None:
        _compare(folded, stored, report)
        report.stored_digest = stored.digest().hex()
    report.digest = folded.digest().hex()
    report.rows = folded.row_counts()
    report.receipt_gaps = folded.receipt_gaps()
    if report.receipt_gaps:
        report.problems.append(f"{report.receipt_gaps} receipt numbers are missing")
    return report

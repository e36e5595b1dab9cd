"""Start, check and verify: the state is the last checkpoint plus the journal's tail.

Every path here is the same fold: batches from the journal go through the same core as live ones.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from ringup.engine.answers import Answers
from ringup.engine.journal import Journal, JournalError
from ringup.engine.lmdb_store import CheckpointStore, DamagedCheckpoint
from ringup.engine.record import GENESIS, DamagedRecord, Record, decode
from ringup.native.core import Core

Progress = Callable[[int, int], None]  # (batches done, batches in all)


class NotDeterministic(JournalError):
    """Folding the journal gave another answer than the same version had given: this must never be."""


class ChangedAnswers(JournalError):
    """This version would not have given some of the answers that an older one gave."""


@dataclass(slots=True)
class Recovered:
    """A core that is up to date with its journal."""

    core: Core
    digest: bytes  # of the last record: the next one links to it
    checkpoint_sequence: int  # 0 when the state was folded from the first batch
    replayed: int  # batches folded from the journal
    note: str  # why an existing checkpoint was not used, or ""
    answers: Answers = field(default_factory=Answers)  # beside those of older versions


def core_of(journal: Journal, make_core: Callable[[], Core] = Core) -> Core:
    """An empty core that knows whose journal it will be fed from."""
    core = make_core()
    introduce(core, journal)
    return core


def introduce(core: Core, journal: Journal) -> None:
    """Let an empty core know whose the batches of a journal are."""
    core.know(journal.engine_id, [(one.engine_id, one.last_batch) for one in journal.ancestors])


def fold(core: Core, record: Record, answers: Answers) -> bytes:
    """Apply one batch of the journal; returns what its commands are answered, in the form of this version.

    Answers and events are compared with those that were given.  Raises NotDeterministic when this version gave others
    before; what an older version answered otherwise is counted in `answers`, and then its own answers are returned.
    The events of an older version stand, and so do their numbers.
    """
    core.begin(record.sequence, record.now_ns)
    replies: bytes = core.apply(record.commands, recorded=True)[0]
    is_ours = record.layout == core.layout()[:16]
    events = core.end(None if is_ours else record.last_event)
    if is_ours and (events, core.event_sequence) != (record.events, record.last_event):
        raise NotDeterministic(
            f"batch {record.sequence}: folding it again gave other events than were told; "
            "keep the data directory and report this"
        )
    if replies == record.replies:
        return replies
    if is_ours:
        raise NotDeterministic(
            f"batch {record.sequence}: folding it again gave other answers than were given; "
            "keep the data directory and report this"
        )
    only_added = answers.compare(record.sequence, record.layout_version, record.replies, replies)
    return replies if only_added else record.replies


def refuse_changed(answers: Answers, option: str) -> None:
    """Raise ChangedAnswers when there are any; `option` is what lets them pass."""
    if answers.changed_count:
        raise ChangedAnswers(
            f"expected the journal to fold to the answers that were given, found {answers.changed_count:,} that this "
            f"version would not give (the first: {answers.changed[0]}); look at all with `ringup verify`, then either "
            f"go on with the version that gave them, or add {option}: stock and sales are then what this version "
            "makes of the commands, and a resend still gets the answer it got"
        )


def load_checkpoint(core: Core, store: CheckpointStore) -> tuple[int, bytes, str]:
    """Fill an empty core from the checkpoint: (its sequence, the digest of that record, why not)."""
    meta = store.meta()
    if meta is None:
        return 0, GENESIS, ""
    if meta["layout"] != core.layout():
        return 0, GENESIS, f"the checkpoint has layout {meta['layout']}, this version has {core.layout()}"
    counts, pages = meta["counts"], Counter[str]()
    for number, page, data in store.pages():
        table = core.tables[number]
        if page * table.page_rows < counts[table.name]:  # else the table has shrunk since that page was written
            table.load_page(page, data, counts[table.name])
            pages[table.name] += 1
    for table in core.tables:
        expected = -(-counts[table.name] // table.page_rows)
        if table.count != counts[table.name] or pages[table.name] != expected:
            raise DamagedCheckpoint(
                f"table {table.name} has {table.count} rows on {pages[table.name]} pages, "
                f"expected {counts[table.name]} on {expected} pages"
            )
    core.rebuild()
    return int(meta["sequence"]), bytes.fromhex(meta["digest"]), ""


Digests = dict[str, tuple[bytes, int]]  # of each table, with its rows


def checkpoint_digests(store: CheckpointStore, meta: dict[str, Any], like: Core) -> Digests:
    """What `load_checkpoint` would load, table by table, without loading it; `like` is any core of its layout.

    Raises DamagedCheckpoint.
    """
    counts: dict[str, int] = meta["counts"]
    hashers = {table.name: hashlib.sha256(f"{table.name}:{counts[table.name]}:".encode()) for table in like.tables}
    left = {table.name: counts[table.name] * table.row_bytes for table in like.tables}
    pages = Counter[str]()
    for number, page, data in store.pages():  # in the order of tables and pages
        table = like.tables[number]
        if left[table.name] > 0 and page == pages[table.name] and len(data) == table.page_rows * table.row_bytes:
            hashers[table.name].update(data[: left[table.name]])
            left[table.name] -= len(data)
            pages[table.name] += 1
    for table in like.tables:
        if left[table.name] > 0:
            expected = -(-counts[table.name] // table.page_rows)
            raise DamagedCheckpoint(
                f"table {table.name} has {pages[table.name]} pages up to the first that is missing, expected "
                f"{counts[table.name]} rows on {expected} pages"
            )
    return {name: (hasher.digest(), counts[name]) for name, hasher in hashers.items()}


def recover(
    journal: Journal,
    store: CheckpointStore | None,
    progress: Progress | None = None,
    *,
    accept_changed_answers: bool = False,
) -> Recovered:
    """The state after the last record: from the checkpoint where there is a usable one.

    Raises ChangedAnswers when the batches folded would be answered otherwise today, unless that is accepted.
    """
    core, note, answers = core_of(journal), "", Answers()
    sequence, digest = 0, GENESIS
    if store is not None:
        try:
            sequence, digest, note = load_checkpoint(core, store)
        except (DamagedCheckpoint, ValueError) as damage:
            core, note, sequence, digest = core_of(journal), str(damage), 0, GENESIS
    last = journal.last_sequence()
    if sequence > last:
        raise JournalError(
            f"the checkpoint stands for batch {sequence}, but the journal ends at {last}: "
            "records are missing; restore the data directory from a backup (ringup restore)"
        )
    start = sequence
    if start:
        # The chain must go on where the checkpoint says that it stood.
        raw = journal.get(start)
        if raw is None or decode(raw, start, None).digest != digest:
            raise JournalError(
                f"record {start} of the journal is not the one that the checkpoint stands for; "
                "restore the data directory from a backup (ringup restore)"
            )
    for number, raw in journal.read(start + 1):
        if number != sequence + 1:
            raise DamagedRecord(f"record {sequence + 1} of the journal: expected next, found record {number}")
        record = decode(raw, number, digest)
        fold(core, record, answers)
        sequence, digest = number, record.digest
        if progress is not None:
            progress(sequence - start, last - start)
    if not accept_changed_answers:
        refuse_changed(answers, "--accept-changed-answers")
    return Recovered(core, digest, start, sequence - start, note, answers)


@dataclass(slots=True)
class CheckReport:
    """What `check` read."""

    records: int
    record_bytes: int
    checkpoint_pages: int
    checkpoint_sequence: int
    damage: list[str]  # empty when all is well
    last_sequence: int = 0
    digest: str = ""  # of the last record, hexadecimal: it stands for all records before it
    engine_id: str = ""
    file_pages: int = 0  # of both LMDB files


def check(journal: Journal, store: CheckpointStore | None, progress: Progress | None = None) -> CheckReport:
    """Read every record and page and prove its checksum and place in the chain; stops at the first bad record."""
    report = CheckReport(0, 0, 0, 0, [])
    expected, last = 1, journal.last_sequence()
    digest: bytes | None = GENESIS
    try:
        for number, raw in journal.read(0):
            if report.records == 0 and number > 1:  # a trimmed journal: its first link cannot be proved
                expected, digest = number, None
            if number != expected:
                raise DamagedRecord(f"record {expected} of the journal: expected next, found record {number}")
            digest = decode(raw, number, digest).digest
            expected += 1
            report.last_sequence, report.digest = number, digest.hex()
            report.records += 1
            report.record_bytes += len(raw)
            if progress is not None:
                progress(number, last)
    except DamagedRecord as damage:
        report.damage.append(str(damage))
    if store is not None:
        try:
            meta = store.meta()
            report.checkpoint_sequence = int(meta["sequence"]) if meta else 0
            for _ in store.pages():
                report.checkpoint_pages += 1
        except DamagedCheckpoint as damage:
            report.damage.append(f"{damage}; the next start folds the journal instead")
    return report


def records_from_first(journal: Journal, last: int) -> Iterator[Record]:
    """Records 1 to `last`, each proved and linked to the one before.

    Raises JournalError for a journal whose beginning is trimmed, DamagedRecord for a record that is not as written.
    """
    expected, digest = 1, GENESIS
    for number, raw in journal.read(1):
        if number > last:
            return
        if number != expected and expected == 1:
            raise JournalError(
                f"expected the journal to begin with record 1, found {number}: it was trimmed; use the archive that "
                "was kept"
            )
        if number != expected:
            raise DamagedRecord(f"record {expected} of the journal: expected next, found record {number}")
        record = decode(raw, number, digest)
        yield record
        expected, digest = number + 1, record.digest

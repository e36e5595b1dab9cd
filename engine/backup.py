"""Check a whole data directory, copy it while its engine runs, and put a copy back.

A copy is made beside its place and renamed when it is checked: a folder with the right name is
always a whole one.
"""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path

from ringup.engine.journal import JournalError
from ringup.engine.lmdb_store import (
    CheckpointStore,
    DirectoryInUse,
    LmdbJournal,
    NewerFormat,
    NotWritable,
    check_pages,
    holder,
)
from ringup.engine.record import decode
from ringup.engine.recovery import CheckReport, Progress, check

MANIFEST = "backup.json"


class BackupDamaged(JournalError):
    """A copy, or what was to be copied, is not what it must be."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a backup holds, as its file backup.json says."""

    engine_id: str
    records: int
    last_sequence: int
    digest: str  # of the last record
    checkpoint_sequence: int


def check_directory(path: Path, progress: Progress | None = None) -> CheckReport:
    """Prove pages, records and checkpoint of a data directory; also beside an engine at work.

    Every page of the two files first, without trusting them; only then are they read with LMDB.
    """
    report = CheckReport(0, 0, 0, 0, [])
    journal_path, checkpoint_path = path / "journal", path / "checkpoint"
    has_checkpoint = (checkpoint_path / "data.mdb").exists()
    for part in (journal_path, checkpoint_path) if has_checkpoint else (journal_path,):
        try:
            report.file_pages += check_pages(part)
        except JournalError as damage:  # also what LMDB itself refuses to open
            report.damage.append(str(damage))
    if report.damage:
        return report
    journal = store = None
    try:
        # The checkpoint first: the journal read after it is never behind it.
        store = CheckpointStore(checkpoint_path, readonly=True) if has_checkpoint else None
        journal = LmdbJournal(journal_path, readonly=True)
        pages, report = report.file_pages, check(journal, store, progress)
        report.file_pages, report.engine_id = pages, journal.engine_id
        if report.checkpoint_sequence > report.last_sequence and not report.damage:
            report.damage.append(
                f"the checkpoint stands for batch {report.checkpoint_sequence}, but the journal ends at "
                f"{report.last_sequence}: records are missing; "
                "restore the data directory from a backup (ringup restore)"
            )
    except NewerFormat:
        raise
    except JournalError as damage:
        report.damage.append(str(damage))
    finally:
        for one in (journal, store):
            if one is not None:
                one.close()
    return report


def _manifest_of(report: CheckReport) -> Manifest:
    return Manifest(report.engine_id, report.records, report.last_sequence, report.digest, report.checkpoint_sequence)


def read_manifest(path: Path) -> Manifest | None:
    """The manifest in the folder `path`, or None where it has none.  Raises BackupDamaged."""
    try:
        text = (path / MANIFEST).read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    try:
        return Manifest(**json.loads(text))
    except (ValueError, TypeError) as error:
        raise BackupDamaged(f"{path / MANIFEST}: expected what `ringup backup` writes, found: {error}") from error


def _empty_place(target: Path) -> Path:
    """Where to build what will be `target`, which must not hold anything."""
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise NotWritable(f"{target}: expected an empty folder or none, found something in it; choose another name")
    partial = target.with_name(target.name + ".partial")
    try:
        partial.mkdir(parents=True)
    except OSError as error:
        raise NotWritable(
            f"{partial}: expected to be able to make this folder, found: {error.strerror}; "
            "remove what an interrupted run left there, or choose another place"
        ) from error
    return partial


def _copy(source: Path, partial: Path) -> None:
    # The checkpoint first: the journal copied after it is never behind it.
    if (source / "checkpoint" / "data.mdb").exists():
        store = CheckpointStore(source / "checkpoint", readonly=True)
        try:
            store.copy(partial / "checkpoint")
        finally:
            store.close()
    journal = LmdbJournal(source / "journal", readonly=True)
    try:
        journal.copy(partial / "journal")
    finally:
        journal.close()


def _finish(partial: Path, target: Path) -> None:
    """Give a checked copy its name, durably."""
    for name in (partial / "journal" / "lock.mdb", partial / "checkpoint" / "lock.mdb"):
        name.unlink(missing_ok=True)
    for folder in (partial, partial.parent):
        if folder == partial.parent:
            partial.rename(target)
        file = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(file)
        finally:
            os.close(file)


def _raise_if_damaged(report: CheckReport, what: str) -> None:
    if report.damage:
        raise BackupDamaged(f"{what}: " + "; ".join(report.damage))


def backup(source: Path, target: Path, progress: Progress | None = None) -> CheckReport:
    """Copy the data directory `source` to the new folder `target` and check the copy.

    The engine of `source` may be at work: the copy stands for some moment during the call.
    Raises NotWritable for a target that is not empty, BackupDamaged (and leaves no copy) for damage.
    """
    for part in ("journal", "checkpoint"):
        if (source / part / "data.mdb").exists():
            check_pages(source / part)
    partial = _empty_place(target)
    try:
        _copy(source, partial)
        report = check_directory(partial, progress)
        _raise_if_damaged(report, f"{source}: no backup was made, because its copy is damaged")
        with open(partial / MANIFEST, "x", encoding="utf-8") as file:
            json.dump(asdict(_manifest_of(report)), file, indent=2)
            file.flush()
            os.fsync(file.fileno())
        _finish(partial, target)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    return report


def _become_another(path: Path) -> str:
    journal = LmdbJournal(path)
    try:
        last = journal.last_sequence()
        record = decode(journal.get(last) or b"", last, None) if last else None
        journal.become_another(record.last_event if record else 0, record.now_ns if record else 0)
        return journal.engine_id
    finally:
        journal.close()


def restore(source: Path, target: Path, progress: Progress | None = None, *, same_engine: bool = False) -> CheckReport:
    """Make the data directory `target`, a new or empty folder, from the backup `source`; checked before and after.

    It is another engine: the one that was backed up may have gone on, or go on still, and its later events and those
    of this one have the same numbers.  `same_engine` is for a backup that nothing came after.
    Raises NotWritable, DirectoryInUse or BackupDamaged; `target` is then as it was.
    """
    if found := holder(source):
        raise DirectoryInUse(
            f"{source}: expected a backup, found a data directory in use by {found}; use ringup backup"
        )
    report = check_directory(source, progress)
    _raise_if_damaged(report, f"{source}: nothing was restored, because the backup is damaged")
    manifest = read_manifest(source)
    if manifest is not None and manifest != _manifest_of(report):
        raise BackupDamaged(
            f"{source}: nothing was restored: expected {manifest.records} records up to {manifest.last_sequence}, as "
            f"{MANIFEST} says, found {report.records} up to {report.last_sequence}, or other ones; use another backup"
        )
    partial = _empty_place(target)
    try:
        _copy(source, partial)
        copied = check_directory(partial, progress)
        _raise_if_damaged(copied, f"{target}: nothing was restored, because the copy is damaged")
        if _manifest_of(copied) != _manifest_of(report):
            raise BackupDamaged(f"{target}: nothing was restored: the copy is not what the backup is; try again")
        if not same_engine:
            copied.engine_id = _become_another(partial / "journal")
        _finish(partial, target)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    return copied

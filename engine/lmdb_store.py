"""LMDB: the journal and the checkpoints of one data directory.  The only module that knows LMDB.

Two environments, so that a checkpoint never blocks a commit.  Both sync on every commit; neither maps
the file for writing, because a full disk would then be a crash (SIGBUS).  The journal's commits sync their
pages only: what names them follows with the next commit, and is made good after a power cut (lmdb_tail.py).
LMDB does not see flipped bits, so journal records carry digests (record.py) and pages a CRC.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import shutil
import struct
import time
import uuid
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import lmdb

from ringup.engine.journal import Ancestor, AppendUnknown, Fenced, JournalError
from ringup.engine.lmdb_pages import Meta, PageDamage, Walk, check_last_freed, last_freed, read_metas
from ringup.engine.lmdb_tail import chain, records_after
from ringup.engine.page_cache import GrowingFile
from ringup.engine.record import DIGEST_BYTES, GENESIS, HEADER_BYTES, head_of

FORMAT = 2  # of the data directory; raise it when an older engine could not read it
_FORMAT_OF_ITS_OWN = 1  # of a journal without ancestors: older engines read it
MAP_BYTES = 1 << 40  # address space, not disk: the files grow with what is in them
MAPPED_BYTES_MAX = 64 << 20  # what a reader of a whole file keeps of it in memory
_CACHED_BYTES = 32 << 20  # of the journal's end, which stay in the kernel's memory for those who read what is new
_UNCACHE_EACH_BYTES = 4 << 20
_LOCK_TRIES = 5
_LOCK_PAUSE_SECONDS = 0.02
_SEQUENCE = struct.Struct(">Q")
_PAGE = struct.Struct(">HI")  # table number, page number
_CRC = struct.Struct(">I")


class DirectoryInUse(JournalError):
    """Another process owns the data directory."""


class NotWritable(JournalError):
    """The data directory cannot be made or written."""


class NewerFormat(JournalError):
    """A newer version wrote the data directory."""


class DamagedStore(JournalError):
    """The file around the records is damaged; LMDB itself would not notice."""


class StoreFailed(JournalError):
    """A write or a sync failed: the disk is full or broken."""


@contextlib.contextmanager
def _writing(path: Path) -> Iterator[None]:
    """Say what a failed write of the opening means: the engine has not begun, so nothing is in doubt."""
    try:
        yield
    except (lmdb.Error, OSError) as error:
        raise StoreFailed(
            f"{path}: expected to be able to write there, found: {error}; make room or mend the disk, then start again"
        ) from error


class DirectoryLock:
    """An exclusive lock on a data directory, held until `close` or the process ends."""

    def __init__(self, directory: Path) -> None:
        path = directory / "LOCK"
        try:
            directory.mkdir(parents=True, exist_ok=True)
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            if error.errno == errno.ENOSPC:
                with _writing(directory):
                    raise
            raise NotWritable(
                f"data directory {directory}: expected to be able to write there, found: {error.strerror}; "
                "choose another with --data-dir or correct its permissions"
            ) from error
        try:
            self._lock()
        except OSError as error:
            holder = os.read(self._file, 200).decode("utf-8", "replace").strip() or "an unknown process"
            os.close(self._file)
            raise DirectoryInUse(
                f"data directory {directory}: expected it to be free, found it in use by {holder}; "
                "stop that engine or choose another directory with --data-dir"
            ) from error
        try:
            with _writing(path):
                os.ftruncate(self._file, 0)
                os.pwrite(self._file, f"process {os.getpid()} on {os.uname().nodename}\n".encode(), 0)
        except StoreFailed:
            os.close(self._file)
            raise

    def _lock(self) -> None:
        for _ in range(_LOCK_TRIES - 1):
            with contextlib.suppress(BlockingIOError):
                return fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            time.sleep(_LOCK_PAUSE_SECONDS)  # who only asks for the holder has it for a moment
        fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def close(self) -> None:
        """Let the directory go."""
        os.close(self._file)


def holder(directory: Path) -> str:
    """Who owns the data directory now ("process 7 on till-server"), or "" when nobody does."""
    try:
        file = os.open(directory / "LOCK", os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return ""
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        return ""
    except OSError:
        return os.read(file, 200).decode("utf-8", "replace").strip() or "an unknown process"
    finally:
        os.close(file)


def _open(path: Path, *, readonly: bool = False, max_dbs: int = 2, metasync: bool = True) -> lmdb.Environment:
    _check_metas(path, is_owner=not readonly)
    try:
        if not readonly:
            _make(path)
        return lmdb.open(
            str(path),
            map_size=MAP_BYTES,
            max_dbs=max_dbs,
            readonly=readonly,
            subdir=True,
            max_spare_txns=2,
            metasync=metasync,
        )
    except (lmdb.Error, OSError) as error:
        if os.strerror(errno.ENOSPC) in str(error):
            with _writing(path):
                raise
        if os.strerror(errno.EACCES) in str(error):
            raise NotWritable(
                f"{path}: expected to be able to write there, found: {error}; correct its permissions"
            ) from error
        raise JournalError(f"{path}: expected an LMDB environment, found: {error}; is it a data directory?") from error


def _make(path: Path) -> None:
    """An empty environment where there is none, durably: one half written would be taken for a damaged one."""
    data, new = path / "data.mdb", path / "new"
    if data.exists() and data.stat().st_size:
        return
    path.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(new, ignore_errors=True)
    lmdb.open(str(new), lock=False).close()
    _sync(new / data.name)
    (new / data.name).replace(data)
    new.rmdir()
    _sync(path)
    _sync(path.parent)


def _sync(path: Path) -> None:
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(file)
    finally:
        os.close(file)


def _damaged(path: Path, found: object) -> DamagedStore:
    return DamagedStore(f"{path}: {found}; restore the data directory from a backup (ringup restore)")


def _read_metas(file: int) -> tuple[Meta, Meta]:
    for _ in range(2):
        with contextlib.suppress(PageDamage):
            return read_metas(file)
    return read_metas(file)  # at the third time it was not an engine that was writing just now


def _check_metas(path: Path, *, is_owner: bool) -> None:
    """Refuse a file whose last commit LMDB would not find; costs a few reads."""
    try:
        file = os.open(path / "data.mdb", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return  # LMDB makes the file, or says what is wrong
    try:
        if os.fstat(file).st_size:
            newest = max(_read_metas(file), key=lambda meta: meta.transaction)
            if is_owner:  # or an engine at work may be writing its pages
                check_last_freed(newest, last_freed(file, newest))
    except PageDamage as damage:
        raise DamagedStore(
            f"{path}: expected an LMDB environment, found: {damage}; is it a data directory?  Then restore it from a "
            "backup (ringup restore)"
        ) from damage
    finally:
        os.close(file)


def _write_metas_again(path: Path) -> None:
    """Have the disk's descriptions be the ones that are read here.

    After a sync that failed the kernel takes what it could not write for written: the disk may have an older
    description than its memory, and the next commit would leave there two that do not follow each other.
    """
    with _writing(path), contextlib.suppress(FileNotFoundError, PermissionError, PageDamage):  # whoever opens it tells
        file = os.open(path / "data.mdb", os.O_RDWR | os.O_CLOEXEC)
        try:
            size = 2 * read_metas(file)[0].free.page_bytes
            os.pwrite(file, os.pread(file, size, 0), 0)
            os.fdatasync(file)
        finally:
            os.close(file)


def check_pages(path: Path) -> int:
    """Prove every page of an environment, also beside an engine at work; returns how many pages it has.

    Raises DamagedStore for the first page that is not what it must be.
    """
    env = _open(path, readonly=True)
    file = os.open(path / "data.mdb", os.O_RDONLY | os.O_CLOEXEC)
    try:
        while True:
            with env.begin() as txn:  # the pages of this transaction stay as they are until it ends
                for meta in _read_metas(file):
                    if meta.transaction == txn.id():
                        return Walk(file, meta).prove()
    except PageDamage as damage:
        raise _damaged(path, damage) from damage
    finally:
        os.close(file)
        env.close()


def _databases(env: lmdb.Environment, path: Path, names: tuple[str, str], *, readonly: bool) -> list[Any]:
    with _writing(path) if not readonly else contextlib.nullcontext():
        try:
            return [env.open_db(name.encode(), create=not readonly) for name in names]
        except lmdb.NotFoundError as error:
            raise JournalError(
                f"{path}: expected the tables {' and '.join(names)}, found: {error}; is this a data directory?"
            ) from error


def _copy(env: lmdb.Environment, path: Path) -> None:
    with _writing(path):
        path.mkdir(parents=True, exist_ok=True)
        env.copy(str(path), compact=True)
        for name in (path / "data.mdb", path, path.parent):  # LMDB does not sync a copy
            _sync(name)


class LmdbJournal:
    """The `Journal` of one machine: one LMDB transaction, one sync, per append."""

    def __init__(self, path: Path, *, readonly: bool = False) -> None:
        self._path = path
        self._readonly = readonly
        self.is_read_alone = readonly
        """Whether nobody else uses this object while `read` goes on, so that it may map the file anew meanwhile."""
        self._epoch = 0
        self._new_bytes = 0
        self._kept = path / "unnamed"
        self._unnamed: dict[int, bytes] = {}
        if not readonly:
            _write_metas_again(path)
        self._open()
        with self._env.begin(db=self._meta) as txn:
            raw = txn.get(b"format")
            self._engine_id = txn.get(b"engine_id")
            ancestors = txn.get(b"ancestors", b"[]")
            guard, expected = txn.get(b"guard"), self._guard(txn)
        is_newer = raw is not None and raw.isdigit() and int(raw) > FORMAT  # then nothing else is known of it
        if not is_newer and raw is not None and (not raw.isdigit() or (guard is not None and guard != expected)):
            self._env.close()
            raise _damaged(path, "the table meta does not match its checksum")
        if raw is not None and is_newer:
            self._env.close()
            raise NewerFormat(
                f"{path}: expected data format {FORMAT} or older, found {int(raw)}: a newer RingUp wrote it; "
                "run that version"
            )
        self._ancestors = tuple(Ancestor(**one) for one in json.loads(ancestors))
        if not readonly:
            self._look_for_unnamed()
            self._make_good()
        elif not holder(path.parent):  # what an engine at work has written and not named is not durable
            self._look_for_unnamed()
            if holder(path.parent):
                self._unnamed = {}
        if raw is None and not readonly:
            with self._changing() as txn:
                self._engine_id = uuid.uuid4().hex.encode()
                txn.put(b"format", str(_FORMAT_OF_ITS_OWN).encode())
                txn.put(b"engine_id", self._engine_id)
                txn.put(b"guard", self._guard(txn))

    def _open(self) -> None:
        self._env = _open(self._path, readonly=self._readonly, metasync=False)
        self._file = GrowingFile(self._path / "data.mdb", _CACHED_BYTES)
        self._meta, self._records = _databases(self._env, self._path, ("meta", "records"), readonly=self._readonly)

    def _look_for_unnamed(self) -> None:
        """Find what the last commit before a power cut wrote and the file does not name."""
        with self._env.begin(db=self._records) as txn, txn.cursor() as cursor:
            last = (
                (_SEQUENCE.unpack(cursor.key())[0], cursor.value()[-DIGEST_BYTES:]) if cursor.last() else (0, GENESIS)
            )
        file = os.open(self._path / "data.mdb", os.O_RDONLY | os.O_CLOEXEC)
        try:
            records = records_after(file, *last)
        except PageDamage as damage:
            raise _damaged(self._path, damage) from damage
        finally:
            os.close(file)
        if self._kept.exists():  # the power was cut while they were taken up
            records = max(records, chain(_split(self._kept.read_bytes()), *last), key=len)
        self._unnamed = dict(enumerate(records, last[0] + 1))

    def _make_good(self) -> None:
        """Take up what was found; nothing else is written before.

        It is kept in a file of its own until it is durable here: the pages where it stands are free.
        """
        records = self._unnamed
        if not records and not self._kept.exists():
            return
        with _writing(self._path):
            if records:
                _write_whole(self._kept, b"".join(records.values()))
                _put(self._env, self._records, records)
            self._kept.unlink()
        self._unnamed = {}

    @contextlib.contextmanager
    def _changing(self, table: Any = None) -> Iterator[lmdb.Transaction]:
        """A transaction that is durable with its description when it ends."""
        with _writing(self._path):
            with self._env.begin(db=self._meta if table is None else table, write=True) as txn:
                yield txn
            self._env.sync(True)

    def settle(self) -> None:
        """Make durable what names the records, too: for those who read the file without this engine."""
        self._env.sync(True)

    def _guard(self, txn: lmdb.Transaction) -> bytes:
        """A checksum of the journal's few facts."""
        keys = (b"format", b"engine_id", b"epoch", b"ancestors")
        found = [txn.get(key, b"", db=self._meta) for key in keys]
        return _CRC.pack(zlib.crc32(b"\n".join(found if found[-1] else found[:-1])))

    @property
    def engine_id(self) -> str:
        """The journal's identity, made with it; a cursor of another journal is known by it."""
        return (self._engine_id or b"").decode()

    @property
    def ancestors(self) -> tuple[Ancestor, ...]:
        return self._ancestors

    def become_another(self, last_event: int, at_ns: int) -> None:
        """Take a new identity from the next batch on; `last_event` and `at_ns` are the last batch's."""
        last = Ancestor(self.engine_id, self.last_sequence(), last_event, at_ns)
        with self._changing() as txn:
            self._ancestors = (*self._ancestors, last)
            self._engine_id = uuid.uuid4().hex.encode()
            txn.put(b"format", str(FORMAT).encode())
            txn.put(b"engine_id", self._engine_id)
            txn.put(b"ancestors", json.dumps([asdict(one) for one in self._ancestors]).encode())
            txn.put(b"guard", self._guard(txn))

    def acquire(self) -> int:
        with self._changing() as txn:
            self._epoch = int(txn.get(b"epoch", b"0")) + 1
            txn.put(b"epoch", str(self._epoch).encode())
            txn.put(b"guard", self._guard(txn))
        return self._epoch

    def append(self, sequence: int, *records: bytes | bytearray) -> None:
        try:
            with self._env.begin(db=self._records, write=True) as txn:
                if int(txn.get(b"epoch", b"0", db=self._meta)) != self._epoch:
                    raise Fenced(f"batch {sequence}: another engine took this journal over; this one must stop")
                for number, record in enumerate(records, sequence):
                    if not txn.put(_SEQUENCE.pack(number), record, append=True, overwrite=False):
                        raise AppendUnknown(f"batch {number} is in the journal already")
        except lmdb.Error as error:
            # LMDB calls a write that found no room for its end an input/output error.
            free = shutil.disk_usage(self._path).free
            raise AppendUnknown(f"batch {sequence}: the commit failed: {error}; {free} bytes are free there") from error
        self._new_bytes += sum(map(len, records))
        if self._new_bytes > _UNCACHE_EACH_BYTES:
            self._new_bytes = 0
            self._file.uncache()

    def last_sequence(self) -> int:
        with self._env.begin(db=self._records) as txn, txn.cursor() as cursor:
            named = _SEQUENCE.unpack(cursor.key())[0] if cursor.last() else 0
        return max(self._unnamed, default=named)

    def first_sequence(self) -> int:
        """The oldest record kept; 0 for an empty journal."""
        with self._env.begin(db=self._records) as txn, txn.cursor() as cursor:
            return _SEQUENCE.unpack(cursor.key())[0] if cursor.first() else min(self._unnamed, default=0)

    def get(self, sequence: int) -> bytes | None:
        with self._env.begin(db=self._records) as txn:
            return txn.get(_SEQUENCE.pack(sequence), self._unnamed.get(sequence))

    def head(self, sequence: int, size: int) -> bytes:
        """The first bytes of a record, without the rest of it; empty where there is none."""
        with self._env.begin(db=self._records, buffers=True) as txn:
            record = txn.get(_SEQUENCE.pack(sequence), self._unnamed.get(sequence, b""))
            return bytes(record[:size])

    def read(self, from_sequence: int) -> Iterator[tuple[int, bytes]]:
        # A transaction a chunk: a reader that is slow must not keep old pages alive.
        mapped = 0
        while True:
            chunk: list[tuple[int, bytes]] = []
            size = 0
            with self._env.begin(db=self._records) as txn, txn.cursor() as cursor:
                found = cursor.set_range(_SEQUENCE.pack(from_sequence))
                while found and size < 4 << 20:
                    value = cursor.value()
                    chunk.append((_SEQUENCE.unpack(cursor.key())[0], value))
                    size += len(value)
                    found = cursor.next()
            if not chunk:
                break
            yield from chunk
            from_sequence = chunk[-1][0] + 1
            mapped += size
            if self.is_read_alone and mapped >= MAPPED_BYTES_MAX:
                mapped = 0
                self._map_anew()
        for sequence, record in self._unnamed.items():
            if sequence >= from_sequence:
                yield sequence, record

    def _map_anew(self) -> None:
        """Give back the memory that reading took: the file is mapped, so it counts as this process's."""
        self._env.close()
        self._open()

    def trim(self, before_sequence: int) -> int:
        count = 0
        with self._changing(self._records) as txn, txn.cursor() as cursor:
            found = cursor.first()
            while found and _SEQUENCE.unpack(cursor.key())[0] < before_sequence:
                found = cursor.delete()
                count += 1
        return count

    def copy(self, path: Path) -> None:
        """Write a consistent copy to the empty folder `path`, durably, while the engine runs."""
        _copy(self._env, path)
        if self._unnamed:
            with _writing(path):
                copy = _open(path)
                _, records = _databases(copy, path, ("meta", "records"), readonly=False)
                _put(copy, records, self._unnamed)
                copy.close()

    def health(self) -> dict[str, int]:
        """Sizes for people and metrics: bytes used and mapped, readers, the oldest reader's lag."""
        info, stat = self._env.info(), self._env.stat()
        oldest = [int(line.split()[2]) for line in self._env.readers().splitlines()[1:] if line.split()[2:3] != ["-"]]
        return {
            "journal_used_bytes": (info["last_pgno"] + 1) * stat["psize"],
            "journal_map_bytes": info["map_size"],
            "journal_readers": len(oldest),
            "journal_oldest_reader_lag": max((info["last_txnid"] - txn for txn in oldest), default=0),
        }

    def close(self) -> None:
        if not self._readonly:
            with contextlib.suppress(lmdb.Error):  # a disk that failed; the next start makes it good
                self.settle()
        self._env.close()


def _put(env: lmdb.Environment, table: Any, records: dict[int, bytes]) -> None:
    """Append records, durable with their description when it returns."""
    with env.begin(db=table, write=True) as txn:
        for sequence, record in records.items():
            txn.put(_SEQUENCE.pack(sequence), record, append=True, overwrite=False)
    env.sync(True)


def _split(data: bytes) -> Iterator[bytes]:
    """The records that stand one behind the other, as far as they say where they end."""
    at = 0
    while (head := head_of(data[at : at + HEADER_BYTES])) is not None:
        yield data[at : at + head[1]]
        at += head[1]


def _write_whole(path: Path, data: bytes) -> None:
    """A file with these bytes, durably, or none."""
    new = path.with_suffix(".new")
    with new.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)
    _sync(path.parent)


class DamagedCheckpoint(Exception):
    """A checkpoint that is not what was written; the journal can be folded again instead."""


class CheckpointStore:
    """Pages of the core's tables, with the sequence that they stand for."""

    def __init__(self, path: Path, *, readonly: bool = False) -> None:
        self._path = path
        self._readonly = readonly
        self._env = _open(path, readonly=readonly, max_dbs=2)
        self._meta, self._pages = _databases(self._env, path, ("meta", "pages"), readonly=readonly)

    def meta(self) -> dict[str, Any] | None:
        """What `write` was given with the pages, or None before the first checkpoint."""
        with self._env.begin(db=self._meta) as txn:
            raw = txn.get(b"checkpoint")
        if raw is None:
            return None
        body, _, check = raw.rpartition(b"\n")
        if _CRC.pack(zlib.crc32(body)).hex().encode() != check:
            raise DamagedCheckpoint(f"{self._path}: the checkpoint's description is damaged")
        result: dict[str, Any] = json.loads(body)
        return result

    def write(self, meta: dict[str, Any], pages: Iterable[tuple[int, int, memoryview]], *, fresh: bool) -> int:
        """Replace the pages given and the description in one transaction; returns the bytes written.

        `fresh` drops all older pages first (the layout changed, or the state was folded anew).
        """
        body = json.dumps(meta, sort_keys=True).encode()
        size = 0
        with self._env.begin(db=self._pages, write=True) as txn:
            if fresh:
                txn.drop(self._pages, delete=False)
            for table, page, data in pages:
                key = _PAGE.pack(table, page)
                txn.put(key, b"".join((data, _CRC.pack(zlib.crc32(data, zlib.crc32(key))))))
                size += len(data)
            txn.put(b"checkpoint", body + b"\n" + _CRC.pack(zlib.crc32(body)).hex().encode(), db=self._meta)
        return size

    def pages(self) -> Iterator[tuple[int, int, memoryview]]:
        """(table number, page number, bytes) of all pages; a view ends with the next one.

        Nobody else may use the store meanwhile: the file is mapped anew from time to time, or all of it would count as
        this process's memory.
        Beside an engine at work they are of one checkpoint where `meta` is the same before and after.
        Raises DamagedCheckpoint, which names the page.
        """
        next_key, mapped = b"", 0
        while True:
            with self._env.begin(db=self._pages, buffers=True) as txn, txn.cursor() as cursor:
                found = cursor.set_range(next_key)
                while found and mapped < MAPPED_BYTES_MAX:
                    key, value = cursor.item()
                    table, page = _PAGE.unpack(key)
                    data = value[: -_CRC.size]
                    if zlib.crc32(data, zlib.crc32(key)) != _CRC.unpack(value[-_CRC.size :])[0]:
                        raise DamagedCheckpoint(f"{self._path}: page {page} of table {table} is damaged")
                    yield table, page, data
                    mapped += len(value)
                    found = cursor.next()
                if not found:
                    return
                next_key, mapped = bytes(cursor.key()), 0
            self.let_go_of_pages()

    def let_go_of_pages(self) -> None:
        """Give back the memory that reading all pages took: the file is mapped, so it counts as this process's."""
        self._env.close()
        self._env = _open(self._path, readonly=self._readonly, max_dbs=2)
        self._meta, self._pages = _databases(self._env, self._path, ("meta", "pages"), readonly=self._readonly)

    def copy(self, path: Path) -> None:
        """Write a consistent copy to the empty folder `path`, durably, while the engine runs."""
        _copy(self._env, path)

    def close(self) -> None:
        """Release it."""
        self._env.close()

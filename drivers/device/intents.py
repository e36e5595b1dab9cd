"""The intent journal: what was about to be charged, on disk before the first byte goes to the terminal.

One line a fact, JSON and a CRC, appended and synced. A line that was torn by a power cut can only be the last one and
says nothing that happened: the intent is written before the money moves, the outcome after. No card number is in it
beyond BIN and last four.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import threading
import time
import zlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from ringup.drivers.device.job import JobFailed
from ringup.drivers.device.payment import Outcome, PaymentResult

KEPT_COUNT = 2000  # finished payments that survive a compaction
COMPACT_AT_COUNT = 20_000
_RESULT_FIELDS = tuple(name for name in PaymentResult.__dataclass_fields__ if name != "slips")


class PaymentConflict(JobFailed):
    """The same payment id with another kind or amount."""


class JournalError(JobFailed):
    """The journal cannot be read or written: no payment may begin."""


@dataclass(frozen=True, slots=True)
class Intent:
    """A payment that may have been charged. `baseline` is the terminal's last transaction before it.

    `baseline` is {"receipt": n, "trace": n}, {} where the terminal had none, or None where it could not be asked.
    `at_s` is the till's clock, seconds since 1970.
    """

    payment_id: str
    kind: str
    amount_minor: int
    currency: str
    baseline: Mapping[str, int | None] | None
    at_s: int


class IntentJournal:
    """Intents and outcomes of one terminal. One process owns the file; methods may be called from any thread."""

    def __init__(self, path: str | Path) -> None:
        """Open or make the journal. Raises JournalError if it is damaged, busy or cannot be written."""
        self.path = Path(path)
        self._lock = threading.RLock()
        self._intents: dict[str, Intent] = {}
        self._results: dict[str, PaymentResult] = {}
        self._line_count = 0
        self._fd = -1
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            is_new = not self.path.exists()
            self._fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if is_new:
                self._sync_folder()
            self._load()
            if self._line_count > COMPACT_AT_COUNT:
                self._compact()
        except BlockingIOError as error:
            self.close()
            raise JournalError(
                f"{self.path}: expected to own the payment journal, found another process that does; stop it"
            ) from error
        except OSError as error:
            self.close()
            raise JournalError(
                f"{self.path}: expected to read and write the payment journal, found: {error.strerror or error}"
            ) from error
        except JournalError:
            self.close()
            raise

    def close(self) -> None:
        """Let the file go; may be called twice."""
        with self._lock:
            if self._fd >= 0:
                os.close(self._fd)
                self._fd = -1

    def __enter__(self) -> IntentJournal:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def begin(self, intent: Intent) -> None:
        """Write the intent and sync it. After this returns, bytes may go to the terminal."""
        with self._lock:
            assert intent.payment_id not in self._intents, intent.payment_id
            self._append({"intent": asdict(intent)})
            self._intents[intent.payment_id] = intent

    def finish(self, result: PaymentResult) -> None:
        """Write the outcome of an intent; a final one is never changed."""
        with self._lock:
            assert result.payment_id in self._intents, result.payment_id
            before = self._results.get(result.payment_id)
            if before is not None and before.outcome.is_final:
                return
            result = replace(result, slips=())
            self._results[result.payment_id] = result  # known from now on, also if the disk refuses
            self._append({"result": {name: getattr(result, name) for name in _RESULT_FIELDS}})

    def intent(self, payment_id: str) -> Intent | None:
        """The intent of that id, or None if nothing was ever sent for it."""
        with self._lock:
            return self._intents.get(payment_id)

    def result(self, payment_id: str) -> PaymentResult | None:
        """What is known of a payment; `unknown` for an intent without outcome; None for no intent."""
        with self._lock:
            intent = self._intents.get(payment_id)
            if intent is None:
                return None
            return self._results.get(payment_id) or _unknown(intent, "no outcome was recorded")

    def unresolved(self) -> list[PaymentResult]:
        """Every intent whose outcome is not final, oldest first."""
        with self._lock:
            found = (self.result(payment_id) for payment_id in self._intents)
            return [result for result in found if result is not None and not result.outcome.is_final]

    def check(self, payment_id: str, kind: str, amount_minor: int | None) -> None:
        """Raise PaymentConflict if the id stands for something else."""
        intent = self.intent(payment_id)
        if intent is None:
            return
        if intent.kind != kind or (amount_minor is not None and intent.amount_minor != amount_minor):
            raise PaymentConflict(
                f"payment {payment_id}: expected a new id for each payment, found it used for a {intent.kind} of "
                f"{intent.amount_minor}; choose another id"
            )

    def _append(self, entry: dict[str, Any]) -> None:
        if self._fd < 0:
            raise JournalError(f"{self.path}: expected an open payment journal, found a closed one")
        line = _encode(entry)
        size = os.fstat(self._fd).st_size
        try:
            written = os.write(self._fd, line)
            if written != len(line):
                raise OSError(28, "no space left on the disk")
            os.fsync(self._fd)
        except OSError as error:
            with contextlib.suppress(OSError):
                os.ftruncate(self._fd, size)  # half a line would look like damage in the middle
            raise JournalError(
                f"{self.path}: expected to write the payment journal, found: {error.strerror or error}; no payment "
                "begins before this is mended"
            ) from error
        self._line_count += 1

    def _load(self) -> None:
        with open(self.path, "rb") as file:
            data = file.read()
        lines = data.split(b"\n")
        good_size = 0
        for number, line in enumerate(lines[:-1], 1):
            entry = _decode(line)
            if entry is None:
                if number == len(lines) - 1:
                    break  # torn and then ended by chance with a newline
                raise JournalError(
                    f"{self.path}: expected a whole line {number}, found damage; keep the file, look these payments up "
                    "at the terminal, and begin a new journal"
                )
            self._take(entry)
            good_size += len(line) + 1
            self._line_count += 1
        if good_size != len(data):
            os.ftruncate(self._fd, good_size)  # a torn last line
            os.fsync(self._fd)

    def _take(self, entry: dict[str, Any]) -> None:
        if "intent" in entry:
            intent = Intent(**entry["intent"])
            self._intents[intent.payment_id] = intent
        elif "result" in entry:
            fields = dict(entry["result"])
            fields["outcome"] = Outcome(fields["outcome"])
            result = PaymentResult(**fields)
            self._results[result.payment_id] = result

    def _compact(self) -> None:
        open_ids = {result.payment_id for result in self.unresolved()}
        finished = [payment_id for payment_id in self._intents if payment_id not in open_ids]
        for payment_id in finished[:-KEPT_COUNT]:
            del self._intents[payment_id]
            self._results.pop(payment_id, None)
        fresh = self.path.with_name(self.path.name + ".new")
        with open(fresh, "wb") as file:
            for payment_id, intent in self._intents.items():
                file.write(_encode({"intent": asdict(intent)}))
                if (result := self._results.get(payment_id)) is not None:
                    file.write(_encode({"result": {name: getattr(result, name) for name in _RESULT_FIELDS}}))
            file.flush()
            os.fsync(file.fileno())
        fd = os.open(fresh, os.O_RDWR | os.O_APPEND | os.O_CLOEXEC)
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.replace(fresh, self.path)
        self._sync_folder()
        os.close(self._fd)
        self._fd = fd
        self._line_count = len(self._intents) + len(self._results)

    def _sync_folder(self) -> None:
        folder = os.open(self.path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def new_intent(
    payment_id: str, kind: str, amount_minor: int, currency: str, baseline: Mapping[str, int | None] | None
) -> Intent:
    """An intent of this moment."""
    return Intent(payment_id, kind, amount_minor, currency, baseline, int(time.time()))


def _unknown(intent: Intent, detail: str) -> PaymentResult:
    return PaymentResult(intent.payment_id, intent.kind, Outcome.UNKNOWN, intent.amount_minor, intent.currency, detail)


def _encode(entry: dict[str, Any]) -> bytes:
    body = json.dumps(entry, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode("ascii")
    return b"%s %08x\n" % (body, zlib.crc32(body))


def _decode(line: bytes) -> dict[str, Any] | None:
    body, _, check = line.rpartition(b" ")
    if check != b"%08x" % zlib.crc32(body):
        return None
    try:
        entry = json.loads(body)
    except ValueError:
        return None
    return entry if isinstance(entry, dict) else None

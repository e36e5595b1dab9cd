"""A device: one owner thread, one queue for jobs and polls, states, health and events.

Only the owner thread touches the transport, so a status poll can never land inside a receipt.
A subclass says what to do when the link opens (`on_open`), how to poll (`poll`), what unasked
bytes mean (`on_bytes`), and offers methods that `submit` a job.  Inside a job it uses `send` and
`receive`; a job counts as confirmed only if bytes of the device arrived after the last `send`.
"""

from __future__ import annotations

import itertools
import logging
import queue
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal, TypeVar

from ringup.drivers.device.job import Job, JobFailed, JobRetry, JobState
from ringup.drivers.transport.base import Backoff, Transport, TransportError, deadline_in

log = logging.getLogger("ringup.drivers")

Result = TypeVar("Result")
Listener = Callable[["DeviceEvent"], None]
Monitor = Callable[[Literal["out", "in"], bytes], None]

QUEUE_SIZE_MAX = 20_000
READ_SIZE_MAX = 4096
NEVER_NS = 1 << 63
IDLE_WAIT_S = 5.0  # an idle owner looks up this often; submit and stop wake it at once


class DeviceState(StrEnum):
    STOPPED = "stopped"  # not started, or stopped
    OFFLINE = "offline"  # the link does not open, or nothing answers; reopened with backoff
    READY = "ready"  # the link is open and the device answers
    ATTENTION = "attention"  # it answers, but a person must do something: paper, cover, jam


@dataclass(frozen=True, slots=True)
class DeviceEvent:
    """Something happened at a device.  `kind` is state, status, job, or the device's own (scan, weight)."""

    device: str
    kind: str
    detail: Any
    at_ns: int  # time.monotonic_ns()


@dataclass(frozen=True, slots=True)
class Health:
    """A device at one moment; `detail` is what a person should know, "" when all is well."""

    name: str
    kind: str
    port: str
    state: DeviceState
    detail: str
    queued_count: int
    confirmed_count: int
    failed_count: int
    open_count: int
    last_heard_ns: int | None  # time.monotonic_ns() of the last byte received
    status: dict[str, Any] = field(default_factory=dict)  # the device's own: paper, cover, drawer


class QueueFull(JobFailed):
    """The queue of a device has no room: it is not working its jobs off."""


class NotAnswering(JobFailed):
    """The device took the bytes and said nothing: it is switched off, or not the device expected.

    Raised inside a job or `on_open`; the link is then closed and opened anew, so that a late answer
    cannot be taken for the answer to the next question.
    """


class Device:
    """One physical device.  Start it, submit jobs from any thread, stop it.

    `kind` and `replies` are fixed by the subclass; `replies` False means the device cannot answer,
    so its jobs end as `unproved` at best.
    """

    kind = "device"
    replies = True

    def __init__(
        self,
        name: str,
        transport: Transport,
        *,
        poll_interval_s: float = 0.0,
        reply_timeout_s: float = 2.0,
        open_timeout_s: float = 3.0,
        job_timeout_s: float = 30.0,
        backoff: Backoff | None = None,
    ) -> None:
        """`poll_interval_s` 0 means no polls.  Nothing is opened before `start`."""
        self.name = name
        self.transport = transport
        self.poll_interval_s = poll_interval_s
        self.reply_timeout_s = reply_timeout_s
        self.open_timeout_s = open_timeout_s
        self.job_timeout_s = job_timeout_s
        self._backoff = backoff or Backoff()
        self._changed = threading.Condition()
        self._queue: deque[Job[Any]] = deque()
        self._expiry_ns = NEVER_NS  # no queued job expires before this
        self._job: Job[Any] | None = None
        self._job_ids = itertools.count(1)
        self._poll_due_ns: int | None = None
        self._thread: threading.Thread | None = None
        self._stopping = False
        self._retry_now = False
        self._is_opening = False
        self._state = DeviceState.STOPPED
        self._detail = ""
        self._listeners: tuple[Listener, ...] = ()
        self._monitors: tuple[Monitor, ...] = ()
        self._confirmed_count = 0
        self._failed_count = 0
        self._open_count = 0
        self._last_heard_ns: int | None = None
        self._heard_since_send = False
        self._sent_in_job = False

    # What a subclass fills in; all of it runs on the owner thread.

    def on_open(self) -> None:
        """The link has just opened: set the device up.  May raise NotAnswering or JobFailed."""

    def on_close(self) -> None:
        """The link is gone: forget half-received frames."""

    def poll(self) -> None:
        """Ask for the state, every `poll_interval_s`; runs as a job like any other."""

    def on_bytes(self, data: bytes) -> None:
        """Bytes arrived (asked for or not): feed the parser and act on its events."""

    def may_run(self) -> str | None:
        """None if jobs may start now, else the reason why they wait (paper out, cover open)."""
        return None

    def device_status(self) -> dict[str, Any]:
        """The device's own part of `Health.status`; called from any thread, so copy."""
        return {}

    def test(self) -> str:
        """Try the device and say in a line what was seen; called from any thread, may take seconds.

        Raises JobFailed.  A subclass prints, weighs or shows something; this one only looks.
        """
        health = self.health()
        if health.state is not DeviceState.READY:
            raise JobFailed(f"{self.name}: expected a ready device, found {health.state}: {health.detail}")
        return "answers"

    def decode(self, direction: Literal["out", "in"], data: bytes) -> list[str]:
        """Bytes in words, for the monitor: one text a frame or command.  Must not change the device."""
        return [repr(data)[2:-1]]

    # For everyone.

    def retry_now(self) -> None:
        """Do not wait for the backoff: the port has just appeared."""
        with self._changed:
            self._retry_now = True
            self._changed.notify_all()

    def start(self) -> None:
        """Start the owner thread; does nothing if it runs."""
        with self._changed:
            if self._thread is not None:
                return
            self._stopping = False
            self._state = DeviceState.OFFLINE
            self._detail = "not opened yet"
            self._thread = threading.Thread(target=self._own, name=f"device-{self.name}", daemon=True)
            self._thread.start()

    def stop(self, timeout_s: float = 5.0) -> None:
        """Finish the running job, fail the queued ones, close the link, end the thread."""
        with self._changed:
            thread = self._thread
            self._stopping = True
            self._changed.notify_all()
        self.transport.wake()
        if thread is not None and thread is not threading.current_thread():
            thread.join(timeout_s)
            if thread.is_alive():
                log.warning("%s: expected the owner thread to end in %s s; it still runs", self.name, timeout_s)

    def __enter__(self) -> Any:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def submit(
        self,
        kind: str,
        run: Callable[[Job[Result]], Result],
        *,
        timeout_s: float | None = None,
        needs_ready: bool = True,
    ) -> Job[Result]:
        """Queue `run(job)` for the owner thread and return its handle.  Raises QueueFull.

        `needs_ready` False lets the job run, before those that wait, while `may_run` gives a reason to
        wait: a drawer opens also when the printer is out of paper.
        """
        deadline_ns = deadline_in(self.job_timeout_s if timeout_s is None else timeout_s)
        job = Job(next(self._job_ids), kind, run, deadline_ns, needs_ready=needs_ready)
        with self._changed:
            if self._thread is None or self._stopping:
                raise JobFailed(f"{self.name}: expected a started device, found a stopped one; start it first")
            if len(self._queue) >= QUEUE_SIZE_MAX:
                raise QueueFull(f"{self.name}: {QUEUE_SIZE_MAX} jobs wait already ({self._detail or self._state})")
            self._queue.append(job)
            self._expiry_ns = min(self._expiry_ns, deadline_ns)
            self._changed.notify_all()
        self.transport.wake()
        return job

    @property
    def state(self) -> DeviceState:
        return self._state

    def health(self) -> Health:
        """The device as it is now; from any thread."""
        with self._changed:
            return Health(
                name=self.name,
                kind=self.kind,
                port=self.transport.name,
                state=self._state,
                detail=self._detail,
                queued_count=len(self._queue),
                confirmed_count=self._confirmed_count,
                failed_count=self._failed_count,
                open_count=self._open_count,
                last_heard_ns=self._last_heard_ns,
                status=self.device_status(),
            )

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """Call `listener(event)` on the owner thread for each event; returns the way to stop that.

        Listeners must be quick; an exception in one is logged and hurts nobody else.
        """
        with self._changed:
            self._listeners = (*self._listeners, listener)

        def unsubscribe() -> None:
            with self._changed:
                self._listeners = tuple(one for one in self._listeners if one is not listener)

        return unsubscribe

    def events(self) -> queue.SimpleQueue[DeviceEvent]:
        """A queue that gets every event from now on: for readers with a pace of their own."""
        events: queue.SimpleQueue[DeviceEvent] = queue.SimpleQueue()
        self.subscribe(events.put)
        return events

    def monitor(self, monitor: Monitor) -> Callable[[], None]:
        """Call `monitor("out" | "in", data)` for all bytes, on the owner thread; returns the way to stop."""
        with self._changed:
            self._monitors = (*self._monitors, monitor)

        def end() -> None:
            with self._changed:
                self._monitors = tuple(one for one in self._monitors if one is not monitor)

        return end

    def wait_ready(self, timeout_s: float = 5.0) -> bool:
        """Wait until the device is READY; False if it is not by then."""
        end_ns = deadline_in(timeout_s)
        with self._changed:
            while self._state is not DeviceState.READY:
                wait_s = (end_ns - time.monotonic_ns()) / 1e9
                if wait_s <= 0:
                    return False
                self._changed.wait(wait_s)
            return True

    # For subclasses, on the owner thread.

    def emit(self, kind: str, detail: object) -> None:
        """Tell the listeners."""
        event = DeviceEvent(self.name, kind, detail, time.monotonic_ns())
        for listener in self._listeners:
            try:
                listener(event)
            except Exception:
                log.exception("%s: a listener failed on %s", self.name, kind)

    def set_state(self, state: DeviceState, detail: str = "") -> None:
        """Change the state; emits a "state" event if that is news.

        Until `on_open` has ended nothing counts: half a status is no status.
        """
        if self._is_opening:
            return
        with self._changed:
            if (state, detail) == (self._state, self._detail):
                return
            self._state, self._detail = state, detail
            self._changed.notify_all()
        self.emit("state", (state, detail))

    def send(self, data: bytes, timeout_s: float | None = None) -> None:
        """Write `data`; the running job is `sent` from its first byte on.  Raises TransportError."""
        if not data:
            return
        job = self._job
        if job is not None:
            job.mark_sent()
            self._sent_in_job = True
        self._heard_since_send = False
        self._watch("out", data)
        self.transport.write(data, deadline_in(self.reply_timeout_s if timeout_s is None else timeout_s))

    def receive(self, until: Callable[[], bool], timeout_s: float | None = None, *, what: str = "a reply") -> None:
        """Read, passing bytes to `on_bytes`, until `until()` is true.

        Raises NotAnswering when it is not within `timeout_s` (default: the reply timeout).
        """
        deadline_ns = deadline_in(self.reply_timeout_s if timeout_s is None else timeout_s)
        heard = is_late = False
        while not until():
            if is_late:
                found = "only bytes that mean something else" if heard else "silence"
                raise NotAnswering(
                    f"{self.name}: expected {what} in time, found {found}; is it switched on, is this its port "
                    f"({self.transport.name}) and its speed?"
                )
            # Once more when the time is up: what came while the machine kept this thread waiting has come in time.
            is_late = time.monotonic_ns() >= deadline_ns
            heard |= self._read(deadline_ns)

    def drain(self) -> None:
        """Take in what has already arrived, without waiting."""
        while self._read(0):
            pass

    def _read(self, deadline_ns: int) -> bool:
        data = self.transport.read(READ_SIZE_MAX, deadline_ns)
        if not data:
            return False
        self._last_heard_ns = time.monotonic_ns()
        self._heard_since_send = True
        self._watch("in", data)
        self.on_bytes(data)
        return True

    def _watch(self, direction: Literal["out", "in"], data: bytes) -> None:
        for monitor in self._monitors:
            try:
                monitor(direction, data)
            except Exception:
                log.exception("%s: a monitor failed", self.name)

    # The owner thread.

    def _own(self) -> None:
        try:
            while not self._stopping:
                if not self.transport.is_open and not self._open():
                    continue
                try:
                    self._step()
                except TransportError as error:
                    self._lost(str(error))
        except Exception as error:
            # A defect of ours: say so and fail what waits, rather than leave callers waiting.
            log.exception("%s: the owner thread ends", self.name)
            self._detail = f"internal error: {error!r}"
        finally:
            self.transport.close()
            with self._changed:
                jobs = tuple(self._queue)
                self._queue.clear()
                self._stopping = True
                self._thread = None
            for job in jobs:
                self._end(job, JobState.FAILED, error=f"{self.name}: stopped before the job began")
            self.set_state(DeviceState.STOPPED, self._detail if self._detail.startswith("internal") else "")

    def _open(self) -> bool:
        try:
            self.transport.open(deadline_in(self.open_timeout_s))
            self._open_count += 1
            self._is_opening = True
            try:
                self.on_open()
            finally:
                self._is_opening = False
        except (TransportError, JobFailed) as error:
            self._lost(str(error))
            self._pause(self._backoff.pause_s())
            return False
        self._backoff.reset()
        self._poll_due_ns = deadline_in(self.poll_interval_s) if self.poll_interval_s > 0 else None
        problem = self.may_run()
        self.set_state(DeviceState.ATTENTION if problem else DeviceState.READY, problem or "")
        return True

    def _lost(self, reason: str) -> None:
        self.transport.close()
        self.on_close()
        self.set_state(DeviceState.OFFLINE, reason)

    def _pause(self, pause_s: float) -> None:
        """Wait between two attempts to open; jobs whose time is up fail meanwhile."""
        end_ns = deadline_in(pause_s)
        while not self._stopping and not self._retry_now and time.monotonic_ns() < end_ns:
            next_ns = self._expire()
            with self._changed:
                if not self._retry_now:
                    self._changed.wait(max(0.0, (min(next_ns, end_ns) - time.monotonic_ns()) / 1e9))
        self._retry_now = False

    def _expire(self) -> int:
        """Fail the queued jobs whose deadline has passed; return a moment before which none expires."""
        now_ns = time.monotonic_ns()
        if now_ns < self._expiry_ns:
            return self._expiry_ns
        with self._changed:
            late = [job for job in self._queue if job.deadline_ns <= now_ns]
            for job in late:
                self._queue.remove(job)
            next_ns = self._expiry_ns = min((job.deadline_ns for job in self._queue), default=NEVER_NS)
        for job in late:
            waiting_for = None if self._state is DeviceState.OFFLINE else self.may_run()
            reason = waiting_for or self._detail or "busy with other jobs"
            self._end(job, JobState.FAILED, error=f"{self.name}: time is up before the job could run: {reason}")
        return next_ns

    def _step(self) -> None:
        """Run the next job or poll, or read what the device says by itself."""
        now_ns = time.monotonic_ns()
        if self._poll_due_ns is not None and now_ns >= self._poll_due_ns:
            self._poll_due_ns = None
            poll: Job[None] = Job(
                0, "poll", lambda job: self.poll(), deadline_in(self.job_timeout_s), needs_ready=False
            )
            with self._changed:
                self._queue.append(poll)
        next_ns = self._expire()
        job = self._next_job()
        if job is not None:
            self._run(job)
            return
        if self._poll_due_ns is not None:
            next_ns = min(next_ns, self._poll_due_ns)
        self._read(min(next_ns, now_ns + int(IDLE_WAIT_S * 1e9)))

    def _next_job(self) -> Job[Any] | None:
        waiting_for = self.may_run()
        with self._changed:
            for job in self._queue:
                if waiting_for is None or not job.needs_ready:
                    self._queue.remove(job)
                    return job
        return None

    def _run(self, job: Job[Any]) -> None:
        self._job = job
        self._sent_in_job = self._heard_since_send = False
        job.attempts += 1
        try:
            result = job.run(job)
        except JobRetry as retry:
            self._requeue(job, str(retry))
            if retry.is_link_lost:
                self._lost(str(retry))
        except NotAnswering as error:
            self._end(job, JobState.FAILED, error=str(error))
            self._lost(str(error))
        except TransportError as error:
            self._end(job, JobState.FAILED, error=f"{self.name}: the link failed in the job: {error}")
            self._lost(str(error))
        except JobFailed as error:
            self._end(job, JobState.FAILED, error=str(error))
        except Exception as error:
            log.exception("%s: job %s (%s) failed", self.name, job.id, job.kind)
            self._end(job, JobState.FAILED, error=f"{self.name}: internal error in the job: {error!r}")
        else:
            if not self._sent_in_job or self._heard_since_send:
                self._end(job, JobState.CONFIRMED, result)
            elif self.replies:
                self._end(job, JobState.FAILED, error=f"{self.name}: sent, but nothing the device said confirms it")
            else:
                self._end(job, JobState.UNPROVED, result)
        finally:
            self._job = None
            if job.kind == "poll" and self.poll_interval_s > 0:
                self._poll_due_ns = deadline_in(self.poll_interval_s)

    def _requeue(self, job: Job[Any], reason: str) -> None:
        if time.monotonic_ns() >= job.deadline_ns or self._stopping:
            self._end(job, JobState.FAILED, error=reason)
            return
        with self._changed:
            self._queue.appendleft(job)
            self._expiry_ns = min(self._expiry_ns, job.deadline_ns)

    def _end(self, job: Job[Any], state: JobState, result: object = None, error: str | None = None) -> None:
        try:
            if not job.finish(state, result, error):
                return
        except Exception:
            log.exception("%s: a callback of job %s failed", self.name, job.id)
        if job.kind == "poll":
            return
        if state is JobState.FAILED:
            self._failed_count += 1
        else:
            self._confirmed_count += 1
        self.emit("job", job)

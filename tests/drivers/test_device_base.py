"""The owner thread: jobs end once, only an answer confirms, polls never land inside a job."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest

from ringup.drivers.device.base import Device, DeviceState
from ringup.drivers.device.job import Job, JobFailed, JobState
from ringup.drivers.simulator.base import Server, Simulator
from ringup.drivers.transport.base import Backoff
from ringup.drivers.transport.factory import make_transport
from ringup.drivers.transport.memory import MemoryWire


class EchoSimulator(Simulator):
    """Answers each line with itself; `spoken` keeps the lines."""

    kind = "echo"

    def __init__(self) -> None:
        super().__init__()
        self.spoken: list[bytes] = []
        self._buffer = b""

    def on_connect(self) -> None:
        self._buffer = b""

    def on_bytes(self, data: bytes) -> None:
        *lines, self._buffer = (self._buffer + data).split(b"\n")
        for line in lines:
            self.spoken.append(line)
            self.reply(line + b"\n")


class EchoDevice(Device):
    kind = "echo"

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.heard = b""

    def on_close(self) -> None:
        self.heard = b""

    def on_bytes(self, data: bytes) -> None:
        self.heard += data

    def poll(self) -> None:
        self._ask(b"poll")

    def _ask(self, text: bytes) -> bytes:
        self.heard = b""
        for byte in text:  # a write each: a second writer would show at once
            self.send(bytes([byte]))
        self.send(b"\n")
        self.receive(lambda: self.heard.endswith(b"\n"))
        return self.heard[:-1]

    def ask(self, text: bytes, timeout_s: float | None = None) -> Job[bytes]:
        return self.submit("ask", lambda job: self._ask(text), timeout_s=timeout_s)


def _quick(**options: Any) -> dict[str, Any]:
    return {"reply_timeout_s": 30.0, "backoff": Backoff(0.01, 0.05), **options}


@pytest.fixture(params=["tcp", "pty", "memory"])
def echo(request: pytest.FixtureRequest) -> Any:
    simulator = EchoSimulator()
    with Server(simulator) as server:
        if request.param == "tcp":
            transport = make_transport(f"tcp://127.0.0.1:{server.serve_tcp()}")
        elif request.param == "pty":
            transport = make_transport(f"pty:{server.serve_pty()}")
        else:
            wire = MemoryWire()
            server.attach(wire.peer)
            transport = wire.host
        with EchoDevice("echo", transport, **_quick()) as device:
            yield device, simulator


def test_a_job_is_confirmed_by_its_answer(echo: Any) -> None:
    device, _ = echo
    job = device.ask(b"hello")
    assert job.result(60) == b"hello"
    assert job.state is JobState.CONFIRMED
    assert device.state is DeviceState.READY
    assert device.health().confirmed_count == 1


def test_polls_and_jobs_of_many_threads_never_mix(echo: Any) -> None:
    """Story: a status poll and a print job from two threads made a printer print garbage."""
    device, simulator = echo
    device.poll_interval_s = 0.001
    device._poll_due_ns = time.monotonic_ns()

    def ask(number: int) -> None:
        for count in range(20):
            text = f"{number}-{count}".encode()
            assert device.ask(text).result(60) == text

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    asked = [line for line in simulator.spoken if line != b"poll"]
    assert sorted(asked) == sorted(f"{n}-{c}".encode() for n in range(4) for c in range(20))
    assert b"poll" in simulator.spoken


def _memory_echo(**options: Any) -> tuple[EchoDevice, EchoSimulator, Server, MemoryWire]:
    wire = MemoryWire()
    simulator = EchoSimulator()
    server = Server(simulator)
    server.attach(wire.peer)
    return EchoDevice("echo", wire.host, **_quick(**options)), simulator, server, wire


def test_silence_fails_the_job_and_takes_the_device_offline() -> None:
    device, simulator, server, _ = _memory_echo()
    with server, device:
        assert device.ask(b"a").result(60) == b"a"
        simulator.faults.set("silent", count=1)
        device.reply_timeout_s = 0.2
        job = device.ask(b"b")
        assert job.wait(60) is JobState.FAILED
        assert "silence" in (job.error or "")
        device.reply_timeout_s = 30.0
        # It comes back by itself, and a late answer is not taken for the next one.
        assert device.ask(b"c").result(60) == b"c"
        assert device.health().failed_count == 1


def test_what_has_arrived_counts_although_the_time_is_up() -> None:
    """Found where the machine stalled: the answer lay there, and the till looked at the clock first."""
    device, _, server, _ = _memory_echo()
    with server, device:

        def late(job: Job[bytes]) -> bytes:
            device.send(b"late\n")
            end_s = time.monotonic() + 60
            while not device.transport._chunks:  # type: ignore[attr-defined]  # what has arrived, and nobody has read
                assert time.monotonic() < end_s
                time.sleep(0.001)
            device.receive(lambda: device.heard.endswith(b"\n"), 0.0)
            return device.heard

        assert device.submit("late", late).result(60) == b"late\n"


def test_a_job_waits_for_a_device_that_comes_later_but_not_for_ever() -> None:
    device, _, server, wire = _memory_echo()
    wire.unplug()
    with server, device:
        hopeless = device.ask(b"x", timeout_s=0.1)
        assert hopeless.wait(60) is JobState.FAILED
        assert "unplugged" in (hopeless.error or "")
        patient = device.ask(b"y", timeout_s=60)
        assert device.state is DeviceState.OFFLINE
        wire.plug()
        assert patient.result(60) == b"y"


def test_sent_without_an_answer_is_never_confirmed() -> None:
    device, simulator, server, _ = _memory_echo()
    with server, device:
        simulator.faults.set("silent")

        def only_send(job: Job[None]) -> None:
            device.send(b"q\n")

        job = device.submit("send", only_send)
        assert job.wait(60) is JobState.FAILED
        device.replies = False
        assert device.submit("send", only_send).wait(60) is JobState.UNPROVED


def test_an_error_in_a_job_or_listener_hurts_only_itself(caplog: pytest.LogCaptureFixture) -> None:
    device, _, server, _ = _memory_echo()

    def bad(*_: object) -> None:
        raise ZeroDivisionError("bad")

    with server, device:
        device.subscribe(bad)
        job = device.submit("bad", bad)
        assert job.wait(60) is JobState.FAILED
        assert "ZeroDivisionError" in (job.error or "")
        assert device.ask(b"still here").result(60) == b"still here"


def test_stop_fails_what_waits_and_refuses_what_comes() -> None:
    device, _, server, wire = _memory_echo()
    wire.unplug()
    with server:
        device.start()
        job = device.ask(b"x")
        device.stop()
        assert job.state is JobState.FAILED
        assert device.state is DeviceState.STOPPED
        with pytest.raises(JobFailed, match="start it first"):
            device.ask(b"y")
        wire.plug()
        device.start()
        assert device.ask(b"z").result(60) == b"z"
        device.stop()


def test_events_tell_states_and_jobs_in_order() -> None:
    device, _, server, wire = _memory_echo()
    events = device.events()
    with server, device:
        device.ask(b"a").result(60)
        wire.drop()
        device.ask(b"b").result(60)
    kinds = []
    while not events.empty():
        event = events.get()
        kinds.append(str(event.detail[0]) if event.kind == "state" else f"job {event.detail.state}")
    assert kinds[0] in ("offline", "ready")
    assert [kind for kind in kinds if kind.startswith("job")] == ["job confirmed", "job confirmed"]
    assert kinds[-1] == "stopped"


def test_a_dropped_pty_comes_back_under_its_stable_name(tmp_path: Any) -> None:
    simulator = EchoSimulator()
    with Server(simulator) as server:
        path = server.serve_pty(str(tmp_path / "usb-echo"))
        with EchoDevice("echo", make_transport(f"serial:{path}"), **_quick()) as device:
            assert device.ask(b"a").result(60) == b"a"
            simulator.drop_link()
            assert device.ask(b"b", timeout_s=60).wait(90).is_final
            assert device.ask(b"c", timeout_s=60).result(60) == b"c"

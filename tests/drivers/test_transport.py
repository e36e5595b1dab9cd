"""Transports: deadlines, wake-ups, what a person reads when a port is not there."""

from __future__ import annotations

import os
import socket
import threading
import time

import pytest

from ringup.drivers.transport.base import (
    Backoff,
    Transport,
    TransportClosed,
    TransportError,
    TransportTimeout,
    deadline_in,
)
from ringup.drivers.transport.factory import make_transport
from ringup.drivers.transport.fd import DeviceFileTransport, UsbPrinterTransport
from ringup.drivers.transport.hid import EvdevTransport
from ringup.drivers.transport.memory import MemoryWire
from ringup.drivers.transport.pty import PtyTransport
from ringup.drivers.transport.serial import SerialTransport
from ringup.drivers.transport.tcp import TcpTransport

HANG_S = 60.0


def _pty_pair() -> tuple[Transport, Transport]:
    near = PtyTransport()
    near.open(deadline_in(HANG_S))
    far = SerialTransport(near.path, baud=9600, data_bits=7, parity="E")
    far.open(deadline_in(HANG_S))
    return near, far


def _tcp_pair() -> tuple[Transport, Transport]:
    from ringup.drivers.simulator.base import _AcceptedSocket

    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = TcpTransport("127.0.0.1", listener.getsockname()[1])
        client.open(deadline_in(HANG_S))
        link, _ = listener.accept()
    server = _AcceptedSocket(link, "accepted")
    server.open(deadline_in(HANG_S))
    return server, client


def _memory_pair() -> tuple[Transport, Transport]:
    wire = MemoryWire()
    wire.peer.open(deadline_in(HANG_S))
    wire.host.open(deadline_in(HANG_S))
    return wire.peer, wire.host


PAIRS = {"pty": _pty_pair, "tcp": _tcp_pair, "memory": _memory_pair}


@pytest.mark.parametrize("kind", PAIRS)
def test_bytes_pass_both_ways_and_waits_end_at_the_deadline(kind: str) -> None:
    near, far = PAIRS[kind]()
    try:
        everything = bytes(range(256))
        far.write(everything, deadline_in(HANG_S))
        seen = b""
        while len(seen) < 256:
            data = near.read(100, deadline_in(HANG_S))
            assert data, "the deadline passed before all bytes came"
            seen += data
        assert seen == everything
        near.write(b"\x00\xff\x11\x13", deadline_in(HANG_S))  # flow-control bytes are only bytes
        assert far.read(100, deadline_in(HANG_S)) == b"\x00\xff\x11\x13"
        begin_s = time.monotonic()
        assert far.read(100, deadline_in(0.1)) == b""
        assert 0.09 <= time.monotonic() - begin_s < HANG_S / 2
    finally:
        near.close()
        far.close()


@pytest.mark.parametrize("kind", PAIRS)
def test_wake_ends_a_read_from_another_thread(kind: str) -> None:
    near, far = PAIRS[kind]()
    try:
        timer = threading.Timer(0.05, far.wake)
        timer.start()
        deadline_ns = deadline_in(HANG_S)
        assert far.read(1, deadline_ns) == b""
        assert time.monotonic_ns() < deadline_ns
        timer.join()
    finally:
        near.close()
        far.close()


@pytest.mark.parametrize("kind", PAIRS)
def test_a_dropped_link_is_said_and_can_be_told_from_silence(kind: str) -> None:
    near, far = PAIRS[kind]()
    near.close()
    with pytest.raises(TransportClosed, match="gone"):
        far.read(10, deadline_in(HANG_S))
    assert not far.is_open
    with pytest.raises(TransportClosed):
        far.write(b"x", deadline_in(0.1))
    far.close()


def test_a_device_that_stops_reading_ends_a_write_at_its_deadline() -> None:
    near, far = _tcp_pair()
    try:
        begin_s = time.monotonic()
        with pytest.raises(TransportTimeout, match="bytes to be taken") as caught:
            far.write(bytes(64 << 20), deadline_in(0.3))
        assert time.monotonic() - begin_s < HANG_S / 2
        assert 0 < caught.value.written_size < 64 << 20
    finally:
        near.close()
        far.close()


def test_memory_hook_changes_splits_and_loses_bytes() -> None:
    def manipulate(direction: str, data: bytes) -> list[bytes] | None:
        if direction == "to_host":
            return [data[:1], data[1:]]
        return [] if data == b"lost" else None

    wire = MemoryWire(manipulate=manipulate)
    with pytest.raises(TransportError, match="at the other end"):
        wire.host.open(0)
    wire.peer.open(0)
    wire.host.open(0)
    wire.host.write(b"lost", deadline_in(HANG_S))
    wire.host.write(b"kept", deadline_in(HANG_S))
    assert wire.peer.read(100, deadline_in(HANG_S)) == b"kept"
    wire.peer.write(b"abc", deadline_in(HANG_S))
    assert [wire.host.read(100, deadline_in(HANG_S)), wire.host.read(100, deadline_in(HANG_S))] == [b"a", b"bc"]


def test_a_serial_port_has_one_owner() -> None:
    near = PtyTransport()
    near.open(deadline_in(HANG_S))
    first = SerialTransport(near.path)
    second = SerialTransport(near.path)
    first.open(deadline_in(HANG_S))
    try:
        with pytest.raises(TransportError, match="another program owns it"):
            second.open(deadline_in(HANG_S))
    finally:
        first.close()
        near.close()


def test_a_port_that_is_not_there_names_the_way_to_find_it() -> None:
    for transport in (SerialTransport("/dev/ttyNOSUCH7"), DeviceFileTransport("/dev/usb/nosuch7")):
        with pytest.raises(TransportError, match=r"no such port.*by-id"):
            transport.open(deadline_in(HANG_S))
        assert not transport.is_open


def test_nobody_listening_is_refused_at_once_with_the_address() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(TransportError, match=f"tcp://127.0.0.1:{port}.*check address"):
        TcpTransport("127.0.0.1", port).open(deadline_in(HANG_S))


def test_a_regular_file_is_no_printer(tmp_path: object) -> None:
    path = os.path.join(str(tmp_path), "lp0")
    with open(path, "wb"):
        pass
    with pytest.raises(TransportError, match="character device"):
        DeviceFileTransport(path).open(deadline_in(HANG_S))
    assert os.path.getsize(path) == 0


@pytest.mark.parametrize(
    ("port", "options", "words"),
    [
        ("tpc://host:1", {}, "did you mean 'tcp'"),
        ("tcp://host", {}, "tcp://HOST:PORT"),
        ("tcp://host:70000", {}, "1 to 65535"),
        ("serial:", {}, "found nothing"),
        ("/tmp/x", {}, "expected one of"),
        ("tcp://host:1", {"baud": 9600}, "belong to serial"),
        ("/dev/ttyS0", {"baut": 9600}, "did you mean 'baud'"),
        ("/dev/ttyS0", {"parity": "X"}, "expected one of N, E"),
        ("/dev/ttyS0", {"stop_bits": True}, "found True"),
    ],
)
def test_a_port_that_cannot_be_meant_is_refused(port: str, options: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        make_transport(port, options)


def test_a_port_becomes_its_transport_without_opening_anything() -> None:
    tcp = make_transport("tcp://[::1]:9100")
    assert isinstance(tcp, TcpTransport)
    assert (tcp.host, tcp.port) == ("::1", 9100)
    serial = make_transport("/dev/serial/by-id/usb-scale", {"baud": 4800, "parity": "E", "data_bits": 7})
    assert isinstance(serial, SerialTransport)
    assert (serial.baud, serial.parity, serial.data_bits) == (4800, "E", 7)
    assert make_transport("memory:till-1") is make_transport("memory:till-1")
    assert not serial.is_open


def test_backoff_doubles_up_to_its_limit_and_starts_anew() -> None:
    backoff = Backoff(0.1, 0.5)
    assert [backoff.pause_s() for _ in range(5)] == [0.1, 0.2, 0.4, 0.5, 0.5]
    backoff.reset()
    assert backoff.pause_s() == 0.1


def test_a_device_that_is_no_keyboard_is_not_grabbed_as_one() -> None:
    near = PtyTransport()
    near.open(deadline_in(HANG_S))
    keyboard = EvdevTransport(near.path)
    try:
        with pytest.raises(TransportError, match="expected to take the keyboard"):
            keyboard.open(deadline_in(HANG_S))
        assert not keyboard.is_open
    finally:
        near.close()


def test_a_usb_printer_that_reads_empty_is_silent_and_not_gone() -> None:
    """/dev/null is a character device that always reads empty, as usblp does for a packet without data."""
    printer = UsbPrinterTransport("/dev/null")
    printer.open(deadline_in(HANG_S))
    printer.write(b"receipt", deadline_in(HANG_S))
    assert printer.read(10, deadline_in(0.1)) == b""
    assert printer.is_open
    printer.close()

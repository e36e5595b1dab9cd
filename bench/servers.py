"""The processes under load: an engine, and an echo with the engine's own server options.

Each is started on a free loopback port, says the port on its first line, and is ended by its process
id when its block ends.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc

from bench.shop import LOCATION, item_id
from ringup.engine.edge import NGHTTP2, chosen_server
from ringup.v1 import stock_pb2

ROOT = Path(__file__).resolve().parents[1]
STOP_SECONDS = 600  # a last checkpoint of a large state is written within it, on a disk that others use as well
_SERVING = re.compile(r"serving on (?P<host>[\d.]+):(?P<port>\d+)")


@dataclass(frozen=True, slots=True)
class Server:
    """A running server."""

    pid: int
    port: int

    @property
    def target(self) -> str:
        """host:port."""
        return f"127.0.0.1:{self.port}"


def resident_mb(pid: int) -> float:
    """Resident memory of a process, in MB (10^6 bytes)."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def peak_mb(pid: int) -> float:
    """Resident memory of a process at its highest so far, in MB."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    kib = next(line.split()[1] for line in lines if line.startswith("VmHWM:"))
    return int(kib) * 1024 / 1e6


def cpu_seconds(pid: int) -> float:
    """User and system time that a process has used so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def _process(arguments: Sequence[str], name: str, log: Path) -> Iterator[Server]:
    with log.open("wb") as errors:
        process = subprocess.Popen(
            arguments,
            stdout=subprocess.PIPE,
            stderr=errors,
            cwd=ROOT,
            text=True,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )
    try:
        assert process.stdout is not None
        for line in process.stdout:
            if found := _SERVING.search(line):
                yield Server(process.pid, int(found["port"]))
                return
        raise RuntimeError(f"{name}: expected it to serve, found that it ended; it said: {log.read_text()[-2000:]}")
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        assert process.stdout is not None
        process.stdout.close()


@contextmanager
def engine(directory: Path, *flags: str) -> Iterator[Server]:
    """`ringup serve` on a data directory."""
    arguments = [sys.executable, "-m", "ringup", "serve", "--data-dir", str(directory), "--listen", "127.0.0.1:0"]
    with _process([*arguments, *flags], "ringup serve", directory.with_suffix(".log")) as server:
        yield server


def ask_stock(server: Server, index: int) -> int:
    """The stock of an item, in thousandths: what an engine that has just started is asked first."""
    request = stock_pb2.GetAvailabilityRequest(item_ids=[item_id(index)], location_id=LOCATION)
    with grpc.insecure_channel(server.target) as channel:
        call: Any = channel.unary_unary("/ringup.v1.StockService/GetAvailability")
        answer = stock_pb2.GetAvailabilityResponse.FromString(call(request.SerializeToString(), timeout=30))
    assert answer.code == 1, f"expected the stock of item {index}, found {answer.problem}"
    return int(answer.positions[0].on_hand_milli)


@contextmanager
def echo(work: Path, command_bytes: int, reply: bytes, unary_reply: bytes, kind: str = "grpcio") -> Iterator[Server]:
    """An empty server: `reply` to every command of `command_bytes`, `unary_reply` to every unary call.

    `kind` is what takes its calls, "grpcio" or "nghttp2".
    """
    (work / "echo.reply").write_bytes(reply)
    (work / "echo.unary").write_bytes(unary_reply)
    arguments = [sys.executable, "-m", "bench.echo_server", str(command_bytes), str(work), kind]
    with _process(arguments, f"the echo of {kind}", work / f"echo_{kind}.log") as server:
        yield server


@contextmanager
def own_echo(work: Path, command_bytes: int, reply: bytes, unary_reply: bytes) -> Iterator[Server | None]:
    """The same on the engine's own server, None where libnghttp2 is missing."""
    if chosen_server() != NGHTTP2:
        yield None
        return
    with echo(work, command_bytes, reply, unary_reply, NGHTTP2) as server:
        yield server

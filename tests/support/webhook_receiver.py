"""A receiver of webhooks that fails as receivers fail, and `ringup webhook run` beside it."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import signal
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from ringup.clients import Client
from ringup.engine.cli import app
from ringup.v1 import event_pb2, stock_pb2
from support.engine_process import EngineProcess

SECRET = b"0123456789abcdef0123456789abcdef"
SECRET_PATH = "/hook/path-that-is-a-secret"
Answer = Callable[["Receiver", BaseHTTPRequestHandler], None]


def status(code: int, **headers: str) -> Answer:
    def answer(receiver: Receiver, handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(code)
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    return answer


def silence(receiver: Receiver, handler: BaseHTTPRequestHandler) -> None:
    receiver.closing.wait(60)
    handler.close_connection = True


def slow(receiver: Receiver, handler: BaseHTTPRequestHandler) -> None:
    receiver.closing.wait(1)
    status(200)(receiver, handler)


def hang_up(receiver: Receiver, handler: BaseHTTPRequestHandler) -> None:
    handler.close_connection = True


def drip(receiver: Receiver, handler: BaseHTTPRequestHandler) -> None:
    """An answer whose head never ends, though something comes all the time."""
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nX: ")
    while not receiver.closing.wait(0.05):
        try:
            handler.wfile.write(b"x")
        except OSError:
            break
    handler.close_connection = True


class Receiver:
    """An HTTP server on loopback; answers by `script` first and 200 then.  Keeps all that it got, with its answer."""

    def __init__(self, port: int = 0, tls: ssl.SSLContext | None = None) -> None:
        self.script: list[Answer] = []
        self.got: list[tuple[float, dict[str, Any], bool]] = []  # (when, body, was it acknowledged)
        self.closing = threading.Event()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                check_signature(self.headers["RingUp-Signature"], body)
                answer = receiver.script.pop(0) if receiver.script else None
                receiver.got.append((time.monotonic(), json.loads(body), answer is None))
                (answer or status(200))(receiver, self)

            def log_message(self, *args: object) -> None:
                pass

        class Server(ThreadingHTTPServer):
            def handle_error(self, *args: object) -> None:
                pass  # a sender that gave up has closed its end

        self.server = Server(("127.0.0.1", port), Handler)
        self.port = int(self.server.server_address[1])
        if tls is not None:
            self.server.socket = tls.wrap_socket(self.server.socket, server_side=True)
        self.url = f"http{'s' if tls else ''}://127.0.0.1:{self.port}{SECRET_PATH}"
        self._thread = threading.Thread(target=self.server.serve_forever, args=(0.02,))
        self._thread.start()

    def close(self) -> None:
        self.closing.set()
        self.server.shutdown()
        self._thread.join()
        self.server.server_close()

    @property
    def events(self) -> list[dict[str, Any]]:
        """All events acknowledged, in the order in which they came."""
        return [event for _, body, is_acknowledged in self.got if is_acknowledged for event in body["events"]]

    def sequences(self) -> list[int]:
        return [event["sequence"] for event in self.events]


def check_signature(header: str, body: bytes) -> None:
    """As a receiver would, from the words of the help alone."""
    time_part, signature_part = header.split(",")
    seconds = time_part.removeprefix("t=")
    assert abs(int(seconds) - time.time()) < 60
    expected = hmac.digest(SECRET, seconds.encode() + b"." + body, hashlib.sha256).hex()
    assert hmac.compare_digest(signature_part, f"v1={expected}")


@contextmanager
def receiving(port: int = 0, tls: ssl.SSLContext | None = None) -> Iterator[Receiver]:
    receiver = Receiver(port, tls)
    try:
        yield receiver
    finally:
        receiver.close()


def command(*args: object, **environment: str) -> subprocess.Popen[str]:
    clean = {k: v for k, v in os.environ.items() if not k.startswith("RINGUP_") and not k.lower().endswith("_proxy")}
    return subprocess.Popen(
        [sys.executable, "-m", "ringup", *map(str, args)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**clean, "COLUMNS": "200", **environment},
    )


def ended(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=60)
    return process.returncode, out, err


def ran(*args: object, **environment: str) -> tuple[int, str, str]:
    """A command that ends by itself, in this process: exit code, standard output, standard error."""
    result = CliRunner().invoke(app, [str(one) for one in args], env=environment)
    return result.exit_code, result.stdout, result.stderr


class Sending:
    """`ringup webhook run` in a process of its own."""

    def __init__(self, engine: EngineProcess, url: str, name: str, tmp_path: Path, *args: object) -> None:
        file = tmp_path / "secret"
        file.write_bytes(SECRET + b"\n")
        # Half in the environment: the URL's path shows in no list of processes.
        self.process = command(
            "webhook", "run", "--engine", engine.target, "--name", name, "--timeout-s", "5", "--wait-s-min", "0.02",
            "--wait-s-max", "0.1", *args, RINGUP_WEBHOOK_URL=url, RINGUP_WEBHOOK_SECRET_FILE=str(file),
            RINGUP_LOG_LEVEL="debug",
        )  # fmt: skip

    def stop(self) -> str:
        self.process.send_signal(signal.SIGTERM)
        return self.end(0)

    def end(self, code: int) -> str:
        """What it told; it ended with this code and showed no secret."""
        found, out, err = ended(self.process)
        assert found == code, err
        assert SECRET.decode() not in out + err
        assert SECRET_PATH not in out + err
        assert "Traceback" not in err
        return out + err

    def __enter__(self) -> Sending:
        return self

    def __exit__(self, *error: object) -> None:
        with self.process:  # closes its pipes, whether it was killed here, ended before, or ends just now
            self.process.kill()


def move(engine: EngineProcess, times: int = 1) -> int:
    """Milk comes, a piece a time; returns the sequence of the last event then."""
    with Client(engine.target, batching=False) as client:
        for _ in range(times):
            client.receive_stock(location_id="S1", lines=[stock_pb2.StockLine(item_id="milk", qty_milli=1000)])
        return int(client.call(event_pb2.ReadEventsRequest(from_sequence=1)).last_sequence)


def until(is_so: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 60
    while not is_so():
        assert time.monotonic() < deadline, f"not within 60 s: {what}"
        time.sleep(0.02)


def cursor(engine: EngineProcess, name: str) -> event_pb2.EventCursor | None:
    with Client(engine.target, batching=False) as client:
        cursors = client.call(event_pb2.ListEventCursorsRequest()).cursors
    return next((one for one in cursors if one.cursor_id == name), None)


def is_done_to(engine: EngineProcess, name: str, last: int) -> Callable[[], bool]:
    def is_so() -> bool:
        found = cursor(engine, name)
        return found is not None and found.sequence == last

    return is_so

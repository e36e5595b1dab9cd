"""A real engine in a process of its own, on loopback."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import grpc


class DidNotStart(AssertionError):
    """The engine ended before it served: its exit code and all that it wrote."""

    def __init__(self, code: int, said: str) -> None:
        super().__init__(f"the engine did not start, exit code {code}: {said}")
        self.code, self.said = code, said


class EngineProcess:
    """`ringup serve` on a data directory; ends with the test."""

    def __init__(
        self,
        directory: Path,
        *,
        prefix: Sequence[str] = (),
        args: Sequence[str] = (),
        env: dict[str, str] | None = None,
        port: int = 0,
        entry: Sequence[str] = ("-m", "ringup"),
    ) -> None:
        """`prefix` is a command to run it under, such as strace; `entry` is what Python runs."""
        self.directory = directory
        serve = [sys.executable, *entry, "serve", "--data-dir", str(directory), "--listen", f"127.0.0.1:{port}"]
        self.process = subprocess.Popen(
            [*prefix, *serve, *args],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, **(env or {})},
            cwd="/",
        )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line.startswith("ringup: serving on "):
            code, said = self.process.wait(60), self.stderr()
            self._close()
            raise DidNotStart(code, line + said)
        self.port = int(line.split(",")[0].rpartition(":")[2])
        self.target = f"127.0.0.1:{self.port}"

    def channel(self) -> grpc.Channel:
        """A plain channel to it."""
        return grpc.insecure_channel(self.target)

    def kill(self) -> None:
        """End it as a power cut would end the process."""
        self.process.kill()
        self.process.wait(60)
        self._close()

    def stop(self) -> int:
        """Ask it to stop; returns its exit code."""
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(60)
        finally:
            self._close()

    def stderr(self) -> str:
        """What it wrote to standard error; only after it has ended."""
        assert self.process.stderr is not None
        return self.process.stderr.read()

    def _close(self) -> None:
        for stream in (self.process.stdout, self.process.stderr):
            if stream is not None:
                stream.close()

    def __enter__(self) -> EngineProcess:
        return self

    def __exit__(self, *exc: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(60)
        self._close()

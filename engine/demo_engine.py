"""The demo's engine: a process of its own on loopback, that can be killed and started again."""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path


class EngineProcess:
    """`ringup serve` on one data directory and, once it has one, always the same port."""

    def __init__(self, directory: Path, log_path: Path) -> None:
        self.directory = directory
        self._log_path = log_path
        self._process: asyncio.subprocess.Process | None = None
        self.port = 0
        self.starts = 0

    @property
    def target(self) -> str:
        """Where it listens."""
        return f"127.0.0.1:{self.port}"

    async def start(self) -> None:
        """Start it and wait until it serves."""
        with self._log_path.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "ringup", "serve"),
                *("--data-dir", str(self.directory), "--listen", f"127.0.0.1:{self.port}"),
                *("--callers-file", ""),  # it calls its own engine, whatever is set for others
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
            )
        assert self._process.stdout is not None
        line = (await asyncio.wait_for(self._process.stdout.readline(), 60)).decode()
        if not line.startswith("ringup: serving on "):
            raise RuntimeError(
                f"the engine did not start: expected its address, found {line!r}; its log is {self._log_path}"
            )
        self.port = int(line.split(",")[0].rpartition(":")[2])
        self.starts += 1

    async def kill(self) -> None:
        """SIGKILL: no farewell, as if the plug were pulled."""
        assert self._process is not None
        self._process.kill()
        await self._process.wait()

    async def stop(self) -> None:
        """Ask it to end, and wait; a process that is gone already is fine."""
        if self._process is not None and self._process.returncode is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                await asyncio.wait_for(self._process.wait(), 20)
            except TimeoutError:
                self._process.kill()
                await self._process.wait()

"""What a start refuses: with a clear message, a non-zero exit code, and the directory as it was."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ringup.engine.lmdb_store import FORMAT, DirectoryLock, LmdbJournal
from support.engine_process import DidNotStart, EngineProcess


def _refused(*args: str) -> tuple[int, str]:
    """A start that must be refused: its exit code and its message."""
    done = subprocess.run([sys.executable, *args], capture_output=True, text=True, timeout=60, cwd="/")
    assert done.returncode != 0
    assert "serving" not in done.stdout
    assert "Traceback" not in done.stderr
    return done.returncode, done.stderr


def _serve(directory: Path) -> list[str]:
    return ["serve", "--data-dir", str(directory), "--listen", "127.0.0.1:0"]


def test_python_without_assertions_is_refused(tmp_path: Path) -> None:
    _, said = _refused("-O", "-m", "ringup", *_serve(tmp_path / "data"))
    assert "expected assertions to be on, found python -O" in said
    assert not (tmp_path / "data").exists()


def test_a_directory_in_use_names_its_holder(tmp_path: Path) -> None:
    with EngineProcess(tmp_path) as engine:
        with pytest.raises(DidNotStart, match=f"in use by process {engine.process.pid} on ") as refused:
            EngineProcess(tmp_path)
        assert "choose another directory" in refused.value.said
        assert engine.stop() == 0
    with EngineProcess(tmp_path) as engine:  # the lock ends with its holder
        engine.kill()
    with EngineProcess(tmp_path) as engine:  # also with a holder that was killed
        assert engine.stop() == 0


def test_who_asks_for_the_holder_keeps_no_engine_from_starting(tmp_path: Path) -> None:
    """Whoever reads the files asks who owns them, and locks the directory for that moment."""
    DirectoryLock(tmp_path).close()
    asking = (tmp_path / "LOCK").open()
    fcntl.flock(asking, fcntl.LOCK_SH)
    answered = threading.Timer(0.03, asking.close)
    answered.start()
    DirectoryLock(tmp_path).close()
    answered.join()


def test_the_directory_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    journal = LmdbJournal(tmp_path / "journal")
    with journal._env.begin(db=journal._meta, write=True) as txn:
        txn.put(b"format", str(FORMAT + 1).encode())
    journal.close()
    with pytest.raises(DidNotStart, match=rf"found {FORMAT + 1}: a newer RingUp wrote it; run that version"):
        EngineProcess(tmp_path)


def test_a_directory_that_may_not_be_written_is_refused(tmp_path: Path) -> None:
    prefix: list[str] = []
    if os.geteuid() == 0:  # root may write everywhere, unless it gives that up
        if shutil.which("setpriv") is None:
            pytest.skip("needs setpriv of util-linux, or a user who is not root")
        prefix = ["setpriv", "--bounding-set=-dac_override"]
    (tmp_path / "data").mkdir(mode=0o555)
    with pytest.raises(DidNotStart, match="expected to be able to write there, found: Permission denied"):
        EngineProcess(tmp_path / "data", prefix=prefix)


def test_a_path_that_is_no_directory_is_refused(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file")
    _, said = _refused("-m", "ringup", *_serve(tmp_path / "data"))
    assert "expected to be able to write there, found: " in re.sub(r"\s+", " ", said)


def test_a_directory_of_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "journal").mkdir()
    (tmp_path / "journal" / "data.mdb").write_bytes(b"no LMDB file" * 1000)
    with pytest.raises(DidNotStart, match="expected an LMDB environment, found: ") as refused:
        EngineProcess(tmp_path)
    assert "is it a data directory?" in refused.value.said
    assert (tmp_path / "journal" / "data.mdb").read_bytes() == b"no LMDB file" * 1000


def test_an_address_in_use_is_refused_and_the_first_engine_serves_on(tmp_path: Path) -> None:
    """A port shared by two engines would send every other call to the wrong book."""
    with EngineProcess(tmp_path / "first") as engine:
        with pytest.raises(DidNotStart, match="expected a free address to listen on") as refused:
            EngineProcess(tmp_path / "second", port=engine.port)
        assert "--listen" in refused.value.said
        assert engine.stop() == 0


def test_two_engines_that_start_at_the_same_moment_never_share_an_address(tmp_path: Path) -> None:
    """An engine's own sockets share its address, so each must find out whether another's are there."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]

    def start(name: str) -> EngineProcess | DidNotStart:
        try:
            return EngineProcess(tmp_path / name, port=port)
        except DidNotStart as refused:
            return refused

    with ThreadPoolExecutor(3) as pool:
        found = list(pool.map(start, ("first", "second", "third")))
    engines = [one for one in found if isinstance(one, EngineProcess)]
    try:
        assert len(engines) == 1, found
        for one in found:
            assert one in engines or "expected a free address to listen on" in one.said
    finally:
        for engine in engines:
            engine.stop()


def test_an_address_that_another_program_would_share_is_refused(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        other.bind(("127.0.0.1", 0))
        other.listen()
        with pytest.raises(DidNotStart, match="expected a free address to listen on"):
            EngineProcess(tmp_path, port=other.getsockname()[1])

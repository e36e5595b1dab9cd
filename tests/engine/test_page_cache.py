"""A growing file's old pages leave the kernel's memory and this process's, and the file stays as it is."""

from __future__ import annotations

import mmap
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ringup.engine.lmdb_store import LmdbJournal
from ringup.engine.page_cache import GrowingFile

MIB = 1 << 20
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="what other systems keep is theirs")


def _grow(path: Path, chunks: range) -> None:
    with path.open("ab") as file:
        for number in chunks:
            file.write(bytes([number]) * MIB)
        file.flush()
        os.fsync(file.fileno())  # what is not on the disk is not let go of


def _mapped_bytes(path: Path) -> int:
    """Of the mappings of a file in this process, those pages that it has."""
    found = False
    total = 0
    for line in Path("/proc/self/smaps").read_text().splitlines():
        if "-" in line.split()[0]:
            found = line.endswith(str(path.resolve()))
        elif found and line.startswith("Rss:"):
            total += int(line.split()[1]) * 1024
    return total


def _cached_bytes(path: Path) -> int | None:
    """None where it cannot be told, or where the file has no other place than memory."""
    kind = subprocess.run(["stat", "-f", "-c", "%T", path], capture_output=True, text=True).stdout.strip()
    if shutil.which("fincore") is None or kind == "tmpfs":
        return None
    out = subprocess.run(["fincore", "-b", "-n", "-o", "RES", path], capture_output=True, text=True, check=True)
    return int(out.stdout)


def test_what_was_added_is_let_go_of_but_for_the_end(tmp_path: Path) -> None:
    path = tmp_path / "file"
    _grow(path, range(4))
    os.truncate(path, 40 * MIB)
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, mmap.MAP_SHARED, mmap.PROT_READ) as mapped:
        os.truncate(path, 4 * MIB)
        growing = GrowingFile(path, 8 * MIB)
        _grow(path, range(4, 40))
        assert sum(mapped[at] for at in range(0, 40 * MIB, mmap.PAGESIZE)) == 256 * sum(range(40))
        assert _mapped_bytes(path) == 40 * MIB
        growing.uncache()
        assert _mapped_bytes(path) == 12 * MIB  # what was there before it began to grow, and its end
        if (cached := _cached_bytes(path)) is not None:
            assert 12 * MIB <= cached < 14 * MIB
        assert sum(mapped[at] for at in range(0, 40 * MIB, mmap.PAGESIZE)) == 256 * sum(range(40))
        growing.uncache()
        assert _mapped_bytes(path) == 40 * MIB  # each page once: one that is read again stays


def test_a_private_mapping_keeps_what_is_in_it_alone(tmp_path: Path) -> None:
    path = tmp_path / "file"
    _grow(path, range(1))
    os.truncate(path, 8 * MIB)
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, mmap.MAP_PRIVATE) as mapped:
        os.truncate(path, 1 * MIB)
        growing = GrowingFile(path, MIB)
        _grow(path, range(1, 8))
        mapped[5 * MIB] = 200
        growing.uncache()
        assert mapped[5 * MIB] == 200


def test_a_file_shorter_than_what_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.touch()
    growing = GrowingFile(path, 8 * MIB)
    _grow(path, range(4))
    before = _cached_bytes(path)
    growing.uncache()
    assert _cached_bytes(path) == before


def test_a_journal_that_grows_takes_no_more_memory(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    journal = LmdbJournal(path)
    journal.acquire()
    for number in range(1, 101):
        journal.append(number, bytes([number]) * MIB)
    assert (path / "data.mdb").stat().st_size > 100 * MIB
    assert _mapped_bytes(path / "data.mdb") < 4 * MIB
    if (cached := _cached_bytes(path / "data.mdb")) is not None:
        assert cached < 45 * MIB
    for number in range(1, 101):
        assert journal.get(number) == bytes([number]) * MIB
    journal.close()

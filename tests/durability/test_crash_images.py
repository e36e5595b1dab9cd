"""What a disk may have after a power cut, made from the calls of a real journal.

strace tells every write and sync.  What no sync has seen may be on the disk or not, sector by sector and in any order;
so thousands of disks come from one run.  Here some of them are opened, and cut again while they are opened.
RINGUP_CRASH_IMAGES sets how many (default 60).
"""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from ringup.engine.lmdb_store import LmdbJournal, check_pages
from ringup.engine.record import decode

pytestmark = pytest.mark.skipif(shutil.which("strace") is None, reason="needs Debian's strace")

IMAGES = int(os.environ.get("RINGUP_CRASH_IMAGES", "60"))
SECTOR = 512
TOLD = "told"  # the file where a run says what it would acknowledge

_LIVES = """
import json, random, sys
from pathlib import Path
from ringup.engine.lmdb_store import LmdbJournal
from ringup.engine.record import GENESIS, encode
rng, path, told = random.Random(int(sys.argv[2])), Path(sys.argv[1]), open(sys.argv[3], "wb", buffering=0)
digest, sequence, first, records = GENESIS, 0, 1, []
for life in range(4):
    journal = LmdbJournal(path)
    journal.acquire()
    for _ in range(10):
        batch = []
        for _ in range(rng.choice((1, 1, 2, 4))):
            size = rng.choice((1, 300, 1500, 1900, 2100, 4100, 9000))
            record, digest = encode(sequence + len(batch) + 1, 1, "1/test", [rng.randbytes(size)], [b"reply"], digest)
            batch.append(bytes(record))
        journal.append(sequence + 1, *batch)
        sequence += len(batch)
        records += [one.hex() for one in batch]
        told.write(json.dumps([sequence, first]).encode())
        if rng.random() < 0.2:
            first = max(first, sequence - rng.randrange(8))
            told.write(json.dumps([sequence, first]).encode())
            journal.trim(first)
    journal.close()
print(json.dumps(records))
"""

_STARTS = """
import sys
from pathlib import Path
from ringup.engine.lmdb_store import LmdbJournal
for path in sys.argv[1:]:
    journal = LmdbJournal(Path(path))
    journal.acquire()
    journal.close()
"""


@dataclass(frozen=True, slots=True)
class Call:
    """A write, a sync, or a change of names."""

    name: str
    path: str
    at: int = 0
    data: bytes = b""
    to: str = ""


def _calls(log: Path, code: str, *args: str) -> tuple[list[Call], str]:
    """The calls of a Python program, and what it printed."""
    trace = "trace=pwrite64,pwritev,write,writev,lseek,fdatasync,fsync,openat,rename,unlink"
    strace = ["strace", "-f", "-y", "-qq", "-xx", "-s", "2000000", "-e", trace, "-e", "signal=none", "-o", str(log)]
    done = subprocess.run([*strace, sys.executable, "-c", code, *args], check=True, capture_output=True, timeout=120)
    found: list[Call] = []
    places: dict[str, int] = {}
    for line in log.read_text().splitlines():
        call = re.match(r"\d+ +(\w+)\((?:(?:\d+|AT_FDCWD)<([^>]*)>)?(.*)\) += (\d+)", line)
        if call is None:
            continue
        name, path, rest = call[1], _text(call[2] or ""), call[3]
        texts = [bytes.fromhex(text.replace("\\x", "")) for text in re.findall(r'"((?:\\x..)*)"', rest)]
        if name == "lseek":
            places[path] = int(call[4])
        elif name == "openat":
            if "O_TRUNC" in rest:
                found.append(Call("truncate", texts[0].decode()))
                places[texts[0].decode()] = 0
        elif name in ("rename", "unlink"):
            found.append(Call(name, texts[0].decode(), to=texts[-1].decode()))
        elif "sync" in name:
            found.append(Call("sync", path))
        else:
            at = int(rest.rpartition(", ")[2]) if name.startswith("pw") else places.get(path, 0)
            for text in texts:
                found.append(Call("write", path, at, text))
                at += len(text)
            places[path] = at
    return found, done.stdout.decode()


def _text(hexadecimal: str) -> str:
    """A path as strace has it with -xx."""
    return bytes.fromhex(hexadecimal.replace("\\x", "")).decode() if hexadecimal.startswith("\\x") else hexadecimal


@dataclass
class Disk:
    """Files as they are on the disk for certain, and what may be there, too."""

    files: dict[str, bytearray] = field(default_factory=dict)
    unsynced: list[tuple[str, int, bytes]] = field(default_factory=list)

    def do(self, call: Call) -> None:
        if call.name == "write":
            self.unsynced.append((call.path, call.at, call.data))
        elif call.name == "sync":
            for path, at, data in self.unsynced:
                if path == call.path:
                    _lay(self.files.setdefault(path, bytearray()), at, data)
            self.unsynced = [one for one in self.unsynced if one[0] != call.path]
        elif call.name == "rename":
            if call.path in self.files:
                self.files[call.to] = self.files.pop(call.path)
        else:
            self.files.pop(call.path, None)

    def cut(self, folder: Path, to: Path, rng: random.Random) -> None:
        """Lay in `to` what the disk may have of `folder`."""
        files = {path: bytearray(data) for path, data in self.files.items()}
        share = rng.choice((0.0, 0.1, 0.5, 0.9, 1.0))
        for path, at, data in self.unsynced:
            is_torn, is_there = rng.random() < 0.3, False
            for begin in range(0, len(data), SECTOR):
                if is_torn or begin % 4096 == 0:
                    is_there = rng.random() < share
                if is_there:
                    _lay(files.setdefault(path, bytearray()), at + begin, data[begin : begin + SECTOR])
        to.mkdir()
        for path, file in files.items():
            if Path(path).parent == folder:
                (to / Path(path).name).write_bytes(file)


def _lay(file: bytearray, at: int, data: bytes) -> None:
    file += bytes(max(0, at - len(file)))
    file[at : at + len(data)] = data


@dataclass(frozen=True, slots=True)
class Image:
    """A disk after a cut, and what it must have."""

    path: Path
    last: int  # acknowledged
    first: int  # kept


def _images(calls: list[Call], folder: Path, at: Path, rng: random.Random) -> list[Image]:
    """Disks of one run whose power was cut at some of its calls."""
    chosen = {rng.randrange(len(calls)) for _ in range(IMAGES)}
    disk, last, first, images = Disk(), 0, 1, []
    for number, call in enumerate(calls):
        if Path(call.path).name == TOLD:
            last, first = json.loads(call.data) if call.data else (last, first)
            continue
        disk.do(call)
        if number in chosen and last:
            images.append(Image(at / f"image{number}", last, first))
            disk.cut(folder, images[-1].path, rng)
    return images


def _cut_again(calls: Iterable[Call], image: Image, to: Path, rng: random.Random) -> None:
    """The same disk, cut while it was opened."""
    disk = Disk({str(one): bytearray(one.read_bytes()) for one in image.path.iterdir()})
    mine = [call for call in calls if str(image.path) in (call.path, str(Path(call.path).parent))]
    for call in mine[: rng.randrange(len(mine) + 1)]:
        disk.do(call)
    disk.cut(image.path, to, rng)


def _prove(path: Path, image: Image, records: list[bytes]) -> None:
    """All that was acknowledged is there, in order, and nothing that was never written."""
    reader = LmdbJournal(path, readonly=True)
    read = dict(reader.read(0))
    reader.close()
    journal = LmdbJournal(path)
    journal.acquire()
    found = dict(journal.read(0))
    assert read == found, "who only reads sees the same"
    journal.close()
    check_pages(path)
    assert list(found) == list(range(min(found), max(found) + 1))
    assert max(found) >= image.last, f"batch {image.last} was acknowledged, the last one is {max(found)}"
    assert min(found) <= image.first
    digest = None
    for number, data in found.items():
        assert data == records[number - 1]
        digest = decode(data, number, digest).digest


@pytest.mark.parametrize("seed", range(2))
def test_any_choice_of_unsynced_sectors_has_all_that_was_acknowledged(tmp_path: Path, seed: int) -> None:
    rng, folder = random.Random(seed), tmp_path / "journal"
    calls, printed = _calls(tmp_path / "log", _LIVES, str(folder), str(seed), str(tmp_path / TOLD))
    records = [bytes.fromhex(one) for one in json.loads(printed)]
    images = _images(calls, folder, tmp_path, rng)
    assert len(images) > IMAGES // 2
    again = [Image(image.path.with_suffix(".again"), image.last, image.first) for image in images]
    for image, copy in zip(images, again, strict=True):
        shutil.copytree(image.path, copy.path)
    calls, _ = _calls(tmp_path / "log", _STARTS, *(str(one.path) for one in images))
    for image, copy in zip(images, again, strict=True):
        shutil.rmtree(image.path)
        copy.path.rename(image.path)  # as it was before it was opened
        _cut_again(calls, image, copy.path, rng)
        _prove(image.path, image, records)
        _prove(copy.path, image, records)
        shutil.rmtree(image.path)
        shutil.rmtree(copy.path)

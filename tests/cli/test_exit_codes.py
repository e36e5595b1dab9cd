"""A data directory that cannot be used: each reason has its own exit code, for `serve` and the others."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import grpc
import pytest

from ringup.engine.lmdb_store import FORMAT, LmdbJournal
from ringup.v1 import sale_pb2
from support.core import cash, line
from support.data_directory import Written, write_directory
from support.engine_process import EngineProcess


def test_in_use(ringup: Any, book: Written) -> None:
    with EngineProcess(book.path) as engine:
        refused = ringup("serve", "--data-dir", book.path, "--listen", "127.0.0.1:0")
    assert (refused.returncode, refused.stdout) == (75, "")
    assert f"in use by process {engine.process.pid} on {os.uname().nodename}" in refused.stderr


def test_newer_format(ringup: Any, book: Written, tmp_path: Path) -> None:
    journal = LmdbJournal(book.path / "journal")
    with journal._env.begin(db=journal._meta, write=True) as txn:
        txn.put(b"format", str(FORMAT + 1).encode())
        txn.put(b"guard", journal._guard(txn))
    journal.close()
    for arguments in (
        ("serve", "--listen", "127.0.0.1:0", "--data-dir", book.path),
        ("check", book.path),
        ("verify", book.path),
        ("replay", book.path),
        ("stat", book.path),
        ("backup", tmp_path / "copy", "--data-dir", book.path),
    ):
        refused = ringup(*arguments)
        assert (refused.returncode, refused.stdout) == (76, ""), arguments
        assert f"expected data format {FORMAT} or older, found {FORMAT + 1}" in refused.stderr


def test_damaged_record(ringup: Any, book: Written) -> None:
    journal = LmdbJournal(book.path / "journal")
    raw = journal.get(book.last_sequence)
    assert raw is not None
    with journal._env.begin(db=journal._records, write=True) as txn:
        txn.put(book.last_sequence.to_bytes(8, "big"), raw[:-1] + bytes([raw[-1] ^ 8]))
    journal.close()
    refused = ringup("serve", "--data-dir", book.path, "--listen", "127.0.0.1:0")
    assert (refused.returncode, refused.stdout) == (65, "")
    assert f"record {book.last_sequence} of the journal: its checksum differs" in refused.stderr
    assert "ringup restore" in refused.stderr


def test_not_writable(ringup: Any, tmp_path: Path) -> None:
    prefix: list[str] = []
    if os.geteuid() == 0:  # root may write everywhere, unless it gives that up
        if shutil.which("setpriv") is None:
            pytest.skip("needs setpriv of util-linux, or a user who is not root")
        prefix = ["setpriv", "--bounding-set=-dac_override"]
    (tmp_path / "data").mkdir(mode=0o555)
    refused = subprocess.run(
        [*prefix, sys.executable, "-m", "ringup", "serve", "--data-dir", str(tmp_path / "data")],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (refused.returncode, refused.stdout) == (73, "")
    assert "expected to be able to write there, found: Permission denied" in refused.stderr
    assert ringup("serve", "--data-dir", "/dev/null/data").returncode == 73


def test_disk_full(ringup: Any, tmp_path: Path) -> None:
    """On a tmpfs of 1 MiB: sells until the disk is full; every sale acknowledged is there afterwards."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "ringup-test", str(disk)], capture_output=True, text=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"mounting is not allowed here: {mounted.stderr.strip()}")
    try:
        book = write_directory(disk / "book", sales=2)
        acknowledged = 0
        with EngineProcess(book.path) as engine, engine.channel() as channel:
            call = channel.unary_unary(
                "/ringup.v1.SaleService/Sell",
                request_serializer=sale_pb2.SellRequest.SerializeToString,
                response_deserializer=sale_pb2.SellResponse.FromString,
            )
            try:
                for number in range(1 << 20, (1 << 20) + 20_000):
                    request = sale_pb2.SellRequest(
                        command_id=number.to_bytes(16, "big"),
                        till_id="T1",
                        lines=[line("wrap")] * 20,
                        tenders=[cash(2000)],
                    )
                    assert call(request, timeout=60).code == 1
                    acknowledged += 1
            except grpc.RpcError as error:
                assert error.code() is grpc.StatusCode.UNAVAILABLE  # noqa: PT017  # the loop's end, not a test of a raise
            assert engine.process.wait(60) == 74
            assert re.search(r"the commit failed: .*; \d{1,5} bytes are free there", engine.stderr())
        assert acknowledged > 10
        shutil.copytree(book.path, tmp_path / "roomier")
        with EngineProcess(tmp_path / "roomier") as engine:
            rows = ringup("stat", "--from", engine.target, "--json").stdout
            assert f'"sales": {2 + acknowledged}' in rows or f'"sales": {3 + acknowledged}' in rows
            assert engine.stop() == 0
    finally:
        subprocess.run(["umount", str(disk)], check=True, timeout=60)

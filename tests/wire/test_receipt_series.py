"""Receipts of an engine that was restored from a backup never have the number of a receipt that was printed before."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ringup.clients import Client, Refused, cash, line, price, return_line, stock_line
from ringup.engine.backup import backup, restore
from ringup.v1 import admin_pb2, result_pb2
from support.engine_process import EngineProcess


def _sell(client: Client, till: str) -> int:
    return int(client.sell(till_id=till, lines=[line("MILK")], tenders=[cash(500)]).number)


def _verified(folder: Path) -> Any:
    command = [sys.executable, "-m", "ringup", "verify", str(folder), "--json"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout)


def test_no_number_is_given_again_after_a_restored_backup(tmp_path: Path) -> None:
    with EngineProcess(tmp_path / "first") as engine:
        with Client(engine.target) as client:
            client.put_settings(currency="EUR")
            client.put_locations([{"location_id": "S"}])
            client.put_tills([{"till_id": name, "location_id": "S"} for name in ("T1", "T2")])
            client.put_items([{"item_id": "MILK", "name": "Milk"}])
            client.put_prices([price("MILK", 100)])
            client.receive_stock(location_id="S", lines=[stock_line("MILK", 50)])
            assert [_sell(client, "T1") for _ in range(3)] == [1, 2, 3]
            backup(tmp_path / "first", tmp_path / "backup")
            client.put_tills([{"till_id": "T3", "location_id": "S"}])
            printed = {(till, _sell(client, till)) for till in ("T1", "T2", "T3")}
            assert printed == {("T1", 4), ("T2", 1), ("T3", 1)}
        assert engine.stop() == 0

    restore(tmp_path / "backup", tmp_path / "second")
    for start in range(2):  # a later start of the same engine leaves nothing out
        with EngineProcess(tmp_path / "second") as engine:
            with Client(engine.target) as client:
                client.put_tills([{"till_id": "T3", "location_id": "S"}])
                given = [(till, _sell(client, till)) for till in ("T1", "T2", "T3")]
                assert given == [(till, 100_001 + start) for till in ("T1", "T2", "T3")]
                assert not printed & set(given)
                # A customer with a receipt of the lost time gets no refund of somebody else's sale.
                for number in (4, 100_000):
                    with pytest.raises(Refused) as refused:
                        client.return_lines(till_id="T1", sale=("T1", number), lines=[return_line(0)], reason="leaking")
                    assert refused.value.code_name == "SALE_UNKNOWN"
                assert client.get_receipt(("T1", 3)).number == 3
                client.put_settings(currency="EUR")
                assert client.get_settings().receipts_after == 100_000, "who knows nothing of it lowers nothing"
            assert engine.stop() == 0
    assert _verified(tmp_path / "second")["receipt_gaps"] == 0

    backup(tmp_path / "second", tmp_path / "backup2")
    restore(tmp_path / "backup2", tmp_path / "third")
    restore(tmp_path / "backup2", tmp_path / "same", same_engine=True)
    for name, number in (("third", 200_001), ("same", 100_003)):
        with EngineProcess(tmp_path / name) as engine:
            with Client(engine.target) as client:
                assert _sell(client, "T2") == number
            assert engine.stop() == 0
        assert _verified(tmp_path / name)["receipt_gaps"] == 0


def test_the_number_to_begin_after_is_checked(tmp_path: Path) -> None:
    with EngineProcess(tmp_path / "data") as engine, Client(engine.target) as client:
        for number, code in ((-1, "FIELD_INVALID"), (10_000_001, "FIELD_INVALID"), (10_000_000, "OK")):
            settings = admin_pb2.Settings(currency="EUR", receipts_after=number)
            answer = client.call(admin_pb2.PutSettingsRequest(settings=settings))
            assert result_pb2.ResultCode.Name(answer.code) == f"RESULT_CODE_{code}"
            assert answer.problem.field == ("settings.receipts_after" if code != "OK" else "")
        assert client.get_settings().receipts_after == 10_000_000

"""The device file and the manager: names that are nearly right, hot-plug, reload, nothing asked uninvited."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import pytest

from ringup.drivers.config import ConfigError, parse_config
from ringup.drivers.device.base import DeviceState
from ringup.drivers.device.printer import CashDrawer, ReceiptPrinter
from ringup.drivers.manager import Manager
from ringup.drivers.receipt.sample import sample_receipt
from ringup.drivers.simulator.base import Server
from ringup.drivers.simulator.printer import PrinterSimulator

PRINTER = '[device.receipt]\nkind = "receipt_printer"\nport = "tcp://127.0.0.1:9100"\n'


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[devices.x]\n", "did you mean 'device'"),
        ('[device.x]\nkind = "receipt_priner"\n', "did you mean 'receipt_printer'"),
        (PRINTER + 'modle = "TM-T88V"\n', "did you mean 'model'"),
        (PRINTER + 'model = "TM-T88X"\n', "did you mean 'TM-T88"),
        (PRINTER + "columns = true\n", "expected a whole number, found True"),
        (PRINTER + "columns = 500\n", "expected 16 to 80"),
        (PRINTER + 'drawer_open_level = "hihg"\n', "did you mean 'high'"),
        (PRINTER + "baud = 9600\n", "belong to serial ports"),
        (PRINTER + 'template = "nowhere.toml"\n', "expected a readable file"),
        ('[device.x]\nkind = "receipt_printer"\n', "expected a text such as"),
        ('[device.x]\nkind = "label_printer"\nport = "/dev/ttyS9"\nbaud = 9601\n', "expected one of 300"),
        (PRINTER + PRINTER.replace("receipt]", "second]"), "belongs to device receipt already"),
        (PRINTER + '[device.drawer]\nkind = "cash_drawer"\nprinter = "reciept"\n', "did you mean 'receipt'"),
        (PRINTER + '[device.drawer]\nkind = "cash_drawer"\n', "expected a key 'printer'"),
        (PRINTER + '[device.drawer]\nkind = "cash_drawer"\nprinter = "receipt"\npin = 3\n', "expected one of 2, 5"),
        ("[device\n", "expected TOML"),
        ("device = 3\n", "expected tables"),
        ("[device]\nx = 1\n", "expected a table"),
    ],
)
def test_what_is_wrong_in_the_file_is_named_with_the_nearest_known_name(text: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        parse_config(text)


def test_drawer_times_that_overheat_the_solenoid_are_refused_when_the_device_is_made() -> None:
    text = PRINTER + '[device.drawer]\nkind = "cash_drawer"\nprinter = "receipt"\non_ms = 300\noff_ms = 100\n'
    with pytest.raises(ConfigError, match="device drawer: off_ms"):
        Manager(parse_config(text))


def test_nothing_is_opened_before_start_and_nothing_that_is_not_configured(tmp_path: Path) -> None:
    simulator, other = PrinterSimulator(), PrinterSimulator()
    with Server(simulator) as server, Server(other) as other_server:
        port, _ = server.serve_tcp(), other_server.serve_tcp()
        manager = Manager(parse_config(PRINTER.replace("9100", str(port))))
        time.sleep(0.1)
        assert simulator.connect_count == 0
        with manager:
            assert manager.wait_ready(60)
        assert simulator.connect_count == 1
        assert other.connect_count == 0


def test_a_till_with_printer_and_drawer_works_from_its_file(tmp_path: Path) -> None:
    simulator = PrinterSimulator()
    with Server(simulator) as server:
        path = tmp_path / "devices.toml"
        (tmp_path / "mine.toml").write_text('[labels]\ntotal = "SUMME"\n[[block]]\nkind = "total"\n')
        path.write_text(
            PRINTER.replace("9100", str(server.serve_tcp()))
            + 'model = "simulator"\ntemplate = "mine.toml"\ndrawer_open_level = "high"\nfonts = ["mine.ttf"]\n'
            + '[device.drawer]\nkind = "cash_drawer"\nprinter = "receipt"\npin = 5\non_ms = 100\noff_ms = 300\n'
        )
        with Manager.from_file(path) as manager:
            printer, drawer = manager["receipt"], manager["drawer"]
            assert isinstance(printer, ReceiptPrinter)
            assert isinstance(drawer, CashDrawer)
            assert printer.fonts == (str(tmp_path / "mine.ttf"),)
            printer.print_receipt(sample_receipt()).result(60)
            assert "SUMME EUR" in simulator.texts[0]
            assert [(one.name, one.passed) for one in manager.self_test()] == [("receipt", True), ("drawer", True)]
            assert simulator.pulses == [(5, 100, 300)]
            (health,) = manager.health()
            assert health.state is DeviceState.READY
            assert health.status["paper"] == "ok"
            with pytest.raises(KeyError, match="did you mean 'receipt'"):
                manager["reciept"]


def test_reload_changes_what_changed_and_a_faulty_file_changes_nothing(tmp_path: Path) -> None:
    first, second = PrinterSimulator(), PrinterSimulator()
    with Server(first) as one, Server(second) as two:
        kept = PRINTER.replace("9100", str(one.serve_tcp()))
        moved = PRINTER.replace("receipt]", "kitchen]").replace("9100", str(two.serve_tcp()))
        path = tmp_path / "devices.toml"
        path.write_text(kept + moved)
        with Manager.from_file(path) as manager:
            assert manager.wait_ready(60)
            printer, kitchen = manager["receipt"], manager["kitchen"]
            path.write_text(kept + moved + "colums = 32\n")
            with pytest.raises(ConfigError, match="did you mean 'columns'"):
                manager.reload()
            assert manager["kitchen"] is kitchen
            path.write_text(kept + moved + "columns = 32\n")
            assert manager.reload() == {"kitchen": "changed"}
            assert manager["receipt"] is printer
            assert manager["kitchen"].profile.columns == 32
            assert kitchen.state is DeviceState.STOPPED
            assert manager.wait_ready(60)
            path.write_text(kept)
            assert manager.reload() == {"kitchen": "removed"}
            assert manager.reload() == {}
        assert first.connect_count == 1


def test_a_port_that_appears_is_opened_at_once(tmp_path: Path) -> None:
    """Hot-plug by a stable name: the backoff is not waited for."""
    path = tmp_path / "usb-printer"
    text = f'[device.receipt]\nkind = "receipt_printer"\nport = "serial:{path}"\n'
    with Manager(parse_config(text)) as manager:
        printer: Any = manager["receipt"]
        printer._backoff._first_s = printer._backoff._next_s = printer._backoff._last_s = 600.0
        deadline_s = time.monotonic() + 60
        while "no such port" not in printer.health().detail:
            assert time.monotonic() < deadline_s
            time.sleep(0.01)
        time.sleep(0.7)  # the pause of 600 s has begun
        simulator = PrinterSimulator()
        with Server(simulator) as server:
            server.serve_pty(str(path))
            assert printer.wait_ready(60)
            assert printer.print_receipt(sample_receipt()).wait(60).is_final
    assert not os.path.lexists(path)

"""`ringup devices` and `ringup scan`: each command works without an engine and says what it saw."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from ringup.drivers.cli import SIMULATORS, app, scan_app
from ringup.drivers.receipt.sample import sample_receipt
from ringup.drivers.simulator.base import Server
from ringup.drivers.simulator.printer import PrinterSimulator

runner = CliRunner()


@pytest.fixture
def simulator() -> PrinterSimulator:
    return PrinterSimulator()


@pytest.fixture
def config(simulator: PrinterSimulator, tmp_path: Path) -> Iterator[str]:
    with Server(simulator) as server:
        path = tmp_path / "devices.toml"
        path.write_text(
            f'[device.receipt]\nkind = "receipt_printer"\nport = "tcp://127.0.0.1:{server.serve_tcp()}"\n'
            'model = "simulator"\ndrawer_open_level = "high"\nreply_timeout_s = 0.5\n'
            '[device.drawer]\nkind = "cash_drawer"\nprinter = "receipt"\n'
        )
        yield str(path)


def test_list_opens_nothing(config: str, simulator: PrinterSimulator) -> None:
    run = runner.invoke(app, ["list", "-c", config])
    assert run.exit_code == 0
    assert re.search(r"^receipt +receipt_printer +tcp://127", run.stdout, re.MULTILINE)
    assert re.search(r"^drawer +cash_drawer +at receipt", run.stdout, re.MULTILINE)
    found = json.loads(runner.invoke(app, ["list", "-c", config, "--json"]).stdout)
    assert [device["name"] for device in found["devices"]] == ["receipt", "drawer"]
    assert simulator.connect_count == 0


def test_status_tells_paper_and_its_exit_code_tells_a_program(config: str, simulator: PrinterSimulator) -> None:
    run = runner.invoke(app, ["status", "-c", config])
    assert (run.exit_code, "paper=ok" in run.stdout) == (0, True)
    simulator.set_paper("out")
    run = runner.invoke(app, ["status", "-c", config, "--wait", "0.3", "--json"])
    assert run.exit_code == 1
    (health,) = json.loads(run.stdout)
    assert health["state"] == "attention"
    assert "paper out" in health["detail"]


def test_test_prints_and_opens_and_says_so(config: str, simulator: PrinterSimulator) -> None:
    run = runner.invoke(app, ["test", "-c", config])
    assert run.exit_code == 0
    assert run.stdout == "receipt: ok: printed a test page, paper ok\ndrawer: ok: opened, says its switch\n"
    assert "PRINTER TEST" in simulator.texts[0]
    simulator.close_drawer()
    simulator.faults.set("no_drawer")
    run = runner.invoke(app, ["test", "drawer", "-c", config])
    assert run.exit_code == 1
    assert "is it locked" in run.stdout


def test_test_of_a_silent_printer_fails_in_time(config: str, simulator: PrinterSimulator) -> None:
    simulator.faults.set("silent")
    for wait_s in ("1", "5", "30"):  # a machine that stalls may not have asked within a second
        run = runner.invoke(app, ["test", "receipt", "-c", config, "--wait", wait_s])
        assert run.exit_code == 1
        if "not opened yet" not in run.stdout:
            break
    assert "silence" in run.stdout


def test_monitor_shows_bytes_both_ways_decoded(config: str) -> None:
    for seconds in ("0.5", "5", "30"):
        run = runner.invoke(app, ["monitor", "receipt", "-c", config, "--seconds", seconds, "--raw"])
        assert run.exit_code == 0
        if "** ready" in run.stdout:  # unless the machine stalled
            break
    assert "-> request_status 1" in run.stdout
    assert "<- 12" in run.stdout
    assert "** ready" in run.stdout


@pytest.mark.parametrize("arguments", [["test", "reciept"], ["monitor", "reciept"]])
def test_a_device_that_is_not_there_names_the_nearest(config: str, arguments: list[str]) -> None:
    run = runner.invoke(app, [*arguments, "-c", config])
    assert run.exit_code == 1
    assert "did you mean 'receipt'" in run.stderr


def test_a_missing_or_faulty_file_is_one_line_not_a_traceback(tmp_path: Path) -> None:
    for text, words in ((None, "--config"), ('[device.x]\nkind = "scal"\n', "did you mean 'scale'")):
        path = tmp_path / "devices.toml"
        if text is not None:
            path.write_text(text)
        run = runner.invoke(app, ["status", "-c", str(path)])
        assert run.exit_code == 1
        assert words in run.stderr
        assert "Traceback" not in run.output


def test_simulate_serves_prints_and_draws_what_it_received(tmp_path: Path) -> None:
    picture = tmp_path / "receipt.png"
    simulated = subprocess.Popen(
        [sys.executable, "-m", "ringup.drivers.cli", "simulate", "printer", "--png", picture, "--seconds", "4"],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert simulated.stdout is not None
        address = simulated.stdout.readline().split()[1]
        from ringup.drivers.device.printer import ReceiptPrinter
        from ringup.drivers.transport.factory import make_transport

        with ReceiptPrinter("receipt", make_transport(address)) as printer:
            printer.print_receipt(sample_receipt()).result(60)
        said, _ = simulated.communicate(timeout=20)
    finally:
        simulated.kill()
        simulated.wait()
    assert "Café crème" in said
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_simulate_refuses_what_it_does_not_know() -> None:
    for arguments, words in (
        (["pritner"], "did you mean 'printer'"),
        (["printer", "--fault", "paper_uot"], "did you mean 'paper_out'"),
        (["printer", "--fault", "slow=fast"], "expected NAME, NAME:COUNT or NAME=VALUE"),
        (["display", "--png", "x.png"], "prints nothing"),
    ):
        run = runner.invoke(app, ["simulate", *arguments, "--seconds", "0.1"])
        assert run.exit_code == 1
        assert words in run.stderr


@pytest.mark.parametrize("kind", SIMULATORS)
def test_every_kind_can_be_simulated(kind: str) -> None:
    run = runner.invoke(app, ["simulate", kind, "--seconds", "0.1"])
    assert run.exit_code == 0, run.output
    assert f"{kind}: tcp://127.0.0.1:" in run.stdout


def test_a_simulated_device_obeys_what_a_trainer_types() -> None:
    simulated = subprocess.run(
        [sys.executable, "-m", "ringup.drivers.cli", "simulate", "printer", "--set", "columns=42", "--seconds", "1"],
        input="paper out\nfault half_frame:1\ncover opn\npaer ok\nclear\ndrop\n",
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    said = simulated.stdout.splitlines()[1:]
    assert said[:2] == ["paper out", "fault half_frame:1 is on"]
    assert said[2].startswith("? cover: expected open or closed")
    assert "did you mean 'paper'" in said[3]
    assert said[4:] == ["all faults are off", "the link is dropped"]
    assert runner.invoke(app, ["simulate", "scale", "--set", "protocol=mt_sics", "--seconds", "0.1"]).exit_code == 0
    run = runner.invoke(app, ["simulate", "printer", "--set", "colums=42"])
    assert (run.exit_code, "did you mean 'columns'" in run.stderr) == (1, True)


def test_scan_decodes_a_string_with_and_without_the_word() -> None:
    for arguments in (["]C10104006381333931{GS}10LOT7"], ["decode", "]C10104006381333931{GS}10LOT7"]):
        run = runner.invoke(scan_app, arguments)
        assert run.exit_code == 0
        assert "gtin: 04006381333931" in run.stdout
        assert "ai=10 value=LOT7" in run.stdout
    found = json.loads(runner.invoke(scan_app, ["4006381333931", "--json"]).stdout)
    assert found["gtin"] == "04006381333931"


def test_scan_of_a_damaged_code_fails() -> None:
    run = runner.invoke(scan_app, ["4006381333932", "--symbology", "ean13"])
    assert run.exit_code == 1
    assert "unknown" in run.stdout

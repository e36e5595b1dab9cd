"""Scanner and scale devices against their simulators over TCP and pty, and against an MT-SICS emulator."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
import urllib.request

import pytest

from ringup.drivers.config import ConfigError, make_device, parse_config
from ringup.drivers.device.base import DeviceState
from ringup.drivers.device.job import JobFailed, JobState
from ringup.drivers.device.scale import PROTOCOLS, Scale, ScaleSettings
from ringup.drivers.device.scanner import Scanner
from ringup.drivers.protocol.barcode import TEMPLATES, ScanKind
from ringup.drivers.protocol.scale import ScaleStatus
from ringup.drivers.simulator.base import Server
from ringup.drivers.simulator.scale import ScaleSimulator
from ringup.drivers.simulator.scanner import ScannerSimulator
from ringup.drivers.transport.base import Backoff
from ringup.drivers.transport.factory import make_transport

SILENCE_S = 0.3
"""When a scale is to be found silent; in all other tests a machine that stalls must not make it look so."""
PATIENT = {"backoff": Backoff(0.02, 0.1), "reply_timeout_s": 30.0}


@contextlib.contextmanager
def running(simulator, device_class, link="tcp", **options):
    """A device that is ready at a simulator served over tcp or pty."""
    with Server(simulator) as server:
        port = f"tcp://127.0.0.1:{server.serve_tcp()}" if link == "tcp" else f"pty:{server.serve_pty()}"
        with device_class("d", make_transport(port), **{**PATIENT, **options}) as device:
            assert device.wait_ready(60), device.health()
            wait_for(lambda: simulator.connect_count > 0)  # the kernel connects before the simulator accepts
            yield device


def wait_for(is_so, timeout_s=60.0):
    deadline = time.monotonic() + timeout_s
    while not is_so():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


def texts(scans, count, timeout_s=60.0):
    end = time.monotonic() + timeout_s
    return [scans.get(timeout=max(0.01, end - time.monotonic())).text for _ in range(count)]


def weighed(scale):
    """What the scale says in the end: one that is soon found silent may be so by the machine's fault."""
    end_s = time.monotonic() + 60
    while True:
        try:
            return scale.weigh(timeout_s=60).result(90).weight_grams
        except JobFailed:
            assert time.monotonic() < end_s


def refusal(ask):
    """Why a job with this timeout_s fails; a machine that stalls may let the time run out before the scale is asked."""
    for timeout_s in (0.6, 6.0, 30.0):
        with pytest.raises(JobFailed) as caught:
            ask(timeout_s).result(60)
        if not re.search("silence|no reading|time is up", str(caught.value)):
            break
    return str(caught.value)


# Scanner.


@pytest.mark.parametrize("link", ["tcp", "pty"])
def test_a_burst_loses_nothing(link):
    """The story: a belt scanner sends faster than the till reads, and scans arrive in pieces."""
    codes = [f"{index:013d}X" for index in range(2000)]
    simulator = ScannerSimulator()
    with running(simulator, Scanner, link) as scanner:
        scans = scanner.scans()
        simulator.burst(codes[:1000])
        for code in codes[1000:]:
            simulator.scan(code)
        assert texts(scans, len(codes)) == codes
        assert scanner.device_status()["noise_count"] == 0


def test_pieces_with_pauses_are_one_scan():
    simulator = ScannerSimulator(prefix=b"\x02", suffix=b"\x03")
    with running(simulator, Scanner, prefix=b"\x02", suffixes=(b"\x03",), templates=TEMPLATES["de"]) as scanner:
        scans = scanner.scans()
        simulator.faults.set("split", count=1, value=0.01)
        simulator.scan("]E02212345012992")
        scan = scans.get(timeout=60)
        assert (scan.kind, scan.measure.price_minor) == (ScanKind.VARIABLE_MEASURE, 1299)


def test_a_scanner_without_suffix_needs_the_pause():
    """With `idle_end_s` the pause ends the scan; the control without it waits for ever."""
    simulator = ScannerSimulator(suffix=b"")
    with running(simulator, Scanner, idle_end_s=0.05) as scanner:
        scans = scanner.scans()
        simulator.scan("4006381333931")
        assert texts(scans, 1) == ["4006381333931"]
    simulator = ScannerSimulator(suffix=b"")
    with running(simulator, Scanner) as scanner:
        scans = scanner.scans()
        simulator.scan("4006381333931")
        time.sleep(0.3)
        assert scans.empty()


@pytest.mark.parametrize("mode", ["keyboard_reports", "keyboard_events", "hid_pos"])
def test_keyboards_and_hid_scanners(mode):
    simulator = ScannerSimulator(mode=mode, layout="de")
    with running(simulator, Scanner, mode=mode, layout="de") as scanner:
        scans = scanner.scans()
        simulator.burst(["]E04006381333931", "]C1010950600013435210Zy-1\x1d3103001250"])
        first, second = scans.get(timeout=60), scans.get(timeout=60)
        assert first.gtin == "04006381333931"
        assert (second.batch, second.weight_grams) == ("Zy-1", 1250)


def test_half_a_scan_before_a_lost_link_is_forgotten():
    simulator = ScannerSimulator()
    with running(simulator, Scanner) as scanner:
        scans = scanner.scans()
        simulator.faults.set("no_suffix", count=1)
        simulator.scan("40063")
        time.sleep(0.1)
        simulator.drop_link()
        wait_for(lambda: simulator.connect_count > 1)
        assert scanner.wait_ready(60)
        simulator.scan("96385074")
        assert texts(scans, 1) == ["96385074"]


def test_the_test_says_what_it_read():
    simulator = ScannerSimulator()
    with running(simulator, Scanner) as scanner:
        scanner.subscribe(lambda event: None)
        done = threading.Event()

        def scan():
            while not done.wait(0.1):
                simulator.scan("4006381333931")

        thread = threading.Thread(target=scan)
        thread.start()
        assert scanner.test() == "read '4006381333931' as gtin"
        done.set()
        thread.join()


# Scale.

ASKED = ["toledo_8217", "nci_scp01", "mt_sics"]


def options_of(protocol):
    return {"protocol": protocol, "poll_interval_s": 0.0}


@pytest.mark.parametrize("link", ["tcp", "pty"])
@pytest.mark.parametrize("protocol", sorted(set(PROTOCOLS) - {"dialog_06"}))
def test_weighing(protocol, link):
    simulator = ScaleSimulator(protocol)
    simulator.put(1235)
    with running(simulator, Scale, link, **options_of(protocol)) as scale:
        reading = scale.weigh(timeout_s=60).result(60)
        assert (reading.weight_grams, reading.status) == (1235, ScaleStatus.STABLE)
        assert "1.235 kg stable" in scale.test()
        simulator.put(2000, moving=True)
        job = scale.weigh(timeout_s=60)
        time.sleep(0.2)
        assert not job.is_done
        simulator.put(2470)
        assert job.result(60).weight_grams == 2470
        scale.tare().result(60)
        simulator.put(3000)
        time.sleep(0.15)
        assert scale.weigh(wait_for_load=True, timeout_s=60).result(60).weight_grams == 530


@pytest.mark.parametrize("fault", ["overload", "underload", "moving"])
@pytest.mark.parametrize("protocol", sorted(set(PROTOCOLS) - {"dialog_06"}))
def test_a_weight_that_must_not_be_sold_is_not(protocol, fault):
    simulator = ScaleSimulator(protocol)
    simulator.put(1235)
    with running(simulator, Scale, **options_of(protocol)) as scale:
        simulator.faults.set(fault)
        if scale.streams:  # what it sent before is still on its way
            wait_for(lambda: scale.last_reading is not None and not scale.last_reading.is_sellable)
        assert "expected a stable weight" in refusal(lambda timeout_s: scale.weigh(timeout_s=timeout_s))
        last = scale.last_reading
        assert last is not None
        assert not last.is_sellable
        simulator.faults.clear()
        assert scale.weigh(timeout_s=60).result(60).weight_grams == 1235


@pytest.mark.parametrize("parity", ["N", "E"])
@pytest.mark.parametrize("protocol", ASKED)
def test_damage_is_asked_again_and_never_sold(protocol, parity):
    simulator = ScaleSimulator(protocol, parity=parity)
    simulator.put(1235)
    settings = ScaleSettings(parity_in_software=parity)
    with running(simulator, Scale, settings=settings, reply_timeout_s=SILENCE_S, **options_of(protocol)) as scale:
        simulator.faults.set("wrong_checksum", count=2)
        assert weighed(scale) == 1235
        simulator.faults.set("half_frame", count=1)
        with pytest.raises(JobFailed):
            scale.read_now().result(60)
        assert scale.wait_ready(60)
        assert weighed(scale) == 1235
        simulator.faults.set("wrong_checksum")
        found = refusal(lambda timeout_s: scale.weigh(timeout_s=timeout_s))
        assert re.search(r"check protocol, speed and parity|expected a stable weight", found)


def test_an_answer_that_comes_late_is_not_the_next_weight():
    """The story: the scale thinks for 1.5 s, the till asks again and takes the old customer's weight."""
    simulator = ScaleSimulator("toledo_8217")
    simulator.put(1111)
    with running(simulator, Scale, reply_timeout_s=SILENCE_S, **options_of("toledo_8217")) as scale:
        simulator.faults.set("slow", count=1, value=0.6)
        with pytest.raises(JobFailed):
            scale.read_now().result(60)
        simulator.put(2222)
        assert scale.wait_ready(60)
        assert weighed(scale) == 2222


def test_a_trainer_puts_goods_on_the_scale():
    simulator = ScaleSimulator()
    assert simulator.control("put 55 moving") == "55 g on the scale, moving"
    assert (simulator.net_grams, simulator.is_moving) == (55, True)
    assert simulator.control("put 1234") == "1234 g on the scale"
    with pytest.raises(ValueError, match="expected grams"):
        simulator.control("put much")


def test_what_came_before_the_question_is_no_answer():
    """A weight that the scale sent by itself, or too late, is not the weight of the next goods."""
    simulator = ScaleSimulator("toledo_8217")
    simulator.put(1235)
    with running(simulator, Scale, **options_of("toledo_8217")) as scale:
        simulator.reply(b"\x0209.999\r")
        wait_for(lambda: scale.last_reading is not None and scale.last_reading.value == 9999)
        assert scale.weigh(timeout_s=60).result(60).weight_grams == 1235
        heard_ns = scale.health().last_heard_ns
        simulator.reply(b"\x0208.88")  # half a frame, and the rest never comes
        wait_for(lambda: scale.health().last_heard_ns != heard_ns)
        assert scale.weigh(timeout_s=60).result(60).weight_grams == 1235


def test_the_weight_of_a_lost_link_is_forgotten():
    simulator = ScaleSimulator("toledo_8217")
    simulator.put(1235)
    with running(simulator, Scale, **options_of("toledo_8217")) as scale:
        assert scale.weigh(timeout_s=60).result(60).weight_grams == 1235
        simulator.faults.set("refuse")
        simulator.drop_link()
        wait_for(lambda: scale.state is DeviceState.OFFLINE)
        assert scale.last_reading is None


def test_a_port_that_is_not_a_scale_says_so():
    """A scanner answers nothing, another scale answers in another protocol."""
    with Server(ScannerSimulator()) as server:
        port = f"tcp://127.0.0.1:{server.serve_tcp()}"
        with Scale("s", make_transport(port), reply_timeout_s=0.2, backoff=Backoff(0.02, 0.1)) as scale:
            assert not scale.wait_ready(0.6)
            wait_for(lambda: "is this its port" in scale.health().detail)
            assert scale.state is DeviceState.OFFLINE
    simulator = ScaleSimulator("toledo_continuous")
    with Server(simulator) as server:
        port = f"tcp://127.0.0.1:{server.serve_tcp()}"
        with Scale("s", make_transport(port), protocol="toledo_8217", reply_timeout_s=0.3) as scale:
            assert not scale.wait_ready(1.0)
            assert scale.state is DeviceState.OFFLINE
            assert scale.last_reading is None


@pytest.mark.parametrize("link", ["tcp", "pty"])
def test_a_price_computing_scale(link):
    simulator = ScaleSimulator("dialog_06")
    simulator.put(1235)
    with running(simulator, Scale, link, **options_of("dialog_06")) as scale:
        reading = scale.weigh_priced(1299, tare=35, text="Äpfel", timeout_s=60).result(60)
        assert (reading.weight_grams, reading.unit_price_minor, reading.price_minor) == (1200, 1299, 1559)
        simulator.put(500, moving=True)
        job = scale.weigh_priced(199, timeout_s=60)
        time.sleep(0.3)
        assert not job.is_done
        simulator.put(500)
        assert job.result(60).price_minor == 100
        simulator.faults.set("overload")
        assert "overload" in refusal(lambda timeout_s: scale.weigh_priced(199, timeout_s=timeout_s))
        with pytest.raises(JobFailed, match="unit price"):
            scale.weigh()


def test_the_device_file_makes_scanners_and_scales(tmp_path):
    text = """
[device.scanner]
kind = "scanner"
port = "tcp://127.0.0.1:9"
prefix = '\\x02'
suffixes = ['\\r']
country = "de"

[device.scale]
kind = "scale"
port = "/dev/ttyS9"
protocol = "toledo_8217"
baud = 9600
data_bits = 7
parity = "E"
pattern = "00.000"
"""
    found = parse_config(text)
    scanner, scale = make_device(found["scanner"]), make_device(found["scale"])
    assert scanner.templates == TEMPLATES["de"]
    assert scanner._framer._prefix == b"\x02"
    assert (scale.protocol_name, scale.settings.pattern) == ("toledo_8217", "00.000")
    with pytest.raises(ConfigError, match="toledo_8217"):
        parse_config(text.replace('"toledo_8217"', '"toledo_8271"'))
    with pytest.raises(ConfigError, match="suffixes"):
        parse_config(text.replace("suffixes", "sufixes"))


# An emulator that nobody here wrote.


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(scope="module")
def emulator():
    if importlib.util.find_spec("mtsics") is None:
        pytest.skip("the MT-SICS emulator is missing: pip install mt-sics-emulator")
    port, control = free_port(), free_port()
    code = "from mtsics.transport.tcp import main; main()"
    arguments = ["--host", "127.0.0.1", "--port", str(port), "--control-port", str(control)]
    process = subprocess.Popen(
        [sys.executable, "-c", code, *arguments, "--profile", "ohaus-ranger7000"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )

    def put(kilograms, snap=True):
        body = json.dumps({"value": kilograms, "snap": snap} if snap else {"target": kilograms}).encode()
        request = urllib.request.Request(f"http://127.0.0.1:{control}/weight", data=body, method="POST")
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)

    deadline = time.monotonic() + 60
    while True:
        try:
            put(0.0)
            break
        except OSError:
            assert time.monotonic() < deadline, "the emulator does not start"
            time.sleep(0.1)
    yield port, put
    process.terminate()
    process.wait(10)


@pytest.fixture(params=["tcp", "pty"])
def emulated_port(request, emulator, tmp_path):
    port, _ = emulator
    if request.param == "tcp":
        yield f"tcp://127.0.0.1:{port}"
        return
    if shutil.which("socat") is None:
        pytest.skip("socat is missing: apt-get install socat")
    path = str(tmp_path / "scale")
    process = subprocess.Popen(["socat", f"PTY,link={path},raw,echo=0", f"TCP:127.0.0.1:{port}"])
    deadline = time.monotonic() + 60
    while not os.path.exists(path):
        assert time.monotonic() < deadline, "socat makes no pty"
        time.sleep(0.02)
    yield f"pty:{path}"
    process.terminate()
    process.wait(10)


def test_weights_of_the_emulator_are_our_weights(emulator, emulated_port):
    _, put = emulator
    put(0.0)
    with Scale("s", make_transport(emulated_port), protocol="mt_sics", poll_interval_s=0.0, **PATIENT) as scale:
        assert scale.wait_ready(60), scale.health()
        scale.zero().result(60)
        for kilograms, grams in ((1.235, 1235), (0.0, 0), (12.5, 12500), (0.005, 5)):
            put(kilograms)
            assert scale.weigh(timeout_s=60).result(60).weight_grams == grams
        put(2.0)
        scale.tare().result(60)
        put(3.5)
        assert scale.weigh(timeout_s=60).result(60).weight_grams == 1500
        scale.clear_tare().result(60)
        assert scale.weigh(timeout_s=60).result(60).weight_grams == 3500
        put(40.0)  # capacity is 35 kg
        assert "overload" in refusal(lambda timeout_s: scale.weigh(timeout_s=timeout_s))
        put(1.0)
        assert scale.weigh(timeout_s=60).result(60).weight_grams == 1000
        job = scale.zero()
        assert job.wait(60) is JobState.FAILED  # 1 kg is outside the zero range
        put(5.0, snap=False)
        reading = scale.weigh(timeout_s=60).result(60)
        assert reading.status is ScaleStatus.STABLE
        assert abs(reading.weight_grams - 5000) <= 50 or reading.weight_grams == 1000
        put(0.0)

"""All devices of a till: made from the device file, started, watched, tested, reloaded, stopped.

with Manager.from_file("devices.toml") as manager:
    manager["receipt"].print_receipt(receipt)
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ringup.drivers.config import ConfigError, DeviceConfig, load_config, make_device, nearest
from ringup.drivers.device.base import Device, DeviceEvent, DeviceState, Health
from ringup.drivers.device.job import JobFailed

WATCH_INTERVAL_S = 0.5


@dataclass(frozen=True, slots=True)
class TestResult:
    """What a test of one device saw; `passed` and a line for a person."""

    __test__ = False  # not a test of pytest's

    name: str
    passed: bool
    seen: str


class Manager:
    """The registry.  Its methods may be called from any thread.

    Devices with a port have an owner thread each; what hangs on a printer uses the printer's.  One more
    thread looks whether configured ports appear (a stat, nothing is opened), so that a device that is
    plugged in works at once.
    """

    def __init__(self, configs: Mapping[str, DeviceConfig], *, path: str | Path | None = None) -> None:
        self._path = path
        self._lock = threading.RLock()
        self._configs: dict[str, DeviceConfig] = {}
        self._devices: dict[str, Any] = {}
        self._listeners: list[Callable[[DeviceEvent], None]] = []
        self._started = False
        self._stop_watch = threading.Event()
        self._watch_thread: threading.Thread | None = None
        self._ports_seen: dict[str, object] = {}
        self._apply(configs)

    @classmethod
    def from_file(cls, path: str | Path) -> Manager:
        """The devices of a file, not started.  Raises ConfigError."""
        return cls(load_config(path), path=path)

    def __enter__(self) -> Manager:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def __iter__(self) -> Iterator[str]:
        return iter(tuple(self._devices))

    def __getitem__(self, name: str) -> Any:
        """The device of that name.  Raises KeyError naming the nearest."""
        try:
            return self._devices[name]
        except KeyError:
            known = ", ".join(self._devices) or "none"
            raise KeyError(f"device {name!r}: expected one of {known}{nearest(name, self._devices)}") from None

    @property
    def configs(self) -> Mapping[str, DeviceConfig]:
        return dict(self._configs)

    def start(self) -> None:
        """Start every device; returns at once, they open in the background."""
        with self._lock:
            self._started = True
            for device in self._devices.values():
                if isinstance(device, Device):
                    device.start()
            if self._watch_thread is None:
                self._stop_watch.clear()
                self._watch_thread = threading.Thread(target=self._watch, name="device-watch", daemon=True)
                self._watch_thread.start()

    def stop(self) -> None:
        """Stop every device: running jobs end, queued ones fail."""
        self._stop_watch.set()
        if (thread := self._watch_thread) is not None:
            thread.join(5)
            self._watch_thread = None
        with self._lock:
            self._started = False
            for device in reversed(tuple(self._devices.values())):
                if isinstance(device, Device):
                    device.stop()

    def subscribe(self, listener: Callable[[DeviceEvent], None]) -> None:
        """Call `listener` for the events of all devices, also of those a reload brings."""
        with self._lock:
            self._listeners.append(listener)
            for device in self._devices.values():
                if isinstance(device, Device):
                    device.subscribe(listener)

    def health(self) -> list[Health]:
        """The health of every device with a port, in the order of the file."""
        return [device.health() for device in tuple(self._devices.values()) if isinstance(device, Device)]

    def wait_ready(self, timeout_s: float) -> bool:
        """Wait until every device with a port is ready; False if one is not by then."""
        import time

        end_s = time.monotonic() + timeout_s
        return all(
            device.wait_ready(max(0.0, end_s - time.monotonic()))
            for device in tuple(self._devices.values())
            if isinstance(device, Device)
        )

    def test(self, name: str) -> TestResult:
        """Test one device: it prints, opens, weighs or shows, and says what it saw."""
        device = self[name]
        try:
            return TestResult(name, True, device.test())
        except (JobFailed, TimeoutError) as error:
            return TestResult(name, False, str(error))

    def self_test(self) -> list[TestResult]:
        """Test every device."""
        return [self.test(name) for name in self]

    def reload(self) -> dict[str, str]:
        """Read the file again and make it so; devices whose entry is the same go on undisturbed.

        Returns what happened by device: added, changed, removed.  A faulty file changes nothing and
        raises ConfigError.
        """
        if self._path is None:
            raise ConfigError("reload: expected a manager made from a file, found one made from tables")
        return self._apply(load_config(self._path))

    def _apply(self, configs: Mapping[str, DeviceConfig]) -> dict[str, str]:
        with self._lock:
            kept = {name for name, config in configs.items() if self._configs.get(name) == config}
            # What hangs on a printer follows its printer.
            kept -= {name for name in kept if configs[name].printer and configs[name].printer not in kept}
            # Made before anything is stopped: a fault in the file leaves all as it was.
            made: dict[str, Any] = {name: self._devices[name] for name in configs if name in kept}
            for at_printer in (False, True):
                for name, config in configs.items():
                    if name not in made and bool(config.printer) == at_printer:
                        made[name] = make_device(config, made.get(config.printer))
            changes: dict[str, str] = {}
            for name, device in self._devices.items():
                if name not in kept:
                    changes[name] = "changed" if name in configs else "removed"
                    if isinstance(device, Device):
                        device.stop()  # the port must be free before its next owner opens it
            self._devices = {name: made[name] for name in configs}
            for name, device in self._devices.items():
                if name in kept:
                    continue
                changes.setdefault(name, "added")
                if isinstance(device, Device):
                    for listener in self._listeners:
                        device.subscribe(listener)
                    if self._started:
                        device.start()
            self._configs = dict(configs)
            return changes

    def _watch(self) -> None:
        while not self._stop_watch.wait(WATCH_INTERVAL_S):
            with self._lock:
                devices = [device for device in self._devices.values() if isinstance(device, Device)]
            for device in devices:
                path = getattr(device.transport, "path", None)
                if not isinstance(path, str):
                    continue
                try:
                    found = os.stat(path)
                    seen: object = (found.st_rdev, found.st_ino, found.st_ctime_ns if found.st_rdev == 0 else 0)
                except OSError:
                    seen = None
                before = self._ports_seen.get(path)
                self._ports_seen[path] = seen
                if seen is not None and seen != before and device.state is DeviceState.OFFLINE:
                    device.retry_now()

"""Faults on command: which ones a simulated device shows, how often, and how strongly.

faults = FaultPlan(("paper_out",))
faults.set("silent")                 # until cleared
faults.set("half_frame", count=1)    # the next reply only
faults.set("slow", value=1.5)        # seconds before each reply
faults.parse("drop_link:2")          # as written on the command line
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches

COMMON_FAULTS = {
    "silent": "takes everything, answers nothing",
    "slow": "waits `value` seconds (0.5) before each answer",
    "half_frame": "sends the first half of an answer",
    "drop_link": "drops the link instead of answering",
    "refuse": "drops each new connection at once",
    "wrong_checksum": "spoils the check of an answer",
}
FOREVER = -1


@dataclass(slots=True)
class _Fault:
    count: int
    value: float


class FaultPlan:
    """The faults that are on; every method may be called from any thread."""

    def __init__(self, own_names: Iterable[str] = ()) -> None:
        self.names = (*COMMON_FAULTS, *own_names)
        self._faults: dict[str, _Fault] = {}
        self._lock = threading.Lock()

    def _check(self, name: str) -> None:
        if name not in self.names:
            near = get_close_matches(name, self.names, 1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise ValueError(f"fault {name!r}: expected one of {', '.join(self.names)}{hint}")

    def set(self, name: str, *, count: int = FOREVER, value: float = 0.5) -> None:
        """Show the fault `count` times (default: until cleared).  Raises ValueError for an unknown name."""
        self._check(name)
        with self._lock:
            self._faults[name] = _Fault(count, value)

    def clear(self, name: str | None = None) -> None:
        """Mend one fault, or all."""
        if name is not None:
            self._check(name)
        with self._lock:
            if name is None:
                self._faults.clear()
            else:
                self._faults.pop(name, None)

    def parse(self, text: str) -> None:
        """Set a fault from NAME, NAME:COUNT or NAME=VALUE, as in `--fault slow=2`."""
        name, mark, rest = text.partition(":") if ":" in text else text.partition("=")
        try:
            if mark == ":":
                self.set(name, count=int(rest))
            elif mark == "=":
                self.set(name, value=float(rest))
            else:
                self.set(name)
        except ValueError as error:
            if str(error).startswith("fault "):
                raise
            raise ValueError(f"fault {text!r}: expected NAME, NAME:COUNT or NAME=VALUE") from error

    def is_on(self, name: str) -> bool:
        """Whether the fault is on, without using one of its times up."""
        return name in self._faults

    def value(self, name: str) -> float:
        """The strength of a fault that is on, else 0."""
        fault = self._faults.get(name)
        return fault.value if fault else 0.0

    def take(self, name: str) -> bool:
        """Whether to show the fault now; uses one of its times up."""
        with self._lock:
            fault = self._faults.get(name)
            if fault is None:
                return False
            if fault.count != FOREVER:
                fault.count -= 1
                if fault.count <= 0:
                    del self._faults[name]
            return True

"""The scale: a weight is what a whole, checked frame says is stable, and nothing else is.

Protocols that are asked (8217, NCI, MT-SICS, Dialog 06, ST/GS with `ask`) are asked anew for each reading, and an
answer that comes late is thrown away before the next question. Scales that send by themselves (Toledo continuous,
ST/GS) are listened to.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from ringup.drivers.config import Key
from ringup.drivers.device.base import Device, NotAnswering
from ringup.drivers.device.job import Job, JobFailed
from ringup.drivers.protocol.scale import (
    ScaleDamage,
    ScaleDecoder,
    ScaleEvent,
    ScaleReading,
    ScaleReply,
    ScaleStatus,
    parse_unit,
)
from ringup.drivers.protocol.scale_dialog06 import (
    REQUEST_RESULT,
    REQUEST_STATUS,
    Dialog06Decoder,
    encode_dialog06_price,
    price_of,
)
from ringup.drivers.protocol.scale_mtsics import MtSicsDecoder, encode_mtsics
from ringup.drivers.protocol.scale_nci import NciDecoder, encode_nci_request
from ringup.drivers.protocol.scale_stgs import StGsDecoder, encode_stgs_request
from ringup.drivers.protocol.scale_toledo8217 import Toledo8217Decoder, encode_toledo8217_request
from ringup.drivers.protocol.scale_toledo_continuous import ToledoContinuousDecoder
from ringup.drivers.transport.base import Transport, deadline_in

ASK_INTERVAL_S = 0.15  # between two questions while the goods still move
DAMAGE_COUNT_MAX = 3  # damaged answers in a row before the line is called bad


@dataclass(frozen=True, slots=True)
class ScaleSettings:
    """What the protocols need to know of a scale: see SCALE_CONFIG."""

    unit: str = "kg"
    pattern: str | None = None
    width: int | None = None
    checksum: bool = True
    parity_in_software: str = "N"
    ask: bool = False


@dataclass(frozen=True, slots=True)
class ScaleProtocol:
    """One protocol: its decoder, its questions by name, and whether the scale speaks by itself."""

    decoder: Callable[[ScaleSettings], ScaleDecoder]
    requests: Mapping[str, bytes]
    streams: bool = False


PROTOCOLS: dict[str, ScaleProtocol] = {
    "toledo_8217": ScaleProtocol(
        lambda s: Toledo8217Decoder(s.unit, s.pattern, s.parity_in_software),
        {name: encode_toledo8217_request(name) for name in ("weight", "zero", "tare", "clear_tare")},
    ),
    "nci_scp01": ScaleProtocol(
        lambda s: NciDecoder(s.width, s.parity_in_software),
        {name: encode_nci_request(name) for name in ("weight", "zero", "tare")},
    ),
    "mt_sics": ScaleProtocol(
        lambda s: MtSicsDecoder(s.width, s.parity_in_software),
        {
            "weight": encode_mtsics("weight_now"),
            "zero": encode_mtsics("zero"),
            "tare": encode_mtsics("tare"),
            "clear_tare": encode_mtsics("clear_tare"),
        },
    ),
    "st_gs": ScaleProtocol(
        lambda s: StGsDecoder(s.width, s.parity_in_software),
        {name: encode_stgs_request(name) for name in ("weight", "zero", "tare")},
        streams=True,
    ),
    "toledo_continuous": ScaleProtocol(
        lambda s: ToledoContinuousDecoder(checksum=s.checksum, parity=s.parity_in_software),
        {"zero": b"Z\r\n", "tare": b"T\r\n", "clear_tare": b"C\r\n"},
        streams=True,
    ),
    "dialog_06": ScaleProtocol(lambda s: Dialog06Decoder(s.parity_in_software), {"weight": REQUEST_STATUS}),
}


class Scale(Device):
    """A scale by one of PROTOCOLS. Emits "weight" with each ScaleReading."""

    kind = "scale"

    def __init__(
        self,
        name: str,
        transport: Transport,
        *,
        protocol: str = "toledo_8217",
        settings: ScaleSettings | None = None,
        **options: Any,
    ) -> None:
        options.setdefault("poll_interval_s", 5.0)
        super().__init__(name, transport, **options)
        if protocol not in PROTOCOLS:
            raise ValueError(f"scale protocol: expected one of {', '.join(PROTOCOLS)}, found {protocol!r}")
        self.protocol_name = protocol
        self.protocol = PROTOCOLS[protocol]
        self.settings = settings or ScaleSettings()
        self.streams = self.protocol.streams and not self.settings.ask
        self._decoder = self.protocol.decoder(self.settings)
        self._events: list[ScaleEvent] = []
        self._last: ScaleReading | None = None

    # For a till.

    @property
    def last_reading(self) -> ScaleReading | None:
        """The newest reading, of whatever status."""
        return self._last

    def weigh(self, *, wait_for_load: bool = False, timeout_s: float = 10.0) -> Job[ScaleReading]:
        """Weigh: the next stable reading; with `wait_for_load` the next stable one above zero.

        Fails, with what the scale said last, if there is none in time.
        """
        if self.protocol_name == "dialog_06":
            raise JobFailed(f"{self.name}: a Dialog 06 scale needs the unit price; use weigh_priced")
        return self.submit(
            "weigh", lambda job: self._settled(job.deadline_ns, wait_for_load=wait_for_load), timeout_s=timeout_s
        )

    def weigh_priced(
        self, unit_price_minor: int, *, tare: int | None = None, text: str | None = None, timeout_s: float = 15.0
    ) -> Job[ScaleReading]:
        """Weigh on a price-computing scale (Dialog 06): price per kilogram, tare in grams, text for its display.

        The scale's price is checked against weight times unit price; a scale that multiplies otherwise fails.
        """
        request = encode_dialog06_price(unit_price_minor, tare, text)
        if self.protocol_name != "dialog_06":
            raise JobFailed(f"{self.name}: a {self.protocol_name} scale computes no price; use weigh")
        return self.submit(
            "weigh", lambda job: self._priced(request, unit_price_minor, job.deadline_ns), timeout_s=timeout_s
        )

    def read_now(self, *, timeout_s: float | None = None) -> Job[ScaleReading]:
        """One reading as it is, stable or not."""
        return self.submit("read", lambda job: self._reading(), timeout_s=timeout_s)

    def zero(self, *, timeout_s: float | None = None) -> Job[ScaleReading | ScaleReply | None]:
        """Set to zero. Fails if the scale says that it did not."""
        return self._command("zero", timeout_s)

    def tare(self, *, timeout_s: float | None = None) -> Job[ScaleReading | ScaleReply | None]:
        """Take what is on the scale as tare."""
        return self._command("tare", timeout_s)

    def clear_tare(self, *, timeout_s: float | None = None) -> Job[ScaleReading | ScaleReply | None]:
        """Forget the tare."""
        return self._command("clear_tare", timeout_s)

    def test(self) -> str:
        """Weigh what is there and say what was seen."""
        reading = self.read_now(timeout_s=self.job_timeout_s).result(self.job_timeout_s + 5)
        return f"says {reading}"

    def decode(self, direction: Literal["out", "in"], data: bytes) -> list[str]:
        """Bytes in words, for the monitor."""
        if direction == "in" and (events := self.protocol.decoder(self.settings).feed(data)):
            return [str(event) for event in events]
        return [repr(data)[2:-1]]

    # For Device.

    def device_status(self) -> dict[str, Any]:
        last = self._last
        return {"protocol": self.protocol_name, "reading": None if last is None else str(last)}

    def on_open(self) -> None:
        self._forget()
        self._reading()  # is this a scale at all?

    def on_close(self) -> None:
        self._forget()
        self._last = None  # an old weight must not be sold

    def on_bytes(self, data: bytes) -> None:
        for event in self._decoder.feed(data):
            self._events.append(event)
            if isinstance(event, ScaleReading):
                if event.kind != "tare":  # an answer to tare is no weight of goods
                    self._last = event
                    self.emit("weight", event)
            elif isinstance(event, ScaleDamage):
                self.emit("noise", event)
        del self._events[:-64]  # a scale that streams while nobody asks

    def poll(self) -> None:
        self._reading()

    def _forget(self) -> None:
        self._decoder.reset()
        self._events.clear()

    def _ask(self, request: bytes) -> None:
        """Send a question; what came before it is no answer to it."""
        self.drain()
        self._forget()
        self.send(request)

    def _next(self, what: str, timeout_s: float | None = None) -> ScaleReading | ScaleReply:
        """The next reading or reply. Raises NotAnswering for silence, JobFailed for damage only."""
        deadline_ns = deadline_in(self.reply_timeout_s if timeout_s is None else timeout_s)
        damage: ScaleDamage | None = None
        while True:
            left_s = max(0.0, (deadline_ns - time.monotonic_ns()) / 1e9)
            try:
                self.receive(lambda: bool(self._events), left_s, what=what)
            except NotAnswering:
                if damage is None:
                    raise
                raise NotAnswering(
                    f"{self.name}: expected {what}, found {damage.data[:40]!r} ({damage.reason}); is it a "
                    f"{self.protocol_name} scale, are speed and parity right?"
                ) from None
            event = self._events.pop(0)
            if not isinstance(event, ScaleDamage):
                return event
            damage = event
            if not self.streams:
                raise _Damaged(event)

    def _reading(self) -> ScaleReading:
        """One reading, asked for or awaited; a damaged answer is asked for again."""
        if self.streams:
            self.drain()
            self._events.clear()
            while True:
                event = self._next("a weight")
                if isinstance(event, ScaleReading):
                    return event
        for attempt in range(DAMAGE_COUNT_MAX):
            self._ask(self.protocol.requests["weight"])
            try:
                event = self._next("a weight")
            except _Damaged as error:
                if attempt == DAMAGE_COUNT_MAX - 1:
                    raise NotAnswering(
                        f"{self.name}: expected a weight, found {error.damage.data[:40]!r} {DAMAGE_COUNT_MAX} times "
                        f"({error.damage.reason}); check protocol, speed and parity"
                    ) from error
                self._wait(ASK_INTERVAL_S)
                continue
            if isinstance(event, ScaleReading):
                return event
            if self.protocol_name == "dialog_06":  # it answers 00: nothing wrong, and no weight without a price
                return ScaleReading(ScaleStatus.NO_WEIGHT, detail=event.text)
            raise JobFailed(f"{self.name}: expected a weight, found {event.text or event.command}")
        raise AssertionError("the last attempt returns or raises")

    def _settled(self, deadline_ns: int, *, wait_for_load: bool) -> ScaleReading:
        last: ScaleReading | None = None
        while time.monotonic_ns() < deadline_ns:
            last = self._reading()
            if last.status is ScaleStatus.ERROR:
                break
            if last.status is ScaleStatus.STABLE and (not wait_for_load or last.is_sellable):
                return last
            if not self.streams:
                self._wait(ASK_INTERVAL_S)
        raise JobFailed(f"{self.name}: expected a stable weight, found {last or 'no reading'}; look at the scale")

    def _priced(self, request: bytes, unit_price_minor: int, deadline_ns: int) -> ScaleReading:
        said: ScaleReading | ScaleReply | None = None
        is_sent = False
        while time.monotonic_ns() < deadline_ns:
            try:
                if not is_sent:
                    self._ask(request)
                    said = self._next("ACK or NAK")
                    is_sent = isinstance(said, ScaleReply) and said.command == "ack"
                if is_sent:
                    self._ask(REQUEST_RESULT)
                    said = self._next("a result or NAK")
                    if isinstance(said, ScaleReading) and said.value is not None:
                        return self._checked(said, unit_price_minor)
                if isinstance(said, ScaleReply) and said.command == "checksum":
                    raise JobFailed(f"{self.name}: {said.text}: this scale asks for the till's verified checksums")
                self._ask(REQUEST_STATUS)
                said = self._next("a status")
                if isinstance(said, ScaleReading) and said.status is ScaleStatus.ERROR:
                    raise JobFailed(f"{self.name}: expected a weighing, found {said}; look at the scale")
                # After 20 and 22 the result may be fetched again; after the others the price is sent anew.
                is_sent = isinstance(said, ScaleReading) and said.status is ScaleStatus.UNSTABLE
            except _Damaged as error:
                said = None
                self.emit("noise", error.damage)
            self._wait(ASK_INTERVAL_S)
        raise JobFailed(f"{self.name}: expected a stable weight, found {said or 'no reading'}; look at the scale")

    def _checked(self, reading: ScaleReading, unit_price_minor: int) -> ScaleReading:
        if reading.unit_price_minor != unit_price_minor:
            raise JobFailed(
                f"{self.name}: expected unit price {unit_price_minor}, found {reading.unit_price_minor} in the answer; "
                "weigh again"
            )
        grams = reading.weight_grams
        if grams is not None and reading.price_minor != price_of(grams, unit_price_minor):
            raise JobFailed(
                f"{self.name}: expected price {price_of(grams, unit_price_minor)} for {reading}, found "
                f"{reading.price_minor}; weigh again, and have the scale checked"
            )
        return reading

    def _command(self, command: str, timeout_s: float | None) -> Job[ScaleReading | ScaleReply | None]:
        request = self.protocol.requests.get(command)
        if request is None:
            raise JobFailed(f"{self.name}: {self.protocol_name} has no command {command}; use the scale's own key")

        def run(job: Job[ScaleReading | ScaleReply | None]) -> ScaleReading | ScaleReply | None:
            self._ask(request)
            try:
                answer = self._next(f"an answer to {command}")
            except _Damaged as error:
                raise JobFailed(f"{self.name}: expected an answer to {command}, found {error.damage.reason}") from error
            if isinstance(answer, ScaleReply) and not answer.is_ok:
                raise JobFailed(f"{self.name}: expected {command} to be done, found: {answer.text}")
            bad = (ScaleStatus.OVERLOAD, ScaleStatus.UNDERLOAD, ScaleStatus.ERROR, ScaleStatus.UNSTABLE)
            if isinstance(answer, ScaleReading) and answer.status in bad and not self.streams:
                raise JobFailed(f"{self.name}: expected {command} to be done, found {answer}")
            return answer

        return self.submit(command, run, timeout_s=timeout_s)

    def _wait(self, pause_s: float) -> None:
        """Pause, taking in what arrives meanwhile."""
        end_ns = deadline_in(pause_s)
        while time.monotonic_ns() < end_ns:
            self._read(end_ns)


class _Damaged(JobFailed):
    """The answer was damaged: ask again."""

    def __init__(self, damage: ScaleDamage) -> None:
        super().__init__(f"the scale's answer was damaged: {damage.reason}")
        self.damage = damage


SCALE_CONFIG = {
    "protocol": Key(str, choices=tuple(PROTOCOLS), help="what the scale speaks, as set in its menu"),
    "unit": Key(str, "kg", choices=("kg", "g", "lb", "oz"), help="unit of a Toledo 8217, whose frames name none"),
    "pattern": Key(str, "", help="the only form of a Toledo 8217 weight, such as 00.000"),
    "width": Key(int, 0, low=0, high=12, help="characters of a weight in NCI, MT-SICS or ST/GS, 0 for any"),
    "checksum": Key(bool, True, help="whether a continuous Toledo sends its checksum"),
    "ask": Key(bool, False, help="whether an ST/GS scale is asked (Q) instead of sending by itself"),
    "parity_in_software": Key(
        str, "N", choices=("N", "E", "O", "M", "S"), help="parity to check here, for a line that is read as 8 bits"
    ),
}


def scale_from_config(name: str, transport: Transport, options: Mapping[str, Any]) -> Scale:
    """A scale of the device file."""
    rest = dict(options)
    settings = ScaleSettings(
        parse_unit(rest.pop("unit")),
        rest.pop("pattern") or None,
        rest.pop("width") or None,
        rest.pop("checksum"),
        rest.pop("parity_in_software"),
        rest.pop("ask"),
    )
    return Scale(name, transport, settings=settings, **rest)

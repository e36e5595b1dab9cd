"""A scale that weighs what it is told, in each of the protocols."""

from __future__ import annotations

from ringup.drivers.protocol import scale_dialog06 as dialog06
from ringup.drivers.protocol import scale_mtsics as mtsics
from ringup.drivers.protocol import scale_nci as nci
from ringup.drivers.protocol import scale_stgs as stgs
from ringup.drivers.protocol import scale_toledo8217 as toledo8217
from ringup.drivers.protocol import scale_toledo_continuous as continuous
from ringup.drivers.protocol.scale import add_parity
from ringup.drivers.simulator.base import Simulator

PROTOCOLS = ("toledo_8217", "nci_scp01", "mt_sics", "st_gs", "toledo_continuous", "dialog_06")
STREAMING = ("st_gs", "toledo_continuous")


class ScaleSimulator(Simulator):
    """Controls: `put(grams)`, `moving`, and the scale's own tare and zero.

    Faults beside the common ones: moving, overload, underload; wrong_checksum spoils the checksum of a continuous
    Toledo, and the eighth bit (parity, where there is one) in the middle of every other answer.
    """

    kind = "scale"
    fault_names = ("moving", "overload", "underload")

    def __init__(
        self,
        protocol: str = "toledo_8217",
        *,
        capacity_grams: int = 30_000,
        interval_s: float = 0.05,
        checksum: bool = True,
        parity: str = "N",
    ) -> None:
        if protocol not in PROTOCOLS:
            raise ValueError(f"scale protocol: expected one of {', '.join(PROTOCOLS)}, found {protocol!r}")
        super().__init__()
        self.protocol = protocol
        self.capacity_grams = capacity_grams
        self.checksum = checksum
        self.parity = parity
        self.tick_interval_s = interval_s if protocol in STREAMING else 0.0
        self.load_grams = 0
        self.zero_grams = 0
        self.tare_grams = 0
        self.moving = False
        self._unit_price_minor: int | None = None
        self._tare_of_record = 0
        self._status = "00"
        self._buffer = bytearray()

    # Controls, from any thread.

    def put(self, grams: int, *, moving: bool = False) -> None:
        """Put so much on the scale; `moving` until the next put."""
        with self.lock:
            self.load_grams, self.moving = grams, moving

    def control_put(self, argument: str) -> str:
        grams, _, moving = argument.partition(" ")
        if not grams.lstrip("-").isdecimal() or moving not in ("", "moving"):
            raise ValueError(f"put: expected grams, and perhaps 'moving', found {argument!r}")
        self.put(int(grams), moving=moving == "moving")
        return f"{grams} g on the scale{', moving' if moving else ''}"

    @property
    def net_grams(self) -> int:
        return self.load_grams - self.zero_grams - self.tare_grams

    @property
    def is_moving(self) -> bool:
        return self.moving or self.faults.is_on("moving")

    @property
    def is_over(self) -> bool:
        return self.faults.is_on("overload") or self.load_grams > self.capacity_grams

    @property
    def is_under(self) -> bool:
        return self.faults.is_on("underload") or self.net_grams < -20

    # For Simulator.

    def on_connect(self) -> None:
        self._buffer.clear()
        self._unit_price_minor = None

    def on_tick(self) -> None:
        self._send(self._reading())

    def on_bytes(self, data: bytes) -> None:
        self._buffer += bytes(byte & 0x7F for byte in data) if self.parity != "N" else data
        handler = {
            "toledo_8217": self._toledo8217,
            "nci_scp01": self._lines,
            "mt_sics": self._lines,
            "st_gs": self._lines,
            "toledo_continuous": self._lines,
            "dialog_06": self._dialog06,
        }[self.protocol]
        handler()
        del self._buffer[:-256]

    def _send(self, frame: bytes) -> None:
        if self.faults.take("wrong_checksum"):
            spoilt = bytearray(add_parity(frame, self.parity))
            is_checked = self.protocol == "toledo_continuous" and self.checksum
            spoilt[-1 if is_checked else len(spoilt) // 2] ^= 0x01 if is_checked else 0x80
            self.reply(bytes(spoilt))
            return
        self.reply(add_parity(frame, self.parity))

    def _reading(self) -> bytes:
        grams, moving = self.net_grams, self.is_moving
        over, under = self.is_over, self.is_under
        if self.protocol == "toledo_8217":
            bits = (
                moving * toledo8217.MOTION
                | over * toledo8217.OVER_CAPACITY
                | (under or grams < 0) * toledo8217.UNDER_ZERO
            )
            if bits:
                return toledo8217.encode_toledo8217_status(bits)
            return toledo8217.encode_toledo8217_weight(grams, is_net=self.tare_grams > 0)
        if self.protocol == "nci_scp01":
            if moving or over or under:
                return nci.encode_nci_status(motion=moving, over=over, under=under)
            return nci.encode_nci_weight(grams, status="20" if grams == 0 else "00")
        if self.protocol == "mt_sics":
            if over or under:
                return b"S +\r\n" if over else b"S -\r\n"
            return mtsics.encode_mtsics_weight(grams, is_stable=not moving)
        if self.protocol == "st_gs":
            if over or under:
                return b"OL,GS,+9999999kg\r\n" if over else b"OL,GS,-9999999kg\r\n"
            kind = "NT" if self.tare_grams else "GS"
            return stgs.encode_stgs(grams, header="US" if moving else "ST", kind=kind)
        return continuous.encode_toledo_continuous(
            -20 if under else grams,
            tare=self.tare_grams,
            is_net=self.tare_grams > 0,
            in_motion=moving,
            out_of_range=over or under,
            checksum=self.checksum,
        )

    def _toledo8217(self) -> None:
        for command in bytes(self._buffer):
            if command in b"WH":
                self._send(self._reading())
            elif command in b"ZTC":
                done = self._adjust({0x5A: "zero", 0x54: "tare", 0x43: "clear_tare"}[command])
                bits = 0 if done else toledo8217.MOTION
                self._send(
                    toledo8217.encode_toledo8217_status(bits | (self.net_grams == 0) * toledo8217.CENTER_OF_ZERO)
                )
        self._buffer.clear()

    def _adjust(self, command: str) -> bool:
        if command == "clear_tare":
            self.tare_grams = 0
            return True
        if self.is_moving or self.is_over:
            return False
        if command == "zero":
            self.zero_grams, self.tare_grams = self.load_grams, 0
        else:
            self.tare_grams = max(0, self.load_grams - self.zero_grams)
        return True

    def _lines(self) -> None:
        while (at := min((self._buffer.find(end) for end in b"\r\n" if end in self._buffer), default=-1)) >= 0:
            line = bytes(self._buffer[:at]).decode("ascii", "replace").strip()
            del self._buffer[: at + 1]
            if line:
                self._line(line)

    def _line(self, line: str) -> None:
        if self.protocol == "nci_scp01":
            if line == "W":
                self._send(self._reading())
            elif line in ("S", "Z", "T"):
                is_done = line == "S" or self._adjust("zero" if line == "Z" else "tare")
                self._send(nci.encode_nci_status(motion=not is_done or self.is_moving, zero=self.net_grams == 0))
            else:
                self._send(b"\n?\r\x03")
        elif self.protocol == "mt_sics":
            self._send(self._sics(line))
        elif line[0] in "ZTC":
            self._adjust({"Z": "zero", "T": "tare", "C": "clear_tare"}[line[0]])
        elif line == "Q":
            self._send(self._reading())

    def _sics(self, line: str) -> bytes:
        command = line.split()[0]
        if command in ("S", "SI", "SIR"):
            if command == "S" and self.is_moving:
                return b"S I\r\n"
            return self._reading()
        if command in ("Z", "ZI"):
            return f"{command} A\r\n".encode() if self._adjust("zero") else f"{command} I\r\n".encode()
        if command in ("T", "TI"):
            if not self._adjust("tare"):
                return f"{command} I\r\n".encode()
            return mtsics.encode_mtsics_weight(self.tare_grams, name=command)
        if command == "TAC":
            self._adjust("clear_tare")
            return b"TAC A\r\n"
        return b"ES\r\n"

    def _dialog06(self) -> None:
        while self._buffer:
            end = self._buffer.find(dialog06.ETX)
            if self._buffer.startswith(b"\x04\x05"):
                del self._buffer[:2]
                self._result()
            elif end >= 0 and self._buffer.startswith(b"\x04\x02"):
                fields = bytes(self._buffer[2:end]).decode("ascii", "replace").split("\x1b")
                del self._buffer[: end + 1]
                self._record(fields)
            elif self._buffer.startswith(b"\x04"):
                return  # the rest is to come
            else:
                del self._buffer[0]

    def _record(self, fields: list[str]) -> None:
        record = fields[0]
        if record == "08":
            self._send(dialog06.encode_dialog06_status(self._status if self._unit_price_minor else "00"))
            return
        if record not in ("01", "03", "04", "05") or len(fields) < 2 or not fields[1].isdigit():
            self._status, self._unit_price_minor = "10", self._unit_price_minor or 1
            self._send(bytes([dialog06.NAK]))
            return
        self._unit_price_minor = int(fields[1])
        self._tare_of_record = int(fields[2]) if record in ("03", "05") else 0
        self._send(bytes([dialog06.ACK]))

    def _result(self) -> None:
        grams = self.net_grams - self._tare_of_record
        self._status = "00"
        if self._unit_price_minor is None:
            self._status, self._unit_price_minor = "22", None
        elif self.is_over:
            self._status = "32"
        elif self.is_moving:
            self._status = "20"
        elif self.is_under or grams < 0:
            self._status = "31"
        elif grams < 20:
            self._status = "30"
        if self._status != "00" or self._unit_price_minor is None:
            self._send(bytes([dialog06.NAK]))
            return
        price = dialog06.price_of(grams, self._unit_price_minor)
        self._send(dialog06.encode_dialog06_result(grams, self._unit_price_minor, price))

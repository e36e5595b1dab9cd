"""Serial ports by pyserial: speed, parity, framing, and the lock that keeps a second owner out."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Literal

from ringup.drivers.transport.base import TransportClosed, TransportError, TransportTimeout, remaining_s
from ringup.drivers.transport.fd import FdTransport, open_error

if TYPE_CHECKING:
    from serial import Serial

Parity = Literal["N", "E", "O", "M", "S"]
Flow = Literal["none", "rtscts", "dsrdtr", "xonxoff"]


class SerialTransport(FdTransport):
    """A serial port.

    `path` is best a stable link below /dev/serial/by-id: /dev/ttyUSB0 is another device after the next
    reboot.  The port is opened exclusively: a second program is refused instead of mixing its bytes in.
    """

    def __init__(
        self,
        path: str,
        *,
        baud: int = 9600,
        data_bits: Literal[7, 8] = 8,
        parity: Parity = "N",
        stop_bits: Literal[1, 2] = 1,
        flow: Flow = "none",
    ) -> None:
        super().__init__(f"serial:{path}")
        self.path = path
        self.baud = baud
        self.data_bits = data_bits
        self.parity = parity
        self.stop_bits = stop_bits
        self.flow = flow
        self._port: Serial | None = None

    def _open_fd(self, deadline_ns: int) -> int:
        try:
            import serial  # late: the drivers import in milliseconds, also where no serial port is used
        except ImportError as error:
            raise TransportError(
                f"{self.path}: expected the package pyserial, found none; pip install 'ringup[devices]'"
            ) from error

        # A pty has no line to frame; glibc refuses parity and 7 bits on it.
        is_pty = os.path.realpath(self.path).startswith("/dev/pts/")
        try:
            port = serial.Serial(
                self.path,
                self.baud,
                bytesize=8 if is_pty else self.data_bits,
                parity="N" if is_pty else self.parity,
                stopbits=1 if is_pty else self.stop_bits,
                rtscts=self.flow == "rtscts",
                dsrdtr=self.flow == "dsrdtr",
                xonxoff=self.flow == "xonxoff",
                timeout=0,
                write_timeout=0,
                exclusive=True if os.name == "posix" else None,
            )
        except Exception as error:  # SerialException, ValueError, or termios.error, which is no OSError
            failure = error if isinstance(error, OSError) else OSError(str(error))
            if failure.errno is None and "lock" in str(error):
                failure.errno = 11  # pyserial drops the errno of a refused exclusive lock
            raise open_error(self.path, failure) from error
        self._port = port
        if os.name != "posix":
            return 0
        port.reset_input_buffer()
        return port.fileno()

    def open(self, deadline_ns: int) -> None:
        if os.name == "posix":
            super().open(deadline_ns)
            return
        self.close()
        self._fd = self._open_fd(deadline_ns)

    def _close_fd(self) -> None:
        if self._port is not None:
            self._port.close()
            self._port = None

    # Windows has no descriptor to poll: short slices stand in for it.

    def read(self, size_max: int, deadline_ns: int) -> bytes:
        if os.name == "posix":
            return super().read(size_max, deadline_ns)
        port = self._require()
        while True:
            try:
                if data := port.read(size_max):
                    return bytes(data)
            except OSError as error:
                raise self._closed(error) from error
            if remaining_s(deadline_ns) == 0:
                return b""
            time.sleep(min(0.005, remaining_s(deadline_ns)))

    def write(self, data: bytes, deadline_ns: int) -> None:
        if os.name == "posix":
            super().write(data, deadline_ns)
            return
        import serial

        port = self._require()
        port.write_timeout = max(0.001, remaining_s(deadline_ns))
        try:
            port.write(data)
        except serial.SerialTimeoutException as error:
            raise TransportTimeout(f"{self.name}: expected {len(data)} bytes to be taken in time") from error
        except OSError as error:
            raise self._closed(error) from error

    def _require(self) -> Serial:
        if self._port is None:
            raise TransportClosed(f"{self.name}: expected an open port, found a closed one; open it first")
        return self._port

    def send_break(self, duration_s: float = 0.25) -> None:
        """Hold the line in the break state: some scales reset on it."""
        self._require().send_break(duration_s)

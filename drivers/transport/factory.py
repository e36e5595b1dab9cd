"""From what a person writes in the device file to a transport.

| port | transport |
|---|---|
| `tcp://10.0.0.7:9100`, `tcp://[::1]:9100` | TcpTransport |
| `serial:/dev/serial/by-id/usb-...`, or just the path below /dev, or `COM3` | SerialTransport |
| `usb:/dev/usb/lp0` | UsbPrinterTransport |
| `hidraw:/dev/hidraw2` | HidrawTransport |
| `evdev:/dev/input/by-id/...-event-kbd` | EvdevTransport |
| `pty:/dev/pts/4` | SerialTransport (the far end of somebody's pty) |
| `memory:NAME` | the host end of the in-process wire of that name |
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from difflib import get_close_matches

from ringup.drivers.transport.base import Transport

SCHEMES = ("tcp", "serial", "usb", "hidraw", "evdev", "pty", "memory")
SERIAL_KEYS: Mapping[str, tuple[object, ...]] = {
    "baud": (300, 600, 1200, 2400, 4800, 9600, 14400, 19200, 38400, 57600, 115200, 230400),
    "data_bits": (7, 8),
    "parity": ("N", "E", "O", "M", "S"),
    "stop_bits": (1, 2),
    "flow": ("none", "rtscts", "dsrdtr", "xonxoff"),
}


def make_transport(port: str, options: Mapping[str, object] | None = None) -> Transport:
    """The transport for `port` (table above); `options` holds keys of SERIAL_KEYS for serial ports.

    Opens nothing.  Raises ValueError naming what was expected, with the nearest known scheme or key.
    """
    options = dict(options or {})
    scheme, colon, rest = port.partition(":")
    if not colon and (port.startswith("/dev/") or re.fullmatch(r"COM\d+", port, re.IGNORECASE)):
        scheme, rest = "serial", port
    if scheme not in SCHEMES:
        near = get_close_matches(scheme, SCHEMES, 1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise ValueError(f"port {port!r}: expected one of {', '.join(SCHEMES)} before a colon, found {scheme!r}{hint}")
    if not rest.strip("/"):
        raise ValueError(f"port {port!r}: expected an address after {scheme!r}, found nothing")
    if options and scheme not in ("serial", "pty"):
        raise ValueError(f"port {port!r}: {', '.join(sorted(options))} belong to serial ports; remove them")
    if scheme == "tcp":
        match = re.fullmatch(r"//(?:\[([0-9A-Fa-f:.%]+)\]|([^\[\]:/\s]+)):(\d{1,5})/?", rest)
        if match is None or not 0 < int(match[3]) < 65536:
            raise ValueError(f"port {port!r}: expected tcp://HOST:PORT with a port of 1 to 65535")
        from ringup.drivers.transport.tcp import TcpTransport

        return TcpTransport(match[1] or match[2], int(match[3]))
    if scheme in ("serial", "pty"):
        for key, value in options.items():
            check_serial_option(key, value)
        from ringup.drivers.transport.serial import SerialTransport

        return SerialTransport(rest, **options)  # type: ignore[arg-type]  # checked against SERIAL_KEYS above
    if scheme == "memory":
        from ringup.drivers.transport.memory import named_wire

        return named_wire(rest).host
    if scheme == "usb":
        from ringup.drivers.transport.fd import UsbPrinterTransport

        return UsbPrinterTransport(rest)
    from ringup.drivers.transport.hid import EvdevTransport, HidrawTransport

    return HidrawTransport(rest) if scheme == "hidraw" else EvdevTransport(rest)


def check_serial_option(key: str, value: object) -> None:
    """Raise ValueError unless `key` is a serial option and `value` one of its values."""
    if key not in SERIAL_KEYS:
        near = get_close_matches(key, SERIAL_KEYS, 1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise ValueError(f"serial option {key!r}: expected one of {', '.join(SERIAL_KEYS)}{hint}")
    if isinstance(value, bool) or value not in SERIAL_KEYS[key]:
        known = ", ".join(map(str, SERIAL_KEYS[key]))
        raise ValueError(f"serial option {key}: expected one of {known}, found {value!r}")

"""ZVT, the protocol of German payment terminals: APDUs, bitmaps (BMP), TLV containers and the commands.

Source: ECR-Interface ZVT-Protocol PA00P015 (commands, bitmaps, error messages) and PA00P016 (transport). Amounts are
minor units in BCD. The till (ECR) sends a command; the terminal (PT) acknowledges, reports, and ends with a
completion or an abort; each side acknowledges each APDU of the other with 80 00 00.

No card number leaves this module: of BMP 22 remain the first six digits and the last four, tracks and chip data are
dropped while parsing, and receipt texts are searched for numbers that a terminal failed to mask.  What goes past it, as
bytes, is shown as `zvt_redact` makes it.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from ringup.drivers.protocol.card_numbers import mask_card_numbers, truncate_card_number
from ringup.drivers.protocol.errors import ParseError
from ringup.drivers.protocol.zvt_texts import intermediate_text, result_text

ACK = 0x8000
STATUS_INFORMATION = 0x040F
INTERMEDIATE_STATUS = 0x04FF
STATUS_ENQUIRY = 0x0501
REGISTRATION = 0x0600
AUTHORISATION = 0x0601
LOG_OFF = 0x0602
COMPLETION = 0x060F
ABORT = 0x061E
REPEAT_RECEIPT = 0x0620
REVERSAL = 0x0630
REFUND = 0x0631
END_OF_DAY = 0x0650
DIAGNOSIS = 0x0670
INITIALISATION = 0x0693
ABORT_REQUEST = 0x06B0
PRINT_LINE = 0x06D1
PRINT_TEXT_BLOCK = 0x06D3

CONFIG_ECR_PRINTS_PAYMENTS = 0x02
CONFIG_ECR_PRINTS_ADMINISTRATION = 0x04
CONFIG_INTERMEDIATE_STATUS = 0x08
CONFIG_ECR_CONTROLS_PAYMENT = 0x10
CONFIG_ECR_CONTROLS_ADMINISTRATION = 0x20
CONFIG_PRINT_LINES = 0x80
CONFIG_DEFAULT = 0xBE

CURRENCIES = {"EUR": 978, "CHF": 756, "GBP": 826, "USD": 840, "PLN": 985, "CZK": 203, "DKK": 208, "SEK": 752}
APDU_SIZE_MAX = 65535 + 5
# BMP -> bytes of data; -2 and -3 mean LLVAR and LLLVAR, -1 a TLV container.
BITMAP_SIZES = {
    **dict.fromkeys((0x01, 0x02, 0x03, 0x05, 0x19, 0x27, 0x8A, 0x8C, 0xA0, 0xD0, 0xD2, 0xD3, 0xE0, 0xE9, 0xEA), 1),
    **dict.fromkeys((0xF0, 0xF9, 0xFA, 0xFB, 0xFC, 0xFD), 1),
    **dict.fromkeys((0x0D, 0x0E, 0x17, 0x3A, 0x49, 0x87), 2),
    **dict.fromkeys((0x0B, 0x0C, 0x37, 0x3D, 0x88, 0xAA), 3),
    **dict.fromkeys((0x29, 0x70, 0x71), 4),
    **dict.fromkeys((0x72, 0x73, 0x74, 0x75), 1),
    0xBA: 5,
    0x04: 6,
    0x3B: 8,
    0xEB: 8,
    0x2A: 15,
    0x06: -1,
    **dict.fromkeys((0x22, 0x23, 0x2D, 0x8B, 0xA7, 0xD1), -2),
    **dict.fromkeys(range(0xE1, 0xE9), -2),
    **dict.fromkeys(range(0xF1, 0xF9), -2),
    **dict.fromkeys((0x24, 0x2E, 0x3C, 0x60, 0x92, 0x9A, 0xAF), -3),
}


@dataclass(frozen=True, slots=True)
class Apdu:
    """One APDU: its control field (class and instruction, 0x0601) and its data block."""

    control: int
    data: bytes = b""

    @property
    def is_ack(self) -> bool:
        """True for 80 00 and for 84 00, the older positive acknowledgement."""
        return self.control in (0x8000, 0x8400)

    @property
    def error(self) -> int | None:
        """The code of a negative acknowledgement 84 xx, or None."""
        return self.control & 0xFF if self.control >> 8 == 0x84 and self.control & 0xFF else None


def encode_apdu(control: int, data: bytes = b"") -> bytes:
    """Return control field, length and data; lengths from 255 on take three bytes, low byte first.

    >>> encode_apdu(0x8000).hex(" ")
    '80 00 00'
    """
    if len(data) > 0xFFFF or not 0 <= control <= 0xFFFF:
        raise ParseError(f"expected at most 65535 bytes of data, found {len(data)}")
    size = bytes([len(data)]) if len(data) < 0xFF else b"\xff" + len(data).to_bytes(2, "little")
    return control.to_bytes(2, "big") + size + data


def parse_apdu(data: bytes) -> Apdu:
    """Read exactly one APDU; raise ParseError if bytes are missing or left over.

    >>> parse_apdu(bytes.fromhex("06 0F 00")).control == COMPLETION
    True
    """
    found = _split_apdu(data)
    if found is None or found[1] != len(data):
        raise ParseError(f"expected one whole APDU, found {len(data)} bytes; the frame is damaged")
    return found[0]


def _split_apdu(data: bytes | bytearray) -> tuple[Apdu, int] | None:
    if len(data) < 3:
        return None
    size, start = data[2], 3
    if size == 0xFF:
        if len(data) < 5:
            return None
        size, start = int.from_bytes(data[3:5], "little"), 5
    if len(data) < start + size:
        return None
    return Apdu(int.from_bytes(data[:2], "big"), bytes(data[start : start + size])), start + size


class ApduDecoder:
    """APDUs out of a TCP stream in any chunking: over TCP they follow each other without framing.

    >>> decoder = ApduDecoder()
    >>> decoder.feed(bytes.fromhex("80 00")), decoder.feed(bytes.fromhex("00 04 FF 01 0A"))[1].data
    ([], b'\\n')
    """

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[Apdu]:
        """Take bytes; return the APDUs that are complete."""
        self._buffer += data
        found: list[Apdu] = []
        while (split := _split_apdu(self._buffer)) is not None:
            found.append(split[0])
            del self._buffer[: split[1]]
        return found

    @property
    def pending_size(self) -> int:
        """Bytes of an APDU that has begun."""
        return len(self._buffer)

    def reset(self) -> None:
        """Forget what has begun: the link was lost."""
        self._buffer.clear()


# Fields.


def encode_bcd(value: int, size: int) -> bytes:
    """Return a number as packed BCD of `size` bytes.

    >>> encode_bcd(1999, 6).hex(" ")
    '00 00 00 00 19 99'
    """
    if not 0 <= value < 100**size:
        raise ParseError(f"expected a number of at most {2 * size} digits, found {value}")
    return bytes.fromhex(f"{value:0{2 * size}d}")


def parse_bcd(data: bytes) -> int:
    """Return the number of packed BCD; raise ParseError for a nibble above 9.

    >>> parse_bcd(bytes.fromhex("00 00 00 00 19 99"))
    1999
    """
    text = data.hex()
    if not text.isdecimal():
        raise ParseError(f"expected BCD digits, found {text[:40]!r}; the frame is damaged")
    return int(text)


def encode_llvar(data: bytes, digits: int = 2) -> bytes:
    """Return data behind its length in FxFy (LLVAR, 2 digits) or FxFyFz (LLLVAR, 3 digits).

    >>> encode_llvar(b"VISA").hex(" ")
    'f0 f4 56 49 53 41'
    """
    if len(data) >= 10**digits:
        raise ParseError(f"expected at most {10**digits - 1} bytes, found {len(data)}")
    return bytes(0xF0 | int(digit) for digit in f"{len(data):0{digits}d}") + data


def encode_tlv(*objects: tuple[int, bytes]) -> bytes:
    """Return data objects one after another, without the container's own BMP and length.

    >>> encode_tlv((0x0A, b"\\x06\\xd3"), (0x1F07, b"\\x02")).hex(" ")
    '0a 02 06 d3 1f 07 01 02'
    """
    return b"".join(_encode_tag(tag) + _encode_tlv_size(len(data)) + data for tag, data in objects)


def encode_tlv_container(*objects: tuple[int, bytes]) -> bytes:
    """Return a TLV container as a BMP: 06, length, data objects."""
    body = encode_tlv(*objects)
    return b"\x06" + _encode_tlv_size(len(body)) + body


def _encode_tag(tag: int) -> bytes:
    return tag.to_bytes(1 if tag <= 0xFF else 2, "big")


def _encode_tlv_size(size: int) -> bytes:
    if size < 0x80:
        return bytes([size])
    return bytes([0x81, size]) if size <= 0xFF else b"\x82" + size.to_bytes(2, "big")


def parse_tlv(data: bytes) -> list[tuple[int, bytes]]:
    """Return (tag, data) of the data objects in a container; constructed ones stay bytes, parse them again.

    >>> parse_tlv(bytes.fromhex("25 06 07 04 54 45 53 54"))
    [(37, b'\\x07\\x04TEST')]
    """
    objects: list[tuple[int, bytes]] = []
    at = 0
    while at < len(data):
        if data[at] in (0x00, 0xFF):  # filling between data objects
            at += 1
            continue
        tag = data[at]
        at += 1
        if tag & 0x1F == 0x1F:
            while True:
                if at >= len(data) or tag > 0xFFFF:
                    raise ParseError("expected the rest of a TLV tag, found the end; the frame is damaged")
                tag = tag << 8 | data[at]
                at += 1
                if not data[at - 1] & 0x80:
                    break
        size, at = parse_tlv_size(data, at)
        if at + size > len(data):
            raise ParseError(f"expected {size} bytes in TLV {tag:X}, found {len(data) - at}; the frame is damaged")
        objects.append((tag, data[at : at + size]))
        at += size
    return objects


def parse_tlv_size(data: bytes, at: int) -> tuple[int, int]:
    """Read the size of a TLV object; returns it and where the data begin.

    >>> parse_tlv_size(bytes.fromhex("82 01 00"), 0)
    (256, 3)
    """
    first = data[at] if at < len(data) else 0xFF
    if first < 0x80:
        return first, at + 1
    width = first & 0x7F
    if width not in (1, 2) or at + 1 + width > len(data):
        raise ParseError(f"expected a TLV length of one to three bytes, found {first:02X}; the frame is damaged")
    return int.from_bytes(data[at + 1 : at + 1 + width], "big"), at + 1 + width


def parse_bitmaps(data: bytes, *, stop_at_unknown: bool = False) -> dict[int, bytes]:
    """Return BMP -> data of a data block; the data of BMP 06 is its TLV objects.

    A bitmap that is not known has no known length: it raises ParseError, or ends the reading.

    >>> {hex(bmp): value.hex() for bmp, value in parse_bitmaps(bytes.fromhex("27 00 04 00 00 00 00 19 99")).items()}
    {'0x27': '00', '0x4': '000000001999'}
    """
    found: dict[int, bytes] = {}
    at = 0
    while at < len(data):
        bmp = data[at]
        at += 1
        size = BITMAP_SIZES.get(bmp)
        if size is None and stop_at_unknown:
            break
        if size is None:
            raise ParseError(f"expected a known bitmap, found {bmp:02X}; its length is not known")
        if size == -1:
            size, at = parse_tlv_size(data, at)
        elif size < 0:
            digits = data[at : at - size]
            if len(digits) != -size or any(byte & 0x0F > 9 for byte in digits):
                raise ParseError(f"expected a length FxFy after bitmap {bmp:02X}, found {digits.hex()}")
            at -= size
            size = int("".join(str(byte & 0x0F) for byte in digits))
        if at + size > len(data):
            raise ParseError(f"expected {size} bytes in bitmap {bmp:02X}, found {len(data) - at}; the frame is damaged")
        found[bmp] = data[at : at + size]
        at += size
    return found


# Commands of the till.


def _password(password: str) -> bytes:
    if len(password) != 6 or not (password.isascii() and password.isdigit()):
        raise ParseError("expected a terminal password of six digits; it is in the terminal's papers")
    return bytes.fromhex(password)


def _amount(amount_minor: int) -> bytes:
    if amount_minor <= 0:
        raise ParseError(f"expected an amount above zero, found {amount_minor}; refunds have a command of their own")
    return b"\x04" + encode_bcd(amount_minor, 6)


def currency_code(currency: str | int) -> bytes:
    """Return the two BCD bytes of a currency, given as ISO 4217 letters or number."""
    number = CURRENCIES.get(currency, 0) if isinstance(currency, str) else currency
    if not 0 < number < 1000:
        raise ParseError(f"expected one of {', '.join(CURRENCIES)} or an ISO 4217 number, found {currency!r}")
    return encode_bcd(number, 2)


def encode_ack() -> bytes:
    """Return the acknowledgement 80 00 00."""
    return encode_apdu(ACK)


def encode_nack(error: int) -> bytes:
    """Return the negative acknowledgement 84 xx 00."""
    return encode_apdu(0x8400 | error)


def encode_registration(
    password: str = "000000",
    config: int = CONFIG_DEFAULT,
    currency: str | int | None = "EUR",
    *,
    service: int | None = None,
    print_text_block: bool = True,
) -> bytes:
    """Return 06 00: who prints, who controls, and that receipts may come as text blocks.

    >>> encode_registration().hex(" ")
    '06 00 0e 00 00 00 be 09 78 06 06 26 04 0a 02 06 d3'
    """
    data = _password(password) + bytes([config])
    if currency is not None:
        data += currency_code(currency)
        if service is not None:
            data += bytes([0x03, service])
        if print_text_block:
            data += encode_tlv_container((0x26, encode_tlv((0x0A, PRINT_TEXT_BLOCK.to_bytes(2, "big")))))
    return encode_apdu(REGISTRATION, data)


def encode_authorisation(
    amount_minor: int,
    currency: str | int | None = "EUR",
    *,
    payment_type: int | None = None,
    timeout_s: int | None = None,
    tlv: tuple[tuple[int, bytes], ...] = (),
) -> bytes:
    """Return 06 01, the payment of an amount.

    `payment_type` is BMP 19 (0x40 lets the terminal decide); `timeout_s` is BMP 01.

    >>> encode_authorisation(1999).hex(" ")
    '06 01 0a 04 00 00 00 00 19 99 49 09 78'
    """
    data = _amount(amount_minor)
    if currency is not None:
        data += b"\x49" + currency_code(currency)
    if payment_type is not None:
        data += bytes([0x19, payment_type])
    if timeout_s is not None:
        data += b"\x01" + bytes([timeout_s])
    return encode_apdu(AUTHORISATION, data + (encode_tlv_container(*tlv) if tlv else b""))


def encode_reversal(receipt_number: int, password: str = "000000", amount_minor: int | None = None) -> bytes:
    """Return 06 30, the reversal of the payment with a receipt number of this terminal.

    >>> encode_reversal(42).hex(" ")
    '06 30 06 00 00 00 87 00 42'
    """
    data = _password(password) + b"\x87" + encode_bcd(receipt_number, 2)
    return encode_apdu(REVERSAL, data + (_amount(amount_minor) if amount_minor is not None else b""))


def encode_refund(amount_minor: int, password: str = "000000", currency: str | int | None = "EUR") -> bytes:
    """Return 06 31, a refund to a card.

    >>> encode_refund(500).hex(" ")
    '06 31 0d 00 00 00 04 00 00 00 00 05 00 49 09 78'
    """
    data = _password(password) + _amount(amount_minor)
    return encode_apdu(REFUND, data + (b"\x49" + currency_code(currency) if currency is not None else b""))


def encode_end_of_day(password: str = "000000") -> bytes:
    """Return 06 50, the reconciliation with the host.

    >>> encode_end_of_day().hex(" ")
    '06 50 03 00 00 00'
    """
    return encode_apdu(END_OF_DAY, _password(password))


def encode_repeat_receipt(password: str = "000000", *, service: int | None = None) -> bytes:
    """Return 06 20: the status information and the receipt of the last transaction once more; it charges nobody.

    >>> encode_repeat_receipt().hex(" ")
    '06 20 03 00 00 00'
    """
    return encode_apdu(REPEAT_RECEIPT, _password(password) + (bytes([0x03, service]) if service is not None else b""))


def encode_diagnosis() -> bytes:
    """Return 06 70, the test of the connection to the host.

    >>> encode_diagnosis().hex(" ")
    '06 70 00'
    """
    return encode_apdu(DIAGNOSIS)


def encode_initialisation(password: str = "000000") -> bytes:
    """Return 06 93, the initialisation that a status byte may ask for."""
    return encode_apdu(INITIALISATION, _password(password))


def encode_status_enquiry(password: str | None = None) -> bytes:
    """Return 05 01, the enquiry whether the terminal is ready.

    >>> encode_status_enquiry("000000").hex(" ")
    '05 01 03 00 00 00'
    """
    return encode_apdu(STATUS_ENQUIRY, _password(password) if password is not None else b"")


def encode_log_off() -> bytes:
    """Return 06 02."""
    return encode_apdu(LOG_OFF)


def encode_abort_request() -> bytes:
    """Return 06 B0: the till asks the terminal to end what it is doing.

    >>> encode_abort_request().hex(" ")
    '06 b0 00'
    """
    return encode_apdu(ABORT_REQUEST)


# What the terminal says.


@dataclass(frozen=True, slots=True)
class StatusInformation:
    """04 0F, the outcome of a transaction. Numbers are None where the terminal left them out.

    `result` 0 means authorised. `card_bin` and `card_last_four` are all that is kept of a card number.
    """

    result: int | None
    amount_minor: int | None = None
    currency: int | None = None
    trace: int | None = None
    original_trace: int | None = None
    receipt_number: int | None = None
    turnover_number: int | None = None
    terminal_id: str | None = None
    contract: str | None = None
    date: str | None = None  # MMDD
    time: str | None = None  # HHMMSS
    payment_type: int | None = None
    card_type: int | None = None
    card_name: str | None = None
    card_bin: str | None = None
    card_last_four: str | None = None
    authorisation: str | None = None
    text: str = ""
    totals: dict[str, tuple[int, int]] = field(default_factory=dict)

    @property
    def is_authorised(self) -> bool:
        """True if the result code says that the transaction was booked."""
        return self.result == 0

    @property
    def result_text(self) -> str:
        """The result code in words."""
        return "no result code" if self.result is None else result_text(self.result)


def parse_status_information(data: bytes) -> StatusInformation:
    """Read the data block of 04 0F.

    >>> status = parse_status_information(bytes.fromhex("27 00 04 00 00 00 00 19 99 49 09 78 0B 00 01 23 87 00 42"))
    >>> status.is_authorised, status.amount_minor, status.trace, status.receipt_number
    (True, 1999, 123, 42)
    """
    # A bitmap of a later revision must not turn a booked payment into an unknown one.
    bitmaps = parse_bitmaps(data, stop_at_unknown=True)
    objects = dict(parse_tlv(bitmaps.get(0x06, b"")))
    if bitmaps.get(0x87) == b"\xff\xff":  # no receipt number
        del bitmaps[0x87]
    card_bin, last_four = truncate_card_number(bitmaps.get(0x22, b""))

    def number(bmp: int) -> int | None:
        return parse_bcd(bitmaps[bmp]) if bmp in bitmaps else None

    def digits(bmp: int) -> str | None:
        return f"{parse_bcd(bitmaps[bmp]):0{2 * len(bitmaps[bmp])}d}" if bmp in bitmaps else None

    def byte(bmp: int) -> int | None:
        return bitmaps[bmp][0] if bmp in bitmaps else None

    def text(bmp: int) -> str | None:
        return decode_text(bitmaps[bmp]) if bmp in bitmaps else None

    trace_long = objects.get(0x1F2B)
    return StatusInformation(
        result=byte(0x27),
        amount_minor=number(0x04),
        currency=number(0x49),
        trace=parse_bcd(trace_long) if trace_long else number(0x0B),
        original_trace=number(0x37),
        receipt_number=number(0x87),
        turnover_number=number(0x88),
        terminal_id=digits(0x29),
        contract=text(0x2A),
        date=digits(0x0D),
        time=digits(0x0C),
        payment_type=byte(0x19),
        card_type=byte(0x8A),
        card_name=text(0x8B),
        card_bin=card_bin,
        card_last_four=last_four,
        authorisation=text(0x3B),
        text=mask_card_numbers(text(0x3C) or ""),
        totals=parse_totals(bitmaps[0x60]) if 0x60 in bitmaps else {},
    )


_TOTALS = ("debit", "cash", "jcb", "eurocard", "amex", "visa", "diners", "other")


def parse_totals(data: bytes) -> dict[str, tuple[int, int]]:
    """Read BMP 60 of an end of day: name -> (count, amount in minor units), after the receipt numbers.

    >>> parse_totals(bytes.fromhex("00 01 00 09" + "02 00 00 00 00 19 99" + "00 00 00 00 00 00 00" * 7))["debit"]
    (2, 1999)
    """
    body = data[4:]
    if len(body) != 7 * len(_TOTALS):
        raise ParseError(f"expected {4 + 7 * len(_TOTALS)} bytes of totals, found {len(data)}; the frame is damaged")
    return {name: (body[7 * i], parse_bcd(body[7 * i + 1 : 7 * i + 7])) for i, name in enumerate(_TOTALS)}


@dataclass(frozen=True, slots=True)
class Completion:
    """06 0F: the command is done and the till may send the next one."""

    status: int | None = None
    terminal_id: str | None = None
    currency: int | None = None
    terminal_status: int | None = None
    software: str = ""

    @property
    def needs_initialisation(self) -> bool:
        """True if the status byte asks for an initialisation (06 93)."""
        return bool(self.status is not None and self.status & 1)

    @property
    def needs_diagnosis(self) -> bool:
        """True if the status byte asks for a diagnosis (06 70)."""
        return bool(self.status is not None and self.status & 2)


def parse_completion(data: bytes, *, of_enquiry: bool = False) -> Completion:
    """Read the data block of 06 0F; after a status enquiry it is F0, software version LLLVAR, terminal status.

    >>> parse_completion(bytes.fromhex("19 00 29 12 34 56 78 49 09 78")).terminal_id
    '12345678'
    >>> parse_completion(b"\\xf0\\xf0\\xf0\\xf3GER\\xdc", of_enquiry=True).terminal_status
    220
    """
    if of_enquiry and data[:1] == b"\xf0":
        digits = data[1:4]
        if len(digits) != 3 or any(byte & 0x0F > 9 for byte in digits):
            raise ParseError(f"expected the length of a software version, found {digits.hex()}")
        size = int("".join(str(byte & 0x0F) for byte in digits))
        if len(data) < 4 + size:
            raise ParseError(f"expected {size} bytes of software version, found {len(data) - 4}")
        status = data[4 + size] if len(data) > 4 + size else None
        return Completion(terminal_status=status, software=decode_text(data[4 : 4 + size]))
    if of_enquiry and len(data) == 1:
        return Completion(terminal_status=data[0])
    bitmaps = parse_bitmaps(data)
    return Completion(
        bitmaps[0x19][0] if 0x19 in bitmaps else None,
        f"{parse_bcd(bitmaps[0x29]):08d}" if 0x29 in bitmaps else None,
        parse_bcd(bitmaps[0x49]) if 0x49 in bitmaps else None,
    )


@dataclass(frozen=True, slots=True)
class AbortNotice:
    """06 1E: the terminal ended the command without doing it; `code` says why."""

    code: int
    currency: int | None = None
    receipt_number: int | None = None

    @property
    def text(self) -> str:
        """The code in words."""
        return result_text(self.code)


def parse_abort(data: bytes) -> AbortNotice:
    """Read the data block of 06 1E: a result code, perhaps a currency or bitmaps.

    >>> parse_abort(bytes([0x6C])).text
    'aborted by time-out or by key'
    """
    if not data:
        raise ParseError("expected a result code in an abort, found nothing; the frame is damaged")
    rest = data[1:]
    if len(rest) == 2:  # wrong currency: the terminal's own one follows
        return AbortNotice(data[0], parse_bcd(rest))
    bitmaps = parse_bitmaps(rest)
    receipt = parse_bcd(bitmaps[0x87]) if 0x87 in bitmaps and bitmaps[0x87] != b"\xff\xff" else None
    return AbortNotice(data[0], parse_bcd(bitmaps[0x49]) if 0x49 in bitmaps else None, receipt)


@dataclass(frozen=True, slots=True)
class IntermediateStatus:
    """04 FF: the terminal is at work; `text` is for the cashier's display."""

    code: int
    text: str
    timeout_min: int | None = None


def parse_intermediate_status(data: bytes) -> IntermediateStatus:
    """Read the data block of 04 FF: a code, perhaps a timeout in minutes, perhaps the text itself.

    >>> parse_intermediate_status(bytes([0x0A])).text
    'insert card'
    """
    if not data:
        raise ParseError("expected a status in 04 FF, found nothing; the frame is damaged")
    timeout = parse_bcd(data[1:2]) if len(data) > 1 else None
    lines: list[str] = []
    if len(data) > 2:
        for tag, value in parse_tlv(parse_bitmaps(data[2:]).get(0x06, b"")):
            if tag == 0x24:
                lines = [decode_text(line) for one, line in parse_tlv(value) if one == 0x07]
    return IntermediateStatus(data[0], mask_card_numbers(" ".join(lines)) or intermediate_text(data[0]), timeout)


@dataclass(frozen=True, slots=True)
class PrintedLines:
    """Lines of a receipt, from 06 D1 or 06 D3. `receipt` is merchant, customer, administration or None."""

    lines: tuple[str, ...]
    receipt: str | None = None
    is_last: bool = False


def parse_print_line(data: bytes) -> PrintedLines:
    """Read 06 D1: an attribute byte and the text; attribute 81 ends the receipt, FF feeds lines.

    >>> parse_print_line(b"\\x00Summe 19,99").lines
    ('Summe 19,99',)
    """
    if not data:
        raise ParseError("expected an attribute in 06 D1, found nothing; the frame is damaged")
    if data[0] == 0xFF:
        return PrintedLines(("",) * min(data[1] if len(data) > 1 else 1, 20))
    return PrintedLines((mask_card_numbers(decode_text(data[1:])),), is_last=data[0] & 0xF1 == 0x81)


def parse_print_text_block(data: bytes) -> PrintedLines:
    """Read 06 D3: text lines (tag 07) in a print-texts object (25), and whose receipt it is (1F07).

    >>> parse_print_text_block(bytes.fromhex("06 0C 1F 07 01 02 25 06 07 04 54 45 53 54"))
    PrintedLines(lines=('TEST',), receipt='customer', is_last=True)
    """
    lines: list[str] = []
    receipt = None
    for tag, value in parse_tlv(parse_bitmaps(data).get(0x06, b"")):
        if tag == 0x25:
            lines += [mask_card_numbers(decode_text(line)) for one, line in parse_tlv(value) if one == 0x07]
        elif tag == 0x1F07 and value:
            receipt = {1: "merchant", 2: "customer", 3: "administration"}.get(value[0])
    return PrintedLines(tuple(lines), receipt, True)


def decode_text(data: bytes) -> str:
    """Return text of the terminal (code page 437 unless it is told otherwise) without control characters.

    >>> decode_text(b"K\\x84se \\x00")
    'Käse'
    """
    return "".join(c for c in data.decode("cp437") if c.isprintable()).rstrip()

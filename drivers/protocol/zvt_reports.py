"""What a ZVT terminal says: outcomes, completions, aborts, texts for the cashier, lines of receipts.

No card number leaves this module: of BMP 22 remain the first six digits and the last four, tracks and chip data are
dropped while parsing, and receipt texts are searched for numbers that a terminal failed to mask.  What goes past it, as
bytes, is shown as `zvt_redact` makes it.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from ringup.drivers.protocol.card_numbers import mask_card_numbers, truncate_card_number
from ringup.drivers.protocol.errors import ParseError
from ringup.drivers.protocol.zvt_fields import decode_text, parse_bcd, parse_bitmaps, parse_tlv
from ringup.drivers.protocol.zvt_texts import intermediate_text, result_text


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

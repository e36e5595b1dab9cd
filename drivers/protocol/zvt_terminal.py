"""What a ZVT terminal sends, for simulators and tests; the till's side is in zvt_commands.py and zvt_reports.py."""

from __future__ import annotations

from collections.abc import Sequence

from ringup.drivers.protocol import zvt, zvt_fields
from ringup.drivers.protocol.errors import ParseError


def encode_status_information(
    result: int,
    amount_minor: int | None = None,
    *,
    currency: str | int = "EUR",
    trace: int | None = None,
    receipt_number: int | None = None,
    terminal_id: str | None = None,
    date: str | None = None,
    time: str | None = None,
    card_number: str | None = None,
    card_type: int | None = None,
    card_name: str | None = None,
    totals: Sequence[tuple[int, int]] | None = None,
    text: str | None = None,
) -> bytes:
    """Return 04 0F. `card_number` is digits, with E for masked ones; `date` MMDD, `time` HHMMSS.

    >>> encode_status_information(0, 1999, trace=123, receipt_number=42).hex(" ")
    '04 0f 13 27 00 04 00 00 00 00 19 99 49 09 78 0b 00 01 23 87 00 42'
    """
    data = bytes([0x27, result])
    if amount_minor is not None:
        data += b"\x04" + zvt_fields.encode_bcd(amount_minor, 6) + b"\x49" + zvt_fields.currency_code(currency)
    if trace is not None:
        data += b"\x0b" + zvt_fields.encode_bcd(trace, 3)
    if time is not None:
        data += b"\x0c" + zvt_fields.encode_bcd(int(time), 3)
    if date is not None:
        data += b"\x0d" + zvt_fields.encode_bcd(int(date), 2)
    if terminal_id is not None:
        data += b"\x29" + zvt_fields.encode_bcd(int(terminal_id), 4)
    if receipt_number is not None:
        data += b"\x87" + zvt_fields.encode_bcd(receipt_number, 2)
    if card_number is not None:
        padded = card_number + "F" * (len(card_number) % 2)
        data += b"\x22" + zvt_fields.encode_llvar(bytes.fromhex(padded))
    if card_type is not None:
        data += bytes([0x8A, card_type])
    if card_name is not None:
        data += b"\x8b" + zvt_fields.encode_llvar(card_name.encode("cp437") + b"\0")
    if text is not None:
        data += b"\x3c" + zvt_fields.encode_llvar(text.encode("cp437"), 3)
    if totals is not None:
        if len(totals) != 8:
            raise ParseError(f"expected totals of eight kinds of card, found {len(totals)}")
        body = b"\x00\x01\x00\x09" + b"".join(bytes([count]) + zvt_fields.encode_bcd(sum_, 6) for count, sum_ in totals)
        data += b"\x60" + zvt_fields.encode_llvar(body, 3)
    return zvt.encode_apdu(zvt.STATUS_INFORMATION, data)


def encode_completion(status: int | None = None, terminal_id: str | None = None) -> bytes:
    """Return 06 0F, the end of a command that was done.

    >>> encode_completion(0, "12345678").hex(" ")
    '06 0f 0a 19 00 29 12 34 56 78 49 09 78'
    """
    data = bytes([0x19, status]) if status is not None else b""
    if terminal_id is not None:
        data += b"\x29" + zvt_fields.encode_bcd(int(terminal_id), 4) + b"\x49" + zvt_fields.currency_code("EUR")
    return zvt.encode_apdu(zvt.COMPLETION, data)


def encode_enquiry_completion(terminal_status: int, software: str = "RINGUP") -> bytes:
    """Return 06 0F as the answer to a status enquiry."""
    version = zvt_fields.encode_llvar(software.encode("ascii"), 3)
    return zvt.encode_apdu(zvt.COMPLETION, b"\xf0" + version + bytes([terminal_status]))


def encode_abort(code: int) -> bytes:
    """Return 06 1E, the end of a command that was not done.

    >>> encode_abort(0x6C).hex(" ")
    '06 1e 01 6c'
    """
    return zvt.encode_apdu(zvt.ABORT, bytes([code]))


def encode_intermediate_status(code: int) -> bytes:
    """Return 04 FF.

    >>> encode_intermediate_status(0x0A).hex(" ")
    '04 ff 01 0a'
    """
    return zvt.encode_apdu(zvt.INTERMEDIATE_STATUS, bytes([code]))


def encode_print_line(text: str, *, is_last: bool = False) -> bytes:
    """Return 06 D1, one line of a receipt.

    >>> encode_print_line("Summe").hex(" ")
    '06 d1 06 00 53 75 6d 6d 65'
    """
    return zvt.encode_apdu(zvt.PRINT_LINE, bytes([0x81 if is_last else 0x00]) + text.encode("cp437", errors="replace"))


def encode_print_text_block(lines: Sequence[str], receipt: str = "customer") -> bytes:
    """Return 06 D3, a whole receipt.

    >>> encode_print_text_block(["TEST"]).hex(" ")
    '06 d3 0e 06 0c 1f 07 01 02 25 06 07 04 54 45 53 54'
    """
    kinds = {"merchant": 1, "customer": 2, "administration": 3}
    if receipt not in kinds:
        raise ParseError(f"expected one of {', '.join(kinds)}, found {receipt!r}")
    texts = zvt_fields.encode_tlv(*((0x07, line.encode("cp437", errors="replace")) for line in lines))
    container = zvt_fields.encode_tlv_container((0x1F07, bytes([kinds[receipt]])), (0x25, texts))
    return zvt.encode_apdu(zvt.PRINT_TEXT_BLOCK, container)

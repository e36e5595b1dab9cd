"""The commands of the till (ECR) in ZVT. Amounts are minor units.

Source: ECR-Interface ZVT-Protocol PA00P015.
"""

from __future__ import annotations

from ringup.drivers.protocol.errors import ParseError
from ringup.drivers.protocol.zvt import (
    ABORT_REQUEST,
    AUTHORISATION,
    DIAGNOSIS,
    END_OF_DAY,
    INITIALISATION,
    LOG_OFF,
    PRINT_TEXT_BLOCK,
    REFUND,
    REGISTRATION,
    REPEAT_RECEIPT,
    REVERSAL,
    STATUS_ENQUIRY,
    encode_apdu,
)
from ringup.drivers.protocol.zvt_fields import currency_code, encode_bcd, encode_tlv, encode_tlv_container

CONFIG_ECR_PRINTS_PAYMENTS = 0x02
CONFIG_ECR_PRINTS_ADMINISTRATION = 0x04
CONFIG_INTERMEDIATE_STATUS = 0x08
CONFIG_ECR_CONTROLS_PAYMENT = 0x10
CONFIG_ECR_CONTROLS_ADMINISTRATION = 0x20
CONFIG_PRINT_LINES = 0x80
CONFIG_DEFAULT = 0xBE


def _password(password: str) -> bytes:
    if len(password) != 6 or not (password.isascii() and password.isdigit()):
        raise ParseError("expected a terminal password of six digits; it is in the terminal's papers")
    return bytes.fromhex(password)


def _amount(amount_minor: int) -> bytes:
    if amount_minor <= 0:
        raise ParseError(f"expected an amount above zero, found {amount_minor}; refunds have a command of their own")
    return b"\x04" + encode_bcd(amount_minor, 6)


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

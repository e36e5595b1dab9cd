"""The receipt as a document: what was sold, taxed and paid; nothing about paper.

Money is in minor units (`_minor`), quantity in thousandths (`_milli`), tax rates in millionths
(`rate_ppm`, 19 % is 190_000).  Everything is worked out before: a receipt computes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Discount:
    """A reduction; `amount_minor` is negative for money off."""

    name: str
    amount_minor: int


@dataclass(frozen=True, slots=True)
class Line:
    """One sold or returned item.  `amount_minor` is after the line's own `discounts`.

    `price_minor` is per `price_base_milli` of `unit` (1.99 per 100 g: 199 per 100 with unit "g").
    """

    name: str
    amount_minor: int
    qty_milli: int = 1000
    price_minor: int | None = None
    price_base_milli: int = 1000
    unit: str = ""
    tax_code: str = ""
    item_number: str = ""
    discounts: tuple[Discount, ...] = ()
    notes: tuple[str, ...] = ()
    is_return: bool = False


@dataclass(frozen=True, slots=True)
class TaxRow:
    """One rate of the tax table."""

    code: str
    rate_ppm: int
    net_minor: int
    tax_minor: int
    gross_minor: int
    name: str = ""


@dataclass(frozen=True, slots=True)
class Tender:
    """One payment.  `details` are lines of the payment terminal; never a card number beyond its last four."""

    name: str
    amount_minor: int
    details: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Store:
    name: str
    address: tuple[str, ...] = ()
    phone: str = ""
    tax_id: str = ""


@dataclass(frozen=True, slots=True)
class Receipt:
    """One receipt.  `at` is local time as it is to be printed.

    `barcode` is printed as Code 128, `qr` as it stands, `logo_png` at the top.  `copy_number` 0 is the
    original; from 1 on the copy mark is printed.
    """

    number: str
    store: Store
    lines: tuple[Line, ...]
    total_minor: int
    at: str = ""
    till: str = ""
    cashier: str = ""
    currency: str = "EUR"
    currency_digits: int = 2
    header: tuple[str, ...] = ()
    discounts: tuple[Discount, ...] = ()
    taxes: tuple[TaxRow, ...] = ()
    tenders: tuple[Tender, ...] = ()
    change_minor: int = 0
    rounding_minor: int = 0
    barcode: str = ""
    qr: str = ""
    logo_png: bytes = b""
    footer: tuple[str, ...] = ()
    copy_number: int = 0
    is_training: bool = False
    customer: str = ""

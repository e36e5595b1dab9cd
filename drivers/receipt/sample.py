"""One receipt that shows everything: for `ringup devices test`, training and the documentation."""

from __future__ import annotations

from ringup.drivers.receipt.document import Discount, Line, Receipt, Store, TaxRow, Tender


def sample_receipt(number: str = "000042", *, at: str = "") -> Receipt:
    """A sale of five lines, two tax rates, two tenders; 20.00 in total, and the sums agree."""
    return Receipt(
        number=number,
        store=Store("RingUp", ("1 Market Street", "12345 Springfield"), "555 0100", "DE123456789"),
        at=at,
        till="T1",
        cashier="Ada",
        header=("Welcome",),
        lines=(
            Line("Café crème 250 g", 599, price_minor=599, tax_code="A", item_number="4006381333931"),
            Line("Organic oat milk barista edition 1 l", 597, 3000, 199, tax_code="A"),
            Line("Tomatoes", 120, 345, 349, unit="kg", tax_code="A"),
            Line(
                "T-shirt €-Edition",
                799,
                price_minor=999,
                tax_code="B",
                discounts=(Discount("Summer sale -20%", -200),),
            ),
            Line("Bottle deposit", -15, price_minor=-15, tax_code="B", is_return=True),
        ),
        discounts=(Discount("Coupon 1.00 off", -100),),
        total_minor=2000,
        taxes=(TaxRow("A", 70_000, 1168, 82, 1250), TaxRow("B", 190_000, 630, 120, 750)),
        tenders=(Tender("Card", 1000, ("VISA ****1234", "Auth 008123")), Tender("Cash", 1500)),
        change_minor=500,
        barcode=f"R{number}",
        qr=f"https://ringup.example/r/{number}",
        footer=("Thank you!", "Returns within 30 days"),
    )

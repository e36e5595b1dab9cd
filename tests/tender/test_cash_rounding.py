"""Cash and coins: the modes, against the oracle of payments; a sale settles as `ringup simulate` says."""

from __future__ import annotations

import importlib
import random
import sys
from fractions import Fraction
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from ringup.engine.simulate_extras import settle
from ringup.v1 import admin_pb2, promotion_pb2, result_pb2, sale_pb2
from support.core import card, cash, line, small_shop

ORACLE = Path(__file__).resolve().parents[1] / "oracle"
MODES = ("half_up", "half_down", "half_even", "up", "down")


@pytest.fixture(scope="module")
def oracle() -> ModuleType:
    """The oracle's payments; its modules import each other by their bare names."""
    sys.path.insert(0, str(ORACLE))
    try:
        return importlib.import_module("pricing_pay")
    finally:
        sys.path.remove(str(ORACLE))


def test_payments_settle_as_in_the_oracle(oracle: ModuleType) -> None:
    rng = random.Random(1)
    for _ in range(2000):
        payments: list[dict[str, Any]] = [
            {"method": rng.choice(("cash", "card"))}
            | ({"amount_minor": rng.randrange(-300, 900)} if rng.random() < 0.5 else {})
            | ({"tendered_minor": rng.randrange(0, 2000)} if rng.random() < 0.4 else {})
            for _ in range(rng.randrange(1, 4))
        ]
        tender: dict[str, Any] = {
            "payments": payments,
            "gift_cards": [{"balance_minor": rng.randrange(0, 500)} for _ in range(rng.randrange(3))],
        }
        if rng.random() < 0.8:
            tender["cash_rounding"] = {"increment_minor": rng.choice((1, 5, 10, 100)), "mode": rng.choice(MODES)}
        total = rng.randrange(-1500, 1500)
        expected = oracle.settle(total, tender)
        assert {key: settle(total, tender)[key] for key in expected} == expected, (total, tender)


def _put_rounding(shop: Any, increment_minor: int, mode: int) -> str:
    settings = admin_pb2.Settings(currency="EUR", cash_increment_minor=increment_minor, cash_rounding=mode)  # type: ignore[arg-type]
    answer = shop.send(admin_pb2.PutSettingsRequest(settings=settings))
    return result_pb2.ResultCode.Name(answer.code).removeprefix("RESULT_CODE_")


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("increment", [5, 10, 50])
def test_a_sale_and_its_return_are_rounded_by_the_mode(mode: str, increment: int) -> None:
    shop = small_shop()
    assert _put_rounding(shop, increment, promotion_pb2.RoundingMode.Value(f"ROUNDING_MODE_{mode.upper()}")) == "OK"
    shown = shop.ask("GetSettings", admin_pb2.GetSettingsRequest(), admin_pb2.GetSettingsResponse)
    assert promotion_pb2.RoundingMode.Name(shown.settings.cash_rounding) == f"ROUNDING_MODE_{mode.upper()}"
    for paid_by_card in (0, 4, 5, 14, 21):
        tenders = [cash(1000), *([card(paid_by_card)] if paid_by_card else [])]
        receipt = shop.send(sale_pb2.SellRequest(till_id="T1", lines=[line("milk")], tenders=tenders)).receipt
        expected = settle(
            119,
            {
                "payments": [
                    {"method": "card", "amount_minor": paid_by_card},
                    {"method": "cash", "tendered_minor": 1000},
                ],
                "cash_rounding": {"increment_minor": increment, "mode": mode},
            },
        )
        assert (receipt.cash_rounding_minor, receipt.change_minor) == (
            expected["cash_rounding_minor"],
            expected["change_minor"],
        )
        back = sale_pb2.ReturnLinesRequest(
            till_id="T1", sale_id=receipt.sale_id, lines=[sale_pb2.ReturnLine(qty_milli=1000)]
        )
        refund = shop.send(back).receipt
        mirrored = settle(-119, {"cash_rounding": {"increment_minor": increment, "mode": mode}})
        assert refund.tenders[0].amount_minor == -mirrored["due_minor"]
        assert Fraction(refund.tenders[0].amount_minor, increment).denominator == 1


def test_rounding_that_treats_a_return_unlike_its_sale_is_refused() -> None:
    shop = small_shop()
    for mode in (promotion_pb2.ROUNDING_MODE_CEILING, promotion_pb2.ROUNDING_MODE_FLOOR, 99, -1):
        assert _put_rounding(shop, 5, mode) == "FIELD_INVALID"

"""Gift cards: the ladders of their commands, what sales and returns move, and that nothing is lost on the way."""

from __future__ import annotations

import random
from typing import Any

import pytest

from ringup.v1 import gift_card_pb2 as pb
from ringup.v1 import result_pb2, sale_pb2
from support.core import CoreHarness, card, cash, line, small_shop

MOST = 10**15


def _code(answer: Any) -> str:
    return result_pb2.ResultCode.Name(answer.code).removeprefix("RESULT_CODE_")


def gift(card_id: str, amount_minor: int) -> sale_pb2.Tender:
    return sale_pb2.Tender(method=sale_pb2.TENDER_METHOD_GIFT_CARD, amount_minor=amount_minor, reference=card_id)


def new(card_id: str, amount_minor: int = 0) -> pb.NewGiftCard:
    return pb.NewGiftCard(gift_card_id=card_id, amount_minor=amount_minor)


def read(shop: CoreHarness, card_id: str) -> Any:
    answer = shop.ask("GetGiftCard", pb.GetGiftCardRequest(gift_card_id=card_id), pb.GetGiftCardResponse)
    assert _code(answer) == "OK"
    return answer.gift_card


@pytest.fixture
def shop() -> CoreHarness:
    """The small shop with the cards "ten" (10.00), "five" (5.00) and "lost" (5.00, blocked)."""
    shop = small_shop()
    cards = [new("ten", 1000), new("five", 500), new("lost", 500)]
    assert _code(shop.send(pb.IssueGiftCardsRequest(gift_cards=cards))) == "OK"
    assert _code(shop.send(pb.BlockGiftCardRequest(gift_card_id="lost"))) == "OK"
    return shop


def test_the_ladder_of_issue(shop: CoreHarness) -> None:
    rows: list[tuple[str, str, list[pb.NewGiftCard]]] = [
        ("TOO_MANY", "gift_cards", [new("", -1)] * 10_001),
        ("LINES_EMPTY", "gift_cards", []),
        ("FIELD_INVALID", "gift_cards.gift_card_id", [new("a"), new("x" * 65, -1)]),
        ("AMOUNT_INVALID", "gift_cards.amount_minor", [new("a"), new("ten", -1)]),
        ("AMOUNT_TOO_LARGE", "gift_cards.amount_minor", [new("a"), new("ten", MOST + 1)]),
        ("GIFT_CARD_TAKEN", "gift_cards.gift_card_id", [new("a"), new("ten", MOST)]),
        ("GIFT_CARD_TAKEN", "gift_cards.gift_card_id", [new("a"), new("a", MOST)]),
    ]
    before = shop.core.row_counts()
    for expected, field, cards in rows:
        answer = shop.send(pb.IssueGiftCardsRequest(gift_cards=cards))
        assert (_code(answer), answer.problem.field) == (expected, field)
        assert answer.problem.index == (1 if "." in field else 0)
    assert shop.core.row_counts()["gift_cards"] == before["gift_cards"] == 3
    assert _code(shop.send(pb.IssueGiftCardsRequest(gift_cards=[new("a"), new("b", MOST)]))) == "OK"
    assert (read(shop, "a").balance_minor, read(shop, "b").balance_minor) == (0, MOST)


def test_the_ladder_of_top_up(shop: CoreHarness) -> None:
    fields: dict[str, Any] = {"gift_card_id": "", "amount_minor": 0, "reason": "x" * 201}
    for expected, mended in (
        ("FIELD_INVALID", {"gift_card_id": "none"}),
        ("FIELD_INVALID", {"reason": "birthday"}),
        ("AMOUNT_INVALID", {"amount_minor": MOST + 1}),
        ("AMOUNT_TOO_LARGE", {"amount_minor": MOST}),
        ("GIFT_CARD_UNKNOWN", {"gift_card_id": "ten"}),
        ("AMOUNT_TOO_LARGE", {"amount_minor": 250}),
    ):
        assert _code(shop.send(pb.TopUpGiftCardRequest(**fields))) == expected
        assert read(shop, "ten").balance_minor == 1000
        fields |= mended
    assert shop.send(pb.TopUpGiftCardRequest(**fields)).balance_minor == 1250


def test_the_ladder_of_block(shop: CoreHarness) -> None:
    fields: dict[str, Any] = {"gift_card_id": "", "reason": "x" * 201}
    for expected, mended in (
        ("FIELD_INVALID", {"gift_card_id": "none"}),
        ("FIELD_INVALID", {"reason": "stolen"}),
        ("GIFT_CARD_UNKNOWN", {"gift_card_id": "ten"}),
    ):
        assert _code(shop.send(pb.BlockGiftCardRequest(**fields))) == expected
        fields |= mended
    assert not read(shop, "ten").blocked
    assert _code(shop.send(pb.BlockGiftCardRequest(**fields))) == "OK"
    assert read(shop, "ten").blocked
    assert _code(shop.send(pb.BlockGiftCardRequest(**fields, unblock=True))) == "OK"
    assert not read(shop, "ten").blocked


def test_a_card_that_nobody_has_is_unknown(shop: CoreHarness) -> None:
    answer = shop.ask("GetGiftCard", pb.GetGiftCardRequest(gift_card_id="none"), pb.GetGiftCardResponse)
    assert (_code(answer), answer.problem.subject) == ("GIFT_CARD_UNKNOWN", "none")


def test_the_ladder_of_a_sale_with_gift_cards(shop: CoreHarness) -> None:
    """Ten milk cost 11.90; "ten" stands twice among the tenders and is asked for more than it has."""
    tenders = [gift("none", 600), gift("lost", 600), gift("ten", 600), gift("ten", 500), cash(100)]
    ladder: list[tuple[str, int, list[sale_pb2.Tender]]] = [
        ("GIFT_CARD_UNKNOWN", 0, tenders),
        ("GIFT_CARD_BLOCKED", 0, tenders[1:]),
        ("TENDER_EXCEEDED", 0, [*tenders[2:], gift("five", 91)]),
        ("TENDER_SHORT", 0, [gift("ten", 600), gift("ten", 500), cash(89)]),
        ("GIFT_CARD_SHORT", 1, [gift("ten", 600), gift("ten", 500), cash(90)]),
    ]
    for expected, index, given in ladder:
        answer = shop.send(sale_pb2.SellRequest(till_id="T1", lines=[line("milk", 10)], tenders=given))
        assert (_code(answer), answer.problem.index) == (expected, index)
        assert read(shop, "ten").balance_minor == 1000
    assert (answer.problem.subject, answer.problem.found, answer.problem.limit) == ("ten", 1000, 1100)
    given = [gift("ten", 600), gift("ten", 400), cash(200)]
    answer = shop.send(sale_pb2.SellRequest(till_id="T1", lines=[line("milk", 10)], tenders=given))
    assert (_code(answer), answer.receipt.change_minor, answer.receipt.basket.discount_minor) == ("OK", 10, 0)
    assert (read(shop, "ten").balance_minor, read(shop, "ten").spent_minor) == (0, 1000)


def test_only_what_the_gift_card_leaves_is_rounded_in_cash() -> None:
    shop = small_shop(cash_increment_minor=5)
    shop.send(pb.IssueGiftCardsRequest(gift_cards=[new("g", 51)]))
    request = sale_pb2.SellRequest(till_id="T1", lines=[line("milk")], tenders=[gift("g", 51), cash(100)])
    receipt = shop.send(request).receipt
    assert (receipt.cash_rounding_minor, receipt.change_minor) == (2, 30)  # 0.68 becomes 0.70


def test_a_refund_goes_to_the_card_that_is_named(shop: CoreHarness) -> None:
    sale = shop.send(sale_pb2.SellRequest(till_id="T1", lines=[line("milk", 2)], tenders=[card(238)]))
    fields: dict[str, Any] = {
        "till_id": "T1",
        "sale_id": sale.receipt.sale_id,
        "lines": [sale_pb2.ReturnLine(qty_milli=1000)],
        "refund_method": sale_pb2.TENDER_METHOD_GIFT_CARD,
    }
    assert _code(shop.send(sale_pb2.ReturnLinesRequest(**fields, refund_reference="x" * 65))) == "FIELD_INVALID"
    assert _code(shop.send(sale_pb2.ReturnLinesRequest(**fields, refund_reference="none"))) == "GIFT_CARD_UNKNOWN"
    answer = shop.send(sale_pb2.ReturnLinesRequest(**fields, refund_reference="five"))
    assert (_code(answer), answer.receipt.tenders[0].reference) == ("OK", "five")
    found = read(shop, "five")
    assert (found.balance_minor, found.loaded_minor, found.spent_minor, found.refunded_minor) == (619, 500, 0, 119)
    shop.send(pb.IssueGiftCardsRequest(gift_cards=[new("full", MOST)]))
    assert _code(shop.send(sale_pb2.ReturnLinesRequest(**fields, refund_reference="full"))) == "AMOUNT_TOO_LARGE"


@pytest.mark.parametrize("seed", range(20))
def test_the_balance_is_the_sum_of_its_movements(seed: int) -> None:
    """Random issues, top-ups, sales and returns beside a plain ledger; no balance is below zero."""
    rng = random.Random(seed)
    shop = small_shop(pieces=10_000)
    ledger: dict[str, int] = {}
    sold: list[tuple[bytes, int]] = []
    for number in range(60):
        kind, card_id = rng.randrange(4), rng.choice("abcd")
        amount = rng.randrange(1, 400)
        answer: Any = None
        if kind == 0:
            answer = shop.send(pb.IssueGiftCardsRequest(gift_cards=[new(card_id, amount)]))
            assert (_code(answer) == "OK") == (card_id not in ledger)
            ledger.setdefault(card_id, amount)
        elif kind == 1:
            answer = shop.send(pb.TopUpGiftCardRequest(gift_card_id=card_id, amount_minor=amount))
            assert (_code(answer) == "OK") == (card_id in ledger)
            if card_id in ledger:
                ledger[card_id] += amount
        elif kind == 2:
            pieces = rng.randrange(1, 4)
            part = min(amount, pieces * 119)
            tenders = [gift(card_id, part), *([card(pieces * 119 - part)] if part < pieces * 119 else [])]
            answer = shop.send(sale_pb2.SellRequest(till_id="T1", lines=[line("milk", pieces)], tenders=tenders))
            assert (_code(answer) == "OK") == (ledger.get(card_id, -1) >= part), number
            if _code(answer) == "OK":
                ledger[card_id] -= part
                sold.append((answer.receipt.sale_id, pieces))
        elif sold:
            sale_id, pieces = sold.pop(rng.randrange(len(sold)))
            answer = shop.send(
                sale_pb2.ReturnLinesRequest(
                    till_id="T1",
                    sale_id=sale_id,
                    lines=[sale_pb2.ReturnLine(qty_milli=pieces * 1000)],
                    refund_method=sale_pb2.TENDER_METHOD_GIFT_CARD,
                    refund_reference=card_id,
                )
            )
            assert (_code(answer) == "OK") == (card_id in ledger)
            if card_id in ledger:
                ledger[card_id] += pieces * 119
        for name, balance in ledger.items():
            found = read(shop, name)
            assert found.balance_minor == balance >= 0
            assert balance == found.loaded_minor + found.refunded_minor - found.spent_minor
    assert shop.refold().digest() == shop.core.digest()

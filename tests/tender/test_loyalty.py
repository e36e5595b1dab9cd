"""Points: the ladders of their commands, what sales and returns move, and the sums that must hold."""

from __future__ import annotations

import importlib
import itertools
import json
import random
import sys
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from ringup.engine.simulate_pricing import Answer
from ringup.native.money import first_share
from ringup.v1 import catalog_pb2, pricing_pb2, promotion_pb2, result_pb2, sale_pb2, stock_pb2
from ringup.v1 import loyalty_pb2 as pb
from support.core import CoreHarness, card, line, small_shop

ORACLE = Path(__file__).resolve().parents[1] / "oracle"
POINT = 10**6
MOST = 10**18


def _code(answer: Any) -> str:
    return result_pb2.ResultCode.Name(answer.code).removeprefix("RESULT_CODE_")


def program(**fields: Any) -> pb.LoyaltyProgram:
    """One point for a euro; 100 points take 5.00 off."""
    given = {
        "earn_basis": pb.EARN_BASIS_CURRENCY_UNIT,
        "earn_points_micro": POINT,
        "burn_points": 100,
        "value_minor_per_point": 5,
    }
    return pb.LoyaltyProgram(**given | fields)


def shop_with(rules: pb.LoyaltyProgram, **balances: int) -> CoreHarness:
    shop = small_shop(pieces=10_000)
    assert _code(shop.send(pb.PutLoyaltyProgramRequest(program=rules))) == "OK"
    for customer, points in balances.items():
        request = pb.AdjustPointsRequest(customer_id=customer, points_micro=points * POINT, reason="carried over")
        assert _code(shop.send(request)) == "OK"
    return shop


def customer(shop: CoreHarness, customer_id: str) -> Any:
    answer = shop.ask("GetCustomer", pb.GetCustomerRequest(customer_id=customer_id), pb.GetCustomerResponse)
    assert _code(answer) == "OK"
    found = answer.customer
    assert found.points_micro == found.earned_micro + found.adjusted_micro - found.burned_micro
    return found


def sell(shop: CoreHarness, due_minor: int, *lines: pricing_pb2.BasketLine, **fields: Any) -> Any:
    tenders = [card(due_minor)] if due_minor else []
    request = sale_pb2.SellRequest(till_id="T1", customer_id="ann", lines=lines, tenders=tenders, **fields)
    answer = shop.send(request)
    assert _code(answer) == "OK", answer
    return answer.receipt


def on_hand(shop: CoreHarness, item_id: str) -> int:
    request = stock_pb2.GetAvailabilityRequest(item_ids=[item_id], location_id="S1")
    return int(shop.ask("GetAvailability", request, stock_pb2.GetAvailabilityResponse).positions[0].on_hand_milli)


def back(shop: CoreHarness, sale_id: bytes, *lines: tuple[int, int]) -> Any:
    request = sale_pb2.ReturnLinesRequest(
        till_id="T1", sale_id=sale_id, lines=[sale_pb2.ReturnLine(line=at, qty_milli=qty) for at, qty in lines]
    )
    answer = shop.send(request)
    assert _code(answer) == "OK", answer
    return answer.receipt


def test_the_ladder_of_the_program() -> None:
    shop = small_shop()
    fields: dict[str, Any] = {
        "item_ids": ["x" * 65],
        "categories": [""],
        "earn_basis": 9,
        "reward_item_id": "x" * 65,
        "reward_qty": -1,
        "earn_points_micro": -1,
        "burn_points": -1,
        "value_minor_per_point": 10**15,
    }
    ladder: list[tuple[str, str, dict[str, Any]]] = [
        ("FIELD_INVALID", "program.item_ids", {"item_ids": [f"i{n}" for n in range(4001)]}),
        ("TOO_MANY", "program", {"item_ids": ["milk"]}),
        ("FIELD_INVALID", "program.categories", {"categories": ["dairy"]}),
        ("FIELD_INVALID", "program.earn_basis", {"earn_basis": pb.EARN_BASIS_UNIT}),
        ("FIELD_INVALID", "program.reward_item_id", {"reward_item_id": "none"}),
        ("FIELD_INVALID", "program.reward_item_id", {"value_minor_per_point": 0}),
        ("QTY_INVALID", "program.reward_qty", {"reward_qty": 0}),
        ("QTY_INVALID", "program.reward_qty", {"reward_qty": 1}),
        ("AMOUNT_INVALID", "program.earn_points_micro", {"earn_points_micro": 10**15 + 1}),
        ("AMOUNT_INVALID", "program.burn_points", {"burn_points": 10**12 + 1}),
        ("AMOUNT_TOO_LARGE", "program.earn_points_micro", {"earn_points_micro": POINT}),
        ("AMOUNT_TOO_LARGE", "program.burn_points", {"burn_points": 10**12}),
        ("ITEM_UNKNOWN", "program.reward_item_id", {"reward_item_id": "wrap"}),
    ]
    for expected, field, mended in ladder:
        answer = shop.send(pb.PutLoyaltyProgramRequest(program=pb.LoyaltyProgram(**fields)))
        assert (_code(answer), answer.problem.field) == (expected, field)
        fields |= mended
    assert _code(shop.send(pb.PutLoyaltyProgramRequest(program=pb.LoyaltyProgram(**fields)))) == "OK"
    read = shop.ask("GetLoyaltyProgram", pb.GetLoyaltyProgramRequest(), pb.GetLoyaltyProgramResponse)
    assert read.program == pb.LoyaltyProgram(**fields)

    too_dear = program(burn_points=10**9, value_minor_per_point=10**7)
    answer = shop.send(pb.PutLoyaltyProgramRequest(program=too_dear))
    assert (_code(answer), answer.problem.field) == ("AMOUNT_TOO_LARGE", "program.value_minor_per_point")


def test_an_item_named_thousands_of_times_is_one() -> None:
    """A name for each repetition once filled one segment of the index with a single hash, and memory with splits."""
    shop = small_shop()
    named = pb.LoyaltyProgram(item_ids=["i"] * 4001 + ["milk"], earn_basis=pb.EARN_BASIS_UNIT, earn_points_micro=POINT)
    assert _code(shop.send(pb.PutLoyaltyProgramRequest(program=named))) == "OK"
    assert sell(shop, 119, line("milk", 1)).basket.points.earned_micro == POINT


def test_the_ladder_of_points_by_hand() -> None:
    shop = shop_with(program(), ann=5)
    fields: dict[str, Any] = {"customer_id": "", "reason": "x" * 201, "points_micro": 0}
    for expected, mended in (
        ("FIELD_INVALID", {"customer_id": "ann"}),
        ("FIELD_INVALID", {"reason": ""}),
        ("AMOUNT_INVALID", {"points_micro": -MOST - 1}),
        ("AMOUNT_TOO_LARGE", {"points_micro": MOST - 5 * POINT + 1}),
        ("AMOUNT_TOO_LARGE", {"points_micro": -5 * POINT - 1}),
        ("REASON_MISSING", {"reason": "a mistake"}),
        ("POINTS_SHORT", {"points_micro": -5 * POINT}),
    ):
        assert _code(shop.send(pb.AdjustPointsRequest(**fields))) == expected
        assert customer(shop, "ann").points_micro == 5 * POINT
        fields |= mended
    assert _code(shop.send(pb.AdjustPointsRequest(**fields))) == "OK"
    assert customer(shop, "ann").points_micro == 0


def test_nobody_has_no_points() -> None:
    shop = shop_with(program())
    answer = shop.ask("GetCustomer", pb.GetCustomerRequest(customer_id="ann"), pb.GetCustomerResponse)
    assert (_code(answer), answer.problem.subject) == ("CUSTOMER_UNKNOWN", "ann")
    request = sale_pb2.SellRequest(till_id="T1", lines=[line("milk")], tenders=[card(119)], redeem=True)
    answer = shop.send(request)
    assert (_code(answer), answer.problem.field) == ("FIELD_INVALID", "redeem")
    request.redeem = False
    assert not shop.send(request).receipt.basket.HasField("points")
    assert shop.core.row_counts()["customers"] == 0


def test_a_sale_earns_burns_and_says_so() -> None:
    """Five lamps cost 50.00 and 8 % tax; 100 points take 5.00 off before the tax and earn nothing themselves."""
    shop = shop_with(program(), ann=150)
    quote = pricing_pb2.PriceBasketRequest(location_id="S1", customer_id="ann", lines=[line("lamp", 5)], redeem=True)
    quoted = shop.ask("PriceBasket", quote, pricing_pb2.PriceBasketResponse).basket
    basket = sell(shop, 4860, line("lamp", 5), redeem=True).basket
    assert basket == quoted
    points = basket.points
    assert (points.earned_micro, points.burned_micro) == (45 * POINT, 100 * POINT)
    assert (points.balance_micro, points.redeemed_minor, basket.discount_minor) == (95 * POINT, 500, 500)
    discount = basket.lines[0].discounts[0]
    assert (discount.reason, discount.points, discount.amount_minor) == ("points", True, 500)
    assert customer(shop, "ann").points_micro == 95 * POINT
    poor = sell(shop, 1080, line("lamp"), redeem=True).basket.points  # 95 points do not suffice
    assert (poor.earned_micro, poor.burned_micro, poor.balance_micro) == (10 * POINT, 0, 105 * POINT)


def test_no_more_is_burned_than_the_goods_are_worth() -> None:
    shop = shop_with(program(earn_before_redemption=True), ann=100)
    points = sell(shop, 0, line("wrap", 1), redeem=True).basket.points
    assert (points.redeemed_minor, points.burned_micro, points.earned_micro) == (100, 20 * POINT, POINT)


def test_points_buy_a_reward_that_leaves_stock_and_comes_back_with_them() -> None:
    """The reward was only listed: its units stayed in the book after they had left the shop."""
    rules = program(value_minor_per_point=0, reward_item_id="bread", reward_qty=2)
    shop = shop_with(rules, ann=200)
    before = on_hand(shop, "bread")
    receipt = sell(shop, 1080, line("lamp"), redeem=True)
    gift, row = receipt.basket.free_items[0], receipt.basket.lines[1]
    assert (gift.item_id, gift.qty, receipt.basket.points.burned_micro) == ("bread", 2, 100 * POINT)
    assert (row.item_id, row.qty_milli, row.total_minor, row.promotion_id) == ("bread", 2000, 0, "")
    assert receipt.basket.points.earned_micro == 10 * POINT, "what is given earns nothing"
    assert on_hand(shop, "bread") == before - 2000
    lamp = back(shop, receipt.sale_id, (0, 1000)).basket.points
    assert (lamp.earned_micro, lamp.burned_micro) == (10 * POINT, 0), "the reward is kept, and so are its points"
    assert customer(shop, "ann").points_micro == 100 * POINT
    half = back(shop, receipt.sale_id, (1, 1000)).basket
    assert (half.total_minor, half.points.burned_micro) == (0, 50 * POINT)
    back(shop, receipt.sale_id, (1, 1000))
    assert customer(shop, "ann").points_micro == 200 * POINT, "a return of all parts undoes the sale"
    assert on_hand(shop, "bread") == before
    assert shop.refold().digest() == shop.core.digest()


def test_a_reward_that_is_not_there_is_not_sold() -> None:
    shop = shop_with(program(value_minor_per_point=0, reward_item_id="bread", reward_qty=10_001), ann=100)
    request = sale_pb2.SellRequest(
        till_id="T1", customer_id="ann", redeem=True, lines=[line("lamp")], tenders=[card(1080)]
    )
    answer = shop.send(request)
    assert (_code(answer), answer.problem.field) == ("STOCK_INSUFFICIENT", "free_items")
    assert customer(shop, "ann").points_micro == 100 * POINT


def test_only_what_the_program_names_earns() -> None:
    item = catalog_pb2.Item(item_id="tea", name="Tea", categories=["food", "hot drinks"], untracked=True)
    shop = shop_with(program(earn_basis=pb.EARN_BASIS_UNIT, item_ids=["milk"], categories=["hot drinks"]))
    shop.batch(
        catalog_pb2.PutItemsRequest(items=[item]),
        catalog_pb2.PutPricesRequest(rows=[catalog_pb2.PriceRow(item_id="tea", price_minor=10)]),
    )
    points = sell(shop, 119 * 2 + 30 + 250, line("milk", 2), line("tea", 3), line("bread")).basket.points
    assert points.earned_micro == 5 * POINT


def test_points_meet_promotions_and_the_receipt_adds_up() -> None:
    """Points come off after the promotions; the discounts of each line sum to what the line lost."""
    shop = shop_with(program(), ann=100)
    benefit = promotion_pb2.Benefit(
        type=promotion_pb2.BENEFIT_TYPE_ITEM_PERCENT_OFF,
        rate_ppb=100_000_000,
        target=promotion_pb2.Target(all=True),
    )
    offer = promotion_pb2.Promotion(promotion_id="ten", benefits=[benefit])
    assert _code(shop.send(promotion_pb2.PutPromotionsRequest(promotions=[offer]))) == "OK"
    basket = sell(shop, 1800 + 225 - 500, line("wrap", 20), line("bread"), redeem=True).basket
    for priced in basket.lines:
        assert sum(d.amount_minor for d in priced.discounts) == priced.gross_minor - priced.total_minor
    assert sum(d.amount_minor for x in basket.lines for d in x.discounts if d.points) == 500


def test_points_outlive_the_program_and_a_checkpoint() -> None:
    shop = shop_with(program(item_ids=["lamp"]), ann=100)
    receipt = sell(shop, 2160, line("lamp", 2))
    assert _code(shop.send(pb.PutLoyaltyProgramRequest())) == "OK"
    assert not sell(shop, 1080, line("lamp")).basket.HasField("points")
    returned = back(shop, receipt.sale_id, (0, 1000)).basket.points
    assert (returned.earned_micro, returned.balance_micro) == (10 * POINT, 110 * POINT)
    again = shop.refold()
    assert again.digest() == shop.core.digest()
    again.rebuild()  # what is derived is made from the rows alone
    assert customer(CoreHarness(again), "ann") == customer(shop, "ann")


@pytest.mark.parametrize("seed", range(25))
def test_returns_of_all_parts_undo_the_sale(seed: int) -> None:
    """Whatever order the parts come back in: money and points are where they were, to the cent and millionth."""
    rng = random.Random(seed)
    rules = program(
        earn_points_micro=rng.choice((1, 333_333, POINT, 2_500_000)),
        earn_basis=rng.choice((pb.EARN_BASIS_UNIT, pb.EARN_BASIS_CURRENCY_UNIT)),
        earn_before_redemption=rng.random() < 0.5,
        burn_points=rng.choice((7, 100)),
        value_minor_per_point=rng.choice((1, 3, 7)),
        item_ids=rng.choice(([], ["lamp", "cheese"])),
    )
    shop = shop_with(rules, ann=200)
    lines = [line(rng.choice(("milk", "bread", "lamp")), rng.randrange(1, 6)) for _ in range(3)]
    lines.append(pricing_pb2.BasketLine(item_id="cheese", qty_milli=rng.choice((750, 2000, 2333))))
    quote = pricing_pb2.PriceBasketRequest(location_id="S1", customer_id="ann", lines=lines, redeem=True)
    due = shop.ask("PriceBasket", quote, pricing_pb2.PriceBasketResponse).basket.total_minor
    receipt = sell(shop, due, *lines, redeem=True)
    assert receipt.basket.points.burned_micro > 0
    parts: list[tuple[int, int]] = []
    for at, sold in enumerate(lines):
        left = sold.qty_milli
        while left:
            step = rng.randrange(1, left + 1) if sold.item_id == "cheese" else 1000 * rng.randrange(1, left // 1000 + 1)
            parts.append((at, step))
            left -= step
    rng.shuffle(parts)
    refunded = earned = burned = 0
    for part in parts:
        document = back(shop, receipt.sale_id, part)
        refunded += document.basket.total_minor
        assert document.basket.total_minor >= 0
        assert document.basket.lines[0].total_minor >= 0
        earned += document.basket.points.earned_micro
        burned += document.basket.points.burned_micro
    assert (refunded, earned, burned) == (
        due,
        receipt.basket.points.earned_micro,
        receipt.basket.points.burned_micro,
    )
    found = customer(shop, "ann")
    assert (found.points_micro, found.earned_micro, found.burned_micro) == (200 * POINT, 0, 0)


def test_shares_of_parts_are_fair_and_sum_to_the_whole() -> None:
    rng = random.Random(3)
    for _ in range(2000):
        amount, whole = rng.randrange(-5000, 5000), rng.choice((1000, 3000, 7000, 1, 750, 2333))
        cuts = sorted({0, whole, *(rng.randrange(whole + 1) for _ in range(4))})
        shares = [first_share(amount, cut, whole) for cut in cuts]
        assert (shares[0], shares[-1]) == (0, amount)
        assert all(abs(b) >= abs(a) for a, b in itertools.pairwise(shares)), (amount, whole, cuts)
        for cut, share in zip(cuts, shares, strict=True):
            assert abs(share - Fraction(amount * cut, whole)) <= max(1, whole // 1000)
        if whole % 1000 == 0:
            units = [
                first_share(amount, u + 1000, whole) - first_share(amount, u, whole) for u in range(0, whole, 1000)
            ]
            assert max(units) - min(units) <= 1
            assert sorted(units, key=abs, reverse=True) == units, "the first units get what does not come out even"


@pytest.fixture(scope="module")
def oracle() -> Callable[..., Any]:
    """The oracle's price_case; its modules import each other by their bare names."""
    sys.path.insert(0, str(ORACLE))
    try:
        return importlib.import_module("pricing_oracle").price_case  # type: ignore[no-any-return]
    finally:
        sys.path.remove(str(ORACLE))


def _case(rng: random.Random) -> dict[str, Any]:
    items = [
        {
            "sku": rng.choice("ABC"),
            "category": rng.choice((["x"], ["x", "y"], [])),
            "qty": rng.choice((1, 2, 3, "0.75", -1)),
            "unit_price_minor": rng.randrange(1, 3000),
        }
        | ({"min_price_minor": 1} if rng.random() < 0.3 else {})
        for _ in range(rng.randrange(1, 4))
    ]
    off = {"type": "order_percent_off", "percent": 10, "target": {"all": True}}
    return {
        "id": "c",
        "currency": rng.choice(("EUR", "JPY", "KWD")),
        "items": items,
        "promotions": [{"id": "p", "conditions": [], "benefits": [off]}] if rng.random() < 0.5 else [],
        "coupons": [],
        "loyalty": {
            "earn": {
                "per": rng.choice(("unit", "currency_unit")),
                "points": rng.choice((1, 3, "0.5", "0.125")),
                "base": rng.choice(("before_redemption", "after_redemption")),
            }
            | ({"target": rng.choice(({"skus": ["A"]}, {"categories": ["y"]}))} if rng.random() < 0.5 else {}),
            "burn": {"points": rng.choice((10, 100))}
            | rng.choice(({"value_minor_per_point": 7}, {"free_item": {"sku": "MUG", "qty": 1}})),
            "opening_points": rng.choice((0, 10, 99, 1000)),
            "redeem": rng.random() < 0.8,
        },
        "expect": {},
    }


def test_simulated_points_are_those_of_the_oracle(oracle: Callable[..., Any]) -> None:
    keys = ("total_minor", "points_earned", "points_burned", "points_balance", "free_items", "line_totals_minor")
    for seed in range(600):
        case = _case(random.Random(seed))
        expected = oracle(case)
        answer = Answer(case)
        found = {key: answer.get(key) for key in keys}
        assert {k: str(v) for k, v in found.items()} == {k: str(expected[k]) for k in keys}, (seed, json.dumps(case))

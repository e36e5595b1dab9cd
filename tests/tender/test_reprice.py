"""Refunds by what is kept: as the oracle has them, never more than was paid, only of the sale that was booked."""

from __future__ import annotations

import importlib
import json
import random
import sys
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ringup.engine.simulate_request import Clock, promotion
from ringup.v1 import catalog_pb2, loyalty_pb2, pricing_pb2, promotion_pb2, result_pb2, sale_pb2, sale_pb2_grpc
from support.core import CoreHarness, card, line, small_shop
from support.engine_process import EngineProcess
from support.till import do, fill

ORACLE = Path(__file__).resolve().parents[1] / "oracle"
KEPT, PAID = sale_pb2.REFUND_POLICY_REPRICE_KEPT, sale_pb2.REFUND_POLICY_PAID_PRICE
ALL = {"target": {"all": True}}
THREE_FOR_TWO = {"id": "p", "conditions": [], "benefits": [{"type": "multibuy_cheapest_free", "qty": 3, **ALL}]}


def _code(answer: Any) -> str:
    return result_pb2.ResultCode.Name(answer.code).removeprefix("RESULT_CODE_")


def publish(shop: CoreHarness, *promotions: dict[str, Any]) -> None:
    clock = Clock(None, None)
    found = [promotion(p, clock, ()) for p in promotions]
    assert _code(shop.send(promotion_pb2.PutPromotionsRequest(promotions=found))) == "OK"


class Sold:
    """A sale and the bytes that booked it."""

    def __init__(self, shop: CoreHarness, *lines: pricing_pb2.BasketLine, **fields: Any) -> None:
        self.shop = shop
        known = {k: v for k, v in fields.items() if k in ("customer_id", "coupons", "redeem", "charges")}
        quote = pricing_pb2.PriceBasketRequest(location_id="S1", lines=lines, **known)
        self.paid = shop.ask("PriceBasket", quote, pricing_pb2.PriceBasketResponse).basket.total_minor
        tenders = [card(self.paid)] if self.paid else []
        request = sale_pb2.SellRequest(command_id=shop.id(), till_id="T1", lines=lines, tenders=tenders, **fields)
        self.bytes = request.SerializeToString()
        answer = shop.send(request)
        assert _code(answer) == "OK", answer
        self.receipt = answer.receipt

    def back(self, *parts: tuple[int, int], policy: int = KEPT, original: bytes | None = None) -> Any:
        return self.shop.send(
            sale_pb2.ReturnLinesRequest(
                till_id="T1",
                sale_id=self.receipt.sale_id,
                lines=[sale_pb2.ReturnLine(line=at, qty_milli=qty) for at, qty in parts],
                refund_policy=policy,  # type: ignore[arg-type]  # enums are numbers on the wire
                original_sale=self.bytes if original is None else original,
            )
        )

    def refund(self, *parts: tuple[int, int], policy: int = KEPT) -> int:
        answer = self.back(*parts, policy=policy)
        assert _code(answer) == "OK", answer
        basket = answer.receipt.basket
        assert basket.total_minor == sum(x.total_minor for x in basket.lines) + basket.tax_added_minor
        return int(basket.total_minor)


def test_three_for_two_of_which_one_comes_back_refunds_nothing() -> None:
    shop = small_shop()
    publish(shop, THREE_FOR_TWO)
    sold = Sold(shop, line("bread", 3))
    assert sold.paid == 500
    assert [sold.refund((0, 1000)) for _ in range(3)] == [0, 250, 250]
    paid = Sold(shop, line("bread", 3))
    assert [paid.refund((0, 1000), policy=PAID) for _ in range(3)] == [167, 167, 166]


def test_both_policies_on_one_sale_never_give_back_more_than_was_paid() -> None:
    """Bread costs twice as much beside a lamp: without the lamp 13.30 come back, of which bread's share had 2.50."""
    shop = small_shop()
    dearer = {"type": "item_markup_percent", "percent": 100, "target": {"skus": ["bread"]}}
    with_lamp = {"type": "contains", "target": {"skus": ["lamp"]}}
    publish(shop, {"id": "p", "conditions": [with_lamp], "benefits": [dearer]})
    sold = Sold(shop, line("bread"), line("lamp"))
    assert sold.paid == 500 + 1080
    assert [sold.refund((1, 1000)), sold.refund((0, 1000), policy=PAID)] == [1330, 250]


def _charges(**amounts_minor: int) -> list[promotion_pb2.Charge]:
    return [promotion_pb2.Charge(charge_id=name, amount_minor=amount) for name, amount in amounts_minor.items()]


def test_a_charge_that_takes_something_off_is_not_paid_out() -> None:
    """1.00 was paid for goods at 10.00 with a voucher of 9.00: nothing kept "cost" -9.00, and 10.00 came back."""
    sold = Sold(small_shop(), line("bread", 4), charges=_charges(voucher=-900))
    assert sold.paid == 100
    assert sold.refund((0, 4000)) == 100
    half = Sold(small_shop(), line("bread", 4), charges=_charges(voucher=-500))
    assert [half.refund((0, 1000)), half.refund((0, 3000))] == [250, 250]


def test_a_charge_comes_back_only_while_its_money_is_there() -> None:
    """6.00 were paid for goods and delivery less a voucher: the goods got all of it back, and then came 5.00 more."""
    sold = Sold(small_shop(), line("bread", 4), charges=_charges(delivery=500, voucher=-900))
    assert sold.paid == 600
    assert sold.refund((0, 4000), policy=PAID) == 600
    back = sale_pb2.ReturnLinesRequest(till_id="T1", sale_id=sold.receipt.sale_id, charge_ids=["delivery"])
    answer = sold.shop.send(back)
    problem = answer.problem
    assert (_code(answer), problem.field, problem.found, problem.limit) == ("RETURN_EXCEEDS", "charge_ids", 500, 0)


def test_no_returns_of_any_kind_pay_out_more_than_was_paid() -> None:
    """Random sales with charges above and below zero, returned in random parts by either policy, some with charges."""
    dearer = {"type": "item_markup_percent", "percent": 100, "target": {"skus": ["bread"]}}
    with_lamp = {"type": "contains", "target": {"skus": ["lamp"]}}
    rng = random.Random(7)
    emptied = 0
    for _ in range(200):
        shop = small_shop()
        publish(shop, rng.choice((THREE_FOR_TWO, {"id": "p", "conditions": [with_lamp], "benefits": [dearer]})))
        charges = _charges(one=rng.randrange(-900, 900), two=rng.randrange(-300, 300))
        sold = Sold(shop, line("bread", rng.randint(2, 4)), line("lamp", rng.randint(1, 2)), charges=charges)
        refunded = 0
        parts = [(0, 1000)] * 4 + [(1, 1000)] * 2
        rng.shuffle(parts)
        for part in parts:
            policy = rng.choice((KEPT, PAID))
            ids = [c.charge_id for c in charges if policy == PAID and rng.random() < 0.3]
            request = sale_pb2.ReturnLinesRequest(
                till_id="T1",
                sale_id=sold.receipt.sale_id,
                lines=[sale_pb2.ReturnLine(line=part[0], qty_milli=part[1])],
                refund_policy=policy,
                charge_ids=ids,
                original_sale=sold.bytes,
            )
            answer = shop.send(request)
            basket = answer.receipt.basket
            assert basket.total_minor >= 0
            refunded += basket.total_minor
            assert refunded <= sold.paid
        emptied += refunded == sold.paid > 0
    assert emptied > 20


def test_only_the_sale_that_was_booked_is_priced_again() -> None:
    shop = small_shop()
    sold = Sold(shop, line("bread", 3))
    for original in (b"", sold.bytes[:-1], sold.bytes + b"\x08\x01", sale_pb2.SellRequest().SerializeToString()):
        answer = sold.back((0, 1000), original=original)
        assert (_code(answer), answer.problem.field) == ("FIELD_INVALID", "original_sale")
    answer = sold.back((0, 1000), policy=9)
    assert (_code(answer), answer.problem.field) == ("FIELD_INVALID", "refund_policy")
    assert sold.refund((0, 1000)) == 250


def test_what_the_sale_used_of_limits_stays_its_own() -> None:
    """A code for one use, a limit of one for each customer, a budget: used up by this very sale, and kept by it."""
    shop = small_shop()
    limits = {"max_uses": 1, "max_uses_per_customer": 1, "budget_minor": 100}
    benefit = {"type": "item_percent_off", "percent": 20, **ALL}
    publish(shop, {"id": "p", "conditions": [], "benefits": [benefit], "limits": limits, "coupon": "HIDDEN"})
    assert _code(shop.send(promotion_pb2.PutCouponsRequest(promotion_id="p", codes=["ONCE"]))) == "OK"
    sold = Sold(shop, line("bread", 2), coupons=["ONCE"], customer_id="ann")
    assert sold.paid == 400
    other = Sold(shop, line("bread", 2), coupons=["ONCE"], customer_id="ann")
    assert other.paid == 500, "for anybody else it is used up"
    assert sold.refund((0, 1000)) == 200
    listed = shop.ask("ListPromotions", promotion_pb2.ListPromotionsRequest(), promotion_pb2.ListPromotionsResponse)
    usage = listed.promotions[0].usage
    assert (usage.used, usage.budget_spent_minor) == (1, 100), "pricing again used nothing"
    assert Sold(shop, line("bread", 2), coupons=["ONCE"], customer_id="ann").paid == 500


def test_overrides_discounts_by_hand_and_codes_with_a_price_are_kept() -> None:
    shop = small_shop()
    patterns = [
        catalog_pb2.CodePattern(
            pattern="23......{NNDD}.", value=catalog_pb2.CODE_VALUE_PRICE, symbology=catalog_pb2.SYMBOLOGY_EAN_13
        )
    ]
    ham = catalog_pb2.Item(item_id="ham", name="Ham", untracked=True, barcodes=["2312345000002"])
    shop.batch(
        catalog_pb2.PutCodePatternsRequest(patterns=patterns),
        catalog_pb2.PutItemsRequest(items=[ham]),
    )
    sold = Sold(
        shop,
        line("bread", 4, price_override=pricing_pb2.PriceOverride(price_minor=100, reason="old")),
        line("bread", 3, discounts=[pricing_pb2.LineDiscount(amount_minor=90, reason="torn")]),
        line("2312345012340", 3),  # three packs at 12.34
    )
    assert sold.paid == 400 + 660 + 3702
    assert sold.refund((0, 1000)) == 100
    assert sold.refund((1, 1000)) == 220
    assert sold.refund((2, 1000)) == 1234
    assert sold.refund((0, 3000), (1, 2000), (2, 2000)) == 300 + 440 + 2468


def test_redeemed_points_stay_with_what_is_kept() -> None:
    shop = small_shop()
    rules = loyalty_pb2.LoyaltyProgram(burn_points=100, value_minor_per_point=1)
    points = loyalty_pb2.AdjustPointsRequest(customer_id="ann", points_micro=10**8, reason="carried over")
    shop.batch(loyalty_pb2.PutLoyaltyProgramRequest(program=rules), points)
    sold = Sold(shop, line("bread", 2), customer_id="ann", redeem=True)
    assert sold.paid == 400
    answer = sold.back((0, 1000))
    assert (answer.receipt.basket.total_minor, answer.receipt.basket.points.burned_micro) == (200, 50 * 10**6)
    assert (sold.refund((0, 1000)), sold.paid) == (200, 400)


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
        {"sku": sku, "qty": rng.randrange(1, 5), "unit_price_minor": rng.randrange(1, 2000)}
        for sku in rng.sample("ABCD", rng.randrange(1, 4))
    ]
    back = [{"sku": i["sku"], "qty": rng.randrange(0, int(i["qty"]) + 1)} for i in items]
    benefits = (
        {"type": "order_amount_off", "amount_minor": 300, **ALL},
        {"type": "order_percent_off", "percent": 15, **ALL},
        {"type": "multibuy_cheapest_free", "qty": 3, **ALL},
        {"type": "item_percent_off", "percent": 33, "target": {"skus": ["A", "B"]}},
        {"type": "quantity_group", "group_size": 2, "percent": 10, **ALL},
    )
    conditions: list[dict[str, Any]] = [{"type": "min_subtotal", "amount_minor": rng.choice((500, 2000, 5000))}]
    return {
        "id": "c",
        "currency": "EUR",
        "items": items,
        "coupons": [],
        "promotions": [
            {"id": f"p{n}", "conditions": conditions if rng.random() < 0.5 else [], "benefits": [rng.choice(benefits)]}
            for n in range(rng.randrange(3))
        ],
        "refund": {
            "lines": [entry for entry in back if entry["qty"]],
            "policy": rng.choice(("paid_price", "reprice_kept")),
        },
        "expect": {},
    }


def test_returns_refund_what_the_oracle_says(oracle: Callable[..., Any]) -> None:
    """Random baskets under random promotions, sold in the core and returned in part by either policy."""
    compared = 0
    for seed in range(150):
        case = _case(random.Random(seed))
        if not case["refund"]["lines"]:
            continue
        shop = small_shop()
        rows = [catalog_pb2.PriceRow(item_id=i["sku"], price_minor=i["unit_price_minor"]) for i in case["items"]]
        found = [catalog_pb2.Item(item_id=i["sku"], name=i["sku"], untracked=True) for i in case["items"]]
        shop.batch(catalog_pb2.PutItemsRequest(items=found), catalog_pb2.PutPricesRequest(rows=rows))
        if case["promotions"]:
            publish(shop, *case["promotions"])
        sold = Sold(shop, *(line(i["sku"], i["qty"]) for i in case["items"]))
        place = {i["sku"]: at for at, i in enumerate(case["items"])}
        parts = [(place[b["sku"]], b["qty"] * 1000) for b in case["refund"]["lines"]]
        policy = KEPT if case["refund"]["policy"] == "reprice_kept" else PAID
        expected = oracle(case)
        assert sold.paid == expected["total_minor"], (seed, json.dumps(case))
        assert sold.refund(*parts, policy=policy) == expected["refund_minor"], (seed, json.dumps(case))
        compared += 1
    assert compared > 100


def test_over_the_wire_the_engine_knows_the_sale(tmp_path: Path) -> None:
    """A unary return needs no copy of the sale, also after a restart and when it is sent again."""
    directory = tmp_path / "data"
    with EngineProcess(directory) as engine, engine.channel() as channel:
        fill(channel)
        sales = sale_pb2_grpc.SaleServiceStub(channel)  # type: ignore[no-untyped-call]  # generated by grpcio
        sell = sale_pb2.SellRequest(till_id="T", lines=[line("A", 3)], tenders=[card(3000)])
        sold = do(sales.Sell, sell).receipt
        asked = sale_pb2.GetReceiptRequest(sale_id=sold.sale_id, include_request=True)
        assert sales.GetReceipt(asked, timeout=60).request == sell.SerializeToString()
        asked.include_request = False
        assert not sales.GetReceipt(asked, timeout=60).request
        engine.kill()
    back = sale_pb2.ReturnLinesRequest(
        command_id=uuid.uuid4().bytes,
        till_id="T",
        receipt_till_id="T",
        receipt_number=sold.number,
        lines=[sale_pb2.ReturnLine(qty_milli=1000)],
        refund_policy=KEPT,
    )
    with EngineProcess(directory) as engine, engine.channel() as channel:
        sales = sale_pb2_grpc.SaleServiceStub(channel)  # type: ignore[no-untyped-call]  # generated by grpcio
        answers = [sales.ReturnLines(back, timeout=60) for _ in range(2)]
        assert _code(answers[0]) == "OK"
        assert answers[0].receipt.basket.total_minor == 1000
        assert answers[0] == answers[1]
        back.receipt_number += 9
        back.command_id = uuid.uuid4().bytes
        assert _code(sales.ReturnLines(back, timeout=60)) == "SALE_UNKNOWN"
        engine.stop()

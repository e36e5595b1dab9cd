"""What publishing checks: refusals of the core, and findings with a basket that shows them."""

from __future__ import annotations

from typing import Any

import pytest

from ringup.engine.promotion_checks import check_now
from ringup.v1 import catalog_pb2, result_pb2
from ringup.v1 import promotion_pb2 as pb
from support.core import CoreHarness, small_shop

TENTH = pb.Benefit(type=pb.BENEFIT_TYPE_ITEM_PERCENT_OFF, rate_ppb=100_000_000)


@pytest.mark.parametrize(
    ("conditions", "numbers"),
    [
        ([(pb.CONDITION_TYPE_MIN_SUBTOTAL, 500), (pb.CONDITION_TYPE_MAX_SUBTOTAL, 400)], (500, 400)),
        ([(pb.CONDITION_TYPE_MAX_SUBTOTAL, 400), (pb.CONDITION_TYPE_MIN_SUBTOTAL, 400)], None),
        ([(pb.CONDITION_TYPE_MIN_QTY, 3), (pb.CONDITION_TYPE_MAX_QTY, 2)], (3, 2)),
        ([(pb.CONDITION_TYPE_NTH_ORDER, 1), (pb.CONDITION_TYPE_NTH_ORDER, 2)], (1, 2)),
        ([(pb.CONDITION_TYPE_DISTINCT, 3)], (3, 2)),
        ([(pb.CONDITION_TYPE_DISTINCT, 2)], None),
    ],
)
def test_conditions_that_no_basket_meets_are_refused(
    conditions: list[tuple[int, int]], numbers: tuple[int, int] | None
) -> None:
    shop = small_shop()
    target = pb.Target(item_ids=["milk", "bread"])
    asked = [
        pb.Condition(type=kind, amount_minor=number, qty_milli=number, count=number, target=target)  # type: ignore[arg-type]  # enums are numbers
        for kind, number in conditions
    ]
    promotion = pb.Promotion(promotion_id="p", conditions=asked, benefits=[TENTH])
    answer = shop.send(pb.PutPromotionsRequest(promotions=[promotion]))
    if numbers is None:
        assert answer.code == result_pb2.RESULT_CODE_OK
        return
    assert answer.code == result_pb2.RESULT_CODE_PROMOTION_NEVER
    assert (answer.problem.subject, answer.problem.found, answer.problem.limit) == ("p", *numbers)
    assert not shop.ask("ListPromotions", pb.ListPromotionsRequest(), pb.ListPromotionsResponse).promotions


def test_free_items_that_earn_each_other_are_refused_also_over_several_puts() -> None:
    shop = small_shop()

    def free(bought: str, given: str) -> pb.Promotion:
        part = pb.Component(target=pb.Target(item_ids=[bought]), qty=1)
        benefit = pb.Benefit(type=pb.BENEFIT_TYPE_FREE_ITEM, item_id=given, qty=1, for_each=part)
        return pb.Promotion(promotion_id=f"{bought}-{given}", benefits=[benefit])

    assert shop.send(pb.PutPromotionsRequest(promotions=[free("milk", "bread"), free("lamp", "lamp")])).code == 1
    answer = shop.send(pb.PutPromotionsRequest(promotions=[free("bread", "lamp"), free("lamp", "milk")]))
    assert answer.code == result_pb2.RESULT_CODE_FREE_ITEM_CIRCLE
    assert answer.problem.subject in ("milk", "bread", "lamp")
    # Once the first is over, the circle is open.
    over = pb.SetPromotionStateRequest(promotion_ids=["milk-bread"], state=pb.PROMOTION_STATE_ENDED)
    assert shop.send(over).code == 1
    assert shop.send(pb.PutPromotionsRequest(promotions=[free("bread", "lamp"), free("lamp", "milk")])).code == 1


def test_one_id_twice_in_a_request_is_refused() -> None:
    shop = small_shop()
    twice = [pb.Promotion(promotion_id=name, benefits=[TENTH]) for name in ("a", "b", "a")]
    answer = shop.send(pb.PutPromotionsRequest(promotions=twice))
    assert answer.code == result_pb2.RESULT_CODE_FIELD_INVALID
    assert (answer.problem.field, answer.problem.index, answer.problem.limit) == ("promotions.promotion_id", 2, 0)


def _off(amount_minor: int, *item_ids: str, kind: int = pb.BENEFIT_TYPE_ITEM_AMOUNT_OFF) -> pb.Benefit:
    target = pb.Target(item_ids=item_ids) if item_ids else pb.Target(all=True)
    return pb.Benefit(type=kind, amount_minor=amount_minor, target=target)  # type: ignore[arg-type]  # enums are numbers


def _findings(shop: CoreHarness, *promotions: pb.Promotion) -> list[tuple[str, str, str, dict[str, int]]]:
    request = pb.CheckPromotionsRequest(promotions=promotions)
    answer = check_now(shop.core, request.SerializeToString(), shop.now_ns)
    assert (answer.code, answer.checked) == (result_pb2.RESULT_CODE_OK, len(promotions))
    return [
        (
            pb.FindingKind.Name(finding.kind).removeprefix("FINDING_KIND_").lower(),
            finding.promotion_id,
            finding.other_promotion_id,
            {line.item_id: line.qty_milli // 1000 for line in finding.basket},
        )
        for finding in answer.findings
    ]


def test_drafts_are_tried_on_the_shop_s_items_beside_what_is_published() -> None:
    """milk 1.19, bread 2.50, lamp 10.00, a kilo of cheese 18.90, gift wrap 1.00."""
    shop = small_shop()
    tenth = pb.Promotion(promotion_id="tenth", benefits=[TENTH], exclusive=True)
    assert shop.send(pb.PutPromotionsRequest(promotions=[tenth])).code == 1
    milk = pb.Promotion(promotion_id="milk", benefits=[_off(50, "milk")])
    assert _findings(shop, milk) == [("shadowed", "milk", "tenth", {"milk": 1})]
    # For members only it is kept out all the same; on its own day there is nothing to shadow it but the exclusive one.
    members = pb.Promotion(promotion_id="milk", benefits=[_off(50, "milk")], customer_groups=["members"])
    assert _findings(shop, members) == [("shadowed", "milk", "tenth", {"milk": 1})]
    # One that stands in for the exclusive one under its id is not held against it.
    assert _findings(shop, pb.Promotion(promotion_id="tenth", benefits=[TENTH])) == []
    over = pb.SetPromotionStateRequest(promotion_ids=["tenth"], state=pb.PROMOTION_STATE_ENDED)
    assert shop.send(over).code == 1
    assert _findings(shop, milk) == []


@pytest.mark.parametrize(
    ("published", "draft", "expected"),
    [
        ((), {"benefits": [_off(150, "milk")]}, [("cut_short", "p", "", {"milk": 1})]),
        ((), {"benefits": [_off(1000, kind=pb.BENEFIT_TYPE_ORDER_AMOUNT_OFF)]}, [("cut_short", "p", "", {"milk": 1})]),
        (
            (),
            {
                "benefits": [_off(1000, kind=pb.BENEFIT_TYPE_ORDER_AMOUNT_OFF)],
                "conditions": [pb.Condition(type=pb.CONDITION_TYPE_MIN_SUBTOTAL, amount_minor=5000)],
            },
            [],
        ),
        ((), {"benefits": [_off(50, "nothing")]}, [("never_applies", "p", "", {})]),
        ((), {"benefits": [TENTH], "to_ns": 1}, [("never_applies", "p", "", {})]),
        ((), {"benefits": [TENTH], "limits": pb.Limits(budget_minor=0)}, [("never_applies", "p", "", {})]),
        (({"benefits": [TENTH]},), {"benefits": [_off(50, "lamp")]}, [("order_open", "p", "q0", {"lamp": 1})]),
        (({"benefits": [TENTH]},), {"benefits": [_off(50, "lamp")], "priority": 1}, []),
        (
            ({"benefits": [TENTH], "customer_groups": ["staff"]},),
            {"benefits": [_off(50, "lamp")], "customer_groups": ["members"]},
            [],
        ),
        # A fixed price that a lower one always beats.
        (
            ({"benefits": [_off(800, "lamp", kind=pb.BENEFIT_TYPE_ITEM_FIXED_PRICE)], "priority": 1},),
            {"benefits": [_off(900, "lamp", kind=pb.BENEFIT_TYPE_ITEM_FIXED_PRICE)]},
            [("shadowed", "p", "q0", {"lamp": 1})],
        ),
        (
            (
                {
                    "benefits": [_off(800, "lamp", kind=pb.BENEFIT_TYPE_ITEM_FIXED_PRICE)],
                    "priority": 1,
                    "limits": pb.Limits(max_uses=10),
                },
            ),
            {"benefits": [_off(900, "lamp", kind=pb.BENEFIT_TYPE_ITEM_FIXED_PRICE)]},
            [],
        ),
    ],
)
def test_each_kind_of_finding(
    published: tuple[dict[str, Any], ...], draft: dict[str, Any], expected: list[tuple[str, str, str, dict[str, int]]]
) -> None:
    shop = small_shop()
    for number, fields in enumerate(published):
        promotion = pb.Promotion(promotion_id=f"q{number}", **fields)
        assert shop.send(pb.PutPromotionsRequest(promotions=[promotion])).code == 1
    assert _findings(shop, pb.Promotion(promotion_id="p", **draft)) == expected


def test_items_of_a_category_are_found_in_the_catalogue() -> None:
    shop = small_shop()
    items = [catalog_pb2.Item(item_id=f"jam{n}", name="Jam", categories=["Food", "Jam"]) for n in range(5)]
    assert shop.send(catalog_pb2.PutItemsRequest(items=items)).code == 1
    rows = [catalog_pb2.PriceRow(item_id="jam3", price_minor=200)]  # the only one with a price
    assert shop.send(catalog_pb2.PutPricesRequest(rows=rows)).code == 1
    off = pb.Benefit(type=pb.BENEFIT_TYPE_ITEM_AMOUNT_OFF, amount_minor=300, target=pb.Target(categories=["Jam"]))
    assert _findings(shop, pb.Promotion(promotion_id="p", benefits=[off])) == [("cut_short", "p", "", {"jam3": 1})]


def test_an_item_s_own_floor_cuts_short() -> None:
    shop = small_shop()
    half = pb.Benefit(type=pb.BENEFIT_TYPE_ITEM_PERCENT_OFF, rate_ppb=500_000_000, target=pb.Target(item_ids=["lamp"]))
    draft = pb.Promotion(promotion_id="p", benefits=[half])
    assert _findings(shop, draft) == []
    lamp = catalog_pb2.Item(item_id="lamp", name="Lamp", tax_class_id="added", min_price_minor=800)
    assert shop.send(catalog_pb2.PutItemsRequest(items=[lamp])).code == 1
    request = pb.CheckPromotionsRequest(promotions=[draft]).SerializeToString()
    (found,) = check_now(shop.core, request, shop.now_ns).findings
    assert (found.kind, found.found, found.limit) == (pb.FINDING_KIND_CUT_SHORT, 200, 500)
    assert found.message == "the floor cuts its discount short"


def test_what_the_core_would_refuse_is_said_before() -> None:
    shop = small_shop()
    request = pb.CheckPromotionsRequest(promotions=[pb.Promotion(promotion_id="p")])
    answer = check_now(shop.core, request.SerializeToString(), shop.now_ns)
    assert (answer.code, answer.problem.field) == (result_pb2.RESULT_CODE_FIELD_INVALID, "promotions.benefits")
    empty = check_now(shop.core, b"", shop.now_ns)
    assert empty.code == result_pb2.RESULT_CODE_LINES_EMPTY

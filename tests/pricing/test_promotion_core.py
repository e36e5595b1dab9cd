"""Promotions in the core: published, taken at the sale, given back at the return, equal after a replay."""

from __future__ import annotations

import random
from typing import Any

import pytest

from ringup.native.core import Core
from ringup.v1 import catalog_pb2, pricing_pb2, promotion_pb2, result_pb2, sale_pb2
from support.core import SECOND_NS, CoreHarness, card, line, small_shop

PERCENT = 10_000_000
OK = result_pb2.RESULT_CODE_OK
DAY_NS = 86_400 * SECOND_NS


def _percent_off(promotion_id: str, percent: int, **fields: Any) -> promotion_pb2.Promotion:
    return promotion_pb2.Promotion(
        promotion_id=promotion_id,
        benefits=[promotion_pb2.Benefit(type=promotion_pb2.BENEFIT_TYPE_ITEM_PERCENT_OFF, rate_ppb=percent * PERCENT)],
        **fields,
    )


def _put(shop: CoreHarness, *promotions: promotion_pb2.Promotion, **fields: Any) -> Any:
    answer = shop.send(promotion_pb2.PutPromotionsRequest(promotions=promotions, **fields))
    assert answer.code == result_pb2.RESULT_CODE_OK, answer
    return answer


def _quote(shop: CoreHarness, *lines: pricing_pb2.BasketLine, **fields: Any) -> pricing_pb2.PricedBasket:
    request = pricing_pb2.PriceBasketRequest(location_id="S1", channel_id="till", lines=lines, **fields)
    answer = shop.ask("PriceBasket", request, pricing_pb2.PriceBasketResponse)
    assert answer.code == result_pb2.RESULT_CODE_OK, answer
    return answer.basket


def _sell(shop: CoreHarness, *lines: pricing_pb2.BasketLine, **fields: Any) -> sale_pb2.SellResponse:
    asked = {k: v for k, v in fields.items() if k in ("coupons", "customer_id", "completed_orders", "promotion_groups")}
    total = _quote(shop, *lines, **asked).total_minor
    request = sale_pb2.SellRequest(
        till_id="T1",
        channel_id="till",
        lines=lines,
        tenders=[card(total)] if total else [],
        expected_total_minor=total,
        **fields,
    )
    answer: sale_pb2.SellResponse = shop.send(request)
    assert answer.code == result_pb2.RESULT_CODE_OK, answer
    assert answer.receipt.basket.total_minor == total, "a quote and a sale are one function"
    return answer


def _outcome(basket: pricing_pb2.PricedBasket, promotion_id: str) -> str:
    (found,) = (p for p in basket.promotions if p.promotion_id == promotion_id)
    return promotion_pb2.PromotionOutcome.Name(found.outcome).removeprefix("PROMOTION_OUTCOME_")


def _listed(shop: CoreHarness, promotion_id: str) -> promotion_pb2.PublishedPromotion:
    request = promotion_pb2.ListPromotionsRequest(promotion_ids=[promotion_id])
    answer = shop.ask("ListPromotions", request, promotion_pb2.ListPromotionsResponse)
    return answer.promotions[0]


def test_a_sale_shows_what_its_promotions_gave() -> None:
    shop = small_shop()
    _put(shop, _percent_off("tenth", 10, name="A tenth off"))
    answer = _sell(shop, line("bread", 2), line("wrap", 1))
    first = answer.receipt.basket.lines[0]
    assert (first.gross_minor, first.total_minor) == (500, 450)
    assert [(d.reason, d.amount_minor, d.promotion_id) for d in first.discounts] == [("A tenth off", 50, "tenth")]
    assert answer.receipt.basket.discount_minor == 60
    assert _listed(shop, "tenth").usage.used == 1
    assert _listed(shop, "tenth").usage.budget_spent_minor == 60


def test_taxes_follow_the_discounted_price_but_for_what_a_vendor_pays() -> None:
    shop = small_shop()
    _put(shop, _percent_off("own", 50))
    assert _quote(shop, line("lamp")).taxes[0].base_minor == 500
    _put(shop, _percent_off("own", 50, vendor_funded=True))
    basket = _quote(shop, line("lamp"))
    assert (basket.taxes[0].base_minor, basket.taxes[0].tax_minor, basket.total_minor) == (1000, 80, 580)


def test_a_version_comes_into_force_at_its_instant_and_a_state_at_once() -> None:
    shop = small_shop()
    _put(shop, _percent_off("p", 10))
    _put(shop, _percent_off("p", 20), effective_ns=shop.now_ns + DAY_NS)
    assert _quote(shop, line("wrap")).total_minor == 90
    assert _listed(shop, "p").next_from_ns == shop.now_ns + DAY_NS
    shop.now_ns += DAY_NS
    _sell(shop, line("bread"))
    assert _quote(shop, line("wrap")).total_minor == 80
    assert _listed(shop, "p").version == 2
    shop.send(promotion_pb2.SetPromotionStateRequest(promotion_ids=["p"], state=promotion_pb2.PROMOTION_STATE_PAUSED))
    assert _quote(shop, line("wrap")).total_minor == 100
    shop.send(promotion_pb2.SetPromotionStateRequest(promotion_ids=["p"], state=promotion_pb2.PROMOTION_STATE_ACTIVE))
    assert _quote(shop, line("wrap")).total_minor == 80


def test_a_coupon_with_ten_uses_is_given_ten_times_however_sales_and_returns_are_mixed() -> None:
    """One till after the other is what the sequencer makes of 64 racing callers."""
    shop = small_shop(pieces=1000)
    limits = promotion_pb2.Limits(max_uses=10, release_on_cancel=True)
    _put(shop, _percent_off("ten", 50, coupon="TEN", limits=limits))
    rng = random.Random(7)
    open_sales: list[bytes] = []
    for _ in range(64):
        answer = _sell(shop, line("wrap"), coupons=[" ten "])
        used = [c.outcome == promotion_pb2.PROMOTION_OUTCOME_APPLIED for c in answer.receipt.basket.coupons]
        if used == [True]:
            open_sales.append(answer.receipt.sale_id)
        assert len(open_sales) <= 10
        if open_sales and rng.random() < 0.2:
            back = open_sales.pop(rng.randrange(len(open_sales)))
            returned = shop.send(
                sale_pb2.ReturnLinesRequest(
                    till_id="T2", sale_id=back, lines=[sale_pb2.ReturnLine(line=0, qty_milli=1000)]
                )
            )
            assert returned.receipt.basket.total_minor == 50, "what was paid comes back"
    usage = _listed(shop, "ten").usage
    assert len(open_sales) == 10
    assert usage.used - usage.cancelled_uses == 10
    assert usage.budget_spent_minor == 500
    assert _outcome(_quote(shop, line("wrap"), coupons=["TEN"]), "ten") == "USAGE_LIMIT"


def test_uses_of_one_customer_are_counted_for_that_customer() -> None:
    shop = small_shop()
    _put(shop, _percent_off("once", 50, limits=promotion_pb2.Limits(max_uses_per_customer=1)))
    assert _sell(shop, line("wrap"), customer_id="ann").receipt.basket.total_minor == 50
    assert _sell(shop, line("wrap"), customer_id="ann").receipt.basket.total_minor == 100
    assert _sell(shop, line("wrap"), customer_id="bob").receipt.basket.total_minor == 50


def test_single_use_codes_are_used_up_by_the_sale_and_freed_by_its_return() -> None:
    shop = small_shop()
    limits = promotion_pb2.Limits(release_on_cancel=True)
    _put(shop, _percent_off("mailing", 50, unique_coupons=True, limits=limits))
    codes = promotion_pb2.PutCouponsRequest(promotion_id="mailing", codes=["AB-1", "AB-2"])
    assert shop.send(codes).code == result_pb2.RESULT_CODE_OK
    again = promotion_pb2.PutCouponsRequest(promotion_id="mailing", codes=["ab-2"])
    assert shop.send(again).code == result_pb2.RESULT_CODE_COUPON_TAKEN
    assert _quote(shop, line("wrap"), coupons=["mailing"]).total_minor == 100, "the promotion's id is no code"
    sold = _sell(shop, line("wrap"), coupons=["ab-1"])
    assert sold.receipt.basket.total_minor == 50
    used = _quote(shop, line("wrap"), coupons=["AB-1"])
    assert used.total_minor == 100
    assert used.coupons[0].outcome == promotion_pb2.PROMOTION_OUTCOME_USAGE_LIMIT
    assert _quote(shop, line("wrap"), coupons=["AB-2"]).total_minor == 50
    shop.send(
        sale_pb2.ReturnLinesRequest(
            till_id="T1", sale_id=sold.receipt.sale_id, lines=[sale_pb2.ReturnLine(line=0, qty_milli=1000)]
        )
    )
    assert _quote(shop, line("wrap"), coupons=["AB-1"]).total_minor == 50


def test_a_budget_ends_to_the_minor_unit() -> None:
    shop = small_shop()
    _put(shop, _percent_off("purse", 30, limits=promotion_pb2.Limits(budget_minor=100)))
    given = [100 - _sell(shop, line("wrap")).receipt.basket.total_minor for _ in range(5)]
    assert given == [30, 30, 30, 10, 0]
    assert _listed(shop, "purse").usage.budget_spent_minor == 100


def test_a_schedule_runs_on_the_clock_of_the_store() -> None:
    """02:30 UTC on Sunday, 31 March 2024, is 03:30 in Berlin's winter but 04:30 once its clocks have gone forward."""
    shop = small_shop()
    half_past_two = 1_711_852_200 * SECOND_NS
    night = promotion_pb2.Schedule(weekdays=[7], periods=[promotion_pb2.Period(from_minute=180, to_minute=240)])
    _put(shop, _percent_off("night", 50, schedule=night))
    winter = promotion_pb2.UtcOffset(offset_s=3600)
    assert shop.send(promotion_pb2.PutPricingRulesRequest(utc_offsets=[winter])).code == result_pb2.RESULT_CODE_OK
    assert _quote(shop, line("wrap"), at_ns=half_past_two).total_minor == 50
    summer = promotion_pb2.UtcOffset(from_ns=1_711_846_800 * SECOND_NS, offset_s=7200)
    shop.send(promotion_pb2.PutPricingRulesRequest(utc_offsets=[winter, summer]))
    assert _quote(shop, line("wrap"), at_ns=half_past_two).total_minor == 100
    assert _quote(shop, line("wrap"), at_ns=half_past_two - 3600 * SECOND_NS).total_minor == 50
    far_away = promotion_pb2.UtcOffset(location_id="S1", offset_s=-5 * 3600)
    shop.send(promotion_pb2.PutPricingRulesRequest(utc_offsets=[winter, far_away]))
    assert _quote(shop, line("wrap"), at_ns=half_past_two).total_minor == 100


def test_every_reason_why_not_comes_with_its_numbers() -> None:
    shop = small_shop()
    needs = promotion_pb2.Condition(
        type=promotion_pb2.CONDITION_TYPE_MIN_QTY, qty_milli=3000, target=promotion_pb2.Target(item_ids=["bread"])
    )
    _put(shop, _percent_off("three", 10, conditions=[needs]), _percent_off("vip", 10, customer_groups=["vip"]))
    basket = _quote(shop, line("bread"), explain_all=True)
    (three,) = (p for p in basket.promotions if p.promotion_id == "three")
    assert (three.found, three.needed, three.condition) == (1000, 3000, 1)
    assert _outcome(basket, "three") == "NEEDS_QTY"
    assert _outcome(basket, "vip") == "WRONG_CUSTOMER"
    assert [p.promotion_id for p in _quote(shop, line("wrap")).promotions] == [], "neither touches gift wrap"


@pytest.mark.parametrize(
    ("promotion", "field"),
    [
        (promotion_pb2.Promotion(promotion_id="x"), "promotions.benefits"),
        (_percent_off("", 10), "promotions.promotion_id"),
        (_percent_off("x", 101), "promotions.benefits.rate_ppb"),
        (_percent_off("x", -1), "promotions.benefits.rate_ppb"),
        (_percent_off("x", 10, coupon="c" * 1_000_000), "promotions"),
        (_percent_off("x", 10, coupon="c" * 65), "promotions.coupon"),
        (_percent_off("x", 10, from_ns=2, to_ns=1), "promotions.to_ns"),
        (
            _percent_off("x", 10, schedule=promotion_pb2.Schedule(weekdays=[8])),
            "promotions.schedule.weekdays",
        ),
        (
            _percent_off(
                "x",
                10,
                schedule=promotion_pb2.Schedule(
                    periods=[
                        promotion_pb2.Period(from_minute=600, to_minute=660),
                        promotion_pb2.Period(from_minute=659, to_minute=700),
                    ]
                ),
            ),
            "promotions.schedule.periods.from_minute",
        ),
        (
            promotion_pb2.Promotion(
                promotion_id="x",
                benefits=[promotion_pb2.Benefit(type=promotion_pb2.BENEFIT_TYPE_ITEM_FIXED_PRICE, amount_minor=10**16)],
            ),
            "promotions.benefits.amount_minor",
        ),
        (
            promotion_pb2.Promotion(
                promotion_id="x",
                benefits=[
                    promotion_pb2.Benefit(
                        type=promotion_pb2.BENEFIT_TYPE_ITEM_PERCENT_OFF, target=promotion_pb2.Target()
                    )
                ],
            ),
            "promotions.target",
        ),
        (promotion_pb2.Promotion(promotion_id="x", benefits=[promotion_pb2.Benefit()]), "promotions.benefits.type"),
    ],
)
def test_an_unsound_promotion_is_refused_and_nothing_is_published(
    promotion: promotion_pb2.Promotion, field: str
) -> None:
    shop = small_shop()
    digest = shop.core.digest()
    answer = shop.send(promotion_pb2.PutPromotionsRequest(promotions=[_percent_off("good", 10), promotion]))
    assert answer.code != result_pb2.RESULT_CODE_OK
    assert answer.problem.field == field
    assert answer.problem.index == 1
    assert _quote(shop, line("wrap")).total_minor == 100
    assert shop.core.row_counts()["promotions"] == 0
    assert digest != shop.core.digest(), "only the refused command's id is remembered"


def test_replay_and_checkpoint_give_the_same_promotions() -> None:
    shop = small_shop()
    _put(shop, _percent_off("p", 10, coupon="P", limits=promotion_pb2.Limits(max_uses=3, max_uses_per_customer=2)))
    _put(shop, _percent_off("u", 20, unique_coupons=True))
    shop.send(promotion_pb2.PutCouponsRequest(promotion_id="u", codes=["one"]))
    _sell(shop, line("wrap"), coupons=["P", "one"], customer_id="ann")
    folded = shop.refold()
    assert folded.digest() == shop.core.digest()

    loaded = Core()
    checkpoint = shop.core.checkpoint()
    for number, page, data in checkpoint:
        loaded.tables[number].load_page(page, data, shop.core.tables[number].count)
    checkpoint.done()
    loaded.rebuild()
    assert loaded.digest() == shop.core.digest()
    request = pricing_pb2.PriceBasketRequest(
        location_id="S1", lines=[line("wrap")], coupons=["P", "one"], customer_id="ann", explain_all=True
    ).SerializeToString()
    assert loaded.query("PriceBasket", request, shop.now_ns) == shop.core.query("PriceBasket", request, shop.now_ns)


def test_a_page_of_promotions_continues_where_the_last_one_ended() -> None:
    shop = small_shop()
    _put(shop, *(_percent_off(f"p{number:03}", 1) for number in range(120)))
    found: list[str] = []
    token = ""
    while True:
        request = promotion_pb2.ListPromotionsRequest(page_token=token)
        answer = shop.ask("ListPromotions", request, promotion_pb2.ListPromotionsResponse)
        found += [p.promotion.promotion_id for p in answer.promotions]
        token = answer.next_page_token
        if not token:
            break
    assert found == [f"p{number:03}" for number in range(120)]


def test_categories_of_the_catalog_are_targets() -> None:
    shop = small_shop()
    shop.send(catalog_pb2.PutItemsRequest(items=[catalog_pb2.Item(item_id="wrap", name="Wrap", categories=["paper"])]))
    promotion = _percent_off("paper", 50)
    promotion.benefits[0].target.categories.append("paper")
    _put(shop, promotion)
    assert _quote(shop, line("wrap")).total_minor == 50
    assert _quote(shop, line("bread")).total_minor == 250


def test_the_ladder_of_a_promotion_s_state() -> None:
    """Each row mends what the row above reported.  What was ended once came back by a resume, past every check."""
    shop = small_shop()
    _put(shop, _percent_off("p", 10), _percent_off("over", 20))
    active, ended = promotion_pb2.PROMOTION_STATE_ACTIVE, promotion_pb2.PROMOTION_STATE_ENDED
    assert shop.send(promotion_pb2.SetPromotionStateRequest(promotion_ids=["over"], state=ended)).code == OK
    rows: list[tuple[list[str], int, str]] = [
        (["p", "over", "x"] * 4000, 7, "TOO_MANY"),
        ([], 7, "LINES_EMPTY"),
        (["p", "x", "over"], 7, "FIELD_INVALID"),
        (["p", "x", "over"], active, "PROMOTION_UNKNOWN"),
        (["p", "over"], promotion_pb2.PROMOTION_STATE_PAUSED, "PROMOTION_ENDED"),
        (["p", "over"], active, "PROMOTION_ENDED"),
        (["p", "over"], ended, "OK"),
    ]
    for ids, state, code in rows:
        request = promotion_pb2.SetPromotionStateRequest(promotion_ids=ids, state=state)  # type: ignore[arg-type]  # a number out of range is the case
        answer = shop.send(request)
        assert result_pb2.ResultCode.Name(answer.code) == f"RESULT_CODE_{code}"
        assert _listed(shop, "p").state == (ended if code == "OK" else active), "a refusal changes nothing"
    _put(shop, _percent_off("over", 20))
    assert _listed(shop, "over").state == active, "a put starts it again"


def test_single_use_codes_are_for_promotions_that_they_open() -> None:
    """Codes were taken for a promotion that asks for none; beside a shared code they are single uses."""
    shop = small_shop()
    _put(shop, _percent_off("shared", 10, coupon="ALL"), _percent_off("later", 10))
    _put(shop, _percent_off("later", 20, unique_coupons=True), effective_ns=shop.now_ns + DAY_NS)
    _put(shop, _percent_off("free", 0))
    rows = [("x", "PROMOTION_UNKNOWN"), ("free", "COUPONS_NOT_ASKED"), ("later", "OK"), ("later", "COUPON_TAKEN")]
    for promotion_id, code in rows:
        answer = shop.send(promotion_pb2.PutCouponsRequest(promotion_id=promotion_id, codes=["c1"]))
        assert result_pb2.ResultCode.Name(answer.code) == f"RESULT_CODE_{code}"
    assert shop.send(promotion_pb2.PutCouponsRequest(promotion_id="shared", codes=["c2"])).code == OK
    assert _sell(shop, line("wrap"), coupons=["c2"]).receipt.basket.discount_minor == 10 + 9
    shop.now_ns += DAY_NS
    shop.send(
        promotion_pb2.SetPromotionStateRequest(promotion_ids=["shared"], state=promotion_pb2.PROMOTION_STATE_PAUSED)
    )
    assert _quote(shop, line("wrap"), coupons=["c1"]).total_minor == 80

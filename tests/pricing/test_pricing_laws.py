"""Laws that every price obeys, whatever the promotions."""

from __future__ import annotations

import os
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ringup.engine.simulate_pricing import Answer
from ringup.engine.simulate_request import Clock, request_of
from ringup.native.pricing_simulate import Pricer
from ringup.v1 import promotion_pb2 as pb
from ringup.v1 import result_pb2

EXAMPLES = int(os.environ.get("RINGUP_HYPOTHESIS_EXAMPLES", "100"))
SKUS = ("A", "B", "C", "D")

targets = st.one_of(
    st.just({"all": True}),
    st.lists(st.sampled_from(SKUS), min_size=1, max_size=3, unique=True).map(lambda skus: {"skus": skus}),
)
percents = st.integers(1, 100)
amounts = st.integers(1, 3000)
benefits = st.one_of(
    st.builds(lambda t, p: {"type": "item_percent_off", "target": t, "percent": p}, targets, percents),
    st.builds(lambda t, a: {"type": "item_amount_off", "target": t, "amount_minor": a}, targets, amounts),
    st.builds(lambda t, a: {"type": "item_fixed_price", "target": t, "price_minor": a}, targets, amounts),
    st.builds(lambda t, p: {"type": "order_percent_off", "target": t, "percent": p}, targets, percents),
    st.builds(lambda t, a: {"type": "order_amount_off", "target": t, "amount_minor": a}, targets, amounts),
    st.builds(
        lambda t, q, a: {"type": "bundle_fixed_price", "target": t, "qty": q, "price_minor": a},
        targets,
        st.integers(2, 4),
        amounts,
    ),
    st.builds(lambda t, q: {"type": "multibuy_cheapest_free", "target": t, "qty": q}, targets, st.integers(2, 4)),
    st.builds(
        lambda b, g, p: {
            "type": "buy_get",
            "buy": {"target": b, "qty": 1},
            "get": {"target": g, "qty": 1, "percent": p},
            "repeat": True,
        },
        targets,
        targets,
        percents,
    ),
)
promotions = st.lists(benefits, max_size=4).map(
    lambda found: [{"id": f"p{i}", "conditions": [], "benefits": [b], "priority": -i} for i, b in enumerate(found)]
)
limits = st.fixed_dictionaries(
    {},
    optional={
        "max_applications": st.integers(0, 3),
        "budget_minor": st.integers(0, 3000),
        "on_exceed": st.sampled_from(["skip", "cap"]),
    },
)
limited_promotions = st.lists(st.tuples(benefits, limits, st.integers(0, 2000)), max_size=4).map(
    lambda found: [
        {
            "id": f"p{i}",
            "conditions": [],
            "benefits": [b | ({"cap_minor": cap} if b["type"] == "item_percent_off" else {})],
            "limits": limited,
        }
        for i, (b, limited, cap) in enumerate(found)
        if not b["type"].startswith("order_")  # an order discount rounds by line
    ]
)
items = st.lists(
    st.builds(
        lambda sku, qty, price, floor: {
            "sku": sku,
            "qty": qty,
            "unit_price_minor": price,
            "min_price_minor": min(floor, price),
        },
        st.sampled_from(SKUS),
        st.integers(1, 5),
        st.integers(0, 5000),
        st.one_of(st.just(0), st.integers(0, 5000)),
    ),
    min_size=1,
    max_size=5,
)


def _price(items_: list[dict[str, Any]], offers: list[dict[str, Any]], **fields: Any) -> Answer:
    return Answer({"currency": "EUR", "items": items_, "promotions": offers, "coupons": [], **fields})


@settings(max_examples=EXAMPLES, deadline=None)
@given(items, promotions, st.sampled_from(["priority", "best_deal", "best_allocation"]))
def test_the_parts_sum_to_the_whole_and_no_price_is_below_its_floor(
    basket: list[dict[str, Any]], offers: list[dict[str, Any]], selection: str
) -> None:
    answer = _price(basket, offers, selection=selection)
    response = answer.response
    assert response.subtotal_minor - response.discount_minor == response.total_minor
    assert sum(answer.key_line_totals_minor()) == response.total_minor
    assert sum(p.discount_minor for p in response.promotions) == response.discount_minor
    for line, item, units in zip(response.lines, basket, answer.key_unit_discounts_minor(), strict=True):
        assert sum(units) == line.gross_minor - line.total_minor
        assert sum(run.count for run in line.units) == item["qty"]
        assert all(run.price_minor >= item["min_price_minor"] for run in line.units)
    for promotion in response.promotions:
        units = sum(u.count * u.amount_minor for u in promotion.units)
        assert units == promotion.discount_minor, "the explanation names every unit"


@settings(max_examples=EXAMPLES, deadline=None)
@given(items, promotions)
def test_a_promotion_that_touches_nothing_changes_nothing(
    basket: list[dict[str, Any]], offers: list[dict[str, Any]]
) -> None:
    idle = {
        "id": "idle",
        "conditions": [],
        "benefits": [{"type": "item_percent_off", "target": {"skus": ["nowhere"]}, "percent": 50}],
        "priority": 99,
    }
    without, with_idle = _price(basket, offers), _price(basket, [*offers, idle])
    assert without.key_line_totals_minor() == with_idle.key_line_totals_minor()


@settings(max_examples=EXAMPLES, deadline=None)
@given(items, limited_promotions, st.randoms(use_true_random=False))
def test_the_order_of_lines_does_not_change_the_best_deal(
    basket: list[dict[str, Any]], offers: list[dict[str, Any]], rng: Any
) -> None:
    """Offers on units, with caps, budgets and limits."""
    shuffled = list(basket)
    rng.shuffle(shuffled)
    first, second = (_price(b, offers, selection="best_deal").response for b in (basket, shuffled))
    if first.search.proven and second.search.proven:
        assert first.discount_minor == second.discount_minor


@settings(max_examples=EXAMPLES, deadline=None)
@given(items, limited_promotions, st.sampled_from(SKUS), st.integers(0, 5000))
def test_one_more_unit_never_makes_the_best_deal_smaller(
    basket: list[dict[str, Any]], offers: list[dict[str, Any]], sku: str, price: int
) -> None:
    more = [*basket, {"sku": sku, "qty": 1, "unit_price_minor": price}]
    first, second = (_price(b, offers, selection="best_deal").response for b in (basket, more))
    if first.search.proven and second.search.proven:
        assert second.discount_minor >= first.discount_minor


@settings(max_examples=EXAMPLES, deadline=None)
@given(items, promotions)
def test_the_best_deal_is_never_worse_than_any_single_offer(
    basket: list[dict[str, Any]], offers: list[dict[str, Any]]
) -> None:
    best = _price(basket, offers, selection="best_deal").response.discount_minor
    for offer in offers:
        if offer["benefits"][0]["type"].startswith("order_"):
            continue
        assert best >= _price(basket, [offer]).response.discount_minor


@settings(max_examples=EXAMPLES, deadline=None)
@given(items, st.integers(0, 3000), st.sampled_from(["unit", "line", "total"]), st.booleans())
def test_a_return_of_everything_is_the_sale_with_the_other_sign(
    basket: list[dict[str, Any]], percent_hundredths: int, round_at: str, inclusive: bool
) -> None:
    tax = {
        "mode": "inclusive" if inclusive else "exclusive",
        "rates": {"std": [{"name": "VAT", "percent": f"{percent_hundredths / 100:.2f}"}]},
        "round_at": round_at,
        "rounding": "half_up",
    }
    sold = [{**item, "tax_class": "std"} for item in basket]
    back = [{**item, "qty": -item["qty"]} for item in sold]
    sale, refund = _price(sold, [], tax=tax).response, _price(back, [], tax=tax).response
    assert (refund.total_minor, refund.tax_minor) == (-sale.total_minor, -sale.tax_minor)


@settings(max_examples=EXAMPLES, deadline=None)
@given(st.binary(max_size=400))
def test_no_bytes_upset_the_pricer(data: bytes) -> None:
    pricer = Pricer()
    assert pb.SimulateResponse.FromString(pricer.simulate(data)).code != result_pb2.RESULT_CODE_UNSPECIFIED


@settings(max_examples=EXAMPLES, deadline=None)
@given(items, promotions, st.data())
def test_a_changed_byte_gives_an_answer_or_a_refusal(
    basket: list[dict[str, Any]], offers: list[dict[str, Any]], data: Any
) -> None:
    case = {"currency": "EUR", "items": basket, "promotions": offers, "coupons": []}
    body = bytearray(request_of(case, Clock(None, None)).SerializeToString())
    for _ in range(data.draw(st.integers(1, 4))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    answer = pb.SimulateResponse.FromString(Pricer().simulate(bytes(body)))
    assert answer.code != result_pb2.RESULT_CODE_UNSPECIFIED


@pytest.mark.parametrize("units", [20, 40, 100])
def test_the_search_ends_within_its_budget_and_says_what_it_does_not_know(units: int) -> None:
    """Overlapping offers on many different prices: more mixes than can be tried."""
    basket = [{"sku": SKUS[i % 4], "qty": 1, "unit_price_minor": 100 + 37 * i} for i in range(units)]
    offers = [
        {"id": f"p{i}", "conditions": [], "benefits": [benefit]}
        for i, benefit in enumerate(
            [
                {"type": "multibuy_cheapest_free", "target": {"skus": ["A", "B"]}, "qty": 3},
                {"type": "bundle_fixed_price", "target": {"skus": ["B", "C"]}, "qty": 2, "price_minor": 900},
                {"type": "bundle_percent_off", "target": {"all": True}, "qty": 4, "percent": 30},
            ]
        )
    ]
    search = _price(basket, offers, selection="best_deal").response.search
    greedy = _price(basket, offers).response.discount_minor
    assert search.nodes <= 5_000 + 10 * units
    assert search.discount_minor >= greedy
    assert search.bound_minor >= search.discount_minor


@settings(max_examples=EXAMPLES, deadline=None)
@given(items, limited_promotions, st.integers(1, 30))
def test_beyond_the_budget_the_best_deal_lies_between_what_is_found_and_the_bound(
    basket: list[dict[str, Any]], offers: list[dict[str, Any]], nodes: int
) -> None:
    case = {"currency": "EUR", "items": basket, "promotions": offers, "coupons": [], "selection": "best_deal"}
    exact = Answer(case).response
    request = request_of(case, Clock(None, None))
    request.rules.search_nodes_max = nodes
    found = pb.SimulateResponse.FromString(Pricer().simulate(request.SerializeToString()))
    if exact.search.proven:
        assert found.discount_minor <= exact.discount_minor <= found.search.bound_minor
    if found.search.proven:
        assert found.discount_minor == exact.discount_minor


@pytest.mark.parametrize("units", [5_000, 30_000])
def test_a_basket_of_very_many_units_is_priced(units: int) -> None:
    """Each application of a mix once stood on the stack: 5,000 units of two items ended the process."""
    basket = [{"sku": "A", "qty": units, "unit_price_minor": 100}, {"sku": "B", "qty": units, "unit_price_minor": 130}]
    offers = [
        {"id": "pair", "conditions": [], "benefits": [{"type": "multibuy_cheapest_free", "qty": 2}]},
        {"id": "trio", "conditions": [], "benefits": [{"type": "bundle_fixed_price", "qty": 3, "price_minor": 200}]},
    ]
    response = _price(basket, offers, selection="best_deal").response
    assert response.discount_minor == units // 2 * (100 + 130)  # of each two equal ones one is free
    assert response.search.bound_minor >= response.discount_minor

"""`promo replay`: drafts on recorded sales, against arithmetic by hand on the small shop."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from ringup.engine.cli import app
from ringup.v1 import promotion_pb2, sale_pb2
from support.core import CoreHarness, card, cash, line, small_shop
from support.data_directory import write_directory

DAY_NS = 86_400_000_000_000
DAYS = "2023-11-14..2023-11-16"  # the small shop's clock begins on 14 November 2023, 22:13:20 UTC
MILK = {"skus": ["milk"]}
TENTH = {"type": "item_percent_off", "percent": 10, "target": MILK}


def draft(name: str = "tenth", **keys: Any) -> dict[str, Any]:
    return {"id": name, "conditions": [], "benefits": [TENTH], **keys}


def shop_with_sales() -> CoreHarness:
    """Six sales of 2 milk and 1 bread, two a day, on the first day one; the last milk comes back."""
    shop = small_shop(shortfall_allowed=True)
    for number in range(6):
        shop.now_ns += DAY_NS // 2
        # Paid to the cent by card, with the total that the till showed: a cheaper basket would not fit either.
        sale = sale_pb2.SellRequest(
            till_id="T1", lines=[line("milk", 2), line("bread")], tenders=[card(488)], expected_total_minor=488
        )
        assert shop.send(sale).code == 1, number
    back = sale_pb2.ReturnLinesRequest(
        till_id="T1", sale_id=sale.command_id, lines=[sale_pb2.ReturnLine(line=0, qty_milli=1000)]
    )
    assert shop.send(back).code == 1
    return shop


@pytest.fixture
def promo_replay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Run the command in this process, in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    return lambda *arguments: CliRunner().invoke(app, ["promo", "replay", *arguments])


@pytest.fixture
def replay(promo_replay: Any, tmp_path: Path) -> Any:
    write_directory(tmp_path / "book", shop=shop_with_sales())

    def run(drafts: object, *options: str, days: str = DAYS) -> Any:
        (tmp_path / "draft.json").write_text(json.dumps(drafts))
        return promo_replay("draft.json", "--days", days, "--data", "book", *options)

    return run


def report(result: Any) -> dict[str, Any]:
    assert result.exit_code == 0, result.stderr
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def test_a_draft_costs_what_it_would_have_taken_off(replay: Any) -> None:
    found = report(replay(draft(), "--json"))
    # 10 % of 1.19 is 0.12 a milk, two a basket; the sales of 15 and 16 November and none on the 14th.
    assert {day: entry["baskets"] for day, entry in found["by_day"].items()} == {"2023-11-15": 2, "2023-11-16": 2}
    assert (found["baskets"], found["touched"], found["changed"]) == (4, 4, 4)
    assert found["discount_minor"] == found["cost_minor"] == 4 * 24
    assert (found["before_minor"], found["after_minor"]) == (4 * 488, 4 * 464)
    assert (found["discounted_units"], found["touched_qty_milli"]) == (8, 12_000)
    assert len(found["top"]) == 4
    assert found["top"][0]["promotions"] == ["tenth"]
    assert found["returns"] == 0  # what comes back was sold on the 17th


def test_what_comes_back_is_refunded_as_it_would_have_been_paid(replay: Any) -> None:
    found = report(replay(draft(), "--json", days="2023-11-17"))
    assert (found["returns"], found["refunds_less_minor"]) == (1, 12)


@pytest.mark.parametrize("coded", [False, True])
@pytest.mark.parametrize("by_number", [False, True])
def test_what_is_priced_again_is_the_sale_as_it_was_sold_again(
    promo_replay: Any, tmp_path: Path, *, coded: bool, by_number: bool
) -> None:
    """The core took the recorded sale for another one than it had booked, and the return was left out in silence."""
    shop = small_shop()
    for _ in range(2):  # the first before the days asked for: it stays as it was
        shop.now_ns += DAY_NS
        request = sale_pb2.SellRequest(till_id="T1", lines=[line("milk", 3)], tenders=[card(357)])
        number = shop.send(request).receipt.number
        sale = {"receipt_till_id": "T1", "receipt_number": number} if by_number else {"sale_id": request.command_id}
        back = sale_pb2.ReturnLinesRequest(
            till_id="T1",
            lines=[sale_pb2.ReturnLine(qty_milli=1000)],
            refund_policy=sale_pb2.REFUND_POLICY_REPRICE_KEPT,
            original_sale=request.SerializeToString(),
            **sale,  # type: ignore[arg-type]  # of several types
        )
        assert shop.send(back).receipt.basket.total_minor == 119
    write_directory(tmp_path / "book", shop=shop)
    (tmp_path / "draft.json").write_text(json.dumps(draft(**({"coupon": "TENTH"} if coded else {}))))
    options = ["--present-coupons"] if coded else []
    found = report(promo_replay("draft.json", "--days", "2023-11-16", "--data", "book", "--json", *options))
    assert (found["baskets"], found["cost_minor"]) == (1, 36)
    assert (found["returns"], found["refunds_less_minor"]) == (1, 12)


def test_a_store_s_day_is_its_own(replay: Any) -> None:
    found = report(replay(draft(), "--json", "--zone", "Asia/Tokyo", days="2023-11-15"))
    assert found["by_day"].keys() == {"2023-11-15"}
    assert found["baskets"] == 1  # 10:13 UTC is the evening in Tokyo, 22:13 is tomorrow


@pytest.mark.parametrize(
    ("limits", "discount_minor", "limit", "at"),
    [
        ({"max_uses": 3}, 3 * 24, "max_uses", "2023-11-16T10:13:20+00:00"),
        ({"budget_minor": 50}, 50, "budget_minor", "2023-11-16T10:13:20+00:00"),
        ({"budget_minor": 50, "on_exceed": "skip"}, 48, "budget_minor", "2023-11-16T10:13:20+00:00"),
        ({"max_uses": 9}, 4 * 24, "", ""),
    ],
)
def test_uses_and_budgets_are_taken_in_the_order_of_the_sales(
    replay: Any, limits: dict[str, Any], discount_minor: int, limit: str, at: str
) -> None:
    found = report(replay(draft(limits=limits), "--json"))
    assert found["discount_minor"] == discount_minor
    assert found["drafts"]["tenth"]["reached"] == ({limit: at} if limit else {})


def test_a_published_promotion_that_is_beaten_gives_less(promo_replay: Any, tmp_path: Path) -> None:
    shop = small_shop(shortfall_allowed=True)
    milk = promotion_pb2.Target(item_ids=["milk"])
    off = promotion_pb2.Benefit(type=promotion_pb2.BENEFIT_TYPE_ITEM_FIXED_PRICE, amount_minor=100, target=milk)
    shop.send(
        promotion_pb2.PutPromotionsRequest(promotions=[promotion_pb2.Promotion(promotion_id="a", benefits=[off])])
    )
    shop.now_ns += DAY_NS // 2
    assert shop.send(sale_pb2.SellRequest(till_id="T1", lines=[line("milk")], tenders=[cash(200)])).code == 1
    write_directory(tmp_path / "book", shop=shop)
    half = {"id": "half", "conditions": [], "priority": 5, "benefits": [{**TENTH, "percent": 50}]}
    (tmp_path / "draft.json").write_text(json.dumps([half]))
    options = ("draft.json", "--days", "2023-11-15", "--data", "book", "--json")
    found = report(promo_replay(*options))
    # 1.00 before; half of 1.19 is 0.60 after, below the fixed price of 1.00, which then gives nothing.
    assert (found["cost_minor"], found["discount_minor"]) == (100 - 59, 60)
    assert found["others"] == {"a": {"before_minor": 19, "after_minor": 0}}
    # Under its own id the draft stands in for what is published.
    (tmp_path / "draft.json").write_text(json.dumps({"cases": []} | {"promotions": [{**half, "id": "a"}]}))
    assert promo_replay(*options).exit_code == 2
    (tmp_path / "draft.json").write_text(json.dumps({"promotions": [{**half, "id": "a"}]}))
    found = report(promo_replay(*options))
    assert found["drafts"]["a"]["discount_before_minor"] == 19
    assert (found["cost_minor"], found["others"]) == (41, {})


def test_coupons_are_presented_when_asked_for(replay: Any) -> None:
    assert report(replay(draft(coupon="MILK"), "--json"))["touched"] == 0
    assert report(replay(draft(coupon="MILK"), "--json", "--present-coupons"))["touched"] == 4


def test_own_dates_hold_when_asked_for(replay: Any) -> None:
    window = {"from": "2023-11-16T00:00", "to": "2023-12-01T00:00"}
    assert report(replay(draft(window=window), "--json"))["touched"] == 4
    assert report(replay(draft(window=window), "--json", "--own-dates"))["touched"] == 2
    late = replay(draft(window={"from": "2024-01-01"}), "--own-dates")
    assert (late.exit_code, "none of the days asked for" in late.stderr) == (2, True)


def test_people_see_cost_and_model(replay: Any) -> None:
    shown = replay([draft(limits={"max_uses": 3})]).stdout
    assert "0.72 EUR" in shown
    assert "uses of 3 gone at" in shown
    assert "nobody comes, buys more or leaves out because of a draft" in shown


@pytest.mark.parametrize(
    ("drafts", "days", "expected"),
    [
        ([draft()], "2023-11-16..2023-11-14", "the first day not to come after the last"),
        ([draft()], "yesterday", "expected days such as"),
        ([draft(), draft()], DAYS, "'tenth'"),
        ([], DAYS, "at least one promotion"),
        ([{**draft(), "benefit": []}], DAYS, "the nearest known key is 'benefits'"),
        ({"x": 1}, DAYS, 'expected {"cases": [...]}'),
        ([draft("x" * 65)], DAYS, "promotions.promotion_id"),
    ],
)
def test_wrong_inputs_are_named(replay: Any, drafts: object, days: str, expected: str) -> None:
    result = replay(drafts, days=days)
    assert (result.exit_code, result.stdout) == (2, "")
    assert expected in result.stderr

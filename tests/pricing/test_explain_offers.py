"""What `ringup explain` says is true: its lines sum to the total, and each offer, taken, gives what it says."""

from __future__ import annotations

import json
import os
import random
import re
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from ringup.engine import commands_promo
from ringup.engine.cli import app
from ringup.engine.explain import explain
from ringup.engine.simulate_pricing import Answer

BASKETS = int(os.environ.get("RINGUP_OFFER_BASKETS", "400"))
OFFER = re.compile(
    r"> add ([\d.]+) more (\w+): (?:([\d.]+) EUR off)?(?: and )?(?:(\d+) x (\w+) for nothing)? \((\w+)( once more)?\), "
    r"(?:for ([\d.]+) EUR more|for nothing more|and pay ([\d.]+) EUR less)"
)
PART = re.compile(r".*: (-?[\d.]+) EUR(?: less (-?[\d.]+) EUR)?(?: and ([\d.]+) EUR more)?")
SKUS = ("A", "B", "C", "D")


def _cents(text: str | None) -> int:
    return int((text or "0.00").replace(".", ""))


def _target(draw: random.Random) -> dict[str, Any]:
    return draw.choice(
        [{"all": True}, {"skus": draw.sample(SKUS, draw.randint(1, 3))}, {"categories": [draw.choice("xy")]}]
    )


def _benefit(draw: random.Random) -> dict[str, Any]:
    get = {"target": _target(draw), "qty": 1, "percent": draw.choice([50, 100]), "pick": "cheapest"}
    return draw.choice(
        [
            {"type": "multibuy_cheapest_free", "qty": draw.randint(2, 4), "target": _target(draw)},
            {"type": "buy_get", "buy": {"target": _target(draw), "qty": draw.randint(1, 2)}, "get": get},
            {"type": "bundle_fixed_price", "qty": draw.randint(2, 4), "price_minor": 250, "target": _target(draw)},
            {"type": "item_percent_off", "percent": draw.choice([10, 25]), "target": _target(draw)},
            {"type": "order_amount_off", "amount_minor": draw.choice([50, 200]), "target": _target(draw)},
            {"type": "quantity_group", "group_size": draw.randint(2, 3), "amount_minor": 20, "target": _target(draw)},
            {"type": "tiered_percent", "basis": "order_subtotal", "tiers": [{"min_minor": 700, "percent": 10}]},
            {"type": "charge_percent_off", "charge": "d", "percent": 100},
            {
                "type": "free_item",
                "sku": "G",
                "qty": 1,
                "for_each": {"qty": draw.randint(2, 3), "target": _target(draw)},
            },
        ]
    )


def _condition(draw: random.Random) -> dict[str, Any]:
    return draw.choice(
        [
            {"type": "min_subtotal", "amount_minor": draw.choice([300, 700, 1500])},
            {"type": "min_qty", "qty": draw.randint(2, 8), "target": _target(draw)},
            {"type": "min_line_qty", "qty": draw.randint(2, 5)},
            {"type": "min_value", "amount_minor": draw.choice([200, 800]), "target": _target(draw)},
        ]
    )


def _case(draw: random.Random) -> dict[str, Any]:
    items = [
        {"sku": sku, "unit_price_minor": draw.choice([50, 99, 100, 150, 333, 1000]), "category": [draw.choice("xy")]}
        | {"qty": draw.randint(1, 4) if draw.random() < 0.9 else "0.75", "min_price_minor": draw.choice([0, 0, 40])}
        | ({"tax_class": "s"} if draw.random() < 0.5 else {})
        | ({"uom_factor": 6} if draw.random() < 0.1 else {})
        for sku in SKUS[: draw.randint(1, 4)]
    ]
    promotions = [
        {"id": f"p{number}", "benefits": [_benefit(draw)], "priority": draw.randint(0, 2)}
        | ({"conditions": [_condition(draw)]} if draw.random() < 0.5 else {})
        | ({"exclusive": True} if draw.random() < 0.1 else {})
        for number in range(draw.randint(1, 4))
    ]
    mode = draw.choice(["exclusive", "inclusive"])
    return {
        "id": "c",
        "currency": "EUR",
        "items": items,
        "promotions": promotions,
        "expect": {},
        "charges": [{"id": "d", "amount_minor": 300, "tax_class": "s"}] if draw.random() < 0.5 else [],
        "tax": {"mode": mode, "rates": {"s": [{"percent": 20}]}},
        "selection": draw.choice(["priority", "priority", "best_deal"]),
    }


def _worth(answer: Answer) -> int:
    return int(answer.response.discount_minor + sum(charge.discount_minor for charge in answer.response.charges))


def _gifts(answer: Answer, promotion_id: str) -> int:
    return sum(free.qty for free in answer.response.free_items if free.promotion_id == promotion_id)


def test_an_offer_that_is_taken_gives_what_it_says_and_the_lines_sum_to_the_total() -> None:
    made = 0
    for seed in range(BASKETS):
        case = _case(random.Random(seed))
        before, lines = Answer(case), list(explain(case))
        total = 0
        for line in lines[:-1]:
            if line[0] not in "+-?>":
                part = PART.fullmatch(line)
                assert part is not None, (seed, line)
                total += _cents(part[1]) - _cents(part[2]) + _cents(part[3])
        assert lines[-1].split(" EUR")[0] == f"= {total // 100}.{total % 100:02}", (seed, lines)
        for line in lines:
            if not line.startswith(">"):
                continue
            offer = OFFER.fullmatch(line)
            assert offer is not None, (seed, line)
            more, sku, off, count, _, promotion_id, _, dearer, cheaper = offer.groups()
            items = [
                item | {"qty": str(float(Fraction(item["qty"]) + Fraction(more)))} if item["sku"] == sku else item
                for item in case["items"]
            ]
            taken = Answer(case | {"items": items})
            assert _worth(taken) - _worth(before) == _cents(off), (seed, line)
            assert _gifts(taken, promotion_id) - _gifts(before, promotion_id) == int(count or 0), (seed, line)
            assert promotion_id in taken.key_applied(), (seed, line)
            costs = taken.response.total_minor - before.response.total_minor
            assert costs == _cents(dearer) - _cents(cheaper), (seed, line)
            made += 1
    assert made > BASKETS // 4, "too few offers to prove anything"


def test_one_more_of_a_set_is_offered_where_there_is_one_already() -> None:
    case = {
        "id": "c",
        "currency": "EUR",
        "expect": {},
        "items": [{"sku": "A", "qty": 5, "unit_price_minor": 200}],
        "promotions": [{"id": "three", "benefits": [{"type": "multibuy_cheapest_free", "qty": 3}]}],
    }
    lines = list(explain(case))
    assert "+ three once: 2.00 EUR (1 x A at 2.00 EUR)" in lines
    assert "> add 1 more A: 2.00 EUR off (three once more), for nothing more" in lines


def test_what_stands_beside_the_lines_is_shown() -> None:
    """Charges, deposits, taxes, gifts, points and payment: nothing of the total is left unsaid."""
    gift = {"type": "free_item", "sku": "G", "qty": 1, "for_each": {"qty": 2, "target": {"skus": ["A"]}}}
    case = {
        "id": "c",
        "currency": "EUR",
        "expect": {},
        "items": [{"sku": "A", "qty": 4, "unit_price_minor": 250, "tax_class": "s", "deposit_minor": 25}],
        "promotions": [
            {"id": "gift", "benefits": [gift]},
            {"id": "free", "benefits": [{"type": "charge_percent_off", "charge": "post", "percent": 50}]},
            {"id": "a", "benefits": [{"type": "order_amount_off", "amount_minor": 50}], "group": "g", "priority": 1},
            {"id": "b", "benefits": [{"type": "order_amount_off", "amount_minor": 70}], "group": "g"},
            {"id": "web", "benefits": [gift], "channels": ["web", "app"]},
            {"id": "first", "benefits": [gift], "conditions": [{"type": "nth_order", "n": 1}]},
        ],
        "rules": {"group_modes": {"g": "first"}},
        "charges": [{"id": "post", "amount_minor": 400}],
        "tax": {"mode": "exclusive", "rates": {"s": [{"percent": 20, "name": "vat"}]}},
        "tender": {
            "payments": [{"method": "cash", "tendered_minor": 1000}],
            "cash_rounding": {"increment_minor": 5, "mode": "half_up"},
            "gift_cards": [{"balance_minor": 401}],
        },
        "loyalty": {
            "earn": {"per": "currency_unit", "points": 1},
            "burn": {"points": 50, "value_minor_per_point": 1},
            "opening_points": 60,
            "redeem": True,
        },
    }
    assert list(explain(case)) == [
        "4 x A: 10.00 EUR less 1.00 EUR",
        "+ a once: 0.50 EUR (2 x A at 0.13 EUR, 2 x A at 0.12 EUR)",
        "+ gift 2 times: 2 x G for nothing",
        "+ free once: 2.00 EUR (2.00 EUR on charges)",
        "+ points: 0.50 EUR",
        "- b: a comes first in their group",
        "- web: not in this channel, only web or app",
        "- first: it is for order number 1 of a customer, and nobody says whose this is",
        "> add 2 more A: 1 x G for nothing (gift once more), for 6.50 EUR more",
        "post: 4.00 EUR less 2.00 EUR",
        "deposits: 1.00 EUR",
        "tax vat: 1.80 EUR",
        "= 13.80 EUR",
        "gift card 1: 4.01 EUR, 0.00 EUR left on it",
        "rounded for cash by 0.01 EUR",
        "to pay: 9.80 EUR, change 0.20 EUR",
        "points: 9 earned, 50 spent, 19 then",
    ]


@pytest.mark.parametrize("command", ["explain", "promo check", "promo put", "simulate"])
def test_a_time_zone_that_is_not_known_is_a_wrong_use(command: str, tmp_path: Path) -> None:
    file = tmp_path / "cases.json"
    file.write_text(json.dumps({"cases": [_case(random.Random(1))]}))
    result = CliRunner().invoke(app, [*command.split(), str(file), "--zone", "Mars/Base"])
    assert result.exit_code == 2
    assert "--zone: expected a time zone like Europe/Berlin, found 'Mars/Base'" in " ".join(result.output.split())


@pytest.mark.parametrize("command", [["list"], ["get", "x"], ["pause", "x"], ["end", "x"]])
def test_an_engine_that_does_not_answer_is_told_and_not_thrown(
    command: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A traceback stood here: the commands of promotions did not know that an engine may be away."""
    monkeypatch.setattr(commands_promo, "READ_TIMEOUT_S", 0.2)
    result = CliRunner().invoke(app, ["promo", *command, "--to", "127.0.0.1:1"])
    assert result.exit_code == 69
    assert "found no engine at 127.0.0.1:1" in " ".join(result.output.split())


def test_a_stock_case_is_named_as_one(tmp_path: Path) -> None:
    """It was passed over without a word."""
    stock = Path(__file__).resolve().parents[1] / "cases" / "stock"
    result = CliRunner().invoke(app, ["explain", str(min(stock.glob("*.json")))])
    assert result.exit_code == 0
    assert "about stock, not about a price: `ringup simulate` replays it" in result.output

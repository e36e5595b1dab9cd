"""Sell and return: the ladders of checks, and the laws of a sale."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ringup.v1 import catalog_pb2, pricing_pb2, result_pb2, sale_pb2, stock_pb2
from support.core import SECOND_NS, CoreHarness, card, cash, line, small_shop

HUGE = 10**15 + 1


def _code(answer: Any) -> str:
    return result_pb2.ResultCode.Name(answer.code).removeprefix("RESULT_CODE_")


def _sell(**fields: Any) -> sale_pb2.SellRequest:
    return sale_pb2.SellRequest(**{"till_id": "T1", "channel_id": "till", **fields})


def test_the_ladder_of_sell_reports_the_first_fault_that_is_left() -> None:
    """The first row has every fault; each next row mends what the row before reported."""
    shop = small_shop()
    shop.send(catalog_pb2.PutItemsRequest(items=[catalog_pb2.Item(item_id="unpriced", name="No price yet")]))
    shop.send(
        catalog_pb2.PutLocationsRequest(locations=[catalog_pb2.Location(location_id="S9", name="Shut", disabled=True)])
    )
    shop.send(catalog_pb2.PutTillsRequest(tills=[catalog_pb2.Till(till_id="T9", location_id="S9")]))
    discount = pricing_pb2.LineDiscount(amount_minor=100, reason="damaged")
    override = pricing_pb2.PriceOverride(price_minor=50)
    row: dict[str, Any] = {
        "till_id": "nowhere",
        "channel_id": "c" * 65,
        "tenders": [cash(-1)],
        "hold_ids": [b"h" * 16],
        "expected_total_minor": 1,
        "sold_at_ns": -1,
        "lines": [line("nothing", 0, price_override=override, discounts=[discount])],
    }
    ladder: list[tuple[str, dict[str, Any]]] = [
        ("FIELD_INVALID", {"channel_id": "till"}),
        ("AMOUNT_INVALID", {"tenders": [cash(HUGE)]}),
        ("AMOUNT_TOO_LARGE", {"tenders": [sale_pb2.Tender(amount_minor=5)]}),
        ("FIELD_INVALID", {"tenders": [cash(1)]}),
        ("TIME_INVALID", {"sold_at_ns": shop.now_ns + 301 * SECOND_NS}),
        ("TIME_INVALID", {"sold_at_ns": shop.now_ns}),
        ("HOLD_UNKNOWN", {"hold_ids": []}),
        ("TILL_UNKNOWN", {"till_id": "T9"}),
        ("LOCATION_DISABLED", {"till_id": "T1"}),
        ("QTY_INVALID", {"lines": [line("nothing", 10**10, price_override=override, discounts=[discount])]}),
        ("QTY_TOO_LARGE", {"lines": [line("nothing", 1, price_override=override, discounts=[discount])]}),
        ("REASON_MISSING", {"lines": [line("nothing", 1, discounts=[discount])]}),
        ("ITEM_UNKNOWN", {"lines": [line("unpriced", 1, discounts=[discount])]}),
        ("PRICE_MISSING", {"lines": [line("wrap", 1, discounts=[pricing_pb2.LineDiscount(amount_minor=101)])]}),
        (
            "REASON_MISSING",
            {"lines": [line("wrap", 1, discounts=[pricing_pb2.LineDiscount(amount_minor=101, reason="x")])]},
        ),
        ("DISCOUNT_TOO_LARGE", {"lines": [line("milk", 101)]}),
        ("TOTAL_DIFFERS", {"expected_total_minor": 119 * 101}),
        ("STOCK_INSUFFICIENT", {"lines": [line("milk", 2)], "expected_total_minor": 238}),
        ("TENDER_SHORT", {"tenders": [card(239)]}),
        ("TENDER_EXCEEDED", {"tenders": [card(200), cash(50)]}),
    ]
    digest = shop.core.digest()
    for expected, mend in ladder:
        answer = shop.send(_sell(**row))
        assert _code(answer) == expected, (row, answer)
        assert answer.problem.field
        row.update(mend)
    assert shop.core.row_counts()["sales"] == 0
    answer = shop.send(_sell(**row))
    assert _code(answer) == "OK"
    assert answer.receipt.number == 1, "a refused sale takes no receipt number"
    assert answer.receipt.change_minor == 12
    assert digest != shop.core.digest()


def test_two_lines_of_one_item_cannot_pass_each_alone() -> None:
    shop = small_shop(pieces=3)
    answer = shop.send(_sell(lines=[line("milk", 2), line("4006381333931", 2)], tenders=[cash(476)]))
    assert _code(answer) == "STOCK_INSUFFICIENT"
    assert answer.problem.found == 3000


def test_an_item_sold_by_the_piece_has_no_half() -> None:
    shop = small_shop()
    half = pricing_pb2.BasketLine(item_id="milk", qty_milli=500)
    assert _code(shop.send(_sell(lines=[half], tenders=[cash(60)]))) == "QTY_INVALID"
    cheese = pricing_pb2.BasketLine(item_id="cheese", qty_milli=123)
    answer = shop.send(_sell(lines=[cheese], tenders=[cash(232)]))
    assert answer.receipt.basket.total_minor == 232, "0.123 kg at 18.90 is 2.3247, rounded half up"


def test_tax_that_is_added_is_in_the_total_and_tax_inside_is_not() -> None:
    shop = small_shop()
    answer = shop.send(_sell(lines=[line("milk", 1), line("bread", 2), line("lamp", 1)], tenders=[card(1699)]))
    basket = answer.receipt.basket
    assert basket.total_minor == 119 + 500 + 1000 + 80
    assert [(t.name, t.base_minor, t.tax_minor, t.inclusive) for t in basket.taxes] == [
        ("VAT std", 100, 19, True),
        ("VAT low", 467, 33, True),
        ("VAT added", 1000, 80, False),
    ]


def test_only_the_part_paid_in_cash_is_rounded() -> None:
    shop = small_shop(cash_increment_minor=5)
    by_card = shop.send(_sell(lines=[line("milk", 3)], tenders=[card(357)]))
    assert by_card.receipt.cash_rounding_minor == 0
    in_cash = shop.send(_sell(lines=[line("milk", 3)], tenders=[cash(355)]))
    assert (in_cash.receipt.cash_rounding_minor, in_cash.receipt.change_minor) == (-2, 0)
    split = shop.send(_sell(lines=[line("milk", 3)], tenders=[card(200), cash(200)]))
    assert (split.receipt.cash_rounding_minor, split.receipt.change_minor) == (-2, 45)


def test_a_till_may_sell_goods_that_the_book_does_not_show() -> None:
    shop = small_shop(pieces=1, shortfall_allowed=True)
    answer = shop.send(_sell(lines=[line("milk", 3)], tenders=[cash(357)]))
    assert [(s.item_id, s.free_milli) for s in answer.shortfalls] == [("milk", -2000)]
    hold = stock_pb2.HoldStockRequest(
        location_id="S1", lines=[stock_pb2.StockLine(item_id="milk", qty_milli=1000)], ttl_ms=1000
    )
    assert _code(shop.send(hold)) == "STOCK_INSUFFICIENT", "online demand never goes below the limit"


def test_a_sale_takes_the_units_of_its_holds_and_frees_the_rest() -> None:
    shop = small_shop(pieces=5)
    held = shop.send(
        stock_pb2.HoldStockRequest(
            location_id="S1", lines=[stock_pb2.StockLine(item_id="milk", qty_milli=5000)], ttl_ms=60_000
        )
    )
    assert _code(shop.send(_sell(lines=[line("milk", 1)], tenders=[cash(119)]))) == "STOCK_INSUFFICIENT"
    answer = shop.send(_sell(lines=[line("milk", 3)], tenders=[cash(357)], hold_ids=[held.hold_id]))
    assert _code(answer) == "OK"
    again = shop.send(_sell(lines=[line("milk", 1)], tenders=[cash(119)], hold_ids=[held.hold_id]))
    assert _code(again) == "HOLD_COMMITTED"
    assert _code(shop.send(_sell(lines=[line("milk", 2)], tenders=[cash(238)]))) == "OK"


def test_a_hold_ends_exactly_at_its_deadline() -> None:
    shop = small_shop(pieces=5)

    def hold() -> Any:
        return shop.send(
            stock_pb2.HoldStockRequest(
                location_id="S1", lines=[stock_pb2.StockLine(item_id="milk", qty_milli=5000)], ttl_ms=1000
            )
        )

    first = hold()
    shop.now_ns = first.deadline_ns - 1
    assert _code(hold()) == "STOCK_INSUFFICIENT"
    shop.now_ns = first.deadline_ns
    assert _code(shop.send(stock_pb2.CommitHoldRequest(hold_id=first.hold_id))) == "HOLD_EXPIRED"
    assert _code(hold()) == "OK"


def test_the_clock_of_the_core_never_goes_back() -> None:
    """A machine's clock set back an hour must not bring an expired hold back to life."""
    shop = small_shop()
    before = shop.core.now_ns
    shop.now_ns -= 3600 * 10**9
    held = shop.send(
        stock_pb2.HoldStockRequest(
            location_id="S1", lines=[stock_pb2.StockLine(item_id="milk", qty_milli=1000)], ttl_ms=1000
        )
    )
    assert held.deadline_ns == before + 10**9
    assert shop.core.now_ns == before


# Returns


def _return(shop: CoreHarness, sale: Any, *lines: tuple[int, int], **fields: Any) -> Any:
    return shop.send(
        sale_pb2.ReturnLinesRequest(
            till_id="T1",
            sale_id=sale.receipt.sale_id,
            lines=[sale_pb2.ReturnLine(line=number, qty_milli=qty) for number, qty in lines],
            **fields,
        )
    )


def test_the_ladder_of_return() -> None:
    shop = small_shop()
    sale = shop.send(_sell(lines=[line("milk", 3)], tenders=[cash(357)]))
    unknown = sale_pb2.ReturnLine(line=7, qty_milli=0)
    row: dict[str, Any] = {
        "till_id": "nowhere",
        "sale_id": b"short",
        "reason": "r" * 201,
        "refund_method": 99,
        "lines": [],
    }
    ladder: list[tuple[str, dict[str, Any]]] = [
        ("FIELD_INVALID", {"sale_id": b""}),
        ("FIELD_INVALID", {"reason": "too small"}),
        ("FIELD_INVALID", {"refund_method": 0}),
        ("LINES_EMPTY", {"lines": [unknown]}),
        ("TILL_UNKNOWN", {"till_id": "T2"}),
        ("SALE_UNKNOWN", {"receipt_till_id": "T2", "receipt_number": 1}),
        ("SALE_UNKNOWN", {"receipt_till_id": "T1", "receipt_number": 2}),
        ("SALE_UNKNOWN", {"receipt_number": 1}),
        ("QTY_INVALID", {"lines": [sale_pb2.ReturnLine(line=7, qty_milli=1)]}),
        ("LINE_UNKNOWN", {"lines": [sale_pb2.ReturnLine(qty_milli=2000), sale_pb2.ReturnLine(qty_milli=2000)]}),
        ("RETURN_EXCEEDS", {"lines": [sale_pb2.ReturnLine(qty_milli=2000), sale_pb2.ReturnLine(qty_milli=1000)]}),
    ]
    for expected, mend in ladder:
        answer = shop.send(sale_pb2.ReturnLinesRequest(**row))
        assert _code(answer) == expected, (row, answer)
        row.update(mend)
    answer = shop.send(sale_pb2.ReturnLinesRequest(**row))
    assert _code(answer) == "OK"
    assert answer.receipt.basket.total_minor == 357
    assert answer.receipt.till_id == "T2"
    assert answer.receipt.original_sale_id == sale.receipt.sale_id
    assert _code(_return(shop, sale, (0, 1000))) == "RETURN_EXCEEDS"
    assert _code(_return(shop, answer, (0, 1000))) == "SALE_UNKNOWN", "a return cannot be returned"


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from(["milk", "bread", "lamp", "cheese", "wrap"]), st.integers(1, 9), st.integers(0, 99)),
        min_size=1,
        max_size=6,
    ),
    st.randoms(use_true_random=False),
)
def test_returning_everything_in_any_parts_refunds_what_was_paid(
    basket: list[tuple[str, int, int]], random: Any
) -> None:
    shop = small_shop()
    lines = [
        line(item, pieces, discounts=[pricing_pb2.LineDiscount(amount_minor=off, reason="worn")] if off else [])
        for item, pieces, off in basket
    ]
    before = shop.core.query("GetAvailability", b"\x0a\x04milk\x0a\x05bread", shop.now_ns)
    sale = shop.send(_sell(lines=lines, tenders=[cash(10**6)]))
    assert _code(sale) == "OK"
    paid = sale.receipt.basket
    parts = [(number, 1000) for number, (_, pieces, _) in enumerate(basket) for _ in range(pieces)]
    random.shuffle(parts)
    refunded = taxes = 0
    while parts:
        take = random.randint(1, len(parts))
        now, parts = parts[:take], parts[take:]
        back = _return(shop, sale, *now)
        assert _code(back) == "OK"
        refunded += back.receipt.basket.total_minor
        taxes += sum(tax.tax_minor for tax in back.receipt.basket.taxes)
    assert refunded == paid.total_minor
    assert taxes == sum(tax.tax_minor for tax in paid.taxes)
    after = shop.core.query("GetAvailability", b"\x0a\x04milk\x0a\x05bread", shop.now_ns)
    strip = stock_pb2.GetAvailabilityResponse.FromString
    assert [p.on_hand_milli for p in strip(after).positions] == [p.on_hand_milli for p in strip(before).positions]
    assert shop.core.receipt_gaps() == 0


def test_scrapped_goods_do_not_go_back_on_hand() -> None:
    shop = small_shop(pieces=3)
    sale = shop.send(_sell(lines=[line("milk", 3)], tenders=[cash(357)]))
    shop.send(
        sale_pb2.ReturnLinesRequest(
            till_id="T1",
            sale_id=sale.receipt.sale_id,
            lines=[sale_pb2.ReturnLine(qty_milli=2000, scrapped=True), sale_pb2.ReturnLine(qty_milli=1000)],
        )
    )
    answer = shop.ask(
        "GetAvailability",
        stock_pb2.GetAvailabilityRequest(item_ids=["milk"], location_id="S1"),
        stock_pb2.GetAvailabilityResponse,
    )
    assert answer.positions[0].on_hand_milli == 1000


def test_a_quote_and_a_sale_give_the_same_basket() -> None:
    shop = small_shop()
    lines = [line("milk", 3, discounts=[pricing_pb2.LineDiscount(rate_ppb=333_333_333, reason="x")]), line("lamp", 2)]
    quote = shop.ask(
        "PriceBasket",
        pricing_pb2.PriceBasketRequest(location_id="S1", channel_id="till", lines=lines),
        pricing_pb2.PriceBasketResponse,
    )
    sale = shop.send(_sell(lines=lines, tenders=[cash(10**5)]))
    assert quote.basket == sale.receipt.basket


def test_a_sale_made_offline_has_the_prices_of_its_own_time() -> None:
    shop = small_shop()
    then, now = shop.now_ns, shop.now_ns + 3600 * SECOND_NS
    shop.send(catalog_pb2.PutPricesRequest(rows=[catalog_pb2.PriceRow(item_id="milk", price_minor=99, from_ns=now)]))
    shop.now_ns = now
    late = shop.send(_sell(lines=[line("milk")], tenders=[card(119)], sold_at_ns=then))
    assert (late.receipt.sold_at_ns, late.receipt.booked_at_ns) == (then, now)
    assert shop.send(_sell(lines=[line("milk")], tenders=[card(99)])).code == 1


# Ids


def test_another_kind_of_command_with_the_same_fields_is_a_conflict() -> None:
    """Release and commit of a hold have the same fields, so the same bytes: the answer of the release was
    given to a commit that had not happened."""
    shop = small_shop()
    lines = [stock_pb2.StockLine(item_id="milk", qty_milli=1000)]
    hold = stock_pb2.HoldStockRequest(command_id=b"h" * 16, location_id="S1", lines=lines)
    assert _code(shop.send(hold)) == "OK"
    ids = {"command_id": b"c" * 16, "hold_id": b"h" * 16}
    assert _code(shop.send(stock_pb2.ReleaseHoldRequest(**ids))) == "OK"
    assert _code(shop.send(stock_pb2.CommitHoldRequest(**ids))) == "ID_CONFLICT"


def test_the_same_id_books_once_and_another_body_is_a_conflict() -> None:
    shop = small_shop()
    request = _sell(command_id=b"i" * 16, lines=[line("milk")], tenders=[cash(119)])
    first = shop.send(request)
    assert _code(first) == "OK"
    raw = shop.raw(_frame(request))
    assert raw.replies[0].WhichOneof("body") == "reply_at"
    other = _sell(command_id=b"i" * 16, lines=[line("milk", 2)], tenders=[cash(238)])
    assert _code(shop.send(other)) == "ID_CONFLICT"
    hold = stock_pb2.HoldStockRequest(
        command_id=b"i" * 16, location_id="S1", lines=[stock_pb2.StockLine(item_id="milk", qty_milli=1000)]
    )
    assert _code(shop.send(hold)) == "ID_CONFLICT"
    assert shop.core.row_counts()["sales"] == 1


def test_ids_are_forgotten_after_their_retention_but_a_sale_is_not() -> None:
    shop = small_shop()
    sale = _sell(command_id=b"s" * 16, lines=[line("milk")], tenders=[cash(119)])
    hold = stock_pb2.HoldStockRequest(
        command_id=b"h" * 16, location_id="S1", lines=[stock_pb2.StockLine(item_id="milk", qty_milli=1000)]
    )
    shop.batch(sale, hold)
    shop.now_ns += 8 * 86_400 * 10**9
    replies = [shop.raw(_frame(request)).replies[0] for request in (sale, hold)]
    assert replies[0].WhichOneof("body") == "reply_at"
    assert replies[1].WhichOneof("body") == "hold_stock"


def _frame(request: Any) -> bytes:
    from ringup.v1 import session_pb2
    from support.core import command_of

    return session_pb2.SessionRequest(commands=[command_of(request)]).SerializeToString()


@pytest.mark.parametrize("id_bytes", [0, 1, 15, 17, 4096])
def test_an_id_of_the_wrong_length_is_rejected_and_leaves_no_trace(id_bytes: int) -> None:
    shop = small_shop()
    digest = [t.digest() for t in shop.core.tables[1:]]
    request = _sell(lines=[line("milk")], tenders=[cash(119)])
    request.command_id = b"x" * id_bytes
    reply = shop.raw(_frame(request)).replies[0]
    assert "expected 16 bytes" in reply.rejected.message
    assert [t.digest() for t in shop.core.tables[1:]] == digest


def test_the_same_batches_give_the_same_state_and_answers() -> None:
    shop = small_shop()
    for number in range(50):
        sale = shop.send(_sell(lines=[line("milk"), line("lamp", number % 3 + 1)], tenders=[cash(10**5)]))
        if number % 3 == 0 and sale.code == 1:
            _return(shop, sale, (0, 1000))
    assert shop.refold().digest() == shop.core.digest()

"""Uses, budgets and single-use codes are exact when 64 callers race for them, an engine is killed and goods come back.

A use is taken by the sale, in the sale's own command; a return of the whole sale gives it back where the promotion
says so. Each caller resends what was not answered with the same id.
"""

from __future__ import annotations

import threading
import time
import uuid
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc

from ringup.engine.lmdb_store import CheckpointStore, LmdbJournal
from ringup.engine.verify import verify
from ringup.v1 import pricing_pb2, pricing_pb2_grpc, promotion_pb2, promotion_pb2_grpc, result_pb2, sale_pb2
from support.callers import DEADLINE_S, OK, open_shop, unary_call
from support.core import command_of
from support.engine_process import EngineProcess

CALLERS = 64
USES = 10
BUDGET_MINOR = 1000  # three times 300 and once the 100 that are left
CODES = [f"CODE{n}" for n in range(16)]  # four callers each
AMOUNT_OFF = promotion_pb2.BENEFIT_TYPE_ITEM_AMOUNT_OFF


def promotion(name: str, **fields: Any) -> promotion_pb2.Promotion:
    """3.00 off one lamp for whoever presents the coupon."""
    benefit = promotion_pb2.Benefit(type=AMOUNT_OFF, amount_minor=300, target=promotion_pb2.Target(item_ids=["lamp"]))
    return promotion_pb2.Promotion(promotion_id=name, benefits=[benefit], **fields)


def send(engine: EngineProcess, *requests: Any) -> list[Any]:
    answers = []
    with engine.channel() as channel:
        for request in requests:
            if not request.command_id:
                request.command_id = uuid.uuid4().bytes
            kind = command_of(request).WhichOneof("body")
            name = "".join(part.title() for part in str(kind).split("_"))
            stub: Any = promotion_pb2_grpc.PromotionServiceStub(channel)  # type: ignore[no-untyped-call]  # generated
            answers.append(getattr(stub, name)(request, timeout=DEADLINE_S))
    assert [answer.code for answer in answers] == [OK] * len(answers), answers
    return answers


def publish(engine: EngineProcess) -> None:
    limits = promotion_pb2.Limits
    send(
        engine,
        promotion_pb2.PutPromotionsRequest(
            promotions=[
                promotion("kept", coupon="KEPT", limits=limits(max_uses=USES)),
                promotion("back", coupon="BACK", limits=limits(max_uses=USES, release_on_cancel=True)),
                promotion("budget", coupon="BUDGET", limits=limits(budget_minor=BUDGET_MINOR)),
                promotion("unique", unique_coupons=True),
            ]
        ),
        promotion_pb2.PutCouponsRequest(promotion_id="unique", codes=CODES),
    )


def sale(coupon: str) -> sale_pb2.SellRequest:
    return sale_pb2.SellRequest(
        command_id=uuid.uuid4().bytes,
        till_id="T1",
        lines=[pricing_pb2.BasketLine(item_id="lamp", qty_milli=1000)],
        tenders=[sale_pb2.Tender(method=sale_pb2.TENDER_METHOD_CASH, amount_minor=10_000)],
        coupons=[coupon],
    )


class Race:
    """Sales of 64 callers, each a list of its own; what was not answered is sent again with the same id."""

    def __init__(self, baskets: list[list[sale_pb2.SellRequest]]) -> None:
        self.open = baskets
        self.answers: list[tuple[sale_pb2.SellRequest, sale_pb2.SellResponse]] = []

    def run(self, engine: EngineProcess, kill_after: int | None = None) -> None:
        """Send what is open, all callers at the same time; kill the engine after so many answers."""
        lock, killed, until = threading.Lock(), threading.Event(), time.monotonic() + 5 * DEADLINE_S

        def caller(requests: list[sale_pb2.SellRequest]) -> None:
            with engine.channel() as channel:
                while requests:
                    try:
                        raw = unary_call(channel, requests[0], DEADLINE_S)
                    except grpc.RpcError:
                        if killed.is_set() or time.monotonic() > until:
                            return
                        time.sleep(0.1)  # a connection that a busy machine made too late: sent again, with its id
                        continue
                    with lock:
                        self.answers.append((requests.pop(0), sale_pb2.SellResponse.FromString(raw)))
                        if kill_after is not None and len(self.answers) >= kill_after and not killed.is_set():
                            killed.set()
                            engine.process.kill()

        with ThreadPoolExecutor(len(self.open)) as pool:
            list(pool.map(caller, self.open))

    def given(self) -> dict[str, list[tuple[str, int, bytes]]]:
        """(coupon, discount, sale) of every sale with a discount, by promotion."""
        found: dict[str, list[tuple[str, int, bytes]]] = {}
        for request, answer in self.answers:
            assert answer.code == result_pb2.RESULT_CODE_OK, answer
            for one in answer.receipt.basket.lines[0].discounts:
                row = (request.coupons[0], one.amount_minor, request.command_id)
                found.setdefault(one.promotion_id, []).append(row)
        return found


def usage(engine: EngineProcess) -> dict[str, tuple[int, int, int]]:
    """(used, cancelled, spent) by promotion, as the engine lists them."""
    with engine.channel() as channel:
        stub: Any = promotion_pb2_grpc.PromotionServiceStub(channel)  # type: ignore[no-untyped-call]  # generated
        listed = stub.ListPromotions(promotion_pb2.ListPromotionsRequest(), timeout=DEADLINE_S).promotions
    return {
        one.promotion.promotion_id: (one.usage.used, one.usage.cancelled_uses, one.usage.budget_spent_minor)
        for one in listed
    }


def give_back(engine: EngineProcess, sales: list[bytes]) -> None:
    with engine.channel() as channel:
        for sale_id in sales:
            request = sale_pb2.ReturnLinesRequest(
                command_id=uuid.uuid4().bytes,
                till_id="T1",
                sale_id=sale_id,
                lines=[sale_pb2.ReturnLine(qty_milli=1000)],
            )
            answer = sale_pb2.ReturnLinesResponse.FromString(unary_call(channel, request, DEADLINE_S))
            assert answer.code == OK, answer


def test_limits_are_exact_over_a_kill_resends_and_returns(tmp_path: Path) -> None:
    coupons = ("KEPT", "BACK", "BUDGET")
    baskets = [[sale(name) for name in (*coupons, CODES[caller % len(CODES)])] for caller in range(CALLERS)]
    race = Race([requests[caller % 4 :] + requests[: caller % 4] for caller, requests in enumerate(baskets)])
    with EngineProcess(tmp_path / "data") as engine:
        with engine.channel() as channel:
            open_shop(channel, 2000)
        publish(engine)
        with engine.channel() as channel:  # the control: were a quote a use, or were uses counted apart from the sale
            stub: Any = pricing_pb2_grpc.PricingServiceStub(channel)  # type: ignore[no-untyped-call]  # generated
            quote = pricing_pb2.PriceBasketRequest(location_id="S1", lines=baskets[0][0].lines, coupons=["KEPT"])
            quotes = [stub.PriceBasket(quote, timeout=DEADLINE_S).basket.discount_minor for _ in range(CALLERS)]
            assert quotes.count(300) == CALLERS > USES
        race.run(engine, kill_after=40)
        engine.kill()
    assert sum(map(len, race.open)) > 0, "the kill must leave something open"

    with EngineProcess(tmp_path / "data") as engine:
        race.run(engine)
        assert len(race.answers) == 4 * CALLERS
        given = race.given()
        assert {name: len(rows) for name, rows in given.items()} == {"kept": 10, "back": 10, "budget": 4, "unique": 16}
        assert sorted(amount for _, amount, _ in given["budget"]) == [100, 300, 300, 300]
        assert Counter(code for code, _, _ in given["unique"]) == dict.fromkeys(CODES, 1)
        assert usage(engine) == {
            "kept": (10, 0, 3000), "back": (10, 0, 3000), "budget": (4, 0, BUDGET_MINOR), "unique": (16, 0, 4800),
        }  # fmt: skip

        # Six of each come back whole: one promotion gives its uses back, the others do not.
        for name in ("kept", "back", "budget"):
            give_back(engine, [sale_id for _, _, sale_id in given[name][:6]])
        again = Race([[sale(name) for name in (*coupons, CODES[0])] for _ in range(CALLERS)])
        again.run(engine)
        assert {name: len(rows) for name, rows in again.given().items()} == {"back": 6}
        found = usage(engine)
        assert (found["back"][0] - found["back"][1], found["kept"][0], found["budget"][2]) == (10, 10, BUDGET_MINOR)
        engine.kill()

    with EngineProcess(tmp_path / "data") as engine:  # and after a crash the counts are the same
        assert usage(engine) == found
        assert engine.stop() == 0
    journal = LmdbJournal(tmp_path / "data" / "journal", readonly=True)
    report = verify(journal, CheckpointStore(tmp_path / "data" / "checkpoint", readonly=True))
    assert report.is_well, (report.problems, report.counter_differences)

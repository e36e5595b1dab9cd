"""The demo's callers: tills that sell real baskets, an online checkout that holds stock first, a returns desk.

Each basket of the data becomes one sale.  Callers know only the client; what they learn they write to
a `Ledger`, which the proof compares with the engine's book afterwards.
"""

from __future__ import annotations

import asyncio
import hashlib
import random
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from google.protobuf.message import Message

from ringup.clients import AsyncClient, NoAnswer
from ringup.engine.demo_promotions import PromotionPlan
from ringup.engine.journey import REASON_SHELF_PRICE, Basket, Line
from ringup.v1 import pricing_pb2, result_pb2, sale_pb2, stock_pb2

CALL_SECONDS = 60.0  # a till waits this long for an engine that is starting again
ONLINE_PERCENT = 20  # of the baskets are online orders
ABANDONED_PERCENT = 20  # of the online orders are given up once (released or left to expire) before they are bought
RETURN_PERCENT = 2  # of the baskets come back with one line
EXPIRING_HOLD_TTL_MS = 30
HOLD_TTL_MS = 600_000
COMES_AGAIN_MAX = 200


def till_id(location_id: int, lane: str) -> str:
    """The code of a lane's till at a store."""
    return f"{location_id}-{lane}"


@dataclass(frozen=True, slots=True)
class Sold:
    """One acknowledged sale: the basket of the data, what was sent and what came back."""

    basket: Basket
    request: sale_pb2.SellRequest
    receipt: sale_pb2.Receipt


@dataclass(slots=True)
class Ledger:
    """What the callers were told, in the order in which they were told it."""

    sold: dict[bytes, Sold] = field(default_factory=dict)  # acknowledged sales, by sale id
    returns: dict[bytes, sale_pb2.Receipt] = field(default_factory=dict)
    taken: list[Basket] = field(default_factory=list)  # left with a hold's commit, apart from any sale
    refused: Counter[str] = field(default_factory=Counter)  # sales that ended without a receipt, by result code
    waited_for_stock: int = 0  # sales that had to come again because an online hold had the units
    online: Counter[str] = field(default_factory=Counter)  # bought, released, expired
    latencies_ms: list[float] = field(default_factory=list)
    commands: int = 0


def _chance(basket_id: int, what: str) -> int:
    """0 to 99, always the same for a basket: which baskets are online does not depend on the run."""
    return int.from_bytes(hashlib.blake2b(f"{what}:{basket_id}".encode(), digest_size=4).digest(), "big") % 100


def is_online(basket: Basket) -> bool:
    """Whether the demo plays this basket as an online order."""
    return _chance(basket.basket_id, "online") < ONLINE_PERCENT


def _basket_line(line: Line, basket_id: int, plan: PromotionPlan) -> pricing_pb2.BasketLine:
    message = pricing_pb2.BasketLine(item_id=str(line.item_id), qty_milli=line.qty_milli)
    if line.override_unit is not None:
        price_minor, base_qty_milli = line.override_unit
        message.price_override.price_minor = price_minor
        message.price_override.base_qty_milli = base_qty_milli
        message.price_override.reason = REASON_SHELF_PRICE
    for reason, amount_minor in line.discounts:
        if (basket_id, line.item_id, reason) not in plan.given:
            message.discounts.add(reason=reason, amount_minor=amount_minor)
    return message


def sell_request(basket: Basket, lane: str, sale_id: bytes, plan: PromotionPlan) -> sale_pb2.SellRequest:
    """A basket as a sale: what promotions do not give by hand; coupons and then cash or a bank card for the rest."""
    request = sale_pb2.SellRequest(
        command_id=sale_id,
        till_id=till_id(basket.location_id, lane),
        channel_id="web" if lane == "web" else "till",
        customer_id=str(basket.household_id),
        lines=[_basket_line(line, basket.basket_id, plan) for line in basket.lines],
        promotion_groups=plan.groups.get(basket.basket_id, ()),
        coupons=plan.coupons.get(basket.basket_id, ()),
        sold_at_ns=basket.sold_at_ns,
    )
    coupon, rest = basket.tenders_coupon_minor, basket.expected_total_minor - basket.tenders_coupon_minor
    if coupon:
        request.tenders.add(method=sale_pb2.TENDER_METHOD_COUPON, amount_minor=coupon)
    if rest:
        in_cash = lane != "web" and _chance(basket.basket_id, "cash") < 30
        if in_cash:  # the next note or so: the till gives change
            request.tenders.add(method=sale_pb2.TENDER_METHOD_CASH, amount_minor=-(-rest // 500) * 500)
        else:
            request.tenders.add(method=sale_pb2.TENDER_METHOD_CARD, amount_minor=rest)
    return request


class Callers:
    """All tills and shoppers of the demo over one client each."""

    def __init__(
        self,
        target: str,
        ledger: Ledger,
        *,
        stocked: set[str],
        plan: PromotionPlan,
        on_sale: Callable[[], None],
    ) -> None:
        self._target = target
        self._ledger = ledger
        self._stocked = stocked
        self._plan = plan
        self._on_sale = on_sale
        self._random = random.Random(20170101)

    def _id(self) -> bytes:
        return self._random.randbytes(16)

    async def run(self, baskets: Iterable[Basket], till_count: int) -> None:
        """Sell all baskets by `till_count` clients; each takes the next basket as soon as it is free."""
        queue = iter(baskets)

        async def lane(number: int) -> None:
            async with AsyncClient(self._target, timeout_s=CALL_SECONDS) as client:
                for basket in queue:
                    await self._basket(client, basket, str(number))

        async with asyncio.TaskGroup() as group:
            for number in range(1, till_count + 1):
                group.create_task(lane(number))

    async def _basket(self, client: AsyncClient, basket: Basket, lane: str) -> None:
        """Sell one basket; one that finds too little stock comes again when a cart has given units back."""
        ledger, online = self._ledger, is_online(basket)
        hold = await self._online(client, basket) if online else None
        for attempt in range(COMES_AGAIN_MAX):
            request = sell_request(basket, "web" if online else lane, self._id(), self._plan)
            if hold is not None:
                request.hold_ids.append(hold)
            began = time.perf_counter()
            answer = await self._submit(client, request)
            if answer.code == result_pb2.RESULT_CODE_OK:
                ledger.latencies_ms.append((time.perf_counter() - began) * 1000)
                ledger.sold[request.command_id] = Sold(basket, request, answer.receipt)
                break
            if answer.code != result_pb2.RESULT_CODE_STOCK_INSUFFICIENT:
                ledger.refused[result_pb2.ResultCode.Name(answer.code)] += 1
                return
            ledger.waited_for_stock += attempt == 0
            await asyncio.sleep(0.02)
        else:
            ledger.refused["RESULT_CODE_STOCK_INSUFFICIENT"] += 1
            return
        if _chance(basket.basket_id, "return") < RETURN_PERCENT:
            await self._return(client, request.command_id, basket)
        self._on_sale()

    async def _online(self, client: AsyncClient, basket: Basket) -> bytes | None:
        """Hold the basket's stock; some shoppers give up once, by releasing or by walking away."""
        chance = _chance(basket.basket_id, "abandon")
        if chance < ABANDONED_PERCENT:
            released = chance < ABANDONED_PERCENT // 2
            hold = await self._hold(client, basket, HOLD_TTL_MS if released else EXPIRING_HOLD_TTL_MS)
            if hold is not None and released:
                request = stock_pb2.ReleaseHoldRequest(command_id=self._id(), hold_id=hold)
                await self._submit(client, request)
                self._ledger.online["released"] += 1
            elif hold is not None:
                await asyncio.sleep(EXPIRING_HOLD_TTL_MS / 1000 * 1.5)
                commit = stock_pb2.CommitHoldRequest(command_id=self._id(), hold_id=hold)
                answer = await self._submit(client, commit)
                if answer.code == result_pb2.RESULT_CODE_HOLD_EXPIRED:
                    self._ledger.online["expired"] += 1
                elif answer.code == result_pb2.RESULT_CODE_OK:
                    # A batch has one clock value: behind a slow disk a deadline may pass while it is open.
                    self._ledger.online["committed_late"] += 1
                    self._ledger.taken.append(basket)
                else:
                    self._ledger.refused[f"late commit of a hold: {result_pb2.ResultCode.Name(answer.code)}"] += 1
        hold = await self._hold(client, basket, HOLD_TTL_MS)
        self._ledger.online["bought" if hold is not None else "bought_without_hold"] += 1
        return hold

    async def _hold(self, client: AsyncClient, basket: Basket, ttl_ms: int) -> bytes | None:
        lines = [
            stock_pb2.StockLine(item_id=str(line.item_id), qty_milli=line.qty_milli)
            for line in basket.lines
            if str(line.item_id) in self._stocked
        ]
        if not lines:
            return None
        request = stock_pb2.HoldStockRequest(
            command_id=self._id(),
            location_id=str(basket.location_id),
            lines=lines,
            ttl_ms=ttl_ms,
            owner=f"household {basket.household_id}",
        )
        for _ in range(COMES_AGAIN_MAX):
            answer = await self._submit(client, request)
            if answer.code == result_pb2.RESULT_CODE_OK:
                return bytes(answer.hold_id)
            if answer.code != result_pb2.RESULT_CODE_STOCK_INSUFFICIENT:
                break
            await asyncio.sleep(0.02)
            request.command_id = self._id()  # a refusal is an answer, too: asking again is another command
        self._ledger.refused[f"hold: {result_pb2.ResultCode.Name(answer.code)}"] += 1
        return None

    async def _return(self, client: AsyncClient, sale_id: bytes, basket: Basket) -> None:
        request = sale_pb2.ReturnLinesRequest(
            command_id=self._id(),
            till_id=till_id(basket.location_id, "desk"),
            sale_id=sale_id,
            lines=[sale_pb2.ReturnLine(line=0, qty_milli=basket.lines[0].qty_milli)],
            refund_method=sale_pb2.TENDER_METHOD_CARD,
            reason="changed mind",
        )
        answer = await self._submit(client, request)
        if answer.code == result_pb2.RESULT_CODE_OK:
            self._ledger.returns[request.command_id] = answer.receipt
        else:
            self._ledger.refused[f"return: {result_pb2.ResultCode.Name(answer.code)}"] += 1

    async def _submit(self, client: AsyncClient, request: Message) -> Any:
        """Send until there is an answer: the client resends with the same id, also to an engine that starts again."""
        self._ledger.commands += 1
        while True:
            try:
                return await client.submit(request)
            except NoAnswer as error:
                if not error.may_have_happened:
                    raise

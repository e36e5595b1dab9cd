"""A random walk of everything that moves stock in a small chain: tills, web shop, warehouse, pickup counter."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

from google.protobuf.message import Message

from ringup.v1 import catalog_pb2, pricing_pb2, result_pb2, sale_pb2
from ringup.v1 import stock_pb2 as pb
from support.core import cash
from support.walks import FoldedEngine

PLACES = ("north", "south", "depot")
ITEMS = ("milk", "wine", "ham", "card", "game", "debt")
BARCODES = {"4006381333931": "milk", "4012345678901": "wine"}
LOTS = ("l1", "l2", "l3")
CODE = result_pb2.ResultCode


class ShopWalk:
    """One walk by seed; `batch` sends some random commands at one instant."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.engine = FoldedEngine()
        self.commands = 0
        self.codes: Counter[str] = Counter()
        self.holds: list[bytes] = []
        self.orders: list[str] = []
        self.receipts: list[Any] = []
        self.sent: list[tuple[str, Any]] = []  # what may be sent again
        self._ids = 0
        self._open()

    def _id(self) -> bytes:
        self._ids += 1
        return self._ids.to_bytes(16, "big")

    def _open(self) -> None:
        item = catalog_pb2.Item
        items = [
            item(item_id="milk", name="Milk", barcodes=["4006381333931"]),
            item(item_id="wine", name="Wine", barcodes=["4012345678901"]),
            item(item_id="ham", name="Ham", measured=True),
            item(item_id="card", name="Phone card", untracked=True),
            item(item_id="game", name="Game"),
            item(item_id="debt", name="Debt"),
        ]
        place = catalog_pb2.Location
        policies = [
            pb.StockPolicy(
                item_id="wine", removal=self.rng.choice((pb.REMOVAL_FIFO, pb.REMOVAL_LIFO, pb.REMOVAL_FEFO))
            ),
            pb.StockPolicy(item_id="game", preorder=True, preorder_total_milli=400_000),
            pb.StockPolicy(item_id="debt", backorder=True),
        ]
        opening: list[tuple[str, Any]] = [
            (
                "PutLocations",
                catalog_pb2.PutLocationsRequest(
                    locations=[
                        place(location_id="north", name="North"),
                        place(location_id="south", name="South", till_shortfall_allowed=True),
                        place(location_id="depot", name="Depot"),
                    ]
                ),
            ),
            (
                "PutTills",
                catalog_pb2.PutTillsRequest(
                    tills=[catalog_pb2.Till(till_id=f"{name}-1", location_id=name) for name in PLACES]
                ),
            ),
            ("PutItems", catalog_pb2.PutItemsRequest(items=items)),
            (
                "PutPrices",
                catalog_pb2.PutPricesRequest(
                    rows=[catalog_pb2.PriceRow(item_id=name, price_minor=100) for name in ITEMS]
                ),
            ),
            ("PutChannels", pb.PutChannelsRequest(channels=[pb.Channel(channel_id="web", location_ids=PLACES)])),
            ("PutStockPolicies", pb.PutStockPoliciesRequest(policies=policies)),
        ]
        for name in PLACES:
            lines = [self.line(item, 40) for item in ITEMS if item != "card"]
            opening.append(("ReceiveStock", pb.ReceiveStockRequest(location_id=name, lines=lines)))
        for method, request in opening:
            request.command_id = self._id()
            answer = self.engine.call(method, request)
            assert answer.code == CODE.RESULT_CODE_OK, answer

    # Pieces

    def line(self, item: str, most: int = 5, **fields: Any) -> pb.StockLine:
        pieces = self.rng.randint(1, most)
        qty = pieces * 1000 + (self.rng.randint(0, 999) if item == "ham" else 0)
        return pb.StockLine(item_id=item, qty_milli=qty, **fields)

    def item(self) -> str:
        return self.rng.choice(ITEMS)

    def named(self, item: str) -> str:
        """The item, sometimes by its barcode."""
        by = [code for code, owner in BARCODES.items() if owner == item]
        return by[0] if by and self.rng.random() < 0.3 else item

    def place(self) -> str:
        return self.rng.choice(PLACES)

    def lines(self, most: int = 5) -> list[pb.StockLine]:
        made = [self.line(self.item(), most) for _ in range(self.rng.choice((1, 1, 2, 3)))]
        for one in made:
            one.item_id = self.named(one.item_id)
        return made

    def hold_id(self) -> bytes:
        return self.rng.choice(self.holds[-12:]) if self.holds else b"nobody's hold..."

    def order_id(self) -> str:
        return self.rng.choice(self.orders[-8:]) if self.orders else "nobody"

    def order_lines(self) -> tuple[str, list[pb.StockLine]]:
        """An order and a line over something that it may have."""
        order = self.order_id()
        found = self.engine.call("GetOrder", pb.GetOrderRequest(order_id=order)).order
        takes = [*found.allocated, *found.shipped]
        if not takes:
            return order, [self.line("milk", 2)]
        take = self.rng.choice(takes)
        qty = take.qty_milli if self.rng.random() < 0.5 else max(1000, take.qty_milli // 2000 * 1000)
        return order, [pb.StockLine(item_id=self.named(take.item_id), qty_milli=qty)]

    # Commands

    def sell(self) -> tuple[str, Message]:
        lines = [pricing_pb2.BasketLine(item_id=one.item_id, qty_milli=one.qty_milli) for one in self.lines(4)]
        holds = [self.hold_id()] if self.rng.random() < 0.25 else []
        return "Sell", sale_pb2.SellRequest(
            till_id=f"{self.place()}-1", lines=lines, tenders=[cash(10**7)], hold_ids=holds
        )

    def return_lines(self) -> tuple[str, Message]:
        if not self.receipts:
            return self.sell()
        receipt = self.rng.choice(self.receipts[-10:])
        line = self.rng.randrange(len(receipt.basket.lines))
        qty = receipt.basket.lines[line].qty_milli
        part = sale_pb2.ReturnLine(
            line=line, qty_milli=qty if self.rng.random() < 0.5 else 1000, scrapped=self.rng.random() < 0.2
        )
        return "ReturnLines", sale_pb2.ReturnLinesRequest(
            till_id=f"{self.place()}-1", sale_id=receipt.sale_id, lines=[part], reason="not liked"
        )

    def hold_stock(self) -> tuple[str, Message]:
        rng = self.rng
        request = pb.HoldStockRequest(
            hold_id=self.hold_id() if rng.random() < 0.15 and self.holds else self._id(),
            lines=self.lines(),
            ttl_ms=rng.choice((0, 1000, 5000, 60_000)),
            partial=rng.random() < 0.3,
        )
        if rng.random() < 0.5:
            request.location_id = self.place()
        return "HoldStock", request

    def one_hold(self) -> tuple[str, Message]:
        rng, hold = self.rng, self.hold_id()
        kind = rng.choice(("commit", "commit", "release", "resize", "extend", "pay"))
        part = {"qty_milli": rng.randint(1, 3) * 1000} if rng.random() < 0.3 else {}
        if kind == "commit":
            return "CommitHold", pb.CommitHoldRequest(hold_id=hold, **part)
        if kind == "release":
            return "ReleaseHold", pb.ReleaseHoldRequest(hold_id=hold, **part)
        if kind == "resize":
            return "ResizeHold", pb.ResizeHoldRequest(hold_id=hold, lines=self.lines(4))
        if kind == "extend":
            return "ExtendHold", pb.ExtendHoldRequest(hold_id=hold, ttl_ms=rng.choice((1000, 9000)))
        return "PayHold", pb.PayHoldRequest(hold_id=hold, ttl_ms=rng.choice((1000, 9000)))

    def place_order(self) -> tuple[str, Message]:
        rng = self.rng
        request = pb.PlaceOrderRequest(order_id=f"o{self._ids}", customer_id="c1")
        if rng.random() < 0.3:
            request.hold_id = self.hold_id()
        if not request.hold_id or rng.random() < 0.2:
            request.lines.extend(self.lines())
        if rng.random() < 0.1:
            request.order_id, request.add = self.order_id(), True
        elif rng.random() < 0.4 and request.lines:
            request.location_id = self.place()
        return "PlaceOrder", request

    def one_order(self) -> tuple[str, Message]:
        rng = self.rng
        order, lines = self.order_lines()
        kind = rng.choice(("ship", "ship", "cancel", "unship", "return", "reallocate", "reallocate"))
        some = lines if rng.random() < 0.5 else []
        if kind == "ship":
            if some and rng.random() < 0.4:
                some[0].location_id = self.place()
            return "ShipOrder", pb.ShipOrderRequest(order_id=order, lines=some)
        if kind == "cancel":
            return "CancelOrder", pb.CancelOrderRequest(order_id=order, lines=some)
        if kind == "unship":
            return "UnshipOrder", pb.UnshipOrderRequest(order_id=order)
        item, qty = lines[0].item_id, lines[0].qty_milli
        if kind == "return":
            back = pb.ReturnOrderRequest(order_id=order, item_id=item, qty_milli=qty, location_id=self.place())
            if rng.random() < 0.3:
                back.restock_milli = qty // 2000 * 1000
                back.bar_reason = pb.BAR_REASON_DAMAGED
            return "ReturnOrder", back
        return "ReallocateOrder", pb.ReallocateOrderRequest(
            order_id=order, item_id=item, qty_milli=qty, from_location_id=self.place(), to_location_id=self.place()
        )

    def fulfil(self) -> tuple[str, Message]:
        """The next step of an order on its way to the pickup counter, mostly."""
        rng, order = self.rng, self.order_id()
        found = self.engine.call("GetOrder", pb.GetOrderRequest(order_id=order)).order
        if found.to_pick:
            take = rng.choice(found.to_pick)
            lines = [pb.StockLine(item_id=self.named(take.item_id), qty_milli=take.qty_milli)]
            request = pb.PickOrderRequest(order_id=order, location_id=take.location_id, lines=lines)
            if rng.random() < 0.3:
                request.short = True
                if rng.random() < 0.5:
                    del request.lines[:]
            return "PickOrder", request
        if found.state == pb.ORDER_STATE_PICKING:
            return "PackOrder", pb.PackOrderRequest(order_id=order)
        if found.state == pb.ORDER_STATE_PACKED:
            return "ReadyOrder", pb.ReadyOrderRequest(order_id=order, pickup_code="1", ttl_ms=rng.choice((0, 2000)))
        return "HandOverOrder", pb.HandOverOrderRequest(order_id=order, pickup_code=rng.choice("112"))

    def goods(self) -> tuple[str, Message]:
        rng, place = self.rng, self.place()
        kind = rng.choice(("receive", "adjust", "count", "transfer", "bar", "expect", "reorder", "sell", "remove"))
        lines = self.lines(6)
        if kind == "receive":
            for one in lines:
                if one.item_id == "wine" and rng.random() < 0.7:
                    one.lot_id = rng.choice(LOTS)
                    one.expires_ns = self.engine.now_ns + rng.randint(1, 9) * 10**9
                    one.barred = rng.random() < 0.1
            return "ReceiveStock", pb.ReceiveStockRequest(location_id=place, lines=lines)
        if kind == "adjust":
            for one in lines:
                one.qty_milli *= rng.choice((1, -1))
                if one.item_id == "wine" and rng.random() < 0.4:
                    one.lot_id = rng.choice(LOTS)
            return "AdjustStock", pb.AdjustStockRequest(location_id=place, lines=lines, reason="found or lost")
        if kind == "count":
            item = self.item()
            count = pb.CountStockRequest(
                location_id=place, item_id=self.named(item), on_hand_milli=self.line(item, 60).qty_milli
            )
            if rng.random() < 0.4:
                count.book_milli = count.on_hand_milli + rng.randint(-3, 3) * 1000
            if item == "wine" and rng.random() < 0.4:
                count.lot_id = rng.choice(LOTS)
            return "CountStock", count
        if kind == "transfer":
            return "TransferStock", pb.TransferStockRequest(
                item_id=lines[0].item_id,
                qty_milli=lines[0].qty_milli,
                from_location_id=place,
                to_location_id=self.place(),
            )
        if kind == "bar":
            for one in lines:
                one.qty_milli *= rng.choice((1, 1, -1))
                if one.item_id == "wine" and rng.random() < 0.4:
                    one.lot_id = rng.choice(LOTS)
            return "BarStock", pb.BarStockRequest(location_id=place, lines=lines, reason=pb.BAR_REASON_QUALITY)
        if kind == "expect":
            return "ExpectStock", pb.ExpectStockRequest(location_id=place, lines=lines)
        if kind == "reorder":
            return "ReorderStock", pb.ReorderStockRequest(
                location_id=place,
                item_id=lines[0].item_id,
                min_milli=60_000,
                max_milli=80_000,
                order=rng.random() < 0.5,
            )
        if kind == "sell":
            return "SellStock", pb.SellStockRequest(location_id=place, lines=lines, partial=rng.random() < 0.3)
        return "RemovePosition", pb.RemovePositionRequest(
            item_id=lines[0].item_id, location_id=place, force=rng.random() < 0.05
        )

    def command(self) -> tuple[str, Any]:
        if self.sent and self.rng.random() < 0.03:
            return self.rng.choice(self.sent[-30:])
        kinds = (self.sell, self.return_lines, self.hold_stock, self.one_hold, self.place_order, self.one_order)
        made = self.rng.choices((*kinds, self.fulfil, self.goods), weights=(20, 6, 14, 14, 10, 12, 12, 16))[0]()
        made[1].command_id = self._id()  # type: ignore[attr-defined]  # every command has one
        self.sent.append(made)
        del self.sent[:-30]
        return made

    def batch(self) -> list[str]:
        """Send one to four commands in one batch, now and then after a while; what was sent."""
        if self.rng.random() < 0.2:
            self.engine.now_ns += self.rng.choice((1, 10**8, 10**9, 3 * 10**9))
        requests = [self.command() for _ in range(self.rng.choice((1, 1, 2, 4)))]
        for (method, request), answer in zip(requests, self.engine.batch(requests), strict=True):
            self.commands += 1
            self.codes[f"{method} {CODE.Name(answer.code).removeprefix('RESULT_CODE_')}"] += 1
            if answer.code != CODE.RESULT_CODE_OK:
                continue
            if method == "HoldStock":
                self.holds.append(answer.hold_id)
            elif method == "PlaceOrder":
                self.orders.append(request.order_id)
            elif method == "Sell":
                self.receipts.append(answer.receipt)
        return [f"{method} {request}" for method, request in requests]

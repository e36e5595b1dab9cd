"""An engine of a few lines, in the test's process, that fails on demand.

It keeps the one promise that the clients build on: a command's id books once, and the first answer comes
back.  Everything else (prices, stock, durability) belongs to the real engine and its tests.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent import futures
from typing import Any

import grpc

from ringup.v1 import catalog_pb2, pricing_pb2, result_pb2, sale_pb2, session_pb2

Fault = Callable[[grpc.ServicerContext], None]


class FakeEngine:
    """Serves Session, Sell, GetReceipt, GetItem and PriceBasket on loopback.

    before and after: what to do with the next Session batches or unary calls, before or after they are
    booked; each is used once.  `booked` counts bookings by id, `received` lists every arrival of an id.
    """

    def __init__(self, port: int = 0) -> None:
        self.before: list[Fault | None] = []
        self.after: list[Fault | None] = []
        self.answer: Callable[[list[bytes]], bytes] = _answer
        self.received: list[bytes] = []
        self.booked: Counter[bytes] = Counter()
        self.batch_sizes: list[int] = []
        self.streams = 0
        self.drain = threading.Event()
        self._stored: dict[bytes, bytes] = {}
        self._lock = threading.Lock()
        self._server = grpc.server(
            futures.ThreadPoolExecutor(16),
            options=[("grpc.so_reuseport", 0), ("grpc.http2.min_ping_interval_without_data_ms", 1000)],
        )
        handlers: dict[str, dict[str, Any]] = {
            "ringup.v1.SessionService": {"Session": grpc.stream_stream_rpc_method_handler(self._session)},
            "ringup.v1.SaleService": {
                "Sell": grpc.unary_unary_rpc_method_handler(self._sell),
                "GetReceipt": grpc.unary_unary_rpc_method_handler(self._get_receipt),
            },
            "ringup.v1.CatalogService": {"GetItem": grpc.unary_unary_rpc_method_handler(self._get_item)},
            "ringup.v1.PricingService": {"PriceBasket": grpc.unary_unary_rpc_method_handler(self._price_basket)},
        }
        for service, methods in handlers.items():
            self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, methods),))
        self.port = self._server.add_insecure_port(f"127.0.0.1:{port}")
        self.target = f"127.0.0.1:{self.port}"
        self._server.start()

    def stop(self, grace: float | None = None) -> None:
        self._server.stop(grace).wait(5)

    def __enter__(self) -> FakeEngine:
        return self

    def __exit__(self, *exc: object) -> None:
        self.drain.set()
        self.stop()

    @property
    def booked_twice(self) -> list[bytes]:
        """Sales that stand in the books more than once under one reference."""
        return [key for key, count in self.booked.items() if count > 1]

    def _book(self, command_id: bytes, sell: sale_pb2.SellRequest) -> bytes:
        with self._lock:
            self.received.append(command_id)
            if command_id not in self._stored:
                # What is sold is told by the customer, not by the id: that is what "twice" means.
                self.booked[sell.customer_id.encode()] += 1
                receipt = sale_pb2.Receipt(
                    sale_id=command_id, till_id=sell.till_id, number=len(self._stored) + 1, customer_id=sell.customer_id
                )
                code = result_pb2.RESULT_CODE_OK if sell.till_id else result_pb2.RESULT_CODE_TILL_UNKNOWN
                response = sale_pb2.SellResponse(code=code, receipt=receipt)
                self._stored[command_id] = response.SerializeToString()
            return self._stored[command_id]

    def _fault(self, faults: list[Fault | None], context: grpc.ServicerContext) -> None:
        with self._lock:
            fault = faults.pop(0) if faults else None
        if fault is not None:
            fault(context)

    def _session(self, requests: Iterator[bytes], context: grpc.ServicerContext) -> Iterator[bytes]:
        self.streams += 1
        for data in requests:
            batch = session_pb2.SessionRequest.FromString(data)
            self.batch_sizes.append(len(batch.commands))
            self._fault(self.before, context)
            replies = []
            for command in batch.commands:
                if command.WhichOneof("body") != "sell":
                    reply = session_pb2.CommandReply(rejected=session_pb2.Rejected(message="expected a sale"))
                    replies.append(reply.SerializeToString())
                    continue
                body = self._book(command.sell.command_id, command.sell)
                replies.append(
                    session_pb2.CommandReply(sell=sale_pb2.SellResponse.FromString(body)).SerializeToString()
                )
            self._fault(self.after, context)
            yield self.answer(replies)
            if self.drain.is_set():
                yield session_pb2.SessionResponse(draining=True).SerializeToString()

    def _sell(self, data: bytes, context: grpc.ServicerContext) -> bytes:
        self._fault(self.before, context)
        sell = sale_pb2.SellRequest.FromString(data)
        body = self._book(sell.command_id, sell)
        self._fault(self.after, context)
        return body

    def _get_receipt(self, data: bytes, context: grpc.ServicerContext) -> bytes:
        stored = self._stored.get(sale_pb2.GetReceiptRequest.FromString(data).sale_id)
        if stored is None:
            return sale_pb2.GetReceiptResponse(code=result_pb2.RESULT_CODE_SALE_UNKNOWN).SerializeToString()
        receipt = sale_pb2.SellResponse.FromString(stored).receipt
        return sale_pb2.GetReceiptResponse(code=result_pb2.RESULT_CODE_OK, receipt=receipt).SerializeToString()

    def _get_item(self, data: bytes, context: grpc.ServicerContext) -> bytes:
        self._fault(self.before, context)
        item = catalog_pb2.Item(item_id=catalog_pb2.GetItemRequest.FromString(data).item_code)
        return catalog_pb2.GetItemResponse(code=result_pb2.RESULT_CODE_OK, item=item).SerializeToString()

    def _price_basket(self, data: bytes, context: grpc.ServicerContext) -> bytes:
        return pricing_pb2.PriceBasketResponse.FromString(b"\x08\x01").SerializeToString()


def _answer(replies: list[bytes]) -> bytes:
    """A SessionResponse of these replies."""
    parsed = [session_pb2.CommandReply.FromString(reply) for reply in replies]
    return session_pb2.SessionResponse(replies=parsed).SerializeToString()


def abort(code: grpc.StatusCode, details: str = "by the test") -> Fault:
    """A fault that ends the call with this status."""

    def fault(context: grpc.ServicerContext) -> None:
        context.abort(code, details)

    return fault

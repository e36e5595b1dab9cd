"""What a shop, a store and a warehouse do with an order, each a method of the clients.

Who may do which step, and in which state, stands in ARCHITECTURE.md.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import Any, Literal

from google.protobuf.message import Message

from ringup.v1 import stock_pb2

from .rows import rows

Row = Mapping[str, Any]
Lines = Iterable[stock_pb2.StockLine | Row]

BarReason = Literal["damaged", "quality", "expired"]
_BAR_REASONS = {
    "damaged": stock_pb2.BAR_REASON_DAMAGED,
    "quality": stock_pb2.BAR_REASON_QUALITY,
    "expired": stock_pb2.BAR_REASON_EXPIRED,
}


def bar_reason_of(reason: str) -> stock_pb2.BarReason:
    """The reason for which units are there and not for sale.  Raises ValueError, which names the nearest."""
    if reason not in _BAR_REASONS:
        near = difflib.get_close_matches(reason, _BAR_REASONS, 1, 0)
        raise ValueError(f"expected one of {sorted(_BAR_REASONS)}, found {reason!r}; did you mean {near[0]!r}?")
    return _BAR_REASONS[reason]


def scope_of(channel_id: str, location_ids: Iterable[str], collection_point_id: str) -> stock_pb2.Scope | None:
    """Where to look for units: the places of a channel, or these, after the collection point; None says nothing."""
    scope = stock_pb2.Scope(channel_id=channel_id, location_ids=location_ids, collection_point_id=collection_point_id)
    return scope if scope.ByteSize() else None


class OrderCalls:
    """The calls about channels and orders; each raises Refused or NoAnswer, as all methods of the clients."""

    async def _do(self, request: Message, timeout_s: float | None) -> Any:
        raise NotImplementedError  # the client's own

    async def put_channels(
        self,
        channels: Iterable[stock_pb2.Channel | Row],
        *,
        command_id: bytes = b"",
        timeout_s: float | None = None,
    ) -> None:
        """Make or change sales channels; the first that was put is the one of requests that name none."""
        request = stock_pb2.PutChannelsRequest(command_id=command_id, channels=rows(stock_pb2.Channel, channels))
        await self._do(request, timeout_s)

    async def resize_hold(
        self, hold_id: bytes, *, lines: Lines, command_id: bytes = b"", timeout_s: float | None = None
    ) -> stock_pb2.ResizeHoldResponse:
        """Give items of a hold new quantities; its deadline and its other items stay."""
        request = stock_pb2.ResizeHoldRequest(
            command_id=command_id, hold_id=hold_id, lines=rows(stock_pb2.StockLine, lines)
        )
        answer: stock_pb2.ResizeHoldResponse = await self._do(request, timeout_s)
        return answer

    async def pay_hold(
        self, hold_id: bytes, *, ttl_ms: int, command_id: bytes = b"", timeout_s: float | None = None
    ) -> int:
        """Keep a hold while its payment is in flight, up to an hour; return the new deadline in ns since 1970 UTC."""
        request = stock_pb2.PayHoldRequest(command_id=command_id, hold_id=hold_id, ttl_ms=ttl_ms)
        answer: stock_pb2.PayHoldResponse = await self._do(request, timeout_s)
        return answer.deadline_ns

    async def place_order(
        self,
        order_id: str,
        *,
        lines: Lines = (),
        hold_id: bytes = b"",
        channel_id: str = "",
        location_id: str = "",
        location_ids: Iterable[str] = (),
        collection_point_id: str = "",
        customer_id: str = "",
        paid: Iterable[stock_pb2.PaidLine | Row] = (),
        add: bool = False,
        command_id: bytes = b"",
        timeout_s: float | None = None,
    ) -> stock_pb2.PlaceOrderResponse:
        """Promise units to an order, all or none: those of a hold, or lines; return where from (`takes`).

        A hold without lines becomes the order.  add: to an order that exists.
        """
        request = stock_pb2.PlaceOrderRequest(
            command_id=command_id,
            order_id=order_id,
            lines=rows(stock_pb2.StockLine, lines),
            hold_id=hold_id,
            add=add,
            location_id=location_id,
            scope=scope_of(channel_id, location_ids, collection_point_id),
            customer_id=customer_id,
            paid=rows(stock_pb2.PaidLine, paid),
        )
        answer: stock_pb2.PlaceOrderResponse = await self._do(request, timeout_s)
        return answer

    async def cancel_order(
        self, order_id: str, *, lines: Lines = (), command_id: bytes = b"", timeout_s: float | None = None
    ) -> stock_pb2.CancelOrderResponse:
        """Give the units of lines back, or all; return them and what to refund of what was paid."""
        request = stock_pb2.CancelOrderRequest(
            command_id=command_id, order_id=order_id, lines=rows(stock_pb2.StockLine, lines)
        )
        answer: stock_pb2.CancelOrderResponse = await self._do(request, timeout_s)
        return answer

    async def pick_order(
        self,
        order_id: str,
        *,
        location_id: str,
        lines: Lines = (),
        short: bool = False,
        command_id: bytes = b"",
        timeout_s: float | None = None,
    ) -> stock_pb2.PickOrderResponse:
        """Confirm units picked at a place, by code or scanned barcode; return what is left `to_pick`.

        short: no more is to be found here; the rest moves to other places (`takes`) or is lost (`missing`).
        """
        request = stock_pb2.PickOrderRequest(
            command_id=command_id,
            order_id=order_id,
            location_id=location_id,
            lines=rows(stock_pb2.StockLine, lines),
            short=short,
        )
        answer: stock_pb2.PickOrderResponse = await self._do(request, timeout_s)
        return answer

    async def pack_order(self, order_id: str, *, command_id: bytes = b"", timeout_s: float | None = None) -> None:
        """Say that all that was picked is packed."""
        await self._do(stock_pb2.PackOrderRequest(command_id=command_id, order_id=order_id), timeout_s)

    async def ready_order(
        self,
        order_id: str,
        *,
        pickup_code: str,
        ttl_ms: int,
        command_id: bytes = b"",
        timeout_s: float | None = None,
    ) -> int:
        """Let a packed order wait for its customer; return until when, in ns since 1970 UTC.  ttl_ms 0: for ever."""
        request = stock_pb2.ReadyOrderRequest(
            command_id=command_id, order_id=order_id, pickup_code=pickup_code, ttl_ms=ttl_ms
        )
        answer: stock_pb2.ReadyOrderResponse = await self._do(request, timeout_s)
        return answer.pickup_deadline_ns

    async def hand_over_order(
        self, order_id: str, *, pickup_code: str, command_id: bytes = b"", timeout_s: float | None = None
    ) -> list[stock_pb2.Take]:
        """Give an order to the customer who shows its code; return the units that left."""
        request = stock_pb2.HandOverOrderRequest(command_id=command_id, order_id=order_id, pickup_code=pickup_code)
        answer: stock_pb2.HandOverOrderResponse = await self._do(request, timeout_s)
        return list(answer.takes)

    async def ship_order(
        self, order_id: str, *, lines: Lines = (), command_id: bytes = b"", timeout_s: float | None = None
    ) -> list[stock_pb2.Take]:
        """Let units leave, all that is promised or these lines; return them by place and lot."""
        request = stock_pb2.ShipOrderRequest(
            command_id=command_id, order_id=order_id, lines=rows(stock_pb2.StockLine, lines)
        )
        answer: stock_pb2.ShipOrderResponse = await self._do(request, timeout_s)
        return list(answer.takes)

    async def unship_order(self, order_id: str, *, command_id: bytes = b"", timeout_s: float | None = None) -> None:
        """Undo the shipment of an order: its units are back and promised to it."""
        await self._do(stock_pb2.UnshipOrderRequest(command_id=command_id, order_id=order_id), timeout_s)

    async def reallocate_order(
        self,
        order_id: str,
        *,
        item_id: str,
        qty_milli: int,
        from_location_id: str,
        to_location_id: str,
        command_id: bytes = b"",
        timeout_s: float | None = None,
    ) -> None:
        """Let another place promise units of an order."""
        request = stock_pb2.ReallocateOrderRequest(
            command_id=command_id,
            order_id=order_id,
            item_id=item_id,
            qty_milli=qty_milli,
            from_location_id=from_location_id,
            to_location_id=to_location_id,
        )
        await self._do(request, timeout_s)

    async def return_order(
        self,
        order_id: str,
        *,
        item_id: str,
        qty_milli: int,
        location_id: str,
        restock_milli: int | None = None,
        bar_reason: BarReason | None = None,
        command_id: bytes = b"",
        timeout_s: float | None = None,
    ) -> stock_pb2.ReturnOrderResponse:
        """Take shipped units back at any place; return what to refund.

        restock_milli of them go on hand there (None: all), for sale, or with a bar_reason kept from sale; the others
        are scrapped.
        """
        request = stock_pb2.ReturnOrderRequest(
            command_id=command_id,
            order_id=order_id,
            item_id=item_id,
            qty_milli=qty_milli,
            location_id=location_id,
            restock_milli=restock_milli,
            bar_reason=bar_reason_of(bar_reason) if bar_reason else stock_pb2.BAR_REASON_UNSPECIFIED,
        )
        answer: stock_pb2.ReturnOrderResponse = await self._do(request, timeout_s)
        return answer

    async def get_order(self, order_id: str, *, timeout_s: float | None = None) -> stock_pb2.StockOrder:
        """Return an order with its units, state and history."""
        answer: stock_pb2.GetOrderResponse = await self._do(stock_pb2.GetOrderRequest(order_id=order_id), timeout_s)
        return answer.order

    async def list_orders(
        self,
        customer_id: str,
        *,
        page_size: int = 0,
        before_order_id: str = "",
        timeout_s: float | None = None,
    ) -> list[stock_pb2.StockOrder]:
        """Return a customer's orders, the latest first; the page after the one that ended with before_order_id."""
        request = stock_pb2.ListOrdersRequest(
            customer_id=customer_id, page_size=page_size, before_order_id=before_order_id
        )
        answer: stock_pb2.ListOrdersResponse = await self._do(request, timeout_s)
        return list(answer.orders)

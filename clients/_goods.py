"""What happens to goods and what can be promised of them: the part of the asyncio client that a warehouse needs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from google.protobuf.message import Message

from ringup.v1 import stock_pb2

from ._orders import BarReason, Lines, Row, bar_reason_of, scope_of
from .rows import rows


class GoodsCalls:
    """The calls about goods; each raises Refused or NoAnswer, as all methods of the clients."""

    async def _do(self, request: Message, timeout_s: float | None) -> Any:
        raise NotImplementedError  # the client's own

    async def put_stock_policies(
        self,
        policies: Iterable[stock_pb2.StockPolicy | Row],
        *,
        command_id: bytes = b"",
        timeout_s: float | None = None,
    ) -> None:
        """Say how items are promised: safety, backorder, preorder, minimum, maximum, step, removal; all or none.

        A policy replaces the one before it: what it does not name has no bound again.
        """
        request = stock_pb2.PutStockPoliciesRequest(
            command_id=command_id, policies=rows(stock_pb2.StockPolicy, policies)
        )
        await self._do(request, timeout_s)

    async def count_stock(
        self,
        item_id: str,
        *,
        location_id: str,
        on_hand_milli: int,
        book_milli: int | None = None,
        lot_id: str = "",
        command_id: bytes = b"",
        timeout_s: float | None = None,
    ) -> stock_pb2.Position:
        """Book what was counted; return the position as it is now.

        book_milli is what the book showed when it was counted: the difference is applied to what it shows now.
        """
        request = stock_pb2.CountStockRequest(
            command_id=command_id,
            location_id=location_id,
            item_id=item_id,
            on_hand_milli=on_hand_milli,
            book_milli=book_milli,
            lot_id=lot_id,
        )
        answer: stock_pb2.CountStockResponse = await self._do(request, timeout_s)
        return answer.position

    async def transfer_stock(
        self,
        item_id: str,
        *,
        qty_milli: int,
        from_location_id: str,
        to_location_id: str,
        command_id: bytes = b"",
        timeout_s: float | None = None,
    ) -> list[stock_pb2.Take]:
        """Move free units to another place; return them by lot: they stay those lots."""
        request = stock_pb2.TransferStockRequest(
            command_id=command_id,
            item_id=item_id,
            qty_milli=qty_milli,
            from_location_id=from_location_id,
            to_location_id=to_location_id,
        )
        answer: stock_pb2.TransferStockResponse = await self._do(request, timeout_s)
        return list(answer.takes)

    async def bar_stock(
        self,
        *,
        location_id: str,
        lines: Lines,
        reason: BarReason,
        command_id: bytes = b"",
        timeout_s: float | None = None,
    ) -> list[stock_pb2.Position]:
        """Keep units from sale, or below zero free them again; return the positions as they are now."""
        request = stock_pb2.BarStockRequest(
            command_id=command_id,
            location_id=location_id,
            lines=rows(stock_pb2.StockLine, lines),
            reason=bar_reason_of(reason),
        )
        answer: stock_pb2.BarStockResponse = await self._do(request, timeout_s)
        return list(answer.positions)

    async def expect_stock(
        self,
        *,
        location_id: str,
        lines: Lines,
        expected_ns: int = 0,
        command_id: bytes = b"",
        timeout_s: float | None = None,
    ) -> list[stock_pb2.Position]:
        """Book goods that are on their way until expected_ns (since 1970 UTC; 0: not known); return the positions."""
        request = stock_pb2.ExpectStockRequest(
            command_id=command_id,
            location_id=location_id,
            lines=rows(stock_pb2.StockLine, lines),
            expected_ns=expected_ns,
        )
        answer: stock_pb2.ExpectStockResponse = await self._do(request, timeout_s)
        return list(answer.positions)

    async def reorder_stock(
        self,
        item_id: str,
        *,
        location_id: str,
        min_milli: int,
        max_milli: int,
        multiple_milli: int = 0,
        order: bool = False,
        policy_id: str = "",
        command_id: bytes = b"",
        timeout_s: float | None = None,
    ) -> stock_pb2.ReorderStockResponse:
        """Return what to order (`qty_milli`, 0: nothing) to come from below a minimum to a maximum, and order it."""
        request = stock_pb2.ReorderStockRequest(
            command_id=command_id,
            location_id=location_id,
            item_id=item_id,
            min_milli=min_milli,
            max_milli=max_milli,
            multiple_milli=multiple_milli,
            order=order,
            policy_id=policy_id,
        )
        answer: stock_pb2.ReorderStockResponse = await self._do(request, timeout_s)
        return answer

    async def get_promises(
        self,
        item_ids: Iterable[str],
        *,
        channel_id: str = "",
        location_id: str = "",
        location_ids: Iterable[str] = (),
        by_ns: int = 0,
        timeout_s: float | None = None,
    ) -> list[stock_pb2.Promise]:
        """Return what can be promised of items, with their counters; by_ns counts what is expected until then."""
        request = stock_pb2.GetPromiseRequest(
            item_ids=[item_ids] if isinstance(item_ids, str) else item_ids,
            location_id=location_id,
            scope=scope_of(channel_id, location_ids, ""),
            by_ns=by_ns,
        )
        answer: stock_pb2.GetPromiseResponse = await self._do(request, timeout_s)
        return list(answer.promises)

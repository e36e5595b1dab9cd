"""The asyncio client.

    async with AsyncClient("127.0.0.1:7420") as till:
        receipt = await till.sell(till_id="T1", lines=[line("MILK")], tenders=[cash(500)])

Every call has a deadline, and until then what is safe to send again is sent again: queries, and commands
with the same id and the same bytes.  A typed method returns what was asked for or raises `Refused`;
`call` and `submit` return the response message whatever its code.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Mapping
from contextlib import aclosing
from types import TracebackType
from typing import Any, Self

import grpc
from google.protobuf.message import Message

from ringup.v1 import admin_pb2, catalog_pb2, event_pb2, pricing_pb2, promotion_pb2, result_pb2, sale_pb2, stock_pb2

from . import _retry, _wire
from ._connection import Connection, stream_failure
from ._goods import GoodsCalls
from ._latest import latest
from ._orders import OrderCalls, scope_of
from ._session import SessionPump
from .errors import NoAnswer, Refused, RejectedCommand
from .rows import attributes, rows

DEFAULT_TARGET = "127.0.0.1:7420"
_WATCH_PATH = "/ringup.v1.EventService/WatchAvailability"
_EVENTS_PATH = "/ringup.v1.EventService/SubscribeEvents"

Row = Mapping[str, Any]


class AsyncClient(OrderCalls, GoodsCalls):
    """A client for one event loop.

    target: where the engine listens, "host:port"; gRPC's other forms work too, and with
    "ipv4:10.0.0.1:7420,10.0.0.2:7420" the client moves to the next engine when one goes away.
    timeout_s: how long a call may take in all, unless the call says otherwise.
    batching: commands of the typed methods go over one Session stream, batched by themselves; False
    sends each as a unary call.
    credentials: gRPC channel credentials; None talks without TLS.
    secret: who is calling, for an engine that has a file of callers (`ringup caller`); without TLS whoever listens
    on the way learns it.

    Do not fork while a client is open.
    """

    def __init__(
        self,
        target: str = DEFAULT_TARGET,
        *,
        timeout_s: float = _retry.TIMEOUT_S,
        batching: bool = True,
        credentials: grpc.ChannelCredentials | None = None,
        secret: str = "",
    ) -> None:
        self._target = target
        self._timeout_s = timeout_s
        self._batching = batching
        self._credentials = credentials
        self._secret = secret
        self._opened: tuple[Connection, SessionPump, asyncio.AbstractEventLoop] | None = None

    async def open(self) -> Self:
        """Make the channel, in the running event loop; it connects with the first call."""
        if self._opened is None:
            connection = Connection(self._target, self._credentials, self._secret)
            pump = SessionPump(
                lambda: connection.stream(_wire.SESSION_PATH), connection.ready, stream_failure, self._timeout_s
            )
            self._opened = connection, pump, asyncio.get_running_loop()
        return self

    async def close(self, *, flush: bool = True) -> None:
        """Close the channel; flush waits for unanswered commands, each until its deadline."""
        if self._opened is not None:
            (connection, pump, _), self._opened = self._opened, None
            try:
                await pump.close(flush)
            finally:
                await connection.close()

    async def __aenter__(self) -> Self:
        return await self.open()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close(flush=error is None)

    # Any call, by its request message or its bytes.

    async def call(self, request: Message, *, timeout_s: float | None = None) -> Any:
        """Send any request as a unary call and return its response message, whatever its code.

        A command without a command_id gets a new one; the message itself is not changed.  Raises
        NoAnswer, or RejectedCommand when the engine could not read the request.
        """
        kind = _wire.kind_of(request)
        return _wire.parsed(kind, await self._unary(kind, _wire.request_bytes(kind, request), timeout_s))

    async def call_bytes(self, path: str, request: bytes, *, timeout_s: float | None = None) -> bytes:
        """Send a request's bytes as they are to "/ringup.v1.SaleService/Sell" and the like; return the answer's.

        It may be sent more than once, so a command needs its id in the bytes.
        """
        return await self._unary(_wire.kind_of_path(path), request, timeout_s)

    async def submit(self, request: Message, *, timeout_s: float | None = None) -> Any:
        """Send a command over the Session stream and return its response message, whatever its code.

        Commands submitted while others are in flight share a batch.  They are done in the order in which
        they were submitted, and succeed or fail one by one.  Raises NoAnswer (at once, as Overloaded, when too
        much waits to be answered in time) and RejectedCommand.
        """
        kind = _wire.kind_of(request)
        command = _wire.as_command(kind, _wire.request_bytes(kind, request))
        return _wire.parsed_reply(kind, await self.submit_bytes(command, timeout_s=timeout_s))

    def submit_bytes(self, command: bytes, *, timeout_s: float | None = None) -> asyncio.Future[bytes]:
        """Queue the bytes of a Command; the future gives the bytes of its CommandReply, or raises NoAnswer.

        It may be sent more than once, so the command needs its id in the bytes.  Raises Overloaded at once when so
        much waits that it could not be answered in time; a queued one may also end with that, never sent.
        """
        opened = self._opened or self._open_parts()
        return opened[1].post(command, self._timeout_s if timeout_s is None else timeout_s)

    async def resend(self, error: NoAnswer, *, timeout_s: float | None = None) -> Any:
        """Send the command of a NoAnswer again, same id and bytes, and return its response message.

        It takes effect once, however often it is sent; the first answer comes back.
        """
        kind, body = _wire.opened(error.command)
        if kind is None:
            raise TypeError(
                f"expected the error of a command, found that of {error.call}; a query can simply be asked again"
            )
        if self._batching:
            return _wire.parsed_reply(kind, await self.submit_bytes(error.command, timeout_s=timeout_s))
        return _wire.parsed(kind, await self._unary(kind, body, timeout_s))

    # Settings and counters.

    async def put_settings(
        self,
        *,
        currency: str,
        cash_increment_minor: int = 0,
        reply_retention_ms: int = 0,
        command_id: bytes = b"",
        timeout_s: float | None = None,
    ) -> None:
        """Replace all settings: currency is ISO 4217's three letters, cash_increment_minor the smallest coin."""
        settings = admin_pb2.Settings(
            currency=currency, cash_increment_minor=cash_increment_minor, reply_retention_ms=reply_retention_ms
        )
        await self._do(admin_pb2.PutSettingsRequest(command_id=command_id, settings=settings), timeout_s)

    async def get_settings(self, *, timeout_s: float | None = None) -> admin_pb2.Settings:
        """Return the settings in force."""
        answer: admin_pb2.GetSettingsResponse = await self._do(admin_pb2.GetSettingsRequest(), timeout_s)
        return answer.settings

    async def get_stats(self, *, timeout_s: float | None = None) -> admin_pb2.GetStatsResponse:
        """Return `rows` of each table of the state and `counters` since the engine's start."""
        answer: admin_pb2.GetStatsResponse = await self._do(admin_pb2.GetStatsRequest(), timeout_s)
        return answer

    # Catalog.

    async def put_tax_classes(
        self,
        tax_classes: Iterable[catalog_pb2.TaxClass | Row],
        *,
        command_id: bytes = b"",
        timeout_s: float | None = None,
    ) -> None:
        """Create or replace tax classes, all or none."""
        given = rows(catalog_pb2.TaxClass, tax_classes)
        await self._do(catalog_pb2.PutTaxClassesRequest(command_id=command_id, tax_classes=given), timeout_s)

    async def put_locations(
        self,
        locations: Iterable[catalog_pb2.Location | Row],
        *,
        command_id: bytes = b"",
        timeout_s: float | None = None,
    ) -> None:
        """Create or replace locations, all or none."""
        given = rows(catalog_pb2.Location, locations)
        await self._do(catalog_pb2.PutLocationsRequest(command_id=command_id, locations=given), timeout_s)

    async def put_tills(
        self, tills: Iterable[catalog_pb2.Till | Row], *, command_id: bytes = b"", timeout_s: float | None = None
    ) -> None:
        """Create or replace tills, all or none."""
        given = rows(catalog_pb2.Till, tills)
        await self._do(catalog_pb2.PutTillsRequest(command_id=command_id, tills=given), timeout_s)

    async def put_items(
        self, items: Iterable[catalog_pb2.Item | Row], *, command_id: bytes = b"", timeout_s: float | None = None
    ) -> int:
        """Create or replace items, all or none; return how many were new."""
        request = catalog_pb2.PutItemsRequest(command_id=command_id, items=rows(catalog_pb2.Item, items))
        answer: catalog_pb2.PutItemsResponse = await self._do(request, timeout_s)
        return answer.created

    async def put_prices(
        self, prices: Iterable[catalog_pb2.PriceRow | Row], *, command_id: bytes = b"", timeout_s: float | None = None
    ) -> None:
        """Create, replace or remove price-book rows, all or none."""
        given = rows(catalog_pb2.PriceRow, prices)
        await self._do(catalog_pb2.PutPricesRequest(command_id=command_id, rows=given), timeout_s)

    async def get_item(self, item_code: str, *, timeout_s: float | None = None) -> catalog_pb2.GetItemResponse:
        """Look an item up by its code or a barcode: `item` and all its `price_rows`."""
        answer: catalog_pb2.GetItemResponse = await self._do(catalog_pb2.GetItemRequest(item_code=item_code), timeout_s)
        return answer

    async def search_items(
        self, text: str = "", *, page_size: int = 0, page_token: str = "", timeout_s: float | None = None
    ) -> catalog_pb2.SearchItemsResponse:
        """Return one page of the items whose name, code or barcode contains text, and its next_page_token."""
        request = catalog_pb2.SearchItemsRequest(text=text, page_size=page_size, page_token=page_token)
        answer: catalog_pb2.SearchItemsResponse = await self._do(request, timeout_s)
        return answer

    # Prices.

    async def price_basket(
        self,
        *,
        location_id: str,
        lines: Iterable[pricing_pb2.BasketLine | Row],
        channel_id: str = "till",
        customer_id: str = "",
        customer_group_id: str = "",
        coupons: Iterable[str] = (),
        promotion_groups: Iterable[str] = (),
        completed_orders: int = 0,
        redeem: bool = False,
        explain_all: bool = False,
        at_ns: int = 0,
        charges: Iterable[promotion_pb2.Charge | Row] = (),
        price_attributes: Mapping[str, str] | None = None,
        currency: str = "",
        timeout_s: float | None = None,
    ) -> pricing_pb2.PricedBasket:
        """Return what a basket costs, exactly as a sale at this instant would; nothing is changed.

        coupons are the codes presented, promotion_groups the groups that the customer is in, completed_orders how
        many orders the customer has had; redeem asks to pay with points.  The answer's promotions say what applied
        and why others did not, with explain_all also those that the basket does not touch.

        price_attributes are what the rules of price rows ask for: {"region": "DE"}.  currency is that of
        all amounts, the engine's where it is empty.
        """
        request = pricing_pb2.PriceBasketRequest(
            location_id=location_id,
            channel_id=channel_id,
            customer_id=customer_id,
            customer_group_id=customer_group_id,
            lines=rows(pricing_pb2.BasketLine, lines),
            coupons=coupons,
            promotion_groups=promotion_groups,
            completed_orders=completed_orders,
            redeem=redeem,
            explain_all=explain_all,
            at_ns=at_ns,
            charges=rows(promotion_pb2.Charge, charges),
            price_attributes=attributes(price_attributes),
            currency=currency,
        )
        answer: pricing_pb2.PriceBasketResponse = await self._do(request, timeout_s)
        return answer.basket

    # Stock.

    async def receive_stock(
        self,
        *,
        location_id: str,
        lines: Iterable[stock_pb2.StockLine | Row],
        reference: str = "",
        command_id: bytes = b"",
        timeout_s: float | None = None,
    ) -> list[stock_pb2.Position]:
        """Book goods in; return the positions as they are now, in the order of the lines."""
        request = stock_pb2.ReceiveStockRequest(
            command_id=command_id, location_id=location_id, lines=rows(stock_pb2.StockLine, lines), reference=reference
        )
        answer: stock_pb2.ReceiveStockResponse = await self._do(request, timeout_s)
        return list(answer.positions)

    async def adjust_stock(
        self,
        *,
        location_id: str,
        lines: Iterable[stock_pb2.StockLine | Row],
        reason: str,
        command_id: bytes = b"",
        timeout_s: float | None = None,
    ) -> list[stock_pb2.Position]:
        """Change what is on hand, above zero adds; return the positions as they are now."""
        request = stock_pb2.AdjustStockRequest(
            command_id=command_id, location_id=location_id, lines=rows(stock_pb2.StockLine, lines), reason=reason
        )
        answer: stock_pb2.AdjustStockResponse = await self._do(request, timeout_s)
        return list(answer.positions)

    async def hold_stock(
        self,
        *,
        lines: Iterable[stock_pb2.StockLine | Row],
        ttl_ms: int,
        location_id: str = "",
        channel_id: str = "",
        location_ids: Iterable[str] = (),
        collection_point_id: str = "",
        partial: bool = False,
        owner: str = "",
        hold_id: bytes = b"",
        command_id: bytes = b"",
        timeout_s: float | None = None,
    ) -> stock_pb2.HoldStockResponse:
        """Reserve units, all or none; return `hold_id`, `deadline_ns` and where they are (`takes`).

        At one place (location_id), or wherever a channel or a list of places has them, asking collection_point_id
        first.  ttl_ms 0 means no deadline.  partial takes what there is, and `short_item_ids` says what was short.
        """
        request = stock_pb2.HoldStockRequest(
            command_id=command_id,
            hold_id=hold_id,
            location_id=location_id,
            lines=rows(stock_pb2.StockLine, lines),
            ttl_ms=ttl_ms,
            owner=owner,
            scope=scope_of(channel_id, location_ids, collection_point_id),
            partial=partial,
        )
        answer: stock_pb2.HoldStockResponse = await self._do(request, timeout_s)
        return answer

    async def extend_hold(
        self, hold_id: bytes, *, ttl_ms: int, command_id: bytes = b"", timeout_s: float | None = None
    ) -> int:
        """Set a hold's new deadline, counted from now; return it in ns since 1970 UTC."""
        request = stock_pb2.ExtendHoldRequest(command_id=command_id, hold_id=hold_id, ttl_ms=ttl_ms)
        answer: stock_pb2.ExtendHoldResponse = await self._do(request, timeout_s)
        return answer.deadline_ns

    async def release_hold(
        self,
        hold_id: bytes,
        *,
        qty_milli: int | None = None,
        command_id: bytes = b"",
        timeout_s: float | None = None,
    ) -> None:
        """Give units of a hold back, the earliest first; None: all."""
        request = stock_pb2.ReleaseHoldRequest(command_id=command_id, hold_id=hold_id, qty_milli=qty_milli)
        await self._do(request, timeout_s)

    async def commit_hold(
        self,
        hold_id: bytes,
        *,
        qty_milli: int | None = None,
        command_id: bytes = b"",
        timeout_s: float | None = None,
    ) -> None:
        """Let held units leave, the earliest first, and give the rest back; None: all leave."""
        request = stock_pb2.CommitHoldRequest(command_id=command_id, hold_id=hold_id, qty_milli=qty_milli)
        await self._do(request, timeout_s)

    async def read_availability(
        self, item_ids: Iterable[str], *, channel_id: str, timeout_s: float | None = None
    ) -> list[event_pb2.ItemAvailability]:
        """Return what can be promised of items (at most 1,000) on a channel, in their order."""
        request = event_pb2.ReadAvailabilityRequest(channel_id=channel_id, item_ids=item_ids)
        answer: event_pb2.ReadAvailabilityResponse = await self._do(request, timeout_s)
        return list(answer.items)

    async def watch_availability(
        self, item_ids: Iterable[str], *, channel_id: str
    ) -> AsyncIterator[event_pb2.ItemAvailability]:
        """Yield what can be promised of items on a channel: all of them at first, then each whenever it changes.

        A broken link, a restart of the engine and another engine behind the address are gone on from by themselves;
        what changed meanwhile is yielded then.  A slow consumer gets the latest value of each item.  It ends when the
        loop over it ends; raises Refused when the engine says no.
        """
        told: dict[str, tuple[int, bool]] = {}
        changes = self._availability(item_ids, channel_id)
        async with aclosing(latest(changes, lambda item: item.item_id)) as items:
            async for item in items:
                value = item.available_milli, item.unlimited
                if told.get(item.item_id) != value:
                    told[item.item_id] = value
                    yield item

    async def _availability(
        self, item_ids: Iterable[str], channel_id: str
    ) -> AsyncGenerator[event_pb2.ItemAvailability, None]:
        """Yield what an engine tells of items, over broken links."""
        connection, _, _ = self._open_parts()
        request = event_pb2.WatchAvailabilityRequest(channel_id=channel_id, item_ids=item_ids)
        backoff = _retry.Backoff()
        while True:
            try:
                async for message in connection.messages(_WATCH_PATH, request, event_pb2.WatchAvailabilityResponse):
                    if message.code == result_pb2.RESULT_CODE_CURSOR_FOREIGN and request.resume_token:
                        request.resume_token = ""  # another engine answers: its values, all of them
                        break
                    if message.code != result_pb2.RESULT_CODE_OK:
                        raise Refused("WatchAvailability", message)
                    backoff.reset()
                    for item in message.items:
                        yield item
                    request.resume_token = message.resume_token or request.resume_token
            except grpc.aio.AioRpcError as error:
                if error.code().name not in _retry.RESENT_STATUSES:
                    raise
            await asyncio.sleep(backoff.next_s())

    async def follow_events(
        self, *, from_sequence: int = 0, cursor_id: str = "", engine_id: str = ""
    ) -> AsyncIterator[event_pb2.EventBatch]:
        """Yield the events of stock from a sequence, or from after a cursor, and go on with each as it happens.

        In order, each once, without a gap: a broken link and a restart of the engine are gone on from by themselves.
        from_sequence 0 is the oldest that is kept.  Raises Refused when the engine says no: the events are not kept
        any more, are not there yet, or are of another engine than engine_id, or than the one that answered first.

        `engine_id` of each batch says whose the events are; engine and sequence together name an event.  Where that
        engine was restored from a backup meanwhile, it goes on if the backup has all that was read, and is refused
        (CURSOR_FOREIGN; the problem's limit is the last event that both have) if not.
        """
        connection, _, _ = self._open_parts()
        request = event_pb2.SubscribeEventsRequest(
            from_sequence=from_sequence, cursor_id=cursor_id, engine_id=engine_id
        )
        backoff = _retry.Backoff()
        while True:
            try:
                async for message in connection.messages(_EVENTS_PATH, request, event_pb2.SubscribeEventsResponse):
                    if message.code != result_pb2.RESULT_CODE_OK:
                        raise Refused("SubscribeEvents", message)
                    backoff.reset()
                    request.engine_id = message.engine_id or request.engine_id
                    if message.HasField("batch"):
                        # Moved on before the yield: whatever the consumer does, the next read goes on from here.
                        request.cursor_id = ""
                        request.from_sequence = message.batch.first_sequence + len(message.batch.events)
                        message.batch.engine_id = message.batch.engine_id or request.engine_id
                        yield message.batch
            except grpc.aio.AioRpcError as error:
                if error.code().name not in _retry.RESENT_STATUSES:
                    raise
            await asyncio.sleep(backoff.next_s())

    async def get_hold(self, hold_id: bytes, *, timeout_s: float | None = None) -> stock_pb2.Hold:
        """Return a hold with its state, deadline and units."""
        answer: stock_pb2.GetHoldResponse = await self._do(stock_pb2.GetHoldRequest(hold_id=hold_id), timeout_s)
        return answer.hold

    async def get_availability(
        self, item_ids: Iterable[str], *, location_id: str = "", timeout_s: float | None = None
    ) -> list[stock_pb2.Position]:
        """Return the counters of items at one location, or at all that have a position."""
        if isinstance(item_ids, str):
            raise TypeError(f"expected a list of item codes, found the text {item_ids!r}; put it in a list")
        request = stock_pb2.GetAvailabilityRequest(item_ids=item_ids, location_id=location_id)
        answer: stock_pb2.GetAvailabilityResponse = await self._do(request, timeout_s)
        return list(answer.positions)

    # Sales.

    async def sell(
        self,
        *,
        till_id: str,
        lines: Iterable[pricing_pb2.BasketLine | Row],
        tenders: Iterable[sale_pb2.Tender | Row],
        channel_id: str = "till",
        customer_id: str = "",
        customer_group_id: str = "",
        coupons: Iterable[str] = (),
        promotion_groups: Iterable[str] = (),
        completed_orders: int = 0,
        redeem: bool = False,
        hold_ids: Iterable[bytes] = (),
        expected_total_minor: int = 0,
        charges: Iterable[promotion_pb2.Charge | Row] = (),
        price_attributes: Mapping[str, str] | None = None,
        currency: str = "",
        command_id: bytes = b"",
        timeout_s: float | None = None,
    ) -> sale_pb2.Receipt:
        """Book a sale and return its receipt; `submit` with a SellRequest also gives its shortfalls.

        coupons, promotion_groups, completed_orders, redeem, price_attributes and currency are as in price_basket.
        command_id becomes the sale's id; empty means a new one.
        """
        request = sale_pb2.SellRequest(
            command_id=command_id,
            till_id=till_id,
            channel_id=channel_id,
            customer_id=customer_id,
            customer_group_id=customer_group_id,
            lines=rows(pricing_pb2.BasketLine, lines),
            tenders=rows(sale_pb2.Tender, tenders),
            coupons=coupons,
            promotion_groups=promotion_groups,
            completed_orders=completed_orders,
            redeem=redeem,
            hold_ids=hold_ids,
            expected_total_minor=expected_total_minor,
            charges=rows(promotion_pb2.Charge, charges),
            price_attributes=attributes(price_attributes),
            currency=currency,
        )
        answer: sale_pb2.SellResponse = await self._do(request, timeout_s)
        return answer.receipt

    async def return_lines(
        self,
        *,
        till_id: str,
        lines: Iterable[sale_pb2.ReturnLine | Row],
        sale: sale_pb2.Receipt | bytes | tuple[str, int],
        refund_method: sale_pb2.TenderMethod = sale_pb2.TENDER_METHOD_CASH,
        reason: str = "",
        charge_ids: Iterable[str] = (),
        command_id: bytes = b"",
        timeout_s: float | None = None,
    ) -> sale_pb2.Receipt:
        """Take lines of a sale back and return the return's receipt; its total is what is refunded.

        sale is the sale's receipt, its id, or the till and number printed on the receipt.  Charges of the sale
        (delivery, ...) are only paid back where charge_ids names them.
        """
        sale_id, receipt_till_id, receipt_number = _sale_key(sale)
        request = sale_pb2.ReturnLinesRequest(
            command_id=command_id,
            till_id=till_id,
            sale_id=sale_id,
            receipt_till_id=receipt_till_id,
            receipt_number=receipt_number,
            lines=rows(sale_pb2.ReturnLine, lines),
            refund_method=refund_method,
            reason=reason,
            charge_ids=charge_ids,
        )
        answer: sale_pb2.ReturnLinesResponse = await self._do(request, timeout_s)
        return answer.receipt

    async def get_receipt(self, sale: bytes | tuple[str, int], *, timeout_s: float | None = None) -> sale_pb2.Receipt:
        """Read a receipt by the id of its sale or return, or by till and number."""
        sale_id, till_id, number = _sale_key(sale)
        request = sale_pb2.GetReceiptRequest(sale_id=sale_id, till_id=till_id, number=number)
        answer: sale_pb2.GetReceiptResponse = await self._do(request, timeout_s)
        return answer.receipt

    # How a call goes.

    async def _do(self, request: Message, timeout_s: float | None) -> Any:
        """Send a request the way that suits it; return its OK response or raise Refused."""
        kind = _wire.kind_of(request)
        if kind.is_command and self._batching:
            response = await self.submit(request, timeout_s=timeout_s)
        else:
            response = await self.call(request, timeout_s=timeout_s)
        if response.code != result_pb2.RESULT_CODE_OK:
            raise Refused(kind.name, response)
        return response

    async def _unary(self, kind: _wire.Kind, body: bytes, timeout_s: float | None) -> bytes:
        connection, _, loop = self._open_parts()
        deadline_s = loop.time() + (self._timeout_s if timeout_s is None else timeout_s)
        backoff = _retry.Backoff()
        call = connection.unary(kind.path)
        unsure = False
        found = "none within its deadline"
        while (left_s := deadline_s - loop.time()) > 0:
            not_ready = await connection.ready(left_s)
            if not_ready:
                found = not_ready
                continue
            try:
                answer: bytes = await call(body, timeout=max(0.0, deadline_s - loop.time()))
                return answer
            except grpc.aio.AioRpcError as error:
                status, found = error.code().name, f"{error.code().name}: {error.details()}"
                started = status not in _retry.NEVER_STARTED_STATUSES
                unsure = unsure or started
                if status == "INVALID_ARGUMENT" and not unsure:
                    raise RejectedCommand(error.details() or "") from None
                if status not in _retry.RESENT_STATUSES or "larger than max" in found:
                    break
            await asyncio.sleep(max(0.0, min(backoff.next_s(), deadline_s - loop.time())))
        raise _retry.no_answer(kind, body, unsure, found)

    def _open_parts(self) -> tuple[Connection, SessionPump, asyncio.AbstractEventLoop]:
        if self._opened is None:
            raise RuntimeError("expected an open client, found one that is not; use `async with AsyncClient(...)`")
        return self._opened


def _sale_key(sale: sale_pb2.Receipt | bytes | tuple[str, int]) -> tuple[bytes, str, int]:
    if isinstance(sale, sale_pb2.Receipt):
        return sale.sale_id, "", 0
    if isinstance(sale, bytes):
        return sale, "", 0
    till_id, number = sale
    return b"", till_id, number

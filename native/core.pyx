"""The core: a deterministic state machine over tables.

Commands come as the bytes of a `SessionRequest` and answers go as the bytes of a
`SessionResponse`: the wire, the journal and the core share one format and nothing is copied into
objects on the way.  There is no clock, no randomness and no input or output here: the same
batches give the same tables on any machine, which is what recovery, `verify` and replicas rest on.

A batch is `begin(sequence, now_ns)` and any number of `apply(request)`.
"""

import hashlib

from cpython.bytes cimport PyBytes_FromStringAndSize
from libc.stdint cimport int64_t, uint8_t, uint64_t
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memcpy, strlen

from ringup.native.pricing_simulate import Pricer

from ringup.native.body_hash cimport hash_body
from ringup.native.catalog cimport SYMBOL_CHANNEL, Catalog
from ringup.native.catalog_items cimport ItemCommands
from ringup.native.catalog_places cimport PlaceCommands
from ringup.native.catalog_prices cimport PriceCommands
from ringup.native.catalog_taxes cimport TaxCommands
from ringup.native.command cimport MALFORMED, Command, refuse
from ringup.native.contract cimport (
    RESULT_CODE_ID_CONFLICT,
    RESULT_CODE_OK,
    Command_adjust_points,
    Command_block_gift_card,
    Command_issue_gift_cards,
    Command_put_code_patterns,
    Command_delete_event_cursor,
    Command_hold_stock,
    Command_put_coupons,
    Command_put_event_cursor,
    Command_put_items,
    Command_put_loyalty_program,
    Command_put_locations,
    Command_put_prices,
    Command_put_pricing_rules,
    Command_put_promotions,
    Command_put_settings,
    Command_put_tax_classes,
    Command_put_tills,
    Command_return_lines,
    Command_sell,
    Command_set_promotion_state,
    CommandReply_rejected,
    CommandReply_reply_at,
    EventBatch_at_ns,
    EventBatch_batch,
    EventBatch_first_sequence,
    ReadAvailabilityRequest_channel_id,
    ReadAvailabilityRequest_item_ids,
    Rejected_message,
    ReplyAt_index,
    ReplyAt_sequence,
    SessionRequest_commands,
    SessionResponse_replies,
)
from ringup.native.embedded_codes cimport EmbeddedCodes
from ringup.native.event_commands cimport EventCommands
from ringup.native.events cimport Events, EventsHead, Expansion
from ringup.native.gift_cards cimport GiftCards
from ringup.native.limits cimport ID_BYTES, SEQUENCE_MAX
from ringup.native.loyalty cimport Loyalty
from ringup.native.prefetch cimport Prefetcher
from ringup.native.pricing cimport Pricing
from ringup.native.promotion_book cimport PromotionBook
from ringup.native.promotion_commands cimport PromotionCommands
from ringup.native.replies cimport REPLY_INDEX_BITS, Replies, ReplyRow
from ringup.native.sale cimport Sales
from ringup.native.sale_book cimport ROWS_TO_LET_GO, SaleRow
from ringup.native.settings cimport SettingsTable
from ringup.native.spill cimport table_blocks_let_go
from ringup.native.stock cimport Stock
from ringup.native.stock_commands cimport StockCommands
from ringup.native.stock_policy cimport ChannelSum
from ringup.native.table cimport Checkpoint, Table
from ringup.native.wire cimport (
    WIRE_BYTES,
    Reader,
    Span,
    begin_message,
    end_message,
    next_field,
    read_span,
    reader_of,
    skip_field,
    span_at,
    write_int,
    write_span,
    writer_free,
)

# The layout of the tables.  Raise it with every change of a row, a table or of what a command
# does: a checkpoint of another layout is not loaded, the journal is folded again instead.
LAYOUT_VERSION = 40

# Queries, by the name of their RPC; the numbers are only used between `query` and `answer`.
cdef enum Query:
    QUERY_GET_ITEM = 1
    QUERY_SEARCH_ITEMS = 2
    QUERY_PRICE_BASKET = 3
    QUERY_GET_HOLD = 4
    QUERY_GET_AVAILABILITY = 5
    QUERY_GET_SETTINGS = 6
    QUERY_GET_PROMISE = 7
    QUERY_CHECK_STOCK = 8
    QUERY_GET_ORDER = 9
    QUERY_LIST_PROMOTIONS = 10
    QUERY_SIMULATE = 11
    QUERY_LIST_ORDERS = 12
    QUERY_GET_KITS = 15
    QUERY_LIST_REORDERS = 16
    QUERY_LIST_LOCATIONS = 13
    QUERY_LIST_TAX_CLASSES = 14
    QUERY_CHECK_PROMOTIONS = 26
    QUERY_GET_GIFT_CARD = 70
    QUERY_GET_LOYALTY_PROGRAM = 71
    QUERY_GET_CUSTOMER = 72
    QUERY_LIST_CODE_PATTERNS = 73
    QUERY_LIST_EVENT_CURSORS = 74
    QUERY_READ_AVAILABILITY = 75

cdef dict _QUERIES = {
    "ListEventCursors": QUERY_LIST_EVENT_CURSORS,
    "ReadAvailability": QUERY_READ_AVAILABILITY,
    "GetItem": QUERY_GET_ITEM,
    "SearchItems": QUERY_SEARCH_ITEMS,
    "PriceBasket": QUERY_PRICE_BASKET,
    "GetHold": QUERY_GET_HOLD,
    "GetAvailability": QUERY_GET_AVAILABILITY,
    "GetSettings": QUERY_GET_SETTINGS,
    "GetPromise": QUERY_GET_PROMISE,
    "CheckStock": QUERY_CHECK_STOCK,
    "GetOrder": QUERY_GET_ORDER,
    "ListPromotions": QUERY_LIST_PROMOTIONS,
    "Simulate": QUERY_SIMULATE,
    "ListOrders": QUERY_LIST_ORDERS,
    "GetKits": QUERY_GET_KITS,
    "ListReorders": QUERY_LIST_REORDERS,
    "ListLocations": QUERY_LIST_LOCATIONS,
    "ListTaxClasses": QUERY_LIST_TAX_CLASSES,
    "CheckPromotions": QUERY_CHECK_PROMOTIONS,
    "GetGiftCard": QUERY_GET_GIFT_CARD,
    "GetLoyaltyProgram": QUERY_GET_LOYALTY_PROGRAM,
    "GetCustomer": QUERY_GET_CUSTOMER,
    "ListCodePatterns": QUERY_LIST_CODE_PATTERNS,
}


class MalformedRequest(ValueError):
    """The bytes are not the request they should be; nothing was changed."""


cdef class Core:
    """All state of an engine, and the one way to change it."""

    def __cinit__(self):
        self.catalog = Catalog()
        self.settings = SettingsTable(self.catalog)
        self.replies = Replies()
        self.codes = EmbeddedCodes(self.catalog, self.settings)
        self.item_commands = ItemCommands(self.catalog, self.codes)
        self.price_commands = PriceCommands(self.catalog, self.settings)
        self.tax_commands = TaxCommands(self.catalog)
        self.place_commands = PlaceCommands(self.catalog)
        self.stock = Stock()
        self.stock_commands = StockCommands(self.catalog, self.stock)
        self.events = Events(self.catalog, self.stock)
        self.event_commands = EventCommands(self.catalog, self.stock)
        self.know("")
        self.promotion_book = PromotionBook(self.catalog)
        self.promotion_commands = PromotionCommands(self.catalog, self.promotion_book)
        self.loyalty = Loyalty(self.catalog, self.settings)
        self.pricing = Pricing(self.catalog, self.promotion_book, self.loyalty, self.codes)
        self.pricer = Pricer()
        self.gift_cards = GiftCards(self.catalog)
        self.sales = Sales(self.catalog, self.stock, self.pricing, self.settings, self.gift_cards, self.codes)
        self.prefetcher = Prefetcher(self.catalog, self.stock, self.replies, self.sales)
        self.globals = Table("core_globals", sizeof(CoreGlobals))
        self.globals.append()
        self.tables = [
            self.globals, *self.settings.tables, *self.replies.tables, *self.catalog.tables, *self.stock.tables,
            *self.promotion_book.tables, *self.sales.tables, *self.gift_cards.tables,
            *self.loyalty.tables, *self.codes.tables, *self.event_commands.tables,
        ]
        self.replays = <Replay*>malloc(REPLAYS_MAX * sizeof(Replay))
        if self.replays == NULL:
            raise MemoryError

    def __dealloc__(self):
        free(self.replays)
        writer_free(&self.out)

    # Commands

    def begin(self, int64_t sequence, int64_t now_ns) -> None:
        """Open batch `sequence` at `now_ns` (UTC); the clock never goes back.  What is due expires first."""
        self.close_batch()  # where nobody wanted its events
        cdef CoreGlobals* state = <CoreGlobals*>self.globals.edit(0)
        if sequence != state.sequence + 1 or sequence > SEQUENCE_MAX:
            raise ValueError(f"expected batch {state.sequence + 1}, found {sequence}")
        state.sequence = sequence
        state.now_ns = max(now_ns, state.now_ns)
        while sequence > self.identity_until:
            self.become()
        self.index = 0
        self.is_open = True
        with nogil:
            self.stock.expire_due(state.now_ns)
            self.promotion_book.publish_due(state.now_ns)
            self.replies.forget_before(state.now_ns - self.settings.now().reply_retention_ms * 1000000)

    def know(self, str engine_id, ancestors=()) -> None:
        """Set whose journal this is, before its batches: what is of another engine is refused.  Empty: not compared.

        `ancestors` are (engine id, its last batch) of whose the journal's beginning is, oldest first.
        """
        self.identities = [(SEQUENCE_MAX, engine_id.encode())]
        self.identities += [(last_batch, ancestor.encode()) for ancestor, last_batch in reversed(ancestors)]
        self.become()

    cdef become(self):
        self.identity_until, self.engine_id = self.identities.pop()
        self.engine_span = span_at(<const char*>self.engine_id, len(self.engine_id))

    def end(self, last_event: int | None = None) -> bytes:
        """Close the batch and return its packed events, b"" where it moved no stock; see native/events.pxd.

        `last_event` is for a batch of the journal that was written without events or by another layout: the
        number of its last event as the journal has it, whatever this version finds.
        """
        self.close_batch()
        if last_event is not None:
            (<CoreGlobals*>self.globals.edit(0)).event_sequence = last_event
        return PyBytes_FromStringAndSize(<char*>self.events.out.data, self.events.out.size)

    cdef void close_batch(self) noexcept nogil:
        cdef CoreGlobals* state
        if self.is_open:
            self.is_open = False
            state = <CoreGlobals*>self.globals.edit(0)
            state.event_sequence = self.events.close(state.sequence, state.event_sequence)

    @property
    def event_sequence(self) -> int:
        """The sequence of the last event; zero before the first."""
        return (<CoreGlobals*>self.globals.row(0)).event_sequence

    @property
    def sequence(self) -> int:
        """The last batch begun; zero before the first."""
        return (<CoreGlobals*>self.globals.row(0)).sequence

    @property
    def now_ns(self) -> int:
        """The clock value of the last batch."""
        return (<CoreGlobals*>self.globals.row(0)).now_ns

    @property
    def next_deadline_ns(self) -> int:
        """When the next hold ends or pickup is over, in ns since 1970 UTC; zero where nothing has a deadline."""
        cdef int64_t hold_ns = self.stock.deadlines.heap[0].at_ns if self.stock.deadlines.count else 0
        cdef int64_t pickup_ns = self.stock.pickups.heap[0].at_ns if self.stock.pickups.count else 0
        return min(hold_ns, pickup_ns) if hold_ns and pickup_ns else hold_ns or pickup_ns

    def apply(
        self, const uint8_t[::1] request, *, bint recorded=False
    ) -> tuple[bytes, int, list[tuple[int, int, int]]]:
        """Execute the commands of a `SessionRequest`, each by itself, in order.

        `recorded` takes a whole batch of the journal: many requests end to end, so there is no limit on their
        number, and nobody waits for an answer, so no replays are told.

        Returns (bytes of a `SessionResponse`, commands kept, replays).  The commands kept are the ones
        that belong in the journal: all of the request, or 0 where every one was rejected as malformed.
        A replay is (position in this request, sequence, index): the first answer to a resent command
        stands in that batch; its reply here is only a `ReplyAt`.
        What a caller sent has to go through `with_originals` (native/originals.pyx) before: the core believes what a
        return says of its sale.
        Raises MalformedRequest, with nothing executed, for bytes that are no SessionRequest.
        """
        cdef Span span = span_at(&request[0] if request.shape[0] else NULL, request.shape[0])
        cdef int64_t count = self.check_request(span)
        if count > COMMANDS_PER_REQUEST_MAX and not recorded:
            raise MalformedRequest(
                f"SessionRequest: expected at most {COMMANDS_PER_REQUEST_MAX} commands, found {count}; send smaller batches"
            )
        with nogil:
            self.apply_request(span)
        if self.rejected == count:
            self.index -= count
            count = 0
        replays = [
            (self.replays[i].position, self.replays[i].sequence, self.replays[i].index) for i in range(self.replay_count)
        ] if self.replay_count and not recorded else []
        return PyBytes_FromStringAndSize(<char*>self.out.data, self.out.size), count, replays

    cdef int64_t check_request(self, Span request) except -1:
        cdef Reader reader = reader_of(request)
        cdef int64_t count = 0
        while next_field(&reader):
            if reader.field != SessionRequest_commands or reader.wire_type != WIRE_BYTES:
                raise MalformedRequest(
                    f"SessionRequest: expected field {SessionRequest_commands} (commands), found field {reader.field}"
                )
            read_span(&reader)
            count += 1
        if reader.bad:
            raise MalformedRequest("SessionRequest: the bytes end inside a field or are no protobuf message")
        return count

    cdef void apply_request(self, Span request) noexcept nogil:
        cdef Reader reader = reader_of(request)
        cdef int64_t position = 0, count = -1, at
        self.out.size = 0
        self.rejected = self.replay_count = 0
        while count:
            count = self.prefetcher.fetch(&reader)
            for at in range(count):
                self.apply_command(&self.prefetcher.commands[at], position + at)
            position += count

    cdef void apply_command(self, Command* command, int64_t position) noexcept nogil:
        """One command: known id, or handle it and remember where the answer is."""
        cdef CoreGlobals* state = <CoreGlobals*>self.globals.row(0)
        cdef int64_t mark = begin_message(&self.out, SessionResponse_replies), start = self.out.size, reply
        cdef int kind = command.kind, code
        cdef uint64_t body_hash, known_hash = 0, reply_at = 0
        command.now_ns, command.sequence, command.index = state.now_ns, state.sequence, self.index
        body_hash = hash_body(kind, command.body.data, command.body.size)
        self.index += 1

        if not 0 < kind < CommandReply_rejected or command.bad:  # from there on are answers alone
            self.reject(b"Command: expected one command, found bytes that are none; nothing was changed", start)
        elif command.id_size != ID_BYTES:
            self.reject(b"command_id: expected 16 bytes, found another length; make a new random id for each command", start)
        elif self.known_id(command, &known_hash, &reply_at):
            if known_hash == body_hash:
                self.write_replay(reply_at, position)
            else:
                reply = begin_message(&self.out, kind)
                refuse(&self.out, RESULT_CODE_ID_CONFLICT, "command_id", 0, span_at(NULL, 0), 0, 0)
                end_message(&self.out, reply)
        else:
            reply = begin_message(&self.out, kind)
            code = self.handle(kind, command, body_hash, &self.out)
            if code == MALFORMED:
                self.reject(b"Command: the fields of this command are malformed or unknown; nothing was changed", start)
            else:
                end_message(&self.out, reply)
                (<CoreGlobals*>self.globals.edit(0)).command_count += 1
                if kind not in (Command_sell, Command_return_lines) or self.sales.find(command.id, command.id_hash) < 0:
                    self.replies.remember(command, body_hash)
        end_message(&self.out, mark)

    cdef void reject(self, const char* message, int64_t start) noexcept nogil:
        """Put a Rejected in place of whatever the reply had so far."""
        cdef int64_t mark
        self.out.size = start
        self.rejected += 1
        mark = begin_message(&self.out, CommandReply_rejected)
        write_span(&self.out, Rejected_message, span_at(message, strlen(message)))
        end_message(&self.out, mark)

    cdef void write_replay(self, uint64_t reply_at, int64_t position) noexcept nogil:
        cdef int64_t mark = begin_message(&self.out, CommandReply_reply_at)
        cdef Replay replay
        replay.position = position
        replay.sequence = <int64_t>(reply_at >> REPLY_INDEX_BITS)
        replay.index = <int64_t>(reply_at & ((1 << REPLY_INDEX_BITS) - 1))
        if position < REPLAYS_MAX:  # beyond it is a recorded batch, where nobody asks for them
            self.replays[self.replay_count] = replay
            self.replay_count += 1
        write_int(&self.out, ReplyAt_sequence, replay.sequence)
        write_int(&self.out, ReplyAt_index, replay.index)
        end_message(&self.out, mark)

    cdef bint known_id(self, const Command* command, uint64_t* body_hash, uint64_t* reply_at) noexcept nogil:
        cdef const ReplyRow* reply = self.replies.find(command.id, command.id_hash)
        cdef int64_t sale
        if reply != NULL:
            body_hash[0], reply_at[0] = reply.body_hash, reply.reply_at
            return True
        sale = self.sales.find(command.id, command.id_hash)
        if sale >= 0:
            body_hash[0], reply_at[0] = self.sales.sale(sale).body_hash, self.sales.sale(sale).reply_at
            return True
        return False

    cdef int handle(self, int kind, Command* command, uint64_t body_hash, Writer* out) noexcept nogil:
        """Call the handler of a command; MALFORMED for a kind that this version does not know."""
        if kind == Command_sell:
            return self.sales.sell(command, body_hash, out)
        if kind == Command_hold_stock:
            if command.hold.position >= 0 and self.stock_commands.hold_plain(command, out):
                return RESULT_CODE_OK
            return self.stock_commands.hold_stock(command, out)
        if kind == Command_return_lines:
            return self.sales.return_lines(command, body_hash, out)
        if kind == Command_put_items:
            return self.item_commands.put_items(command, out)
        if kind == Command_put_prices:
            return self.price_commands.put_prices(command, out)
        if kind == Command_put_promotions:
            return self.promotion_commands.put_promotions(command, out)
        if kind == Command_set_promotion_state:
            return self.promotion_commands.set_state(command, out)
        if kind == Command_put_pricing_rules:
            return self.promotion_commands.put_rules(command, out)
        if kind == Command_put_coupons:
            return self.promotion_commands.put_coupons(command, out)
        if kind == Command_put_tax_classes:
            return self.tax_commands.put_tax_classes(command, out)
        if kind == Command_put_locations:
            return self.place_commands.put_locations(command, out)
        if kind == Command_put_tills:
            return self.place_commands.put_tills(command, out)
        if kind == Command_put_settings:
            return self.settings.put_settings(command, out)
        if Command_issue_gift_cards <= kind <= Command_block_gift_card:
            return self.gift_cards.handle(kind, command, out)
        if kind == Command_put_loyalty_program or kind == Command_adjust_points:
            return self.loyalty.handle(kind, command, out)
        if kind == Command_put_code_patterns:
            return self.codes.put_patterns(command, out)
        if kind == Command_put_event_cursor:
            return self.event_commands.put_cursor(
                command, self.engine_span, (<CoreGlobals*>self.globals.row(0)).event_sequence, out
            )
        if kind == Command_delete_event_cursor:
            return self.event_commands.delete_cursor(command, out)
        return self.stock_commands.handle(kind, command, out)

    # Queries

    def query(self, str name, const uint8_t[::1] request, int64_t now_ns) -> bytes:
        """Answer the query RPC `name` ("PriceBasket", ...) from the state as it is; changes nothing."""
        cdef Span span = span_at(&request[0] if request.shape[0] else NULL, request.shape[0])
        cdef int kind = _QUERIES[name]
        cdef int code
        if kind == QUERY_SIMULATE:
            return self.pricer.simulate(bytes(request))
        self.out.size = 0
        # Never before the last batch, so that a quote sees what the batch saw.
        now_ns = max(now_ns, (<CoreGlobals*>self.globals.row(0)).now_ns)
        if kind == QUERY_PRICE_BASKET:
            self.prefetcher.fetch_quote(span)
            code = self.pricing.price_basket(span, now_ns, &self.out)
        else:
            code = self.answer(kind, span, &self.out)
        if code == MALFORMED:
            raise MalformedRequest(f"{name}Request: the bytes are no such message")
        return PyBytes_FromStringAndSize(<char*>self.out.data, self.out.size)

    cdef int answer(self, int kind, Span request, Writer* out) noexcept nogil:
        if kind == QUERY_GET_ITEM:
            return self.item_commands.get_item(request, out)
        if kind == QUERY_SEARCH_ITEMS:
            return self.item_commands.search_items(request, out)
        if kind == QUERY_LIST_EVENT_CURSORS:
            return self.event_commands.list_cursors(request, out)
        if kind == QUERY_READ_AVAILABILITY:
            return self.event_commands.read_availability(request, out)
        if kind == QUERY_LIST_LOCATIONS:
            return self.place_commands.list_locations(request, out)
        if kind == QUERY_LIST_TAX_CLASSES:
            return self.tax_commands.list_tax_classes(request, out)
        if kind == QUERY_GET_HOLD:
            return self.stock_commands.get_hold(request, out)
        if kind == QUERY_GET_AVAILABILITY:
            return self.stock_commands.get_availability(request, out)
        if kind == QUERY_GET_PROMISE:
            return self.stock_commands.get_promise(request, out)
        if kind == QUERY_CHECK_STOCK:
            return self.stock_commands.check_stock(request, out)
        if kind == QUERY_GET_ORDER:
            return self.stock_commands.get_order(request, out)
        if kind == QUERY_GET_KITS:
            return self.stock_commands.get_kits(request, out)
        if kind == QUERY_LIST_REORDERS:
            return self.stock_commands.list_reorders(request, out)
        if kind == QUERY_LIST_PROMOTIONS:
            return self.promotion_commands.list_promotions(request, out)
        if kind == QUERY_CHECK_PROMOTIONS:  # whether they would be taken; what else is worth a look needs a search
            return self.promotion_commands.check_promotions(request, out)
        if kind == QUERY_GET_GIFT_CARD:
            return self.gift_cards.get_gift_card(request, out)
        if kind == QUERY_GET_LOYALTY_PROGRAM:
            return self.loyalty.get_program(request, out)
        if kind == QUERY_GET_CUSTOMER:
            return self.loyalty.get_customer(request, out)
        if kind == QUERY_LIST_CODE_PATTERNS:
            return self.codes.list_patterns(request, out)
        if kind == QUERY_LIST_ORDERS:
            return self.stock_commands.list_orders(request, out)
        return self.settings.get_settings(request, out)

    def find_receipt(self, const uint8_t[::1] request) -> tuple[bytes, int, int]:
        """Where the receipt that a `GetReceiptRequest` asks for stands: (b"", sequence, index).

        When there is none: (the refusing `GetReceiptResponse`, 0, 0).
        """
        cdef Span span = span_at(&request[0] if request.shape[0] else NULL, request.shape[0])
        cdef int64_t row = -1
        cdef uint64_t at
        self.out.size = 0
        if self.sales.get_receipt(span, &self.out, &row) == MALFORMED:
            raise MalformedRequest("GetReceiptRequest: the bytes are no such message")
        if row < 0:
            return PyBytes_FromStringAndSize(<char*>self.out.data, self.out.size), 0, 0
        at = self.sales.sale(row).reply_at
        return b"", at >> REPLY_INDEX_BITS, at & ((1 << REPLY_INDEX_BITS) - 1)

    def pricing_rules(self) -> bytes:
        """The `PricingRules` in force, for the review of promotions."""
        return self.promotion_book.rules_bytes()

    # Events

    def watch(self, const uint8_t[::1] request) -> list[tuple[int, str, int, int]]:
        """Be told of changes from now on: (key, item's code, available or -1 for unlimited, version) for each item.

        `request` is a WatchAvailabilityRequest that the query ReadAvailability answers with OK.  The values are those
        of the last batch that ended.  Each call wants an `unwatch` of its keys.
        """
        cdef Reader reader = reader_of(span_at(&request[0] if request.shape[0] else NULL, request.shape[0]))
        cdef Span channel_code = span_at(NULL, 0), code
        cdef int64_t item, channel, row
        cdef ChannelSum* sum_row
        items = []
        while next_field(&reader):
            if reader.field == ReadAvailabilityRequest_channel_id:
                channel_code = read_span(&reader)
            elif reader.field == ReadAvailabilityRequest_item_ids:
                code = read_span(&reader)
                items.append(self.catalog.find_item(code))
            else:
                skip_field(&reader)
        channel = self.stock.find_channel(self.catalog.find_symbol(SYMBOL_CHANNEL, channel_code))
        found = []
        for item in dict.fromkeys(items):
            sum_row = self.events.watched_sum(
                item, channel, (<CoreGlobals*>self.globals.row(0)).sequence - self.is_open
            )
            sum_row.watchers += 1
            row = sum_row - self.stock.sums
            code = self.catalog.item_code(item)
            found.append((row, code.data[:code.size].decode(), sum_row.available_milli, sum_row.version))
        return found

    def unwatch(self, keys: list[int]) -> None:
        """Give back what `watch` gave."""
        cdef int64_t key
        for key in keys:
            self.stock.sums[key].watchers -= 1

    def take_watched(self) -> list[tuple[int, int, int]]:
        """What the batch that ended last changed of what is watched: (key, available or -1 for unlimited, version)."""
        cdef int64_t at
        cdef ChannelSum* sum_row
        found = []
        for at in range(self.events.watched_count):
            sum_row = &self.stock.sums[self.events.watched[at]]
            found.append((self.events.watched[at], sum_row.available_milli, sum_row.version))
        self.events.watched_count = 0
        return found

    def expand_events(
        self, const uint8_t[::1] packed, int64_t batch, int64_t at_ns, int64_t from_sequence, int64_t bytes_max
    ) -> list[tuple[int, int, bytes]]:
        """Packed events as messages: (first sequence, last sequence, bytes of an `EventBatch`) each.

        `packed` are the events of `batch` with its clock value; those before `from_sequence` are left out.  A
        message ends with the event that takes it to `bytes_max`.
        Raises ValueError for bytes that are no packed events, or not of a catalog like this one.
        """
        cdef EventsHead head
        cdef Expansion walk
        cdef int64_t first
        found = []
        if packed.shape[0] == 0:
            return found
        if packed.shape[0] <= <int64_t>sizeof(EventsHead):
            raise ValueError(f"batch {batch}: {packed.shape[0]} bytes are no packed events")
        memcpy(&head, &packed[0], sizeof(EventsHead))
        walk.sequence = head.last_sequence - head.count
        walk.left = span_at(&packed[sizeof(EventsHead)], packed.shape[0] - sizeof(EventsHead))
        walk.bad = (
            head.items > self.catalog.items.count or head.locations > self.catalog.locations.count
            or head.symbols > self.catalog.symbols.count
        )
        while walk.left.size and not walk.bad:
            first = max(from_sequence, walk.sequence + 1)
            self.out.size = 0
            write_int(&self.out, EventBatch_first_sequence, first)
            write_int(&self.out, EventBatch_batch, batch)
            write_int(&self.out, EventBatch_at_ns, at_ns)
            with nogil:
                self.events.expand(&walk, from_sequence - 1, bytes_max, &self.out)
            if walk.sequence >= first:
                found.append((first, walk.sequence, PyBytes_FromStringAndSize(<char*>self.out.data, self.out.size)))
        if walk.bad or walk.sequence != head.last_sequence:
            raise ValueError(f"batch {batch}: its packed events are damaged, or another journal's")
        return found

    # State

    def checkpoint(self) -> Checkpoint:
        """Freeze the pages changed since the last one; between batches only."""
        self.close_batch()
        return Checkpoint(self.tables)

    def row_counts(self) -> dict[str, int]:
        """Rows of each table, by name."""
        return {table.name: table.count for table in self.tables}

    def memory_bytes(self) -> int:
        """Bytes held by the tables' pages."""
        return sum(table.memory_bytes for table in self.tables)

    def rebuild(self) -> None:
        """Make all indexes anew, after the tables' pages were loaded; ends the open batch."""
        self.close_batch()
        with nogil:
            self.catalog.rebuild()
            self.stock.rebuild()
            self.events.settle((<CoreGlobals*>self.globals.row(0)).sequence)
            self.replies.rebuild()
            self.promotion_book.rebuild()
            self.sales.rebuild()
            self.gift_cards.rebuild()
            self.loyalty.rebuild()
            self.codes.rebuild()
            self.pricing.rates_stale = True

    def layout(self) -> str:
        """Names the layout of the tables; equal layouts can load each other's checkpoints."""
        rows = ",".join(f"{table.name}:{table.row_bytes}" for table in self.tables)
        return f"{LAYOUT_VERSION}/{hashlib.sha256(rows.encode()).hexdigest()[:16]}"

    def digest(self) -> bytes:
        """SHA-256 of the whole state: equal for equal histories, when their last batch has ended."""
        hasher = hashlib.sha256()
        for table in self.tables:
            hasher.update(table.digest())
        return hasher.digest()

    # The book's own proof, for `verify` and the demo

    def receipt_gaps(self) -> int:
        """How many receipt numbers are missing: each till has 1 to n once, but for those that were left out."""
        # One walk over the sales in their order and a bit a receipt: till by till, each would walk over all of them.
        cdef int64_t till, tills = self.catalog.tills.count, row, bit, total = 0, found = 0, left_out = 0
        cdef const SaleRow* sale
        cdef int64_t* first = <int64_t*>malloc(max(tills, 1) * sizeof(int64_t))
        cdef uint8_t* seen
        if first == NULL:
            raise MemoryError
        for till in range(tills):
            first[till] = total
            total += <int64_t>self.catalog.till(till).last_receipt_number
            left_out += <int64_t>self.catalog.till(till).numbers_left_out
        seen = <uint8_t*>calloc(total // 8 + 1, 1)
        if seen == NULL:
            free(first)
            raise MemoryError
        with nogil:
            for row in range(self.sales.sales.count):
                sale = self.sales.sale(row)
                if 0 < sale.receipt_number <= self.catalog.till(sale.till).last_receipt_number:
                    bit = first[sale.till] + <int64_t>sale.receipt_number - 1
                    found += not seen[bit >> 3] & (1 << (bit & 7))
                    seen[bit >> 3] |= 1 << (bit & 7)
                if row % ROWS_TO_LET_GO == ROWS_TO_LET_GO - 1:
                    table_blocks_let_go()
        free(first)
        free(seen)
        return total - left_out - found

    def last_receipt_number(self) -> int:
        """The highest receipt number of any till, 0 before the first sale."""
        cdef int64_t till
        cdef uint64_t last = 0
        for till in range(self.catalog.tills.count):
            last = max(last, self.catalog.till(till).last_receipt_number)
        return last

"""Fetch ahead: a sale's time is mostly waiting for memory, and waits of many lines can overlap.

An item's code leads to a slot of an index, the slot to a row, the row to prices and to a position:
five dependent reads, each far from the last.  A window of commands walks all its lines one step at
a time and only asks for the next step's memory, so the waits of a window overlap.

What a command's head says is read here, once.  Nothing else is decided: a row that is looked up is likely, and is only
what `Catalog.find_item` and `Positions.find` look at first when the command executes.
"""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t

from ringup.native.catalog cimport ITEM_CODE_HERE, BarcodeRow, Catalog, ItemRow
from ringup.native.command cimport Command, PlainHold
from ringup.native.contract cimport (
    BasketLine_item_id,
    Command_hold_stock,
    Command_sell,
    HoldStockRequest_lines,
    HoldStockRequest_location_id,
    HoldStockRequest_ttl_ms,
    PutItemsRequest_command_id,
    PriceBasketRequest_lines,
    PriceBasketRequest_location_id,
    SellRequest_lines,
    SellRequest_till_id,
    StockLine_item_id,
    StockLine_qty_milli,
)
from ringup.native.index cimport Index, hash_bytes, hash_int, index_next, index_prefetch, index_start, prefetch
from ringup.native.limits cimport ID_BYTES
from ringup.native.replies cimport Replies
from ringup.native.sale cimport Sales
from ringup.native.stock cimport Stock
from ringup.native.stock_positions cimport PositionRow, place_hash
from ringup.native.wire cimport (
    WIRE_BYTES,
    WIRE_VARINT,
    Reader,
    Span,
    next_field,
    no_span,
    read_span,
    reader_of,
    skip_field,
    span_at,
    span_equal,
)


cdef enum:
    TAG_HOLD = Command_hold_stock << 3 | WIRE_BYTES
    TAG_ID = PutItemsRequest_command_id << 3 | WIRE_BYTES  # the same number in every command
    TAG_PLACE = HoldStockRequest_location_id << 3 | WIRE_BYTES
    TAG_LINES = HoldStockRequest_lines << 3 | WIRE_BYTES
    TAG_LINE_ITEM = StockLine_item_id << 3 | WIRE_BYTES
    TAG_LINE_QTY = StockLine_qty_milli << 3 | WIRE_VARINT
    TAG_TTL = HoldStockRequest_ttl_ms << 3 | WIRE_VARINT
    PLAIN_BYTES_MIN = ID_BYTES + 4  # an id, and a field of one byte
    NUMBER_BYTES_MAX = 8  # read in place: 56 bits, above any quantity and any time to live

assert TAG_HOLD < 0x80 and TAG_LINES < 0x80 and TAG_TTL < 0x80  # tags of one byte


cdef inline Span _short_span(const uint8_t* at, const uint8_t* end) noexcept nogil:
    """The bytes of the field whose tag is at `at`, fewer than 128; empty where the field does not end before `end`."""
    if at + 2 > end or at[1] >= 0x80 or at[1] > end - at - 2:
        return no_span()
    return span_at(at + 2, at[1])


cdef inline const uint8_t* _number(const uint8_t* at, const uint8_t* end, int64_t* value) noexcept nogil:
    """Read a varint of at most NUMBER_BYTES_MAX bytes; returns where it ends, or NULL."""
    cdef int shift = 0
    value[0] = 0
    while at < end and shift < 7 * NUMBER_BYTES_MAX:
        value[0] |= <int64_t>(at[0] & 0x7f) << shift
        at += 1
        if at[-1] < 0x80:
            return at
        shift += 7
    return NULL


cdef inline int64_t _likely(Index* index, uint64_t hash) noexcept nogil:
    """The first row under a hash: nearly always the one, as 32 bits of the hash agree."""
    cdef int64_t cursor = index_start(index, hash)
    return index_next(index, hash, &cursor)


cdef class Prefetcher:
    """Reads windows of commands and walks ahead of their execution."""

    def __cinit__(self, Catalog catalog, Stock stock, Replies replies, Sales sales):
        self.catalog, self.stock, self.replies, self.sales = catalog, stock, replies, sales

    cdef int64_t fetch(self, Reader* commands) noexcept nogil:
        """Read the next commands, at most WINDOW_COMMANDS, into `commands` and fetch for them; returns how many."""
        cdef int64_t seen = 0
        self.count = 0
        while seen < WINDOW_COMMANDS and self.count < WINDOW_LINES_ENOUGH and next_field(commands):
            self.read_command(read_span(commands), &self.commands[seen])
            seen += 1
        self.fetch_lines()
        return seen

    cdef void fetch_quote(self, Span request) noexcept nogil:
        """Fetch for the lines of a PriceBasketRequest."""
        cdef Reader reader = reader_of(request)
        cdef int64_t location = -1, at
        self.count = 0
        while next_field(&reader):
            if reader.field == PriceBasketRequest_lines:
                self.fetch_line(read_span(&reader), True)
            elif reader.field == PriceBasketRequest_location_id:
                location = self.catalog.find_location(read_span(&reader))
            else:
                skip_field(&reader)
        for at in range(self.count):
            self.lines[at].location = <int32_t>location
        self.fetch_lines()

    cdef void read_command(self, Span span, Command* command) noexcept nogil:
        """Read the head of a command: its kind, body and id; fetch for the lines of a sale or a hold."""
        cdef Reader reader = reader_of(span), inner
        cdef Span id
        cdef uint32_t lines_field = 0, place_field = 0
        cdef bint is_hold
        cdef int64_t location = -1, first = self.count, at
        command.hold.position = -1
        if span.size > 2 and span.data[0] == TAG_HOLD and 2 + <uint8_t>span.data[1] == span.size and span.size < 0x82:
            command.kind, command.bad = Command_hold_stock, False
            command.body = span_at(span.data + 2, span.size - 2)
            if self.read_plain_hold(command):
                return
        command.kind = 0
        command.body = no_span()
        while next_field(&reader):
            command.kind = <int>reader.field
            command.body = read_span(&reader)
        command.bad = reader.bad
        command.id = NULL
        command.id_size = 0
        if command.kind == Command_sell:
            lines_field, place_field = SellRequest_lines, SellRequest_till_id
        elif command.kind == Command_hold_stock:
            lines_field, place_field = HoldStockRequest_lines, HoldStockRequest_location_id
        is_hold = command.kind == Command_hold_stock
        inner = reader_of(command.body)
        while next_field(&inner):
            if inner.field == lines_field:
                self.fetch_line(read_span(&inner), not is_hold)
            elif inner.field == place_field:
                location = self.place_of(read_span(&inner), not is_hold)
            elif inner.field == PutItemsRequest_command_id and command.id == NULL:
                id = read_span(&inner)  # the same number in every command; a test proves it
                command.bad |= inner.bad
                command.id, command.id_size = <const uint8_t*>id.data, id.size
                self.fetch_id(command)
                if not lines_field:
                    break
            else:
                skip_field(&inner)
        if command.id == NULL:
            command.bad |= inner.bad
        for at in range(first, self.count):
            self.lines[at].location = <int32_t>location

    cdef bint read_plain_hold(self, Command* command) noexcept nogil:
        """Read a hold of one line at one place, its fields in the order of their numbers and nothing beside them.

        False for any other, of which nothing was taken in.
        """
        cdef const uint8_t* at = <const uint8_t*>command.body.data
        cdef const uint8_t* end = at + command.body.size
        cdef const uint8_t* line_end
        cdef PlainHold* hold = &command.hold
        cdef Ahead* ahead
        if command.body.size < PLAIN_BYTES_MIN or self.count == WINDOW_LINES:
            return False
        if at[0] != TAG_ID or at[1] != ID_BYTES or at[ID_BYTES + 2] != TAG_PLACE:
            return False
        at += ID_BYTES + 2
        hold.place = _short_span(at, end)
        at += 2 + hold.place.size
        if hold.place.size == 0 or at + 2 > end or at[0] != TAG_LINES or at[1] >= 0x80 or at[1] > end - at - 2:
            return False
        line_end = at + 2 + at[1]
        at += 2
        if at + 2 > line_end or at[0] != TAG_LINE_ITEM:
            return False
        hold.code = _short_span(at, line_end)
        at += 2 + hold.code.size
        if hold.code.size == 0 or at + 2 > line_end or at[0] != TAG_LINE_QTY:
            return False
        at = _number(at + 1, line_end, &hold.qty_milli)
        if at != line_end:
            return False
        hold.ttl_ms = 0
        if at != end:
            if at[0] != TAG_TTL or _number(at + 1, end, &hold.ttl_ms) != end:
                return False
        hold.location = self.catalog.find_location(hold.place)
        if hold.location < 0:
            return False
        command.id, command.id_size = <const uint8_t*>command.body.data + 2, ID_BYTES
        self.fetch_id(command)
        ahead = &self.lines[self.count]
        self.count += 1
        ahead.code = hold.code
        ahead.hash = hash_bytes(hold.code.data, hold.code.size)
        ahead.hold = hold
        ahead.location = <int32_t>hold.location
        ahead.is_priced = False
        index_prefetch(&self.catalog.item_index, ahead.hash)
        index_prefetch(&self.catalog.barcode_index, ahead.hash)
        return True

    cdef void fetch_id(self, Command* command) noexcept nogil:
        """The slots that tell whether a command is known, and where it is going to be noted."""
        command.id_hash = hash_bytes(command.id, command.id_size)
        index_prefetch(&self.replies.index, command.id_hash)
        index_prefetch(&self.sales.id_index, command.id_hash)
        if command.kind == Command_hold_stock:  # without an id of its own it has the command's
            index_prefetch(&self.stock.hold_index, command.id_hash)

    cdef void fetch_line(self, Span line, bint is_priced) noexcept nogil:
        """The slots of the item's code in a line of a basket or of stock.

        It is the first field, as every known client writes it.
        """
        cdef Reader reader = reader_of(line)
        cdef Span code
        cdef Ahead* ahead
        if self.count == WINDOW_LINES or not next_field(&reader) or reader.field != BasketLine_item_id:
            return  # StockLine_item_id is the same
        code = read_span(&reader)
        ahead = &self.lines[self.count]
        ahead.code = code
        ahead.hold = NULL
        ahead.hash = hash_bytes(code.data, code.size)
        ahead.is_priced = is_priced
        index_prefetch(&self.catalog.item_index, ahead.hash)
        index_prefetch(&self.catalog.barcode_index, ahead.hash)
        self.count += 1

    cdef int64_t place_of(self, Span code, bint is_till) noexcept nogil:
        cdef int64_t till
        if not is_till:
            return self.catalog.find_location(code)
        till = self.catalog.find_till(code)
        return -1 if till < 0 else <int64_t>self.catalog.till(till).location

    cdef void fetch_lines(self) noexcept nogil:
        """One step after the other, each over all lines."""
        self.fetch_items()
        self.fetch_places()
        self.find_places()

    cdef void fetch_items(self) noexcept nogil:
        """From the slots to the items' rows and their codes."""
        cdef int64_t at
        cdef Ahead* line
        for at in range(self.count):
            line = &self.lines[at]
            line.item = <int32_t>_likely(&self.catalog.item_index, line.hash)
            line.barcode = -1
            if line.item >= 0:
                if line.hold == NULL:
                    self.catalog.expect_item(line.code.data, line.item)
                prefetch(self.catalog.item(line.item))
            else:
                line.barcode = <int32_t>_likely(&self.catalog.barcode_index, line.hash)
                if line.barcode >= 0:
                    prefetch(self.catalog.barcodes.row(line.barcode))
        for at in range(self.count):
            line = &self.lines[at]
            if line.barcode >= 0:
                line.item = <int32_t>(<BarcodeRow*>self.catalog.barcodes.row(line.barcode)).item
                prefetch(self.catalog.item(line.item))
                prefetch(self.catalog.text((<BarcodeRow*>self.catalog.barcodes.row(line.barcode)).code).data)
            if line.item >= 0:
                self.stock.prefetch(line.item, line.location)

    cdef void fetch_places(self) noexcept nogil:
        """From the items to their names, price rows and positions."""
        cdef int64_t at
        cdef Ahead* line
        cdef const ItemRow* item
        for at in range(self.count):
            line = &self.lines[at]
            line.position = -1
            if line.item < 0:
                continue
            item = self.catalog.item(line.item)
            if item.code_size > ITEM_CODE_HERE:
                prefetch(self.catalog.item_code(line.item).data)
            if line.is_priced:
                prefetch(self.catalog.text(item.name).data)
                prefetch(self.catalog.text(item.categories).data)
                if item.first_price:
                    prefetch(self.catalog.price(item.first_price - 1))
                if item.first_chain:
                    index_prefetch(
                        &self.catalog.chain_index, hash_int((<uint64_t>line.item << 32) | <uint64_t>line.location)
                    )
            line.position = <int32_t>_likely(&self.stock.place_index, place_hash(line.item, line.location))
            if line.position >= 0:
                prefetch(self.stock.position_row(line.position))

    cdef void find_places(self) noexcept nogil:
        """Note the positions that are the ones that were meant."""
        cdef int64_t at
        cdef Ahead* line
        cdef const PositionRow* position
        for at in range(self.count):
            line = &self.lines[at]
            if line.position >= 0:
                position = self.stock.position_row(line.position)
                if position.item == line.item and position.location == line.location:
                    if line.hold == NULL:
                        self.stock.note_found(line.item, line.location, line.position)
                    elif span_equal(self.catalog.item_code(line.item), line.code):
                        line.hold.item, line.hold.position = line.item, line.position  # items stay, and so do codes
                        line.hold.found_stamp = self.stock.found_stamp

"""Fetch ahead: a sale's time is mostly waiting for memory, and waits of many lines can overlap.

An item's code leads to a slot of an index, the slot to a row, the row to prices and to a position:
five dependent reads, each far from the last.  A window of commands walks all its lines one step at
a time and only asks for the next step's memory, so the waits of a window overlap.  Nothing is
decided here: what is looked up is likely, never compared, and looked up again when it executes.
"""

from libc.stdint cimport int64_t, uint32_t, uint64_t

from ringup.native.catalog cimport BarcodeRow, Catalog, ItemRow
from ringup.native.contract cimport (
    BasketLine_item_id,
    Command_hold_stock,
    Command_sell,
    HoldStockRequest_lines,
    HoldStockRequest_location_id,
    PutItemsRequest_command_id,
    PriceBasketRequest_lines,
    PriceBasketRequest_location_id,
    SellRequest_lines,
    SellRequest_till_id,
)
from ringup.native.index cimport Index, hash_bytes, hash_int, index_next, index_prefetch, index_start, prefetch
from ringup.native.replies cimport Replies
from ringup.native.sale cimport Sales
from ringup.native.stock cimport Stock
from ringup.native.stock_positions cimport place_hash
from ringup.native.wire cimport Reader, Span, next_field, read_span, reader_of, skip_field


cdef inline int64_t _likely(Index* index, uint64_t hash) noexcept nogil:
    """The first row under a hash: nearly always the one, as 32 bits of the hash agree."""
    cdef int64_t cursor = index_start(index, hash)
    return index_next(index, hash, &cursor)


cdef class Prefetcher:
    """Walks windows of commands ahead of their execution."""

    def __cinit__(self, Catalog catalog, Stock stock, Replies replies, Sales sales):
        self.catalog, self.stock, self.replies, self.sales = catalog, stock, replies, sales

    cdef int64_t fetch(self, Reader commands) noexcept nogil:
        """Fetch for the next WINDOW_COMMANDS commands; returns how many commands that covers."""
        cdef int64_t seen = 0
        self.count = 0
        while seen < WINDOW_COMMANDS and self.count < WINDOW_LINES_ENOUGH and next_field(&commands):
            self.read_command(read_span(&commands))
            seen += 1
        self.fetch_items()
        self.fetch_places()
        return seen

    cdef void fetch_quote(self, Span request) noexcept nogil:
        """Fetch for the lines of a PriceBasketRequest."""
        cdef Reader reader = reader_of(request)
        cdef Span code
        cdef int64_t location = -1, at
        self.count = 0
        while next_field(&reader):
            if reader.field == PriceBasketRequest_lines:
                code = self.code_of(read_span(&reader))
                if code.size and self.count < WINDOW_LINES:
                    self.lines[self.count].hash = hash_bytes(code.data, code.size)
                    index_prefetch(&self.catalog.item_index, self.lines[self.count].hash)
                    index_prefetch(&self.catalog.barcode_index, self.lines[self.count].hash)
                    self.count += 1
            elif reader.field == PriceBasketRequest_location_id:
                location = self.catalog.find_location(read_span(&reader))
            else:
                skip_field(&reader)
        for at in range(self.count):
            self.lines[at].location = location
        self.fetch_items()
        self.fetch_places()

    cdef void read_command(self, Span body) noexcept nogil:
        cdef Reader reader = reader_of(body), inner
        cdef Span request, code
        cdef uint32_t lines_field = 0, place_field = 0
        cdef bint is_hold
        cdef int64_t location = -1, first = self.count, at
        if not next_field(&reader):
            return
        if reader.field == Command_sell:
            lines_field, place_field = SellRequest_lines, SellRequest_till_id
        elif reader.field == Command_hold_stock:
            lines_field, place_field = HoldStockRequest_lines, HoldStockRequest_location_id
        is_hold = reader.field == Command_hold_stock
        request = read_span(&reader)
        inner = reader_of(request)
        while next_field(&inner):
            if inner.field == lines_field:
                code = self.code_of(read_span(&inner))
                if code.size and self.count < WINDOW_LINES:
                    self.lines[self.count].hash = hash_bytes(code.data, code.size)
                    index_prefetch(&self.catalog.item_index, self.lines[self.count].hash)
                    index_prefetch(&self.catalog.barcode_index, self.lines[self.count].hash)
                    self.count += 1
            elif inner.field == place_field:
                location = self.place_of(read_span(&inner), not is_hold)
            elif inner.field == PutItemsRequest_command_id:  # the same number in every command
                self.fetch_id(read_span(&inner), is_hold)
                if not lines_field:
                    return
            else:
                skip_field(&inner)
        for at in range(first, self.count):
            self.lines[at].location = location

    cdef void fetch_id(self, Span id, bint is_hold) noexcept nogil:
        """The slots that tell whether a command is known, and where it is going to be noted."""
        cdef uint64_t hash = hash_bytes(id.data, id.size)
        index_prefetch(&self.replies.index, hash)
        index_prefetch(&self.sales.id_index, hash)
        if is_hold:  # without an id of its own it has the command's
            index_prefetch(&self.stock.hold_index, hash)

    cdef Span code_of(self, Span line) noexcept nogil:
        """The item's code in a line of a basket or of stock: the first field, as every known client writes it."""
        cdef Reader reader = reader_of(line)
        cdef Span none
        none.data = NULL
        none.size = 0
        if next_field(&reader) and reader.field == BasketLine_item_id:  # StockLine_item_id is the same
            return read_span(&reader)
        return none

    cdef int64_t place_of(self, Span code, bint is_till) noexcept nogil:
        cdef int64_t till
        if not is_till:
            return self.catalog.find_location(code)
        till = self.catalog.find_till(code)
        return -1 if till < 0 else <int64_t>self.catalog.till(till).location

    cdef void fetch_items(self) noexcept nogil:
        """From the slots to the items' rows and their codes."""
        cdef int64_t at
        cdef Ahead* line
        for at in range(self.count):
            line = &self.lines[at]
            line.item = _likely(&self.catalog.item_index, line.hash)
            line.barcode = -1
            if line.item >= 0:
                prefetch(self.catalog.items.row(line.item))
            else:
                line.barcode = _likely(&self.catalog.barcode_index, line.hash)
                if line.barcode >= 0:
                    prefetch(self.catalog.barcodes.row(line.barcode))
        for at in range(self.count):
            line = &self.lines[at]
            if line.barcode >= 0:
                line.item = (<BarcodeRow*>self.catalog.barcodes.row(line.barcode)).item
                prefetch(self.catalog.items.row(line.item))
                prefetch(self.catalog.text((<BarcodeRow*>self.catalog.barcodes.row(line.barcode)).code).data)
            if line.item >= 0:
                self.stock.prefetch(line.item, line.location)

    cdef void fetch_places(self) noexcept nogil:
        """From the items to their names, price rows and positions."""
        cdef int64_t at, position
        cdef Ahead* line
        cdef const ItemRow* item
        for at in range(self.count):
            line = &self.lines[at]
            if line.item < 0:
                continue
            item = self.catalog.item(line.item)
            prefetch(self.catalog.text(item.code).data)
            prefetch(self.catalog.text(item.name).data)
            prefetch(self.catalog.text(item.categories).data)
            if item.first_price:
                prefetch(self.catalog.price(item.first_price - 1))
            if item.first_chain:
                index_prefetch(&self.catalog.chain_index, hash_int((<uint64_t>line.item << 32) | <uint64_t>line.location))
            position = _likely(&self.stock.place_index, place_hash(line.item, line.location))
            if position >= 0:
                prefetch(self.stock.positions.row(position))

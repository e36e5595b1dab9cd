"""What the requests of stock have in common: lines, scopes, the checks on them, and answers.

Checks answer OK or have written the refusal.  They go over all lines, in the order of the result codes.
"""

from libc.stdint cimport int64_t, uint32_t
from libc.stdlib cimport free, malloc

from ringup.native.catalog cimport SYMBOL_CHANNEL, Catalog, SymbolRow
from ringup.native.command cimport is_code_or_empty, refuse
from ringup.native.contract cimport (
    RESULT_CODE_CHANNEL_UNKNOWN,
    RESULT_CODE_FIELD_INVALID,
    RESULT_CODE_ITEM_IS_KIT,
    RESULT_CODE_ITEM_UNKNOWN,
    RESULT_CODE_LINES_EMPTY,
    RESULT_CODE_LOCATION_DISABLED,
    RESULT_CODE_LOCATION_UNKNOWN,
    RESULT_CODE_OK,
    RESULT_CODE_POSITION_UNKNOWN,
    RESULT_CODE_QTY_INVALID,
    RESULT_CODE_QTY_TOO_LARGE,
    RESULT_CODE_STOCK_INSUFFICIENT,
    RESULT_CODE_TIME_INVALID,
    RESULT_CODE_TOO_MANY,
    LotPosition_allocated_milli,
    LotPosition_barred,
    LotPosition_expires_ns,
    LotPosition_held_milli,
    LotPosition_lot_id,
    LotPosition_on_hand_milli,
    LotPosition_received_ns,
    LotPosition_unavailable_milli,
    Position_allocated_milli,
    Position_free_milli,
    Position_held_milli,
    Position_incoming_milli,
    Position_item_id,
    Position_location_id,
    Position_lots,
    Position_on_hand_milli,
    Position_unavailable_milli,
    Position_version,
    Scope_channel_id,
    Scope_collection_point_id,
    Scope_location_ids,
    StockLine_barred,
    StockLine_expires_ns,
    StockLine_item_id,
    StockLine_location_id,
    StockLine_lot_id,
    StockLine_qty_milli,
    StockLine_received_ns,
    Take_item_id,
    Take_kit_id,
    Take_location_id,
    Take_lot_id,
    Take_owed_milli,
    Take_qty_milli,
)
from ringup.native.limits cimport CODE_BYTES_MAX, ID_BYTES, LINES_MAX, QTY_MILLI_MAX, TIME_NS_MAX
from ringup.native.stock cimport Stock
from ringup.native.stock_lines cimport Chain, LineRow
from ringup.native.stock_plan cimport ENTRY_STOCK
from ringup.native.stock_plan cimport Entry as PlanEntry
from ringup.native.stock_policy cimport CHANNEL_PLACES_MAX, POLICY_PREORDER
from ringup.native.stock_positions cimport POSITION_BARRED, ExtraRow, PositionRow, free_of
from ringup.native.stock_scope cimport Want
from ringup.native.stock_tally cimport Entry, tally_at, tally_clear, tally_find, tally_free
from ringup.native.wire cimport (
    Reader,
    Span,
    Writer,
    begin_message,
    clear,
    end_message,
    next_field,
    next_of,
    no_span,
    read_int,
    read_span,
    reader_of,
    skip_field,
    span_at,
    write_int,
    write_span,
)


cdef int refuse_hold(Writer* out, int code, Span hold_id) noexcept nogil:
    """Refuse because of a hold; the subject is its id in hex, as Problem says."""
    cdef char[2 * ID_BYTES] text
    cdef const char* digits = b"0123456789abcdef"
    cdef int64_t i
    for i in range(ID_BYTES):
        text[2 * i] = digits[(<unsigned char>hold_id.data[i]) >> 4]
        text[2 * i + 1] = digits[(<unsigned char>hold_id.data[i]) & 15]
    return refuse(out, code, "hold_id", 0, span_at(&text[0], 2 * ID_BYTES), 0, 0)


cdef int refuse_hold_id(Writer* out, Span hold_id) noexcept nogil:
    """Refuse an id of another length than 16 bytes."""
    return refuse(out, RESULT_CODE_FIELD_INVALID, "hold_id", 0, no_span(), hold_id.size, ID_BYTES)


cdef class StockRequests:
    """Reads, checks and answers; the handlers are in the classes that build on it."""

    def __cinit__(self, Catalog catalog, Stock stock):
        self.catalog, self.stock = catalog, stock
        stock.catalog = catalog
        self.lines = <LineIn*>malloc(LINES_MAX * sizeof(LineIn))
        self.wants = <Want*>malloc(LINES_MAX * sizeof(Want))
        self.want_capacity = LINES_MAX
        if self.lines == NULL or self.wants == NULL:
            raise MemoryError

    def __dealloc__(self):
        free(self.lines)
        free(self.wants)
        tally_free(&self.sums)

    # Reading.

    cdef void read_line(self, Span body, StockIn* request) noexcept nogil:
        """Take in the next line; beyond LINES_MAX they are only counted."""
        cdef Reader reader = reader_of(body)
        cdef LineIn* line
        request.line_count += 1
        if request.line_count > LINES_MAX:
            return
        line = &self.lines[request.line_count - 1]
        clear(line, sizeof(LineIn))
        while next_field(&reader):
            if reader.field == StockLine_item_id:
                line.code = read_span(&reader)
            elif reader.field == StockLine_qty_milli:
                line.qty_milli = read_int(&reader)
            elif reader.field == StockLine_location_id:
                line.location_code = read_span(&reader)
            elif reader.field == StockLine_lot_id:
                line.lot_code = read_span(&reader)
            elif reader.field == StockLine_received_ns:
                line.received_ns = read_int(&reader)
            elif reader.field == StockLine_expires_ns:
                line.expires_ns = read_int(&reader)
            elif reader.field == StockLine_barred:
                line.barred = read_int(&reader) != 0
            else:
                skip_field(&reader)
        request.bad |= reader.bad
        line.item = self.catalog.find_item(line.code)
        line.location = self.catalog.find_location(line.location_code) if line.location_code.size else -1

    cdef void read_scope(self, Span body, StockIn* request) noexcept nogil:
        cdef Reader reader = reader_of(body)
        request.scope = body  # of several the last one counts, whole
        request.has_scope = True
        request.channel_code = request.collection_code = no_span()
        request.scope_place_count = 0
        while next_field(&reader):
            if reader.field == Scope_channel_id:
                request.channel_code = read_span(&reader)
            elif reader.field == Scope_collection_point_id:
                request.collection_code = read_span(&reader)
            elif reader.field == Scope_location_ids:
                read_span(&reader)
                request.scope_place_count += 1
            else:
                skip_field(&reader)
        request.bad |= reader.bad

    cdef void find_named(self, StockIn* request) noexcept nogil:
        """Look up the item and the location that the request as a whole names."""
        request.item = self.catalog.find_item(request.item_code) if request.item_code.size else -1
        request.location = self.catalog.find_location(request.location_code)

    # Checks.

    cdef int check_line_count(self, StockIn* request, Writer* out) noexcept nogil:
        """FIELD_INVALID of lots, then TOO_MANY, then LINES_EMPTY."""
        cdef int64_t i
        cdef LineIn* line
        for i in range(min(request.line_count, LINES_MAX)):
            line = &self.lines[i]
            if not is_code_or_empty(line.lot_code):
                return refuse(
                    out, RESULT_CODE_FIELD_INVALID, "lines.lot_id", i, line.code, line.lot_code.size, CODE_BYTES_MAX
                )
        if request.line_count > LINES_MAX:
            return refuse(out, RESULT_CODE_TOO_MANY, "lines", 0, no_span(), request.line_count, LINES_MAX)
        if request.scope_place_count > CHANNEL_PLACES_MAX:
            return refuse(
                out, RESULT_CODE_TOO_MANY, "scope.location_ids", 0, no_span(), request.scope_place_count, CHANNEL_PLACES_MAX
            )
        if request.line_count == 0:
            return refuse(out, RESULT_CODE_LINES_EMPTY, "lines", 0, no_span(), 0, 1)
        return RESULT_CODE_OK

    cdef int check_quantities(self, StockIn* request, bint signed, bint sold, Writer* out) noexcept nogil:
        """QTY_INVALID, then QTY_TOO_LARGE, then TIME_INVALID of lots.

        `signed` allows quantities below zero; `sold` also asks the item's policy what a buyer may ask for.
        """
        cdef int64_t i, most_milli
        cdef LineIn* line
        cdef bint whole
        cdef int64_t sum_milli
        for i in range(request.line_count):
            line = &self.lines[i]
            whole = line.item >= 0 and not self.is_measured(line.item)
            if line.qty_milli == 0 or (line.qty_milli < 0 and not signed) or (whole and line.qty_milli % 1000 != 0):
                return refuse(
                    out, RESULT_CODE_QTY_INVALID, "lines.qty_milli", i, line.code, line.qty_milli, 1000 if whole else 1
                )
        for i in range(request.line_count):
            line = &self.lines[i]
            if line.qty_milli > QTY_MILLI_MAX or line.qty_milli < -QTY_MILLI_MAX:
                return refuse(
                    out, RESULT_CODE_QTY_TOO_LARGE, "lines.qty_milli", i, line.code, line.qty_milli, QTY_MILLI_MAX
                )
            if line.item >= 0 and self.is_kit(line.item):
                most_milli = self.most_kits_milli(line.item)
                if line.qty_milli > most_milli:
                    return refuse(
                        out, RESULT_CODE_QTY_TOO_LARGE, "lines.qty_milli", i, line.code, line.qty_milli, most_milli
                    )
        if sold:
            tally_clear(&self.sums)
            for i in range(request.line_count):
                if self.lines[i].item >= 0 and request.line_count > 1:
                    tally_at(&self.sums, self.lines[i].item).sum_milli += self.lines[i].qty_milli
            for i in range(request.line_count):
                line = &self.lines[i]
                if line.item < 0:
                    continue
                sum_milli = line.qty_milli if request.line_count == 1 else tally_find(&self.sums, line.item).sum_milli
                if not self.stock.sells(line.item, sum_milli, self.is_measured(line.item)):
                    return refuse(
                        out, RESULT_CODE_QTY_INVALID, "lines.qty_milli", i, line.code, sum_milli,
                        self.stock.most_sellable(line.item, sum_milli, self.is_measured(line.item)),
                    )
        for i in range(request.line_count):
            line = &self.lines[i]
            if not 0 <= line.received_ns <= TIME_NS_MAX or not 0 <= line.expires_ns <= TIME_NS_MAX:
                return refuse(
                    out, RESULT_CODE_TIME_INVALID, "lines.expires_ns", i, line.code,
                    max(line.received_ns, line.expires_ns), TIME_NS_MAX,
                )
        return RESULT_CODE_OK

    cdef int check_quantity(self, StockIn* request, int64_t qty_milli, const char* field, Writer* out) noexcept nogil:
        """QTY_INVALID, then QTY_TOO_LARGE, of the one quantity of a request."""
        cdef bint whole = request.item >= 0 and not self.is_measured(request.item)
        if qty_milli <= 0 or (whole and qty_milli % 1000 != 0):
            return refuse(
                out, RESULT_CODE_QTY_INVALID, field, 0, request.item_code, qty_milli, 1000 if whole else 1
            )
        if qty_milli > QTY_MILLI_MAX:
            return refuse(out, RESULT_CODE_QTY_TOO_LARGE, field, 0, request.item_code, qty_milli, QTY_MILLI_MAX)
        if request.item >= 0 and self.is_kit(request.item) and qty_milli > self.most_kits_milli(request.item):
            return refuse(
                out, RESULT_CODE_QTY_TOO_LARGE, field, 0, request.item_code, qty_milli,
                self.most_kits_milli(request.item),
            )
        return RESULT_CODE_OK

    cdef int64_t most_kits_milli(self, int64_t item) noexcept nogil:
        """So many of a kit that no part is beyond QTY_MILLI_MAX."""
        cdef int64_t kit = self.stock.find_kit(item), i, most = QTY_MILLI_MAX
        for i in range(self.stock.kit_row(kit).part_count):
            most = min(most, QTY_MILLI_MAX // self.stock.kit_part(kit, i).qty_milli * 1000)
        return most

    cdef int check_stocked(self, StockIn* request, Writer* out) noexcept nogil:
        """ITEM_IS_KIT: what is received, counted and moved are the parts of a kit."""
        cdef int64_t i
        for i in range(request.line_count):
            if self.is_kit(self.lines[i].item):
                return refuse(out, RESULT_CODE_ITEM_IS_KIT, "lines.item_id", i, self.lines[i].code, 0, 0)
        if request.line_count == 0 and self.is_kit(request.item):
            return refuse(out, RESULT_CODE_ITEM_IS_KIT, "item_id", 0, request.item_code, 0, 0)
        return RESULT_CODE_OK

    cdef int check_known(self, StockIn* request, bint located, Writer* out) noexcept nogil:
        """ITEM_UNKNOWN, then LOCATION_UNKNOWN: of lines, of the request (`located`: it must have one), of its scope."""
        cdef int64_t i, at = 0
        cdef Span code
        cdef Reader reader = reader_of(request.scope)
        for i in range(request.line_count):
            if self.lines[i].item < 0:
                return refuse(out, RESULT_CODE_ITEM_UNKNOWN, "lines.item_id", i, self.lines[i].code, 0, 0)
        if request.location < 0 and (located or request.location_code.size):
            return refuse(out, RESULT_CODE_LOCATION_UNKNOWN, "location_id", 0, request.location_code, 0, 0)
        for i in range(request.line_count):
            if self.lines[i].location < 0 and self.lines[i].location_code.size:
                return refuse(
                    out, RESULT_CODE_LOCATION_UNKNOWN, "lines.location_id", i, self.lines[i].location_code, 0, 0
                )
        while next_field(&reader):
            if reader.field == Scope_location_ids or reader.field == Scope_collection_point_id:
                code = read_span(&reader)
                if self.catalog.find_location(code) < 0 and (code.size or reader.field == Scope_location_ids):
                    if reader.field == Scope_collection_point_id:
                        return refuse(out, RESULT_CODE_LOCATION_UNKNOWN, "scope.collection_point_id", 0, code, 0, 0)
                    return refuse(out, RESULT_CODE_LOCATION_UNKNOWN, "scope.location_ids", at, code, 0, 0)
                at += reader.field == Scope_location_ids
            else:
                skip_field(&reader)
        return RESULT_CODE_OK

    cdef int check_item_and_place(self, StockIn* request, bint located, Writer* out) noexcept nogil:
        """ITEM_UNKNOWN, then LOCATION_UNKNOWN, of a request about one item."""
        if request.item < 0:
            return refuse(out, RESULT_CODE_ITEM_UNKNOWN, "item_id", 0, request.item_code, 0, 0)
        if located and request.location < 0:
            return refuse(out, RESULT_CODE_LOCATION_UNKNOWN, "location_id", 0, request.location_code, 0, 0)
        return RESULT_CODE_OK

    cdef int check_goods(self, StockIn* request, Writer* out) noexcept nogil:
        """That items and places of all lines are known, and are kept in stock as they are."""
        cdef int code = self.check_known(request, True, out)
        return self.check_stocked(request, out) if code == RESULT_CODE_OK else code

    cdef int check_item_goods(self, StockIn* request, Writer* out) noexcept nogil:
        """The same of a request about one item at one place."""
        cdef int code = self.check_item_and_place(request, True, out)
        return self.check_stocked(request, out) if code == RESULT_CODE_OK else code

    cdef int check_positions(self, StockIn* request, Writer* out) noexcept nogil:
        """POSITION_UNKNOWN where the one place named, which is open, has never had the item."""
        cdef int64_t i, location, kit, at
        cdef LineIn* line
        for i in range(request.line_count):
            line = &self.lines[i]
            location = line.location if line.location >= 0 else request.location
            if location < 0 or not self.stock.enabled(location):
                continue
            kit = self.stock.find_kit(line.item) if self.is_kit(line.item) else -1
            for at in range(self.stock.kit_row(kit).part_count if kit >= 0 else 1):
                if not self.stands(self.stock.kit_part(kit, at).item if kit >= 0 else line.item, location):
                    return refuse(out, RESULT_CODE_POSITION_UNKNOWN, "lines.item_id", i, line.code, 0, 0)
        return RESULT_CODE_OK

    cdef bint stands(self, int64_t item, int64_t location) noexcept nogil:
        """Whether an item has a position at a place, or needs none."""
        if not self.is_tracked(item) or self.stock.policy(item).flags & POLICY_PREORDER:
            return True
        return self.stock.find(item, location) >= 0

    cdef int check_scope(self, StockIn* request, Writer* out) noexcept nogil:
        """CHANNEL_UNKNOWN; else `scope` is where the request looks.  Its locations are known."""
        cdef int64_t symbol = -1
        cdef Reader reader = reader_of(request.scope)
        self.stock.scope_begin(&self.scope)
        if request.channel_code.size:
            symbol = self.catalog.find_symbol(SYMBOL_CHANNEL, request.channel_code)
            if symbol < 0 or self.stock.find_channel(symbol) < 0:
                return refuse(out, RESULT_CODE_CHANNEL_UNKNOWN, "scope.channel_id", 0, request.channel_code, 0, 0)
        if request.location >= 0 or request.scope_place_count:
            if symbol >= 0:
                self.scope.channel = symbol
            if request.location >= 0:
                self.stock.scope_add(&self.scope, request.location)
            else:
                while next_of(&reader, Scope_location_ids):
                    self.stock.scope_add(&self.scope, self.catalog.find_location(read_span(&reader)))
        elif not self.stock.scope_channel(&self.scope, symbol):
            return refuse(out, RESULT_CODE_CHANNEL_UNKNOWN, "scope.channel_id", 0, request.channel_code, 0, 0)
        if request.collection_code.size:
            self.stock.scope_collect_at(&self.scope, self.catalog.find_location(request.collection_code))
        return RESULT_CODE_OK

    cdef void sum_wants(self, StockIn* request) noexcept nogil:
        """Sum the lines by item and named place; those that name a place come first, and kits before plain items."""
        cdef int64_t i, key, group, turn
        cdef bint kits = self.stock.kits.count > 0
        cdef LineIn* line
        cdef Entry* entry
        if request.line_count == 1:
            self.wants[0] = self.want_of(0)
            self.want_count = 1
            return
        tally_clear(&self.sums)
        self.want_count = 0
        for group in range(4 if kits else 2):
            for i in range(request.line_count):
                line = &self.lines[i]
                turn = line.location < 0
                if kits:  # a kit is bound to one place more than its parts are
                    turn = turn * 2 + (not self.is_kit(line.item))
                if turn != group:
                    continue
                key = (line.item << 31) | (line.location + 1)
                entry = tally_find(&self.sums, key)
                if entry == NULL:
                    tally_at(&self.sums, key).sum_milli = self.want_count
                    self.wants[self.want_count] = self.want_of(i)
                    self.want_count += 1
                else:
                    self.wants[entry.sum_milli].qty_milli += line.qty_milli

    cdef Want want_of(self, int64_t line) noexcept nogil:
        """What one line wants by itself."""
        cdef Want want
        want.item, want.location = self.lines[line].item, self.lines[line].location
        want.qty_milli = self.lines[line].qty_milli
        want.line = line
        want.kit = 0
        return want

    # Answers.

    cdef int refuse_short(self, StockIn* request, uint32_t short_field, Writer* out) noexcept nogil:
        """Refuse because the plan at hand is short: LOCATION_DISABLED where that is why."""
        cdef Want* want = &self.wants[self.stock.short_wants[0]]
        cdef int64_t place = want.location
        cdef int code = RESULT_CODE_STOCK_INSUFFICIENT
        if place < 0 and self.scope.place_count == 1:
            place = self.stock.places[0].location
        if place >= 0 and not self.stock.enabled(place):
            code = RESULT_CODE_LOCATION_DISABLED
        refuse(
            out, code, "lines.qty_milli", want.line, self.catalog.item_code(want.item), want.qty_milli,
            self.stock.short_available_milli,
        )
        self.write_shorts(short_field, out)
        return code

    cdef void write_shorts(self, uint32_t short_field, Writer* out) noexcept nogil:
        cdef int64_t i
        if self.stock.short_count == 0:
            return
        tally_clear(&self.sums)
        for i in range(self.stock.short_count):
            if tally_find(&self.sums, self.stock.short_items[i]) == NULL:
                tally_at(&self.sums, self.stock.short_items[i])
                write_span(out, short_field, self.catalog.item_code(self.stock.short_items[i]))

    cdef void write_take(
        self, uint32_t field, int64_t item, int64_t location, int64_t lot, int64_t qty_milli, bint owed, int64_t kit,
        Writer* out
    ) noexcept nogil:
        cdef int64_t mark = begin_message(out, field)
        write_span(out, Take_item_id, self.catalog.item_code(item))
        if location >= 0:
            write_span(out, Take_location_id, self.catalog.location_code(location))
        if lot:
            write_span(out, Take_lot_id, self.catalog.text((<SymbolRow*>self.catalog.symbols.row(lot - 1)).code))
        write_int(out, Take_qty_milli, qty_milli)
        if owed:
            write_int(out, Take_owed_milli, qty_milli)
        if kit:
            write_span(out, Take_kit_id, self.catalog.item_code(self.stock.kit_row(kit - 1).item))
        end_message(out, mark)

    cdef void write_plan(self, uint32_t field, Writer* out) noexcept nogil:
        """The units of the plan at hand."""
        cdef int64_t i, lot
        cdef PlanEntry* entry
        for i in range(self.stock.plan_count):
            entry = &self.stock.plan_entries[i]
            lot = 0
            if entry.kind == ENTRY_STOCK and entry.position >= 0:
                lot = self.stock.position_row(entry.position).lot
            self.write_take(field, entry.item, entry.location, lot, entry.qty_milli, entry.owed, entry.kit, out)

    cdef void write_plan_of_kits(self, uint32_t field, Writer* out) noexcept nogil:
        """The units of the plan at hand, if parts of kits are among them: of others the request says all."""
        cdef int64_t i
        for i in range(self.stock.plan_count):
            if self.stock.plan_entries[i].kit:
                self.write_plan(field, out)
                return

    cdef void write_chain(self, const Chain* chain, uint32_t field, Writer* out) noexcept nogil:
        """The units of a chain of lines."""
        cdef int64_t at = chain.first
        cdef LineRow* line
        while at:
            line = self.stock.line_row(at - 1)
            self.write_take(field, line.item, line.location, line.lot, line.qty_milli, line.owed, line.kit, out)
            at = line.next

    cdef void write_positions(self, StockIn* request, uint32_t field, Writer* out) noexcept nogil:
        """The counters of every line's item at the place of the request."""
        cdef int64_t i
        for i in range(request.line_count):
            self.write_position(self.lines[i].item, request.location, field, out)

    cdef void write_position(self, int64_t item, int64_t location, uint32_t field, Writer* out) noexcept nogil:
        """The counters of an item at a location, over its lots and by lot; zeros where there is no position."""
        cdef int64_t mark = begin_message(out, field), inner, first = self.stock.find(item, location), row = first
        cdef int64_t on_hand_milli = 0, held_milli = 0, free_milli = 0, version = 0, allocated_milli = 0
        cdef int64_t unavailable_milli = 0
        cdef PositionRow* position
        cdef const ExtraRow* extra
        while row >= 0:
            position = self.stock.position_row(row)
            on_hand_milli += position.on_hand_milli
            held_milli += position.held_milli
            allocated_milli += position.allocated_milli
            unavailable_milli += position.unavailable_milli
            free_milli += free_of(position)
            version += position.version
            row = self.stock.next_in_place(row)
        write_span(out, Position_item_id, self.catalog.item_code(item))
        write_span(out, Position_location_id, self.catalog.location_code(location))
        write_int(out, Position_on_hand_milli, on_hand_milli)
        write_int(out, Position_held_milli, held_milli)
        write_int(out, Position_free_milli, free_milli)
        write_int(out, Position_version, version)
        write_int(out, Position_allocated_milli, allocated_milli)
        write_int(out, Position_unavailable_milli, unavailable_milli)
        write_int(out, Position_incoming_milli, self.stock.incoming_milli(item, location, 0))
        row = first
        if row >= 0 and self.stock.position_row(row).lot == 0 and self.stock.next_in_place(row) < 0:
            if not self.stock.position_row(row).flags & POSITION_BARRED:
                row = -1  # not kept by lot
        while row >= 0:
            position = self.stock.position_row(row)
            inner = begin_message(out, Position_lots)
            if position.lot:
                write_span(
                    out, LotPosition_lot_id,
                    self.catalog.text((<SymbolRow*>self.catalog.symbols.row(position.lot - 1)).code),
                )
            write_int(out, LotPosition_barred, position.flags & POSITION_BARRED != 0)
            write_int(out, LotPosition_on_hand_milli, position.on_hand_milli)
            write_int(out, LotPosition_held_milli, position.held_milli)
            write_int(out, LotPosition_allocated_milli, position.allocated_milli)
            write_int(out, LotPosition_unavailable_milli, position.unavailable_milli)
            extra = self.stock.extra_row(position)
            if extra != NULL:
                write_int(out, LotPosition_received_ns, extra.received_ns)
                write_int(out, LotPosition_expires_ns, extra.expires_ns)
            end_message(out, inner)
            row = self.stock.next_in_place(row)
        end_message(out, mark)

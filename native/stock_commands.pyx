"""Handlers and queries of stock.

A handler reads its request into scratch memory, then runs its ladder of checks over all lines in
the order of the result codes, then applies.  Lines of items that keep no stock pass every check of
quantity and move nothing.
"""

from libc.stdint cimport int64_t, uint32_t
from libc.stdlib cimport free, malloc
from libc.string cimport memset

from ringup.native.catalog cimport ITEM_MEASURED, ITEM_UNTRACKED, LOCATION_DISABLED, Catalog, ItemRow, LocationRow
from ringup.native.command cimport MALFORMED, Command, is_text, ok, refuse
from ringup.native.contract cimport (
    HOLD_STATE_RELEASED,
    RESULT_CODE_FIELD_INVALID,
    RESULT_CODE_HOLD_COMMITTED,
    RESULT_CODE_HOLD_UNKNOWN,
    RESULT_CODE_ITEM_UNKNOWN,
    RESULT_CODE_LINES_EMPTY,
    RESULT_CODE_LOCATION_DISABLED,
    RESULT_CODE_LOCATION_UNKNOWN,
    RESULT_CODE_OK,
    RESULT_CODE_QTY_INVALID,
    RESULT_CODE_QTY_TOO_LARGE,
    RESULT_CODE_REASON_MISSING,
    RESULT_CODE_STOCK_BELOW_LIMIT,
    RESULT_CODE_STOCK_INSUFFICIENT,
    RESULT_CODE_TIME_INVALID,
    RESULT_CODE_TOO_MANY,
    AdjustStockRequest_lines,
    AdjustStockRequest_location_id,
    AdjustStockRequest_reason,
    AdjustStockResponse_positions,
    CommitHoldRequest_hold_id,
    ExtendHoldRequest_hold_id,
    ExtendHoldRequest_ttl_ms,
    ExtendHoldResponse_deadline_ns,
    GetAvailabilityRequest_item_ids,
    GetAvailabilityRequest_location_id,
    GetAvailabilityResponse_positions,
    GetHoldRequest_hold_id,
    GetHoldResponse_hold,
    Hold_deadline_ns,
    Hold_hold_id,
    Hold_lines,
    Hold_location_id,
    Hold_owner,
    Hold_state,
    HoldStockRequest_hold_id,
    HoldStockRequest_lines,
    HoldStockRequest_location_id,
    HoldStockRequest_owner,
    HoldStockRequest_ttl_ms,
    HoldStockResponse_deadline_ns,
    HoldStockResponse_hold_id,
    Position_free_milli,
    Position_held_milli,
    Position_item_id,
    Position_location_id,
    Position_on_hand_milli,
    Position_version,
    ReceiveStockRequest_lines,
    ReceiveStockRequest_location_id,
    ReceiveStockRequest_reference,
    ReceiveStockResponse_positions,
    ReleaseHoldRequest_hold_id,
    StockLine_item_id,
    StockLine_qty_milli,
)
from ringup.native.limits cimport (
    HOLD_TTL_MS_MAX,
    ID_BYTES,
    LINES_MAX,
    PAGE_SIZE_MAX,
    QTY_MILLI_MAX,
    REASON_BYTES_MAX,
)
from ringup.native.stock cimport OWNER_BYTES_MAX, Demand, HoldLineRow, HoldRow, Stock
from ringup.native.stock_positions cimport PositionRow, free_of
from ringup.native.stock_tally cimport Entry, tally_at, tally_clear, tally_free
from ringup.native.wire cimport (
    Reader,
    Span,
    Writer,
    begin_message,
    end_message,
    next_field,
    read_int,
    read_span,
    reader_of,
    skip_field,
    span_at,
    write_int,
    write_span,
    writer_free,
)


cdef int _refuse_hold(Writer* out, int code, Span hold_id) noexcept nogil:
    """Refuse because of a hold; the subject is its id in hex, as Problem says."""
    cdef char[2 * ID_BYTES] text
    cdef const char* digits = b"0123456789abcdef"
    cdef int64_t i
    for i in range(ID_BYTES):
        text[2 * i] = digits[(<unsigned char>hold_id.data[i]) >> 4]
        text[2 * i + 1] = digits[(<unsigned char>hold_id.data[i]) & 15]
    return refuse(out, code, "hold_id", 0, span_at(&text[0], 2 * ID_BYTES), 0, 0)


cdef int _refuse_hold_id(Writer* out, Span hold_id) noexcept nogil:
    return refuse(out, RESULT_CODE_FIELD_INVALID, "hold_id", 0, span_at(NULL, 0), hold_id.size, ID_BYTES)


cdef class StockCommands:
    """What stock does with commands and queries."""

    def __cinit__(self, Catalog catalog, Stock stock):
        self.catalog, self.stock = catalog, stock
        self.lines = <LineIn*>malloc(LINES_MAX * sizeof(LineIn))
        self.demands = <Demand*>malloc(LINES_MAX * sizeof(Demand))
        self.line_of = <int64_t*>malloc(LINES_MAX * sizeof(int64_t))
        if self.lines == NULL or self.demands == NULL or self.line_of == NULL:
            raise MemoryError

    def __dealloc__(self):
        free(self.lines)
        free(self.demands)
        free(self.line_of)
        tally_free(&self.sums)

    # Goods in and corrections.

    cdef int receive_stock(self, Command* command, Writer* out) noexcept nogil:
        cdef StockIn request = self.read_request(
            command.body, ReceiveStockRequest_location_id, ReceiveStockRequest_lines, ReceiveStockRequest_reference
        )
        cdef Entry* entry
        cdef int64_t i, row, on_hand_milli
        cdef int code

        # Check.
        if request.bad:
            return MALFORMED
        if not is_text(request.reason, REASON_BYTES_MAX):
            return refuse(
                out, RESULT_CODE_FIELD_INVALID, "reference", 0, span_at(NULL, 0), request.reason.size, REASON_BYTES_MAX
            )
        code = self.check_lines(&request, False, out)
        if code == RESULT_CODE_OK:
            code = self.check_known(&request, out)
        if code != RESULT_CODE_OK:
            return code
        self.keep_tracked(&request)
        tally_clear(&self.sums)
        for i in range(self.demand_count):
            entry = tally_at(&self.sums, self.demands[i].item)
            entry.sum_milli += self.demands[i].qty_milli
            row = self.stock.find(self.demands[i].item, request.location)
            on_hand_milli = 0 if row < 0 else self.stock.position_row(row).on_hand_milli
            if on_hand_milli + entry.sum_milli > QTY_MILLI_MAX:
                return refuse(
                    out, RESULT_CODE_QTY_TOO_LARGE, "lines.qty_milli", self.line_of[i],
                    self.lines[self.line_of[i]].code, on_hand_milli + entry.sum_milli, QTY_MILLI_MAX,
                )

        # Apply.
        for i in range(self.demand_count):
            self.stock.put_back(request.location, self.demands[i].item, self.demands[i].qty_milli)
        for i in range(request.line_count):
            self.write_position(self.lines[i].item, request.location, ReceiveStockResponse_positions, out)
        return ok(out)

    cdef int adjust_stock(self, Command* command, Writer* out) noexcept nogil:
        cdef StockIn request = self.read_request(
            command.body, AdjustStockRequest_location_id, AdjustStockRequest_lines, AdjustStockRequest_reason
        )
        cdef Entry* entry
        cdef int64_t i, row, on_hand_milli
        cdef int code

        # Check.
        if request.bad:
            return MALFORMED
        if not is_text(request.reason, REASON_BYTES_MAX):
            return refuse(
                out, RESULT_CODE_FIELD_INVALID, "reason", 0, span_at(NULL, 0), request.reason.size, REASON_BYTES_MAX
            )
        code = self.check_lines(&request, True, out)
        if code == RESULT_CODE_OK and request.reason.size == 0:
            code = refuse(out, RESULT_CODE_REASON_MISSING, "reason", 0, span_at(NULL, 0), 0, 1)
        if code == RESULT_CODE_OK:
            code = self.check_known(&request, out)
        if code != RESULT_CODE_OK:
            return code
        self.keep_tracked(&request)
        tally_clear(&self.sums)
        for i in range(self.demand_count):
            tally_at(&self.sums, self.demands[i].item).sum_milli += self.demands[i].qty_milli
        for i in range(self.demand_count):
            entry = tally_at(&self.sums, self.demands[i].item)
            row = self.stock.find(self.demands[i].item, request.location)
            on_hand_milli = 0 if row < 0 else self.stock.position_row(row).on_hand_milli
            if entry.sum_milli < 0 and on_hand_milli + entry.sum_milli < 0:
                return refuse(
                    out, RESULT_CODE_STOCK_BELOW_LIMIT, "lines.qty_milli", self.line_of[i],
                    self.lines[self.line_of[i]].code, on_hand_milli + entry.sum_milli, 0,
                )
            if on_hand_milli + entry.sum_milli > QTY_MILLI_MAX:
                return refuse(
                    out, RESULT_CODE_STOCK_BELOW_LIMIT, "lines.qty_milli", self.line_of[i],
                    self.lines[self.line_of[i]].code, on_hand_milli + entry.sum_milli, QTY_MILLI_MAX,
                )

        # Apply.
        for i in range(self.demand_count):
            self.stock.put_back(request.location, self.demands[i].item, self.demands[i].qty_milli)
        for i in range(request.line_count):
            self.write_position(self.lines[i].item, request.location, AdjustStockResponse_positions, out)
        return ok(out)

    # Holds.

    cdef int hold_stock(self, Command* command, Writer* out) noexcept nogil:
        cdef StockIn request = self.read_request(
            command.body, HoldStockRequest_location_id, HoldStockRequest_lines, HoldStockRequest_owner
        )
        cdef Reader reader = reader_of(command.body)
        cdef Span id
        cdef int64_t hold, deadline_ns, failed, found
        cdef int code, why
        while next_field(&reader):
            if reader.field == HoldStockRequest_hold_id:
                request.hold_id = read_span(&reader)
            elif reader.field == HoldStockRequest_ttl_ms:
                request.ttl_ms = read_int(&reader)
            else:
                skip_field(&reader)

        # Check.
        if request.bad or reader.bad:
            return MALFORMED
        id = request.hold_id if request.hold_id.size else span_at(command.id, ID_BYTES)
        if id.size != ID_BYTES:
            return _refuse_hold_id(out, id)
        if not is_text(request.reason, OWNER_BYTES_MAX):
            return refuse(
                out, RESULT_CODE_FIELD_INVALID, "owner", 0, span_at(NULL, 0), request.reason.size, OWNER_BYTES_MAX
            )
        code = self.check_lines(&request, False, out)
        if code == RESULT_CODE_OK and not 0 <= request.ttl_ms <= HOLD_TTL_MS_MAX:
            code = refuse(out, RESULT_CODE_TIME_INVALID, "ttl_ms", 0, span_at(NULL, 0), request.ttl_ms, HOLD_TTL_MS_MAX)
        if code == RESULT_CODE_OK:
            code = self.check_known(&request, out)
        if code != RESULT_CODE_OK:
            return code
        if self.catalog.location(request.location).flags & LOCATION_DISABLED:
            return refuse(out, RESULT_CODE_LOCATION_DISABLED, "location_id", 0, request.location_code, 0, 0)
        hold = self.stock.find_hold(<unsigned char*>id.data)
        why = self.stock.open_code(hold, command.now_ns)
        if why == RESULT_CODE_HOLD_COMMITTED:
            return _refuse_hold(out, why, id)
        if why != RESULT_CODE_OK:
            hold = -1  # an id may be used again after its hold was released or expired
        self.keep_tracked(&request)
        code = self.stock.check_hold(request.location, self.demands, self.demand_count, hold, &failed, &found)
        if code == RESULT_CODE_STOCK_INSUFFICIENT:
            failed = self.line_of[failed]
            return refuse(
                out, code, "lines.qty_milli", failed, self.lines[failed].code, self.lines[failed].qty_milli, found
            )

        # Apply.
        deadline_ns = command.now_ns + request.ttl_ms * 1000000 if request.ttl_ms else 0
        self.stock.hold(
            <unsigned char*>id.data, request.reason, request.location, self.demands, self.demand_count, hold,
            deadline_ns, command.now_ns,
        )
        write_span(out, HoldStockResponse_hold_id, id)
        write_int(out, HoldStockResponse_deadline_ns, deadline_ns)
        return ok(out)

    cdef int extend_hold(self, Command* command, Writer* out) noexcept nogil:
        cdef Reader reader = reader_of(command.body)
        cdef Span hold_id = span_at(NULL, 0)
        cdef int64_t ttl_ms = 0, hold, deadline_ns, latest_ns
        cdef int code
        while next_field(&reader):
            if reader.field == ExtendHoldRequest_hold_id:
                hold_id = read_span(&reader)
            elif reader.field == ExtendHoldRequest_ttl_ms:
                ttl_ms = read_int(&reader)
            else:
                skip_field(&reader)

        # Check.
        if reader.bad:
            return MALFORMED
        if hold_id.size != ID_BYTES:
            return _refuse_hold_id(out, hold_id)
        if not 0 < ttl_ms <= HOLD_TTL_MS_MAX:
            return refuse(out, RESULT_CODE_TIME_INVALID, "ttl_ms", 0, span_at(NULL, 0), ttl_ms, HOLD_TTL_MS_MAX)
        hold = self.stock.find_hold(<unsigned char*>hold_id.data)
        deadline_ns = command.now_ns + ttl_ms * 1000000
        if hold >= 0:
            latest_ns = self.stock.hold_row(hold).made_ns + HOLD_TTL_MS_MAX * 1000000
            if deadline_ns > latest_ns:
                return refuse(
                    out, RESULT_CODE_TIME_INVALID, "ttl_ms", 0, span_at(NULL, 0), ttl_ms,
                    (latest_ns - command.now_ns) // 1000000,
                )
        code = self.stock.open_code(hold, command.now_ns)
        if code != RESULT_CODE_OK:
            return _refuse_hold(out, code, hold_id)

        # Apply.
        self.stock.extend(hold, deadline_ns)
        write_int(out, ExtendHoldResponse_deadline_ns, deadline_ns)
        return ok(out)

    cdef int release_hold(self, Command* command, Writer* out) noexcept nogil:
        cdef Reader reader = reader_of(command.body)
        cdef Span hold_id = span_at(NULL, 0)
        cdef int64_t hold
        cdef int code
        while next_field(&reader):
            if reader.field == ReleaseHoldRequest_hold_id:
                hold_id = read_span(&reader)
            else:
                skip_field(&reader)

        # Check.
        if reader.bad:
            return MALFORMED
        if hold_id.size != ID_BYTES:
            return _refuse_hold_id(out, hold_id)
        hold = self.stock.find_hold(<unsigned char*>hold_id.data)
        code = self.stock.open_code(hold, command.now_ns)
        if code != RESULT_CODE_OK:
            return _refuse_hold(out, code, hold_id)

        # Apply.
        self.stock.release(hold, HOLD_STATE_RELEASED)
        return ok(out)

    cdef int commit_hold(self, Command* command, Writer* out) noexcept nogil:
        cdef Reader reader = reader_of(command.body)
        cdef Span hold_id = span_at(NULL, 0)
        cdef int64_t hold
        cdef int code
        while next_field(&reader):
            if reader.field == CommitHoldRequest_hold_id:
                hold_id = read_span(&reader)
            else:
                skip_field(&reader)

        # Check.
        if reader.bad:
            return MALFORMED
        if hold_id.size != ID_BYTES:
            return _refuse_hold_id(out, hold_id)
        hold = self.stock.find_hold(<unsigned char*>hold_id.data)
        code = self.stock.open_code(hold, command.now_ns)
        if code != RESULT_CODE_OK:
            return _refuse_hold(out, code, hold_id)

        # Apply.
        self.stock.commit(hold)
        return ok(out)

    # Queries.

    cdef int get_hold(self, Span request, Writer* out) noexcept nogil:
        cdef Reader reader = reader_of(request)
        cdef Span hold_id = span_at(NULL, 0)
        cdef HoldRow* row
        cdef HoldLineRow* line
        cdef int64_t hold, at, mark, inner
        while next_field(&reader):
            if reader.field == GetHoldRequest_hold_id:
                hold_id = read_span(&reader)
            else:
                skip_field(&reader)
        if reader.bad:
            return MALFORMED
        if hold_id.size != ID_BYTES:
            return _refuse_hold_id(out, hold_id)
        hold = self.stock.find_hold(<unsigned char*>hold_id.data)
        if hold < 0:
            return _refuse_hold(out, RESULT_CODE_HOLD_UNKNOWN, hold_id)
        row = self.stock.hold_row(hold)
        mark = begin_message(out, GetHoldResponse_hold)
        write_span(out, Hold_hold_id, hold_id)
        write_int(out, Hold_state, row.state)
        write_span(out, Hold_location_id, self.catalog.location_code(row.location))
        write_span(out, Hold_owner, span_at(row.owner, row.owner_size))
        write_int(out, Hold_deadline_ns, row.deadline_ns)
        at = row.first_line
        while at:
            line = self.stock.hold_line_row(at - 1)
            inner = begin_message(out, Hold_lines)
            write_span(out, StockLine_item_id, self.catalog.item_code(self.stock.position_row(line.position).item))
            write_int(out, StockLine_qty_milli, line.qty_milli)
            end_message(out, inner)
            at = line.next
        end_message(out, mark)
        return ok(out)

    cdef int get_availability(self, Span request, Writer* out) noexcept nogil:
        cdef Reader reader = reader_of(request)
        cdef Span location_code = span_at(NULL, 0), code
        cdef int64_t location = -1, item, position, shown, count = 0, unknown = -1
        while next_field(&reader):
            if reader.field == GetAvailabilityRequest_location_id:
                location_code = read_span(&reader)
            elif reader.field == GetAvailabilityRequest_item_ids:
                code = read_span(&reader)
                if unknown < 0 and self.catalog.find_item(code) < 0:
                    unknown = count
                count += 1
            else:
                skip_field(&reader)
        if reader.bad:
            return MALFORMED
        if count > PAGE_SIZE_MAX:
            return refuse(out, RESULT_CODE_TOO_MANY, "item_ids", 0, span_at(NULL, 0), count, PAGE_SIZE_MAX)
        if count == 0:
            return refuse(out, RESULT_CODE_LINES_EMPTY, "item_ids", 0, span_at(NULL, 0), 0, 1)
        if unknown >= 0:
            return refuse(out, RESULT_CODE_ITEM_UNKNOWN, "item_ids", unknown, span_at(NULL, 0), 0, 0)
        if location_code.size:
            location = self.catalog.find_location(location_code)
            if location < 0:
                return refuse(out, RESULT_CODE_LOCATION_UNKNOWN, "location_id", 0, location_code, 0, 0)
        reader = reader_of(request)
        while next_field(&reader):
            if reader.field != GetAvailabilityRequest_item_ids:
                skip_field(&reader)
                continue
            item = self.catalog.find_item(read_span(&reader))
            if location >= 0:
                self.write_position(item, location, GetAvailabilityResponse_positions, out)
                continue
            position = self.stock.first_of_item(item)
            shown = -1
            while position >= 0:
                if self.stock.position_row(position).location != shown:
                    shown = self.stock.position_row(position).location
                    self.write_position(item, shown, GetAvailabilityResponse_positions, out)
                position = <int64_t>self.stock.position_row(position).next - 1
        return ok(out)

    # What handlers share.

    cdef StockIn read_request(
        self, Span body, uint32_t location_field, uint32_t lines_field, uint32_t text_field
    ) noexcept nogil:
        """Read location, lines and one text; other fields are left to the caller."""
        cdef StockIn request
        cdef LineIn* line
        cdef Reader reader = reader_of(body), inner
        cdef Span span
        memset(&request, 0, sizeof(StockIn))
        while next_field(&reader):
            if reader.field == location_field:
                request.location_code = read_span(&reader)
            elif reader.field == text_field:
                request.reason = read_span(&reader)
            elif reader.field == lines_field:
                span = read_span(&reader)
                if request.line_count < LINES_MAX:
                    line = &self.lines[request.line_count]
                    memset(line, 0, sizeof(LineIn))
                    inner = reader_of(span)
                    while next_field(&inner):
                        if inner.field == StockLine_item_id:
                            line.code = read_span(&inner)
                        elif inner.field == StockLine_qty_milli:
                            line.qty_milli = read_int(&inner)
                        else:
                            skip_field(&inner)
                    request.bad |= inner.bad
                    line.item = self.catalog.find_item(line.code)
                request.line_count += 1
            else:
                skip_field(&reader)
        request.bad |= reader.bad
        request.location = self.catalog.find_location(request.location_code)
        return request

    cdef int check_lines(self, StockIn* request, bint signed, Writer* out) noexcept nogil:
        """TOO_MANY to QTY_TOO_LARGE: the lines by themselves; `signed` allows quantities below zero."""
        cdef int64_t i
        cdef LineIn* line
        cdef bint whole
        if request.line_count > LINES_MAX:
            return refuse(out, RESULT_CODE_TOO_MANY, "lines", 0, span_at(NULL, 0), request.line_count, LINES_MAX)
        if request.line_count == 0:
            return refuse(out, RESULT_CODE_LINES_EMPTY, "lines", 0, span_at(NULL, 0), 0, 1)
        for i in range(request.line_count):
            line = &self.lines[i]
            whole = line.item >= 0 and not self.catalog.item(line.item).flags & ITEM_MEASURED
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
        return RESULT_CODE_OK

    cdef int check_known(self, StockIn* request, Writer* out) noexcept nogil:
        """ITEM_UNKNOWN, then LOCATION_UNKNOWN."""
        cdef int64_t i
        for i in range(request.line_count):
            if self.lines[i].item < 0:
                return refuse(out, RESULT_CODE_ITEM_UNKNOWN, "lines.item_id", i, self.lines[i].code, 0, 0)
        if request.location < 0:
            return refuse(out, RESULT_CODE_LOCATION_UNKNOWN, "location_id", 0, request.location_code, 0, 0)
        return RESULT_CODE_OK

    cdef void keep_tracked(self, StockIn* request) noexcept nogil:
        cdef int64_t i
        self.demand_count = 0
        for i in range(request.line_count):
            if not self.catalog.item(self.lines[i].item).flags & ITEM_UNTRACKED:
                self.demands[self.demand_count].item = self.lines[i].item
                self.demands[self.demand_count].qty_milli = self.lines[i].qty_milli
                self.line_of[self.demand_count] = i
                self.demand_count += 1

    cdef void write_position(self, int64_t item, int64_t location, uint32_t field, Writer* out) noexcept nogil:
        """The counters of an item at a location, over its lots; zeros where there is no position."""
        cdef int64_t mark = begin_message(out, field), row = self.stock.find(item, location)
        cdef int64_t on_hand_milli = 0, held_milli = 0, free_milli = 0, version = 0
        cdef PositionRow* position
        while row >= 0:
            position = self.stock.position_row(row)
            on_hand_milli += position.on_hand_milli
            held_milli += position.held_milli
            free_milli += free_of(position)
            version += position.version
            row = self.stock.next_in_place(row)
        write_span(out, Position_item_id, self.catalog.item_code(item))
        write_span(out, Position_location_id, self.catalog.location_code(location))
        write_int(out, Position_on_hand_milli, on_hand_milli)
        write_int(out, Position_held_milli, held_milli)
        write_int(out, Position_free_milli, free_milli)
        write_int(out, Position_version, version)
        end_message(out, mark)

    # The surface for tests: one command or query from bytes to bytes.

    def define(self, dict items, dict locations) -> None:
        """Add items and locations by code with the flags of their rows."""
        for code, flags in items.items():
            row = self.catalog.add_item(span_at(<char*><bytes>code, len(code)))
            (<ItemRow*>self.catalog.items.edit(row)).flags = flags
        for code, flags in locations.items():
            row = self.catalog.add_location(span_at(<char*><bytes>code, len(code)))
            (<LocationRow*>self.catalog.locations.edit(row)).flags = flags

    def command(self, str name, bytes body, bytes command_id, int64_t now_ns) -> tuple[int, bytes]:
        """Run one command by its name in the contract: (ResultCode or -1 for malformed bytes, response)."""
        cdef Command command
        cdef Writer out
        cdef int code
        assert len(command_id) == ID_BYTES
        memset(&command, 0, sizeof(Command))
        memset(&out, 0, sizeof(Writer))
        command.body = span_at(<char*>body, len(body))
        command.id = <unsigned char*><char*>command_id
        command.now_ns = now_ns
        if name == "receive_stock":
            code = self.receive_stock(&command, &out)
        elif name == "adjust_stock":
            code = self.adjust_stock(&command, &out)
        elif name == "hold_stock":
            code = self.hold_stock(&command, &out)
        elif name == "extend_hold":
            code = self.extend_hold(&command, &out)
        elif name == "release_hold":
            code = self.release_hold(&command, &out)
        elif name == "commit_hold":
            code = self.commit_hold(&command, &out)
        elif name == "get_hold":
            code = self.get_hold(command.body, &out)
        elif name == "get_availability":
            code = self.get_availability(command.body, &out)
        else:
            raise ValueError(f"no command of stock is called {name!r}")
        try:
            return code, (<char*>out.data)[:out.size] if out.size else b""
        finally:
            writer_free(&out)

"""Handlers of holds."""

from libc.stdint cimport int64_t, uint32_t, uint64_t

from ringup.native.command cimport MALFORMED, Command, is_text, ok, refuse
from ringup.native.contract cimport (
    HOLD_STATE_PAYING,
    HOLD_STATE_RELEASED,
    RESULT_CODE_FIELD_INVALID,
    RESULT_CODE_HOLD_EXCEEDED,
    RESULT_CODE_HOLD_PAYING,
    RESULT_CODE_HOLD_UNKNOWN,
    RESULT_CODE_OK,
    RESULT_CODE_QTY_INVALID,
    RESULT_CODE_TIME_INVALID,
    CommitHoldRequest_hold_id,
    CommitHoldRequest_qty_milli,
    CommitHoldResponse_takes,
    ExtendHoldRequest_hold_id,
    ExtendHoldRequest_ttl_ms,
    ExtendHoldResponse_deadline_ns,
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
    HoldStockRequest_partial,
    HoldStockRequest_scope,
    HoldStockRequest_ttl_ms,
    HoldStockResponse_deadline_ns,
    HoldStockResponse_hold_id,
    HoldStockResponse_short_item_ids,
    HoldStockResponse_takes,
    PayHoldRequest_hold_id,
    PayHoldRequest_ttl_ms,
    PayHoldResponse_deadline_ns,
    ReleaseHoldRequest_hold_id,
    ReleaseHoldRequest_qty_milli,
    ReleaseHoldResponse_takes,
    ResizeHoldRequest_hold_id,
    ResizeHoldRequest_lines,
    ResizeHoldResponse_short_item_ids,
    ResizeHoldResponse_takes,
    StockLine_item_id,
    StockLine_location_id,
    StockLine_qty_milli,
)
from ringup.native.index cimport hash_bytes
from ringup.native.limits cimport HOLD_TTL_MS_MAX, ID_BYTES
from ringup.native.stock_holds cimport OWNER_BYTES_MAX, PAY_TTL_MS_MAX, PAYMENTS_MAX, HoldRow
from ringup.native.stock_lines cimport LineRow
from ringup.native.stock_request cimport refuse_hold, refuse_hold_id
from ringup.native.wire cimport (
    Reader,
    Span,
    Writer,
    begin_message,
    clear,
    end_message,
    next_field,
    no_span,
    read_int,
    read_span,
    reader_of,
    skip_field,
    span_at,
    write_int,
    write_span,
)


cdef class HoldCommands(PlainHolds):
    """Soft reservations: make, resize, extend, pay, release, commit."""

    cdef int hold_stock(self, Command* command, Writer* out) noexcept nogil:
        cdef StockIn request
        cdef Reader reader = reader_of(command.body)
        cdef Span id
        cdef int64_t hold, ended = -1, deadline_ns
        cdef uint64_t id_hash
        cdef int code
        clear(&request, sizeof(StockIn))
        while next_field(&reader):
            if reader.field == HoldStockRequest_hold_id:
                request.hold_id = read_span(&reader)
            elif reader.field == HoldStockRequest_location_id:
                request.location_code = read_span(&reader)
            elif reader.field == HoldStockRequest_lines:
                self.read_line(read_span(&reader), &request)
            elif reader.field == HoldStockRequest_ttl_ms:
                request.ttl_ms = read_int(&reader)
            elif reader.field == HoldStockRequest_owner:
                request.text = read_span(&reader)
            elif reader.field == HoldStockRequest_scope:
                self.read_scope(read_span(&reader), &request)
            elif reader.field == HoldStockRequest_partial:
                request.flag = read_int(&reader) != 0
            else:
                skip_field(&reader)
        self.find_named(&request)

        # Check.
        if request.bad or reader.bad:
            return MALFORMED
        id = request.hold_id if request.hold_id.size else span_at(command.id, ID_BYTES)
        if id.size != ID_BYTES:
            return refuse_hold_id(out, id)
        if not is_text(request.text, OWNER_BYTES_MAX):
            return refuse(out, RESULT_CODE_FIELD_INVALID, "owner", 0, no_span(), request.text.size, OWNER_BYTES_MAX)
        code = self.check_line_count(&request, out)
        if code == RESULT_CODE_OK:
            code = self.check_quantities(&request, False, True, out)
        if code == RESULT_CODE_OK and not 0 <= request.ttl_ms <= HOLD_TTL_MS_MAX:
            code = refuse(out, RESULT_CODE_TIME_INVALID, "ttl_ms", 0, no_span(), request.ttl_ms, HOLD_TTL_MS_MAX)
        if code == RESULT_CODE_OK:
            code = self.check_known(&request, False, out)
        if code == RESULT_CODE_OK:
            code = self.check_positions(&request, out)
        if code == RESULT_CODE_OK:
            code = self.check_scope(&request, out)
        if code != RESULT_CODE_OK:
            return code
        id_hash = hash_bytes(id.data, ID_BYTES) if request.hold_id.size else command.id_hash
        hold = self.stock.find_hold_hashed(<unsigned char*>id.data, id_hash)
        if self.stock.open_code(hold, command.now_ns) != RESULT_CODE_OK:
            ended, hold = hold, -1  # an id may be used again after its hold ended
        elif self.stock.hold_row(hold).state == HOLD_STATE_PAYING:
            return refuse_hold(out, RESULT_CODE_HOLD_PAYING, id)
        self.sum_wants(&request)
        self.stock.plan_begin()
        if hold >= 0:
            self.stock.plan_give_back_chain(&self.stock.hold_row(hold).lines)
        if not self.stock.plan(self.wants, self.want_count, &self.scope, request.flag):
            return self.refuse_short(&request, HoldStockResponse_short_item_ids, out)

        # Apply.
        deadline_ns = command.now_ns + request.ttl_ms * 1000000 if request.ttl_ms else 0
        self.stock.hold(
            <unsigned char*>id.data, id_hash, request.text, &self.scope, hold, ended, deadline_ns, command.now_ns
        )
        write_span(out, HoldStockResponse_hold_id, id)
        write_int(out, HoldStockResponse_deadline_ns, deadline_ns)
        self.write_plan(HoldStockResponse_takes, out)
        self.write_shorts(HoldStockResponse_short_item_ids, out)
        return ok(out)

    cdef int resize_hold(self, Command* command, Writer* out) noexcept nogil:
        cdef StockIn request
        cdef Reader reader = reader_of(command.body)
        cdef LineRow* line
        cdef int64_t hold, at, i
        cdef int code
        clear(&request, sizeof(StockIn))
        while next_field(&reader):
            if reader.field == ResizeHoldRequest_hold_id:
                request.hold_id = read_span(&reader)
            elif reader.field == ResizeHoldRequest_lines:
                self.read_line(read_span(&reader), &request)
            else:
                skip_field(&reader)
        self.find_named(&request)

        # Check.
        if request.bad or reader.bad:
            return MALFORMED
        if request.hold_id.size != ID_BYTES:
            return refuse_hold_id(out, request.hold_id)
        code = self.check_line_count(&request, out)
        if code == RESULT_CODE_OK:
            code = self.check_quantities(&request, False, True, out)
        if code == RESULT_CODE_OK:
            code = self.check_known(&request, False, out)
        if code != RESULT_CODE_OK:
            return code
        hold = self.stock.find_hold(<unsigned char*>request.hold_id.data)
        if hold < 0:
            return refuse_hold(out, RESULT_CODE_HOLD_UNKNOWN, request.hold_id)
        code = self.check_positions(&request, out)
        if code != RESULT_CODE_OK:
            return code
        code = self.stock.open_code(hold, command.now_ns)
        if code == RESULT_CODE_OK and self.stock.hold_row(hold).state == HOLD_STATE_PAYING:
            code = RESULT_CODE_HOLD_PAYING
        if code != RESULT_CODE_OK:
            return refuse_hold(out, code, request.hold_id)
        self.sum_wants(&request)
        self.stock.scope_of_hold(hold, &self.scope)
        self.stock.plan_begin()
        at = self.stock.hold_row(hold).lines.first
        while at:
            line = self.stock.line_row(at - 1)
            for i in range(self.want_count):
                if self.wants[i].item == self.stock.asked_item(line):
                    self.stock.plan_give_back_line(line)
                    break
            at = line.next
        if not self.stock.plan(self.wants, self.want_count, &self.scope, False):
            return self.refuse_short(&request, ResizeHoldResponse_short_item_ids, out)

        # Apply.
        self.stock.resize(hold, self.wants, self.want_count)
        self.write_plan(ResizeHoldResponse_takes, out)
        return ok(out)

    cdef StockIn read_hold(self, Span body, uint32_t id_field, uint32_t ttl_field, uint32_t qty_field) noexcept nogil:
        """Read a request about one hold; field number zero: the request has no such field."""
        cdef StockIn request
        cdef Reader reader = reader_of(body)
        clear(&request, sizeof(StockIn))
        while next_field(&reader):
            if reader.field == id_field:
                request.hold_id = read_span(&reader)
            elif reader.field == ttl_field:
                request.ttl_ms = read_int(&reader)
            elif reader.field == qty_field:
                request.qty_milli = read_int(&reader)
                request.has_qty = True
            else:
                skip_field(&reader)
        request.bad = reader.bad
        return request

    cdef int extend_hold(self, Command* command, Writer* out) noexcept nogil:
        cdef StockIn request = self.read_hold(command.body, ExtendHoldRequest_hold_id, ExtendHoldRequest_ttl_ms, 0)
        cdef int64_t hold, deadline_ns, latest_ns
        cdef int code

        # Check.
        if request.bad:
            return MALFORMED
        if request.hold_id.size != ID_BYTES:
            return refuse_hold_id(out, request.hold_id)
        if not 0 < request.ttl_ms <= HOLD_TTL_MS_MAX:
            return refuse(out, RESULT_CODE_TIME_INVALID, "ttl_ms", 0, no_span(), request.ttl_ms, HOLD_TTL_MS_MAX)
        hold = self.stock.find_hold(<unsigned char*>request.hold_id.data)
        deadline_ns = command.now_ns + request.ttl_ms * 1000000
        code = self.stock.open_code(hold, command.now_ns)
        if code == RESULT_CODE_OK and self.stock.hold_row(hold).state == HOLD_STATE_PAYING:
            code = RESULT_CODE_HOLD_PAYING
        if code != RESULT_CODE_OK:
            return refuse_hold(out, code, request.hold_id)
        latest_ns = self.stock.hold_row(hold).made_ns + HOLD_TTL_MS_MAX * 1000000
        if deadline_ns > latest_ns and self.stock.hold_row(hold).deadline_ns:  # any end is sooner than none
            return refuse(
                out, RESULT_CODE_TIME_INVALID, "ttl_ms", 0, no_span(), request.ttl_ms,
                (latest_ns - command.now_ns) // 1000000,
            )

        # Apply.
        self.stock.extend(hold, deadline_ns)
        write_int(out, ExtendHoldResponse_deadline_ns, deadline_ns)
        return ok(out)

    cdef int pay_hold(self, Command* command, Writer* out) noexcept nogil:
        cdef StockIn request = self.read_hold(command.body, PayHoldRequest_hold_id, PayHoldRequest_ttl_ms, 0)
        cdef int64_t hold, deadline_ns
        cdef int code

        # Check.
        if request.bad:
            return MALFORMED
        if request.hold_id.size != ID_BYTES:
            return refuse_hold_id(out, request.hold_id)
        if not 0 < request.ttl_ms <= PAY_TTL_MS_MAX:
            return refuse(out, RESULT_CODE_TIME_INVALID, "ttl_ms", 0, no_span(), request.ttl_ms, PAY_TTL_MS_MAX)
        hold = self.stock.find_hold(<unsigned char*>request.hold_id.data)
        code = self.stock.open_code(hold, command.now_ns)
        if code == RESULT_CODE_OK and self.stock.hold_row(hold).payments >= PAYMENTS_MAX:
            code = RESULT_CODE_HOLD_PAYING
        if code != RESULT_CODE_OK:
            return refuse_hold(out, code, request.hold_id)

        # Apply.
        deadline_ns = command.now_ns + request.ttl_ms * 1000000
        self.stock.pay(hold, deadline_ns)
        write_int(out, PayHoldResponse_deadline_ns, deadline_ns)
        return ok(out)

    cdef int check_part(self, StockIn* request, int64_t hold, Writer* out) noexcept nogil:
        """QTY_INVALID of a part of a hold: it must be a quantity of every item in it."""
        cdef int64_t at = self.stock.hold_row(hold).lines.first if hold >= 0 else 0
        cdef LineRow* line
        cdef bint whole = False
        if not request.has_qty:
            return RESULT_CODE_OK
        while at:
            line = self.stock.line_row(at - 1)
            whole |= line.kit != 0 or not self.is_measured(line.item)
            at = line.next
        if request.qty_milli <= 0 or (whole and request.qty_milli % 1000 != 0):
            return refuse(
                out, RESULT_CODE_QTY_INVALID, "qty_milli", 0, no_span(), request.qty_milli, 1000 if whole else 1
            )
        return RESULT_CODE_OK

    cdef int check_part_rest(self, StockIn* request, int64_t hold, int64_t now_ns, Writer* out) noexcept nogil:
        """HOLD_UNKNOWN to HOLD_EXCEEDED; without a quantity the request is about all that the hold has."""
        cdef int64_t held_milli
        cdef int code = self.stock.open_code(hold, now_ns)
        if code != RESULT_CODE_OK:
            return refuse_hold(out, code, request.hold_id)
        held_milli = self.stock.asked_milli(&self.stock.hold_row(hold).lines)
        if not request.has_qty:
            request.qty_milli = held_milli
        if request.qty_milli > held_milli:
            return refuse(
                out, RESULT_CODE_HOLD_EXCEEDED, "qty_milli", 0, no_span(), request.qty_milli, held_milli
            )
        return RESULT_CODE_OK

    cdef int check_ending(self, StockIn* request, int64_t* hold, int64_t now_ns, Writer* out) noexcept nogil:
        """Find the hold that a request ends, whole or in part: MALFORMED to HOLD_EXCEEDED."""
        cdef int code
        if request.bad:
            return MALFORMED
        if request.hold_id.size != ID_BYTES:
            return refuse_hold_id(out, request.hold_id)
        hold[0] = self.stock.find_hold(<unsigned char*>request.hold_id.data)
        code = self.check_part(request, hold[0], out)
        return self.check_part_rest(request, hold[0], now_ns, out) if code == RESULT_CODE_OK else code

    cdef int release_hold(self, Command* command, Writer* out) noexcept nogil:
        cdef StockIn request = self.read_hold(
            command.body, ReleaseHoldRequest_hold_id, 0, ReleaseHoldRequest_qty_milli
        )
        cdef int64_t hold
        cdef int code

        # Check.
        code = self.check_ending(&request, &hold, command.now_ns, out)
        if code != RESULT_CODE_OK:
            return code

        # Apply.
        if request.has_qty:
            self.stock.plan_begin()
            self.stock.release_part(hold, request.qty_milli)
            self.write_plan_of_kits(ReleaseHoldResponse_takes, out)
        else:
            self.stock.release(hold, HOLD_STATE_RELEASED)
        return ok(out)

    cdef int commit_hold(self, Command* command, Writer* out) noexcept nogil:
        cdef StockIn request = self.read_hold(command.body, CommitHoldRequest_hold_id, 0, CommitHoldRequest_qty_milli)
        cdef int64_t hold
        cdef int code

        # Check.
        code = self.check_ending(&request, &hold, command.now_ns, out)
        if code != RESULT_CODE_OK:
            return code

        # Apply.
        if request.has_qty:
            self.stock.plan_begin()
            self.stock.commit_part(hold, request.qty_milli)
            self.write_plan_of_kits(CommitHoldResponse_takes, out)
        else:
            self.stock.commit(hold)
        return ok(out)

    cdef int get_hold(self, Span request, Writer* out) noexcept nogil:
        cdef StockIn asked = self.read_hold(request, GetHoldRequest_hold_id, 0, 0)
        cdef HoldRow* row
        cdef LineRow* line
        cdef int64_t hold, at, mark, inner
        if asked.bad:
            return MALFORMED
        if asked.hold_id.size != ID_BYTES:
            return refuse_hold_id(out, asked.hold_id)
        hold = self.stock.find_hold(<unsigned char*>asked.hold_id.data)
        if hold < 0:
            return refuse_hold(out, RESULT_CODE_HOLD_UNKNOWN, asked.hold_id)
        row = self.stock.hold_row(hold)
        mark = begin_message(out, GetHoldResponse_hold)
        write_span(out, Hold_hold_id, asked.hold_id)
        write_int(out, Hold_state, row.state)
        if row.location >= 0:
            write_span(out, Hold_location_id, self.catalog.location_code(row.location))
        write_span(out, Hold_owner, self.stock.hold_owner(row))
        write_int(out, Hold_deadline_ns, row.deadline_ns)
        at = row.lines.first
        while at:
            line = self.stock.line_row(at - 1)
            inner = begin_message(out, Hold_lines)
            write_span(out, StockLine_item_id, self.catalog.item_code(line.item))
            write_int(out, StockLine_qty_milli, line.qty_milli)
            if row.location < 0 and line.location >= 0:
                write_span(out, StockLine_location_id, self.catalog.location_code(line.location))
            end_message(out, inner)
            at = line.next
        end_message(out, mark)
        return ok(out)

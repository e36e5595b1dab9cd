"""Handlers of orders: place, cancel, ship, unship, return, reallocate."""

from libc.stdint cimport int64_t, uint32_t
from libc.string cimport memset

from ringup.native.command cimport MALFORMED, Command, is_code, is_code_or_empty, ok, refuse
from ringup.native.contract cimport (
    RESULT_CODE_FIELD_INVALID,
    RESULT_CODE_HOLD_UNKNOWN,
    RESULT_CODE_LOCATION_DISABLED,
    RESULT_CODE_LOCATION_UNKNOWN,
    RESULT_CODE_OK,
    RESULT_CODE_ORDER_DONE,
    RESULT_CODE_ORDER_EXCEEDED,
    RESULT_CODE_ORDER_EXISTS,
    RESULT_CODE_ORDER_STATE,
    RESULT_CODE_ORDER_UNKNOWN,
    RESULT_CODE_QTY_INVALID,
    RESULT_CODE_STOCK_INSUFFICIENT,
    CancelOrderRequest_lines,
    CancelOrderRequest_order_id,
    PlaceOrderRequest_add,
    PlaceOrderRequest_customer_id,
    PlaceOrderRequest_hold_id,
    PlaceOrderRequest_lines,
    PlaceOrderRequest_location_id,
    PlaceOrderRequest_order_id,
    PlaceOrderRequest_scope,
    PlaceOrderResponse_short_item_ids,
    PlaceOrderResponse_takes,
    ReallocateOrderRequest_from_location_id,
    ReallocateOrderRequest_item_id,
    ReallocateOrderRequest_order_id,
    ReallocateOrderRequest_qty_milli,
    ReallocateOrderRequest_to_location_id,
    ReallocateOrderResponse_short_item_ids,
    ReallocateOrderResponse_takes,
    ReturnOrderRequest_bar_reason,
    ReturnOrderRequest_item_id,
    ReturnOrderRequest_location_id,
    ReturnOrderRequest_order_id,
    ReturnOrderRequest_qty_milli,
    ReturnOrderRequest_restock_milli,
    ShipOrderRequest_lines,
    ShipOrderRequest_order_id,
    ShipOrderResponse_short_item_ids,
    ShipOrderResponse_takes,
    UnshipOrderRequest_order_id,
)
from ringup.native.limits cimport CODE_BYTES_MAX, ID_BYTES
from ringup.native.stock_orders cimport ORDER_CANCELLED
from ringup.native.stock_positions cimport BAR_REASONS, PositionRow
from ringup.native.stock_request cimport refuse_hold, refuse_hold_id
from ringup.native.stock_states cimport ACTION_ADD, next_state
from ringup.native.stock_tally cimport tally_at, tally_clear
from ringup.native.wire cimport (
    Reader,
    Span,
    Writer,
    next_field,
    read_int,
    read_span,
    reader_of,
    skip_field,
    span_at,
    write_span,
)


cdef inline Span _none() noexcept nogil:
    return span_at(NULL, 0)


cdef int refuse_order(Writer* out, int code, Span order_id) noexcept nogil:
    return refuse(out, code, "order_id", 0, order_id, 0, 0)


cdef int refuse_order_id(Writer* out, Span order_id) noexcept nogil:
    return refuse(out, RESULT_CODE_FIELD_INVALID, "order_id", 0, _none(), order_id.size, CODE_BYTES_MAX)


cdef class OrderCommands(HoldCommands):
    """Hard allocations and what becomes of them."""

    cdef int place_order(self, Command* command, Writer* out) noexcept nogil:
        cdef StockIn request
        cdef Reader reader = reader_of(command.body)
        cdef int64_t hold = -1, order
        cdef bint planned
        cdef int code = RESULT_CODE_OK
        memset(&request, 0, sizeof(StockIn))
        while next_field(&reader):
            if reader.field == PlaceOrderRequest_order_id:
                request.order_id = read_span(&reader)
            elif reader.field == PlaceOrderRequest_lines:
                self.read_line(read_span(&reader), &request)
            elif reader.field == PlaceOrderRequest_hold_id:
                request.hold_id = read_span(&reader)
            elif reader.field == PlaceOrderRequest_add:
                request.flag = read_int(&reader) != 0
            elif reader.field == PlaceOrderRequest_location_id:
                request.location_code = read_span(&reader)
            elif reader.field == PlaceOrderRequest_scope:
                self.read_scope(read_span(&reader), &request)
            elif reader.field == PlaceOrderRequest_customer_id:
                request.text = read_span(&reader)
            else:
                skip_field(&reader)
        self.find_named(&request)
        planned = request.line_count > 0

        # Check.
        if request.bad or reader.bad:
            return MALFORMED
        if not is_code(request.order_id):
            return refuse_order_id(out, request.order_id)
        if request.hold_id.size and request.hold_id.size != ID_BYTES:
            return refuse_hold_id(out, request.hold_id)
        if not is_code_or_empty(request.text):
            return refuse(out, RESULT_CODE_FIELD_INVALID, "customer_id", 0, _none(), request.text.size, CODE_BYTES_MAX)
        if planned or not request.hold_id.size:
            code = self.check_line_count(&request, out)
        if code == RESULT_CODE_OK:
            code = self.check_quantities(&request, False, True, out)
        if code == RESULT_CODE_OK:
            code = self.check_known(&request, False, out)
        if code != RESULT_CODE_OK:
            return code
        if request.hold_id.size:
            hold = self.stock.find_hold(<unsigned char*>request.hold_id.data)
            if hold < 0:
                return refuse_hold(out, RESULT_CODE_HOLD_UNKNOWN, request.hold_id)
        order = self.stock.find_order(request.order_id)
        if order < 0 and request.flag:
            return refuse_order(out, RESULT_CODE_ORDER_UNKNOWN, request.order_id)
        if planned or request.has_scope:
            code = self.check_scope(&request, out)
            if code != RESULT_CODE_OK:
                return code
        if hold >= 0:
            code = self.stock.open_code(hold, command.now_ns)
            if code != RESULT_CODE_OK:
                return refuse_hold(out, code, request.hold_id)
        if order >= 0 and not request.flag:
            return refuse_order(out, RESULT_CODE_ORDER_EXISTS, request.order_id)
        if order >= 0 and self.stock.order_row(order).flags & ORDER_CANCELLED:
            return refuse_order(out, RESULT_CODE_ORDER_DONE, request.order_id)
        if order >= 0 and not next_state(ACTION_ADD, self.stock.order_row(order).state):
            return refuse(
                out, RESULT_CODE_ORDER_STATE, "order_id", 0, request.order_id, self.stock.order_row(order).state, 0
            )
        self.stock.plan_begin()
        if planned:
            self.sum_wants(&request)
            if hold >= 0:
                self.stock.plan_give_back_chain(&self.stock.hold_row(hold).lines)
            if not self.stock.plan(self.wants, self.want_count, &self.scope, False):
                return self.refuse_short(&request, PlaceOrderResponse_short_item_ids, out)

        # Apply.
        if order < 0:
            order = self.stock.make_order(
                request.order_id, request.text,
                self.scope.channel if planned else (self.stock.hold_row(hold).channel - 1), command.now_ns,
            )
        self.stock.place(order, hold, planned, command.now_ns)
        self.write_plan(PlaceOrderResponse_takes, out)
        return ok(out)

    cdef StockIn read_order(self, Span body, uint32_t id_field, uint32_t lines_field) noexcept nogil:
        """Read a request about an order and perhaps lines of it; field number zero: it has none."""
        cdef StockIn request
        cdef Reader reader = reader_of(body)
        memset(&request, 0, sizeof(StockIn))
        while next_field(&reader):
            if reader.field == id_field:
                request.order_id = read_span(&reader)
            elif reader.field == lines_field:
                self.read_line(read_span(&reader), &request)
            else:
                skip_field(&reader)
        request.bad |= reader.bad
        request.location = request.item = -1
        return request

    cdef int check_order_lines(self, StockIn* request, Writer* out) noexcept nogil:
        """FIELD_INVALID to LOCATION_UNKNOWN; no lines mean the whole order."""
        cdef int code
        if not is_code(request.order_id):
            return refuse_order_id(out, request.order_id)
        if request.line_count == 0:
            return RESULT_CODE_OK
        code = self.check_line_count(request, out)
        if code == RESULT_CODE_OK:
            code = self.check_quantities(request, False, False, out)
        if code == RESULT_CODE_OK:
            code = self.check_known(request, False, out)
        return code

    cdef int check_within(self, StockIn* request, int64_t order, Writer* out) noexcept nogil:
        """ORDER_EXCEEDED: the lines ask no more of an item than the order has allocated."""
        cdef int64_t i, allocated_milli
        tally_clear(&self.sums)
        for i in range(request.line_count):
            tally_at(&self.sums, self.lines[i].item).sum_milli += self.lines[i].qty_milli
        for i in range(request.line_count):
            allocated_milli = self.stock.chain_milli(&self.stock.order_row(order).allocated, self.lines[i].item)
            if tally_at(&self.sums, self.lines[i].item).sum_milli > allocated_milli:
                return refuse(
                    out, RESULT_CODE_ORDER_EXCEEDED, "lines.qty_milli", i, self.lines[i].code,
                    tally_at(&self.sums, self.lines[i].item).sum_milli, allocated_milli,
                )
        return RESULT_CODE_OK

    cdef int cancel_order(self, Command* command, Writer* out) noexcept nogil:
        cdef StockIn request = self.read_order(command.body, CancelOrderRequest_order_id, CancelOrderRequest_lines)
        cdef int64_t order, i
        cdef int code

        # Check.
        if request.bad:
            return MALFORMED
        code = self.check_order_lines(&request, out)
        if code != RESULT_CODE_OK:
            return code
        order = self.stock.find_order(request.order_id)
        if order < 0:
            return refuse_order(out, RESULT_CODE_ORDER_UNKNOWN, request.order_id)
        if request.line_count == 0 and not self.stock.order_row(order).allocated.first:
            return refuse_order(out, RESULT_CODE_ORDER_DONE, request.order_id)
        code = self.check_within(&request, order, out)
        if code != RESULT_CODE_OK:
            return code

        # Apply.
        if request.line_count == 0:
            self.stock.cancel(order, command.now_ns)
        for i in range(request.line_count):
            self.stock.cancel_part(order, self.lines[i].item, self.lines[i].qty_milli, command.now_ns)
        return ok(out)

    cdef int ship_order(self, Command* command, Writer* out) noexcept nogil:
        cdef StockIn request = self.read_order(command.body, ShipOrderRequest_order_id, ShipOrderRequest_lines)
        cdef int64_t order, failed, item, line
        cdef int code

        # Check.
        if request.bad:
            return MALFORMED
        code = self.check_order_lines(&request, out)
        if code != RESULT_CODE_OK:
            return code
        order = self.stock.find_order(request.order_id)
        if order < 0:
            return refuse_order(out, RESULT_CODE_ORDER_UNKNOWN, request.order_id)
        if request.line_count == 0 and not self.stock.order_row(order).allocated.first:
            return refuse_order(out, RESULT_CODE_ORDER_EXCEEDED, request.order_id)
        code = self.check_within(&request, order, out)
        if code != RESULT_CODE_OK:
            return code
        if request.line_count:
            self.sum_wants(&request)
            failed = self.stock.plan_ship(order, self.wants, self.want_count)
            item = self.wants[failed].item if failed >= 0 else -1
            line = self.wants[failed].line if failed >= 0 else 0
        else:
            item = self.stock.plan_ship_all(order)
            line = 0
        if item >= 0:
            refuse(out, RESULT_CODE_STOCK_INSUFFICIENT, "lines.qty_milli", line, self.catalog.item_code(item), 0, 0)
            write_span(out, ShipOrderResponse_short_item_ids, self.catalog.item_code(item))
            return RESULT_CODE_STOCK_INSUFFICIENT

        # Apply.
        self.stock.ship(order, command.now_ns)
        self.write_shipment(ShipOrderResponse_takes, out)
        return ok(out)

    cdef void write_shipment(self, uint32_t field, Writer* out) noexcept nogil:
        cdef int64_t i, position
        cdef PositionRow* row
        for i in range(self.stock.ship_move_count):
            position = self.stock.ship_moves[i].position
            if position >= 0:
                row = self.stock.position_row(position)
                self.write_take(
                    field, row.item, row.location, row.lot, self.stock.ship_moves[i].qty_milli, False, out
                )

    cdef int unship_order(self, Command* command, Writer* out) noexcept nogil:
        cdef StockIn request = self.read_order(command.body, UnshipOrderRequest_order_id, 0)
        cdef int64_t order

        # Check.
        if request.bad:
            return MALFORMED
        if not is_code(request.order_id):
            return refuse_order_id(out, request.order_id)
        order = self.stock.find_order(request.order_id)
        if order < 0:
            return refuse_order(out, RESULT_CODE_ORDER_UNKNOWN, request.order_id)
        if not self.stock.order_row(order).shipped.first:
            return refuse_order(out, RESULT_CODE_ORDER_DONE, request.order_id)

        # Apply.
        self.stock.unship(order, command.now_ns)
        return ok(out)

    cdef int return_order(self, Command* command, Writer* out) noexcept nogil:
        cdef StockIn request
        cdef Reader reader = reader_of(command.body)
        cdef int64_t order, restock_milli = 0, reason = 0, shipped_milli, row
        cdef bint has_restock = False
        cdef int code
        memset(&request, 0, sizeof(StockIn))
        while next_field(&reader):
            if reader.field == ReturnOrderRequest_order_id:
                request.order_id = read_span(&reader)
            elif reader.field == ReturnOrderRequest_item_id:
                request.item_code = read_span(&reader)
            elif reader.field == ReturnOrderRequest_qty_milli:
                request.qty_milli = read_int(&reader)
            elif reader.field == ReturnOrderRequest_location_id:
                request.location_code = read_span(&reader)
            elif reader.field == ReturnOrderRequest_restock_milli:
                restock_milli = read_int(&reader)
                has_restock = True
            elif reader.field == ReturnOrderRequest_bar_reason:
                reason = read_int(&reader)
            else:
                skip_field(&reader)
        self.find_named(&request)
        if not has_restock:
            restock_milli = request.qty_milli

        # Check.
        if reader.bad:
            return MALFORMED
        if not is_code(request.order_id):
            return refuse_order_id(out, request.order_id)
        if not 0 <= reason < BAR_REASONS:
            return refuse(out, RESULT_CODE_FIELD_INVALID, "bar_reason", 0, _none(), reason, BAR_REASONS - 1)
        code = self.check_quantity(&request, request.qty_milli, "qty_milli", out)
        if code == RESULT_CODE_OK and restock_milli != 0:
            code = self.check_quantity(&request, restock_milli, "restock_milli", out)
        if code == RESULT_CODE_OK and restock_milli > request.qty_milli:
            code = refuse(
                out, RESULT_CODE_QTY_INVALID, "restock_milli", 0, request.item_code, restock_milli, request.qty_milli
            )
        if code == RESULT_CODE_OK:
            code = self.check_item_and_place(&request, True, out)
        if code != RESULT_CODE_OK:
            return code
        order = self.stock.find_order(request.order_id)
        if order < 0:
            return refuse_order(out, RESULT_CODE_ORDER_UNKNOWN, request.order_id)
        shipped_milli = self.stock.chain_milli(&self.stock.order_row(order).shipped, request.item)
        if request.qty_milli > shipped_milli:
            return refuse(
                out, RESULT_CODE_ORDER_EXCEEDED, "qty_milli", 0, request.item_code, request.qty_milli, shipped_milli
            )

        # Apply.
        self.stock.take_back(order, request.item, request.qty_milli)
        if restock_milli and self.is_tracked(request.item):
            row = self.stock.find_or_make(request.item, request.location, 0)
            self.stock.move(row, restock_milli, 0, 0, 0)
            if reason:
                self.stock.bar(row, reason, restock_milli)
        return ok(out)

    cdef int reallocate_order(self, Command* command, Writer* out) noexcept nogil:
        cdef StockIn request
        cdef Reader reader = reader_of(command.body)
        cdef int64_t order, target, there_milli, free_milli
        cdef int code
        memset(&request, 0, sizeof(StockIn))
        while next_field(&reader):
            if reader.field == ReallocateOrderRequest_order_id:
                request.order_id = read_span(&reader)
            elif reader.field == ReallocateOrderRequest_item_id:
                request.item_code = read_span(&reader)
            elif reader.field == ReallocateOrderRequest_qty_milli:
                request.qty_milli = read_int(&reader)
            elif reader.field == ReallocateOrderRequest_from_location_id:
                request.location_code = read_span(&reader)
            elif reader.field == ReallocateOrderRequest_to_location_id:
                request.to_code = read_span(&reader)
            else:
                skip_field(&reader)
        self.find_named(&request)
        target = self.catalog.find_location(request.to_code)

        # Check.
        if reader.bad:
            return MALFORMED
        if not is_code(request.order_id):
            return refuse_order_id(out, request.order_id)
        if target >= 0 and target == request.location:
            return refuse(out, RESULT_CODE_FIELD_INVALID, "to_location_id", 0, request.to_code, 0, 0)
        code = self.check_quantity(&request, request.qty_milli, "qty_milli", out)
        if code == RESULT_CODE_OK:
            code = self.check_item_and_place(&request, True, out)
        if code == RESULT_CODE_OK and target < 0:
            code = refuse(out, RESULT_CODE_LOCATION_UNKNOWN, "to_location_id", 0, request.to_code, 0, 0)
        if code != RESULT_CODE_OK:
            return code
        order = self.stock.find_order(request.order_id)
        if order < 0:
            return refuse_order(out, RESULT_CODE_ORDER_UNKNOWN, request.order_id)
        there_milli = self.stock.allocated_at(order, request.item, request.location)
        if request.qty_milli > there_milli:
            return refuse(
                out, RESULT_CODE_ORDER_EXCEEDED, "qty_milli", 0, request.item_code, request.qty_milli, there_milli
            )
        free_milli = self.stock.free_milli(request.item, target)
        if not self.stock.enabled(target) or request.qty_milli > free_milli:
            code = RESULT_CODE_STOCK_INSUFFICIENT if self.stock.enabled(target) else RESULT_CODE_LOCATION_DISABLED
            refuse(out, code, "qty_milli", 0, request.item_code, request.qty_milli, max(0, free_milli))
            write_span(out, ReallocateOrderResponse_short_item_ids, self.catalog.item_code(request.item))
            return code

        # Apply.
        self.stock.plan_begin()
        self.stock.plan_free(request.item, target, request.qty_milli)
        self.stock.reallocate(order, request.item, request.qty_milli, request.location)
        self.write_plan(ReallocateOrderResponse_takes, out)
        return ok(out)

"""Handlers of orders: place, cancel, ship, unship, return, reallocate."""

from libc.stdint cimport int64_t, uint32_t
from libc.string cimport memset

from ringup.native.command cimport MALFORMED, Command, is_code, is_code_or_empty, ok, refuse
from ringup.native.contract cimport (
    RESULT_CODE_AMOUNT_INVALID,
    RESULT_CODE_FIELD_INVALID,
    RESULT_CODE_HOLD_UNKNOWN,
    RESULT_CODE_ITEM_UNKNOWN,
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
    RESULT_CODE_TOO_MANY,
    CancelOrderRequest_lines,
    CancelOrderRequest_order_id,
    CancelOrderResponse_refund_minor,
    CancelOrderResponse_takes,
    PaidLine_item_id,
    PaidLine_paid_minor,
    PaidLine_qty_milli,
    PlaceOrderRequest_add,
    PlaceOrderRequest_customer_id,
    PlaceOrderRequest_hold_id,
    PlaceOrderRequest_lines,
    PlaceOrderRequest_location_id,
    PlaceOrderRequest_order_id,
    PlaceOrderRequest_paid,
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
    ReturnOrderResponse_refund_minor,
    ReturnOrderResponse_restocked,
    ReturnOrderResponse_takes,
    ShipOrderRequest_lines,
    ShipOrderRequest_order_id,
    ShipOrderResponse_short_item_ids,
    ShipOrderResponse_takes,
    UnshipOrderRequest_order_id,
)
from ringup.native.limits cimport CODE_BYTES_MAX, ID_BYTES, LINES_MAX, QTY_MILLI_MAX, TOTAL_MINOR_MAX
from ringup.native.stock_lines cimport Chain
from ringup.native.stock_order_lines cimport refuse_order, refuse_order_id
from ringup.native.stock_orders cimport ORDER_CANCELLED
from ringup.native.stock_positions cimport BAR_REASONS, PositionRow
from ringup.native.stock_request cimport StockIn, refuse_hold, refuse_hold_id
from ringup.native.stock_scope cimport Want
from ringup.native.stock_states cimport ACTION_ADD, next_state
from ringup.native.wire cimport (
    Reader,
    Span,
    Writer,
    clear,
    next_field,
    next_of,
    no_span,
    read_int,
    read_span,
    reader_of,
    skip_field,
    write_int,
    write_span,
)


cdef struct PaidIn:
    Span code
    int64_t qty_milli, paid_minor
    bint bad


cdef PaidIn _read_paid(Span body) noexcept nogil:
    cdef PaidIn paid
    cdef Reader reader = reader_of(body)
    memset(&paid, 0, sizeof(PaidIn))
    while next_field(&reader):
        if reader.field == PaidLine_item_id:
            paid.code = read_span(&reader)
        elif reader.field == PaidLine_qty_milli:
            paid.qty_milli = read_int(&reader)
        elif reader.field == PaidLine_paid_minor:
            paid.paid_minor = read_int(&reader)
        else:
            skip_field(&reader)
    paid.bad = reader.bad
    return paid


cdef class OrderCommands(OrderLines):
    """Hard allocations and what becomes of them."""

    cdef int place_order(self, Command* command, Writer* out) noexcept nogil:
        cdef StockIn request
        cdef Reader reader = reader_of(command.body)
        cdef int64_t hold = -1, order, paid_count = 0, paid_minor = 0
        cdef bint planned
        cdef int code = RESULT_CODE_OK
        clear(&request, sizeof(StockIn))
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
            elif reader.field == PlaceOrderRequest_paid:
                read_span(&reader)
                paid_count += 1
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
            return refuse(out, RESULT_CODE_FIELD_INVALID, "customer_id", 0, no_span(), request.text.size, CODE_BYTES_MAX)
        if planned or not request.hold_id.size:
            code = self.check_line_count(&request, out)
        if code == RESULT_CODE_OK:
            code = self.check_quantities(&request, False, True, out)
        if code == RESULT_CODE_OK and paid_count:
            code = self.check_paid(command.body, paid_count, &paid_minor, out)
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
        if order >= 0 and paid_count:
            paid_minor += self.stock.paid_minor(order)
        if paid_minor > TOTAL_MINOR_MAX:
            return refuse(out, RESULT_CODE_AMOUNT_INVALID, "paid", 0, request.order_id, paid_minor, TOTAL_MINOR_MAX)
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
        if paid_count:
            self.add_paid(command.body, order)
        self.write_plan(PlaceOrderResponse_takes, out)
        return ok(out)

    cdef int check_paid(self, Span body, int64_t count, int64_t* paid_minor, Writer* out) noexcept nogil:
        """TOO_MANY to ITEM_UNKNOWN of what was paid, and how much that is."""
        cdef Reader reader = reader_of(body)
        cdef PaidIn paid
        cdef int64_t index = 0
        if count > LINES_MAX:
            return refuse(out, RESULT_CODE_TOO_MANY, "paid", 0, no_span(), count, LINES_MAX)
        while next_of(&reader, PlaceOrderRequest_paid):
            paid = _read_paid(read_span(&reader))
            if paid.bad:
                return MALFORMED
            if not 0 < paid.qty_milli <= QTY_MILLI_MAX:
                return refuse(
                    out, RESULT_CODE_QTY_INVALID, "paid.qty_milli", index, paid.code, paid.qty_milli, QTY_MILLI_MAX
                )
            if not 0 <= paid.paid_minor <= TOTAL_MINOR_MAX:
                return refuse(
                    out, RESULT_CODE_AMOUNT_INVALID, "paid.paid_minor", index, paid.code, paid.paid_minor,
                    TOTAL_MINOR_MAX,
                )
            if self.catalog.find_item(paid.code) < 0:
                return refuse(out, RESULT_CODE_ITEM_UNKNOWN, "paid.item_id", index, paid.code, 0, 0)
            paid_minor[0] += paid.paid_minor
            index += 1
        return RESULT_CODE_OK

    cdef void add_paid(self, Span body, int64_t order) noexcept nogil:
        cdef Reader reader = reader_of(body)
        cdef PaidIn paid
        cdef int64_t last = self.stock.last_paid(order)  # once: an order may have thousands, and more added
        while next_of(&reader, PlaceOrderRequest_paid):
            paid = _read_paid(read_span(&reader))
            last = self.stock.add_paid(
                order, last, self.catalog.find_item(paid.code), paid.qty_milli, paid.paid_minor
            )

    cdef int cancel_order(self, Command* command, Writer* out) noexcept nogil:
        cdef StockIn request = self.read_order(command.body, CancelOrderRequest_order_id, CancelOrderRequest_lines)
        cdef int64_t order = -1, i, refund_minor = 0
        cdef bint plain
        cdef int code

        # Check.
        if request.bad:
            return MALFORMED
        code = self.check_asked(&request, &order, RESULT_CODE_ORDER_DONE, out)
        if code != RESULT_CODE_OK:
            return code

        # Apply.
        if request.line_count == 0:
            refund_minor = self.stock.cancel(order, command.now_ns)
        else:
            self.stock.note_had(order)
            self.stock.plan_begin()
            for plain in range(2):  # parts of kits first, any unit is one of the item
                for i in range(self.want_count):
                    if (self.wants[i].kit == 0) == plain:
                        self.stock.cancel_part(order, &self.wants[i])
            self.stock.cancelled_in_part(order, command.now_ns)
            refund_minor = self.stock.refund_lost(order)
            self.write_plan_of_kits(CancelOrderResponse_takes, out)
        write_int(out, CancelOrderResponse_refund_minor, refund_minor)
        return ok(out)

    cdef int ship_order(self, Command* command, Writer* out) noexcept nogil:
        cdef StockIn request = self.read_order(command.body, ShipOrderRequest_order_id, ShipOrderRequest_lines)
        cdef int64_t order = -1, failed, item, line
        cdef int code

        # Check.
        if request.bad:
            return MALFORMED
        code = self.check_asked(&request, &order, RESULT_CODE_ORDER_EXCEEDED, out)
        if code != RESULT_CODE_OK:
            return code
        if request.line_count:
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
            if position < 0:
                self.write_take(
                    field, self.stock.ship_moves[i].item, -1, 0, self.stock.ship_moves[i].qty_milli, False,
                    self.stock.ship_moves[i].kit, out,
                )
            else:
                row = self.stock.position_row(position)
                self.write_take(
                    field, row.item, row.location, row.lot, self.stock.ship_moves[i].qty_milli, False,
                    self.stock.ship_moves[i].kit, out,
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
        cdef int64_t order, restock_milli = 0, reason = 0, row, i, back_milli, part_milli
        cdef Want* want
        cdef bint has_restock = False, kits
        cdef int code
        clear(&request, sizeof(StockIn))
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
            return refuse(out, RESULT_CODE_FIELD_INVALID, "bar_reason", 0, no_span(), reason, BAR_REASONS - 1)
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
        self.want_count = 0
        code = self.check_units(
            &self.stock.order_row(order).shipped, request.item, -1, request.qty_milli, 0, "qty_milli",
            request.item_code, out,
        )
        if code != RESULT_CODE_OK:
            return code

        # Apply.
        kits = self.want_count > 0 and self.wants[self.want_count - 1].kit != 0
        for i in range(self.want_count):
            want = &self.wants[i]
            self.stock.take_back(order, want)
            if kits:
                self.write_take(ReturnOrderResponse_takes, want.item, -1, 0, want.qty_milli, False, want.kit, out)
            # Of plain units so many are restocked, of kits so many kits: their parts in proportion.
            back_milli = want.qty_milli
            if want.kit:
                back_milli //= self.kit_part_milli(want.kit - 1, want.item)
                back_milli *= 1000
            part_milli = min(restock_milli, back_milli)
            if not want.kit or i + 1 == self.want_count or self.wants[i + 1].kit != want.kit:
                restock_milli -= part_milli
            if want.kit:
                part_milli = part_milli // 1000 * self.kit_part_milli(want.kit - 1, want.item)
            if part_milli and self.is_tracked(want.item):
                row = self.stock.find_or_make(want.item, request.location, 0)
                self.stock.move(row, part_milli, 0, 0, 0)
                if reason:
                    self.stock.bar(row, reason, part_milli)
                if kits:
                    self.write_take(
                        ReturnOrderResponse_restocked, want.item, request.location, 0, part_milli, False, want.kit, out
                    )
        write_int(
            out, ReturnOrderResponse_refund_minor, self.stock.refund(order, request.item, request.qty_milli)
        )
        return ok(out)

    cdef int reallocate_order(self, Command* command, Writer* out) noexcept nogil:
        cdef StockIn request
        cdef Reader reader = reader_of(command.body)
        cdef int64_t order, target, there_milli, free_milli, kits_milli, i, first
        cdef const Chain* chain
        cdef Want* want
        cdef int code
        clear(&request, sizeof(StockIn))
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
        chain = &self.stock.order_row(order).allocated
        there_milli = self.stock.allocated_at(order, request.item, request.location)
        kits_milli = self.stock.kits_milli(chain, request.item, request.location) if self.stock.kits.count else 0
        if request.qty_milli > there_milli + kits_milli:
            return refuse(
                out, RESULT_CODE_ORDER_EXCEEDED, "qty_milli", 0, request.item_code, request.qty_milli,
                there_milli + kits_milli,
            )
        self.want_count = 0
        self.add_units_at(chain, request.item, request.location, target, min(there_milli, request.qty_milli))
        self.add_kits_at(chain, request.location, target, request.qty_milli - min(there_milli, request.qty_milli))
        self.stock.plan_begin()
        for i in range(self.want_count):
            want = &self.wants[i]
            free_milli = self.stock.planned_free(want.item, target)
            if not self.stock.enabled(target) or want.qty_milli > free_milli:
                code = RESULT_CODE_STOCK_INSUFFICIENT if self.stock.enabled(target) else RESULT_CODE_LOCATION_DISABLED
                refuse(
                    out, code, "qty_milli", 0, self.catalog.item_code(want.item), want.qty_milli, max(0, free_milli)
                )
                write_span(out, ReallocateOrderResponse_short_item_ids, self.catalog.item_code(want.item))
                return code
            first = self.stock.plan_count
            self.stock.plan_free(want.item, target, want.qty_milli)
            while first < self.stock.plan_count:
                self.stock.plan_entries[first].kit = want.kit
                first += 1

        # Apply.
        for i in range(self.want_count):
            self.stock.deallocate_at(order, &self.wants[i], request.location)
        self.stock.allocate_plan(order)
        self.write_plan(ReallocateOrderResponse_takes, out)
        return ok(out)

"""Orders on their way to the customer: pick, pack, ready for pickup, handed over; and reading orders.

Which action is allowed in which state stands in stock_states.pyx.
"""

from libc.stdint cimport int64_t, uint32_t

from ringup.native.command cimport MALFORMED, Command, is_code, is_code_or_empty, is_text, ok, refuse
from ringup.native.contract cimport (
    ORDER_STATE_READY,
    RESULT_CODE_FIELD_INVALID,
    RESULT_CODE_OK,
    RESULT_CODE_ORDER_DONE,
    RESULT_CODE_ORDER_EXCEEDED,
    RESULT_CODE_ORDER_STATE,
    RESULT_CODE_ORDER_UNKNOWN,
    RESULT_CODE_PICKUP_CODE_WRONG,
    RESULT_CODE_STOCK_INSUFFICIENT,
    RESULT_CODE_TIME_INVALID,
    RESULT_CODE_TOO_MANY,
    GetOrderRequest_order_id,
    GetOrderResponse_order,
    HandOverOrderRequest_order_id,
    HandOverOrderRequest_pickup_code,
    HandOverOrderResponse_takes,
    ListOrdersRequest_before_order_id,
    ListOrdersRequest_customer_id,
    ListOrdersRequest_page_size,
    ListOrdersResponse_orders,
    OrderStateAt_at_ns,
    OrderStateAt_state,
    PackOrderRequest_order_id,
    PickOrderRequest_lines,
    PickOrderRequest_location_id,
    PickOrderRequest_order_id,
    PickOrderRequest_short,
    PickOrderResponse_missing,
    PickOrderResponse_refund_minor,
    PickOrderResponse_takes,
    PickOrderResponse_to_pick,
    ReadyOrderRequest_order_id,
    ReadyOrderRequest_pickup_code,
    ReadyOrderRequest_ttl_ms,
    ReadyOrderResponse_pickup_deadline_ns,
    StockLine_item_id,
    StockLine_qty_milli,
    StockOrder_allocated,
    StockOrder_cancelled,
    StockOrder_customer_id,
    StockOrder_history,
    StockOrder_order_id,
    StockOrder_paid_minor,
    StockOrder_pickup_deadline_ns,
    StockOrder_pickup_location_id,
    StockOrder_placed_at_ns,
    StockOrder_refund_minor,
    StockOrder_shipped,
    StockOrder_state,
    StockOrder_to_pick,
)
from ringup.native.limits cimport CODE_BYTES_MAX, HOLD_TTL_MS_MAX, PAGE_SIZE_MAX
from ringup.native.stock_lines cimport LineRow
from ringup.native.stock_order_lines cimport refuse_order, refuse_order_id
from ringup.native.stock_orders cimport ITEM_MASK, ORDER_CANCELLED, OrderRow, PaidRow, refund_of
from ringup.native.stock_plan cimport ENTRY_STOCK
from ringup.native.stock_policy cimport UNLIMITED
from ringup.native.stock_request cimport StockIn
from ringup.native.stock_states cimport (
    ACTION_HAND_OVER,
    ACTION_PACK,
    ACTION_PICK,
    ACTION_READY,
    STATE_COUNT,
    next_state,
)
from ringup.native.stock_tally cimport Entry, tally_at, tally_clear
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
    span_equal,
    write_int,
    write_span,
)

cdef enum:
    PICKUP_CODE_BYTES_MAX = 16
    ORDERS_PAGE = 50


cdef class FulfilCommands(OrderCommands):
    """What a store or a warehouse does with an order."""

    cdef int refuse_state(self, int64_t order, Writer* out) noexcept nogil:
        cdef OrderRow* row = self.stock.order_row(order)
        return refuse(
            out, RESULT_CODE_ORDER_STATE, "order_id", 0, span_at(row.code, row.code_size), row.state, 0
        )

    cdef int64_t to_pick(self, int64_t order, int64_t item, int64_t location) noexcept nogil:
        """Allocated units not picked yet, of an item (-1: all) at a place (-1: all)."""
        cdef int64_t at = self.stock.order_row(order).allocated.first, sum_milli = 0
        cdef LineRow* line
        while at:
            line = self.stock.line_row(at - 1)
            if line.kind == ENTRY_STOCK and (item < 0 or line.item == item):
                if location < 0 or line.location == location:
                    sum_milli += line.qty_milli - line.picked_milli
            at = line.next
        return sum_milli

    cdef int pick_order(self, Command* command, Writer* out) noexcept nogil:
        cdef StockIn request
        cdef Reader reader = reader_of(command.body)
        cdef int64_t order, i, left_milli, mark, refund_minor = 0
        cdef Entry* entry
        cdef int code
        clear(&request, sizeof(StockIn))
        while next_field(&reader):
            if reader.field == PickOrderRequest_order_id:
                request.order_id = read_span(&reader)
            elif reader.field == PickOrderRequest_location_id:
                request.location_code = read_span(&reader)
            elif reader.field == PickOrderRequest_lines:
                self.read_line(read_span(&reader), &request)
            elif reader.field == PickOrderRequest_short:
                request.flag = read_int(&reader) != 0
            else:
                skip_field(&reader)
        self.find_named(&request)

        # Check.
        if request.bad or reader.bad:
            return MALFORMED
        if not is_code(request.order_id):
            return refuse_order_id(out, request.order_id)
        code = RESULT_CODE_OK
        if request.line_count or not request.flag:
            code = self.check_line_count(&request, out)
        if code == RESULT_CODE_OK:
            code = self.check_quantities(&request, False, False, out)
        if code == RESULT_CODE_OK:
            code = self.check_known(&request, True, out)
        if code != RESULT_CODE_OK:
            return code
        order = self.stock.find_order(request.order_id)
        if order < 0:
            return refuse_order(out, RESULT_CODE_ORDER_UNKNOWN, request.order_id)
        tally_clear(&self.sums)
        for i in range(request.line_count):
            entry = tally_at(&self.sums, self.lines[i].item)
            entry.sum_milli += self.lines[i].qty_milli
            left_milli = self.to_pick(order, self.lines[i].item, request.location)
            if entry.sum_milli > left_milli:
                return refuse(
                    out, RESULT_CODE_ORDER_EXCEEDED, "lines.qty_milli", i, self.lines[i].code, entry.sum_milli, left_milli
                )
        if not next_state(ACTION_PICK, self.stock.order_row(order).state):
            return self.refuse_state(order, out)

        # Apply.
        for i in range(request.line_count):
            self.stock.pick(order, self.lines[i].item, request.location, self.lines[i].qty_milli)
        self.stock.enter(order, ACTION_PICK, command.now_ns)
        if request.flag:
            self.plan_short_pick(order, request.location)
            refund_minor = self.stock.pick_short(order, request.location)
            if not self.stock.order_row(order).allocated.first:
                self.stock.cancel(order, command.now_ns)  # nothing is left to send
            self.write_plan(PickOrderResponse_takes, out)
            for i in range(self.sums.count):
                entry = &self.sums.entries[self.sums.order[i]]
                if entry.sum_milli:
                    mark = begin_message(out, PickOrderResponse_missing)
                    write_span(out, StockLine_item_id, self.catalog.item_code(entry.key & ITEM_MASK))
                    write_int(out, StockLine_qty_milli, entry.sum_milli)
                    end_message(out, mark)
        self.write_to_pick(order, PickOrderResponse_to_pick, out)
        write_int(out, PickOrderResponse_refund_minor, refund_minor)
        return ok(out)

    cdef void plan_short_pick(self, int64_t order, int64_t location) noexcept nogil:
        """Plan what was not picked at a place from the other places of the order's channel.

        `sums` keeps by item (and the version of the kit that it is a part of) what none of them has.
        """
        cdef int64_t at = self.stock.order_row(order).allocated.first, i, kept = 0, available_milli, part, item, first
        cdef LineRow* line
        cdef Entry* entry
        tally_clear(&self.sums)
        while at:
            line = self.stock.line_row(at - 1)
            if line.kind == ENTRY_STOCK and line.location == location and line.qty_milli > line.picked_milli:
                tally_at(&self.sums, (<int64_t>line.kit << 31) | line.item).sum_milli += (
                    line.qty_milli - line.picked_milli
                )
            at = line.next
        self.stock.plan_begin()
        self.stock.scope_begin(&self.scope)
        if not self.stock.scope_channel(&self.scope, self.stock.order_row(order).channel - 1):
            return  # no channel: nowhere else to look
        for i in range(self.scope.place_count):
            if self.stock.places[i].location != location:
                self.stock.places[kept] = self.stock.places[i]
                kept += 1
        self.scope.place_count = kept
        for i in range(self.sums.count):
            entry = &self.sums.entries[self.sums.order[i]]
            item = entry.key & ITEM_MASK
            available_milli = self.stock.available(item, True, &self.scope)
            part = entry.sum_milli
            if available_milli != UNLIMITED:
                part = min(part, available_milli)
                if not self.is_measured(item):
                    part -= part % 1000
            if part:
                first = self.stock.plan_count
                self.stock.plan_take(item, part, True, &self.scope)
                entry.sum_milli -= part
                while first < self.stock.plan_count:
                    self.stock.plan_entries[first].kit = <int>(entry.key >> 31)
                    first += 1

    cdef void write_to_pick(self, int64_t order, uint32_t field, Writer* out) noexcept nogil:
        cdef int64_t at = self.stock.order_row(order).allocated.first
        cdef LineRow* line
        while at:
            line = self.stock.line_row(at - 1)
            if line.kind == ENTRY_STOCK and line.qty_milli > line.picked_milli:
                self.write_take(
                    field, line.item, line.location, line.lot, line.qty_milli - line.picked_milli, line.owed, line.kit,
                    out,
                )
            at = line.next

    cdef int pack_order(self, Command* command, Writer* out) noexcept nogil:
        cdef StockIn request = self.read_order(command.body, PackOrderRequest_order_id, 0)
        cdef int64_t order, left_milli

        # Check.
        if request.bad:
            return MALFORMED
        if not is_code(request.order_id):
            return refuse_order_id(out, request.order_id)
        order = self.stock.find_order(request.order_id)
        if order < 0:
            return refuse_order(out, RESULT_CODE_ORDER_UNKNOWN, request.order_id)
        if not self.stock.order_row(order).allocated.first and next_state(
            ACTION_PACK, self.stock.order_row(order).state
        ):
            return refuse_order(out, RESULT_CODE_ORDER_DONE, request.order_id)
        left_milli = self.to_pick(order, -1, -1)
        if left_milli:
            return refuse(out, RESULT_CODE_ORDER_EXCEEDED, "order_id", 0, request.order_id, left_milli, 0)
        if not next_state(ACTION_PACK, self.stock.order_row(order).state):
            return self.refuse_state(order, out)

        # Apply.
        self.stock.enter(order, ACTION_PACK, command.now_ns)
        return ok(out)

    cdef int ready_order(self, Command* command, Writer* out) noexcept nogil:
        cdef StockIn request
        cdef Reader reader = reader_of(command.body)
        cdef int64_t order, location = -1, at, deadline_ns
        cdef LineRow* line
        clear(&request, sizeof(StockIn))
        while next_field(&reader):
            if reader.field == ReadyOrderRequest_order_id:
                request.order_id = read_span(&reader)
            elif reader.field == ReadyOrderRequest_pickup_code:
                request.text = read_span(&reader)
            elif reader.field == ReadyOrderRequest_ttl_ms:
                request.ttl_ms = read_int(&reader)
            else:
                skip_field(&reader)

        # Check.
        if reader.bad:
            return MALFORMED
        if not is_code(request.order_id):
            return refuse_order_id(out, request.order_id)
        if request.text.size == 0 or not is_text(request.text, PICKUP_CODE_BYTES_MAX):
            return refuse(
                out, RESULT_CODE_FIELD_INVALID, "pickup_code", 0, no_span(), request.text.size, PICKUP_CODE_BYTES_MAX
            )
        if not 0 <= request.ttl_ms <= HOLD_TTL_MS_MAX:
            return refuse(out, RESULT_CODE_TIME_INVALID, "ttl_ms", 0, no_span(), request.ttl_ms, HOLD_TTL_MS_MAX)
        order = self.stock.find_order(request.order_id)
        if order < 0:
            return refuse_order(out, RESULT_CODE_ORDER_UNKNOWN, request.order_id)
        if not next_state(ACTION_READY, self.stock.order_row(order).state):
            return self.refuse_state(order, out)
        at = self.stock.order_row(order).allocated.first
        while at:
            line = self.stock.line_row(at - 1)
            if line.kind == ENTRY_STOCK:
                if location >= 0 and line.location != location:
                    return self.refuse_state(order, out)  # it lies at two places: move it to one first
                location = line.location
            at = line.next

        # Apply.
        deadline_ns = command.now_ns + request.ttl_ms * 1000000 if request.ttl_ms else 0
        self.stock.wait_for_customer(order, location, request.text, deadline_ns, command.now_ns)
        write_int(out, ReadyOrderResponse_pickup_deadline_ns, deadline_ns)
        return ok(out)

    cdef int hand_over_order(self, Command* command, Writer* out) noexcept nogil:
        cdef Reader reader = reader_of(command.body)
        cdef Span order_id = no_span(), pickup_code = no_span()
        cdef OrderRow* row
        cdef int64_t order, item
        while next_field(&reader):
            if reader.field == HandOverOrderRequest_order_id:
                order_id = read_span(&reader)
            elif reader.field == HandOverOrderRequest_pickup_code:
                pickup_code = read_span(&reader)
            else:
                skip_field(&reader)

        # Check.
        if reader.bad:
            return MALFORMED
        if not is_code(order_id):
            return refuse_order_id(out, order_id)
        order = self.stock.find_order(order_id)
        if order < 0:
            return refuse_order(out, RESULT_CODE_ORDER_UNKNOWN, order_id)
        row = self.stock.order_row(order)
        if not next_state(ACTION_HAND_OVER, row.state):
            return self.refuse_state(order, out)
        if not span_equal(span_at(row.pickup_code, row.pickup_code_size), pickup_code):
            return refuse(out, RESULT_CODE_PICKUP_CODE_WRONG, "pickup_code", 0, no_span(), 0, 0)
        item = self.stock.plan_ship_all(order)
        if item >= 0:
            return refuse(out, RESULT_CODE_STOCK_INSUFFICIENT, "order_id", 0, self.catalog.item_code(item), 0, 0)

        # Apply.
        self.stock.enter(order, ACTION_HAND_OVER, command.now_ns)
        self.stock.ship(order, command.now_ns)
        self.write_shipment(HandOverOrderResponse_takes, out)
        return ok(out)

    # Queries.

    cdef void write_order(self, int64_t order, uint32_t field, Writer* out) noexcept nogil:
        cdef OrderRow* row = self.stock.order_row(order)
        cdef int64_t mark = begin_message(out, field), inner, last_ns = 0, best, paid_minor = 0, refund_minor = 0
        cdef PaidRow* paid
        cdef int state, shown = 0
        write_span(out, StockOrder_order_id, span_at(row.code, row.code_size))
        self.write_chain(&row.allocated, StockOrder_allocated, out)
        self.write_chain(&row.shipped, StockOrder_shipped, out)
        write_int(out, StockOrder_cancelled, row.flags & ORDER_CANCELLED != 0)
        write_int(out, StockOrder_placed_at_ns, row.placed_at_ns)
        write_span(out, StockOrder_customer_id, span_at(row.customer, row.customer_size))
        write_int(out, StockOrder_state, row.state)
        while True:  # by time, at equal times in the order of OrderState
            best = 0
            for state in range(1, STATE_COUNT):
                if row.state_at_ns[state] == 0 or (
                    row.state_at_ns[state] < last_ns or (row.state_at_ns[state] == last_ns and state <= shown)
                ):
                    continue
                if best == 0 or row.state_at_ns[state] < row.state_at_ns[best]:
                    best = state
            if best == 0:
                break
            shown, last_ns = <int>best, row.state_at_ns[best]
            inner = begin_message(out, StockOrder_history)
            write_int(out, OrderStateAt_state, shown)
            write_int(out, OrderStateAt_at_ns, last_ns)
            end_message(out, inner)
        self.write_to_pick(order, StockOrder_to_pick, out)
        if row.state == ORDER_STATE_READY and row.pickup_location:
            write_span(out, StockOrder_pickup_location_id, self.catalog.location_code(row.pickup_location - 1))
            write_int(out, StockOrder_pickup_deadline_ns, row.pickup_deadline_ns)
        best = row.first_paid
        while best:
            paid = <PaidRow*>self.stock.paid.row(best - 1)
            paid_minor += paid.paid_minor
            refund_minor += refund_of(paid, paid.back_milli)
            best = paid.next
        write_int(out, StockOrder_paid_minor, paid_minor)
        write_int(out, StockOrder_refund_minor, refund_minor)
        end_message(out, mark)

    cdef int get_order(self, Span request, Writer* out) noexcept nogil:
        cdef StockIn asked = self.read_order(request, GetOrderRequest_order_id, 0)
        cdef int64_t order
        if asked.bad:
            return MALFORMED
        if not is_code(asked.order_id):
            return refuse_order_id(out, asked.order_id)
        order = self.stock.find_order(asked.order_id)
        if order < 0:
            return refuse_order(out, RESULT_CODE_ORDER_UNKNOWN, asked.order_id)
        self.write_order(order, GetOrderResponse_order, out)
        return ok(out)

    cdef int list_orders(self, Span request, Writer* out) noexcept nogil:
        cdef Reader reader = reader_of(request)
        cdef Span customer = no_span(), before_id = no_span()
        cdef int64_t page_size = 0, order, shown = 0
        while next_field(&reader):
            if reader.field == ListOrdersRequest_customer_id:
                customer = read_span(&reader)
            elif reader.field == ListOrdersRequest_page_size:
                page_size = read_int(&reader)
            elif reader.field == ListOrdersRequest_before_order_id:
                before_id = read_span(&reader)
            else:
                skip_field(&reader)
        if reader.bad:
            return MALFORMED
        if not is_code(customer):
            return refuse(out, RESULT_CODE_FIELD_INVALID, "customer_id", 0, no_span(), customer.size, CODE_BYTES_MAX)
        if not is_code_or_empty(before_id):
            return refuse_order_id(out, before_id)
        if not 0 <= page_size <= PAGE_SIZE_MAX:
            return refuse(out, RESULT_CODE_TOO_MANY, "page_size", 0, no_span(), page_size, PAGE_SIZE_MAX)
        order = self.stock.newest_order(customer)
        if before_id.size:
            order = self.stock.find_order(before_id)
            if order < 0 or not span_equal(
                span_at(self.stock.order_row(order).customer, self.stock.order_row(order).customer_size), customer
            ):
                return refuse_order(out, RESULT_CODE_ORDER_UNKNOWN, before_id)
            order = <int64_t>self.stock.order_row(order).older - 1
        page_size = page_size if page_size else ORDERS_PAGE
        while order >= 0 and shown < page_size:
            self.write_order(order, ListOrdersResponse_orders, out)
            order = <int64_t>self.stock.order_row(order).older - 1
            shown += 1
        return ok(out)

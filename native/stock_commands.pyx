"""All commands and queries of stock: dispatch, and what is read of availability."""

from libc.stdint cimport int64_t
from libc.string cimport memset

from ringup.native.catalog_pages cimport ItemsAsked, ask_item, check_item_count, check_items_known, nothing_asked
from ringup.native.command cimport MALFORMED, Command, ok, refuse
from ringup.native.contract cimport (
    RESULT_CODE_LOCATION_UNKNOWN,
    RESULT_CODE_OK,
    RESULT_CODE_QTY_INVALID,
    RESULT_CODE_STOCK_INSUFFICIENT,
    RESULT_CODE_TIME_INVALID,
    CheckStockRequest_hold_id,
    CheckStockRequest_item_id,
    CheckStockRequest_location_id,
    CheckStockRequest_qty_milli,
    CheckStockRequest_scope,
    CheckStockResponse_available_milli,
    Command_adjust_stock,
    Command_bar_stock,
    Command_cancel_order,
    Command_commit_hold,
    Command_count_stock,
    Command_expect_stock,
    Command_extend_hold,
    Command_hand_over_order,
    Command_hold_stock,
    Command_pack_order,
    Command_pay_hold,
    Command_pick_order,
    Command_place_order,
    Command_put_channels,
    Command_put_kits,
    Command_put_stock_policies,
    Command_ready_order,
    Command_reallocate_order,
    Command_receive_stock,
    Command_release_hold,
    Command_remove_position,
    Command_reorder_stock,
    Command_resize_hold,
    Command_return_order,
    Command_sell_stock,
    Command_ship_order,
    Command_transfer_stock,
    Command_unship_order,
    GetAvailabilityRequest_item_ids,
    GetAvailabilityRequest_location_id,
    GetAvailabilityResponse_positions,
    GetPromiseRequest_by_ns,
    GetPromiseRequest_item_ids,
    GetPromiseRequest_location_id,
    GetPromiseRequest_scope,
    GetPromiseResponse_promises,
    Promise_allocated_milli,
    Promise_available_milli,
    Promise_held_milli,
    Promise_incoming_milli,
    Promise_item_id,
    Promise_on_hand_milli,
    Promise_preordered_milli,
    Promise_unlimited,
    Promise_version,
)
from ringup.native.limits cimport ID_BYTES, TIME_NS_MAX
from ringup.native.stock_policy cimport POLICY_PREORDER, UNLIMITED, ChannelSum
from ringup.native.stock_positions cimport PositionRow
from ringup.native.stock_request cimport StockIn, refuse_hold_id
from ringup.native.wire cimport (
    Reader,
    Span,
    Writer,
    begin_message,
    end_message,
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


cdef class StockCommands(FulfilCommands):
    """What stock does with commands and queries."""

    cdef int handle(self, int kind, Command* command, Writer* out) noexcept nogil:
        """Call the handler of a command of stock; MALFORMED for a kind that is none."""
        if kind == Command_hold_stock:
            return self.hold_stock(command, out)
        if kind == Command_commit_hold:
            return self.commit_hold(command, out)
        if kind == Command_release_hold:
            return self.release_hold(command, out)
        if kind == Command_place_order:
            return self.place_order(command, out)
        if kind == Command_ship_order:
            return self.ship_order(command, out)
        if kind == Command_extend_hold:
            return self.extend_hold(command, out)
        if kind == Command_pay_hold:
            return self.pay_hold(command, out)
        if kind == Command_resize_hold:
            return self.resize_hold(command, out)
        if kind == Command_receive_stock:
            return self.receive_stock(command, out)
        if kind == Command_adjust_stock:
            return self.adjust_stock(command, out)
        if kind == Command_cancel_order:
            return self.cancel_order(command, out)
        if kind == Command_pick_order:
            return self.pick_order(command, out)
        if kind == Command_pack_order:
            return self.pack_order(command, out)
        if kind == Command_ready_order:
            return self.ready_order(command, out)
        if kind == Command_hand_over_order:
            return self.hand_over_order(command, out)
        if kind == Command_unship_order:
            return self.unship_order(command, out)
        if kind == Command_return_order:
            return self.return_order(command, out)
        if kind == Command_reallocate_order:
            return self.reallocate_order(command, out)
        if kind == Command_sell_stock:
            return self.sell_stock(command, out)
        if kind == Command_count_stock:
            return self.count_stock(command, out)
        if kind == Command_transfer_stock:
            return self.transfer_stock(command, out)
        if kind == Command_remove_position:
            return self.remove_position(command, out)
        if kind == Command_bar_stock:
            return self.bar_stock(command, out)
        if kind == Command_expect_stock:
            return self.expect_stock(command, out)
        if kind == Command_reorder_stock:
            return self.reorder_stock(command, out)
        if kind == Command_put_stock_policies:
            return self.put_stock_policies(command, out)
        if kind == Command_put_channels:
            return self.put_channels(command, out)
        if kind == Command_put_kits:
            return self.put_kits(command, out)
        return MALFORMED

    cdef int get_availability(self, Span request, Writer* out) noexcept nogil:
        cdef Reader reader = reader_of(request)
        cdef ItemsAsked items = nothing_asked()
        cdef Span location_code = no_span()
        cdef int64_t location = -1, item, position, shown
        cdef int code
        while next_field(&reader):
            if reader.field == GetAvailabilityRequest_location_id:
                location_code = read_span(&reader)
            elif reader.field == GetAvailabilityRequest_item_ids:
                ask_item(&items, self.catalog, read_span(&reader))
            else:
                skip_field(&reader)
        if reader.bad:
            return MALFORMED
        code = check_item_count(&items, out)
        if code == RESULT_CODE_OK:
            code = check_items_known(&items, out)
        if code != RESULT_CODE_OK:
            return code
        if location_code.size:
            location = self.catalog.find_location(location_code)
            if location < 0:
                return refuse(out, RESULT_CODE_LOCATION_UNKNOWN, "location_id", 0, location_code, 0, 0)
        reader = reader_of(request)
        while next_of(&reader, GetAvailabilityRequest_item_ids):
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

    cdef int get_promise(self, Span request, Writer* out) noexcept nogil:
        cdef Reader reader = reader_of(request)
        cdef StockIn asked
        cdef ItemsAsked items = nothing_asked()
        cdef int64_t by_ns = 0, channel = -1
        cdef int code
        memset(&asked, 0, sizeof(StockIn))
        while next_field(&reader):
            if reader.field == GetPromiseRequest_item_ids:
                ask_item(&items, self.catalog, read_span(&reader))
            elif reader.field == GetPromiseRequest_location_id:
                asked.location_code = read_span(&reader)
            elif reader.field == GetPromiseRequest_scope:
                self.read_scope(read_span(&reader), &asked)
            elif reader.field == GetPromiseRequest_by_ns:
                by_ns = read_int(&reader)
            else:
                skip_field(&reader)
        self.find_named(&asked)
        if reader.bad or asked.bad:
            return MALFORMED
        code = check_item_count(&items, out)
        if code == RESULT_CODE_OK and not 0 <= by_ns <= TIME_NS_MAX:
            code = refuse(out, RESULT_CODE_TIME_INVALID, "by_ns", 0, no_span(), by_ns, TIME_NS_MAX)
        if code == RESULT_CODE_OK:
            code = check_items_known(&items, out)
        if code == RESULT_CODE_OK:
            code = self.check_known(&asked, False, out)
        if code == RESULT_CODE_OK:
            code = self.check_scope(&asked, out)
        if code != RESULT_CODE_OK:
            return code
        if self.scope.by_channel and self.scope.collection_point < 0:
            channel = self.stock.find_channel(self.scope.channel)
        reader = reader_of(request)
        while next_of(&reader, GetPromiseRequest_item_ids):
            self.write_promise(self.catalog.find_item(read_span(&reader)), by_ns, channel, out)
        return ok(out)

    cdef void write_promise(self, int64_t item, int64_t by_ns, int64_t channel, Writer* out) noexcept nogil:
        """What the scope at hand can promise of an item; `channel` (row) when it is a whole channel, else -1."""
        cdef int64_t i, row, location, available_milli, kit
        cdef int64_t version = 0
        cdef int64_t on_hand_milli = 0, allocated_milli = 0, held_milli = 0, incoming_milli = 0
        cdef PositionRow* position
        cdef ChannelSum* ready
        cdef int64_t mark = begin_message(out, GetPromiseResponse_promises)
        if channel >= 0 and by_ns == 0:
            available_milli = self.stock.ready_available(item, self.is_tracked(item), channel)
            self.stock.scope_channel(&self.scope, self.scope.channel)
        else:
            self.stock.plan_begin()
            kit = self.stock.find_kit(item) if self.is_kit(item) else -1
            for i in range(self.stock.kit_row(kit).part_count if kit >= 0 else 1):
                if by_ns:
                    self.plan_arrivals(self.stock.kit_part(kit, i).item if kit >= 0 else item, by_ns)
            available_milli = self.stock.promisable(item, &self.scope)
        for i in range(self.scope.place_count):
            location = self.stock.places[i].location
            if self.scope.by_channel and not self.stock.enabled(location):
                continue  # a closed place counts for no channel
            row = self.stock.find(item, location)
            incoming_milli += self.stock.incoming_milli(item, location, 0)
            while row >= 0:
                position = self.stock.position_row(row)
                on_hand_milli += position.on_hand_milli
                allocated_milli += position.allocated_milli
                held_milli += position.held_milli
                row = self.stock.next_in_place(row)
        write_span(out, Promise_item_id, self.catalog.item_code(item))
        if available_milli == UNLIMITED:
            write_int(out, Promise_unlimited, 1)
        else:
            write_int(out, Promise_available_milli, available_milli)
        write_int(out, Promise_on_hand_milli, on_hand_milli)
        write_int(out, Promise_allocated_milli, allocated_milli)
        write_int(out, Promise_held_milli, held_milli)
        write_int(out, Promise_incoming_milli, incoming_milli)
        write_int(out, Promise_preordered_milli, self.stock.preordered_milli(item, self.scope.channel))
        if channel >= 0:
            kit = self.stock.find_kit(item) if self.is_kit(item) else -1
            for i in range(self.stock.kit_row(kit).part_count if kit >= 0 else 1):
                ready = self.stock.channel_sum(self.stock.kit_part(kit, i).item if kit >= 0 else item, channel, False)
                if ready != NULL:
                    version += ready.version
            write_int(out, Promise_version, version)
        end_message(out, mark)

    cdef void plan_arrivals(self, int64_t item, int64_t by_ns) noexcept nogil:
        """Plan as if what is expected by then at the places of the scope were there."""
        cdef int64_t i, location, coming_milli
        if not self.is_tracked(item) or self.stock.policy(item).flags & POLICY_PREORDER:
            return
        for i in range(self.scope.place_count):
            location = self.stock.places[i].location
            coming_milli = self.stock.incoming_milli(item, location, by_ns)
            if coming_milli:
                self.stock.plan_arrival(item, location, coming_milli)

    cdef int check_stock(self, Span request, Writer* out) noexcept nogil:
        cdef Reader reader = reader_of(request)
        cdef StockIn asked
        cdef int64_t hold = -1, available_milli
        cdef int code
        memset(&asked, 0, sizeof(StockIn))
        while next_field(&reader):
            if reader.field == CheckStockRequest_item_id:
                asked.item_code = read_span(&reader)
            elif reader.field == CheckStockRequest_qty_milli:
                asked.qty_milli = read_int(&reader)
            elif reader.field == CheckStockRequest_location_id:
                asked.location_code = read_span(&reader)
            elif reader.field == CheckStockRequest_scope:
                self.read_scope(read_span(&reader), &asked)
            elif reader.field == CheckStockRequest_hold_id:
                asked.hold_id = read_span(&reader)
            else:
                skip_field(&reader)
        self.find_named(&asked)
        if reader.bad or asked.bad:
            return MALFORMED
        if asked.hold_id.size and asked.hold_id.size != ID_BYTES:
            return refuse_hold_id(out, asked.hold_id)
        code = self.check_quantity(&asked, asked.qty_milli, "qty_milli", out)
        if code == RESULT_CODE_OK and asked.item >= 0:
            if not self.stock.sells(asked.item, asked.qty_milli, self.is_measured(asked.item)):
                code = refuse(
                    out, RESULT_CODE_QTY_INVALID, "qty_milli", 0, asked.item_code, asked.qty_milli,
                    self.stock.most_sellable(asked.item, asked.qty_milli, self.is_measured(asked.item)),
                )
        if code == RESULT_CODE_OK:
            code = self.check_item_and_place(&asked, False, out)
        if code == RESULT_CODE_OK:
            code = self.check_known(&asked, False, out)
        if code == RESULT_CODE_OK and asked.hold_id.size:
            hold = self.stock.find_hold(<unsigned char*>asked.hold_id.data)
        if code == RESULT_CODE_OK:
            code = self.check_scope(&asked, out)
        if code != RESULT_CODE_OK:
            return code
        self.stock.plan_begin()
        if hold >= 0:
            self.stock.plan_give_back_chain(&self.stock.hold_row(hold).lines)
        available_milli = self.stock.promisable(asked.item, &self.scope)
        if available_milli != UNLIMITED and asked.qty_milli > available_milli:
            return refuse(
                out, RESULT_CODE_STOCK_INSUFFICIENT, "qty_milli", 0, asked.item_code, asked.qty_milli, available_milli
            )
        if available_milli != UNLIMITED:
            write_int(out, CheckStockResponse_available_milli, available_milli)
        return ok(out)

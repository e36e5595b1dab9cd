"""Handlers about goods: receipts, corrections, counts, transfers, till sales, what is barred or on its way."""

from libc.stdint cimport int64_t
from libc.string cimport memset

from ringup.native.catalog cimport LOCATION_DISABLED, SymbolRow
from ringup.native.command cimport MALFORMED, Command, is_code_or_empty, is_text, ok, refuse
from ringup.native.contract cimport (
    RESULT_CODE_FIELD_INVALID,
    RESULT_CODE_ITEM_UNKNOWN,
    RESULT_CODE_LOCATION_UNKNOWN,
    RESULT_CODE_OK,
    RESULT_CODE_POSITION_UNKNOWN,
    RESULT_CODE_QTY_INVALID,
    RESULT_CODE_QTY_TOO_LARGE,
    RESULT_CODE_REASON_MISSING,
    RESULT_CODE_STOCK_BELOW_LIMIT,
    RESULT_CODE_STOCK_INSUFFICIENT,
    RESULT_CODE_STOCK_PROMISED,
    RESULT_CODE_TIME_INVALID,
    RESULT_CODE_TOO_MANY,
    AdjustStockRequest_lines,
    AdjustStockRequest_location_id,
    AdjustStockRequest_reason,
    AdjustStockResponse_positions,
    BarStockRequest_lines,
    BarStockRequest_location_id,
    BarStockRequest_reason,
    BarStockResponse_positions,
    CountStockRequest_book_milli,
    CountStockRequest_item_id,
    CountStockRequest_location_id,
    CountStockRequest_lot_id,
    CountStockRequest_on_hand_milli,
    CountStockResponse_position,
    ExpectStockRequest_expected_ns,
    ExpectStockRequest_lines,
    ExpectStockRequest_location_id,
    ExpectStockResponse_positions,
    ListReordersRequest_after,
    ListReordersRequest_item_id,
    ListReordersRequest_location_id,
    ListReordersRequest_page_size,
    ListReordersResponse_next_after,
    ListReordersResponse_reorders,
    ReceiveStockRequest_lines,
    ReceiveStockRequest_location_id,
    ReceiveStockRequest_reference,
    ReceiveStockResponse_positions,
    RemovePositionRequest_force,
    RemovePositionRequest_item_id,
    RemovePositionRequest_location_id,
    Reorder_at_ns,
    Reorder_item_id,
    Reorder_location_id,
    Reorder_ordered_milli,
    Reorder_policy_id,
    Reorder_suggested_milli,
    ReorderStockRequest_item_id,
    ReorderStockRequest_location_id,
    ReorderStockRequest_max_milli,
    ReorderStockRequest_min_milli,
    ReorderStockRequest_multiple_milli,
    ReorderStockRequest_order,
    ReorderStockRequest_policy_id,
    ReorderStockResponse_forecast_milli,
    ReorderStockResponse_ordered_milli,
    ReorderStockResponse_qty_milli,
    SellStockRequest_lines,
    SellStockRequest_location_id,
    SellStockRequest_partial,
    SellStockResponse_short_item_ids,
    SellStockResponse_takes,
    TransferStockRequest_from_location_id,
    TransferStockRequest_item_id,
    TransferStockRequest_qty_milli,
    TransferStockRequest_to_location_id,
    TransferStockResponse_short_item_ids,
    TransferStockResponse_takes,
)
from ringup.native.limits cimport CODE_BYTES_MAX, PAGE_SIZE_MAX, QTY_MILLI_MAX, REASON_BYTES_MAX, TIME_NS_MAX
from ringup.native.stock_kits cimport KitPartRow
from ringup.native.stock_plan cimport ENTRY_STOCK, ENTRY_UNTRACKED, Want
from ringup.native.stock_plan cimport Entry as PlanEntry
from ringup.native.stock_policy cimport (
    POLICY_BACKORDER,
    POLICY_COUNT_FLOOR,
    SYMBOL_LOT,
    SYMBOL_REORDER,
    PolicyRow,
    ReorderRow,
)
from ringup.native.stock_positions cimport BAR_REASONS, POSITION_BARRED, ExtraRow, free_of
from ringup.native.stock_tally cimport Entry, tally_at, tally_clear
from ringup.native.wire cimport (
    Reader,
    Span,
    Writer,
    begin_message,
    end_message,
    next_field,
    no_span,
    read_int,
    read_span,
    reader_of,
    skip_field,
    write_int,
    write_span,
)


cdef enum:
    REORDERS_PAGE = 50


cdef class GoodsCommands(StockRequests):
    """What happens to goods, whoever they are promised to."""

    cdef int64_t line_lot(self, LineIn* line) noexcept nogil:
        """The lot a line names (row + 1), 0 for none, -1 for one that no goods ever had."""
        if line.lot_code.size == 0:
            return 0
        cdef int64_t symbol = self.catalog.find_symbol(SYMBOL_LOT, line.lot_code)
        return symbol + 1 if symbol >= 0 else -1

    cdef int64_t lot_position(self, LineIn* line, int64_t location) noexcept nogil:
        """The position of the lot that a line names, or -1."""
        cdef int64_t lot = self.line_lot(line)
        return self.stock.find_for(line.item, location, lot) if lot >= 0 else -1

    cdef void change_level(self, int64_t item, int64_t location, int64_t change_milli) noexcept nogil:
        if change_milli >= 0:
            self.stock.put_back(location, item, change_milli)
        else:
            self.stock.lower(item, location, -change_milli)

    cdef int check_level(
        self, int64_t item, int64_t level_milli, int64_t line, const char* field, Span subject, Writer* out
    ) noexcept nogil:
        """STOCK_BELOW_LIMIT: a level below zero, or below the backorder limit; none with unlimited backorder."""
        cdef PolicyRow* policy = self.stock.policy(item)
        if not policy.flags & POLICY_BACKORDER and level_milli < -policy.limit_milli:
            return refuse(
                out, RESULT_CODE_STOCK_BELOW_LIMIT, field, line, subject, level_milli, -policy.limit_milli
            )
        if not -QTY_MILLI_MAX <= level_milli <= QTY_MILLI_MAX:
            return refuse(out, RESULT_CODE_STOCK_BELOW_LIMIT, field, line, subject, level_milli, QTY_MILLI_MAX)
        return RESULT_CODE_OK

    cdef int receive_stock(self, Command* command, Writer* out) noexcept nogil:
        cdef StockIn request
        cdef Reader reader = reader_of(command.body)
        cdef LineIn* line
        cdef Entry* entry
        cdef ExtraRow* extra
        cdef int64_t i, row, on_hand_milli, lot
        cdef int code
        memset(&request, 0, sizeof(StockIn))
        while next_field(&reader):
            if reader.field == ReceiveStockRequest_location_id:
                request.location_code = read_span(&reader)
            elif reader.field == ReceiveStockRequest_lines:
                self.read_line(read_span(&reader), &request)
            elif reader.field == ReceiveStockRequest_reference:
                request.text = read_span(&reader)
            else:
                skip_field(&reader)
        self.find_named(&request)

        # Check.
        if request.bad or reader.bad:
            return MALFORMED
        if not is_text(request.text, REASON_BYTES_MAX):
            return refuse(out, RESULT_CODE_FIELD_INVALID, "reference", 0, no_span(), request.text.size, REASON_BYTES_MAX)
        code = self.check_line_count(&request, out)
        if code == RESULT_CODE_OK:
            code = self.check_quantities(&request, False, False, out)
        if code == RESULT_CODE_OK:
            code = self.check_known(&request, True, out)
        if code == RESULT_CODE_OK:
            code = self.check_stocked(&request, out)
        if code != RESULT_CODE_OK:
            return code
        tally_clear(&self.sums)
        for i in range(request.line_count):
            line = &self.lines[i]
            entry = tally_at(&self.sums, line.item)
            entry.sum_milli += line.qty_milli
            on_hand_milli = self.stock.total_on_hand(line.item, request.location) + entry.sum_milli
            if on_hand_milli > QTY_MILLI_MAX and self.is_tracked(line.item):
                return refuse(
                    out, RESULT_CODE_QTY_TOO_LARGE, "lines.qty_milli", i, line.code, on_hand_milli, QTY_MILLI_MAX
                )

        # Apply.
        for i in range(request.line_count):
            line = &self.lines[i]
            if not self.is_tracked(line.item):
                continue
            self.stock.arrive(line.item, request.location, line.qty_milli)
            self.stock.reorders_arrive(line.item, request.location, line.qty_milli)
            if line.lot_code.size == 0 and not line.barred and not line.received_ns and not line.expires_ns:
                self.stock.put_back(request.location, line.item, line.qty_milli)
                continue
            lot = self.catalog.intern_symbol(SYMBOL_LOT, line.lot_code) + 1 if line.lot_code.size else 0
            row = self.stock.find_lot(line.item, request.location, lot, POSITION_BARRED if line.barred else 0)
            if row < 0:
                row = self.stock.make(line.item, request.location, lot, POSITION_BARRED if line.barred else 0)
            self.stock.move(row, line.qty_milli, 0, 0, 0)
            extra = self.stock.edit_extra(row)
            if not extra.received_ns:
                extra.received_ns = line.received_ns
            if not extra.expires_ns:
                extra.expires_ns = line.expires_ns
        for i in range(request.line_count):
            self.write_position(self.lines[i].item, request.location, ReceiveStockResponse_positions, out)
        return ok(out)

    cdef int adjust_stock(self, Command* command, Writer* out) noexcept nogil:
        cdef StockIn request
        cdef Reader reader = reader_of(command.body)
        cdef LineIn* line
        cdef int64_t i, row, key
        cdef int code
        memset(&request, 0, sizeof(StockIn))
        while next_field(&reader):
            if reader.field == AdjustStockRequest_location_id:
                request.location_code = read_span(&reader)
            elif reader.field == AdjustStockRequest_lines:
                self.read_line(read_span(&reader), &request)
            elif reader.field == AdjustStockRequest_reason:
                request.text = read_span(&reader)
            else:
                skip_field(&reader)
        self.find_named(&request)

        # Check.
        if request.bad or reader.bad:
            return MALFORMED
        if not is_text(request.text, REASON_BYTES_MAX):
            return refuse(out, RESULT_CODE_FIELD_INVALID, "reason", 0, no_span(), request.text.size, REASON_BYTES_MAX)
        code = self.check_line_count(&request, out)
        if code == RESULT_CODE_OK:
            code = self.check_quantities(&request, True, False, out)
        if code == RESULT_CODE_OK and request.text.size == 0:
            code = refuse(out, RESULT_CODE_REASON_MISSING, "reason", 0, no_span(), 0, 1)
        if code == RESULT_CODE_OK:
            code = self.check_known(&request, True, out)
        if code == RESULT_CODE_OK:
            code = self.check_stocked(&request, out)
        if code != RESULT_CODE_OK:
            return code
        for i in range(request.line_count):
            line = &self.lines[i]
            if not self.is_tracked(line.item):
                continue
            row = self.stock.find(line.item, request.location)
            if row < 0 or (line.lot_code.size and self.lot_position(line, request.location) < 0):
                return refuse(out, RESULT_CODE_POSITION_UNKNOWN, "lines.item_id", i, line.code, 0, 0)
        tally_clear(&self.sums)
        for i in range(request.line_count):
            line = &self.lines[i]
            tally_at(&self.sums, line.item).sum_milli += line.qty_milli
            if line.lot_code.size and self.is_tracked(line.item):
                tally_at(&self.sums, -1 - self.lot_position(line, request.location)).sum_milli += line.qty_milli
        for i in range(request.line_count):
            line = &self.lines[i]
            if not self.is_tracked(line.item):
                continue
            code = self.check_level(
                line.item, self.stock.total_on_hand(line.item, request.location)
                + tally_at(&self.sums, line.item).sum_milli, i, "lines.qty_milli", line.code, out,
            )
            if code == RESULT_CODE_OK and line.lot_code.size:
                row = self.lot_position(line, request.location)
                key = self.stock.position_row(row).on_hand_milli + tally_at(&self.sums, -1 - row).sum_milli
                if key < 0:
                    code = refuse(out, RESULT_CODE_STOCK_BELOW_LIMIT, "lines.qty_milli", i, line.code, key, 0)
            if code != RESULT_CODE_OK:
                return code

        # Apply.
        for i in range(request.line_count):
            line = &self.lines[i]
            if not self.is_tracked(line.item):
                continue
            if line.lot_code.size:
                self.stock.move(self.lot_position(line, request.location), line.qty_milli, 0, 0, 0)
            else:
                key = tally_at(&self.sums, line.item).sum_milli  # once an item, summed: no order of lines matters
                if not self.has_lot_lines(line.item, request.line_count):
                    self.change_level(line.item, request.location, key)
                    tally_at(&self.sums, line.item).sum_milli = 0
                else:
                    self.change_level(line.item, request.location, line.qty_milli)
        for i in range(request.line_count):
            self.write_position(self.lines[i].item, request.location, AdjustStockResponse_positions, out)
        return ok(out)

    cdef bint has_lot_lines(self, int64_t item, int64_t line_count) noexcept nogil:
        cdef int64_t i
        for i in range(line_count):
            if self.lines[i].item == item and self.lines[i].lot_code.size:
                return True
        return False

    cdef int sell_stock(self, Command* command, Writer* out) noexcept nogil:
        cdef StockIn request
        cdef Reader reader = reader_of(command.body)
        cdef PlanEntry* entry
        cdef Want* want
        cdef int64_t i, free_milli, qty_milli
        cdef int code
        cdef bint partial = False
        memset(&request, 0, sizeof(StockIn))
        while next_field(&reader):
            if reader.field == SellStockRequest_location_id:
                request.location_code = read_span(&reader)
            elif reader.field == SellStockRequest_lines:
                self.read_line(read_span(&reader), &request)
            elif reader.field == SellStockRequest_partial:
                partial = read_int(&reader) != 0
            else:
                skip_field(&reader)
        self.find_named(&request)

        # Check.
        if request.bad or reader.bad:
            return MALFORMED
        code = self.check_line_count(&request, out)
        if code == RESULT_CODE_OK:
            code = self.check_quantities(&request, False, True, out)
        if code == RESULT_CODE_OK:
            code = self.check_known(&request, True, out)
        if code != RESULT_CODE_OK:
            return code
        for i in range(request.line_count):
            self.lines[i].location = -1  # a till sells from its own place
        self.sum_wants(&request)
        self.stock.scope_begin(&self.scope)
        self.stock.scope_add(&self.scope, request.location)
        self.stock.plan_begin()
        for i in range(self.want_count):
            want = &self.wants[i]
            if self.is_kit(want.item):
                self.plan_kit_sale(i, request.location)
                continue
            if not self.is_tracked(want.item):
                entry = self.stock.add_entry()
                entry.item = want.item
                entry.qty_milli = want.qty_milli
                entry.kind = ENTRY_UNTRACKED
                continue
            free_milli = self.stock.planned_free(want.item, request.location)
            if self.catalog.location(request.location).flags & LOCATION_DISABLED:
                free_milli = 0
            qty_milli = want.qty_milli
            if qty_milli > free_milli:
                self.stock.add_short(i, want.item, max(free_milli, 0))
                qty_milli = self.stock.most_sellable(want.item, max(free_milli, 0), self.is_measured(want.item))
            self.stock.plan_free(want.item, request.location, qty_milli)
        if self.stock.short_count and (not partial or self.stock.plan_count == 0):
            return self.refuse_short(&request, SellStockResponse_short_item_ids, out)

        # Apply.
        for i in range(self.stock.plan_count):
            entry = &self.stock.plan_entries[i]
            if entry.kind == ENTRY_STOCK:
                self.stock.move(entry.position, -entry.qty_milli, 0, 0, 0)
        self.write_plan(SellStockResponse_takes, out)
        self.write_shorts(SellStockResponse_short_item_ids, out)
        return ok(out)

    cdef void plan_kit_sale(self, int64_t index, int64_t location) noexcept nogil:
        """Plan a till's sale of kits: from free units of its place, as every till sale; what of it there is."""
        cdef Want* want = &self.wants[index]
        cdef int64_t kit = self.stock.find_kit(want.item), i, here, kits = want.qty_milli // 1000
        cdef bint closed = self.catalog.location(location).flags & LOCATION_DISABLED != 0
        cdef KitPartRow* part
        cdef PlanEntry* entry
        for i in range(self.stock.kit_row(kit).part_count):
            part = self.stock.kit_part(kit, i)
            if self.is_tracked(part.item):
                here = 0 if closed else max(0, self.stock.planned_free(part.item, location)) // part.qty_milli
                if here < want.qty_milli // 1000:
                    self.stock.add_short(index, part.item, here * 1000)
                kits = min(kits, here)
        if kits < want.qty_milli // 1000:
            kits = self.stock.most_sellable(want.item, kits * 1000, False) // 1000
        for i in range(self.stock.kit_row(kit).part_count if kits else 0):
            part = self.stock.kit_part(kit, i)
            here = self.stock.plan_count
            if self.is_tracked(part.item):
                self.stock.plan_free(part.item, location, part.qty_milli * kits)
            else:
                entry = self.stock.add_entry()
                entry.item = part.item
                entry.qty_milli = part.qty_milli * kits
                entry.kind = ENTRY_UNTRACKED
            while here < self.stock.plan_count:
                self.stock.plan_entries[here].kit = <int>(kit + 1)
                here += 1

    cdef int count_stock(self, Command* command, Writer* out) noexcept nogil:
        cdef StockIn request
        cdef Reader reader = reader_of(command.body)
        cdef LineIn line
        cdef int64_t counted_milli = 0, book_milli = 0, now_milli, new_milli, row = -1, at
        cdef bint has_book = False
        cdef int code
        memset(&request, 0, sizeof(StockIn))
        memset(&line, 0, sizeof(LineIn))
        while next_field(&reader):
            if reader.field == CountStockRequest_location_id:
                request.location_code = read_span(&reader)
            elif reader.field == CountStockRequest_item_id:
                request.item_code = read_span(&reader)
            elif reader.field == CountStockRequest_on_hand_milli:
                counted_milli = read_int(&reader)
            elif reader.field == CountStockRequest_book_milli:
                book_milli = read_int(&reader)
                has_book = True
            elif reader.field == CountStockRequest_lot_id:
                line.lot_code = read_span(&reader)
            else:
                skip_field(&reader)
        self.find_named(&request)
        line.item = request.item

        # Check.
        if reader.bad:
            return MALFORMED
        if not is_code_or_empty(line.lot_code):
            return refuse(out, RESULT_CODE_FIELD_INVALID, "lot_id", 0, no_span(), line.lot_code.size, CODE_BYTES_MAX)
        if request.item >= 0 and not self.is_measured(request.item) and (counted_milli % 1000 or book_milli % 1000):
            return refuse(out, RESULT_CODE_QTY_INVALID, "on_hand_milli", 0, request.item_code, counted_milli, 1000)
        if not (-QTY_MILLI_MAX <= counted_milli <= QTY_MILLI_MAX and -QTY_MILLI_MAX <= book_milli <= QTY_MILLI_MAX):
            return refuse(
                out, RESULT_CODE_QTY_TOO_LARGE, "on_hand_milli", 0, request.item_code, counted_milli, QTY_MILLI_MAX
            )
        code = self.check_item_and_place(&request, True, out)
        if code == RESULT_CODE_OK:
            code = self.check_stocked(&request, out)
        if code != RESULT_CODE_OK:
            return code
        if line.lot_code.size:
            row = self.lot_position(&line, request.location)
            if row < 0 and self.is_tracked(request.item):
                return refuse(out, RESULT_CODE_POSITION_UNKNOWN, "lot_id", 0, line.lot_code, 0, 0)
        now_milli = self.stock.total_on_hand(request.item, request.location)
        new_milli = counted_milli
        if has_book:
            new_milli = now_milli + counted_milli - book_milli
        elif row >= 0:
            new_milli = now_milli + counted_milli - self.stock.position_row(row).on_hand_milli
        code = RESULT_CODE_OK
        if self.is_tracked(request.item):
            code = self.check_level(request.item, new_milli, 0, "on_hand_milli", request.item_code, out)
        if code == RESULT_CODE_OK and row >= 0:
            at = self.stock.position_row(row).on_hand_milli + new_milli - now_milli
            if at < 0:
                code = refuse(out, RESULT_CODE_STOCK_BELOW_LIMIT, "on_hand_milli", 0, line.lot_code, at, 0)
        if code == RESULT_CODE_OK and self.stock.policy(request.item).flags & POLICY_COUNT_FLOOR:
            at = self.stock.find(request.item, request.location)
            book_milli = 0
            while at >= 0:
                book_milli += self.stock.position_row(at).allocated_milli
                at = self.stock.next_in_place(at)
            if new_milli < book_milli:
                code = refuse(
                    out, RESULT_CODE_STOCK_PROMISED, "on_hand_milli", 0, request.item_code, new_milli, book_milli
                )
        if code != RESULT_CODE_OK:
            return code

        # Apply.
        if self.is_tracked(request.item):
            if row >= 0:
                self.stock.move(row, new_milli - now_milli, 0, 0, 0)
            else:
                self.stock.find_or_make(request.item, request.location, 0)
                if new_milli != now_milli:
                    self.change_level(request.item, request.location, new_milli - now_milli)
        self.write_position(request.item, request.location, CountStockResponse_position, out)
        return ok(out)

    cdef int transfer_stock(self, Command* command, Writer* out) noexcept nogil:
        cdef StockIn request
        cdef Reader reader = reader_of(command.body)
        cdef int64_t target, row, free_milli = 0
        cdef int code
        memset(&request, 0, sizeof(StockIn))
        while next_field(&reader):
            if reader.field == TransferStockRequest_item_id:
                request.item_code = read_span(&reader)
            elif reader.field == TransferStockRequest_qty_milli:
                request.qty_milli = read_int(&reader)
            elif reader.field == TransferStockRequest_from_location_id:
                request.location_code = read_span(&reader)
            elif reader.field == TransferStockRequest_to_location_id:
                request.to_code = read_span(&reader)
            else:
                skip_field(&reader)
        self.find_named(&request)
        target = self.catalog.find_location(request.to_code)

        # Check.
        if reader.bad:
            return MALFORMED
        if target >= 0 and target == request.location:
            return refuse(out, RESULT_CODE_FIELD_INVALID, "to_location_id", 0, request.to_code, 0, 0)
        code = self.check_quantity(&request, request.qty_milli, "qty_milli", out)
        if code == RESULT_CODE_OK:
            code = self.check_item_and_place(&request, True, out)
        if code == RESULT_CODE_OK and target < 0:
            code = refuse(out, RESULT_CODE_LOCATION_UNKNOWN, "to_location_id", 0, request.to_code, 0, 0)
        if code == RESULT_CODE_OK:
            code = self.check_stocked(&request, out)
        if code != RESULT_CODE_OK:
            return code
        if self.is_tracked(request.item):
            row = self.stock.find(request.item, request.location)
            while row >= 0:
                free_milli += free_of(self.stock.position_row(row))
                row = self.stock.next_in_place(row)
            if request.qty_milli > free_milli:
                refuse(
                    out, RESULT_CODE_STOCK_INSUFFICIENT, "qty_milli", 0, request.item_code, request.qty_milli,
                    max(free_milli, 0),
                )
                write_span(out, TransferStockResponse_short_item_ids, self.catalog.item_code(request.item))
                return RESULT_CODE_STOCK_INSUFFICIENT

        # Apply.
        if self.is_tracked(request.item):
            self.stock.transfer(request.item, request.location, target, request.qty_milli)
            for row in range(self.stock.lot_part_count):
                self.write_take(
                    TransferStockResponse_takes, request.item, request.location,
                    self.stock.position_row(self.stock.lot_parts[row].position).lot, self.stock.lot_parts[row].qty_milli,
                    False, 0, out,
                )
        return ok(out)

    cdef int remove_position(self, Command* command, Writer* out) noexcept nogil:
        cdef StockIn request
        cdef Reader reader = reader_of(command.body)
        cdef int code
        memset(&request, 0, sizeof(StockIn))
        while next_field(&reader):
            if reader.field == RemovePositionRequest_item_id:
                request.item_code = read_span(&reader)
            elif reader.field == RemovePositionRequest_location_id:
                request.location_code = read_span(&reader)
            elif reader.field == RemovePositionRequest_force:
                request.flag = read_int(&reader) != 0
            else:
                skip_field(&reader)
        self.find_named(&request)

        # Check.
        if reader.bad:
            return MALFORMED
        code = self.check_item_and_place(&request, True, out)
        if code == RESULT_CODE_OK:
            code = self.check_stocked(&request, out)
        if code != RESULT_CODE_OK:
            return code
        if self.stock.find(request.item, request.location) < 0:
            return refuse(out, RESULT_CODE_POSITION_UNKNOWN, "item_id", 0, request.item_code, 0, 0)
        if not request.flag and not self.stock.place_is_empty(request.item, request.location):
            return refuse(
                out, RESULT_CODE_STOCK_PROMISED, "item_id", 0, request.item_code,
                self.stock.total_on_hand(request.item, request.location), 0,
            )

        # Apply.
        self.stock.remove_place(request.item, request.location)
        return ok(out)

    cdef int bar_stock(self, Command* command, Writer* out) noexcept nogil:
        cdef StockIn request
        cdef Reader reader = reader_of(command.body)
        cdef LineIn* line
        cdef const ExtraRow* extra
        cdef int64_t i, row, reason = 0, barred_milli
        cdef int code
        cdef Entry* entry
        memset(&request, 0, sizeof(StockIn))
        while next_field(&reader):
            if reader.field == BarStockRequest_location_id:
                request.location_code = read_span(&reader)
            elif reader.field == BarStockRequest_lines:
                self.read_line(read_span(&reader), &request)
            elif reader.field == BarStockRequest_reason:
                reason = read_int(&reader)
            else:
                skip_field(&reader)
        self.find_named(&request)

        # Check.
        if request.bad or reader.bad:
            return MALFORMED
        code = self.check_line_count(&request, out)
        if code == RESULT_CODE_OK:
            code = self.check_quantities(&request, True, False, out)
        if code == RESULT_CODE_OK and not 0 < reason < BAR_REASONS:
            code = refuse(out, RESULT_CODE_REASON_MISSING, "reason", 0, no_span(), reason, BAR_REASONS - 1)
        if code == RESULT_CODE_OK:
            code = self.check_known(&request, True, out)
        if code == RESULT_CODE_OK:
            code = self.check_stocked(&request, out)
        if code != RESULT_CODE_OK:
            return code
        for i in range(request.line_count):
            line = &self.lines[i]
            if self.is_tracked(line.item) and self.lot_position(line, request.location) < 0:
                return refuse(out, RESULT_CODE_POSITION_UNKNOWN, "lines.item_id", i, line.code, 0, 0)
        tally_clear(&self.sums)
        for i in range(request.line_count):
            line = &self.lines[i]
            if self.is_tracked(line.item):
                tally_at(&self.sums, self.lot_position(line, request.location)).sum_milli += line.qty_milli
        for i in range(request.line_count):
            line = &self.lines[i]
            if not self.is_tracked(line.item):
                continue
            row = self.lot_position(line, request.location)
            entry = tally_at(&self.sums, row)
            extra = self.stock.extra_row(self.stock.position_row(row))
            barred_milli = extra.barred_milli[reason] if extra != NULL else 0
            if barred_milli + entry.sum_milli < 0:
                return refuse(
                    out, RESULT_CODE_STOCK_INSUFFICIENT, "lines.qty_milli", i, line.code, -entry.sum_milli, barred_milli
                )
            if entry.sum_milli > 0 and entry.sum_milli > free_of(self.stock.position_row(row)):
                return refuse(
                    out, RESULT_CODE_STOCK_INSUFFICIENT, "lines.qty_milli", i, line.code, entry.sum_milli,
                    max(0, free_of(self.stock.position_row(row))),
                )

        # Apply.
        for i in range(request.line_count):
            line = &self.lines[i]
            if self.is_tracked(line.item):
                row = self.lot_position(line, request.location)
                self.stock.bar(row, reason, tally_at(&self.sums, row).sum_milli)
                tally_at(&self.sums, row).sum_milli = 0
        for i in range(request.line_count):
            self.write_position(self.lines[i].item, request.location, BarStockResponse_positions, out)
        return ok(out)

    cdef int expect_stock(self, Command* command, Writer* out) noexcept nogil:
        cdef StockIn request
        cdef Reader reader = reader_of(command.body)
        cdef LineIn* line
        cdef int64_t i, expected_ns = 0, coming_milli
        cdef int code
        memset(&request, 0, sizeof(StockIn))
        while next_field(&reader):
            if reader.field == ExpectStockRequest_location_id:
                request.location_code = read_span(&reader)
            elif reader.field == ExpectStockRequest_lines:
                self.read_line(read_span(&reader), &request)
            elif reader.field == ExpectStockRequest_expected_ns:
                expected_ns = read_int(&reader)
            else:
                skip_field(&reader)
        self.find_named(&request)

        # Check.
        if request.bad or reader.bad:
            return MALFORMED
        code = self.check_line_count(&request, out)
        if code == RESULT_CODE_OK:
            code = self.check_quantities(&request, False, False, out)
        if code == RESULT_CODE_OK and not 0 <= expected_ns <= TIME_NS_MAX:
            code = refuse(out, RESULT_CODE_TIME_INVALID, "expected_ns", 0, no_span(), expected_ns, TIME_NS_MAX)
        if code == RESULT_CODE_OK:
            code = self.check_known(&request, True, out)
        if code == RESULT_CODE_OK:
            code = self.check_stocked(&request, out)
        if code != RESULT_CODE_OK:
            return code

        tally_clear(&self.sums)
        for i in range(request.line_count):
            line = &self.lines[i]
            tally_at(&self.sums, line.item).sum_milli += line.qty_milli
            coming_milli = (
                self.stock.incoming_milli(line.item, request.location, 0) + tally_at(&self.sums, line.item).sum_milli
            )
            if coming_milli > QTY_MILLI_MAX:
                return refuse(
                    out, RESULT_CODE_QTY_TOO_LARGE, "lines.qty_milli", i, line.code, coming_milli, QTY_MILLI_MAX
                )

        # Apply.
        for i in range(request.line_count):
            line = &self.lines[i]
            if self.is_tracked(line.item):
                if self.stock.find(line.item, request.location) < 0:
                    self.stock.make(line.item, request.location, 0, 0)
                self.stock.expect(line.item, request.location, line.qty_milli, expected_ns)
        for i in range(request.line_count):
            self.write_position(self.lines[i].item, request.location, ExpectStockResponse_positions, out)
        return ok(out)

    cdef int reorder_stock(self, Command* command, Writer* out) noexcept nogil:
        cdef StockIn request
        cdef Reader reader = reader_of(command.body)
        cdef int64_t min_milli = 0, max_milli = 0, multiple_milli = 0, forecast_milli, qty_milli = 0, row, policy = 0
        cdef int code
        memset(&request, 0, sizeof(StockIn))
        while next_field(&reader):
            if reader.field == ReorderStockRequest_location_id:
                request.location_code = read_span(&reader)
            elif reader.field == ReorderStockRequest_item_id:
                request.item_code = read_span(&reader)
            elif reader.field == ReorderStockRequest_min_milli:
                min_milli = read_int(&reader)
            elif reader.field == ReorderStockRequest_max_milli:
                max_milli = read_int(&reader)
            elif reader.field == ReorderStockRequest_multiple_milli:
                multiple_milli = read_int(&reader)
            elif reader.field == ReorderStockRequest_policy_id:
                request.text = read_span(&reader)
            elif reader.field == ReorderStockRequest_order:
                request.flag = read_int(&reader) != 0
            else:
                skip_field(&reader)
        self.find_named(&request)
        multiple_milli = multiple_milli if multiple_milli else 1000

        # Check.
        if reader.bad:
            return MALFORMED
        if not is_code_or_empty(request.text):
            return refuse(out, RESULT_CODE_FIELD_INVALID, "policy_id", 0, no_span(), request.text.size, CODE_BYTES_MAX)
        if min_milli < 0 or min_milli > max_milli:
            return refuse(out, RESULT_CODE_QTY_INVALID, "min_milli", 0, request.item_code, min_milli, max_milli)
        if multiple_milli < 0:
            return refuse(out, RESULT_CODE_QTY_INVALID, "multiple_milli", 0, request.item_code, multiple_milli, 1)
        if max_milli > QTY_MILLI_MAX or multiple_milli > QTY_MILLI_MAX:
            return refuse(out, RESULT_CODE_QTY_TOO_LARGE, "max_milli", 0, request.item_code, max_milli, QTY_MILLI_MAX)
        code = self.check_item_and_place(&request, True, out)
        if code == RESULT_CODE_OK:
            code = self.check_stocked(&request, out)
        if code != RESULT_CODE_OK:
            return code

        # Apply.
        forecast_milli = self.stock.incoming_milli(request.item, request.location, 0)
        row = self.stock.find(request.item, request.location)
        while row >= 0:
            forecast_milli += self.stock.position_row(row).on_hand_milli - self.stock.position_row(row).allocated_milli
            row = self.stock.next_in_place(row)
        if forecast_milli < min_milli:
            qty_milli = (max_milli - forecast_milli + multiple_milli - 1) // multiple_milli * multiple_milli
        if qty_milli and request.flag and self.is_tracked(request.item):
            if self.stock.find(request.item, request.location) < 0:
                self.stock.make(request.item, request.location, 0, 0)
            self.stock.expect(request.item, request.location, qty_milli, 0)
        if request.text.size:
            policy = self.catalog.intern_symbol(SYMBOL_REORDER, request.text) + 1
        write_int(
            out, ReorderStockResponse_ordered_milli,
            self.stock.reorder(request.item, request.location, policy, qty_milli, request.flag, command.now_ns),
        )
        write_int(out, ReorderStockResponse_qty_milli, qty_milli)
        write_int(out, ReorderStockResponse_forecast_milli, forecast_milli)
        return ok(out)

    cdef int list_reorders(self, Span request, Writer* out) noexcept nogil:
        """Open suggestions and orders of goods, in the order of their rows."""
        cdef Reader reader = reader_of(request)
        cdef StockIn asked
        cdef ReorderRow* reorder
        cdef int64_t page_size = 0, row = 0, shown = 0, mark
        cdef int code = RESULT_CODE_OK
        memset(&asked, 0, sizeof(StockIn))
        while next_field(&reader):
            if reader.field == ListReordersRequest_location_id:
                asked.location_code = read_span(&reader)
            elif reader.field == ListReordersRequest_item_id:
                asked.item_code = read_span(&reader)
            elif reader.field == ListReordersRequest_page_size:
                page_size = read_int(&reader)
            elif reader.field == ListReordersRequest_after:
                row = read_int(&reader)
            else:
                skip_field(&reader)
        self.find_named(&asked)
        if reader.bad:
            return MALFORMED
        if row < 0:
            return refuse(out, RESULT_CODE_FIELD_INVALID, "after", 0, no_span(), row, 0)
        if not 0 <= page_size <= PAGE_SIZE_MAX:
            return refuse(out, RESULT_CODE_TOO_MANY, "page_size", 0, no_span(), page_size, PAGE_SIZE_MAX)
        if asked.item_code.size and asked.item < 0:
            code = refuse(out, RESULT_CODE_ITEM_UNKNOWN, "item_id", 0, asked.item_code, 0, 0)
        elif asked.location_code.size and asked.location < 0:
            code = refuse(out, RESULT_CODE_LOCATION_UNKNOWN, "location_id", 0, asked.location_code, 0, 0)
        if code != RESULT_CODE_OK:
            return code
        page_size = page_size if page_size else REORDERS_PAGE
        while row < self.stock.reorders.count:
            reorder = <ReorderRow*>self.stock.reorders.row(row)
            row += 1
            if reorder.suggested_milli == 0 and reorder.ordered_milli == 0:
                continue
            if (asked.item_code.size and reorder.item != asked.item) or (
                asked.location_code.size and reorder.location != asked.location
            ):
                continue
            if shown == page_size:
                write_int(out, ListReordersResponse_next_after, row - 1)
                break
            shown += 1
            mark = begin_message(out, ListReordersResponse_reorders)
            write_span(out, Reorder_item_id, self.catalog.item_code(reorder.item))
            write_span(out, Reorder_location_id, self.catalog.location_code(reorder.location))
            if reorder.policy:
                write_span(
                    out, Reorder_policy_id,
                    self.catalog.text((<SymbolRow*>self.catalog.symbols.row(reorder.policy - 1)).code),
                )
            write_int(out, Reorder_suggested_milli, reorder.suggested_milli)
            write_int(out, Reorder_ordered_milli, reorder.ordered_milli)
            write_int(out, Reorder_at_ns, reorder.at_ns)
            end_message(out, mark)
        return ok(out)

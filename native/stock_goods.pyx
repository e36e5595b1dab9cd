"""Handlers about goods: receipts, corrections, counts, transfers, what is barred."""

from libc.stdint cimport int64_t
from libc.string cimport memset

from ringup.native.command cimport MALFORMED, Command, is_code_or_empty, is_text, ok, refuse
from ringup.native.contract cimport (
    RESULT_CODE_FIELD_INVALID,
    RESULT_CODE_LOCATION_UNKNOWN,
    RESULT_CODE_OK,
    RESULT_CODE_POSITION_UNKNOWN,
    RESULT_CODE_QTY_INVALID,
    RESULT_CODE_QTY_TOO_LARGE,
    RESULT_CODE_REASON_MISSING,
    RESULT_CODE_STOCK_BELOW_LIMIT,
    RESULT_CODE_STOCK_INSUFFICIENT,
    RESULT_CODE_STOCK_PROMISED,
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
    ReceiveStockRequest_lines,
    ReceiveStockRequest_location_id,
    ReceiveStockRequest_reference,
    ReceiveStockResponse_positions,
    RemovePositionRequest_force,
    RemovePositionRequest_item_id,
    RemovePositionRequest_location_id,
    TransferStockRequest_from_location_id,
    TransferStockRequest_item_id,
    TransferStockRequest_qty_milli,
    TransferStockRequest_to_location_id,
    TransferStockResponse_short_item_ids,
    TransferStockResponse_takes,
)
from ringup.native.limits cimport CODE_BYTES_MAX, QTY_MILLI_MAX, REASON_BYTES_MAX
from ringup.native.stock_policy cimport POLICY_BACKORDER, POLICY_COUNT_FLOOR, SYMBOL_LOT, PolicyRow
from ringup.native.stock_positions cimport BAR_REASONS, POSITION_BARRED, ExtraRow, free_of
from ringup.native.stock_request cimport LineIn, StockIn, StockRequests
from ringup.native.stock_tally cimport Entry, tally_at, tally_clear
from ringup.native.wire cimport (
    Reader,
    Span,
    Writer,
    clear,
    next_field,
    no_span,
    read_int,
    read_span,
    reader_of,
    skip_field,
    write_span,
)


cdef class GoodsCommands(StockRequests):
    """What happens to goods, whoever they are promised to."""

    cdef int receive_stock(self, Command* command, Writer* out) noexcept nogil:
        cdef StockIn request
        cdef Reader reader = reader_of(command.body)
        cdef LineIn* line
        cdef Entry* entry
        cdef ExtraRow* extra
        cdef int64_t i, row, on_hand_milli, lot
        cdef int code
        clear(&request, sizeof(StockIn))
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
            code = self.check_goods(&request, out)
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
        self.write_positions(&request, ReceiveStockResponse_positions, out)
        return ok(out)

    cdef int adjust_stock(self, Command* command, Writer* out) noexcept nogil:
        cdef StockIn request
        cdef Reader reader = reader_of(command.body)
        cdef LineIn* line
        cdef int64_t i, row, key
        cdef int code
        clear(&request, sizeof(StockIn))
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
            code = self.check_goods(&request, out)
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
        self.write_positions(&request, AdjustStockResponse_positions, out)
        return ok(out)

    cdef bint has_lot_lines(self, int64_t item, int64_t line_count) noexcept nogil:
        cdef int64_t i
        for i in range(line_count):
            if self.lines[i].item == item and self.lines[i].lot_code.size:
                return True
        return False

    cdef int count_stock(self, Command* command, Writer* out) noexcept nogil:
        cdef StockIn request
        cdef Reader reader = reader_of(command.body)
        cdef LineIn line
        cdef int64_t counted_milli = 0, book_milli = 0, now_milli, new_milli, row = -1, at
        cdef bint has_book = False
        cdef int code
        clear(&request, sizeof(StockIn))
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
        code = self.check_item_goods(&request, out)
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
        clear(&request, sizeof(StockIn))
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
        clear(&request, sizeof(StockIn))
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
        code = self.check_item_goods(&request, out)
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
        clear(&request, sizeof(StockIn))
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
            code = self.check_goods(&request, out)
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
        self.write_positions(&request, BarStockResponse_positions, out)
        return ok(out)

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

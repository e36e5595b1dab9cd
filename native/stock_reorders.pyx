"""Handlers about goods on their way: what is expected, what should be ordered, and what was."""

from libc.stdint cimport int64_t
from libc.string cimport memset

from ringup.native.catalog cimport SymbolRow
from ringup.native.command cimport MALFORMED, Command, is_code_or_empty, ok, refuse
from ringup.native.contract cimport (
    RESULT_CODE_FIELD_INVALID,
    RESULT_CODE_ITEM_UNKNOWN,
    RESULT_CODE_LOCATION_UNKNOWN,
    RESULT_CODE_OK,
    RESULT_CODE_QTY_INVALID,
    RESULT_CODE_QTY_TOO_LARGE,
    RESULT_CODE_TIME_INVALID,
    RESULT_CODE_TOO_MANY,
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
)
from ringup.native.limits cimport CODE_BYTES_MAX, PAGE_SIZE_MAX, QTY_MILLI_MAX, TIME_NS_MAX
from ringup.native.stock_incoming cimport ReorderRow
from ringup.native.stock_policy cimport SYMBOL_REORDER
from ringup.native.stock_request cimport LineIn, StockIn
from ringup.native.stock_sell cimport StockSales
from ringup.native.stock_tally cimport tally_at, tally_clear
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
    write_int,
    write_span,
)


cdef enum:
    REORDERS_PAGE = 50


cdef class ReorderCommands(StockSales):
    """What is to come."""

    cdef int expect_stock(self, Command* command, Writer* out) noexcept nogil:
        cdef StockIn request
        cdef Reader reader = reader_of(command.body)
        cdef LineIn* line
        cdef int64_t i, expected_ns = 0, coming_milli
        cdef int code
        clear(&request, sizeof(StockIn))
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
            code = self.check_goods(&request, out)
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
        self.write_positions(&request, ExpectStockResponse_positions, out)
        return ok(out)

    cdef int reorder_stock(self, Command* command, Writer* out) noexcept nogil:
        cdef StockIn request
        cdef Reader reader = reader_of(command.body)
        cdef int64_t min_milli = 0, max_milli = 0, multiple_milli = 0, forecast_milli, qty_milli = 0, row, policy = 0
        cdef int code
        clear(&request, sizeof(StockIn))
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
        code = self.check_item_goods(&request, out)
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

"""SellStock: goods that a till elsewhere sold, without prices; kits by their parts."""

from libc.stdint cimport int64_t

from ringup.native.catalog cimport LOCATION_DISABLED
from ringup.native.command cimport MALFORMED, Command, ok
from ringup.native.contract cimport (
    RESULT_CODE_OK,
    SellStockRequest_lines,
    SellStockRequest_location_id,
    SellStockRequest_partial,
    SellStockResponse_short_item_ids,
    SellStockResponse_takes,
)
from ringup.native.stock_goods cimport GoodsCommands
from ringup.native.stock_kits cimport KitPartRow
from ringup.native.stock_plan cimport ENTRY_STOCK, ENTRY_UNTRACKED
from ringup.native.stock_plan cimport Entry as PlanEntry
from ringup.native.stock_request cimport StockIn
from ringup.native.stock_scope cimport Want
from ringup.native.wire cimport Reader, Writer, clear, next_field, read_int, read_span, reader_of, skip_field


cdef class StockSales(GoodsCommands):
    """What a till takes from the free units of its place."""

    cdef int sell_stock(self, Command* command, Writer* out) noexcept nogil:
        cdef StockIn request
        cdef Reader reader = reader_of(command.body)
        cdef PlanEntry* entry
        cdef Want* want
        cdef int64_t i, free_milli, qty_milli
        cdef int code
        cdef bint partial = False
        clear(&request, sizeof(StockIn))
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

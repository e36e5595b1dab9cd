"""What a sale takes from stock and a return brings in, kits by their parts."""

from libc.stdint cimport int64_t, uint32_t
from libc.stdlib cimport abort, free, malloc, realloc

from ringup.native.catalog cimport ITEM_KIT, ITEM_UNTRACKED, SymbolRow
from ringup.native.command cimport refuse
from ringup.native.contract cimport (
    RESULT_CODE_OK,
    RESULT_CODE_QTY_INVALID,
    RESULT_CODE_QTY_TOO_LARGE,
    RESULT_CODE_STOCK_INSUFFICIENT,
    ReturnLinesResponse_kit_parts,
    SellResponse_kit_parts,
    SellResponse_shortfalls,
    SellResponse_takes,
    Shortfall_free_milli,
    Shortfall_item_id,
    Take_item_id,
    Take_kit_id,
    Take_location_id,
    Take_lot_id,
    Take_qty_milli,
)
from ringup.native.limits cimport LINES_MAX, QTY_MILLI_MAX
from ringup.native.pricing_basket cimport Line
from ringup.native.promotion cimport NO_SYMBOL
from ringup.native.sale_book cimport SALE_HAS_KITS, SaleKitRow, SaleRow
from ringup.native.sale_tenders cimport SaleTenders
from ringup.native.stock cimport Demand
from ringup.native.stock_positions cimport PositionRow
from ringup.native.wire cimport Writer, begin_message, end_message, no_span, write_int, write_span


cdef class SaleStock(SaleTenders):
    """The demands of the basket at hand."""

    def __cinit__(self):
        self.demands = <Demand*>malloc(LINES_MAX * sizeof(Demand))
        self.demand_capacity = LINES_MAX
        self.holds = <int64_t*>malloc(HOLDS_PER_SALE_MAX * sizeof(int64_t))
        if self.demands == NULL or self.holds == NULL:
            raise MemoryError

    def __dealloc__(self):
        free(self.demands)
        free(self.holds)

    cdef int64_t demand_of_basket(self) noexcept nogil:
        """List what the priced basket takes from stock; returns how many lines that are."""
        cdef int64_t at, count = 0
        cdef Line* line
        for at in range(self.pricing.line_count):
            line = &self.pricing.lines[at]
            if not self.catalog.item(line.item).flags & (ITEM_UNTRACKED | ITEM_KIT):
                self.demands[count].item = line.item
                self.demands[count].qty_milli = line.qty_milli
                count += 1
            elif self.catalog.item(line.item).flags & ITEM_KIT:
                count = self.demand_of_kit(line, count)
        return count

    cdef int64_t demand_of_kit(self, const Line* line, int64_t count) noexcept nogil:
        """List what a line of kits takes from stock: their parts; returns how many demands there are then."""
        cdef int64_t kit = self.stock.find_kit(line.item), i, parts = self.stock.kit_row(kit).part_count
        if count + parts + LINES_MAX > self.demand_capacity:  # one for each line after it fits, too
            self.demand_capacity = 2 * (count + parts + LINES_MAX)
            self.demands = <Demand*>realloc(self.demands, self.demand_capacity * sizeof(Demand))
            if self.demands == NULL:
                abort()
        for i in range(parts):
            if not self.catalog.item(self.stock.kit_part(kit, i).item).flags & ITEM_UNTRACKED:
                self.demands[count].item = self.stock.kit_part(kit, i).item
                self.demands[count].qty_milli = line.qty_milli // 1000 * self.stock.kit_part(kit, i).qty_milli
                count += 1
        return count

    cdef int check_kits(self, Writer* out) noexcept nogil:
        """QTY_INVALID, QTY_TOO_LARGE: kits are sold whole, and no more than their parts can be counted."""
        cdef int64_t at, kit, i, most_milli
        cdef Line* line
        for at in range(self.pricing.line_count):
            line = &self.pricing.lines[at]
            if not self.catalog.item(line.item).flags & ITEM_KIT:
                continue
            if line.qty_milli % 1000:
                return refuse(
                    out, RESULT_CODE_QTY_INVALID, "lines.qty_milli", at, self.catalog.item_code(line.item),
                    line.qty_milli, 1000,
                )
            kit = self.stock.find_kit(line.item)
            for i in range(self.stock.kit_row(kit).part_count):
                most_milli = QTY_MILLI_MAX // self.stock.kit_part(kit, i).qty_milli * 1000
                if line.qty_milli > most_milli:
                    return refuse(
                        out, RESULT_CODE_QTY_TOO_LARGE, "lines.qty_milli", at, self.catalog.item_code(line.item),
                        line.qty_milli, most_milli,
                    )
        return RESULT_CODE_OK

    cdef void book_kits(self, SaleRow* sale, Writer* out) noexcept nogil:
        """Remember of which versions the kits are that the priced basket has, and tell their parts."""
        cdef int64_t at, i
        cdef SaleKitRow* row
        for at in range(self.pricing.line_count):
            if self.catalog.item(self.pricing.lines[at].item).flags & ITEM_KIT:
                row = <SaleKitRow*>self.sale_kits.edit(self.sale_kits.append())
                row.line = sale.first_line + at
                row.kit = self.stock.find_kit(self.pricing.lines[at].item)
                sale.flags |= SALE_HAS_KITS
                for i in range(self.stock.kit_row(row.kit).part_count):
                    self.write_kit_part(
                        SellResponse_kit_parts, row.kit, i, self.pricing.lines[at].qty_milli // 1000, out
                    )

    cdef void write_kit_part(
        self, uint32_t field, int64_t kit, int64_t part, int64_t kits, Writer* out
    ) noexcept nogil:
        """Tell what so many kits have of a part."""
        cdef int64_t mark = begin_message(out, field)
        write_span(out, Take_item_id, self.catalog.item_code(self.stock.kit_part(kit, part).item))
        write_int(out, Take_qty_milli, self.stock.kit_part(kit, part).qty_milli * kits)
        write_span(out, Take_kit_id, self.catalog.item_code(self.stock.kit_row(kit).item))
        end_message(out, mark)

    cdef void put_kits_back(self, int64_t line, int64_t location, int64_t qty_milli, Writer* out) noexcept nogil:
        """The parts of kits that a line (row) sold come in, and are told."""
        cdef int64_t kit = self.kit_of_line(line), i, item
        for i in range(self.stock.kit_row(kit).part_count if kit >= 0 else 0):
            item = self.stock.kit_part(kit, i).item
            if not self.catalog.item(item).flags & ITEM_UNTRACKED:
                self.stock.put_back(location, item, qty_milli // 1000 * self.stock.kit_part(kit, i).qty_milli)
            self.write_kit_part(ReturnLinesResponse_kit_parts, kit, i, qty_milli // 1000, out)

    cdef int refuse_stock(self, int code, int64_t failed, int64_t found, Writer* out) noexcept nogil:
        """Refuse for stock: `failed` is the demand that found too little, or the hold that cannot serve."""
        cdef int64_t line, item
        if code != RESULT_CODE_STOCK_INSUFFICIENT:
            return refuse(out, code, "hold_ids", failed, no_span(), 0, 0)
        item = self.demands[failed].item
        line = 0
        while not self.line_takes(line, item):
            line += 1
        if self.pricing.lines[line].promotion != NO_SYMBOL:
            return refuse(
                out, code, "free_items", 0, self.catalog.item_code(item), found, self.demands[failed].qty_milli
            )
        return refuse(out, code, "lines.qty_milli", line, self.catalog.item_code(item), found, self.demands[failed].qty_milli)

    cdef bint line_takes(self, int64_t line, int64_t item) noexcept nogil:
        """Whether a line of the priced basket takes an item from stock, by itself or in a kit."""
        cdef int64_t sold = self.pricing.lines[line].item, kit, i
        if not self.catalog.item(sold).flags & ITEM_KIT:
            return sold == item
        kit = self.stock.find_kit(sold)
        for i in range(self.stock.kit_row(kit).part_count):
            if self.stock.kit_part(kit, i).item == item:
                return True
        return False

    cdef void write_shortfalls(self, Writer* out, int64_t location, int64_t demand_count) noexcept nogil:
        cdef int64_t at, other, mark, free_milli
        cdef bint seen
        for at in range(demand_count):
            seen = False
            for other in range(at):
                seen = seen or self.demands[other].item == self.demands[at].item
            free_milli = self.stock.free_milli(self.demands[at].item, location)
            if free_milli < 0 and not seen:
                mark = begin_message(out, SellResponse_shortfalls)
                write_span(out, Shortfall_item_id, self.catalog.item_code(self.demands[at].item))
                write_int(out, Shortfall_free_milli, free_milli)
                end_message(out, mark)

    cdef void write_takes(self, Writer* out) noexcept nogil:
        """Where units left that the lines alone do not say: of items that are kept by lot there."""
        cdef int64_t at, mark
        cdef const PositionRow* position
        for at in range(self.stock.lot_part_count):
            position = self.stock.position_row(self.stock.lot_parts[at].position)
            mark = begin_message(out, SellResponse_takes)
            write_span(out, Take_item_id, self.catalog.item_code(position.item))
            write_span(out, Take_location_id, self.catalog.location_code(position.location))
            if position.lot:
                write_span(
                    out, Take_lot_id,
                    self.catalog.text((<SymbolRow*>self.catalog.symbols.row(position.lot - 1)).code),
                )
            write_int(out, Take_qty_milli, self.stock.lot_parts[at].qty_milli)
            end_message(out, mark)

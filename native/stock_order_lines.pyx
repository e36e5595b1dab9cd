"""Which units of an order a request is about: its lines against what the order has."""

from libc.stdint cimport int32_t, int64_t, uint32_t
from libc.stdlib cimport abort, realloc

from ringup.native.command cimport is_code, refuse
from ringup.native.contract cimport (
    RESULT_CODE_FIELD_INVALID,
    RESULT_CODE_OK,
    RESULT_CODE_ORDER_EXCEEDED,
    RESULT_CODE_ORDER_UNKNOWN,
)
from ringup.native.limits cimport CODE_BYTES_MAX
from ringup.native.stock_lines cimport Chain, LineRow
from ringup.native.stock_plan cimport ENTRY_STOCK
from ringup.native.stock_request cimport LineIn
from ringup.native.stock_scope cimport Want
from ringup.native.stock_tally cimport Entry, tally_at, tally_clear
from ringup.native.wire cimport Reader, Span, Writer, clear, next_field, no_span, read_span, reader_of, skip_field


cdef int refuse_order(Writer* out, int code, Span order_id) noexcept nogil:
    return refuse(out, code, "order_id", 0, order_id, 0, 0)


cdef int refuse_order_id(Writer* out, Span order_id) noexcept nogil:
    return refuse(out, RESULT_CODE_FIELD_INVALID, "order_id", 0, no_span(), order_id.size, CODE_BYTES_MAX)


cdef class OrderLines(HoldCommands):
    """Units of orders that requests are about, as `wants`."""

    cdef StockIn read_order(self, Span body, uint32_t id_field, uint32_t lines_field) noexcept nogil:
        """Read a request about an order and perhaps lines of it; field number zero: it has none."""
        cdef StockIn request
        cdef Reader reader = reader_of(body)
        clear(&request, sizeof(StockIn))
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

    cdef int check_asked(self, StockIn* request, int64_t* order, int done_code, Writer* out) noexcept nogil:
        """What every request about allocated units is checked for: FIELD_INVALID to ORDER_EXCEEDED.

        Finds the order; `wants` are what the lines ask.  `done_code` where no lines are named and nothing is left.
        """
        cdef int code = self.check_order_lines(request, out)
        if code != RESULT_CODE_OK:
            return code
        order[0] = self.stock.find_order(request.order_id)
        if order[0] < 0:
            return refuse_order(out, RESULT_CODE_ORDER_UNKNOWN, request.order_id)
        if request.line_count == 0 and not self.stock.order_row(order[0]).allocated.first:
            return refuse_order(out, done_code, request.order_id)
        return self.check_within(request, order[0], out)

    # Lines about an order name items or kits.  A line about a kit means the parts of whole kits that the order has, of
    # the version that it took; a line about an item its units, the earliest first, whether in a kit or by themselves.

    cdef void add_want(self, int64_t item, int64_t location, int64_t qty_milli, int64_t line, int32_t kit) noexcept nogil:
        """Sum units of an order into `wants` (by item, named place and version of a kit)."""
        cdef int64_t i
        cdef Want* want
        for i in range(self.want_count):
            want = &self.wants[i]
            if want.item == item and want.location == location and want.kit == kit:
                want.qty_milli += qty_milli
                return
        if self.want_count == self.want_capacity:
            self.want_capacity *= 2
            self.wants = <Want*>realloc(self.wants, self.want_capacity * sizeof(Want))
            if self.wants == NULL:
                abort()
        want = &self.wants[self.want_count]
        self.want_count += 1
        want.item, want.location, want.qty_milli, want.line, want.kit = item, location, qty_milli, line, kit

    cdef int64_t wanted_milli(self, int64_t item, int32_t kit) noexcept nogil:
        """What `wants` have of an item, by itself or in a version of a kit, over all places."""
        cdef int64_t i, sum_milli = 0
        for i in range(self.want_count):
            if self.wants[i].item == item and self.wants[i].kit == kit:
                sum_milli += self.wants[i].qty_milli
        return sum_milli

    cdef int check_within(self, StockIn* request, int64_t order, Writer* out) noexcept nogil:
        """ORDER_EXCEEDED: the lines ask no more than the order has allocated; `wants` are then what they ask."""
        cdef const Chain* chain = &self.stock.order_row(order).allocated
        cdef int64_t i, allocated_milli, group
        cdef LineIn* line
        cdef Want* want
        cdef Entry* entry
        cdef bint kits = self.stock.kits.count > 0
        cdef int code
        tally_clear(&self.sums)
        for i in range(request.line_count):
            tally_at(&self.sums, self.lines[i].item).sum_milli += self.lines[i].qty_milli
        for i in range(request.line_count):
            allocated_milli = self.stock.chain_milli(chain, self.lines[i].item)
            if kits:
                allocated_milli += self.stock.kits_milli(chain, self.lines[i].item, -1)
            if tally_at(&self.sums, self.lines[i].item).sum_milli > allocated_milli:
                return refuse(
                    out, RESULT_CODE_ORDER_EXCEEDED, "lines.qty_milli", i, self.lines[i].code,
                    tally_at(&self.sums, self.lines[i].item).sum_milli, allocated_milli,
                )
        if not kits:
            self.sum_wants(request)
            return RESULT_CODE_OK
        self.want_count = 0
        for group in range(2):  # lines that name a place come first
            for i in range(request.line_count):
                line = &self.lines[i]
                if (line.location < 0) == group:
                    code = self.check_units(
                        chain, line.item, line.location, line.qty_milli, i, "lines.qty_milli", line.code, out
                    )
                    if code != RESULT_CODE_OK:
                        return code
        # A kit and its part on two lines are one demand for the part.
        tally_clear(&self.sums)
        for i in range(self.want_count):
            want = &self.wants[i]
            entry = tally_at(&self.sums, want.item)
            entry.sum_milli += want.qty_milli
            allocated_milli = self.stock.chain_milli(chain, want.item)
            if entry.sum_milli > allocated_milli:
                return refuse(
                    out, RESULT_CODE_ORDER_EXCEEDED, "lines.qty_milli", want.line, self.catalog.item_code(want.item),
                    entry.sum_milli, allocated_milli,
                )
        self.kits_first()
        return RESULT_CODE_OK

    cdef int check_units(
        self, const Chain* chain, int64_t item, int64_t location, int64_t qty_milli, int64_t line, const char* field,
        Span code, Writer* out
    ) noexcept nogil:
        """ORDER_EXCEEDED, or the units of one line are among `wants`: plain ones first, then those of kits."""
        cdef int64_t plain_milli = self.stock.chain_milli(chain, item) - self.wanted_milli(item, 0), kits_milli = 0
        cdef int64_t i, at, part_milli, kit
        cdef Entry* entry
        plain_milli = min(qty_milli, plain_milli)
        if self.stock.kits.count:
            kits_milli = self.stock.kits_milli(chain, item, -1)
            for i in range(self.stock.kit_seen.count):  # less what lines before this one mean
                entry = &self.stock.kit_seen.entries[self.stock.kit_seen.order[i]]
                kit = entry.key - 1
                part_milli = self.wanted_milli(self.stock.kit_part(kit, 0).item, <int32_t>entry.key)
                part_milli = part_milli // self.stock.kit_part(kit, 0).qty_milli * 1000
                entry.sum_milli -= part_milli
                kits_milli -= part_milli
        if qty_milli > plain_milli + kits_milli:
            return refuse(
                out, RESULT_CODE_ORDER_EXCEEDED, field, line, code, qty_milli, plain_milli + kits_milli
            )
        if plain_milli:
            self.add_want(item, location, plain_milli, line, 0)
            qty_milli -= plain_milli
        for i in range(self.stock.kit_seen.count if qty_milli else 0):
            entry = &self.stock.kit_seen.entries[self.stock.kit_seen.order[i]]
            part_milli = min(qty_milli, entry.sum_milli)
            qty_milli -= part_milli
            for at in range(self.stock.kit_row(entry.key - 1).part_count if part_milli else 0):
                self.add_want(
                    self.stock.kit_part(entry.key - 1, at).item, location,
                    self.stock.kit_part(entry.key - 1, at).qty_milli * (part_milli // 1000), line, <int32_t>entry.key,
                )
        return RESULT_CODE_OK

    cdef void kits_first(self) noexcept nogil:
        """Order `wants`: those of kits before plain ones, which any unit can meet; otherwise as they are."""
        cdef int64_t i, at
        cdef Want want
        for i in range(1, self.want_count):
            want = self.wants[i]
            at = i
            while want.kit and at > 0 and not self.wants[at - 1].kit and (
                (self.wants[at - 1].location < 0) == (want.location < 0)
            ):
                self.wants[at] = self.wants[at - 1]
                at -= 1
            self.wants[at] = want

    cdef void add_units_at(
        self, const Chain* chain, int64_t item, int64_t source, int64_t target, int64_t qty_milli
    ) noexcept nogil:
        """Add units at `source` to `wants`: those by themselves first, then parts of kits, which stay what they are."""
        cdef int64_t at, part_milli
        cdef LineRow* line
        cdef bint in_kit
        for in_kit in range(2):
            at = chain.first
            while at and qty_milli:
                line = self.stock.line_row(at - 1)
                if line.item == item and line.kind == ENTRY_STOCK and line.location == source:
                    part_milli = min(qty_milli, line.qty_milli) if (line.kit != 0) == in_kit else 0
                    if part_milli:
                        self.add_want(item, target, part_milli, 0, line.kit)
                        qty_milli -= part_milli
                at = line.next

    cdef void add_kits_at(
        self, const Chain* chain, int64_t source, int64_t target, int64_t qty_milli
    ) noexcept nogil:
        """Add the parts at `source` of kits (those in `kit_seen`) to `wants`, as units to be promised at `target`."""
        cdef int64_t i, at, part_milli
        cdef Entry* entry
        cdef int64_t item
        cdef LineRow* line
        for i in range(self.stock.kit_seen.count if qty_milli else 0):
            entry = &self.stock.kit_seen.entries[self.stock.kit_seen.order[i]]
            part_milli = min(qty_milli, entry.sum_milli)
            qty_milli -= part_milli
            if part_milli == 0:
                continue
            for at in range(self.stock.kit_row(entry.key - 1).part_count):
                item = self.stock.kit_part(entry.key - 1, at).item
                line = self.stock.line_of_kit(chain, <int32_t>entry.key, item)
                if line != NULL:  # else nowhere: untracked or preordered
                    self.add_want(
                        item, target, self.stock.kit_part(entry.key - 1, at).qty_milli * (part_milli // 1000), 0,
                        <int32_t>entry.key,
                    )

    cdef int64_t kit_part_milli(self, int64_t kit, int64_t item) noexcept nogil:
        """How much of an item one kit of a version has."""
        cdef int64_t i
        for i in range(self.stock.kit_row(kit).part_count):
            if self.stock.kit_part(kit, i).item == item:
                return self.stock.kit_part(kit, i).qty_milli
        return 0

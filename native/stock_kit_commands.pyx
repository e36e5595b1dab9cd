"""Handlers of kits: items that are promised as their parts."""

from libc.stdint cimport int64_t
from libc.string cimport memset

from ringup.native.catalog_pages cimport ItemsAsked, ask_item, check_item_count, check_items_known, nothing_asked
from ringup.native.command cimport MALFORMED, Command, check_count, is_code, ok, refuse
from ringup.native.contract cimport (
    RESULT_CODE_FIELD_INVALID,
    RESULT_CODE_ITEM_UNKNOWN,
    RESULT_CODE_KIT_NESTED,
    RESULT_CODE_OK,
    RESULT_CODE_QTY_INVALID,
    RESULT_CODE_QTY_TOO_LARGE,
    RESULT_CODE_STOCK_PROMISED,
    RESULT_CODE_TOO_MANY,
    GetKitsRequest_item_ids,
    GetKitsResponse_kits,
    Kit_item_id,
    Kit_parts,
    Kit_parts_apart,
    KitPart_item_id,
    KitPart_qty_milli,
    PutKitsRequest_kits,
)
from ringup.native.limits cimport CODE_BYTES_MAX
from ringup.native.stock_kits cimport (
    KIT_APART,
    KIT_DEPTH_MAX,
    KIT_PART_QTY_MILLI_MAX,
    KIT_PARTS_MAX,
    KIT_REQUEST_PARTS_MAX,
    KitPartRow,
    KitRow,
)
from ringup.native.stock_tally cimport tally_find
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


cdef struct PartIn:
    Span code
    int64_t qty_milli
    bint bad


cdef PartIn _read_part(Span body) noexcept nogil:
    cdef PartIn part
    cdef Reader reader = reader_of(body)
    memset(&part, 0, sizeof(PartIn))
    while next_field(&reader):
        if reader.field == KitPart_item_id:
            part.code = read_span(&reader)
        elif reader.field == KitPart_qty_milli:
            part.qty_milli = read_int(&reader)
        else:
            skip_field(&reader)
    part.bad = reader.bad
    return part


cdef class KitCommands(RuleCommands):
    """Put and read kits; a request goes in whole or not at all."""

    cdef KitIn read_kit(self, Span body) noexcept nogil:
        cdef KitIn kit
        cdef Reader reader = reader_of(body)
        memset(&kit, 0, sizeof(KitIn))
        while next_field(&reader):
            if reader.field == Kit_item_id:
                kit.code = read_span(&reader)
            elif reader.field == Kit_parts:
                read_span(&reader)
                kit.part_count += 1
            elif reader.field == Kit_parts_apart:
                kit.apart = read_int(&reader) != 0
            else:
                skip_field(&reader)
        kit.bad = reader.bad
        kit.item = self.catalog.find_item(kit.code)
        return kit

    cdef int put_kits(self, Command* command, Writer* out) noexcept nogil:
        cdef Reader reader = reader_of(command.body)
        cdef KitIn kit
        cdef Span body
        cdef int64_t index = 0
        cdef int code = check_count(command.body, PutKitsRequest_kits, "kits", out)

        # Check; what is put is gathered on the way.
        if code != RESULT_CODE_OK:
            return code
        self.stock.pending_clear()
        while next_of(&reader, PutKitsRequest_kits):
            body = read_span(&reader)
            kit = self.read_kit(body)
            code = self.check_kit(&kit, body, index, out)
            if code != RESULT_CODE_OK:
                return code
            index += 1
        code = self.check_pending(out)
        if code != RESULT_CODE_OK:
            return code

        # Apply.
        self.stock.put_pending()
        return ok(out)

    cdef int check_kit(self, KitIn* kit, Span body, int64_t index, Writer* out) noexcept nogil:
        """FIELD_INVALID to STOCK_PROMISED of one kit; it is pending then."""
        cdef Reader reader = reader_of(body)
        cdef PartIn part
        cdef int64_t item
        if kit.bad:
            return MALFORMED
        if not is_code(kit.code):
            return refuse(out, RESULT_CODE_FIELD_INVALID, "kits.item_id", index, no_span(), kit.code.size, CODE_BYTES_MAX)
        if kit.part_count > KIT_PARTS_MAX:
            return refuse(out, RESULT_CODE_TOO_MANY, "kits.parts", index, kit.code, kit.part_count, KIT_PARTS_MAX)
        if self.stock.pending_part_count + kit.part_count > KIT_REQUEST_PARTS_MAX:
            return refuse(
                out, RESULT_CODE_TOO_MANY, "kits.parts", index, kit.code,
                self.stock.pending_part_count + kit.part_count, KIT_REQUEST_PARTS_MAX,
            )
        while next_of(&reader, Kit_parts):
            part = _read_part(read_span(&reader))
            if part.bad:
                return MALFORMED
            if not is_code(part.code):
                return refuse(
                    out, RESULT_CODE_FIELD_INVALID, "kits.parts.item_id", index, kit.code, part.code.size, CODE_BYTES_MAX
                )
            item = self.catalog.find_item(part.code)
            if part.qty_milli <= 0 or (item >= 0 and part.qty_milli % 1000 and not self.is_measured(item)):
                return refuse(
                    out, RESULT_CODE_QTY_INVALID, "kits.parts.qty_milli", index, part.code, part.qty_milli,
                    1000 if item >= 0 and not self.is_measured(item) else 1,
                )
            if part.qty_milli > KIT_PART_QTY_MILLI_MAX:
                return refuse(
                    out, RESULT_CODE_QTY_TOO_LARGE, "kits.parts.qty_milli", index, part.code, part.qty_milli,
                    KIT_PART_QTY_MILLI_MAX,
                )
        if kit.item < 0:
            return refuse(out, RESULT_CODE_ITEM_UNKNOWN, "kits.item_id", index, kit.code, 0, 0)
        if tally_find(&self.stock.pending_of, kit.item) != NULL:
            return refuse(out, RESULT_CODE_FIELD_INVALID, "kits.item_id", index, kit.code, 2, 1)
        self.stock.pending_add(kit.item, KIT_APART if kit.apart and kit.part_count else 0)
        reader = reader_of(body)
        while next_of(&reader, Kit_parts):
            part = _read_part(read_span(&reader))
            item = self.catalog.find_item(part.code)
            if item < 0:
                return refuse(out, RESULT_CODE_ITEM_UNKNOWN, "kits.parts.item_id", index, part.code, 0, 0)
            self.stock.pending_add_part(item, part.qty_milli)
        if not self.is_kit(kit.item) and kit.part_count and self.keeps_stock(kit.item):
            return refuse(out, RESULT_CODE_STOCK_PROMISED, "kits.item_id", index, kit.code, 0, 0)
        return RESULT_CODE_OK

    cdef bint keeps_stock(self, int64_t item) noexcept nogil:
        """Whether anything of an item is somewhere, on its way, or promised."""
        cdef int64_t row = self.stock.first_of_item(item)
        while row >= 0:
            if not self.stock.place_is_empty(item, self.stock.position_row(row).location):
                return True
            row = <int64_t>self.stock.position_row(row).next - 1
        return self.stock.policy(item).preordered_milli != 0

    cdef int check_pending(self, Writer* out) noexcept nogil:
        """What opening the kits refuses: of those in the request, then of those above them."""
        cdef int64_t i, item = 0, limit = KIT_PARTS_MAX
        cdef int code = RESULT_CODE_OK
        for i in range(self.stock.pending_count):
            if self.stock.pending[i].count:
                item = self.stock.pending[i].item
                code = self.stock.open_kit(item)
                if code != RESULT_CODE_OK:
                    break
        else:
            i = 0
            code = self.stock.check_kits_above(&item)
        if code == RESULT_CODE_OK:
            return code
        if code == RESULT_CODE_KIT_NESTED:
            limit = KIT_DEPTH_MAX
        elif code == RESULT_CODE_QTY_TOO_LARGE:
            limit = KIT_PART_QTY_MILLI_MAX
        elif code == RESULT_CODE_QTY_INVALID:
            limit = 1000
        return refuse(out, code, "kits.parts", i, self.catalog.item_code(item), 0, limit)

    cdef int get_kits(self, Span request, Writer* out) noexcept nogil:
        cdef Reader reader = reader_of(request)
        cdef ItemsAsked items = nothing_asked()
        cdef int64_t item, kit, i, mark, inner
        cdef int code
        cdef KitRow* row
        cdef KitPartRow* part
        while next_of(&reader, GetKitsRequest_item_ids):
            ask_item(&items, self.catalog, read_span(&reader))
        if reader.bad:
            return MALFORMED
        code = check_item_count(&items, out)
        if code == RESULT_CODE_OK:
            code = check_items_known(&items, out)
        if code != RESULT_CODE_OK:
            return code
        reader = reader_of(request)
        while next_of(&reader, GetKitsRequest_item_ids):
            item = self.catalog.find_item(read_span(&reader))
            kit = self.stock.find_kit(item) if self.is_kit(item) else -1
            mark = begin_message(out, GetKitsResponse_kits)
            write_span(out, Kit_item_id, self.catalog.item_code(item))
            if kit >= 0:
                row = self.stock.kit_row(kit)
                for i in range(row.written_count):
                    part = <KitPartRow*>self.stock.kit_parts.row(row.first_written + i)
                    inner = begin_message(out, Kit_parts)
                    write_span(out, KitPart_item_id, self.catalog.item_code(part.item))
                    write_int(out, KitPart_qty_milli, part.qty_milli)
                    end_message(out, inner)
                write_int(out, Kit_parts_apart, row.flags & KIT_APART != 0)
            end_message(out, mark)
        return ok(out)

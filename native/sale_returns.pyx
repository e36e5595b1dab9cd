"""Returns: what may come back of a sale, and what becomes of it."""

from libc.stdint cimport int64_t, uint64_t, uint8_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy, memset

from ringup.native.body_hash cimport hash_body
from ringup.native.catalog cimport ITEM_KIT, ITEM_MEASURED, ITEM_UNTRACKED, LOCATION_DISABLED
from ringup.native.command cimport MALFORMED, Command, count_field, is_code, is_code_or_empty, is_text, ok, refuse
from ringup.native.contract cimport (
    REFUND_POLICY_REPRICE_KEPT,
    REFUND_POLICY_UNSPECIFIED,
    RESULT_CODE_AMOUNT_INVALID,
    RESULT_CODE_CURRENCY_DIFFERS,
    RESULT_CODE_FIELD_INVALID,
    RESULT_CODE_LINE_UNKNOWN,
    RESULT_CODE_LINES_EMPTY,
    RESULT_CODE_LOCATION_DISABLED,
    RESULT_CODE_OK,
    RESULT_CODE_QTY_INVALID,
    RESULT_CODE_RETURN_EXCEEDS,
    RESULT_CODE_SALE_UNKNOWN,
    RESULT_CODE_TILL_UNKNOWN,
    RESULT_CODE_TOO_MANY,
    TENDER_METHOD_ACCOUNT,
    TENDER_METHOD_GIFT_CARD,
    TENDER_METHOD_UNSPECIFIED,
    Command_sell,
    ReturnLine_line,
    ReturnLine_qty_milli,
    ReturnLine_scrapped,
    ReturnLinesRequest_charge_ids,
    ReturnLinesRequest_lines,
    ReturnLinesRequest_original_sale,
    ReturnLinesRequest_reason,
    ReturnLinesRequest_receipt_number,
    ReturnLinesRequest_receipt_till_id,
    ReturnLinesRequest_refund_method,
    ReturnLinesRequest_refund_policy,
    ReturnLinesRequest_refund_reference,
    ReturnLinesRequest_sale_id,
    ReturnLinesRequest_till_id,
    SellRequest_lines,
)
from ringup.native.index cimport hash_bytes
from ringup.native.limits cimport CODE_BYTES_MAX, ID_BYTES, LINES_MAX, REASON_BYTES_MAX
from ringup.native.pricing_basket cimport CHARGES_MAX, PriceScope
from ringup.native.reprice cimport write_kept
from ringup.native.sale_book cimport SALE_HAS_KITS, SALE_IS_RETURN, SaleChargeRow, SaleLineRow, SaleRow
from ringup.native.sale_refund cimport SaleRefunds
from ringup.native.sale_request cimport SellIn
from ringup.native.wire cimport (
    Reader,
    Span,
    Writer,
    next_field,
    next_of,
    no_span,
    read_int,
    read_span,
    reader_of,
    skip_field,
    span_at,
    span_equal,
    writer_free,
)


cdef class SaleReturns(SaleRefunds):
    """What takes sales back."""

    def __cinit__(self):
        self.sold_milli = <int64_t*>malloc(LINES_MAX * sizeof(int64_t))
        self.kept_milli = <int64_t*>malloc(LINES_MAX * sizeof(int64_t))
        if self.sold_milli == NULL or self.kept_milli == NULL:
            raise MemoryError

    def __dealloc__(self):
        free(self.sold_milli)
        free(self.kept_milli)
        writer_free(&self.kept)

    cdef int return_lines(self, Command* command, uint64_t body_hash, Writer* out) noexcept nogil:
        cdef ReturnIn asked = self.read_return(command.body)
        cdef Reader reader = reader_of(command.body)
        cdef ReturnLineIn line
        cdef int64_t till, original, index = 0, gift_card = -1, kept_minor = 0, left_minor
        cdef SaleLineRow* line_row
        cdef uint8_t[16] original_id
        cdef int code

        # Check.
        if asked.bad:
            return MALFORMED
        code = self.check_return(&asked, out)
        if code != RESULT_CODE_OK:
            return code
        till = self.catalog.find_till(asked.till)
        if till < 0:
            return refuse(out, RESULT_CODE_TILL_UNKNOWN, "till_id", 0, asked.till, 0, 0)
        original = self.find_original(&asked)
        if original < 0:
            return refuse(out, RESULT_CODE_SALE_UNKNOWN, "sale_id", 0, asked.receipt_till, asked.receipt_number, 0)
        if self.catalog.location(self.catalog.till(till).location).flags & LOCATION_DISABLED:
            return refuse(out, RESULT_CODE_LOCATION_DISABLED, "till_id", 0, asked.till, 0, 0)
        if asked.refund_policy == REFUND_POLICY_REPRICE_KEPT:
            code = self.price_kept(&asked, original, &kept_minor, out)
            if code != RESULT_CODE_OK:
                return code
        memset(self.pricing.shares, 0, self.sale(original).line_count * sizeof(int64_t))  # returned by lines before
        self.pricing.begin_refund()
        self.pricing.currency = self.sale(original).currency
        while next_of(&reader, ReturnLinesRequest_lines):
            line = self.read_return_line(read_span(&reader))
            code = self.check_return_line(&line, index, original, out)
            if code != RESULT_CODE_OK:
                return code
            line_row = <SaleLineRow*>self.lines.row(<int64_t>self.sale(original).first_line + line.line)
            self.refund_line(
                line_row, line_row.returned_milli + self.pricing.shares[line.line] - line.qty_milli, line.qty_milli
            )
            index += 1
        reader = reader_of(command.body)
        while next_of(&reader, ReturnLinesRequest_charge_ids):
            code = self.check_return_charge(read_span(&reader), self.pricing.charge_count, original, out)
            if code != RESULT_CODE_OK:
                return code
        self.pricing.total_refund()
        if self.pricing.total_minor < 0:  # a charge below zero, paid back without what it was for
            return refuse(
                out, RESULT_CODE_AMOUNT_INVALID, "charge_ids", 0, no_span(), self.pricing.total_minor, 0
            )
        # Policies may differ from return to return: together they never give back more than was paid.
        left_minor = self.sale(original).total_minor - self.sale(original).refunded_minor
        # What is kept may cost less than nothing, where a charge takes something off.
        if asked.refund_policy == REFUND_POLICY_REPRICE_KEPT:
            self.scale_refund(min(left_minor, max(<int64_t>0, left_minor - kept_minor)))
        elif self.pricing.total_minor > left_minor:
            self.scale_refund(left_minor)
        if self.pricing.total_minor > left_minor:  # charges, which come back whole or not at all
            return refuse(
                out, RESULT_CODE_RETURN_EXCEEDS, "charge_ids", 0, no_span(), self.pricing.total_minor, left_minor
            )
        if asked.refund_method == TENDER_METHOD_GIFT_CARD:
            if self.pricing.currency:
                return refuse(out, RESULT_CODE_CURRENCY_DIFFERS, "refund_method", 0, asked.refund_reference, 0, 0)
            code = self.gift_cards.check_takes(
                asked.refund_reference, "refund_reference", self.sale(original).total_minor, &gift_card, out
            )
            if code != RESULT_CODE_OK:
                return code

        # Apply.
        self.pricing.loyalty.open_return(self.sale(original).points)
        self.take_back(&asked, original, self.catalog.till(till).location, out)
        self.give_back_promotions(original, command.now_ns)
        (<SaleRow*>self.sales.edit(original)).refunded_minor += self.pricing.total_minor
        self.refund_tender(asked.refund_method, asked.refund_reference, gift_card)
        memcpy(original_id, self.sale(original).id, ID_BYTES)
        self.book(command, body_hash, till, original, SALE_IS_RETURN)
        self.write_receipt(out, command, till, no_span(), 0, span_at(original_id, ID_BYTES))
        return ok(out)

    cdef ReturnIn read_return(self, Span body) noexcept nogil:
        cdef ReturnIn asked
        cdef Reader reader = reader_of(body)
        memset(&asked, 0, sizeof(ReturnIn))
        asked.body = body
        while next_field(&reader):
            if reader.field == ReturnLinesRequest_till_id:
                asked.till = read_span(&reader)
            elif reader.field == ReturnLinesRequest_sale_id:
                asked.sale_id = read_span(&reader)
            elif reader.field == ReturnLinesRequest_receipt_till_id:
                asked.receipt_till = read_span(&reader)
            elif reader.field == ReturnLinesRequest_receipt_number:
                asked.receipt_number = read_int(&reader)
            elif reader.field == ReturnLinesRequest_refund_method:
                asked.refund_method = read_int(&reader)
            elif reader.field == ReturnLinesRequest_reason:
                asked.reason = read_span(&reader)
            elif reader.field == ReturnLinesRequest_refund_reference:
                asked.refund_reference = read_span(&reader)
            elif reader.field == ReturnLinesRequest_refund_policy:
                asked.refund_policy = read_int(&reader)
            elif reader.field == ReturnLinesRequest_original_sale:
                asked.original_sale = read_span(&reader)
            elif reader.field == ReturnLinesRequest_lines:
                read_span(&reader)
                asked.line_count += 1
            elif reader.field == ReturnLinesRequest_charge_ids:
                read_span(&reader)
                asked.charge_count += 1
            else:
                skip_field(&reader)
        asked.bad = reader.bad
        return asked

    cdef ReturnLineIn read_return_line(self, Span body) noexcept nogil:
        cdef ReturnLineIn line
        cdef Reader reader = reader_of(body)
        memset(&line, 0, sizeof(ReturnLineIn))
        while next_field(&reader):
            if reader.field == ReturnLine_line:
                line.line = read_int(&reader)
            elif reader.field == ReturnLine_qty_milli:
                line.qty_milli = read_int(&reader)
            elif reader.field == ReturnLine_scrapped:
                line.scrapped = read_int(&reader) != 0
            else:
                skip_field(&reader)
        line.bad = reader.bad
        return line

    cdef int check_return(self, ReturnIn* asked, Writer* out) noexcept nogil:
        cdef Span none = no_span()
        if asked.sale_id.size != 0 and asked.sale_id.size != ID_BYTES:
            return refuse(out, RESULT_CODE_FIELD_INVALID, "sale_id", 0, none, asked.sale_id.size, ID_BYTES)
        if not is_code_or_empty(asked.receipt_till):
            return refuse(
                out, RESULT_CODE_FIELD_INVALID, "receipt_till_id", 0, none, asked.receipt_till.size, CODE_BYTES_MAX
            )
        if not is_text(asked.reason, REASON_BYTES_MAX):
            return refuse(out, RESULT_CODE_FIELD_INVALID, "reason", 0, none, asked.reason.size, REASON_BYTES_MAX)
        if not TENDER_METHOD_UNSPECIFIED <= asked.refund_method <= TENDER_METHOD_ACCOUNT:
            return refuse(
                out, RESULT_CODE_FIELD_INVALID, "refund_method", 0, none, asked.refund_method, TENDER_METHOD_ACCOUNT
            )
        if not REFUND_POLICY_UNSPECIFIED <= asked.refund_policy <= REFUND_POLICY_REPRICE_KEPT:
            return refuse(
                out, RESULT_CODE_FIELD_INVALID, "refund_policy", 0, none, asked.refund_policy, REFUND_POLICY_REPRICE_KEPT
            )
        if asked.refund_policy == REFUND_POLICY_REPRICE_KEPT and asked.charge_count:  # they stay with what is kept
            return refuse(out, RESULT_CODE_FIELD_INVALID, "charge_ids", 0, none, asked.charge_count, 0)
        if not is_code_or_empty(asked.refund_reference):
            return refuse(
                out, RESULT_CODE_FIELD_INVALID, "refund_reference", 0, none, asked.refund_reference.size, CODE_BYTES_MAX
            )
        if asked.line_count > LINES_MAX:
            return refuse(out, RESULT_CODE_TOO_MANY, "lines", 0, none, asked.line_count, LINES_MAX)
        if asked.charge_count > CHARGES_MAX:
            return refuse(out, RESULT_CODE_TOO_MANY, "charge_ids", 0, none, asked.charge_count, CHARGES_MAX)
        if asked.line_count == 0 and asked.charge_count == 0:
            return refuse(out, RESULT_CODE_LINES_EMPTY, "lines", 0, none, 0, 1)
        return RESULT_CODE_OK

    cdef int64_t find_original(self, ReturnIn* asked) noexcept nogil:
        """The sale to return from, by id or by receipt; a return is not one."""
        cdef int64_t row, till
        if asked.sale_id.size:
            row = self.find(<const uint8_t*>asked.sale_id.data, hash_bytes(asked.sale_id.data, ID_BYTES))
        else:
            till = self.catalog.find_till(asked.receipt_till)
            row = self.find_receipt(till, asked.receipt_number) if till >= 0 else -1
        return -1 if row >= 0 and self.sale(row).flags & SALE_IS_RETURN else row

    cdef int check_return_line(
        self, ReturnLineIn* line, int64_t index, int64_t original, Writer* out
    ) noexcept nogil:
        cdef const SaleRow* sale = self.sale(original)
        cdef SaleLineRow* line_row
        cdef Span code
        cdef int64_t open_milli
        if line.bad:
            return MALFORMED
        if line.qty_milli <= 0:
            return refuse(out, RESULT_CODE_QTY_INVALID, "lines.qty_milli", index, no_span(), line.qty_milli, 1)
        if not 0 <= line.line < sale.line_count:
            return refuse(
                out, RESULT_CODE_LINE_UNKNOWN, "lines.line", index, no_span(), line.line, <int64_t>sale.line_count - 1
            )
        line_row = <SaleLineRow*>self.lines.row(<int64_t>sale.first_line + line.line)
        code = self.catalog.item_code(line_row.item)
        if line.qty_milli % 1000 and line_row.qty_milli % 1000 == 0 and not (
            self.catalog.item(line_row.item).flags & (ITEM_MEASURED | ITEM_KIT) == ITEM_MEASURED
        ):  # sold by the piece; what was sold as a part may come back as one
            return refuse(out, RESULT_CODE_QTY_INVALID, "lines.qty_milli", index, code, line.qty_milli, 1000)
        # The same line may stand several times in one return: count what comes before, too.
        open_milli = line_row.qty_milli - line_row.returned_milli - self.pricing.shares[line.line]
        if line.qty_milli > open_milli:
            return refuse(out, RESULT_CODE_RETURN_EXCEEDS, "lines.qty_milli", index, code, line.qty_milli, open_milli)
        self.pricing.shares[line.line] = self.pricing.shares[line.line] + line.qty_milli
        return RESULT_CODE_OK

    cdef int check_return_charge(self, Span id, int64_t index, int64_t original, Writer* out) noexcept nogil:
        """Take a charge of the sale into the refund, unless it is unknown or was paid back before."""
        cdef int64_t row, at
        if not is_code(id):
            return refuse(out, RESULT_CODE_FIELD_INVALID, "charge_ids", index, id, id.size, CODE_BYTES_MAX)
        row = self.find_charge(original, id)
        if row < 0:
            return refuse(out, RESULT_CODE_LINE_UNKNOWN, "charge_ids", index, id, 0, 0)
        if (<SaleChargeRow*>self.charges.row(row)).returned:
            return refuse(out, RESULT_CODE_RETURN_EXCEEDS, "charge_ids", index, id, 1, 0)
        for at in range(self.pricing.charge_count):
            if span_equal(self.pricing.charges[at].id, id):
                return refuse(out, RESULT_CODE_RETURN_EXCEEDS, "charge_ids", index, id, 2, 1)
        self.refund_charge(<SaleChargeRow*>self.charges.row(row))
        return RESULT_CODE_OK

    cdef void take_back(self, ReturnIn* asked, int64_t original, int64_t location, Writer* out) noexcept nogil:
        """Mark what comes back as returned, take its points back, and put its goods in at `location`."""
        cdef Reader reader = reader_of(asked.body)
        cdef ReturnLineIn line
        cdef SaleLineRow* line_row
        cdef int64_t row
        while next_field(&reader):
            if reader.field == ReturnLinesRequest_charge_ids:
                row = self.find_charge(original, read_span(&reader))
                (<SaleChargeRow*>self.charges.edit(row)).returned = 1
                continue
            if reader.field != ReturnLinesRequest_lines:
                skip_field(&reader)
                continue
            line = self.read_return_line(read_span(&reader))
            row = <int64_t>self.sale(original).first_line + line.line
            line_row = <SaleLineRow*>self.lines.edit(row)
            self.pricing.loyalty.take_back(
                self.sale(original).points, line.line, line_row.returned_milli, line_row.returned_milli + line.qty_milli,
                line_row.qty_milli,
            )
            line_row.returned_milli += line.qty_milli
            if line.scrapped:
                continue
            if self.sale(original).flags & SALE_HAS_KITS and self.kit_of_line(row) >= 0:
                self.put_kits_back(row, location, line.qty_milli, out)
            elif not self.catalog.item(line_row.item).flags & ITEM_UNTRACKED:
                self.stock.put_back(location, line_row.item, line.qty_milli)

    cdef int price_kept(self, ReturnIn* asked, int64_t original, int64_t* total_minor, Writer* out) noexcept nogil:
        """What the sale would have cost without all that came back before and comes back now.

        Charges that were paid back are no part of it.
        """
        cdef const SaleRow* sale = self.sale(original)
        cdef SaleLineRow* line_row
        cdef Reader reader
        cdef ReturnLineIn line
        cdef SellIn sold
        cdef PriceScope scope
        cdef int64_t at, index = 0
        cdef int code
        # A batch that was made without the journal may have another sale here, or none.  For a caller's own the hash
        # would prove nothing (body_hash.pxd): what comes from callers went through native/originals.pyx.
        if hash_body(Command_sell, asked.original_sale.data, asked.original_sale.size) != sale.body_hash or not (
            0 <= count_field(asked.original_sale, SellRequest_lines) <= <int64_t>sale.line_count
        ):
            return refuse(
                out, RESULT_CODE_FIELD_INVALID, "original_sale", 0, no_span(), asked.original_sale.size, 0
            )
        memset(self.pricing.shares, 0, sale.line_count * sizeof(int64_t))
        reader = reader_of(asked.body)
        while next_of(&reader, ReturnLinesRequest_lines):
            line = self.read_return_line(read_span(&reader))
            code = self.check_return_line(&line, index, original, out)
            if code != RESULT_CODE_OK:
                return code
            index += 1
        for at in range(sale.line_count):
            line_row = <SaleLineRow*>self.lines.row(<int64_t>sale.first_line + at)
            self.sold_milli[at] = line_row.qty_milli
            self.kept_milli[at] = line_row.qty_milli - line_row.returned_milli - self.pricing.shares[at]
        self.kept.size = 0
        if not write_kept(
            &self.kept, asked.original_sale, self.sold_milli, self.kept_milli, self.catalog, self.codes
        ):
            total_minor[0] = self.charges_paid(original, False)
            return RESULT_CODE_OK
        sold = self.read_sell(asked.original_sale)
        scope = self.scope_of(&sold, sale.location, sale.booked_at_ns)
        if sold.has_attributes or sold.currency.size:
            code = self.price_terms(&sold, asked.original_sale, &scope, out)
            if code != RESULT_CODE_OK:
                return code
        scope.redeem_minor = self.pricing.loyalty.redeemed_on_kept(
            sale.points, sale.line_count, self.kept_milli, self.sold_milli
        )
        self.pricing.book.see(scope.ask.at_ns)
        self.pricing.book.set_aside(original, sale.first_promotion, sale.promotion_count)
        code = self.pricing.price(span_at(self.kept.data, self.kept.size), SellRequest_lines, &scope, out)
        self.pricing.book.put_back()
        total_minor[0] = self.pricing.total_minor - self.charges_paid(original, True)
        return code

    cdef void give_back_promotions(self, int64_t original, int64_t now_ns) noexcept nogil:
        """When the last unit of a sale has come back, its promotions count it as cancelled."""
        cdef const SaleRow* sale = self.sale(original)
        cdef int64_t at
        cdef SaleLineRow* line
        if sale.promotion_count == 0:
            return
        for at in range(sale.line_count):
            line = <SaleLineRow*>self.lines.row(<int64_t>sale.first_line + at)
            if line.returned_milli < line.qty_milli:
                return
        self.pricing.book.see(now_ns)
        self.pricing.book.give_back(sale.first_promotion, sale.promotion_count)

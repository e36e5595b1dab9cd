"""Sell and return: where price, stock and money meet and a receipt gets its number.

The answer of a sale holds its receipt, and the journal holds the answer, so a receipt is stored
once.  Here stays what a return needs: how much of each line was sold, returned and paid.
"""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport abort, free, malloc, realloc
from libc.string cimport memcmp, memcpy, memset

from ringup.native.catalog cimport (
    ITEM_KIT,
    ITEM_MEASURED,
    ITEM_UNTRACKED,
    LOCATION_DISABLED,
    LOCATION_SHORTFALL_ALLOWED,
    SYMBOL_CHANNEL,
    SYMBOL_CHARGE,
    SYMBOL_CUSTOMER_GROUP,
    TAX_INCLUSIVE,
    Catalog,
    SymbolRow,
    TaxSetRow,
    TillRow,
)
from ringup.native.command cimport MALFORMED, Command, is_code, is_code_or_empty, is_text, ok, refuse
from ringup.native.contract cimport (
    REFUND_POLICY_REPRICE_KEPT,
    REFUND_POLICY_UNSPECIFIED,
    RESULT_CODE_AMOUNT_INVALID,
    RESULT_CODE_AMOUNT_TOO_LARGE,
    RESULT_CODE_FIELD_INVALID,
    RESULT_CODE_GIFT_CARD_SHORT,
    RESULT_CODE_HOLD_UNKNOWN,
    RESULT_CODE_LINE_UNKNOWN,
    RESULT_CODE_LINES_EMPTY,
    RESULT_CODE_LOCATION_DISABLED,
    RESULT_CODE_OK,
    RESULT_CODE_QTY_INVALID,
    RESULT_CODE_QTY_TOO_LARGE,
    RESULT_CODE_RETURN_EXCEEDS,
    RESULT_CODE_SALE_UNKNOWN,
    RESULT_CODE_STOCK_INSUFFICIENT,
    RESULT_CODE_TENDER_EXCEEDED,
    RESULT_CODE_TENDER_SHORT,
    RESULT_CODE_TILL_UNKNOWN,
    RESULT_CODE_TIME_INVALID,
    RESULT_CODE_TOO_MANY,
    RESULT_CODE_TOTAL_DIFFERS,
    TENDER_METHOD_ACCOUNT,
    TENDER_METHOD_CASH,
    TENDER_METHOD_GIFT_CARD,
    TENDER_METHOD_UNSPECIFIED,
    Command_sell,
    GetReceiptRequest_number,
    GetReceiptRequest_sale_id,
    GetReceiptRequest_till_id,
    Receipt_basket,
    Receipt_booked_at_ns,
    Receipt_cash_rounding_minor,
    Receipt_change_minor,
    Receipt_customer_id,
    Receipt_location_id,
    Receipt_number,
    Receipt_original_sale_id,
    Receipt_sale_id,
    Receipt_sold_at_ns,
    Receipt_tenders,
    Receipt_till_id,
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
    ReturnLinesResponse_kit_parts,
    SellRequest_channel_id,
    SellRequest_customer_group_id,
    SellRequest_customer_id,
    SellRequest_expected_total_minor,
    SellRequest_hold_ids,
    SellRequest_lines,
    SellRequest_price_attributes,
    SellRequest_redeem,
    SellRequest_sold_at_ns,
    SellRequest_tenders,
    SellRequest_till_id,
    SellResponse_kit_parts,
    SellResponse_receipt,
    SellResponse_shortfalls,
    SellResponse_takes,
    Shortfall_free_milli,
    Shortfall_item_id,
    Take_item_id,
    Take_kit_id,
    Take_location_id,
    Take_lot_id,
    Take_qty_milli,
    Tender_amount_minor,
    Tender_method,
    Tender_reference,
)
from ringup.native.embedded_codes cimport EmbeddedCodes
from ringup.native.gift_cards cimport GiftCards
from ringup.native.index cimport hash_bytes, hash_int, index_add, index_free, index_next, index_reserve, index_start
from ringup.native.limits cimport (
    CODE_BYTES_MAX,
    ID_BYTES,
    LINES_MAX,
    QTY_MILLI_MAX,
    REASON_BYTES_MAX,
    TAXES_PER_CLASS_MAX,
    TENDERS_MAX,
    TOTAL_MINOR_MAX,
)
from ringup.native.money cimport HALF_UP, allocate, multiply_divide, share_until
from ringup.native.pricing cimport CHARGES_MAX, ChargeLine, Line, Pricing, PriceScope
from ringup.native.pricing_rates cimport TaxPlace
from ringup.native.reprice cimport write_kept
from ringup.native.replies cimport reply_at_of
from ringup.native.settings cimport SettingsTable
from ringup.native.spill cimport table_blocks_let_go
from ringup.native.stock cimport Demand, Stock
from ringup.native.stock_positions cimport PositionRow
from ringup.native.table cimport Table
from ringup.native.tender cimport NOT_GIVEN, CashRule, Payment, Settlement, round_cash, settle_payments
from ringup.native.wire cimport (
    Reader,
    Span,
    Writer,
    begin_message,
    end_message,
    next_field,
    read_int,
    read_span,
    reader_of,
    skip_field,
    span_at,
    span_equal,
    write_int,
    write_span,
    writer_free,
)


cdef inline uint64_t _hash_receipt(int64_t till, int64_t number) noexcept nogil:
    return hash_int((<uint64_t>till << 40) ^ <uint64_t>number)


cdef void _shares(
    const int64_t* amounts, int64_t* shares, int64_t count, int64_t part_milli, int64_t whole_milli
) noexcept nogil:
    """Share what several amounts are together, and that over the amounts, so that the customer sees equal parts."""
    cdef int64_t i, sum_ = 0
    for i in range(count):
        if amounts[i] < 0:
            break
        sum_ += amounts[i]
    else:
        allocate(share_until(sum_, part_milli, whole_milli), amounts, shares, count)
        return
    for i in range(count):
        shares[i] = share_until(amounts[i], part_milli, whole_milli)


cdef class Sales:
    """The book of sales and returns."""

    def __cinit__(
        self, Catalog catalog, Stock stock, Pricing pricing, SettingsTable settings, GiftCards gift_cards,
        EmbeddedCodes codes,
    ):
        self.catalog, self.stock, self.pricing, self.settings = catalog, stock, pricing, settings
        self.gift_cards, self.codes = gift_cards, codes
        self.sold_milli = <int64_t*>malloc(LINES_MAX * sizeof(int64_t))
        self.kept_milli = <int64_t*>malloc(LINES_MAX * sizeof(int64_t))
        self.sales = Table("sales", sizeof(SaleRow))
        self.lines = Table("sale_lines", sizeof(SaleLineRow))
        self.sale_kits = Table("sale_kits", sizeof(SaleKitRow))
        self.taxes = Table("sale_taxes", sizeof(int64_t))
        self.extras = Table("sale_line_extras", sizeof(SaleExtraRow))
        self.charges = Table("sale_charges", sizeof(SaleChargeRow))
        self.tables = [self.sales, self.lines, self.taxes, self.extras, self.charges, self.sale_kits]
        self.demands = <Demand*>malloc(LINES_MAX * sizeof(Demand))
        self.demand_capacity = LINES_MAX
        self.holds = <int64_t*>malloc(HOLDS_PER_SALE_MAX * sizeof(int64_t))
        if self.demands == NULL or self.holds == NULL or self.sold_milli == NULL or self.kept_milli == NULL:
            raise MemoryError

    def __dealloc__(self):
        free(self.demands)
        free(self.holds)
        free(self.sold_milli)
        free(self.kept_milli)
        writer_free(&self.kept)
        index_free(&self.id_index)
        index_free(&self.receipt_index)

    cdef void rebuild(self) noexcept nogil:
        cdef int64_t row
        index_reserve(&self.id_index, self.sales.count)
        index_reserve(&self.receipt_index, self.sales.count)
        for row in range(self.sales.count):
            self.index_sale(row)
            if row % ROWS_TO_LET_GO == ROWS_TO_LET_GO - 1:
                table_blocks_let_go()

    cdef void index_sale(self, int64_t row) noexcept nogil:
        cdef const SaleRow* sale = self.sale(row)
        index_add(&self.id_index, hash_bytes(sale.id, ID_BYTES), row)
        index_add(&self.receipt_index, _hash_receipt(sale.till, sale.receipt_number), row)

    cdef int64_t find(self, const uint8_t* id) noexcept nogil:
        """The sale or return booked by the command with this id, or -1."""
        cdef uint64_t hash = hash_bytes(id, ID_BYTES)
        cdef int64_t cursor = index_start(&self.id_index, hash)
        cdef int64_t row = index_next(&self.id_index, hash, &cursor)
        while row >= 0 and memcmp(self.sale(row).id, id, ID_BYTES) != 0:
            row = index_next(&self.id_index, hash, &cursor)
        return row

    cdef int64_t find_receipt(self, int64_t till, int64_t number) noexcept nogil:
        """The document with this number of this till (a row), or -1."""
        cdef uint64_t hash = _hash_receipt(till, number)
        cdef int64_t cursor = index_start(&self.receipt_index, hash)
        cdef int64_t row = index_next(&self.receipt_index, hash, &cursor)
        while row >= 0 and not (self.sale(row).till == till and <int64_t>self.sale(row).receipt_number == number):
            row = index_next(&self.receipt_index, hash, &cursor)
        return row

    # Sell

    cdef int sell(self, Command* command, uint64_t body_hash, Writer* out) noexcept nogil:
        cdef SellIn asked = self.read_sell(command.body)
        cdef PriceScope scope
        cdef int64_t till, location, demand_count, failed = 0, found = 0, row, first = 0, count = 0
        cdef SaleRow* sale
        cdef bint shortfall_allowed
        cdef int code

        # Check: reads only, first failure wins.
        if asked.bad:
            return MALFORMED
        code = self.check_sell(&asked, command.now_ns, out)
        if code != RESULT_CODE_OK:
            return code
        till = self.catalog.find_till(asked.till)
        if till < 0:
            return refuse(out, RESULT_CODE_TILL_UNKNOWN, "till_id", 0, asked.till, 0, 0)
        location = self.catalog.till(till).location
        if self.catalog.location(location).flags & LOCATION_DISABLED:
            return refuse(out, RESULT_CODE_LOCATION_DISABLED, "till_id", 0, self.catalog.location_code(location), 0, 0)
        code = self.check_gift_cards(out)
        if code != RESULT_CODE_OK:
            return code
        scope = self.scope_of(&asked, location, command.now_ns)
        scope.customer, scope.redeem = asked.customer, asked.redeem
        if asked.has_attributes:
            code = self.pricing.read_attributes(command.body, SellRequest_price_attributes, &scope, out)
            if code != RESULT_CODE_OK:
                return code
        code = self.pricing.price(command.body, SellRequest_lines, &scope, out)
        if code != RESULT_CODE_OK:
            return code
        if asked.expected_total_minor and asked.expected_total_minor != self.pricing.total_minor:
            return refuse(
                out, RESULT_CODE_TOTAL_DIFFERS, "expected_total_minor", 0, asked.till, self.pricing.total_minor,
                asked.expected_total_minor,
            )
        if self.stock.kits.count:
            code = self.check_kits(out)
            if code != RESULT_CODE_OK:
                return code
        demand_count = self.demand_of_basket()
        shortfall_allowed = (self.catalog.location(location).flags & LOCATION_SHORTFALL_ALLOWED) != 0
        code = self.stock.check_take(
            location, self.demands, demand_count, self.holds, asked.hold_count, shortfall_allowed, command.now_ns,
            &failed, &found,
        )
        if code != RESULT_CODE_OK:
            return self.refuse_stock(code, failed, found, out)
        code = self.settle(out)
        if code != RESULT_CODE_OK:
            return code
        code = self.check_balances(out)
        if code != RESULT_CODE_OK:
            return code

        # Apply: from here on the sale must succeed.
        self.stock.take(location, self.demands, demand_count, self.holds, asked.hold_count)
        self.spend_gift_cards()
        row = self.book(command, body_hash, till, -1, 0)
        self.keep_charges(row)
        if self.stock.kits.count:
            self.book_kits(<SaleRow*>self.sales.edit(row), out)
        if self.pricing.promoted:
            self.pricing.book.take(&self.pricing.basket, asked.customer, row, &first, &count)
            sale = <SaleRow*>self.sales.edit(row)
            sale.first_promotion = <uint32_t>first
            sale.promotion_count = <uint32_t>count
        if self.pricing.loyalty.opened:
            (<SaleRow*>self.sales.edit(row)).points = self.pricing.loyalty.book()
        self.write_receipt(out, command, till, asked.customer, asked.sold_at_ns, span_at(NULL, 0))
        if shortfall_allowed:
            self.write_shortfalls(out, location, demand_count)
        self.write_takes(out)
        return ok(out)

    cdef PriceScope scope_of(self, SellIn* asked, int64_t location, int64_t now_ns) noexcept nogil:
        """Where, how and when a sale is priced; whose points it redeems is another matter."""
        cdef PriceScope scope
        memset(&scope, 0, sizeof(PriceScope))
        scope.ask.location = location
        scope.ask.at_ns = asked.sold_at_ns if asked.sold_at_ns else now_ns
        scope.ask.channel = self.catalog.find_symbol(SYMBOL_CHANNEL, asked.channel) if asked.channel.size else -1
        scope.ask.customer_group = (
            self.catalog.find_symbol(SYMBOL_CUSTOMER_GROUP, asked.customer_group) if asked.customer_group.size else -1
        )
        return scope

    cdef SellIn read_sell(self, Span body) noexcept nogil:
        cdef SellIn asked
        cdef Reader reader = reader_of(body)
        cdef Span id
        cdef int64_t hold
        memset(&asked, 0, sizeof(SellIn))
        self.tender_count = 0
        while next_field(&reader):
            if reader.field == SellRequest_till_id:
                asked.till = read_span(&reader)
            elif reader.field == SellRequest_channel_id:
                asked.channel = read_span(&reader)
            elif reader.field == SellRequest_customer_id:
                asked.customer = read_span(&reader)
            elif reader.field == SellRequest_customer_group_id:
                asked.customer_group = read_span(&reader)
            elif reader.field == SellRequest_expected_total_minor:
                asked.expected_total_minor = read_int(&reader)
            elif reader.field == SellRequest_sold_at_ns:
                asked.sold_at_ns = read_int(&reader)
            elif reader.field == SellRequest_redeem:
                asked.redeem = read_int(&reader) != 0
            elif reader.field == SellRequest_price_attributes:
                read_span(&reader)
                asked.has_attributes = True
            elif reader.field == SellRequest_tenders:
                asked.bad = not self.read_tender(read_span(&reader)) or asked.bad
                asked.tender_count += 1
            elif reader.field == SellRequest_hold_ids:
                id = read_span(&reader)
                hold = self.stock.find_hold(<const uint8_t*>id.data) if id.size == ID_BYTES else -1
                asked.hold_bad = asked.hold_bad or hold < 0
                if asked.hold_count < HOLDS_PER_SALE_MAX:
                    self.holds[asked.hold_count] = hold
                asked.hold_count += 1
            else:
                skip_field(&reader)
        asked.bad = asked.bad or reader.bad
        return asked

    cdef bint read_tender(self, Span body) noexcept nogil:
        cdef TenderIn tender
        cdef Reader reader = reader_of(body)
        memset(&tender, 0, sizeof(TenderIn))
        while next_field(&reader):
            if reader.field == Tender_method:
                tender.method = read_int(&reader)
            elif reader.field == Tender_amount_minor:
                tender.amount_minor = read_int(&reader)
            elif reader.field == Tender_reference:
                tender.reference = read_span(&reader)
            else:
                skip_field(&reader)
        if self.tender_count < TENDERS_MAX:
            self.tenders[self.tender_count] = tender
            self.tender_count += 1
        return not reader.bad

    cdef int check_sell(self, SellIn* asked, int64_t now_ns, Writer* out) noexcept nogil:
        """Check the shape of a sale apart from its lines."""
        cdef Span none = span_at(NULL, 0)
        cdef int64_t at
        cdef TenderIn* tender
        if not is_code_or_empty(asked.channel):
            return refuse(out, RESULT_CODE_FIELD_INVALID, "channel_id", 0, none, asked.channel.size, CODE_BYTES_MAX)
        if not is_code_or_empty(asked.customer):
            return refuse(out, RESULT_CODE_FIELD_INVALID, "customer_id", 0, none, asked.customer.size, CODE_BYTES_MAX)
        if not is_code_or_empty(asked.customer_group):
            return refuse(
                out, RESULT_CODE_FIELD_INVALID, "customer_group_id", 0, none, asked.customer_group.size, CODE_BYTES_MAX
            )
        if asked.redeem and asked.customer.size == 0:  # whose points?
            return refuse(out, RESULT_CODE_FIELD_INVALID, "redeem", 0, none, 0, 1)
        if asked.tender_count > TENDERS_MAX:
            return refuse(out, RESULT_CODE_TOO_MANY, "tenders", 0, none, asked.tender_count, TENDERS_MAX)
        if asked.hold_count > HOLDS_PER_SALE_MAX:
            return refuse(out, RESULT_CODE_TOO_MANY, "hold_ids", 0, none, asked.hold_count, HOLDS_PER_SALE_MAX)
        for at in range(self.tender_count):
            tender = &self.tenders[at]
            if not TENDER_METHOD_UNSPECIFIED < tender.method <= TENDER_METHOD_ACCOUNT:
                return refuse(
                    out, RESULT_CODE_FIELD_INVALID, "tenders.method", at, none, tender.method, TENDER_METHOD_ACCOUNT
                )
            if not is_code_or_empty(tender.reference):
                return refuse(
                    out, RESULT_CODE_FIELD_INVALID, "tenders.reference", at, none, tender.reference.size, CODE_BYTES_MAX
                )
            if tender.amount_minor <= 0:
                return refuse(out, RESULT_CODE_AMOUNT_INVALID, "tenders.amount_minor", at, none, tender.amount_minor, 1)
            if tender.amount_minor > TOTAL_MINOR_MAX:
                return refuse(
                    out, RESULT_CODE_AMOUNT_TOO_LARGE, "tenders.amount_minor", at, none, tender.amount_minor, TOTAL_MINOR_MAX
                )
        if not 0 <= asked.sold_at_ns <= now_ns + SOLD_AHEAD_NS_MAX:
            return refuse(
                out, RESULT_CODE_TIME_INVALID, "sold_at_ns", 0, none, asked.sold_at_ns, now_ns + SOLD_AHEAD_NS_MAX
            )
        if asked.hold_bad:
            return refuse(out, RESULT_CODE_HOLD_UNKNOWN, "hold_ids", 0, none, 0, 0)
        return RESULT_CODE_OK

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

    cdef int64_t kit_of_line(self, int64_t line) noexcept nogil:
        """The version of the kit that a line (row) sold, or -1."""
        cdef int64_t low = 0, high = self.sale_kits.count, middle
        while low < high:
            middle = (low + high) // 2
            if (<SaleKitRow*>self.sale_kits.row(middle)).line < line:
                low = middle + 1
            else:
                high = middle
        if low < self.sale_kits.count and (<SaleKitRow*>self.sale_kits.row(low)).line == line:
            return (<SaleKitRow*>self.sale_kits.row(low)).kit
        return -1

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
            return refuse(out, code, "hold_ids", failed, span_at(NULL, 0), 0, 0)
        item = self.demands[failed].item
        line = 0
        while not self.line_takes(line, item):
            line += 1
        if self.pricing.lines[line].promotion >= 0:
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

    cdef int settle(self, Writer* out) noexcept nogil:
        """Check the tenders against the total; sets the cash rounding and the change.

        Only the part paid in cash is rounded to the coins; only cash gives change.
        """
        cdef int64_t total = self.pricing.total_minor, cash = 0, other = 0, at
        cdef bint has_cash = False
        cdef Span none = span_at(NULL, 0)
        cdef CashRule rule = self.cash_rule()
        cdef Payment[2] payments
        cdef Settlement settled
        for at in range(self.tender_count):
            if self.tenders[at].method == TENDER_METHOD_CASH:
                cash += self.tenders[at].amount_minor
                has_cash = True
            else:
                other += self.tenders[at].amount_minor
        if other > total:
            return refuse(out, RESULT_CODE_TENDER_EXCEEDED, "tenders.amount_minor", 0, none, other, total)
        payments[0].cash, payments[0].amount_minor, payments[0].tendered_minor = False, other, NOT_GIVEN
        payments[1].cash, payments[1].amount_minor, payments[1].tendered_minor = True, NOT_GIVEN, cash
        settled = settle_payments(payments, 2 if has_cash else 1, total, &rule)
        if cash + other < settled.due_minor:
            return refuse(
                out, RESULT_CODE_TENDER_SHORT, "tenders.amount_minor", 0, none, cash + other, settled.due_minor
            )
        self.cash_rounding_minor, self.change_minor = settled.rounding_minor, settled.change_minor
        return RESULT_CODE_OK

    cdef CashRule cash_rule(self) noexcept nogil:
        cdef CashRule rule
        rule.increment_minor = self.settings.now().cash_increment_minor
        rule.rounding = <int>self.settings.now().cash_rounding
        return rule

    cdef int check_gift_cards(self, Writer* out) noexcept nogil:
        """Find the gift cards among the tenders."""
        cdef int64_t at
        cdef int code
        for at in range(self.tender_count):
            if self.tenders[at].method == TENDER_METHOD_GIFT_CARD:
                code = self.gift_cards.check_pays(
                    self.tenders[at].reference, "tenders.reference", at, &self.tenders[at].gift_card, out
                )
                if code != RESULT_CODE_OK:
                    return code
        return RESULT_CODE_OK

    cdef int check_balances(self, Writer* out) noexcept nogil:
        """Whether each gift card has what it is to pay, also where it stands in several tenders."""
        cdef int64_t at, other, asked, balance
        for at in range(self.tender_count):
            if self.tenders[at].method != TENDER_METHOD_GIFT_CARD:
                continue
            asked = 0
            for other in range(at + 1):
                if self.tenders[other].method == TENDER_METHOD_GIFT_CARD and (
                    self.tenders[other].gift_card == self.tenders[at].gift_card
                ):
                    asked += self.tenders[other].amount_minor
            balance = self.gift_cards.balance_minor(self.tenders[at].gift_card)
            if asked > balance:
                return refuse(
                    out, RESULT_CODE_GIFT_CARD_SHORT, "tenders.amount_minor", at, self.tenders[at].reference, balance,
                    asked,
                )
        return RESULT_CODE_OK

    cdef void spend_gift_cards(self) noexcept nogil:
        cdef int64_t at
        for at in range(self.tender_count):
            if self.tenders[at].method == TENDER_METHOD_GIFT_CARD:
                self.gift_cards.spend(self.tenders[at].gift_card, self.tenders[at].amount_minor)

    cdef int64_t book(
        self, Command* command, uint64_t body_hash, int64_t till, int64_t original, uint32_t flags
    ) noexcept nogil:
        """Write the priced basket to the book under the till's next receipt number."""
        cdef TillRow* till_row = <TillRow*>self.catalog.tills.edit(till)
        cdef int64_t row = self.sales.append(), at, first = self.lines.append_many(self.pricing.line_count)
        cdef SaleRow* sale = <SaleRow*>self.sales.edit(row)
        cdef SaleLineRow* line_row
        cdef SaleExtraRow* extra
        cdef Line* line
        cdef const TaxPlace* taxed
        cdef int64_t untaken
        till_row.last_receipt_number += 1
        memcpy(sale.id, command.id, ID_BYTES)
        sale.body_hash = body_hash
        sale.reply_at = reply_at_of(command.sequence, command.index)
        sale.receipt_number = till_row.last_receipt_number
        sale.booked_at_ns = command.now_ns
        sale.total_minor = self.pricing.total_minor
        sale.till = <uint32_t>till
        sale.location = till_row.location
        sale.first_line = <uint32_t>first
        sale.line_count = <uint32_t>self.pricing.line_count
        sale.original = <uint32_t>(original + 1)
        sale.flags = flags
        for at in range(self.pricing.line_count):
            line = &self.pricing.lines[at]
            line_row = <SaleLineRow*>self.lines.edit(first + at)
            line_row.item = <uint32_t>line.item
            line_row.tax_set = <uint32_t>(line.tax_set + 1)
            line_row.qty_milli = line.qty_milli
            line_row.total_minor = line.total_minor
            untaken = 0
            if line.tax_set >= 0:
                taxed = &self.pricing.rates.places[line.place]
                line_row.tax_minor = taxed.included + taxed.added
                untaken = taxed.amount - line.total_minor
                if self.pricing.rates.classes[taxed.tax_class].rate_count > 1:
                    line_row.first_tax = self.keep_taxes(taxed)
            if line.deposit_minor or untaken:
                line_row.extra = <uint32_t>(self.extras.append() + 1)
                extra = <SaleExtraRow*>self.extras.edit(line_row.extra - 1)
                extra.deposit_minor = line.deposit_minor
                extra.untaken_minor = untaken
        self.index_sale(row)
        return row

    cdef uint32_t keep_taxes(self, const TaxPlace* taxed) noexcept nogil:
        """Keep each of several taxes of a line or charge; returns row + 1 of the first."""
        cdef int64_t count = self.pricing.rates.classes[taxed.tax_class].rate_count, at
        cdef int64_t first = self.taxes.append_many(count)
        for at in range(count):
            (<int64_t*>self.taxes.edit(first + at))[0] = self.pricing.rates.parts[taxed.first + at]
        return <uint32_t>(first + 1)

    cdef void keep_charges(self, int64_t sale) noexcept nogil:
        cdef int64_t at, row
        cdef ChargeLine* charge
        cdef SaleChargeRow* kept
        cdef const TaxPlace* taxed
        for at in range(self.pricing.charge_count):
            charge = &self.pricing.charges[at]
            row = self.charges.append()
            kept = <SaleChargeRow*>self.charges.edit(row)
            kept.sale = <uint32_t>sale
            kept.charge = <uint32_t>self.catalog.intern_symbol(SYMBOL_CHARGE, charge.id)
            taxed = &self.pricing.rates.places[charge.place]
            kept.tax_set = <uint32_t>(taxed.tax_class + 1)
            kept.amount_minor = charge.amount_minor
            kept.taxed_minor = taxed.amount
            kept.tax_minor = taxed.included + taxed.added
            if kept.tax_set and self.pricing.rates.classes[taxed.tax_class].rate_count > 1:
                kept.first_tax = self.keep_taxes(taxed)

    cdef void write_receipt(
        self, Writer* out, Command* command, int64_t till, Span customer, int64_t sold_at_ns, Span original
    ) noexcept nogil:
        cdef int64_t mark = begin_message(out, SellResponse_receipt), inner, at
        cdef TillRow* till_row = self.catalog.till(till)
        write_span(out, Receipt_sale_id, span_at(command.id, ID_BYTES))
        write_span(out, Receipt_till_id, self.catalog.text(till_row.code))
        write_int(out, Receipt_number, <int64_t>till_row.last_receipt_number)
        write_span(out, Receipt_location_id, self.catalog.location_code(till_row.location))
        write_int(out, Receipt_booked_at_ns, command.now_ns)
        self.pricing.write_basket(out, Receipt_basket, False)
        for at in range(self.tender_count):
            inner = begin_message(out, Receipt_tenders)
            write_int(out, Tender_method, self.tenders[at].method)
            write_int(out, Tender_amount_minor, self.tenders[at].amount_minor)
            write_span(out, Tender_reference, self.tenders[at].reference)
            end_message(out, inner)
        write_int(out, Receipt_cash_rounding_minor, self.cash_rounding_minor)
        write_int(out, Receipt_change_minor, self.change_minor)
        write_span(out, Receipt_original_sale_id, original)
        write_span(out, Receipt_customer_id, customer)
        write_int(out, Receipt_sold_at_ns, sold_at_ns)
        end_message(out, mark)

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

    # Return

    cdef int return_lines(self, Command* command, uint64_t body_hash, Writer* out) noexcept nogil:
        cdef ReturnIn asked = self.read_return(command.body)
        cdef Reader reader = reader_of(command.body)
        cdef ReturnLineIn line
        cdef int64_t till, original, index = 0, row, gift_card = -1, kept_minor = 0, left_minor
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
        while next_field(&reader):
            if reader.field == ReturnLinesRequest_lines:
                line = self.read_return_line(read_span(&reader))
                code = self.check_return_line(&line, index, original, out)
                if code != RESULT_CODE_OK:
                    return code
                line_row = <SaleLineRow*>self.lines.row(<int64_t>self.sale(original).first_line + line.line)
                self.refund_line(
                    line_row, line_row.returned_milli + self.pricing.shares[line.line] - line.qty_milli, line.qty_milli
                )
                index += 1
            else:
                skip_field(&reader)
        reader = reader_of(command.body)
        while next_field(&reader):
            if reader.field == ReturnLinesRequest_charge_ids:
                code = self.check_return_charge(read_span(&reader), self.pricing.charge_count, original, out)
                if code != RESULT_CODE_OK:
                    return code
            else:
                skip_field(&reader)
        self.pricing.total_refund()
        if self.pricing.total_minor < 0:  # a charge below zero, paid back without what it was for
            return refuse(
                out, RESULT_CODE_AMOUNT_INVALID, "charge_ids", 0, span_at(NULL, 0), self.pricing.total_minor, 0
            )
        # Policies may differ from return to return: together they never give back more than was paid.
        left_minor = self.sale(original).total_minor - self.sale(original).refunded_minor
        if asked.refund_policy == REFUND_POLICY_REPRICE_KEPT:
            self.scale_refund(max(<int64_t>0, left_minor - kept_minor))
        elif self.pricing.total_minor > left_minor:
            self.scale_refund(left_minor)
        if asked.refund_method == TENDER_METHOD_GIFT_CARD:
            code = self.gift_cards.check_takes(
                asked.refund_reference, "refund_reference", self.sale(original).total_minor, &gift_card, out
            )
            if code != RESULT_CODE_OK:
                return code

        # Apply.
        self.pricing.loyalty.open_return(self.sale(original).points)
        reader = reader_of(command.body)
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
                self.put_kits_back(row, self.catalog.till(till).location, line.qty_milli, out)
            elif not self.catalog.item(line_row.item).flags & ITEM_UNTRACKED:
                self.stock.put_back(self.catalog.till(till).location, line_row.item, line.qty_milli)
        self.give_back_promotions(original, command.now_ns)
        (<SaleRow*>self.sales.edit(original)).refunded_minor += self.pricing.total_minor
        self.refund_tender(&asked, gift_card)
        memcpy(original_id, self.sale(original).id, ID_BYTES)
        self.book(command, body_hash, till, original, SALE_IS_RETURN)
        self.write_receipt(out, command, till, span_at(NULL, 0), 0, span_at(original_id, ID_BYTES))
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
        cdef Span none = span_at(NULL, 0)
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
            row = self.find(<const uint8_t*>asked.sale_id.data)
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
            return refuse(out, RESULT_CODE_QTY_INVALID, "lines.qty_milli", index, span_at(NULL, 0), line.qty_milli, 1)
        if not 0 <= line.line < sale.line_count:
            return refuse(
                out, RESULT_CODE_LINE_UNKNOWN, "lines.line", index, span_at(NULL, 0), line.line, <int64_t>sale.line_count - 1
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

    cdef int64_t first_charge(self, int64_t sale) noexcept nogil:
        """The row where a sale's charges begin, if it has any."""
        cdef int64_t low = 0, high = self.charges.count, middle
        while low < high:
            middle = (low + high) // 2
            if (<SaleChargeRow*>self.charges.row(middle)).sale < sale:
                low = middle + 1
            else:
                high = middle
        return low

    cdef int64_t find_charge(self, int64_t sale, Span id) noexcept nogil:
        """The row of a sale's charge, or -1."""
        cdef int64_t symbol = self.catalog.find_symbol(SYMBOL_CHARGE, id), low = self.first_charge(sale)
        while low < self.charges.count and (<SaleChargeRow*>self.charges.row(low)).sale == sale:
            if (<SaleChargeRow*>self.charges.row(low)).charge == symbol:
                return low
            low += 1
        return -1

    cdef int64_t taxes_of(self, uint32_t tax_set, uint32_t first_tax, int64_t tax_minor, int64_t* taxes) noexcept nogil:
        """The taxes of a sold line or charge one by one, in its set's order; returns how many."""
        cdef int64_t count, at
        if tax_set == 0:
            return 0
        count = self.catalog.tax_set(tax_set - 1).tax_count
        if first_tax == 0:
            taxes[0] = tax_minor
        for at in range(count if first_tax else 0):
            taxes[at] = (<int64_t*>self.taxes.row(<int64_t>first_tax - 1 + at))[0]
        return count

    cdef void refund_line(self, SaleLineRow* sold, int64_t before_milli, int64_t qty_milli) noexcept nogil:
        """Add what `qty_milli` more of a sold line refunds: the parts of a line sum to what was paid.

        Its value, its deposit and the taxes on top are shared out together; taxes inside the value each alone.
        """
        cdef Line line
        cdef int64_t after_milli = before_milli + qty_milli, whole = sold.qty_milli, count, at, untaken = 0
        cdef int64_t[TAXES_PER_CLASS_MAX] taxes
        cdef int64_t[TAXES_PER_CLASS_MAX + 2] amounts
        cdef int64_t[TAXES_PER_CLASS_MAX + 2] before
        cdef int64_t[TAXES_PER_CLASS_MAX + 2] after
        cdef int64_t added = 2
        cdef int64_t* parts
        cdef TaxSetRow* tax_set = NULL
        memset(&line, 0, sizeof(Line))
        line.item = sold.item
        line.promotion = -1
        line.tax_set = <int32_t>sold.tax_set - 1
        if sold.tax_set:
            tax_set = self.catalog.tax_set(line.tax_set)
            line.tax_class = tax_set.tax_class + 1
        line.qty_milli = qty_milli
        line.price_minor, line.base_qty_milli = sold.total_minor, whole  # the price paid for the whole line
        amounts[0] = sold.total_minor
        amounts[1] = 0
        if sold.extra:
            amounts[1] = (<SaleExtraRow*>self.extras.row(sold.extra - 1)).deposit_minor
            untaken = (<SaleExtraRow*>self.extras.row(sold.extra - 1)).untaken_minor
        count = self.taxes_of(sold.tax_set, sold.first_tax, sold.tax_minor, taxes)
        for at in range(count):
            if not tax_set.taxes[at].flags & TAX_INCLUSIVE:
                amounts[added] = taxes[at]
                added += 1
        _shares(amounts, before, added, before_milli, whole)
        _shares(amounts, after, added, after_milli, whole)
        line.total_minor = line.gross_minor = after[0] - before[0]
        line.deposit_minor = after[1] - before[1]
        untaken = share_until(untaken, after_milli, whole) - share_until(untaken, before_milli, whole)
        line.place = <int32_t>self.pricing.rates.place_count
        parts = self.pricing.begin_place(line.tax_set, line.total_minor + untaken)
        added = 2
        for at in range(count):
            if tax_set.taxes[at].flags & TAX_INCLUSIVE:
                parts[at] = share_until(taxes[at], after_milli, whole) - share_until(taxes[at], before_milli, whole)
            else:
                parts[at] = after[added] - before[added]
                added += 1
        self.pricing.add_line(&line)

    cdef void refund_charge(self, SaleChargeRow* sold) noexcept nogil:
        """Add a charge of the sale as it was paid."""
        cdef ChargeLine* charge = &self.pricing.charges[self.pricing.charge_count]
        cdef int64_t[TAXES_PER_CLASS_MAX] taxes
        cdef int64_t count = self.taxes_of(sold.tax_set, sold.first_tax, sold.tax_minor, taxes), at
        cdef int64_t* parts
        memset(charge, 0, sizeof(ChargeLine))
        charge.id = self.catalog.symbol(sold.charge)
        charge.amount_minor = sold.amount_minor
        if sold.tax_set:
            charge.tax_class = self.catalog.tax_set(sold.tax_set - 1).tax_class + 1
        charge.place = <int32_t>self.pricing.rates.place_count
        parts = self.pricing.begin_place(<int32_t>sold.tax_set - 1, sold.taxed_minor)
        for at in range(count):
            parts[at] = taxes[at]
        self.pricing.charge_count += 1

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
        # The sale is known by the hash of its body, so that only the very request that was booked is priced again.
        if hash_bytes(asked.original_sale.data, asked.original_sale.size) ^ hash_int(Command_sell) != sale.body_hash:
            return refuse(
                out, RESULT_CODE_FIELD_INVALID, "original_sale", 0, span_at(NULL, 0), asked.original_sale.size, 0
            )
        memset(self.pricing.shares, 0, sale.line_count * sizeof(int64_t))
        reader = reader_of(asked.body)
        while next_field(&reader):
            if reader.field != ReturnLinesRequest_lines:
                skip_field(&reader)
                continue
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
        if sold.has_attributes:
            code = self.pricing.read_attributes(asked.original_sale, SellRequest_price_attributes, &scope, out)
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

    cdef int64_t charges_paid(self, int64_t original, bint returned) noexcept nogil:
        """What a sale's charges cost with their taxes: those that were paid back, or those that were not."""
        cdef int64_t row = self.first_charge(original), at, count, total = 0
        cdef int64_t[TAXES_PER_CLASS_MAX] taxes
        cdef SaleChargeRow* charge
        while row < self.charges.count and (<SaleChargeRow*>self.charges.row(row)).sale == original:
            charge = <SaleChargeRow*>self.charges.row(row)
            row += 1
            if (charge.returned != 0) != returned:
                continue
            total += charge.amount_minor
            count = self.taxes_of(charge.tax_set, charge.first_tax, charge.tax_minor, taxes)
            for at in range(count):
                if not self.catalog.tax_set(charge.tax_set - 1).taxes[at].flags & TAX_INCLUSIVE:
                    total += taxes[at]
        return total

    cdef void scale_refund(self, int64_t refund_minor) noexcept nogil:
        """Make a return refund `refund_minor` in all, its lines in proportion to what was paid for them.

        A line's deposit and taxes follow it; charges are as they were paid.
        """
        cdef int64_t at, number, paid, share, added
        cdef Line* line
        cdef TaxPlace* place
        cdef int64_t* part
        cdef int64_t* weights = self.sold_milli  # whose quantities are not needed any more
        for at in range(self.pricing.charge_count):
            refund_minor -= self.pricing.charges[at].amount_minor + self.pricing.charges[at].tax_added_minor
        for at in range(self.pricing.line_count):
            line = &self.pricing.lines[at]
            weights[at] = max(
                <int64_t>0, line.total_minor + line.deposit_minor + self.pricing.rates.places[line.place].added
            )
        allocate(max(<int64_t>0, refund_minor), weights, self.pricing.shares, self.pricing.line_count)
        for at in range(self.pricing.line_count):
            line = &self.pricing.lines[at]
            place = &self.pricing.rates.places[line.place]
            paid, share, added = weights[at], self.pricing.shares[at], 0
            if paid == 0:
                line.total_minor = line.gross_minor = share
                continue
            place.amount = multiply_divide(place.amount, share, paid, HALF_UP)
            line.deposit_minor = multiply_divide(line.deposit_minor, share, paid, HALF_UP)
            for number in range(self.pricing.rates.classes[place.tax_class].rate_count if place.tax_class >= 0 else 0):
                part = self.pricing.rates.parts + place.first + number
                part[0] = multiply_divide(part[0], share, paid, HALF_UP)
                if not self.pricing.rates.classes[place.tax_class].rates[number].inclusive:
                    added += part[0]
            line.total_minor = line.gross_minor = share - line.deposit_minor - added
        self.pricing.total_refund()

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

    cdef void refund_tender(self, ReturnIn* asked, int64_t gift_card) noexcept nogil:
        """One tender gives the refund back; cash is rounded as at the sale."""
        cdef int64_t total = self.pricing.total_minor
        cdef CashRule rule = self.cash_rule()
        cdef TenderIn* tender = &self.tenders[0]
        memset(tender, 0, sizeof(TenderIn))
        tender.method = asked.refund_method if asked.refund_method != TENDER_METHOD_UNSPECIFIED else TENDER_METHOD_CASH
        tender.reference = asked.refund_reference
        self.change_minor = self.cash_rounding_minor = 0
        if tender.method == TENDER_METHOD_CASH:
            self.cash_rounding_minor = round_cash(total, &rule) - total
        tender.amount_minor = total + self.cash_rounding_minor
        if tender.method == TENDER_METHOD_GIFT_CARD:
            self.gift_cards.refund(gift_card, tender.amount_minor)
        self.tender_count = 1

    # Receipts

    cdef int get_receipt(self, Span request, Writer* out, int64_t* row) noexcept nogil:
        """Find the document asked for: its row, whose `reply_at` says where the journal has it."""
        cdef Reader reader = reader_of(request)
        cdef Span id = span_at(NULL, 0), till = span_at(NULL, 0)
        cdef int64_t number = 0, till_row
        row[0] = -1
        while next_field(&reader):
            if reader.field == GetReceiptRequest_sale_id:
                id = read_span(&reader)
            elif reader.field == GetReceiptRequest_till_id:
                till = read_span(&reader)
            elif reader.field == GetReceiptRequest_number:
                number = read_int(&reader)
            else:
                skip_field(&reader)
        if reader.bad:
            return MALFORMED
        if id.size != 0 and id.size != ID_BYTES:
            return refuse(out, RESULT_CODE_FIELD_INVALID, "sale_id", 0, span_at(NULL, 0), id.size, ID_BYTES)
        if id.size:
            row[0] = self.find(<const uint8_t*>id.data)
        else:
            till_row = self.catalog.find_till(till)
            if till_row < 0:
                return refuse(out, RESULT_CODE_TILL_UNKNOWN, "till_id", 0, till, 0, 0)
            row[0] = self.find_receipt(till_row, number)
        if row[0] < 0:
            return refuse(out, RESULT_CODE_SALE_UNKNOWN, "sale_id", 0, till, number, 0)
        return RESULT_CODE_OK

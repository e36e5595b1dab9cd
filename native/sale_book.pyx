"""The book of sales and returns: its rows, how they are found, and what is kept of a basket that is booked.

The answer of a sale holds its receipt, and the journal holds the answer, so a receipt is stored
once.  Here stays what a return needs: how much of each line was sold, returned and paid.
"""

from libc.stdint cimport int64_t, uint32_t, uint64_t, uint8_t
from libc.string cimport memcmp, memcpy

from ringup.native.catalog cimport SYMBOL_CHARGE, Catalog, TillRow
from ringup.native.command cimport MALFORMED, Command, refuse
from ringup.native.contract cimport (
    RESULT_CODE_FIELD_INVALID,
    RESULT_CODE_OK,
    RESULT_CODE_SALE_UNKNOWN,
    RESULT_CODE_TILL_UNKNOWN,
    GetReceiptRequest_number,
    GetReceiptRequest_sale_id,
    GetReceiptRequest_till_id,
)
from ringup.native.embedded_codes cimport EmbeddedCodes
from ringup.native.gift_cards cimport GiftCards
from ringup.native.index cimport hash_bytes, hash_int, index_add, index_free, index_next, index_reserve, index_start
from ringup.native.limits cimport ID_BYTES
from ringup.native.pricing cimport Pricing
from ringup.native.pricing_basket cimport ChargeLine, Line
from ringup.native.pricing_rates cimport TaxPlace
from ringup.native.replies cimport reply_at_of
from ringup.native.settings cimport SettingsTable
from ringup.native.spill cimport table_blocks_let_go
from ringup.native.stock cimport Stock
from ringup.native.table cimport Table
from ringup.native.wire cimport Reader, Span, Writer, next_field, no_span, read_int, read_span, reader_of, skip_field


cdef inline uint64_t _hash_receipt(int64_t till, int64_t number) noexcept nogil:
    return hash_int((<uint64_t>till << 40) ^ <uint64_t>number)


cdef class SaleBook:
    """Rows of sales and returns."""

    def __cinit__(
        self, Catalog catalog, Stock stock, Pricing pricing, SettingsTable settings, GiftCards gift_cards,
        EmbeddedCodes codes,
    ):
        self.catalog, self.stock, self.pricing, self.settings = catalog, stock, pricing, settings
        self.gift_cards, self.codes = gift_cards, codes
        self.sales = Table("sales", sizeof(SaleRow))
        self.lines = Table("sale_lines", sizeof(SaleLineRow))
        self.sale_kits = Table("sale_kits", sizeof(SaleKitRow))
        self.taxes = Table("sale_taxes", sizeof(int64_t))
        self.extras = Table("sale_line_extras", sizeof(SaleExtraRow))
        self.charges = Table("sale_charges", sizeof(SaleChargeRow))
        self.tables = [self.sales, self.lines, self.taxes, self.extras, self.charges, self.sale_kits]

    def __dealloc__(self):
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

    cdef int64_t find(self, const uint8_t* id, uint64_t hash) noexcept nogil:
        """The sale or return booked by the command with this id, or -1; `hash` is that of the id's bytes."""
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

    cdef int get_receipt(self, Span request, Writer* out, int64_t* row) noexcept nogil:
        """Find the document asked for: its row, whose `reply_at` says where the journal has it."""
        cdef Reader reader = reader_of(request)
        cdef Span id = no_span(), till = no_span()
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
            return refuse(out, RESULT_CODE_FIELD_INVALID, "sale_id", 0, no_span(), id.size, ID_BYTES)
        if id.size:
            row[0] = self.find(<const uint8_t*>id.data, hash_bytes(id.data, ID_BYTES))
        else:
            till_row = self.catalog.find_till(till)
            if till_row < 0:
                return refuse(out, RESULT_CODE_TILL_UNKNOWN, "till_id", 0, till, 0, 0)
            row[0] = self.find_receipt(till_row, number)
        if row[0] < 0:
            return refuse(out, RESULT_CODE_SALE_UNKNOWN, "sale_id", 0, till, number, 0)
        return RESULT_CODE_OK

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
        cdef uint64_t receipts_after = <uint64_t>self.settings.now().receipts_after
        if till_row.last_receipt_number < receipts_after:
            till_row.numbers_left_out += receipts_after - till_row.last_receipt_number
            till_row.last_receipt_number = receipts_after
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
        sale.currency = self.pricing.currency
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

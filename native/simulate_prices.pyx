"""The price rows of a Simulate request: a book for the lines that ask for their price."""

from libc.stdint cimport int64_t, uint32_t
from libc.string cimport memset

from ringup.native.catalog cimport SYMBOL_CHANNEL, Catalog, TermsRow
from ringup.native.catalog_prices cimport (
    IN_PRICE_ROWS,
    PriceIn,
    check_terms,
    find_currency,
    read_attributes,
    read_price,
    terms_of_price,
)
from ringup.native.command cimport is_code_or_empty
from ringup.native.contract cimport (
    BookPrice_found,
    BookPrice_line,
    BookPrice_list_price_minor,
    BookPrice_price_minor,
    BookPrice_row,
    BookPrice_rows,
    RESULT_CODE_AMOUNT_TOO_LARGE,
    RESULT_CODE_FIELD_INVALID,
    RESULT_CODE_OK,
    RESULT_CODE_PRICE_MISSING,
    RESULT_CODE_TOO_MANY,
    SimulateRequest_price_attributes,
    SimulateRequest_price_rows,
    SimulateResponse_book_prices,
)
from ringup.native.limits cimport CODE_BYTES_MAX, PRICE_MINOR_MAX, PUT_ROWS_MAX
from ringup.native.price_book cimport (
    PRICE_ATTRIBUTES_MAX,
    PriceAsk,
    PriceFound,
    ask_plain,
    asks_list_price,
    find_price,
    found_price,
    found_price_of,
    list_price_ask,
    scan_prices,
)
from ringup.native.price_explain cimport write_price_rows
from ringup.native.pricing_state cimport InputLine
from ringup.native.promotion cimport NO_SYMBOL
from ringup.native.wire cimport (
    Reader,
    Span,
    begin_message,
    end_message,
    next_of,
    no_span,
    read_span,
    reader_of,
    write_int,
)


cdef enum:
    ANY_ITEM = 0  # the item in a price book's catalog whose rows are for all items


cdef class SimulatedPrices(SimulatedBasket):
    """The price book of the request at hand."""

    cdef int price_lines(self, Span body) noexcept nogil:
        """Give the lines that ask for it their price from the price rows of the request."""
        cdef uint32_t[2 * PRICE_ATTRIBUTES_MAX] attributes
        cdef PriceAsk ask, listing
        cdef PriceFound found, listed
        cdef InputLine* line
        cdef int64_t at, mark, missing = NO_SYMBOL
        cdef int code = self.read_book(body)
        if code != 0:
            return code
        memset(&ask, 0, sizeof(PriceAsk))
        ask.location = ask.customer_group = -1
        ask.channel = self.catalog.find_symbol(SYMBOL_CHANNEL, self.basket.channel)
        ask.at_ns, ask.any_time = self.basket.at_ns, self.basket.at_ns == 0
        ask.currency = find_currency(self.catalog, self.currency, self.currency)
        ask.selection = self.snapshot.rules.price_selection
        ask.attributes = attributes
        code = read_attributes(
            self.catalog, body, SimulateRequest_price_attributes, attributes, &ask.attribute_count, &self.out
        )
        if code != RESULT_CODE_OK:
            return code
        for at in range(self.book_line_count):
            line = &self.basket.input_lines[self.book_lines[at].line]
            ask_plain(&ask)
            ask.uom, ask.base_units_ppm = self.book_lines[at].uom, line.base_units_ppm
            ask.plain = ask.plain and ask.base_units_ppm == 1000000
            ask.qty_milli = -line.qty_milli if line.qty_milli < 0 else line.qty_milli
            found = listed = self.find_row(line.item_id, &ask)
            mark = begin_message(&self.out, SimulateResponse_book_prices)
            write_int(&self.out, BookPrice_line, self.book_lines[at].line)
            if found.row >= 0:
                line.price, line.base_qty_milli = found_price(&found, &ask), found.terms.base_qty_milli
                if line.price < 0 or found_price_of(&found, &ask, 1000) < 0:
                    end_message(&self.out, mark)
                    return self.refused(
                        RESULT_CODE_AMOUNT_TOO_LARGE, "price_rows.price_minor", found.row, line.item_id,
                        PRICE_MINOR_MAX + 1, PRICE_MINOR_MAX,
                    )
                if asks_list_price(self.catalog, &found, &ask):
                    listing = list_price_ask(&ask)
                    listed = self.find_row(line.item_id, &listing)
                    if listed.row < 0:
                        listed = found
                write_int(&self.out, BookPrice_found, True)
                write_int(&self.out, BookPrice_price_minor, found_price_of(&found, &ask, 1000))
                write_int(&self.out, BookPrice_list_price_minor, found_price_of(&listed, &ask, 1000))
                write_int(&self.out, BookPrice_row, found.row)
            elif missing == NO_SYMBOL:
                missing = self.book_lines[at].line
            if self.explains_prices:
                self.write_rows(line.item_id, &found, &listed, &ask)
            end_message(&self.out, mark)
        if missing != NO_SYMBOL:
            return self.refused(
                RESULT_CODE_PRICE_MISSING, "lines.item_id", missing, self.basket.input_lines[missing].item_id, 0, 0
            )
        return 0

    cdef int read_book(self, Span body) noexcept nogil:
        """Put the price rows of a request into a catalog of their own, in their order."""
        cdef Reader reader = reader_of(body)
        cdef PriceIn price
        cdef TermsRow terms
        cdef int64_t item, index = 0
        cdef int code
        with gil:
            self.catalog = Catalog()
        self.catalog.add_item(no_span())  # ANY_ITEM
        while next_of(&reader, SimulateRequest_price_rows):
            price = read_price(read_span(&reader))
            if index == PUT_ROWS_MAX:
                return self.refused(RESULT_CODE_TOO_MANY, "price_rows", 0, price.item, PUT_ROWS_MAX + 1, PUT_ROWS_MAX)
            if not is_code_or_empty(price.item):
                return self.refused(
                    RESULT_CODE_FIELD_INVALID, "price_rows.item_id", index, price.item, price.item.size, CODE_BYTES_MAX
                )
            code = check_terms(&price, index, IN_PRICE_ROWS, &self.out)
            if code != RESULT_CODE_OK:
                return code
            terms = terms_of_price(self.catalog, &price, self.currency)
            item = self.catalog.find_item_code(price.item)
            if item < 0:
                item = self.catalog.add_item(price.item)
            # A row is never replaced here, and nobody asks for the one location that rows by location go to.
            self.catalog.add_price(item, 0 if price.location.size else -1, &terms, price.price_minor)
            index += 1
        return 0

    cdef PriceFound find_row(self, Span item_id, const PriceAsk* ask) noexcept nogil:
        """The best of the rows of an item and those of all items."""
        cdef PriceFound found
        cdef int64_t item = self.catalog.find_item_code(item_id)
        find_price(self.catalog, ANY_ITEM, ask, &found)
        if item > ANY_ITEM:
            scan_prices(self.catalog, self.catalog.first_price(item, -1), 0, ask, &found)
        return found

    cdef void write_rows(
        self, Span item_id, const PriceFound* found, const PriceFound* listed, const PriceAsk* ask
    ) noexcept nogil:
        cdef int64_t item = self.catalog.find_item_code(item_id)
        write_price_rows(&self.out, BookPrice_rows, self.catalog, ANY_ITEM, -1, found, listed, ask)
        if item > ANY_ITEM:
            write_price_rows(&self.out, BookPrice_rows, self.catalog, item, -1, found, listed, ask)

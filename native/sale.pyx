"""Sell: where price, stock and money meet and a receipt gets its number."""

from libc.stdint cimport int64_t, uint32_t, uint64_t

from ringup.native.catalog cimport LOCATION_DISABLED, LOCATION_SHORTFALL_ALLOWED
from ringup.native.command cimport MALFORMED, Command, ok, refuse
from ringup.native.contract cimport (
    RESULT_CODE_LOCATION_DISABLED,
    RESULT_CODE_OK,
    RESULT_CODE_TILL_UNKNOWN,
    RESULT_CODE_TOTAL_DIFFERS,
    SellRequest_lines,
)
from ringup.native.pricing_basket cimport PriceScope
from ringup.native.sale_book cimport SaleRow
from ringup.native.sale_request cimport SellIn
from ringup.native.sale_returns cimport SaleReturns
from ringup.native.wire cimport Writer, no_span


cdef class Sales(SaleReturns):
    """Sales and returns, whole."""

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
        if asked.has_attributes or asked.currency.size:
            code = self.price_terms(&asked, command.body, &scope, out)
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
        self.write_receipt(out, command, till, asked.customer, asked.sold_at_ns, no_span())
        if shortfall_allowed:
            self.write_shortfalls(out, location, demand_count)
        self.write_takes(out)
        return ok(out)

"""A priced basket as receipts and quotes show it."""

from libc.stdint cimport int32_t, int64_t, uint32_t

from ringup.native.catalog cimport ITEM_RULES, TAX_INCLUSIVE, ItemRulesRow, TaxRow
from ringup.native.contract cimport (
    ChargePrice_amount_minor,
    ChargePrice_charge_id,
    ChargePrice_discount_minor,
    ChargePrice_tax_added_minor,
    ChargePrice_tax_class_id,
    PricedBasket_charges,
    PricedBasket_charges_minor,
    PricedBasket_coupons,
    PricedBasket_currency,
    PricedBasket_deposit_minor,
    PricedBasket_discount_minor,
    PricedBasket_free_items,
    PricedBasket_lines,
    PricedBasket_points,
    PricedBasket_promotions,
    PricedBasket_search,
    PricedBasket_subtotal_minor,
    PricedBasket_tax_added_minor,
    PricedBasket_taxes,
    PricedBasket_total_minor,
    PricedDiscount_amount_minor,
    PricedDiscount_points,
    PricedDiscount_promotion_id,
    PricedDiscount_reason,
    PricedLine_base_qty_milli,
    PricedLine_deposit_minor,
    PricedLine_discounts,
    PricedLine_gross_minor,
    PricedLine_item_id,
    PricedLine_list_price_minor,
    PricedLine_name,
    PricedLine_override_reason,
    PricedLine_price_list_id,
    PricedLine_price_minor,
    PricedLine_price_rows,
    PricedLine_promotion_id,
    PricedLine_qty_milli,
    PricedLine_tax_class_id,
    PricedLine_total_minor,
    PricedLine_uom,
    TaxTotal_amount_minor_per_unit,
    TaxTotal_base_minor,
    TaxTotal_inclusive,
    TaxTotal_name,
    TaxTotal_rate_ppb,
    TaxTotal_tax_minor,
)
from ringup.native.price_book cimport PriceAsk, PriceFound, ask_plain, asks_list_price, find_list_price, find_price
from ringup.native.price_explain cimport write_price_rows
from ringup.native.pricing_basket cimport ChargeLine, Line
from ringup.native.pricing_explain cimport write_coupons, write_explained, write_free, write_search
from ringup.native.pricing_promoted cimport PromotedBasket
from ringup.native.wire cimport Span, Writer, begin_message, end_message, span_at, write_int, write_span


cdef class PricedAnswer(PromotedBasket):
    """Tells the basket."""

    cdef void write_basket(self, Writer* out, uint32_t field, bint reasons) noexcept nogil:
        """Write the priced basket; with `reasons` also for the promotions that gave nothing."""
        cdef int64_t mark = begin_message(out, field), inner, at
        cdef TaxRow* tax
        cdef ChargeLine* charge
        for at in range(self.line_count):
            self.write_line(out, &self.lines[at])
        write_int(out, PricedBasket_subtotal_minor, self.subtotal_minor)
        write_int(out, PricedBasket_discount_minor, self.discount_total_minor)
        for at in range(self.tax_count):
            tax = &self.catalog.tax_set(self.taxes[at].tax_set).taxes[self.taxes[at].tax]
            inner = begin_message(out, PricedBasket_taxes)
            write_span(out, TaxTotal_name, self.catalog.symbol(tax.name))
            write_int(out, TaxTotal_rate_ppb, tax.rate_ppb)
            write_int(out, TaxTotal_inclusive, (tax.flags & TAX_INCLUSIVE) != 0)
            write_int(out, TaxTotal_base_minor, self.taxes[at].base_minor)
            write_int(out, TaxTotal_tax_minor, self.taxes[at].tax_minor)
            write_int(out, TaxTotal_amount_minor_per_unit, tax.per_unit_minor)
            end_message(out, inner)
        write_int(out, PricedBasket_tax_added_minor, self.tax_added_minor)
        write_int(out, PricedBasket_total_minor, self.total_minor)
        if self.promoted:
            write_explained(out, PricedBasket_promotions, &self.basket, self.book.snapshot, reasons)
            write_coupons(out, PricedBasket_coupons, &self.basket, self.book.snapshot)
            write_free(out, PricedBasket_free_items, &self.basket, self.book.snapshot)
            write_search(out, PricedBasket_search, &self.basket)
        if self.loyalty.opened:
            self.loyalty.write_reward(out, PricedBasket_free_items)
            self.loyalty.write(out, PricedBasket_points)
        for at in range(self.charge_count):
            charge = &self.charges[at]
            inner = begin_message(out, PricedBasket_charges)
            write_span(out, ChargePrice_charge_id, charge.id)
            write_int(out, ChargePrice_amount_minor, charge.amount_minor)
            write_int(out, ChargePrice_discount_minor, charge.discount_minor)
            write_int(out, ChargePrice_tax_added_minor, charge.tax_added_minor)
            if charge.tax_class:
                write_span(
                    out, ChargePrice_tax_class_id, self.catalog.text(self.catalog.tax_class(charge.tax_class - 1).code)
                )
            end_message(out, inner)
        write_int(out, PricedBasket_charges_minor, self.charges_minor)
        write_int(out, PricedBasket_deposit_minor, self.deposit_minor)
        if self.currency:
            write_span(out, PricedBasket_currency, self.catalog.symbol(<int64_t>self.currency - 1))
        end_message(out, mark)

    cdef void write_line(self, Writer* out, Line* line) noexcept nogil:
        cdef int64_t mark = begin_message(out, PricedBasket_lines), inner, at
        cdef const ItemRulesRow* rules
        write_span(out, PricedLine_item_id, self.catalog.item_code(line.item))
        write_span(out, PricedLine_name, self.catalog.text(self.catalog.item(line.item).name))
        write_int(out, PricedLine_qty_milli, line.qty_milli)
        write_int(out, PricedLine_price_minor, line.price_minor)
        write_int(out, PricedLine_base_qty_milli, line.base_qty_milli)
        write_int(out, PricedLine_gross_minor, line.gross_minor)
        for at in range(line.first_discount, line.first_discount + line.discount_count):
            inner = begin_message(out, PricedLine_discounts)
            write_span(out, PricedDiscount_reason, self.discounts[at].reason)
            write_int(out, PricedDiscount_amount_minor, self.discounts[at].amount_minor)
            end_message(out, inner)
        if self.promoted:
            self.write_promoted(out, line - self.lines)
        write_int(out, PricedLine_total_minor, line.total_minor)
        if line.tax_class:
            write_span(out, PricedLine_tax_class_id, self.catalog.text(self.catalog.tax_class(line.tax_class - 1).code))
        write_span(out, PricedLine_override_reason, line.override_reason)
        if line.price_list:
            write_span(out, PricedLine_price_list_id, self.catalog.symbol(<int64_t>line.price_list - 1))
        if line.list_price_minor:
            write_int(out, PricedLine_list_price_minor, line.list_price_minor)
        if self.explains_prices and line.by_book:
            self.write_prices(out, line)
        if line.deposit_minor:
            write_int(out, PricedLine_deposit_minor, line.deposit_minor)
        if line.promotion >= 0:
            write_span(out, PricedLine_promotion_id, self.book.snapshot.promotions[line.promotion].id)
        if self.catalog.item(line.item).flags & ITEM_RULES:
            rules = self.catalog.find_item_rules(line.item)
            write_span(out, PricedLine_uom, self.catalog.text(rules.uom))
        end_message(out, mark)

    cdef void write_promoted(self, Writer* out, int64_t line) noexcept nogil:
        """The discounts of promotions on a line, one for each promotion."""
        cdef int64_t at, i, amount, mark
        cdef int32_t promotion
        cdef Span name
        for at in range(self.basket.verdict_count):
            promotion = self.basket.verdicts[at].promotion
            amount = 0
            for i in range(self.basket.log_count if self.basket.verdicts[at].discount else 0):
                if self.basket.log[i].line == line and self.basket.log[i].promotion == promotion:
                    amount += self.basket.log[i].amount * self.basket.log[i].count
            if amount == 0:
                continue
            name = self.book.snapshot.promotions[promotion].name
            mark = begin_message(out, PricedLine_discounts)
            write_span(out, PricedDiscount_reason, name if name.size else self.book.snapshot.promotions[promotion].id)
            write_int(out, PricedDiscount_amount_minor, amount)
            write_span(out, PricedDiscount_promotion_id, self.book.snapshot.promotions[promotion].id)
            end_message(out, mark)

        if self.loyalty.opened and self.loyalty.lines[line].redeemed_minor:
            mark = begin_message(out, PricedLine_discounts)
            write_span(out, PricedDiscount_reason, span_at(b"points", 6))
            write_int(out, PricedDiscount_amount_minor, self.loyalty.lines[line].redeemed_minor)
            write_int(out, PricedDiscount_points, True)
            end_message(out, mark)

    cdef void write_prices(self, Writer* out, const Line* line) noexcept nogil:
        """What became of each row of the line's item."""
        cdef PriceAsk ask = self.asked
        cdef PriceFound found, listed
        ask_plain(&ask)
        ask.qty_milli = line.qty_milli
        if self.catalog.item(line.item).flags & ITEM_RULES:
            self.aim(&ask, line)
        find_price(self.catalog, line.item, &ask, &found)
        listed = found
        if asks_list_price(self.catalog, &found, &ask):
            find_list_price(self.catalog, line.item, &ask, &listed)
        write_price_rows(out, PricedLine_price_rows, self.catalog, line.item, -1, &found, &listed, &ask)
        if ask.location >= 0:
            write_price_rows(out, PricedLine_price_rows, self.catalog, line.item, ask.location, &found, &listed, &ask)

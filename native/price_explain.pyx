"""Why a row of the price book gave the price or not, written as messages."""

from libc.stdint cimport int64_t, uint32_t

from ringup.native.catalog cimport Catalog
from ringup.native.catalog_prices cimport write_terms
from ringup.native.contract cimport (
    PRICE_OUTCOME_ABOVE_QTY,
    PRICE_OUTCOME_BEATEN,
    PRICE_OUTCOME_CHOSEN,
    PRICE_OUTCOME_EXPIRED,
    PRICE_OUTCOME_LIST_PRICE,
    PRICE_OUTCOME_NEEDS_QTY,
    PRICE_OUTCOME_NOT_STARTED,
    PRICE_OUTCOME_UNSPECIFIED,
    PRICE_OUTCOME_WRONG_RULE,
    ExplainedPrice_found,
    ExplainedPrice_key,
    ExplainedPrice_needed,
    ExplainedPrice_outcome,
    ExplainedPrice_row,
    PriceRow_item_id,
    PriceRow_location_id,
    PriceRow_price_minor,
)
from ringup.native.money cimport DOWN, divide, int128
from ringup.native.price_book cimport (
    PriceAsk,
    PriceFound,
    failed_rule,
    found_price_of,
    further_terms,
    price_outcome,
)
from ringup.native.wire cimport Writer, begin_message, end_message, write_int, write_span

cdef extern from *:
    """
    #define NS_PER_SECOND 1000000000LL
    """
    const int64_t NS_PER_SECOND


cdef void write_price_rows(
    Writer* out, uint32_t field, Catalog catalog, int64_t item, int64_t location, const PriceFound* chosen,
    const PriceFound* listed, const PriceAsk* ask
) noexcept nogil:
    """The rows of an item at a location (-1 = all): row `chosen` gave the price, `listed` the list price; -1: none."""
    cdef PriceFound found
    cdef int64_t row = catalog.first_price(item, location), mark, inner
    while row >= 0:
        found.row = row
        found.rank = 0
        found.price = catalog.price(row)
        found.terms = catalog.terms_of(found.price)
        row = <int64_t>found.price.next - 1
        mark = begin_message(out, field)
        inner = begin_message(out, ExplainedPrice_row)
        write_span(out, PriceRow_item_id, catalog.item_code(item))
        if location >= 0:
            write_span(out, PriceRow_location_id, catalog.location_code(location))
        write_int(out, PriceRow_price_minor, found.price.price_minor)
        write_terms(catalog, found.terms, out)
        end_message(out, inner)
        _write_outcome(out, catalog, &found, chosen, listed, ask)
        end_message(out, mark)


cdef void _write_outcome(
    Writer* out, Catalog catalog, PriceFound* row, const PriceFound* chosen, const PriceFound* listed,
    const PriceAsk* ask
) noexcept nogil:
    cdef int outcome = price_outcome(catalog, row, ask)
    cdef int64_t found = 0, needed = 0
    cdef int128 qty = ask.qty_milli
    if outcome == PRICE_OUTCOME_UNSPECIFIED:
        outcome = PRICE_OUTCOME_BEATEN
        if row.row == chosen.row:
            outcome = PRICE_OUTCOME_CHOSEN
        elif row.row == listed.row:
            outcome = PRICE_OUTCOME_LIST_PRICE
        found = found_price_of(row, ask, chosen.terms.base_qty_milli)
        needed = found_price_of(chosen, ask, chosen.terms.base_qty_milli)
    elif outcome == PRICE_OUTCOME_NOT_STARTED or outcome == PRICE_OUTCOME_EXPIRED:
        found = ask.at_ns // NS_PER_SECOND
        needed = (row.terms.from_ns if outcome == PRICE_OUTCOME_NOT_STARTED else row.terms.to_ns) // NS_PER_SECOND
    elif outcome == PRICE_OUTCOME_NEEDS_QTY or outcome == PRICE_OUTCOME_ABOVE_QTY:
        found = <int64_t>(qty if row.own_unit else divide(qty * ask.base_units_ppm, 1000000, DOWN))
        needed = row.terms.min_qty_milli if outcome == PRICE_OUTCOME_NEEDS_QTY else row.terms.max_qty_milli
    write_int(out, ExplainedPrice_outcome, outcome)
    if outcome == PRICE_OUTCOME_CHOSEN or outcome == PRICE_OUTCOME_LIST_PRICE:
        return
    write_int(out, ExplainedPrice_found, found)
    write_int(out, ExplainedPrice_needed, needed)
    if outcome == PRICE_OUTCOME_WRONG_RULE:
        write_span(
            out, ExplainedPrice_key, catalog.symbol(failed_rule(further_terms(catalog, row.terms), ask))
        )

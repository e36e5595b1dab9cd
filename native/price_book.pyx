"""Which row of an item's price book is its price.

A row matches a line by its currency, quantity, time, channel, customer group and rules; a row of a location by
that, too.  Of those that match, the rank decides first: rows that override the base, then the number of rules,
then the item's own unit.  A rank is made when the row is put, but for what depends on the line: the rule of a
location (the list that the row stands in) and the unit.
"""

from libc.stdint cimport int64_t, uint32_t

from ringup.native.catalog cimport BASE_UNITS_PPM_DEFAULT, Catalog, ItemRow, PriceRow, TermsRow
from ringup.native.contract cimport (
    PRICE_OUTCOME_ABOVE_QTY,
    PRICE_OUTCOME_BEATEN,
    PRICE_OUTCOME_EXPIRED,
    PRICE_OUTCOME_NEEDS_QTY,
    PRICE_OUTCOME_NOT_STARTED,
    PRICE_OUTCOME_UNSPECIFIED,
    PRICE_OUTCOME_WRONG_CHANNEL,
    PRICE_OUTCOME_WRONG_CURRENCY,
    PRICE_OUTCOME_WRONG_CUSTOMER,
    PRICE_OUTCOME_WRONG_RULE,
    PRICE_OUTCOME_WRONG_UNIT,
    PRICE_SELECTION_LATEST,
    PRICE_SELECTION_LOWEST,
    PRICE_SELECTION_LOWEST_OF_MOST_RULES,
    PRICE_SELECTION_UNSPECIFIED,
)
from ringup.native.limits cimport PRICE_MINOR_MAX, QTY_MILLI_MAX
from ringup.native.money cimport HALF_UP, divide, int128
from ringup.native.wire cimport span_at, span_equal

cdef enum:
    PPM = 1000000

assert BASE_UNITS_PPM_DEFAULT == PPM
# A price times the base units of a unit, in millionths, times a base quantity stays within 128 bits.
assert <object>PRICE_MINOR_MAX * <object>QTY_MILLI_MAX * <object>QTY_MILLI_MAX < 1 << 127


cdef void ask_plain(PriceAsk* ask) noexcept nogil:
    """Ask for an item that is sold in base units."""
    ask.base_units_ppm = BASE_UNITS_PPM_DEFAULT
    ask.uom = span_at(NULL, 0)
    ask.plain = ask.currency == 0 and not ask.any_time and not ask.base_list


cdef void find_price(Catalog catalog, int64_t item, const PriceAsk* ask, PriceFound* best) noexcept nogil:
    """The price row for a line; its row is -1 where none matches."""
    cdef const ItemRow* sold = catalog.item(item)
    best.row = -1
    scan_prices(catalog, <int64_t>sold.first_price - 1, 0, ask, best)
    if sold.first_chain and ask.location >= 0:
        scan_prices(catalog, catalog.first_price(item, ask.location), RANK_RULE, ask, best)


cdef PriceAsk list_price_ask(const PriceAsk* ask) noexcept nogil:
    """The same question to the base list, where the row with most rules has the list price."""
    cdef PriceAsk listing = ask[0]
    listing.base_list = True
    listing.plain = False
    if listing.selection == PRICE_SELECTION_LOWEST:
        listing.selection = PRICE_SELECTION_LOWEST_OF_MOST_RULES
    return listing


cdef void find_list_price(Catalog catalog, int64_t item, const PriceAsk* ask, PriceFound* best) noexcept nogil:
    """The row of the base list that a line would have without the other lists."""
    cdef PriceAsk listing = list_price_ask(ask)
    find_price(catalog, item, &listing, best)


cdef void scan_prices(
    Catalog catalog, int64_t row, uint32_t bonus, const PriceAsk* ask, PriceFound* best
) noexcept nogil:
    """Let `best` be the best of itself and the rows from `row` on, whose ranks are higher by `bonus`."""
    cdef PriceFound found
    cdef const PriceRow* price
    cdef const TermsRow* terms
    while row >= 0:
        found.row = row
        found.price = price = catalog.price(row)
        row = <int64_t>price.next - 1
        found.terms = terms = catalog.terms_of(price)
        found.rank = terms.rank + bonus
        if ask.plain and not terms.further:
            if (
                (terms.channel and <int64_t>terms.channel != ask.channel + 1)
                or (terms.customer_group and <int64_t>terms.customer_group != ask.customer_group + 1)
                or ask.qty_milli < terms.min_qty_milli
                or (terms.max_qty_milli and ask.qty_milli > terms.max_qty_milli)
                or ask.at_ns < terms.from_ns
                or (terms.to_ns and ask.at_ns >= terms.to_ns)
            ):
                continue
            found.own_unit = True
        elif price_outcome(catalog, &found, ask) != PRICE_OUTCOME_UNSPECIFIED:
            continue
        if best.row < 0 or _better(&found, best, ask):
            best[0] = found


cdef int price_outcome(Catalog catalog, PriceFound* found, const PriceAsk* ask) noexcept nogil:
    """Why a row does not match, PRICE_OUTCOME_UNSPECIFIED where it does; then its rank and whose unit it has."""
    cdef const TermsRow* terms = found.terms
    cdef const FurtherTerms* further
    cdef int128 qty = ask.qty_milli, scale = 1
    found.own_unit = ask.base_units_ppm == PPM
    if terms.channel and <int64_t>terms.channel != ask.channel + 1:
        return PRICE_OUTCOME_WRONG_CHANNEL
    if terms.customer_group and <int64_t>terms.customer_group != ask.customer_group + 1:
        return PRICE_OUTCOME_WRONG_CUSTOMER
    if terms.further:
        further = further_terms(catalog, terms)
        if further.currency != ask.currency:
            return PRICE_OUTCOME_WRONG_CURRENCY
        if ask.base_list and further.list:
            return PRICE_OUTCOME_BEATEN
        if further.uom:
            if span_equal(catalog.symbol(<int64_t>further.uom - 1), ask.uom):
                found.own_unit = True
                found.rank += RANK_OWN_UNIT
            elif found.own_unit:
                return PRICE_OUTCOME_WRONG_UNIT
        if further.rule_count and failed_rule(further, ask) >= 0:
            return PRICE_OUTCOME_WRONG_RULE
    elif ask.currency:
        return PRICE_OUTCOME_WRONG_CURRENCY
    if not ask.any_time:
        if ask.at_ns < terms.from_ns:
            return PRICE_OUTCOME_NOT_STARTED
        if terms.to_ns and ask.at_ns >= terms.to_ns:
            return PRICE_OUTCOME_EXPIRED
    if not found.own_unit:
        qty *= ask.base_units_ppm
        scale = PPM
    if qty < scale * terms.min_qty_milli:
        return PRICE_OUTCOME_NEEDS_QTY
    if terms.max_qty_milli and qty > scale * terms.max_qty_milli:
        return PRICE_OUTCOME_ABOVE_QTY
    return PRICE_OUTCOME_UNSPECIFIED


cdef int64_t failed_rule(const FurtherTerms* further, const PriceAsk* ask) noexcept nogil:
    """The key (a symbol row) of the first rule of which no value is what the basket says; -1 where all hold."""
    cdef const uint32_t* at = <const uint32_t*>(further + 1)
    cdef uint32_t key, count, i
    cdef int64_t number
    cdef uint32_t _rule
    for _rule in range(further.rule_count):
        key, count = at[0], at[1]
        at += 2
        number = 0
        while number < ask.attribute_count and ask.attributes[2 * number] != key:
            number += 1
        if number == ask.attribute_count:
            return key
        i = 0
        while i < count and at[i] != ask.attributes[2 * number + 1]:
            i += 1
        if i == count:
            return key
        at += count
    return -1


cdef inline bint _better(const PriceFound* a, const PriceFound* b, const PriceAsk* ask) noexcept nogil:
    """Whether row a comes before row b; both match."""
    if a.rank != b.rank:
        if ask.selection != PRICE_SELECTION_LOWEST or a.rank >= RANK_OVERRIDES or b.rank >= RANK_OVERRIDES:
            return a.rank > b.rank
    elif ask.selection == PRICE_SELECTION_UNSPECIFIED or ask.selection == PRICE_SELECTION_LATEST:
        if a.terms.min_qty_milli != b.terms.min_qty_milli:
            return a.terms.min_qty_milli > b.terms.min_qty_milli
        if a.terms.from_ns != b.terms.from_ns:
            return a.terms.from_ns > b.terms.from_ns
    return _cheaper(a, b, ask)


cdef bint _cheaper(const PriceFound* a, const PriceFound* b, const PriceAsk* ask) noexcept nogil:
    """Whether a unit of the item costs less by row a than by row b, by cross multiplication."""
    cdef int128 price_a = <int128>a.price.price_minor * b.terms.base_qty_milli
    cdef int128 price_b = <int128>b.price.price_minor * a.terms.base_qty_milli
    if a.own_unit == b.own_unit:
        return price_a < price_b
    return price_a * (PPM if a.own_unit else ask.base_units_ppm) < price_b * (
        PPM if b.own_unit else ask.base_units_ppm
    )


cdef int64_t found_price_of(const PriceFound* found, const PriceAsk* ask, int64_t base_qty_milli) noexcept nogil:
    """What the row asks for a base quantity in the item's unit, rounded half up; -1 beyond the limit."""
    cdef int128 price = found.price.price_minor
    cdef int128 divisor = 1
    if not found.own_unit:
        price *= ask.base_units_ppm
        divisor = PPM
    if base_qty_milli != found.terms.base_qty_milli:
        price *= base_qty_milli
        divisor *= found.terms.base_qty_milli
    price = divide(price, divisor, HALF_UP)
    return <int64_t>price if price <= PRICE_MINOR_MAX else -1

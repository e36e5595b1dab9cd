"""Which row of an item's price book is its price.

A row matches a line by its currency, quantity, time, channel, customer group and rules; a row of a location by
that, too.  Of those that match, the rank decides first: rows that override the base, then the number of rules,
then the item's own unit.  A rank is made when the row is put, but for what depends on the line: the rule of a
location (the list that the row stands in) and the unit.
"""

from libc.stdint cimport int64_t, uint32_t

from ringup.native.catalog cimport BASE_UNITS_PPM_DEFAULT, Catalog, TermsRow
from ringup.native.contract cimport (
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


cdef PriceFound find_price(Catalog catalog, int64_t item, const PriceAsk* ask) noexcept nogil:
    """The price row for a line; its row is -1 where none matches."""
    cdef PriceFound best
    best.row = -1
    scan_prices(catalog, catalog.first_price(item, -1), 0, ask, &best)
    if ask.location >= 0:
        scan_prices(catalog, catalog.first_price(item, ask.location), RANK_RULE, ask, &best)
    return best


cdef PriceAsk list_price_ask(const PriceAsk* ask) noexcept nogil:
    """The same question to the base list, where the row with most rules has the list price."""
    cdef PriceAsk listing = ask[0]
    listing.base_list = True
    listing.plain = False
    if listing.selection == PRICE_SELECTION_LOWEST:
        listing.selection = PRICE_SELECTION_LOWEST_OF_MOST_RULES
    return listing


cdef PriceFound find_list_price(Catalog catalog, int64_t item, const PriceAsk* ask) noexcept nogil:
    """The row of the base list that a line would have without the other lists."""
    cdef PriceAsk listing = list_price_ask(ask)
    return find_price(catalog, item, &listing)


cdef void scan_prices(
    Catalog catalog, int64_t row, uint32_t bonus, const PriceAsk* ask, PriceFound* best
) noexcept nogil:
    """Let `best` be the best of itself and the rows from `row` on, whose ranks are higher by `bonus`."""
    cdef PriceFound found
    cdef const TermsRow* terms
    while row >= 0:
        found.row = row
        found.price = catalog.price(row)
        row = <int64_t>found.price.next - 1
        terms = found.terms = catalog.terms_of(found.price)
        found.rank = terms.rank + bonus
        found.own_unit = ask.plain
        if (terms.channel and <int64_t>terms.channel != ask.channel + 1) or (
            terms.customer_group and <int64_t>terms.customer_group != ask.customer_group + 1
        ):
            continue
        if ask.plain and not terms.further:
            if (
                ask.qty_milli < terms.min_qty_milli
                or (terms.max_qty_milli and ask.qty_milli > terms.max_qty_milli)
                or ask.at_ns < terms.from_ns
                or (terms.to_ns and ask.at_ns >= terms.to_ns)
            ):
                continue
        elif not _fits(catalog, &found, ask):
            continue
        if best.row < 0 or _better(&found, best, ask):
            best[0] = found


cdef bint _fits(Catalog catalog, PriceFound* found, const PriceAsk* ask) noexcept nogil:
    """Whether a row matches that says more than most, or a line that asks for more; its rank, and whose unit it has."""
    cdef const TermsRow* terms = found.terms
    cdef const FurtherTerms* further
    cdef int128 qty = ask.qty_milli
    found.own_unit = False
    if terms.further:
        further = further_terms(catalog, terms)
        if further.currency != ask.currency or (ask.base_list and further.list):
            return False
        if further.uom:
            found.own_unit = span_equal(catalog.symbol(<int64_t>further.uom - 1), ask.uom)
            if found.own_unit:
                found.rank += RANK_OWN_UNIT
            elif ask.base_units_ppm == PPM:
                return False
        if further.rule_count and not _rules_hold(further, ask):
            return False
    elif ask.currency:
        return False
    if not ask.any_time and (ask.at_ns < terms.from_ns or (terms.to_ns and ask.at_ns >= terms.to_ns)):
        return False
    if found.own_unit or ask.base_units_ppm == PPM:
        found.own_unit = True
        return terms.min_qty_milli <= qty and (terms.max_qty_milli == 0 or qty <= terms.max_qty_milli)
    qty *= ask.base_units_ppm
    return <int128>terms.min_qty_milli * PPM <= qty and (
        terms.max_qty_milli == 0 or qty <= <int128>terms.max_qty_milli * PPM
    )


cdef bint _rules_hold(const FurtherTerms* further, const PriceAsk* ask) noexcept nogil:
    """Whether of each rule one value is what the basket says of its key."""
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
            return False
        i = 0
        while i < count and at[i] != ask.attributes[2 * number + 1]:
            i += 1
        if i == count:
            return False
        at += count
    return True


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


cdef bint asks_list_price(Catalog catalog, const PriceFound* found, const PriceAsk* ask) noexcept nogil:
    """Whether another row than the one found may have the list price: a row that overrides the base replaces it."""
    if overrides_base(found.terms):
        return False
    return ask.selection == PRICE_SELECTION_LOWEST or price_list_of(catalog, found) != 0


cdef int64_t found_price(const PriceFound* found, const PriceAsk* ask) noexcept nogil:
    """What the row asks for its base quantity in the item's unit, rounded half up; -1 beyond the limit."""
    return found_price_of(found, ask, found.terms.base_qty_milli)


cdef int64_t found_price_of(const PriceFound* found, const PriceAsk* ask, int64_t base_qty_milli) noexcept nogil:
    """The same for another base quantity."""
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

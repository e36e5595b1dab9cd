# Which row of an item's price book is its price.
from libc.stdint cimport int64_t, uint32_t

from ringup.native.catalog cimport Catalog, PriceRow, TermsRow
from ringup.native.contract cimport PRICE_SELECTION_LOWEST
from ringup.native.wire cimport Span

cdef enum:
    PRICE_RULES_MAX = 8  # of one row
    PRICE_VALUES_MAX = 64  # of all rules of one row
    PRICE_ATTRIBUTES_MAX = 16  # of one basket
    # A row's rank: the higher one wins.
    RANK_OWN_UNIT = 1
    RANK_RULE = 2
    RANK_OVERRIDES = 1 << 16

cdef extern from *:
    """
    #define CURRENCY_UNKNOWN 0xffffffffu  /* no row is in it */
    """
    const uint32_t CURRENCY_UNKNOWN

# What few rows say, kept as the code of a symbol.  Behind it stand the rules: of each its key, the number of its values
# and the values, symbol rows in ascending order, so that equal terms are equal bytes.
cdef struct FurtherTerms:
    uint32_t uom  # symbol row + 1; 0: the base unit
    uint32_t list  # symbol row + 1; 0: the base list
    uint32_t currency  # symbol row + 1; 0: the engine's
    uint32_t rule_count

# Where, how, to whom and how much of an item is priced; rows, -1 where not given or unknown.
cdef struct PriceAsk:
    int64_t location
    int64_t channel
    int64_t customer_group
    int64_t at_ns
    int64_t qty_milli  # in the item's unit
    int64_t base_units_ppm  # of the item's unit
    Span uom  # the item's unit
    uint32_t currency  # symbol row + 1; 0: the engine's
    bint plain  # the item is sold in base units, in the engine's currency: most rows are compared as they stand
    bint any_time  # no time is given, and rows of all times match
    bint base_list  # rows of the base list only
    int selection
    const uint32_t* attributes  # attribute_count pairs of symbol rows: key, value
    int64_t attribute_count

# The row found, and its price for a unit of the item.
cdef struct PriceFound:
    int64_t row  # -1: none
    uint32_t rank
    bint own_unit
    const PriceRow* price
    const TermsRow* terms

cdef void ask_plain(PriceAsk* ask) noexcept nogil
cdef void find_price(Catalog catalog, int64_t item, const PriceAsk* ask, PriceFound* best) noexcept nogil
cdef void find_list_price(Catalog catalog, int64_t item, const PriceAsk* ask, PriceFound* best) noexcept nogil
cdef PriceAsk list_price_ask(const PriceAsk* ask) noexcept nogil
cdef void scan_prices(
    Catalog catalog, int64_t row, uint32_t bonus, const PriceAsk* ask, PriceFound* best
) noexcept nogil
cdef int price_outcome(Catalog catalog, PriceFound* found, const PriceAsk* ask) noexcept nogil
cdef int64_t failed_rule(const FurtherTerms* further, const PriceAsk* ask) noexcept nogil
cdef int64_t found_price_of(const PriceFound* found, const PriceAsk* ask, int64_t base_qty_milli) noexcept nogil

cdef inline const FurtherTerms* further_terms(Catalog catalog, const TermsRow* terms) noexcept nogil:
    return <const FurtherTerms*>catalog.symbol(<int64_t>terms.further - 1).data

cdef inline uint32_t price_list_of(Catalog catalog, const PriceFound* found) noexcept nogil:
    # The list of the row found, symbol row + 1; 0: the base list.
    return further_terms(catalog, found.terms).list if found.terms.further else 0

cdef inline bint overrides_base(const TermsRow* terms) noexcept nogil:
    return terms.rank >= RANK_OVERRIDES

cdef inline int64_t found_price(const PriceFound* found, const PriceAsk* ask) noexcept nogil:
    # What the row asks for its base quantity in the item's unit, rounded half up; -1 beyond the limit.
    return found.price.price_minor if found.own_unit else found_price_of(found, ask, found.terms.base_qty_milli)

cdef inline bint asks_list_price(Catalog catalog, const PriceFound* found, const PriceAsk* ask) noexcept nogil:
    # Whether another row than the one found may have the list price: a row that overrides the base replaces it.
    return (found.terms.further != 0 or ask.selection == PRICE_SELECTION_LOWEST) and not overrides_base(found.terms) and (
        ask.selection == PRICE_SELECTION_LOWEST or price_list_of(catalog, found) != 0
    )

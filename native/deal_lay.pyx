"""Lay the best mix of applications on the basket, promotion by promotion, to the minor unit."""

from libc.stdint cimport int32_t, int64_t, uint64_t
from libc.stdlib cimport abort, free, realloc
from libc.string cimport memset

from ringup.native.deal_offers cimport (
    Offer,
    Search,
    UnitClass,
    add_offers,
    join_components,
    make_classes,
    money_left,
    rate_classes,
    single_gain,
)
from ringup.native.deal_search cimport Chosen, load_component, search_component
from ringup.native.pricing_discount cimport percent_of, shrink
from ringup.native.pricing_sets cimport give_bundle
from ringup.native.pricing_state cimport Basket, Pick, Segment, cut, discount, given_since
from ringup.native.promotion cimport (
    BUNDLE_AMOUNT_OFF,
    BUNDLE_FIXED_PRICE,
    BUY_GET,
    MULTIBUY_CHEAPEST_FREE,
    NO_SYMBOL,
    UNLIMITED,
    Benefit,
    Promotion,
    Snapshot,
)


cdef int64_t _collect(
    Search* search, Basket* basket, int32_t number, int64_t count, Pick* pieces, int64_t have
) noexcept nogil:
    # Cut `count` unused units of a class out of the basket, as listed; returns the pieces now held.
    cdef int64_t i
    cdef int32_t at, rest
    for i in range(basket.input_line_count):
        # Used units stand first in a line that is taken unit by unit: they are passed over once.
        while search.cursors[i] != NO_SYMBOL and basket.segments[search.cursors[i]].used == 1:
            search.cursors[i] = basket.segments[search.cursors[i]].next
        at = search.cursors[i]
        while at != NO_SYMBOL and count > 0:
            if search.class_of[at] == number and basket.segments[at].used != 1:
                rest = cut(basket, at, count)
                if rest != NO_SYMBOL:
                    search.class_of[rest] = number
                pieces[have].segment = at
                pieces[have].line = basket.segments[at].line
                pieces[have].count = basket.segments[at].count
                pieces[have].price = basket.segments[at].price
                basket.segments[at].used = 1
                count -= basket.segments[at].count
                have += 1
            at = basket.segments[at].next
        if count == 0:
            break
    return have


cdef void _give_once(Search* search, Snapshot snapshot, Chosen* entry) noexcept nogil:
    """Lay one chosen application on real units."""
    cdef Basket* basket = search.basket
    cdef Offer* offer = &search.offers[entry.offer]
    cdef Benefit* benefit = &snapshot.benefits[offer.benefit]
    cdef Pick[256] pieces
    cdef int64_t i, part, have = 0, start = 0, each, cheapest
    cdef Segment* segment
    for part in range(offer.parts):
        start = have
        for i in range(entry.size):
            if entry.used[part * entry.size + i] > 0 and have < 200:
                have = _collect(
                    search, basket, entry.members[i], entry.used[part * entry.size + i], pieces, have
                )
    if BUNDLE_FIXED_PRICE <= benefit.type <= BUNDLE_AMOUNT_OFF:
        give_bundle(basket, snapshot, benefit, pieces, have)
        return
    if benefit.type == MULTIBUY_CHEAPEST_FREE:
        cheapest = 0
        for i in range(1, have):
            if pieces[i].price < pieces[cheapest].price:
                cheapest = i
        cut(basket, pieces[cheapest].segment, 1)
        segment = &basket.segments[pieces[cheapest].segment]
        discount(basket, pieces[cheapest].segment, max(segment.price - max(segment.floor, 0), 0))
        return
    for i in range(start, have):  # the get units of a buy-get, all units of a group or single offer
        segment = &basket.segments[pieces[i].segment]
        if benefit.type == BUY_GET:
            each = min(
                percent_of(segment.price, benefit.get.rate_ppb, &snapshot.rules),
                max(segment.price - max(segment.floor, 0), 0),
            )
        else:
            each = single_gain(snapshot, offer, &search.classes[search.class_of[pieces[i].segment]])
        discount(basket, pieces[i].segment, each)


cdef void _give_benefit(
    Search* search, Snapshot snapshot, int32_t row, Chosen* chosen, int64_t count
) noexcept nogil:
    """Lay all chosen applications of one benefit, within its cap."""
    cdef Basket* basket = search.basket
    cdef Offer* offer
    cdef int64_t k, _time, mark = basket.log_count
    basket.log_floor = mark  # entries of other benefits stay apart from what the cap cuts
    for k in range(count):
        offer = &search.offers[chosen[k].offer]
        if offer.benefit != row:
            continue
        for _time in range(chosen[k].times):
            _give_once(search, snapshot, &chosen[k])
        basket.verdicts[offer.verdict].applications += chosen[k].times
    if snapshot.benefits[row].has_cap and given_since(basket, mark) > snapshot.benefits[row].cap:
        shrink(basket, mark, snapshot.benefits[row].cap)


cdef void lay_mix(
    Search* search, Snapshot snapshot, int64_t first, int64_t end, const char* playing
) noexcept nogil:
    """Search the mix of unit offers and lay it on the basket."""
    cdef Basket* basket = search.basket
    cdef int64_t i, j, k, count = 0, capacity = 0, bound = 0, mark, left
    cdef Chosen* chosen = NULL
    cdef Promotion* promotion
    cdef UnitClass* unit
    cdef int32_t at
    cdef int64_t total_segments
    search.offer_count = search.roles_used = search.class_count = search.count_purses = search.money_purses = 0
    search.roles = <uint64_t*>realloc(search.roles, max(basket.segment_count, 1) * sizeof(uint64_t))
    if search.roles == NULL:
        abort()
    search.cursors = <int32_t*>realloc(search.cursors, max(basket.input_line_count, 1) * sizeof(int32_t))
    if search.cursors == NULL:
        abort()
    memset(search.roles, 0, basket.segment_count * sizeof(uint64_t))
    for i in range(first, end):
        if not playing[i - first]:
            continue
        if not add_offers(search, snapshot, <int32_t>i):
            search.exhausted = True
    # Cutting adds segments while the mix is laid; there can be no more of them than twice the units touched.
    total_segments = basket.segment_count
    for i in range(basket.segment_count):
        total_segments += 2 * min(basket.segments[i].count, 70000)
    search.class_of = <int32_t*>realloc(search.class_of, max(total_segments, 1) * sizeof(int32_t))
    if search.class_of == NULL:
        abort()
    for i in range(total_segments):
        search.class_of[i] = NO_SYMBOL
    make_classes(search)
    rate_classes(search, snapshot)
    join_components(search)
    for i in range(basket.input_line_count):
        search.cursors[i] = <int32_t>i
    for i in range(search.class_count):
        j = 0
        while j < i and search.classes[j].component != search.classes[i].component:
            j += 1
        if j < i:
            continue  # this component was searched with an earlier class
        while load_component(search, search.classes[i].component):
            search_component(search, snapshot, &chosen, &count, &capacity, &bound)
        for k in range(search.size):  # the classes loaded last, which no set wants
            bound += search.classes[search.members[k]].count * search.classes[search.members[k]].alone
    for i in range(first, end):
        if not playing[i - first]:
            continue
        promotion = &snapshot.promotions[basket.verdicts[i].promotion]
        mark = basket.log_count
        basket.log_floor = mark
        basket.promotion = basket.verdicts[i].promotion
        basket.vendor = promotion.vendor
        for j in range(promotion.benefit_count):
            _give_benefit(search, snapshot, <int32_t>(promotion.benefits + j), chosen, count)
        if promotion.budget != UNLIMITED:
            left = money_left(basket, promotion, basket.promotion)
            if given_since(basket, mark) > left:
                shrink(basket, mark, left)
    # Units in no set take the best of their single offers.
    for i in range(first, end):
        if not playing[i - first]:
            continue
        promotion = &snapshot.promotions[basket.verdicts[i].promotion]
        basket.log_floor = basket.log_count
        basket.promotion = basket.verdicts[i].promotion
        basket.vendor = promotion.vendor
        mark = basket.log_count
        for j in range(basket.input_line_count):
            at = <int32_t>j
            while at != NO_SYMBOL:
                if search.class_of[at] != NO_SYMBOL and basket.segments[at].used != 1:
                    unit = &search.classes[search.class_of[at]]
                    if unit.alone_offer != NO_SYMBOL and search.offers[unit.alone_offer].verdict == i:
                        basket.segments[at].used = 1
                        discount(basket, at, unit.alone)
                at = basket.segments[at].next
        basket.verdicts[i].applications += basket.log_count > mark
    basket.vendor = False
    basket.bound += bound
    free(chosen)

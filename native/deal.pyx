"""The best deal: the mix of offers with the greatest total discount, each unit in at most one application.

Equal units (same price, same offers) form a class, and the search works on counts of classes.  Offers
on single units that nothing limits need no search: a unit that is in no set takes the best of them.
Classes that share a set offer form a component, and each component is searched by itself:

    f(counts) = max( leave the first class alone + f(rest), each application that holds a unit of it + f(rest) )

with a memo on the counts and a bound per unit (the most that any offer can give for it) that cuts
options which cannot win.  The search counts its nodes; beyond the budget each state takes its most
productive application, and the report says what was found and what no mix can exceed.

Benefits on a whole set (off the order, by line, by tiers) are tried before the search on all their
units, and after it on the units that it left; what gives most is kept.
"""

from libc.stdint cimport int16_t, int32_t, int64_t, uint64_t
from libc.stdlib cimport abort, calloc, free, malloc, realloc
from libc.string cimport memcmp, memcpy, memset

from ringup.native.index cimport hash_bytes
from ringup.native.limits cimport PERCENT_SCALE
from ringup.native.money cimport CEILING, HALF_UP, multiply_divide
from ringup.native.pricing_benefit cimport apply_benefit, bundle_worth, give_bundle, percent_of
from ringup.native.pricing_kernel cimport conditions_hold, given_since
from ringup.native.pricing_state cimport (
    Basket,
    Pick,
    Segment,
    Verdict,
    choose,
    cut,
    discount,
    restore_state,
    room_for,
    save_state,
    shrink,
)
from ringup.native.promotion cimport (
    BUNDLE_AMOUNT_OFF,
    BUNDLE_FIXED_PRICE,
    BUNDLE_PERCENT_OFF,
    BUY_GET,
    CHARGE_PERCENT_OFF,
    CHEAPEST_PERCENT_OFF,
    FIRST_THEN_AMOUNT,
    FREE_ITEM,
    GROUP_BEST,
    GROUP_FIRST,
    ITEM_AMOUNT_OFF,
    ITEM_FIXED_PRICE,
    ITEM_MARKUP_PERCENT,
    ITEM_PERCENT_OFF,
    MULTIBUY_CHEAPEST_FREE,
    NO_SYMBOL,
    ORDER_FIXED_TOTAL,
    ORDER_PERCENT_OFF,
    OUT_APPLIED,
    OUT_BEATEN,
    OUT_NONE,
    OUT_NOTHING,
    PICK_CHEAPEST,
    PICK_DEAREST,
    PICK_LISTED,
    QUANTITY_BREAK,
    QUANTITY_GROUP,
    SELECT_BEST_ALLOCATION,
    TIERED_AMOUNT,
    UNLIMITED,
    Benefit,
    Promotion,
    Snapshot,
)

cdef enum:
    CLASSES_MAX = 48  # of one component
    OFFERS_MAX = 64
    PARTS_MAX = 8
    NODES_DEFAULT = 5000  # some 60 ms at worst
    OPTIONS_PER_NODE = 8  # so many applications weighed cost as much as a node
    OPTIONS_LEFT_MAX = 2000  # weighed at a state once the budget is spent
    BLOCKS_MAX = 16
    LINES_MAX = 12  # more lines than this are not told apart by limits per line

cdef struct Offer:
    int32_t verdict
    int32_t benefit  # row in the snapshot
    bint is_set
    int32_t parts
    uint64_t[8] roles
    int64_t[8] qty
    int64_t total_qty
    int64_t limit  # applications, UNLIMITED for none
    int32_t purse  # place of its limit in the state, NO_SYMBOL for none

cdef struct UnitClass:
    uint64_t roles
    int64_t price
    int64_t original
    int64_t floor
    bint lump
    int64_t qty_milli  # of a lump
    int64_t base_units_ppm
    int64_t count
    int64_t alone  # the best single offer that nothing limits
    int32_t alone_offer
    int64_t most  # no offer gives more for a unit
    int32_t component
    bint searched

cdef struct Node:
    int64_t key  # where its state stands
    int64_t value
    int64_t choice  # where the best application stands, -1 to leave the class alone
    int32_t offer

cdef struct Search:
    Basket* basket
    Offer* offers
    int64_t offer_count
    UnitClass* classes  # of the whole basket
    int64_t class_count
    int64_t class_capacity
    int32_t* class_of  # by segment
    uint64_t* roles  # by segment
    int64_t roles_used
    # the component at hand
    int32_t[48] members
    int64_t size
    int32_t[64] purses  # offers with a limit
    int64_t purse_count
    int32_t[64] near  # offers of this component
    int64_t near_count
    int64_t width  # of a state
    int16_t* words  # states and choices
    int64_t word_count
    int64_t word_capacity
    Node* nodes
    int64_t node_count
    int64_t node_capacity
    int64_t* table
    int64_t table_mask
    int64_t visited
    int64_t weighed
    int64_t budget
    bint exhausted

cdef int64_t _single_gain(
    Basket* basket, Snapshot snapshot, Benefit* benefit, UnitClass* unit, int64_t tier_price
) noexcept nogil:
    # What a single-unit offer gives for one unit of the class.
    cdef int64_t room = max(unit.price - max(unit.floor, 0), 0)
    cdef int64_t each
    if benefit.type == ITEM_PERCENT_OFF or benefit.type == CHEAPEST_PERCENT_OFF:
        each = percent_of(unit.original if benefit.original else unit.price, benefit.rate_ppb, &snapshot.rules)
    elif benefit.type == QUANTITY_GROUP and benefit.rate_ppb > 0:
        each = percent_of(unit.price, benefit.rate_ppb, &snapshot.rules)
    else:
        each = tier_price if benefit.type == QUANTITY_BREAK else benefit.amount
        if benefit.type == QUANTITY_BREAK:
            each = multiply_divide(each, unit.base_units_ppm, 1000000, HALF_UP)
        if unit.lump:
            each = multiply_divide(each, unit.qty_milli, 1000, HALF_UP)
        if benefit.type == ITEM_FIXED_PRICE or benefit.type == QUANTITY_BREAK:
            each = unit.price - each
    return max(min(each, room), 0)


cdef int64_t _tier_price(Basket* basket, Snapshot snapshot, Benefit* benefit) noexcept nogil:
    # The unit price of the tier that all units of the target reach; -1 when they reach none.
    cdef int64_t i, milli = 0, best = -1, price = -1
    choose(basket, snapshot, benefit.target, PICK_LISTED, False, False)
    for i in range(basket.pick_count):
        if basket.segments[basket.picks[i].segment].lump:
            milli += basket.lines[basket.picks[i].line].base_qty_milli
        else:
            milli += multiply_divide(
                basket.lines[basket.picks[i].line].base_qty_milli, basket.picks[i].count,
                basket.lines[basket.picks[i].line].units, HALF_UP,
            )
    for i in range(benefit.tier_count):
        if milli >= snapshot.tiers[benefit.tiers + i].min * 1000 and snapshot.tiers[benefit.tiers + i].min > best:
            best = snapshot.tiers[benefit.tiers + i].min
            price = snapshot.tiers[benefit.tiers + i].amount
    return price


cdef bint _narrowed(Snapshot snapshot, int32_t target) noexcept nogil:
    return snapshot.targets[target].max_units > 0 or snapshot.targets[target].max_units_per_line > 0


cdef bint _is_offer(Snapshot snapshot, Promotion* promotion, Benefit* benefit, int64_t lines) noexcept nogil:
    """Whether the search can lay the benefit unit by unit; others are given to whole sets."""
    cdef int64_t i
    cdef int kind = benefit.type
    if kind == ITEM_PERCENT_OFF or kind == CHEAPEST_PERCENT_OFF or kind == ITEM_FIXED_PRICE or (
        kind == ITEM_AMOUNT_OFF and not benefit.per_line
    ):
        if benefit.has_cap or promotion.budget != UNLIMITED:
            return False
        if snapshot.targets[benefit.target].max_units_per_line == 0:
            return True
        return lines <= LINES_MAX and kind != CHEAPEST_PERCENT_OFF and snapshot.targets[benefit.target].max_units == 0
    if kind == QUANTITY_BREAK:
        return promotion.budget == UNLIMITED and not _narrowed(snapshot, benefit.target)
    if kind == BUY_GET:
        return not _narrowed(snapshot, benefit.buy.target) and not _narrowed(snapshot, benefit.get.target)
    if kind == BUNDLE_FIXED_PRICE and benefit.component_count > 0:
        for i in range(benefit.component_count):
            if _narrowed(snapshot, snapshot.components[benefit.components + i].target):
                return False
        return benefit.component_count <= PARTS_MAX
    if BUNDLE_FIXED_PRICE <= kind <= MULTIBUY_CHEAPEST_FREE or kind == QUANTITY_GROUP:
        return not _narrowed(snapshot, benefit.target)
    return False


cdef bint _is_block(Snapshot snapshot, Promotion* promotion, Benefit* benefit, int64_t lines) noexcept nogil:
    """Whether the benefit wants units of its own, and yet only as a whole: a cap or a budget ties them together."""
    return not _is_offer(snapshot, promotion, benefit, lines) and not _follows(benefit)


cdef bint _follows(Benefit* benefit) noexcept nogil:
    # Benefits on the order, on charges and free items want no unit for themselves: they follow the mix.
    cdef int kind = benefit.type
    return (
        ORDER_PERCENT_OFF <= kind <= ORDER_FIXED_TOTAL
        or kind == ITEM_MARKUP_PERCENT
        or TIERED_AMOUNT <= kind <= FIRST_THEN_AMOUNT
        or CHARGE_PERCENT_OFF <= kind <= FREE_ITEM
    )


cdef uint64_t _mark_role(
    Search* search, Snapshot snapshot, int32_t target, bint for_benefit, int64_t price_below, bint exactly, int32_t line
) noexcept nogil:
    """Give the units of a target a new role; with `price_below` >= 0 only those below (or exactly at) that price."""
    cdef Basket* basket = search.basket
    cdef uint64_t role
    cdef int64_t i
    if search.roles_used == 64:
        return 0
    role = <uint64_t>1 << search.roles_used
    search.roles_used += 1
    basket.whole_targets = True
    choose(basket, snapshot, target, PICK_LISTED, True, for_benefit)
    basket.whole_targets = False
    for i in range(basket.pick_count):
        if price_below >= 0 and (
            basket.picks[i].price != price_below if exactly else basket.picks[i].price >= price_below
        ):
            continue
        if line != NO_SYMBOL and basket.picks[i].line != line:
            continue
        search.roles[basket.picks[i].segment] |= role
    return role


cdef Offer* _new_offer(Search* search, int32_t verdict, int32_t benefit) noexcept nogil:
    cdef Offer* offer
    if search.offer_count == OFFERS_MAX:
        return NULL
    offer = &search.offers[search.offer_count]
    memset(offer, 0, sizeof(Offer))
    offer.verdict = verdict
    offer.benefit = benefit
    offer.limit = UNLIMITED
    offer.purse = NO_SYMBOL
    offer.parts = 1
    offer.qty[0] = offer.total_qty = 1
    search.offer_count += 1
    return offer


cdef bint _add_offer(Search* search, Snapshot snapshot, int32_t number, int32_t row) noexcept nogil:
    """Make the offers of one benefit; False when there are more than the search takes."""
    cdef Benefit* benefit = &snapshot.benefits[row]
    cdef Promotion* promotion = &snapshot.promotions[search.basket.verdicts[number].promotion]
    cdef Basket* basket = search.basket
    cdef Offer* offer
    cdef int64_t i, left, price
    if benefit.type == CHEAPEST_PERCENT_OFF:
        # Which units are the cheapest is settled before any of them is taken.
        choose(basket, snapshot, benefit.target, PICK_CHEAPEST, False, True)
        left = benefit.qty
        price = -1
        for i in range(basket.pick_count):
            price = basket.picks[i].price
            if basket.picks[i].count >= left:
                break
            left -= basket.picks[i].count
        if price < 0:
            return True
        left = benefit.qty
        for i in range(basket.pick_count):
            if basket.picks[i].price < price:
                left -= basket.picks[i].count
        offer = _new_offer(search, number, row)
        if offer == NULL:
            return False
        offer.roles[0] = _mark_role(search, snapshot, benefit.target, True, price, False, NO_SYMBOL)
        offer = _new_offer(search, number, row)
        if offer == NULL:
            return False
        offer.limit = left
        offer.roles[0] = _mark_role(search, snapshot, benefit.target, True, price, True, NO_SYMBOL)
        return offer.roles[0] != 0
    if not (BUNDLE_FIXED_PRICE <= benefit.type <= BUY_GET) and (
        snapshot.targets[benefit.target].max_units_per_line > 0
    ):
        for i in range(basket.input_line_count):  # a limit of its own for each line
            offer = _new_offer(search, number, row)
            if offer == NULL:
                return False
            offer.limit = snapshot.targets[benefit.target].max_units_per_line
            offer.roles[0] = _mark_role(search, snapshot, benefit.target, True, -1, False, <int32_t>i)
            if offer.roles[0] == 0:
                return False
        return True
    offer = _new_offer(search, number, row)
    if offer == NULL:
        return False
    if benefit.type == BUY_GET:
        offer.is_set = True
        offer.parts = 2
        offer.qty[0] = benefit.buy.qty
        offer.qty[1] = benefit.get.qty
        offer.roles[0] = _mark_role(search, snapshot, benefit.buy.target, False, -1, False, NO_SYMBOL)
        offer.roles[1] = _mark_role(search, snapshot, benefit.get.target, True, -1, False, NO_SYMBOL)
    elif benefit.type == BUNDLE_FIXED_PRICE and benefit.component_count > 0:
        offer.is_set = True
        offer.parts = benefit.component_count
        for i in range(benefit.component_count):
            offer.qty[i] = snapshot.components[benefit.components + i].qty
            offer.roles[i] = _mark_role(
                search, snapshot, snapshot.components[benefit.components + i].target, True, -1, False, NO_SYMBOL
            )
    else:
        offer.roles[0] = _mark_role(search, snapshot, benefit.target, True, -1, False, NO_SYMBOL)
        if BUNDLE_FIXED_PRICE <= benefit.type <= MULTIBUY_CHEAPEST_FREE or benefit.type == QUANTITY_GROUP:
            offer.is_set = True
            offer.qty[0] = benefit.qty
        elif snapshot.targets[benefit.target].max_units > 0:
            offer.limit = snapshot.targets[benefit.target].max_units
    offer.total_qty = 0
    for i in range(offer.parts):
        offer.total_qty += offer.qty[i]
    if offer.is_set:
        offer.limit = promotion.max_applications
        if benefit.once:
            offer.limit = 1 if offer.limit == UNLIMITED else min(offer.limit, 1)
    return offer.roles[offer.parts - 1] != 0


cdef void _make_classes(Search* search) noexcept nogil:
    """Group segments whose units are the same to every offer."""
    cdef Basket* basket = search.basket
    cdef Segment* segment
    cdef UnitClass* unit
    cdef int64_t i, j
    search.class_count = 0
    for i in range(basket.segment_count):
        search.class_of[i] = NO_SYMBOL
        segment = &basket.segments[i]
        if search.roles[i] == 0:
            continue
        for j in range(search.class_count):
            unit = &search.classes[j]
            if (
                unit.roles == search.roles[i]
                and unit.price == segment.price
                and unit.original == segment.original
                and unit.floor == segment.floor
                and unit.base_units_ppm == basket.input_lines[segment.line].base_units_ppm
                and not unit.lump
                and not segment.lump
            ):
                search.class_of[i] = <int32_t>j
                unit.count += segment.count
                break
        if search.class_of[i] == NO_SYMBOL:
            search.classes = <UnitClass*>room_for(
                search.classes, &search.class_capacity, search.class_count + 1, sizeof(UnitClass)
            )
            unit = &search.classes[search.class_count]
            memset(unit, 0, sizeof(UnitClass))
            unit.roles = search.roles[i]
            unit.price = segment.price
            unit.original = segment.original
            unit.floor = segment.floor
            unit.lump = segment.lump
            unit.qty_milli = basket.lines[segment.line].qty_milli
            unit.base_units_ppm = basket.input_lines[segment.line].base_units_ppm
            unit.count = segment.count
            unit.alone_offer = NO_SYMBOL
            search.class_of[i] = <int32_t>search.class_count
            search.class_count += 1


cdef void _rate_classes(Search* search, Snapshot snapshot) noexcept nogil:
    """The best single offer of each class, and the most that any offer can give for one of its units."""
    cdef int64_t i, j, gain, tier
    cdef Offer* offer
    cdef Benefit* benefit
    cdef UnitClass* unit
    for j in range(search.offer_count):
        offer = &search.offers[j]
        benefit = &snapshot.benefits[offer.benefit]
        tier = _tier_price(search.basket, snapshot, benefit) if benefit.type == QUANTITY_BREAK else 0
        for i in range(search.class_count):
            unit = &search.classes[i]
            gain = 0
            if offer.is_set:
                if benefit.type == BUY_GET:
                    if unit.roles & offer.roles[1]:
                        gain = percent_of(unit.price, benefit.get.rate_ppb, &snapshot.rules)
                elif not unit.roles & _all_roles(offer):
                    continue
                elif benefit.type == MULTIBUY_CHEAPEST_FREE:
                    gain = (unit.price + offer.total_qty - 1) // offer.total_qty
                elif benefit.type == BUNDLE_FIXED_PRICE:
                    gain = unit.price - benefit.amount // offer.total_qty
                elif benefit.type == BUNDLE_PERCENT_OFF:
                    gain = multiply_divide(unit.price, benefit.rate_ppb, PERCENT_SCALE, CEILING)
                elif benefit.type == BUNDLE_AMOUNT_OFF:
                    gain = (benefit.amount + offer.total_qty - 1) // offer.total_qty
                else:
                    gain = _single_gain(search.basket, snapshot, benefit, unit, 0)
            elif unit.roles & offer.roles[0] and tier >= 0:
                gain = _single_gain(search.basket, snapshot, benefit, unit, tier)
                if offer.limit == UNLIMITED and gain > unit.alone:
                    unit.alone = gain
                    unit.alone_offer = <int32_t>j
            unit.most = max(unit.most, gain)


cdef uint64_t _all_roles(Offer* offer) noexcept nogil:
    cdef uint64_t roles = 0
    cdef int64_t i
    for i in range(offer.parts):
        roles |= offer.roles[i]
    return roles


cdef int64_t _worth(Search* search, Snapshot snapshot, Offer* offer, const int16_t* used) noexcept nogil:
    """What an application on `used` (counts by part and member class) gives; 0 when it may not be."""
    cdef Benefit* benefit = &snapshot.benefits[offer.benefit]
    cdef UnitClass* unit
    cdef UnitClass* other
    cdef int64_t i, j, part, value = 0, room = 0, gain = 0, each = 0, cheapest = -1
    if benefit.type == BUY_GET:
        for i in range(search.size):
            if used[search.size + i] == 0:
                continue
            unit = &search.classes[search.members[i]]
            each = percent_of(unit.price, benefit.get.rate_ppb, &snapshot.rules)
            gain += min(each, max(unit.price - max(unit.floor, 0), 0)) * used[search.size + i]
            if snapshot.rules.selection == SELECT_BEST_ALLOCATION or not unit.roles & offer.roles[0]:
                continue
            # Within a set the pick says which units are the get units: no fair exchange may serve it better.
            for j in range(search.size):
                other = &search.classes[search.members[j]]
                if used[j] > 0 and other.roles & offer.roles[1]:
                    if benefit.get.pick == PICK_DEAREST and not (benefit.buy_first and benefit.consume == PICK_DEAREST):
                        if other.price > unit.price:
                            return 0
                    elif other.price < unit.price:
                        return 0
        return gain
    for part in range(offer.parts):
        for i in range(search.size):
            if used[part * search.size + i] == 0:
                continue
            unit = &search.classes[search.members[i]]
            value += unit.price * used[part * search.size + i]
            room += max(unit.price - max(unit.floor, 0), 0) * used[part * search.size + i]
            if cheapest < 0 or unit.price < cheapest:
                cheapest = unit.price
                each = max(unit.price - max(unit.floor, 0), 0)
            if not offer.is_set or benefit.type == QUANTITY_GROUP:
                gain += _single_gain(search.basket, snapshot, benefit, unit, 0) * used[part * search.size + i]
    if not offer.is_set or benefit.type == QUANTITY_GROUP:
        return gain
    if benefit.type == MULTIBUY_CHEAPEST_FREE:
        return each
    return max(bundle_worth(search.basket, snapshot, benefit, value, room), 0)


cdef int64_t _bound(Search* search, const int16_t* state) noexcept nogil:
    cdef int64_t i, total = 0
    for i in range(search.size):
        total += state[i] * search.classes[search.members[i]].most
    return total


cdef int64_t _find(Search* search, const int16_t* state) noexcept nogil:
    # The node of a state, or -1.
    cdef uint64_t hash = hash_bytes(state, search.width * sizeof(int16_t))
    cdef int64_t at = <int64_t>(hash & <uint64_t>search.table_mask)
    while search.table[at] != 0:
        if memcmp(
            search.words + search.nodes[search.table[at] - 1].key, state, search.width * sizeof(int16_t)
        ) == 0:
            return search.table[at] - 1
        at = (at + 1) & search.table_mask
    return -1


cdef int64_t _keep(Search* search, const int16_t* words, int64_t count) noexcept nogil:
    search.words = <int16_t*>room_for(
        search.words, &search.word_capacity, search.word_count + count, sizeof(int16_t)
    )
    memcpy(search.words + search.word_count, words, count * sizeof(int16_t))
    search.word_count += count
    return search.word_count - count


cdef int64_t _add_node(
    Search* search, const int16_t* state, int64_t value, int32_t offer, const int16_t* used
) noexcept nogil:
    cdef Node* node
    cdef int64_t at, i, size
    cdef uint64_t hash
    if (search.node_count + 1) * 2 > search.table_mask + 1:
        size = (search.table_mask + 1) * 2
        free(search.table)
        search.table = <int64_t*>calloc(size, sizeof(int64_t))
        if search.table == NULL:
            abort()
        search.table_mask = size - 1
        for i in range(search.node_count):
            hash = hash_bytes(search.words + search.nodes[i].key, search.width * sizeof(int16_t))
            at = <int64_t>(hash & <uint64_t>search.table_mask)
            while search.table[at] != 0:
                at = (at + 1) & search.table_mask
            search.table[at] = i + 1
    search.nodes = <Node*>room_for(
        search.nodes, &search.node_capacity, search.node_count + 1, sizeof(Node)
    )
    node = &search.nodes[search.node_count]
    node.key = _keep(search, state, search.width)
    node.value = value
    node.offer = offer
    node.choice = -1
    if offer != NO_SYMBOL:
        node.choice = _keep(search, used, search.offers[offer].parts * search.size)
    search.node_count += 1
    hash = hash_bytes(state, search.width * sizeof(int16_t))
    at = <int64_t>(hash & <uint64_t>search.table_mask)
    while search.table[at] != 0:
        at = (at + 1) & search.table_mask
    search.table[at] = search.node_count
    return search.node_count - 1

cdef struct Attempt:  # the options of one state
    int16_t* state
    int64_t must  # the class of which a unit must be used
    int64_t best
    int32_t best_offer
    int16_t[384] best_used
    int16_t[384] used
    int64_t density  # of the best, when the budget is spent
    int64_t density_units
    int64_t density_worth
    int64_t weighed


cdef void _weigh(Search* search, Snapshot snapshot, Attempt* attempt, int32_t number) noexcept nogil:
    """One complete application: what it and the best of the rest give together."""
    cdef Offer* offer = &search.offers[number]
    cdef int64_t i, part, worth, value, alone = 0
    cdef int16_t[112] child
    cdef bint holds = False
    for part in range(offer.parts):
        holds = holds or attempt.used[part * search.size + attempt.must] > 0
    if not holds:
        return
    search.weighed += 1
    attempt.weighed += 1
    if search.weighed > search.budget * OPTIONS_PER_NODE:
        search.exhausted = True
    worth = _worth(search, snapshot, offer, attempt.used)
    if worth <= 0:
        return
    memcpy(child, attempt.state, search.width * sizeof(int16_t))
    for part in range(offer.parts):
        for i in range(search.size):
            child[i] -= attempt.used[part * search.size + i]
            alone += attempt.used[part * search.size + i] * search.classes[search.members[i]].alone
    if offer.purse != NO_SYMBOL:
        child[search.size + offer.purse] -= 1
    if search.exhausted:  # take what gives most for each unit
        worth -= alone
        if worth > 0 and (
            attempt.best_offer == NO_SYMBOL
            or worth * attempt.density_units > attempt.density_worth * offer.total_qty
        ):
            attempt.best_offer = number
            attempt.density_worth = worth
            attempt.density_units = offer.total_qty
            memcpy(attempt.best_used, attempt.used, offer.parts * search.size * sizeof(int16_t))
        return
    if attempt.best >= 0 and worth + _bound(search, child) <= attempt.best:
        return
    value = worth + _solve(search, snapshot, child)
    if value > attempt.best:
        attempt.best = value
        attempt.best_offer = number
        memcpy(attempt.best_used, attempt.used, offer.parts * search.size * sizeof(int16_t))


cdef void _fill(
    Search* search, Snapshot snapshot, Attempt* attempt, int32_t number, int64_t part, int64_t at, int64_t left
) noexcept nogil:
    """Every way to fill the parts of an application from the classes that remain."""
    cdef Offer* offer = &search.offers[number]
    cdef int64_t i, j, most, have
    if search.exhausted and attempt.weighed > OPTIONS_LEFT_MAX:
        return
    if left == 0:
        if part + 1 == offer.parts:
            _weigh(search, snapshot, attempt, number)
        else:
            _fill(search, snapshot, attempt, number, part + 1, 0, offer.qty[part + 1])
        return
    for i in range(at, search.size):
        if not search.classes[search.members[i]].roles & offer.roles[part]:
            continue
        have = attempt.state[i]
        for j in range(part):
            have -= attempt.used[j * search.size + i]
        most = min(have, left)
        while most > 0:
            attempt.used[part * search.size + i] = <int16_t>most
            _fill(search, snapshot, attempt, number, part, i + 1, left - most)
            attempt.used[part * search.size + i] = 0
            most -= 1
            if offer.parts == 1 and i == attempt.must and most == 0:
                return  # a single part must hold the class, and it comes first
        if offer.parts == 1 and i == attempt.must:
            return


cdef int64_t _solve(Search* search, Snapshot snapshot, int16_t* state) noexcept nogil:
    """The greatest discount on the units of a state; the memo keeps it with the choice that makes it."""
    cdef Attempt attempt
    cdef int64_t i, k, node, value
    cdef Offer* offer
    cdef int16_t[112] child
    cdef int64_t first = 0
    while first < search.size and state[first] == 0:
        first += 1
    if first == search.size:
        return 0
    node = _find(search, state)
    if node >= 0:
        return search.nodes[node].value
    search.visited += 1
    if search.visited > search.budget:
        search.exhausted = True
    memset(&attempt, 0, sizeof(Attempt))
    attempt.state = state
    attempt.must = first
    attempt.best = -1
    attempt.best_offer = NO_SYMBOL
    for k in range(search.near_count):
        offer = &search.offers[search.near[k]]
        if offer.purse != NO_SYMBOL and state[search.size + offer.purse] <= 0:
            continue
        if search.classes[search.members[first]].roles & _all_roles(offer):
            _fill(search, snapshot, &attempt, search.near[k], 0, first if offer.parts == 1 else 0, offer.qty[0])
    memcpy(child, state, search.width * sizeof(int16_t))
    if search.exhausted and attempt.best_offer != NO_SYMBOL and attempt.best < 0:
        offer = &search.offers[attempt.best_offer]
        for k in range(offer.parts):
            for i in range(search.size):
                child[i] -= attempt.best_used[k * search.size + i]
        if offer.purse != NO_SYMBOL:
            child[search.size + offer.purse] -= 1
        value = _worth(search, snapshot, offer, attempt.best_used) + _solve(search, snapshot, child)
        _add_node(search, state, value, attempt.best_offer, attempt.best_used)
        return value
    child[first] = 0
    value = state[first] * search.classes[search.members[first]].alone
    if attempt.best < 0 or value + _bound(search, child) > attempt.best:
        value += _solve(search, snapshot, child)
        if value >= attempt.best:
            attempt.best = value
            attempt.best_offer = NO_SYMBOL
    _add_node(search, state, attempt.best, attempt.best_offer, attempt.best_used)
    return attempt.best

cdef struct Chosen:
    int32_t offer
    int32_t next
    int64_t times
    int16_t[384] used  # by part and member
    int32_t[48] members
    int64_t size


cdef int64_t _components_of(Search* search) noexcept nogil:
    """Number the components: classes that share a set offer, or one that is limited."""
    cdef int64_t i, j, k, first
    cdef int32_t from_, to
    cdef Offer* offer
    for i in range(search.class_count):
        search.classes[i].component = <int32_t>i
    for j in range(search.offer_count):
        offer = &search.offers[j]
        if not offer.is_set and offer.limit == UNLIMITED:
            continue
        first = -1
        for i in range(search.class_count):
            if not search.classes[i].roles & _all_roles(offer):
                continue
            if first < 0:
                first = i
                continue
            from_, to = search.classes[i].component, search.classes[first].component
            if from_ != to:
                for k in range(search.class_count):
                    if search.classes[k].component == from_:
                        search.classes[k].component = to
    return search.class_count


cdef bint _load_component(Search* search, int64_t component) noexcept nogil:
    """Bring a component's classes, dearest first, and offers into the working set; False when there is no search."""
    cdef int64_t i, j
    cdef Offer* offer
    cdef uint64_t roles = 0
    search.size = search.purse_count = search.near_count = 0
    for i in range(search.class_count):
        if search.classes[i].component != component or search.classes[i].searched:
            continue
        if search.size == CLASSES_MAX:
            search.exhausted = True  # more than can be searched together: the dearest first, then the others
            if search.classes[i].price <= search.classes[search.members[search.size - 1]].price:
                continue
            search.size -= 1
        j = search.size
        while j > 0 and search.classes[search.members[j - 1]].price < search.classes[i].price:
            search.members[j] = search.members[j - 1]
            j -= 1
        search.members[j] = <int32_t>i
        search.size += 1
    for i in range(search.size):
        search.classes[search.members[i]].searched = True
        roles |= search.classes[search.members[i]].roles
    for j in range(search.offer_count):
        offer = &search.offers[j]
        if not (offer.is_set or offer.limit != UNLIMITED) or not roles & _all_roles(offer):
            continue
        if offer.limit == 0:
            continue
        search.near[search.near_count] = <int32_t>j
        search.near_count += 1
        offer.purse = NO_SYMBOL
        if offer.limit != UNLIMITED:
            offer.purse = <int32_t>search.purse_count
            search.purses[search.purse_count] = <int32_t>j
            search.purse_count += 1
    search.width = search.size + search.purse_count
    return search.near_count > 0 and search.size > 0


cdef int64_t _search_component(
    Search* search, Snapshot snapshot, Chosen** chosen, int64_t* count, int64_t* capacity, int64_t* bound
) noexcept nogil:
    """Search one component; the applications of the best mix are added to `chosen`."""
    cdef int16_t[112] state
    cdef int64_t i, k, node, value
    cdef Chosen* entry
    cdef Offer* offer
    cdef UnitClass* unit
    search.node_count = search.word_count = 0
    memset(search.table, 0, (search.table_mask + 1) * sizeof(int64_t))
    for i in range(search.size):
        unit = &search.classes[search.members[i]]
        if unit.count > 32000:
            search.exhausted = True
        state[i] = <int16_t>min(unit.count, 32000)
    for i in range(search.purse_count):
        state[search.size + i] = <int16_t>min(search.offers[search.purses[i]].limit, 32000)
    bound[0] += _bound(search, state)
    value = _solve(search, snapshot, state)
    while True:
        i = 0
        while i < search.size and state[i] == 0:
            i += 1
        if i == search.size:
            break
        node = _find(search, state)
        if node < 0:
            break
        if search.nodes[node].offer == NO_SYMBOL:
            state[i] = 0
            continue
        offer = &search.offers[search.nodes[node].offer]
        chosen[0] = <Chosen*>room_for(chosen[0], capacity, count[0] + 1, sizeof(Chosen))
        entry = &chosen[0][count[0]]
        count[0] += 1
        entry.offer = search.nodes[node].offer
        entry.size = search.size
        memcpy(entry.members, search.members, sizeof(entry.members))
        memcpy(entry.used, search.words + search.nodes[node].choice, offer.parts * search.size * sizeof(int16_t))
        for k in range(offer.parts):
            for i in range(search.size):
                state[i] -= entry.used[k * search.size + i]
        if offer.purse != NO_SYMBOL:
            state[search.size + offer.purse] -= 1
            offer.limit -= 1  # what further parts of the component may still use
    return value


cdef int64_t _collect(
    Search* search, Basket* basket, int32_t number, int64_t count, Pick* pieces, int64_t have
) noexcept nogil:
    # Cut `count` unused units of a class out of the basket, as listed; returns the pieces now held.
    cdef int64_t i
    cdef int32_t at, rest
    for i in range(basket.input_line_count):
        at = <int32_t>i
        while at != NO_SYMBOL and count > 0:
            if search.class_of[at] == number and not basket.segments[at].used:
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


cdef void _give(Search* search, Snapshot snapshot, Chosen* entry) noexcept nogil:
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
            each = _single_gain(
                basket, snapshot, benefit, &search.classes[search.class_of[pieces[i].segment]],
                _tier_price(basket, snapshot, benefit) if benefit.type == QUANTITY_BREAK else 0,
            )
        discount(basket, pieces[i].segment, each)


cdef void _search_units(
    Search* search, Snapshot snapshot, int64_t first, int64_t end, const char* playing
) noexcept nogil:
    """Search the mix of unit offers and lay it on the basket, promotion by promotion."""
    cdef Basket* basket = search.basket
    cdef int64_t i, j, k, count = 0, capacity = 0, bound = 0, mark, left
    cdef Chosen* chosen = NULL
    cdef Promotion* promotion
    cdef UnitClass* unit
    cdef int32_t at
    cdef int64_t total_segments
    search.offer_count = search.roles_used = search.class_count = 0
    search.roles = <uint64_t*>realloc(search.roles, max(basket.segment_count, 1) * sizeof(uint64_t))
    if search.roles == NULL:
        abort()
    memset(search.roles, 0, basket.segment_count * sizeof(uint64_t))
    for i in range(first, end):
        if not playing[i - first]:
            continue
        promotion = &snapshot.promotions[basket.verdicts[i].promotion]
        for j in range(promotion.benefit_count):
            if _is_offer(snapshot, promotion, &snapshot.benefits[promotion.benefits + j], basket.input_line_count):
                if not _add_offer(search, snapshot, <int32_t>i, <int32_t>(promotion.benefits + j)):
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
    _make_classes(search)
    _rate_classes(search, snapshot)
    _components_of(search)
    for i in range(search.class_count):
        j = 0
        while j < i and search.classes[j].component != search.classes[i].component:
            j += 1
        if j < i:
            continue  # this component was searched with an earlier class
        while _load_component(search, search.classes[i].component):
            _search_component(search, snapshot, &chosen, &count, &capacity, &bound)
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
        for k in range(count):
            if search.offers[chosen[k].offer].verdict == i:
                _give(search, snapshot, &chosen[k])
                basket.verdicts[i].applications += 1
        if promotion.budget != UNLIMITED:
            left = promotion.budget - (basket.usage[basket.promotion].spent if basket.usage != NULL else 0)
            if given_since(basket, mark) > left:
                shrink(basket, mark, 0 if promotion.budget_skips else left)
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
                if search.class_of[at] != NO_SYMBOL and not basket.segments[at].used:
                    unit = &search.classes[search.class_of[at]]
                    if unit.alone_offer != NO_SYMBOL and search.offers[unit.alone_offer].verdict == i:
                        basket.segments[at].used = 1
                        discount(basket, at, unit.alone)
                at = basket.segments[at].next
        basket.verdicts[i].applications += basket.log_count > mark
    basket.vendor = False
    basket.bound += bound
    free(chosen)


cdef void _mark_used(Basket* basket, int64_t mark) noexcept nogil:
    # Units discounted since `mark` are in an application.
    cdef int64_t i
    cdef int32_t at
    for i in range(mark, basket.log_count):
        at = basket.log[i].line
        if at < 0:
            continue
        while at != NO_SYMBOL:
            if basket.log[i].first <= basket.segments[at].first < basket.log[i].first + basket.log[i].count:
                basket.segments[at].used = 1
            at = basket.segments[at].next


cdef void _give_blocks(
    Basket* basket, Snapshot snapshot, int64_t first, int64_t end, const char* playing, int64_t only, int64_t skip
) noexcept nogil:
    """Give benefits that take units as a whole on the units that are free: number `only`, or all but `skip`."""
    cdef int64_t i, j, block = 0
    cdef Promotion* promotion
    basket.best_units = True
    for i in range(first, end):
        promotion = &snapshot.promotions[basket.verdicts[i].promotion]
        for j in range(promotion.benefit_count if playing[i - first] else 0):
            if not _is_block(snapshot, promotion, &snapshot.benefits[promotion.benefits + j], basket.input_line_count):
                continue
            block += 1
            if (only < 0 or block - 1 == only) and block - 1 != skip:
                _give_benefit(basket, snapshot, promotion, &snapshot.benefits[promotion.benefits + j], i)
    basket.best_units = False


cdef void _give_benefit(
    Basket* basket, Snapshot snapshot, Promotion* promotion, Benefit* benefit, int64_t number
) noexcept nogil:
    cdef int64_t mark = basket.log_count, left, i
    basket.log_floor = mark
    basket.promotion = basket.verdicts[number].promotion
    basket.vendor = promotion.vendor
    basket.verdicts[number].applications += apply_benefit(basket, snapshot, benefit, promotion.max_applications)
    if promotion.budget != UNLIMITED:
        left = promotion.budget - (basket.usage[basket.promotion].spent if basket.usage != NULL else 0)
        for i in range(mark):
            if basket.log[i].promotion == basket.promotion:
                left -= basket.log[i].amount * basket.log[i].count
        if given_since(basket, mark) > left:
            shrink(basket, mark, 0 if promotion.budget_skips else max(left, 0))
    basket.vendor = False
    if basket.best_units:
        _mark_used(basket, mark)


cdef void _give_rest(
    Basket* basket, Snapshot snapshot, int64_t first, int64_t end, const char* playing
) noexcept nogil:
    """What follows the mix, by priority, on running prices; conditions are looked at when the turn comes."""
    cdef int64_t i, j
    cdef Promotion* promotion
    cdef bint held
    for i in range(first, end):
        promotion = &snapshot.promotions[basket.verdicts[i].promotion]
        held = True
        for j in range(promotion.benefit_count if playing[i - first] else 0):
            if not _follows(&snapshot.benefits[promotion.benefits + j]):
                continue
            if j == 0 or held:
                held = conditions_hold(basket, snapshot, promotion, &basket.verdicts[i])
            if held:
                _give_benefit(basket, snapshot, promotion, &snapshot.benefits[promotion.benefits + j], i)


cdef int64_t _play(
    Search* search, Snapshot snapshot, int64_t first, int64_t end, const char* playing, int64_t ahead
) noexcept nogil:
    """One way to combine: block number `ahead` first (-1 for none), the search, the other blocks, the rest.

    With `ahead` below -1 only the rest is given: a threshold may be worth more than any mix below it.
    """
    cdef Basket* basket = search.basket
    cdef int64_t mark = basket.log_count, i
    for i in range(first, end):
        basket.verdicts[i].applications = 0
        if playing[i - first]:
            basket.verdicts[i].outcome = OUT_NONE
            basket.verdicts[i].condition = 0
    basket.bound = 0
    search.visited = search.weighed = 0
    search.exhausted = False
    if ahead == -3:
        _give_greedily(basket, snapshot, first, end, playing)
    if ahead >= 0:
        _give_blocks(basket, snapshot, first, end, playing, ahead, -1)
    if ahead >= -1:
        _search_units(search, snapshot, first, end, playing)
        _give_blocks(basket, snapshot, first, end, playing, -1, ahead)
    _give_rest(basket, snapshot, first, end, playing)
    return given_since(basket, mark)


cdef void _give_greedily(
    Basket* basket, Snapshot snapshot, int64_t first, int64_t end, const char* playing
) noexcept nogil:
    """The first answer: every offer in the order of priority, on the units that are still free."""
    cdef int64_t i, j
    cdef Promotion* promotion
    basket.best_units = True
    for i in range(first, end):
        promotion = &snapshot.promotions[basket.verdicts[i].promotion]
        for j in range(promotion.benefit_count if playing[i - first] else 0):
            if not _follows(&snapshot.benefits[promotion.benefits + j]):
                _give_benefit(basket, snapshot, promotion, &snapshot.benefits[promotion.benefits + j], i)
    basket.best_units = False


cdef void best_stage(Basket* basket, Snapshot snapshot, int64_t first, int64_t end) noexcept nogil:
    """Give the best mix of the stage's promotions; every choice of one member of each group is tried."""
    cdef int64_t i, j, blocks = 0, ahead, total, best = -1, best_ahead = -1, mark = basket.log_count, choice
    cdef int64_t choices = 1, best_choice = 0, free_mark = basket.free_count, worth
    cdef int64_t[8] group_sizes
    cdef int32_t[8] groups
    cdef int64_t group_count = 0
    cdef Promotion* promotion
    cdef Verdict* verdict
    cdef char* open_ = <char*>calloc(2 * (end - first) + 2, 1)
    cdef char* playing
    cdef bint wants_units, follows = False, proven = True
    cdef int64_t bound = 0
    cdef Search search
    memset(&search, 0, sizeof(Search))
    if open_ == NULL:
        abort()
    playing = open_ + (end - first)
    search.basket = basket
    search.offers = <Offer*>malloc(OFFERS_MAX * sizeof(Offer))
    search.table_mask = 1023
    search.table = <int64_t*>calloc(search.table_mask + 1, sizeof(int64_t))
    search.budget = snapshot.rules.nodes_max if snapshot.rules.nodes_max > 0 else NODES_DEFAULT
    if search.offers == NULL or search.table == NULL:
        abort()
    for i in range(first, end):
        verdict = &basket.verdicts[i]
        promotion = &snapshot.promotions[verdict.promotion]
        if verdict.outcome != OUT_NONE or promotion.exclusive:
            continue
        wants_units = False
        for j in range(promotion.benefit_count):
            if _follows(&snapshot.benefits[promotion.benefits + j]):
                follows = True
            else:
                wants_units = True
        if wants_units and not conditions_hold(basket, snapshot, promotion, verdict):
            continue
        open_[i - first] = 1
        for j in range(promotion.benefit_count):
            blocks += _is_block(snapshot, promotion, &snapshot.benefits[promotion.benefits + j], basket.input_line_count)
        if promotion.group_mode != 0:
            for j in range(group_count):
                if groups[j] == promotion.group:
                    if promotion.group_mode == GROUP_FIRST:
                        open_[i - first] = 2  # only the first member plays
                    else:
                        group_sizes[j] += 1
                    break
            else:
                if group_count < 8:
                    groups[group_count] = promotion.group
                    group_sizes[group_count] = 1
                    group_count += 1
    for j in range(group_count):
        choices *= group_sizes[j]
    choices = min(choices, 256)
    blocks = min(blocks, BLOCKS_MAX)
    save_state(basket, 2)
    for choice in range(choices):
        _set_playing(basket, snapshot, first, end, open_, playing, groups, group_sizes, group_count, choice)
        for ahead in range(-1, blocks + (1 if follows else 0)):
            if ahead == blocks:
                ahead = -2
            total = _play(&search, snapshot, first, end, playing, ahead)
            if total > best or (best < 0 and basket.free_count > free_mark):
                best = total
                best_choice = choice
                best_ahead = ahead
            restore_state(basket, 2)
            if search.exhausted:
                proven = False
                bound = max(bound, basket.bound)
        if not proven:
            total = _play(&search, snapshot, first, end, playing, -3)
            if total > best:
                best = total
                best_choice = choice
                best_ahead = -3
            restore_state(basket, 2)
    _set_playing(basket, snapshot, first, end, open_, playing, groups, group_sizes, group_count, best_choice)
    _play(&search, snapshot, first, end, playing, best_ahead)
    basket.searched = True
    basket.nodes = search.visited
    basket.found = given_since(basket, mark)
    basket.proven = proven and blocks == 0
    basket.bound = basket.found if basket.proven else max(bound, basket.bound, basket.found)
    for i in range(first, end):
        if not open_[i - first]:
            continue
        verdict = &basket.verdicts[i]
        verdict.discount = verdict.charge_discount = 0
        for j in range(mark, basket.log_count):
            if basket.log[j].promotion == verdict.promotion:
                worth = basket.log[j].amount * basket.log[j].count
                verdict.discount += worth
                if basket.log[j].line < 0:
                    verdict.charge_discount += worth
        if verdict.outcome != OUT_NONE:
            continue  # a condition failed when its turn came
        worth = verdict.discount != 0
        for j in range(free_mark, basket.free_count):
            worth = worth or basket.free_units[j].promotion == verdict.promotion
        verdict.outcome = OUT_APPLIED if worth else OUT_BEATEN
        verdict.settled = 1
        basket.turns += worth
        verdict.turn = basket.turns if worth else 0
        if not worth:
            verdict.applications = 0
            # Beaten only if it could give something alone.
            verdict.found = basket.found
            verdict.needed = _alone(basket, snapshot, verdict.promotion)
            if verdict.needed == 0:
                verdict.outcome = OUT_NOTHING
                verdict.found = 0
    free(open_)
    free(search.offers)
    free(search.table)
    free(search.words)
    free(search.nodes)
    free(search.roles)
    free(search.class_of)
    free(search.classes)


cdef void _set_playing(
    Basket* basket, Snapshot snapshot, int64_t first, int64_t end, const char* open_, char* playing,
    const int32_t* groups, const int64_t* sizes, int64_t group_count, int64_t choice
) noexcept nogil:
    # Who plays in this choice of one member a group.
    cdef int64_t i, j, seat, wanted
    cdef int64_t[8] seen
    cdef Promotion* promotion
    memset(seen, 0, sizeof(seen))
    for i in range(first, end):
        promotion = &snapshot.promotions[basket.verdicts[i].promotion]
        playing[i - first] = open_[i - first] == 1
        if not playing[i - first] or promotion.group_mode != GROUP_BEST:
            continue
        wanted = choice
        for j in range(group_count):
            seat = wanted % sizes[j]
            wanted //= sizes[j]
            if groups[j] == promotion.group:
                playing[i - first] = seen[j] == seat
                seen[j] += 1


cdef int64_t _alone(Basket* basket, Snapshot snapshot, int32_t number) noexcept nogil:
    """What a promotion would give by itself at the start of the stage."""
    cdef Promotion* promotion = &snapshot.promotions[number]
    cdef int64_t i, worth, log_end = basket.log_count, free_end = basket.free_count, mark
    save_state(basket, 3)
    restore_state(basket, 2)
    basket.log_count = log_end  # entries of the answer stay untouched behind the trial's
    mark = basket.log_count
    basket.log_floor = mark
    basket.promotion = number
    for i in range(promotion.benefit_count):
        apply_benefit(basket, snapshot, &snapshot.benefits[promotion.benefits + i], promotion.max_applications)
    worth = given_since(basket, mark)
    basket.free_count = free_end
    restore_state(basket, 3)
    return worth

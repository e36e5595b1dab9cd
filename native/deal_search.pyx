"""Search one component for the best mix of applications.

    f(counts) = max( leave the first class alone + f(rest), each application that holds a unit of it + f(rest) )

A state is the count of each class and what is left in each purse; a memo keeps what was found for it.  A
bound cuts options that cannot win: no unit gives more than its best offer, and what draws on a purse of
money gives no more than is left in it.  The search counts its nodes; beyond the budget the most productive
application of each state is taken, as often as it fits, and the answer is no longer proven.
"""

from libc.stdint cimport int16_t, int32_t, int64_t, uint64_t
from libc.stdlib cimport abort, calloc, free
from libc.string cimport memcmp, memcpy, memset

from ringup.native.arrays cimport room_for
from ringup.native.deal_offers cimport (
    CLASSES_MAX,
    ENDLESS,
    MONEY_WORDS,
    STATE_MAX,
    USED_MAX,
    Node,
    Offer,
    Purse,
    UnitClass,
    all_roles,
    single_gain,
)
from ringup.native.index cimport hash_bytes
from ringup.native.pricing_discount cimport percent_of
from ringup.native.pricing_sets cimport bundle_worth
from ringup.native.promotion cimport (
    BUY_GET,
    MULTIBUY_CHEAPEST_FREE,
    NO_SYMBOL,
    PICK_DEAREST,
    QUANTITY_GROUP,
    SELECT_BEST_ALLOCATION,
    Benefit,
)

cdef enum:
    OPTIONS_PER_NODE = 8  # so many applications weighed cost as much as a node
    OPTIONS_LEFT_MAX = 2000  # weighed at a state once the budget is spent
    DEPTH_MAX = 1000  # applications in one chain of states: each stands on the stack
    UNITS_MAX = 32000  # of a class in one search


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
                gain += single_gain(snapshot, offer, unit) * used[part * search.size + i]
    if not offer.is_set or benefit.type == QUANTITY_GROUP:
        return gain
    if benefit.type == MULTIBUY_CHEAPEST_FREE:
        return each
    return max(bundle_worth(search.basket, snapshot, benefit, value, room), 0)


cdef int64_t _money(Search* search, const int16_t* state, int64_t place) noexcept nogil:
    # What is left in a purse of money.
    cdef int64_t left
    memcpy(&left, state + search.size + search.near_count_purses + place * MONEY_WORDS, sizeof(int64_t))
    return left


cdef void _set_money(Search* search, int16_t* state, int64_t place, int64_t left) noexcept nogil:
    memcpy(state + search.size + search.near_count_purses + place * MONEY_WORDS, &left, sizeof(int64_t))


cdef int64_t _bound(Search* search, const int16_t* state) noexcept nogil:
    """No mix on the units of a state gives more."""
    cdef int64_t i, k, total = 0, free_total = 0, extra
    cdef UnitClass* unit
    for i in range(search.size):
        total += state[i] * search.classes[search.members[i]].most
    if search.near_money_purses == 0:
        return total
    # Units that draw on a purse give what they would give without it, and more only while it lasts.
    for i in range(search.size):
        free_total += state[i] * search.classes[search.members[i]].most_free
    for k in range(search.near_money_purses):
        extra = 0
        for i in range(search.size):
            unit = &search.classes[search.members[i]]
            extra += state[i] * max(unit.most_of[search.near_moneys[k]] - unit.most_free, 0)
        free_total += min(extra, _money(search, state, k))
    return min(total, free_total)


cdef void _loosen(Search* search, int16_t* state) noexcept nogil:
    """A purse that the units left can no longer empty is endless: states that differ in it alone are one."""
    cdef int64_t i, k, most
    for k in range(search.near_money_purses):
        most = 0
        for i in range(search.size):
            most += state[i] * search.classes[search.members[i]].most_of[search.near_moneys[k]]
        if _money(search, state, k) >= most:
            _set_money(search, state, k, ENDLESS)


cdef int64_t _affordable(Search* search, Offer* offer, const int16_t* state, int64_t worth) noexcept nogil:
    """What an application worth so much gives with what is left in the purses."""
    cdef int64_t i, left
    for i in range(offer.count_purses):
        if state[search.size + search.counts[offer.counts[i]].place] <= 0:
            return 0
    for i in range(offer.money_purses):
        left = _money(search, state, search.moneys[offer.moneys[i]].place)
        if worth > left:
            worth = 0 if search.moneys[offer.moneys[i]].skips else left
    return worth


cdef void _take(
    Search* search, Offer* offer, int16_t* state, const int16_t* used, int64_t worth, int64_t times
) noexcept nogil:
    """Take the units and purses of so many applications from a state."""
    cdef int64_t i, part, left
    cdef int32_t place
    for part in range(offer.parts):
        for i in range(search.size):
            state[i] -= <int16_t>(used[part * search.size + i] * times)
    for i in range(offer.count_purses):
        state[search.size + search.counts[offer.counts[i]].place] -= <int16_t>times
    for i in range(offer.money_purses):
        place = search.moneys[offer.moneys[i]].place
        left = _money(search, state, place)
        if left != ENDLESS:
            _set_money(search, state, place, left - worth * times)


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
    Search* search, const int16_t* state, int64_t value, int32_t offer, const int16_t* used, int64_t times
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
    node.times = times
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
    int16_t[USED_MAX] best_used
    int16_t[USED_MAX] used
    int64_t density_units  # of the best, when the budget is spent
    int64_t density_worth
    int64_t weighed


cdef void _weigh(Search* search, Snapshot snapshot, Attempt* attempt, int32_t number) noexcept nogil:
    """One complete application: what it and the best of the rest give together."""
    cdef Offer* offer = &search.offers[number]
    cdef int64_t i, part, worth, value, alone = 0
    cdef int16_t[STATE_MAX] child
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
    if worth > 0 and (offer.count_purses or offer.money_purses):
        worth = _affordable(search, offer, attempt.state, worth)
    if worth <= 0:
        return
    if search.exhausted:  # take what gives most for each unit
        for part in range(offer.parts):
            for i in range(search.size):
                alone += attempt.used[part * search.size + i] * search.classes[search.members[i]].alone
        if worth > alone and (
            attempt.best_offer == NO_SYMBOL
            or (worth - alone) * attempt.density_units > attempt.density_worth * offer.total_qty
        ):
            attempt.best_offer = number
            attempt.density_worth = worth - alone
            attempt.density_units = offer.total_qty
            memcpy(attempt.best_used, attempt.used, offer.parts * search.size * sizeof(int16_t))
        return
    memcpy(child, attempt.state, search.width * sizeof(int16_t))
    _take(search, offer, child, attempt.used, worth, 1)
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


cdef int64_t _first_class(Search* search, const int16_t* state) noexcept nogil:
    # The first class with units left; `size` when there is none.
    cdef int64_t first = 0
    while first < search.size and state[first] == 0:
        first += 1
    return first


cdef void _try_offers(Search* search, Snapshot snapshot, Attempt* attempt) noexcept nogil:
    """Weigh every application that holds a unit of the class `must`."""
    cdef int64_t k, i
    cdef Offer* offer
    cdef bint is_open
    for k in range(search.near_count):
        offer = &search.offers[search.near[k]]
        is_open = True
        for i in range(offer.count_purses):
            is_open = is_open and attempt.state[search.size + search.counts[offer.counts[i]].place] > 0
        if is_open and search.classes[search.members[attempt.must]].roles & all_roles(offer):
            _fill(
                search, snapshot, attempt, search.near[k], 0, attempt.must if offer.parts == 1 else 0, offer.qty[0]
            )


cdef int64_t _times(Search* search, Offer* offer, const int16_t* state, const int16_t* used, int64_t worth) noexcept nogil:
    """How often an application fits into a state before its units or purses run short; at least once."""
    cdef int64_t i, part, taken, left, times = UNITS_MAX
    for i in range(search.size):
        taken = 0
        for part in range(offer.parts):
            taken += used[part * search.size + i]
        if taken:
            times = min(times, state[i] // taken)
    for i in range(offer.count_purses):
        times = min(times, state[search.size + search.counts[offer.counts[i]].place])
    for i in range(offer.money_purses):
        left = _money(search, state, search.moneys[offer.moneys[i]].place)
        if left != ENDLESS and worth > 0:
            times = min(times, left // worth)
    return max(times, 1)


cdef int64_t _settle(Search* search, Snapshot snapshot, const int16_t* from_) noexcept nogil:
    """The budget is spent: from a state on, take the most productive application as often as it fits, and go on."""
    cdef Attempt attempt
    cdef int16_t[STATE_MAX] state
    cdef int64_t value = 0, worth, times, node, first, known = search.node_count
    cdef Offer* offer
    memcpy(state, from_, search.width * sizeof(int16_t))
    while True:
        _loosen(search, state)
        first = _first_class(search, state)
        if first == search.size:
            break
        node = _find(search, state)
        if node >= 0:
            value += search.nodes[node].value
            break
        memset(&attempt, 0, sizeof(Attempt))
        attempt.state = state
        attempt.must = first
        attempt.best = -1
        attempt.best_offer = NO_SYMBOL
        _try_offers(search, snapshot, &attempt)
        if attempt.best_offer == NO_SYMBOL:
            worth = state[first] * search.classes[search.members[first]].alone
            _add_node(search, state, worth, NO_SYMBOL, NULL, 1)
            state[first] = 0
        else:
            offer = &search.offers[attempt.best_offer]
            worth = _affordable(search, offer, state, _worth(search, snapshot, offer, attempt.best_used))
            times = _times(search, offer, state, attempt.best_used, worth)
            _add_node(search, state, worth * times, attempt.best_offer, attempt.best_used, times)
            _take(search, offer, state, attempt.best_used, worth, times)
            worth *= times
        value += worth
    # Each new node has its own step so far; what follows it belongs to it, too.
    worth = value
    for node in range(known, search.node_count):
        times = search.nodes[node].value
        search.nodes[node].value = worth
        worth -= times
    return value


cdef int64_t _solve(Search* search, Snapshot snapshot, int16_t* state) noexcept nogil:
    """The greatest discount on the units of a state; the memo keeps it with the choice that makes it."""
    cdef Attempt attempt
    cdef int64_t node, value, first = _first_class(search, state)
    cdef int16_t[STATE_MAX] child
    if first == search.size:
        return 0
    if search.near_money_purses:
        _loosen(search, state)
    node = _find(search, state)
    if node >= 0:
        return search.nodes[node].value
    search.visited += 1
    if search.visited > search.budget or search.depth >= DEPTH_MAX:
        search.exhausted = True
    if search.exhausted:
        return _settle(search, snapshot, state)
    search.depth += 1
    attempt.state = state
    attempt.must = first
    attempt.best = -1
    attempt.best_offer = NO_SYMBOL
    attempt.density_units = attempt.density_worth = attempt.weighed = 0
    memset(attempt.used, 0, sizeof(attempt.used))
    _try_offers(search, snapshot, &attempt)
    search.depth -= 1
    if search.exhausted and attempt.best < 0:
        return _settle(search, snapshot, state)
    memcpy(child, state, search.width * sizeof(int16_t))
    child[first] = 0
    value = state[first] * search.classes[search.members[first]].alone
    if attempt.best < 0 or value + _bound(search, child) > attempt.best:
        search.depth += 1
        value += _solve(search, snapshot, child)
        search.depth -= 1
        if value >= attempt.best:
            attempt.best = value
            attempt.best_offer = NO_SYMBOL
    _add_node(search, state, attempt.best, attempt.best_offer, attempt.best_used, 1)
    return attempt.best


cdef void _place_purses(Search* search, Offer* offer) noexcept nogil:
    """Give the purses of an offer a place in the state."""
    cdef int64_t i
    cdef Purse* purse
    for i in range(offer.count_purses):
        purse = &search.counts[offer.counts[i]]
        if purse.place == NO_SYMBOL:
            purse.place = <int32_t>search.near_count_purses
            search.near_counts[search.near_count_purses] = offer.counts[i]
            search.near_count_purses += 1
    for i in range(offer.money_purses):
        purse = &search.moneys[offer.moneys[i]]
        if purse.place == NO_SYMBOL:
            purse.place = <int32_t>search.near_money_purses
            search.near_moneys[search.near_money_purses] = offer.moneys[i]
            search.near_money_purses += 1


cdef bint load_component(Search* search, int64_t component) noexcept nogil:
    """Bring a component's classes, dearest first, and offers into the working set; False when there is no search."""
    cdef int64_t i, j
    cdef Offer* offer
    cdef uint64_t roles = 0
    cdef bint is_open
    search.size = search.near_count_purses = search.near_money_purses = search.near_count = 0
    for i in range(search.count_purses):
        search.counts[i].place = NO_SYMBOL
    for i in range(search.money_purses):
        search.moneys[i].place = NO_SYMBOL
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
        if not (offer.is_set or offer.count_purses or offer.money_purses) or not roles & all_roles(offer):
            continue
        if not offer.is_set and offer.tier_price < 0:
            continue
        is_open = True
        for i in range(offer.count_purses):
            is_open = is_open and search.counts[offer.counts[i]].left > 0
        for i in range(offer.money_purses):
            is_open = is_open and search.moneys[offer.moneys[i]].left > 0
        if not is_open:
            continue
        search.near[search.near_count] = <int32_t>j
        search.near_count += 1
        _place_purses(search, offer)
    search.width = search.size + search.near_count_purses + search.near_money_purses * MONEY_WORDS
    return search.near_count > 0 and search.size > 0


cdef void search_component(
    Search* search, Snapshot snapshot, Chosen** chosen, int64_t* count, int64_t* capacity, int64_t* bound
) noexcept nogil:
    """Search one component; the applications of the best mix are added to `chosen`."""
    cdef int16_t[STATE_MAX] state
    cdef int64_t i, node, first, worth
    cdef Chosen* entry
    cdef Offer* offer
    cdef UnitClass* unit
    search.node_count = search.word_count = search.depth = 0
    memset(search.table, 0, (search.table_mask + 1) * sizeof(int64_t))
    for i in range(search.size):
        unit = &search.classes[search.members[i]]
        if unit.count > UNITS_MAX:
            search.exhausted = True
            bound[0] += (unit.count - UNITS_MAX) * unit.most
        state[i] = <int16_t>min(unit.count, UNITS_MAX)
    for i in range(search.near_count_purses):
        state[search.size + i] = <int16_t>min(search.counts[search.near_counts[i]].left, UNITS_MAX)
    for i in range(search.near_money_purses):
        _set_money(search, state, i, search.moneys[search.near_moneys[i]].opening)
    bound[0] += _bound(search, state)
    for i in range(search.near_money_purses):
        _set_money(search, state, i, search.moneys[search.near_moneys[i]].left)
    _solve(search, snapshot, state)
    while True:
        _loosen(search, state)
        first = _first_class(search, state)
        if first == search.size:
            return
        node = _find(search, state)
        if node < 0:
            return
        if search.nodes[node].offer == NO_SYMBOL:
            state[first] = 0
            continue
        offer = &search.offers[search.nodes[node].offer]
        chosen[0] = <Chosen*>room_for(chosen[0], capacity, count[0] + 1, sizeof(Chosen))
        entry = &chosen[0][count[0]]
        count[0] += 1
        entry.offer = search.nodes[node].offer
        entry.times = search.nodes[node].times
        entry.size = search.size
        memcpy(entry.members, search.members, sizeof(entry.members))
        memcpy(entry.used, search.words + search.nodes[node].choice, offer.parts * search.size * sizeof(int16_t))
        worth = _affordable(search, offer, state, _worth(search, snapshot, offer, entry.used))
        _take(search, offer, state, entry.used, worth, entry.times)
        # What further parts of the component may still use.
        for i in range(offer.count_purses):
            search.counts[offer.counts[i]].left -= entry.times
        for i in range(offer.money_purses):
            search.moneys[offer.moneys[i]].left -= worth * entry.times

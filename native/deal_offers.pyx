"""Offers of the best deal: which benefits can be laid unit by unit, on which units, and what limits them.

Units that are the same to every offer form a class.  A limit that several applications share is a purse:
of applications (uses of a promotion, units of a target) or of money (a cap, a budget).
"""

from libc.stdint cimport int32_t, int64_t, uint64_t
from libc.string cimport memset

from ringup.native.arrays cimport room_for
from ringup.native.limits cimport PERCENT_SCALE
from ringup.native.money cimport CEILING, HALF_UP, multiply_divide
from ringup.native.pricing_choice cimport UNITS_IN_NO_SET, UNITS_OPEN, choose
from ringup.native.pricing_discount cimport percent_of
from ringup.native.pricing_state cimport Basket, Segment
from ringup.native.promotion cimport (
    BUNDLE_AMOUNT_OFF,
    BUNDLE_FIXED_PRICE,
    BUNDLE_PERCENT_OFF,
    BUY_GET,
    CHARGE_PERCENT_OFF,
    CHEAPEST_PERCENT_OFF,
    FIRST_THEN_AMOUNT,
    FREE_ITEM,
    ITEM_AMOUNT_OFF,
    ITEM_FIXED_PRICE,
    ITEM_MARKUP_PERCENT,
    ITEM_PERCENT_OFF,
    MULTIBUY_CHEAPEST_FREE,
    NO_SYMBOL,
    ORDER_FIXED_TOTAL,
    ORDER_PERCENT_OFF,
    PICK_CHEAPEST,
    PICK_LISTED,
    QUANTITY_BREAK,
    QUANTITY_GROUP,
    TIERED_AMOUNT,
    UNLIMITED,
    Benefit,
    Promotion,
    Snapshot,
)


cdef int64_t single_gain(Snapshot snapshot, Offer* offer, UnitClass* unit) noexcept nogil:
    """What a single-unit offer gives for one unit of the class."""
    cdef Benefit* benefit = &snapshot.benefits[offer.benefit]
    cdef int64_t room = max(unit.price - max(unit.floor, 0), 0)
    cdef int64_t each
    if benefit.type == ITEM_PERCENT_OFF or benefit.type == CHEAPEST_PERCENT_OFF:
        each = percent_of(unit.original if benefit.original else unit.price, benefit.rate_ppb, &snapshot.rules)
    elif benefit.type == QUANTITY_GROUP and benefit.rate_ppb > 0:
        each = percent_of(unit.price, benefit.rate_ppb, &snapshot.rules)
    else:
        each = offer.tier_price if benefit.type == QUANTITY_BREAK else benefit.amount
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


cdef bint is_offer(Snapshot snapshot, Promotion* promotion, Benefit* benefit, int64_t lines) noexcept nogil:
    """Whether the search can lay the benefit unit by unit; others are given to whole sets."""
    cdef int64_t i
    cdef int kind = benefit.type
    if kind == ITEM_PERCENT_OFF or kind == CHEAPEST_PERCENT_OFF or kind == ITEM_FIXED_PRICE or (
        kind == ITEM_AMOUNT_OFF and not benefit.per_line
    ):
        if snapshot.targets[benefit.target].max_units_per_line == 0:
            return True
        return lines <= LINES_MAX and kind != CHEAPEST_PERCENT_OFF and snapshot.targets[benefit.target].max_units == 0
    if kind == QUANTITY_BREAK:
        return not _narrowed(snapshot, benefit.target)
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


cdef bint is_block(Snapshot snapshot, Promotion* promotion, Benefit* benefit, int64_t lines) noexcept nogil:
    """Whether the benefit wants units of its own, and yet only as a whole: an amount per line, a set's narrow target."""
    return not is_offer(snapshot, promotion, benefit, lines) and not follows(benefit)


cdef bint follows(Benefit* benefit) noexcept nogil:
    """Benefits on the order, on charges and free items want no unit for themselves: they follow the mix."""
    cdef int kind = benefit.type
    return (
        ORDER_PERCENT_OFF <= kind <= ORDER_FIXED_TOTAL
        or kind == ITEM_MARKUP_PERCENT
        or TIERED_AMOUNT <= kind <= FIRST_THEN_AMOUNT
        or CHARGE_PERCENT_OFF <= kind <= FREE_ITEM
    )


cdef uint64_t _mark_role(
    Search* search, Snapshot snapshot, int32_t target, int open_to, bint for_benefit, int64_t price_below, bint exactly,
    int32_t line
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
    choose(basket, snapshot, target, PICK_LISTED, open_to, for_benefit)
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
    offer.parts = 1
    offer.qty[0] = offer.total_qty = 1
    search.offer_count += 1
    return offer


cdef bint _count_purse(Search* search, Offer* offer, int32_t purse) noexcept nogil:
    offer.counts[offer.count_purses] = purse
    offer.count_purses += 1
    return True


cdef bint _new_count(Search* search, Offer* offer, int64_t left) noexcept nogil:
    # A purse of so many applications, for this offer alone.
    if search.count_purses == COUNTS_MAX:
        return False
    search.counts[search.count_purses].left = left
    search.count_purses += 1
    return _count_purse(search, offer, <int32_t>(search.count_purses - 1))


cdef int32_t _new_money(Search* search, int64_t left, bint skips) noexcept nogil:
    # The number of a new purse of money, NO_SYMBOL when there is no room for it.
    if search.money_purses == MONEY_MAX:
        return NO_SYMBOL
    search.moneys[search.money_purses].left = search.moneys[search.money_purses].opening = max(left, 0)
    search.moneys[search.money_purses].skips = skips
    search.money_purses += 1
    return <int32_t>(search.money_purses - 1)


cdef int64_t money_left(Basket* basket, Promotion* promotion, int32_t number) noexcept nogil:
    """What is left of the budget of the promotion at place `number`."""
    return max(promotion.budget - (basket.usage[number].spent if basket.usage != NULL else 0), 0)


cdef bint add_offers(Search* search, Snapshot snapshot, int32_t number) noexcept nogil:
    """Make the offers of the promotion of a verdict; False when there are more than the search takes.

    Uses and a budget are shared by all its offers, a cap by those of its benefit.
    """
    cdef Promotion* promotion = &snapshot.promotions[search.basket.verdicts[number].promotion]
    cdef Benefit* benefit
    cdef Offer* offer
    cdef int64_t i, j, first, uses = NO_SYMBOL
    cdef int32_t budget = NO_SYMBOL, cap
    for i in range(promotion.benefit_count):
        benefit = &snapshot.benefits[promotion.benefits + i]
        if not is_offer(snapshot, promotion, benefit, search.basket.input_line_count):
            continue
        if promotion.budget != UNLIMITED and budget == NO_SYMBOL:
            budget = _new_money(
                search, money_left(search.basket, promotion, search.basket.verdicts[number].promotion),
                promotion.budget_skips,
            )
        cap = NO_SYMBOL
        if benefit.has_cap:
            cap = _new_money(search, benefit.cap, False)
        first = search.offer_count
        if (
            (promotion.budget != UNLIMITED and budget == NO_SYMBOL) or (benefit.has_cap and cap == NO_SYMBOL)
            or not _add_benefit(search, snapshot, number, <int32_t>(promotion.benefits + i))
        ):
            search.offer_count = first  # without its limits it may not play
            return False
        for j in range(first, search.offer_count):
            offer = &search.offers[j]
            # The cap cuts first: what it leaves is what the budget pays.
            if cap != NO_SYMBOL:
                offer.moneys[offer.money_purses] = cap
                offer.money_purses += 1
            if budget != NO_SYMBOL:
                offer.moneys[offer.money_purses] = budget
                offer.money_purses += 1
            if offer.is_set and promotion.max_applications != UNLIMITED:
                if uses == NO_SYMBOL:
                    if not _new_count(search, offer, promotion.max_applications):
                        search.offer_count = first
                        return False
                    uses = search.count_purses - 1
                else:
                    _count_purse(search, offer, <int32_t>uses)
    return True


cdef bint _add_benefit(Search* search, Snapshot snapshot, int32_t number, int32_t row) noexcept nogil:
    """Make the offers of one benefit; False when there are more than the search takes."""
    cdef Benefit* benefit = &snapshot.benefits[row]
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
        offer.roles[0] = _mark_role(search, snapshot, benefit.target, UNITS_OPEN, True, price, False, NO_SYMBOL)
        offer = _new_offer(search, number, row)
        if offer == NULL:
            return False
        offer.roles[0] = _mark_role(search, snapshot, benefit.target, UNITS_OPEN, True, price, True, NO_SYMBOL)
        return _new_count(search, offer, left) and offer.roles[0] != 0
    if not (BUNDLE_FIXED_PRICE <= benefit.type <= BUY_GET) and (
        snapshot.targets[benefit.target].max_units_per_line > 0
    ):
        for i in range(basket.input_line_count):  # a limit of its own for each line
            offer = _new_offer(search, number, row)
            if offer == NULL:
                return False
            offer.roles[0] = _mark_role(search, snapshot, benefit.target, UNITS_OPEN, True, -1, False, <int32_t>i)
            if offer.roles[0] == 0 or not _new_count(
                search, offer, snapshot.targets[benefit.target].max_units_per_line
            ):
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
        offer.roles[0] = _mark_role(search, snapshot, benefit.buy.target, UNITS_IN_NO_SET, False, -1, False, NO_SYMBOL)
        offer.roles[1] = _mark_role(search, snapshot, benefit.get.target, UNITS_IN_NO_SET, True, -1, False, NO_SYMBOL)
    elif benefit.type == BUNDLE_FIXED_PRICE and benefit.component_count > 0:
        offer.is_set = True
        offer.parts = benefit.component_count
        for i in range(benefit.component_count):
            offer.qty[i] = snapshot.components[benefit.components + i].qty
            offer.roles[i] = _mark_role(
                search, snapshot, snapshot.components[benefit.components + i].target, UNITS_IN_NO_SET, True, -1, False, NO_SYMBOL
            )
    else:
        offer.roles[0] = _mark_role(
            search, snapshot, benefit.target,
            UNITS_IN_NO_SET if BUNDLE_FIXED_PRICE <= benefit.type <= MULTIBUY_CHEAPEST_FREE else UNITS_OPEN,
            True, -1, False, NO_SYMBOL,
        )
        if BUNDLE_FIXED_PRICE <= benefit.type <= MULTIBUY_CHEAPEST_FREE or benefit.type == QUANTITY_GROUP:
            offer.is_set = True
            offer.qty[0] = benefit.qty
        elif snapshot.targets[benefit.target].max_units > 0:
            if not _new_count(search, offer, snapshot.targets[benefit.target].max_units):
                return False
    offer.total_qty = 0
    for i in range(offer.parts):
        offer.total_qty += offer.qty[i]
    if offer.is_set and benefit.once and not _new_count(search, offer, 1):
        return False
    return offer.roles[offer.parts - 1] != 0


cdef void make_classes(Search* search) noexcept nogil:
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


cdef void rate_classes(Search* search, Snapshot snapshot) noexcept nogil:
    """The best single offer of each class, and the most that any offer can give for one of its units.

    What an application gives is never more than the sum of this over its units: the search's bound rests on it.
    """
    cdef int64_t i, j, k, gain
    cdef Offer* offer
    cdef Benefit* benefit
    cdef UnitClass* unit
    for j in range(search.offer_count):
        offer = &search.offers[j]
        benefit = &snapshot.benefits[offer.benefit]
        offer.tier_price = _tier_price(search.basket, snapshot, benefit) if benefit.type == QUANTITY_BREAK else 0
        for i in range(search.class_count):
            unit = &search.classes[i]
            gain = 0
            if offer.is_set:
                if benefit.type == BUY_GET:
                    if unit.roles & offer.roles[1]:
                        gain = percent_of(unit.price, benefit.get.rate_ppb, &snapshot.rules)
                elif not unit.roles & all_roles(offer):
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
                    gain = single_gain(snapshot, offer, unit)
            elif unit.roles & offer.roles[0] and offer.tier_price >= 0:
                gain = single_gain(snapshot, offer, unit)
                if not offer.count_purses and not offer.money_purses and gain > unit.alone:
                    unit.alone = gain
                    unit.alone_offer = <int32_t>j
            unit.most = max(unit.most, gain)
            if not offer.money_purses:
                unit.most_free = max(unit.most_free, gain)
            for k in range(offer.money_purses):
                unit.most_of[offer.moneys[k]] = max(unit.most_of[offer.moneys[k]], gain)


cdef uint64_t all_roles(Offer* offer) noexcept nogil:
    """The roles that any part of an offer takes."""
    cdef uint64_t roles = 0
    cdef int64_t i
    for i in range(offer.parts):
        roles |= offer.roles[i]
    return roles


cdef bint _tied(Offer* one, Offer* other) noexcept nogil:
    # Whether two offers draw on one purse.
    cdef int64_t i, j
    for i in range(one.count_purses):
        for j in range(other.count_purses):
            if one.counts[i] == other.counts[j]:
                return True
    for i in range(one.money_purses):
        for j in range(other.money_purses):
            if one.moneys[i] == other.moneys[j]:
                return True
    return False


cdef void join_components(Search* search) noexcept nogil:
    """Number the components: classes that share a set offer, one that is limited, or two that share a limit."""
    cdef int64_t i, j, k, first
    cdef int32_t from_, to
    cdef uint64_t roles
    cdef Offer* offer
    for i in range(search.class_count):
        search.classes[i].component = <int32_t>i
    for j in range(search.offer_count):
        offer = &search.offers[j]
        if not offer.is_set and not offer.count_purses and not offer.money_purses:
            continue
        roles = all_roles(offer)
        for k in range(j):
            if _tied(offer, &search.offers[k]):
                roles |= all_roles(&search.offers[k])
        first = -1
        for i in range(search.class_count):
            if not search.classes[i].roles & roles:
                continue
            if first < 0:
                first = i
                continue
            from_, to = search.classes[i].component, search.classes[first].component
            if from_ != to:
                for k in range(search.class_count):
                    if search.classes[k].component == from_:
                        search.classes[k].component = to

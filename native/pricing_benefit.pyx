"""What a promotion gives: each benefit as a function on the running basket.

Every function lays its discount with `discount`, so floors hold, the log knows each unit, and a
trial can be undone.
"""

from libc.stdint cimport int32_t, int64_t

from ringup.native.arrays cimport room_for
from ringup.native.limits cimport PERCENT_SCALE
from ringup.native.money cimport HALF_UP, multiply_divide
from ringup.native.pricing_choice cimport choose, returned_value, sort_listed, take
from ringup.native.pricing_discount cimport (
    by_quantity,
    off_each,
    percent_of,
    percent_off,
    place_of,
    room_each,
    spread,
    spread_line,
)
from ringup.native.pricing_sets cimport bundles, buy_get, cheapest_free, components
from ringup.native.pricing_state cimport Basket, FreeUnits, Segment, basket_value, cut, discount, discount_charge
from ringup.native.pricing_tax cimport net_for_saving
from ringup.native.promotion cimport (
    BASIS_LINE,
    BASIS_QTY,
    BUNDLE_AMOUNT_OFF,
    BUNDLE_FIXED_PRICE,
    BUY_GET,
    CHARGE_AMOUNT_OFF,
    CHARGE_FIXED_PRICE,
    CHARGE_PERCENT_OFF,
    CHEAPEST_PERCENT_OFF,
    FIRST_THEN_AMOUNT,
    FREE_ITEM,
    ITEM_AMOUNT_OFF,
    ITEM_FIXED_PRICE,
    ITEM_MARKUP_PERCENT,
    ITEM_PERCENT_OFF,
    MULTIBUY_CHEAPEST_FREE,
    ORDER_AMOUNT_OFF,
    ORDER_FIXED_TOTAL,
    ORDER_PERCENT_OFF,
    PICK_CHEAPEST,
    PICK_LISTED,
    PLACE_LINE,
    PLACE_SET,
    PLACE_UNIT,
    QUANTITY_BREAK,
    QUANTITY_GROUP,
    TIERED_AMOUNT,
    TIERED_PERCENT,
    UNLIMITED,
    VIEW_INCLUDED,
    Benefit,
    Snapshot,
    Tier,
)


cdef Tier _tier(Snapshot snapshot, Benefit* benefit, int64_t reached) noexcept nogil:
    # The highest tier reached, or the base.
    cdef Tier best
    cdef Tier* tier
    cdef int64_t i
    best.min = -1
    best.amount = benefit.base_amount
    best.rate_ppb = benefit.base_rate_ppb
    for i in range(benefit.tier_count):
        tier = &snapshot.tiers[benefit.tiers + i]
        if reached >= tier.min > best.min:
            best = tier[0]
    return best


cdef int64_t _base_units(Basket* basket, Snapshot snapshot, int32_t target) noexcept nogil:
    # Whole base units of the target, goods that may not be discounted counted too.
    cdef int64_t i, milli = 0
    cdef Segment* segment
    choose(basket, snapshot, target, PICK_LISTED, False, False)
    for i in range(basket.pick_count):
        segment = &basket.segments[basket.picks[i].segment]
        if segment.lump:
            milli += basket.lines[segment.line].base_qty_milli
        else:
            milli += multiply_divide(
                basket.lines[segment.line].base_qty_milli, basket.picks[i].count, basket.lines[segment.line].units,
                HALF_UP,
            )
    return milli // 1000


cdef void _tiered(Basket* basket, Snapshot snapshot, Benefit* benefit) noexcept nogil:
    cdef int64_t i = 0, end, value
    cdef Tier tier
    if benefit.basis == BASIS_LINE:
        choose(basket, snapshot, benefit.target, PICK_LISTED, False, True)
        while i < basket.pick_count:
            value = 0
            end = i
            while end < basket.pick_count and basket.picks[end].line == basket.picks[i].line:
                value += basket.segments[basket.picks[end].segment].price * basket.picks[end].count
                end += 1
            tier = _tier(snapshot, benefit, value)
            if benefit.type == TIERED_AMOUNT:
                spread_line(basket, basket.picks + i, end - i, tier.amount)
            else:
                percent_off(
                    basket, snapshot, basket.picks + i, end - i, tier.rate_ppb, place_of(snapshot, PLACE_LINE),
                    benefit.original, False, 0, 0
                )
            i = end
        return
    tier = _tier(
        snapshot, benefit,
        _base_units(basket, snapshot, benefit.target) if benefit.basis == BASIS_QTY else basket_value(basket, False)
    )
    choose(basket, snapshot, benefit.target, PICK_LISTED, False, True)
    if benefit.type == TIERED_AMOUNT:  # an order amount: at most what the basket is worth, returns taken off
        spread(
            basket, basket.picks, basket.pick_count, min(tier.amount, max(basket_value(basket, False), 0)),
            False, NULL, 0,
        )
        return
    percent_off(
        basket, snapshot, basket.picks, basket.pick_count, tier.rate_ppb, place_of(snapshot, PLACE_SET),
        benefit.original, benefit.has_cap, benefit.cap,
        0 if benefit.basis == BASIS_LINE else min(returned_value(basket, snapshot, benefit.target), 0)
    )


cdef int64_t _order_amount(Basket* basket, Snapshot snapshot, Benefit* benefit) noexcept nogil:
    cdef int64_t amount = benefit.amount, value = basket_value(basket, False), set_value, charged = 0, i, j
    cdef int32_t[64] charges
    cdef int64_t charge_count = 0
    choose(basket, snapshot, benefit.target, PICK_LISTED, basket.best_units, True)
    for i in range(benefit.charge_count):
        for j in range(basket.charge_count):
            if (
                basket.input_charges[j].symbol == snapshot.lists[benefit.charges + i]
                and charge_count < 64
                and basket.charges[j].amount > 0
            ):
                charges[charge_count] = <int32_t>j
                charge_count += 1
                value += basket.charges[j].amount
                charged += basket.charges[j].amount
    # Returns and reductions in the set leave less of it to discount.
    set_value = min(returned_value(basket, snapshot, benefit.target), 0)
    for i in range(basket.pick_count):
        set_value += basket.picks[i].price * basket.picks[i].count
    if benefit.type == ORDER_FIXED_TOTAL:
        amount = set_value - benefit.amount
    elif benefit.tax_view == VIEW_INCLUDED:
        amount = net_for_saving(basket, snapshot, amount, charges, charge_count)
    return spread(
        basket, basket.picks, basket.pick_count, min(amount, max(min(value, set_value + charged), 0)),
        charge_count > 0, charges, charge_count,
    )


cdef int64_t _charge(Basket* basket, Snapshot snapshot, Benefit* benefit) noexcept nogil:
    cdef int64_t i, j, amount, off, given = 0
    for i in range(benefit.charge_count):
        for j in range(basket.charge_count):
            amount = basket.charges[j].amount
            if basket.input_charges[j].symbol != snapshot.lists[benefit.charges + i] or amount <= 0:
                continue
            if benefit.type == CHARGE_PERCENT_OFF:
                off = percent_of(
                    basket.input_charges[j].amount if benefit.original else amount, benefit.rate_ppb, &snapshot.rules
                )
                if benefit.has_cap:
                    off = min(off, benefit.cap)
            elif benefit.type == CHARGE_AMOUNT_OFF:
                off = benefit.amount
            else:
                off = amount - benefit.amount
            off = min(off, amount)
            if off > 0:
                discount_charge(basket, j, off)
                given += off
    return given


cdef int64_t _free_items(Basket* basket, Snapshot snapshot, Benefit* benefit, int64_t limit) noexcept nogil:
    cdef int64_t times = 1, i, milli = 0
    cdef FreeUnits* free
    if benefit.has_for_each:
        choose(basket, snapshot, benefit.for_each.target, PICK_LISTED, False, False)
        for i in range(basket.pick_count):  # a measured line counts its whole quantity
            if basket.segments[basket.picks[i].segment].lump:
                milli += basket.lines[basket.picks[i].line].qty_milli
            else:
                milli += basket.picks[i].count * 1000
        times = milli // (1000 * benefit.for_each.qty)
        if benefit.once:
            times = min(times, 1)
    if limit != UNLIMITED:
        times = min(times, limit)
    if times <= 0:
        return 0
    basket.free_units = <FreeUnits*>room_for(
        basket.free_units, &basket.free_capacity, basket.free_count + 1, sizeof(FreeUnits)
    )
    free = &basket.free_units[basket.free_count]
    basket.free_count += 1
    free.promotion = basket.promotion
    free.item_id = benefit.free_item
    free.qty = times * benefit.qty
    return times


cdef int64_t apply_benefit(Basket* basket, Snapshot snapshot, Benefit* benefit, int64_t limit) noexcept nogil:
    """Give one benefit; returns how often it was applied.  `limit` is the most sets, UNLIMITED for none."""
    cdef int64_t i, total, count, each, left, mark = basket.log_count
    cdef int kind = benefit.type
    cdef bint unused = basket.best_units
    cdef Segment* segment
    cdef Tier tier
    if benefit.once:
        limit = 1 if limit == UNLIMITED else min(limit, 1)
    if limit == 0:
        return 0
    if kind == BUNDLE_FIXED_PRICE and benefit.component_count > 0:
        return components(basket, snapshot, benefit, limit)
    if BUNDLE_FIXED_PRICE <= kind <= BUNDLE_AMOUNT_OFF:
        return bundles(basket, snapshot, benefit, limit)
    if kind == MULTIBUY_CHEAPEST_FREE:
        return cheapest_free(basket, snapshot, benefit, limit)
    if kind == BUY_GET:
        return buy_get(basket, snapshot, benefit, limit)
    if kind == FREE_ITEM:
        return _free_items(basket, snapshot, benefit, limit)
    if kind == TIERED_AMOUNT or kind == TIERED_PERCENT:
        _tiered(basket, snapshot, benefit)
    elif kind == ORDER_AMOUNT_OFF or kind == ORDER_FIXED_TOTAL:
        _order_amount(basket, snapshot, benefit)
    elif CHARGE_PERCENT_OFF <= kind <= CHARGE_FIXED_PRICE:
        _charge(basket, snapshot, benefit)
    elif kind == ORDER_PERCENT_OFF:
        choose(basket, snapshot, benefit.target, PICK_LISTED, unused, True)
        percent_off(
            basket, snapshot, basket.picks, basket.pick_count, benefit.rate_ppb, place_of(snapshot, PLACE_SET),
            benefit.original, benefit.has_cap, benefit.cap, min(returned_value(basket, snapshot, benefit.target), 0)
        )
    elif kind == ITEM_PERCENT_OFF:
        choose(basket, snapshot, benefit.target, PICK_LISTED, unused, True)
        percent_off(
            basket, snapshot, basket.picks, basket.pick_count, benefit.rate_ppb, place_of(snapshot, PLACE_UNIT),
            benefit.original, benefit.has_cap, benefit.cap, 0
        )
    elif kind == CHEAPEST_PERCENT_OFF:
        choose(basket, snapshot, benefit.target, PICK_CHEAPEST, unused, True)
        left = benefit.qty
        count = 0
        for i in range(basket.pick_count):
            if left == 0:
                break
            basket.picks[i].count = min(basket.picks[i].count, left)
            left -= basket.picks[i].count
            count += 1
        sort_listed(basket, basket.picks, count)
        percent_off(
            basket, snapshot, basket.picks, count, benefit.rate_ppb, place_of(snapshot, PLACE_UNIT), benefit.original,
            benefit.has_cap, benefit.cap, 0
        )
    elif kind == ITEM_AMOUNT_OFF and benefit.per_line:
        choose(basket, snapshot, benefit.target, PICK_LISTED, unused, True)
        i = 0
        while i < basket.pick_count:
            count = i
            while count < basket.pick_count and basket.picks[count].line == basket.picks[i].line:
                count += 1
            spread_line(basket, basket.picks + i, count - i, benefit.amount)
            i = count
    elif kind == ITEM_AMOUNT_OFF:
        choose(basket, snapshot, benefit.target, PICK_LISTED, unused, True)
        for i in range(basket.pick_count):
            off_each(basket, &basket.picks[i], by_quantity(basket, basket.picks[i].segment, benefit.amount))
    elif kind == ITEM_FIXED_PRICE or kind == QUANTITY_BREAK:
        each = benefit.amount
        if kind == QUANTITY_BREAK:
            tier = _tier(snapshot, benefit, _base_units(basket, snapshot, benefit.target))
            if tier.min < 0:
                return 0
            each = tier.amount
        choose(basket, snapshot, benefit.target, PICK_LISTED, unused, True)
        for i in range(basket.pick_count):
            left = each
            if kind == QUANTITY_BREAK:  # a tier's price is of a base unit
                left = multiply_divide(
                    each, basket.input_lines[basket.picks[i].line].base_units_ppm, 1000000, HALF_UP
                )
            off_each(
                basket, &basket.picks[i],
                basket.segments[basket.picks[i].segment].price - by_quantity(basket, basket.picks[i].segment, left)
            )
    elif kind == ITEM_MARKUP_PERCENT:
        choose(basket, snapshot, benefit.target, PICK_LISTED, unused, True)
        for i in range(basket.pick_count):
            segment = &basket.segments[basket.picks[i].segment]
            each = multiply_divide(
                segment.original if benefit.original else segment.price, benefit.rate_ppb, PERCENT_SCALE,
                snapshot.rules.rounding,
            )
            if each > 0:
                cut(basket, basket.picks[i].segment, basket.picks[i].count)
                discount(basket, basket.picks[i].segment, -each)
    elif kind == FIRST_THEN_AMOUNT:
        choose(basket, snapshot, benefit.target, PICK_LISTED, unused, True)
        for i in range(basket.pick_count):
            count = basket.picks[i].count
            if i == 0:
                left = basket.picks[i].segment
                each = take(basket, &basket.picks[i], 1)
                discount(basket, <int32_t>each, min(benefit.amount, room_each(basket, <int32_t>each)))
                count -= 1
            if count > 0:
                off_each(basket, &basket.picks[i], benefit.additional)
    elif kind == QUANTITY_GROUP:
        total = choose(basket, snapshot, benefit.target, benefit.pick, unused, True)
        left = total // benefit.qty
        if limit != UNLIMITED:
            left = min(left, limit)
        total = left
        left *= benefit.qty
        count = 0
        for i in range(basket.pick_count):
            if left == 0:
                break
            basket.picks[i].count = min(basket.picks[i].count, left)
            left -= basket.picks[i].count
            count += 1
        if benefit.rate_ppb > 0:
            sort_listed(basket, basket.picks, count)
            percent_off(
                basket, snapshot, basket.picks, count, benefit.rate_ppb, place_of(snapshot, PLACE_UNIT),
                benefit.original, False, 0, 0
            )
            return total
        for i in range(count):
            off_each(basket, &basket.picks[i], by_quantity(basket, basket.picks[i].segment, benefit.amount))
        return total
    return 1 if basket.log_count > mark else 0

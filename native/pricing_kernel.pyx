"""The price of a basket: find the promotions that it touches, try them in order, then tax what is left."""

from libc.stdint cimport int32_t, int64_t
from libc.string cimport memset

from ringup.native.arrays cimport room_for
from ringup.native.deal cimport best_stage
from ringup.native.money cimport HALF_UP, divide, int128
from ringup.native.pricing_benefit cimport apply_benefit
from ringup.native.pricing_choice cimport choose, returned_value
from ringup.native.pricing_discount cimport shrink, spread
from ringup.native.pricing_rates cimport Taxes
from ringup.native.pricing_sets cimport set_shortfall
from ringup.native.pricing_state cimport (
    Basket,
    InputCoupon,
    InputLine,
    Pick,
    Segment,
    TouchedLine,
    Verdict,
    basket_value,
    given_since,
    load_lines,
    restore_state,
    save_state,
)
from ringup.native.pricing_tax cimport taxes_compute
from ringup.native.promotion cimport (
    CONTAINS,
    DISTINCT,
    GROUP_BEST,
    GROUP_FIRST,
    MAX_QTY,
    MAX_SUBTOTAL,
    MIN_LINE_QTY,
    MIN_QTY,
    MIN_SUBTOTAL,
    MIN_VALUE,
    NO_SYMBOL,
    NTH_ORDER,
    OUT_ABOVE_QTY,
    OUT_ABOVE_VALUE,
    OUT_APPLIED,
    OUT_BEATEN,
    OUT_BUDGET,
    OUT_COUPON_MISSING,
    OUT_CUSTOMER_LIMIT,
    OUT_EXCLUDED,
    OUT_EXPIRED,
    OUT_NEEDS_DISTINCT,
    OUT_NEEDS_QTY,
    OUT_NEEDS_VALUE,
    OUT_NONE,
    OUT_NOT_STARTED,
    OUT_NOTHING,
    OUT_SCHEDULE,
    OUT_SET_INCOMPLETE,
    OUT_UNKNOWN,
    OUT_USAGE_LIMIT,
    OUT_WRONG_CHANNEL,
    OUT_WRONG_CURRENCY,
    OUT_WRONG_CUSTOMER,
    OUT_WRONG_ORDER,
    PICK_LISTED,
    SPACE_CATEGORY,
    SPACE_CHANNEL,
    SPACE_CHARGE,
    SPACE_COUPON,
    SPACE_GROUP,
    SPACE_ITEM,
    UNLIMITED,
    VIEW_INCLUDED,
    Condition,
    Promotion,
    Rules,
    Snapshot,
)
from ringup.native.wire cimport span_equal

cdef enum:
    DAY_MINUTES = 1440


cdef void _add_candidate(Basket* basket, Snapshot snapshot, int32_t promotion) noexcept nogil:
    cdef int64_t at = snapshot.target_count + promotion
    if basket.stamps[at] == basket.epoch:
        return
    basket.stamps[at] = basket.epoch
    basket.candidates = <int32_t*>room_for(
        basket.candidates, &basket.candidate_capacity, basket.candidate_count + 1, sizeof(int32_t)
    )
    basket.candidates[basket.candidate_count] = promotion
    basket.candidate_count += 1


cdef void _add_anchored(Basket* basket, Snapshot snapshot, int32_t symbol) noexcept nogil:
    cdef int32_t i
    if symbol != NO_SYMBOL:
        for i in range(snapshot.anchored_start[symbol], snapshot.anchored_start[symbol + 1]):
            _add_candidate(basket, snapshot, snapshot.anchored[i])


cdef void _touch(Basket* basket, Snapshot snapshot, int32_t symbol, int32_t line) noexcept nogil:
    """Note that the line belongs to every target that names the symbol."""
    cdef int32_t i, target
    cdef TouchedLine* touched
    if symbol == NO_SYMBOL:
        return
    for i in range(snapshot.posting_start[symbol], snapshot.posting_start[symbol + 1]):
        target = snapshot.postings[i]
        if basket.stamps[target] == basket.epoch and (
            basket.touched_lines[basket.touched_last[target]].line == line
        ):
            continue
        basket.touched_lines = <TouchedLine*>room_for(
            basket.touched_lines, &basket.touched_line_capacity, basket.touched_count + 1, sizeof(TouchedLine)
        )
        touched = &basket.touched_lines[basket.touched_count]
        touched.line = line
        touched.next = NO_SYMBOL
        if basket.stamps[target] == basket.epoch:
            basket.touched_lines[basket.touched_last[target]].next = <int32_t>basket.touched_count
        else:
            basket.stamps[target] = basket.epoch
            basket.touched[target] = <int32_t>basket.touched_count
            if snapshot.targets[target].anchor:
                _add_candidate(basket, snapshot, snapshot.targets[target].promotion)
        basket.touched_last[target] = <int32_t>basket.touched_count
        basket.touched_count += 1


cdef void find_candidates(Basket* basket, Snapshot snapshot) noexcept nogil:
    """The promotions that may apply: by posting of each line, by coupon, group and channel, and those for all."""
    cdef int64_t i, j, places = snapshot.target_count + snapshot.promotion_count
    cdef int32_t held
    cdef InputLine* line
    basket.stamps = <int32_t*>room_for(basket.stamps, &basket.stamp_capacity, places, sizeof(int32_t))
    if snapshot.target_count > basket.touched_capacity:
        i = basket.touched_capacity
        basket.touched_last = <int32_t*>room_for(basket.touched_last, &i, snapshot.target_count, sizeof(int32_t))
        basket.touched = <int32_t*>room_for(
            basket.touched, &basket.touched_capacity, snapshot.target_count, sizeof(int32_t)
        )
    if basket.epoch == 2147483647:  # stamps of the past, whatever snapshot they were of, are never equal to a new one
        memset(basket.stamps, 0, basket.stamp_capacity * sizeof(int32_t))
        basket.epoch = 0
    basket.epoch += 1
    basket.candidate_count = basket.touched_count = 0
    for i in range(basket.input_line_count):
        line = &basket.input_lines[i]
        _touch(basket, snapshot, snapshot.symbol(SPACE_ITEM, line.item_id), <int32_t>i)
        for j in range(line.category_count):
            _touch(
                basket, snapshot, snapshot.symbol(SPACE_CATEGORY, basket.texts[line.categories + j]), <int32_t>i
            )
    for i in range(basket.charge_count):
        basket.input_charges[i].symbol = snapshot.symbol(SPACE_CHARGE, basket.input_charges[i].id)
    basket.channel_symbol = snapshot.symbol(SPACE_CHANNEL, basket.channel)
    basket.group_symbols = <int32_t*>room_for(
        basket.group_symbols, &basket.group_symbol_capacity, basket.group_count + basket.coupon_count, sizeof(int32_t)
    )
    for i in range(basket.group_count):
        basket.group_symbols[i] = snapshot.symbol(SPACE_GROUP, basket.texts[basket.groups + i])
    for i in range(basket.coupon_count):  # the coupons' symbols stand behind the groups'
        basket.group_symbols[basket.group_count + i] = NO_SYMBOL
        if basket.coupons[i].promotion == NO_SYMBOL and basket.coupons[i].outcome == OUT_NONE:
            basket.group_symbols[basket.group_count + i] = snapshot.symbol(SPACE_COUPON, basket.coupons[i].code)
    if basket.explain_all:
        for i in range(snapshot.promotion_count):
            _add_candidate(basket, snapshot, <int32_t>i)
    for i in range(snapshot.always_count):
        _add_candidate(basket, snapshot, snapshot.always[i])
    _add_anchored(basket, snapshot, basket.channel_symbol)
    for i in range(basket.group_count + basket.coupon_count):
        _add_anchored(basket, snapshot, basket.group_symbols[i])
    for i in range(basket.coupon_count):
        if basket.coupons[i].promotion != NO_SYMBOL:
            _add_candidate(basket, snapshot, basket.coupons[i].promotion)
    if basket.candidate_count > 64:
        _sort_numbers(basket.candidates, basket.candidate_count)
        return
    for i in range(1, basket.candidate_count):  # into the order of trial
        held = basket.candidates[i]
        j = i
        while j > 0 and basket.candidates[j - 1] > held:
            basket.candidates[j] = basket.candidates[j - 1]
            j -= 1
        basket.candidates[j] = held


cdef void _sort_numbers(int32_t* numbers, int64_t count) noexcept nogil:
    # Heap sort: no extra room, no worst case.
    cdef int64_t start = count // 2, end = count, root, child
    cdef int32_t held
    while end > 1:
        if start > 0:
            start -= 1
        else:
            end -= 1
            held = numbers[end]
            numbers[end] = numbers[0]
            numbers[0] = held
        root = start
        child = 2 * root + 1
        while child < end:
            if child + 1 < end and numbers[child] < numbers[child + 1]:
                child += 1
            if numbers[root] >= numbers[child]:
                break
            held = numbers[root]
            numbers[root] = numbers[child]
            numbers[child] = held
            root = child
            child = 2 * root + 1


cdef bint _refused(Verdict* verdict, int outcome, int64_t found, int64_t needed) noexcept nogil:
    verdict.outcome = outcome
    verdict.found = found
    verdict.needed = needed
    return False


cdef bint _on_schedule(Basket* basket, Snapshot snapshot, Promotion* promotion) noexcept nogil:
    """Whether the store's wall clock is inside; a period past midnight belongs to the day on which it starts."""
    cdef int64_t minute_of_epoch = (basket.at_ns // 1000000000 + basket.utc_offset_s) // 60
    cdef int64_t days, minute, weekday, yesterday, i, starts, ends
    if (basket.at_ns // 1000000000 + basket.utc_offset_s) % 60 < 0:
        minute_of_epoch -= 1  # C rounds toward zero; before 1970 that is up
    days = minute_of_epoch // DAY_MINUTES
    minute = minute_of_epoch % DAY_MINUTES
    if minute < 0:
        minute += DAY_MINUTES
        days -= 1
    weekday = ((days + 3) % 7 + 7) % 7  # 1 January 1970 was a Thursday; 0 is Monday
    yesterday = (weekday + 6) % 7
    cdef bint today_on = promotion.weekdays == 0 or promotion.weekdays >> weekday & 1
    cdef bint yesterday_on = promotion.weekdays == 0 or promotion.weekdays >> yesterday & 1
    if promotion.period_count == 0:
        return today_on
    for i in range(promotion.period_count):
        starts = snapshot.lists[promotion.periods + 2 * i]
        ends = snapshot.lists[promotion.periods + 2 * i + 1]
        if starts < ends:
            if today_on and starts <= minute < ends:
                return True
        elif (today_on and minute >= starts) or (yesterday_on and minute < ends):
            return True
    return False


cdef bint gate(Basket* basket, Snapshot snapshot, int32_t number, Verdict* verdict) noexcept nogil:
    """What keeps a promotion closed whatever is in the basket; the first that does is the reason."""
    cdef Promotion* promotion = &snapshot.promotions[number]
    cdef int64_t i, j, used
    cdef bint found = False
    if promotion.coupon != NO_SYMBOL:
        for i in range(basket.coupon_count):
            if basket.coupons[i].promotion == number or (
                basket.group_symbols[basket.group_count + i] == promotion.coupon
            ):
                found = True
        if not found:
            return _refused(verdict, OUT_COUPON_MISSING, 0, 1)
    if basket.at_ns != 0:
        if promotion.from_ns != 0 and basket.at_ns < promotion.from_ns:
            return _refused(
                verdict, OUT_NOT_STARTED, basket.at_ns // 1000000000, promotion.from_ns // 1000000000
            )
        if promotion.to_ns != 0 and basket.at_ns >= promotion.to_ns:
            return _refused(verdict, OUT_EXPIRED, basket.at_ns // 1000000000, promotion.to_ns // 1000000000)
    if promotion.channel_count > 0:
        found = False
        for i in range(promotion.channel_count):
            found = found or (
                basket.channel_symbol != NO_SYMBOL
                and snapshot.lists[promotion.channels + i] == basket.channel_symbol
            )
        if not found:
            return _refused(verdict, OUT_WRONG_CHANNEL, 0, 0)
    if basket.foreign and promotion.has_amounts:
        return _refused(verdict, OUT_WRONG_CURRENCY, 0, 0)
    if promotion.max_uses != UNLIMITED:
        used = 0
        if basket.usage != NULL:
            used = basket.usage[number].used
            if promotion.release_on_cancel:
                used -= basket.usage[number].cancelled
        if used >= promotion.max_uses:
            return _refused(verdict, OUT_USAGE_LIMIT, used, promotion.max_uses)
    if promotion.max_uses_per_customer != UNLIMITED:
        used = 0
        if basket.customer_uses != NULL:
            used = basket.customer_uses(basket.customer_context, number)
        elif basket.usage != NULL:
            used = basket.usage[number].customer_used
        if used >= promotion.max_uses_per_customer:
            return _refused(verdict, OUT_CUSTOMER_LIMIT, used, promotion.max_uses_per_customer)
    if promotion.budget != UNLIMITED:
        used = basket.usage[number].spent if basket.usage != NULL else 0
        if used >= promotion.budget:
            return _refused(verdict, OUT_BUDGET, promotion.budget - used, 1)
    if basket.at_ns != 0 and (promotion.weekdays != 0 or promotion.period_count > 0) and not _on_schedule(
        basket, snapshot, promotion
    ):
        return _refused(verdict, OUT_SCHEDULE, 0, 0)
    if promotion.customer_group_count > 0:
        found = False
        for i in range(promotion.customer_group_count):
            for j in range(basket.group_count):
                found = found or snapshot.lists[promotion.customer_groups + i] == basket.group_symbols[j]
        if not found:
            return _refused(verdict, OUT_WRONG_CUSTOMER, 0, 0)
    return True


cdef int64_t _target_qty_milli(Basket* basket, Snapshot snapshot, int32_t target) noexcept nogil:
    # In base units, in thousandths.
    cdef int64_t i
    cdef int128 milli = 0
    cdef Segment* segment
    choose(basket, snapshot, target, PICK_LISTED, False, False)
    for i in range(basket.pick_count):
        segment = &basket.segments[basket.picks[i].segment]
        if segment.lump:
            milli += <int128>basket.lines[segment.line].qty_milli * basket.input_lines[segment.line].base_units_ppm
        else:
            milli += <int128>basket.picks[i].count * 1000 * basket.input_lines[segment.line].base_units_ppm
    return <int64_t>divide(milli, 1000000, HALF_UP)


cdef int64_t _target_value(Basket* basket, Snapshot snapshot, int32_t target, bint original) noexcept nogil:
    # Running or original value, reductions and returns included.
    cdef int64_t i, value = 0
    cdef Segment* segment
    choose(basket, snapshot, target, PICK_LISTED, False, False)
    for i in range(basket.pick_count):
        segment = &basket.segments[basket.picks[i].segment]
        value += (segment.original if original else segment.price) * basket.picks[i].count
    return value + returned_value(basket, snapshot, target)


cdef bint _touches_line(Basket* basket, Snapshot snapshot, int32_t target, int64_t line) noexcept nogil:
    cdef int32_t link
    if snapshot.targets[target].all:
        return True
    if basket.stamps[target] != basket.epoch:
        return False
    link = basket.touched[target]
    while link != NO_SYMBOL:
        if basket.touched_lines[link].line == line:
            return True
        link = basket.touched_lines[link].next
    return False


cdef bint conditions_hold(Basket* basket, Snapshot snapshot, Promotion* promotion, Verdict* verdict) noexcept nogil:
    """Whether all conditions hold on the basket as it stands; the verdict gets the first that does not."""
    cdef int64_t i, j, k, found
    cdef Condition* condition
    cdef bint known
    cdef Rules rules
    cdef Taxes* taxes = <Taxes*>basket.taxes
    for i in range(promotion.condition_count):
        condition = &snapshot.conditions[promotion.conditions + i]
        verdict.condition = <int32_t>i + 1
        if condition.type == MIN_SUBTOTAL or condition.type == MAX_SUBTOTAL:
            found = basket_value(basket, condition.original)
            if condition.tax_view != 0 and taxes != NULL:
                rules = snapshot.rules
                rules.tax_before_discount = rules.tax_before_discount or condition.original
                taxes_compute(taxes, basket, &rules, False)
                found += taxes.tax_added if condition.tax_view == VIEW_INCLUDED else -taxes.tax_included
            if condition.type == MIN_SUBTOTAL and found < condition.amount:
                return _refused(verdict, OUT_NEEDS_VALUE, found, condition.amount)
            if condition.type == MAX_SUBTOTAL and found > condition.amount:
                return _refused(verdict, OUT_ABOVE_VALUE, found, condition.amount)
        elif condition.type == MIN_VALUE:
            found = _target_value(basket, snapshot, condition.target, condition.original)
            if found < condition.amount:
                return _refused(verdict, OUT_NEEDS_VALUE, found, condition.amount)
        elif condition.type == MIN_QTY or condition.type == MAX_QTY:
            found = _target_qty_milli(basket, snapshot, condition.target)
            if condition.type == MIN_QTY and found < condition.qty_milli:
                return _refused(verdict, OUT_NEEDS_QTY, found, condition.qty_milli)
            if condition.type == MAX_QTY and found > condition.qty_milli:
                return _refused(verdict, OUT_ABOVE_QTY, found, condition.qty_milli)
        elif condition.type == MIN_LINE_QTY:
            found = 0
            for j in range(basket.input_line_count):
                if basket.lines[j].sign > 0 and basket.segments[j].listed >= 0 and _touches_line(
                    basket, snapshot, condition.target, j
                ):
                    found = max(found, basket.lines[j].base_qty_milli)
            if found < condition.qty_milli:
                return _refused(verdict, OUT_NEEDS_QTY, found, condition.qty_milli)
        elif condition.type == CONTAINS:
            if choose(basket, snapshot, condition.target, PICK_LISTED, False, False) == 0:
                return _refused(verdict, OUT_NEEDS_QTY, 0, 1000)
        elif condition.type == DISTINCT:
            choose(basket, snapshot, condition.target, PICK_LISTED, False, False)
            found = 0
            for j in range(basket.pick_count):
                known = False
                for k in range(j):
                    if span_equal(
                        basket.input_lines[basket.picks[j].line].item_id,
                        basket.input_lines[basket.picks[k].line].item_id,
                    ):
                        known = True
                        break
                found += not known
            if found < condition.count:
                return _refused(verdict, OUT_NEEDS_DISTINCT, found, condition.count)
        elif condition.type == NTH_ORDER:
            if not basket.has_customer or basket.completed_orders + 1 != condition.count:
                return _refused(verdict, OUT_WRONG_ORDER, basket.completed_orders + 1, condition.count)
    verdict.condition = 0
    return True


cdef bint apply_promotion(Basket* basket, Snapshot snapshot, int32_t number, Verdict* verdict) noexcept nogil:
    """Give all benefits of a promotion within its budget.  False, and nothing changed, when it gives nothing.

    Uses level 0 of the saved states.
    """
    cdef Promotion* promotion = &snapshot.promotions[number]
    cdef int64_t i, mark = basket.log_count, free_mark = basket.free_count, times = 0, left, worth
    save_state(basket, 0)
    basket.promotion = number
    basket.vendor = promotion.vendor
    verdict.applications = verdict.discount = verdict.charge_discount = 0
    for i in range(promotion.benefit_count):
        basket.log_floor = basket.log_count
        times += apply_benefit(
            basket, snapshot, &snapshot.benefits[promotion.benefits + i], promotion.max_applications
        )
    worth = given_since(basket, mark)
    if promotion.budget != UNLIMITED:
        left = promotion.budget - (basket.usage[number].spent if basket.usage != NULL else 0)
        if worth > left:
            if promotion.budget_skips:
                restore_state(basket, 0)
                return _refused(verdict, OUT_BUDGET, left, worth)
            basket.log_floor = mark
            shrink(basket, mark, left)
    basket.vendor = False
    if basket.log_count == mark and basket.free_count == free_mark:
        restore_state(basket, 0)
        _explain_nothing(basket, snapshot, promotion, verdict)
        return False
    _count_given(basket, mark, verdict)
    verdict.applications = max(times, 1)
    basket.turns += 1
    verdict.turn = basket.turns
    return True


cdef void _count_given(Basket* basket, int64_t mark, Verdict* verdict) noexcept nogil:
    cdef int64_t i, amount
    verdict.outcome = OUT_APPLIED
    verdict.found = verdict.needed = 0
    for i in range(mark, basket.log_count):
        amount = basket.log[i].amount * basket.log[i].count
        verdict.discount += amount
        if basket.log[i].line < 0:
            verdict.charge_discount += amount


cdef void _explain_nothing(Basket* basket, Snapshot snapshot, Promotion* promotion, Verdict* verdict) noexcept nogil:
    cdef int64_t i, found, needed
    _refused(verdict, OUT_NOTHING, 0, 0)
    for i in range(promotion.benefit_count):
        set_shortfall(basket, snapshot, &snapshot.benefits[promotion.benefits + i], &found, &needed)
        if needed > found:
            _refused(verdict, OUT_SET_INCOMPLETE, found, needed)
            return


cdef bint _try(Basket* basket, Snapshot snapshot, Verdict* verdict) noexcept nogil:
    if not conditions_hold(basket, snapshot, &snapshot.promotions[verdict.promotion], verdict):
        return False
    return apply_promotion(basket, snapshot, verdict.promotion, verdict)


cdef Verdict* _best_of_group(Basket* basket, Snapshot snapshot, int64_t first, int64_t end) noexcept nogil:
    """Try every member of the group alone and give the one worth most; NULL when none gives anything."""
    cdef Verdict* leader = &basket.verdicts[first]
    cdef Verdict* verdict
    cdef Verdict* best = NULL
    cdef Promotion* member
    cdef int32_t group = snapshot.promotions[leader.promotion].group
    cdef int64_t i, worth = 0
    for i in range(first, end):
        verdict = &basket.verdicts[i]
        member = &snapshot.promotions[verdict.promotion]
        if member.group != group or verdict.outcome != OUT_NONE or member.exclusive != (
            snapshot.promotions[leader.promotion].exclusive
        ):
            continue
        save_state(basket, 1)
        if _try(basket, snapshot, verdict):
            restore_state(basket, 1)
            if best == NULL or verdict.discount > worth:
                worth = verdict.discount
                best = verdict
    if best == NULL:
        return NULL
    for i in range(first, end):
        verdict = &basket.verdicts[i]
        if verdict != best and verdict.outcome == OUT_APPLIED and (
            snapshot.promotions[verdict.promotion].group == group
        ) and snapshot.promotions[verdict.promotion].group_mode == GROUP_BEST and verdict.settled == 0:
            verdict.needed = verdict.discount
            verdict.found = worth
            verdict.outcome = OUT_BEATEN
            verdict.other = best.promotion
            verdict.discount = verdict.charge_discount = verdict.applications = verdict.turn = 0
    _try(basket, snapshot, best)
    return best


cdef Verdict* _in_order(
    Basket* basket, Snapshot snapshot, int64_t first, int64_t end, bint exclusive
) noexcept nogil:
    """Try the promotions of one stage and kind; with `exclusive` stop at the first that gives something."""
    cdef int64_t i, j
    cdef Verdict* verdict
    cdef Verdict* given
    cdef Promotion* promotion
    for i in range(first, end):
        verdict = &basket.verdicts[i]
        promotion = &snapshot.promotions[verdict.promotion]
        if verdict.outcome != OUT_NONE or promotion.exclusive != exclusive:
            continue
        given = NULL
        if promotion.group_mode == GROUP_BEST:
            given = _best_of_group(basket, snapshot, i, end)
        elif _try(basket, snapshot, verdict):
            given = verdict
            if promotion.group_mode == GROUP_FIRST:
                for j in range(i + 1, end):
                    if basket.verdicts[j].outcome == OUT_NONE and (
                        snapshot.promotions[basket.verdicts[j].promotion].group == promotion.group
                    ) and snapshot.promotions[basket.verdicts[j].promotion].exclusive == exclusive:
                        basket.verdicts[j].outcome = OUT_BEATEN
                        basket.verdicts[j].other = verdict.promotion
                        basket.verdicts[j].found = verdict.discount
        if given != NULL:
            given.settled = 1
            if exclusive:
                return given
    return NULL


cdef void _stage(Basket* basket, Snapshot snapshot, int32_t stage) noexcept nogil:
    cdef int64_t first = 0, end, i
    cdef Verdict* winner
    cdef Verdict* verdict
    while first < basket.verdict_count and (
        snapshot.promotions[basket.verdicts[first].promotion].stage < stage
    ):
        first += 1
    end = first
    while end < basket.verdict_count and snapshot.promotions[basket.verdicts[end].promotion].stage == stage:
        end += 1
    if first == end:
        return
    winner = _in_order(basket, snapshot, first, end, True)
    if winner != NULL:
        for i in range(first, end):
            verdict = &basket.verdicts[i]
            if verdict.outcome == OUT_NONE:
                if conditions_hold(basket, snapshot, &snapshot.promotions[verdict.promotion], verdict):
                    verdict.outcome = OUT_EXCLUDED
                    verdict.other = winner.promotion
                    verdict.found = winner.discount
        return
    if stage == 2 and snapshot.uses_best_deal:
        best_stage(basket, snapshot, first, end)
    else:
        _in_order(basket, snapshot, first, end, False)


cdef void _redeem(Basket* basket) noexcept nogil:
    """Points redeemed come off the goods last, before taxes."""
    cdef int64_t i, value = basket_value(basket, False)
    cdef Pick* pick
    if basket.redeem <= 0 or value <= 0:
        return
    basket.promotion = NO_SYMBOL
    basket.vendor = False
    basket.pick_count = 0
    for i in range(basket.segment_count):
        if basket.lines[basket.segments[i].line].sign > 0 and basket.segments[i].price > 0:
            basket.picks = <Pick*>room_for(
                basket.picks, &basket.pick_capacity, basket.pick_count + 1, sizeof(Pick)
            )
            pick = &basket.picks[basket.pick_count]
            basket.pick_count += 1
            pick.segment = <int32_t>i
            pick.line = basket.segments[i].line
            pick.count = basket.segments[i].count
            pick.price = basket.segments[i].price
    _by_line(basket)
    spread(basket, basket.picks, basket.pick_count, min(basket.redeem, value), False, NULL, 0)


cdef void _by_line(Basket* basket) noexcept nogil:
    # Segments of one line side by side, in order of their units.
    cdef int64_t i, j
    cdef Pick held
    for i in range(1, basket.pick_count):
        held = basket.picks[i]
        j = i
        while j > 0 and (
            held.line < basket.picks[j - 1].line
            or (
                held.line == basket.picks[j - 1].line
                and basket.segments[held.segment].first < basket.segments[basket.picks[j - 1].segment].first
            )
        ):
            basket.picks[j] = basket.picks[j - 1]
            j -= 1
        basket.picks[j] = held


cdef int coupon_outcome(Basket* basket, Snapshot snapshot, int64_t coupon, int32_t* promotion) noexcept nogil:
    """What became of a coupon: applied (also when only a better one stood before it), or the first reason."""
    cdef InputCoupon* given = &basket.coupons[coupon]
    cdef int32_t symbol = basket.group_symbols[basket.group_count + coupon]
    cdef int64_t i
    cdef int outcome = OUT_UNKNOWN
    cdef Verdict* verdict
    promotion[0] = NO_SYMBOL
    if given.outcome != OUT_NONE:
        promotion[0] = given.promotion
        return given.outcome
    for i in range(basket.verdict_count):
        verdict = &basket.verdicts[i]
        if verdict.promotion != given.promotion and (
            symbol == NO_SYMBOL or snapshot.promotions[verdict.promotion].coupon != symbol
        ):
            continue
        if verdict.outcome == OUT_APPLIED or verdict.outcome == OUT_BEATEN or verdict.outcome == OUT_EXCLUDED:
            promotion[0] = verdict.promotion
            return OUT_APPLIED
        if outcome == OUT_UNKNOWN or OUT_NEEDS_VALUE <= outcome <= OUT_SET_INCOMPLETE or (
            outcome == OUT_WRONG_CUSTOMER
        ):
            outcome = verdict.outcome
            promotion[0] = verdict.promotion
    return outcome


cdef int64_t price_basket(Basket* basket, Snapshot snapshot, Taxes* taxes) noexcept nogil:
    """Price the basket.  Returns -1, or the number of the line whose amount is beyond the limits."""
    cdef int64_t i, bad = load_lines(basket)
    cdef Verdict* verdict
    if bad >= 0:
        return bad
    basket.taxes = taxes
    basket.best_units = basket.searched = False
    basket.turns = 0
    find_candidates(basket, snapshot)
    basket.verdicts = <Verdict*>room_for(
        basket.verdicts, &basket.verdict_capacity, basket.candidate_count, sizeof(Verdict)
    )
    basket.verdict_count = basket.candidate_count
    for i in range(basket.candidate_count):
        verdict = &basket.verdicts[i]
        memset(verdict, 0, sizeof(Verdict))
        verdict.promotion = basket.candidates[i]
        verdict.other = NO_SYMBOL
        gate(basket, snapshot, verdict.promotion, verdict)
    basket.in_catalog = True
    _stage(basket, snapshot, 1)
    basket.in_catalog = False
    for i in range(basket.segment_count):
        basket.segments[i].original = basket.segments[i].price
    _stage(basket, snapshot, 2)
    _redeem(basket)
    if taxes != NULL:
        taxes_compute(taxes, basket, &snapshot.rules, True)
    return -1

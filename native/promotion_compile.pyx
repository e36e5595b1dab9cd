"""Definitions of promotions and rules, checked and compiled into a snapshot."""

from libc.stdint cimport int32_t, int64_t, uint32_t, uint8_t
from libc.string cimport memset

from ringup.native.contract cimport (
    PRICE_SELECTION_LOWEST,
    RESULT_CODE_FIELD_INVALID,
    RESULT_CODE_QTY_INVALID,
    RESULT_CODE_TIME_INVALID,
    RESULT_CODE_TOO_MANY,
    STAGE_CATALOG,
    Limits_budget_minor,
    Limits_max_applications,
    Limits_max_uses,
    Limits_max_uses_per_customer,
    Limits_on_exceed,
    Limits_release_on_cancel,
    Period_from_minute,
    Period_to_minute,
    PricingRules_groups,
    PricingRules_percent_round_at,
    PricingRules_price_selection,
    PricingRules_round_new_price,
    PricingRules_rounding,
    PricingRules_search_nodes_max,
    PricingRules_selection,
    PricingRules_tax_before_discount,
    PricingRules_tax_round_at,
    PricingRules_tax_round_net,
    PricingRules_tax_rounding,
    Promotion_benefits,
    Promotion_channels,
    Promotion_conditions,
    Promotion_coupon,
    Promotion_customer_groups,
    Promotion_exclusive,
    Promotion_from_ns,
    Promotion_group_id,
    Promotion_limits,
    Promotion_name,
    Promotion_priority,
    Promotion_promotion_id,
    Promotion_schedule,
    Promotion_stage,
    Promotion_to_ns,
    Promotion_unique_coupons,
    Promotion_vendor_funded,
    PromotionGroup_group_id,
    PromotionGroup_mode,
    Schedule_periods,
    Schedule_weekdays,
)
from ringup.native.limits cimport CODE_BYTES_MAX, NAME_BYTES_MAX, TIME_NS_MAX
from ringup.native.promotion cimport (
    BASIS_QTY,
    BUNDLE_FIXED_PRICE,
    BUY_GET,
    CHARGE_FIXED_PRICE,
    CHARGE_PERCENT_OFF,
    CONTAINS,
    DISTINCT,
    FIRST_THEN_AMOUNT,
    FREE_ITEM,
    ITEM_FIXED_PRICE,
    LISTS,
    MIN_QTY,
    MIN_VALUE,
    NO_SYMBOL,
    ORDER_FIXED_TOTAL,
    PROMOTIONS,
    QUANTITY_BREAK,
    SPACE_CAMPAIGN,
    SPACE_CHANNEL,
    SPACE_COUPON,
    SPACE_GROUP,
    SPACE_STACK,
    TARGETS,
    TIERED_AMOUNT,
    UNLIMITED,
    Benefit,
    Condition,
    Promotion,
    Snapshot,
)
from ringup.native.promotion_terms cimport read_benefit, read_condition
from ringup.native.wire cimport Reader, Span, is_utf8, next_field, no_span, read_int, read_span, reader_of, skip_field


cdef bint _read_limits(Snapshot snapshot, Span body, Promotion* promotion) noexcept nogil:
    cdef Reader reader = reader_of(body)
    while next_field(&reader):
        if reader.field == Limits_max_uses:
            promotion.max_uses = read_int(&reader)
        elif reader.field == Limits_max_uses_per_customer:
            promotion.max_uses_per_customer = read_int(&reader)
        elif reader.field == Limits_max_applications:
            promotion.max_applications = read_int(&reader)
        elif reader.field == Limits_budget_minor:
            promotion.budget = read_int(&reader)
        elif reader.field == Limits_on_exceed:
            promotion.budget_skips = read_int(&reader) == 2
        elif reader.field == Limits_release_on_cancel:
            promotion.release_on_cancel = read_int(&reader) != 0
        else:
            skip_field(&reader)
    if reader.bad or min(
        promotion.max_uses, promotion.max_uses_per_customer, promotion.max_applications, promotion.budget
    ) < UNLIMITED:
        return snapshot.fail(RESULT_CODE_QTY_INVALID, "promotions.limits", promotion.max_uses, 0)
    return True


cdef bint _read_schedule(Snapshot snapshot, Span body, Promotion* promotion) noexcept nogil:
    cdef Reader reader = reader_of(body), inner
    cdef int64_t day, starts, ends, i, j
    cdef bint[2880] taken
    cdef Span text
    memset(taken, 0, sizeof(taken))
    promotion.periods = <int32_t>snapshot.counts[LISTS]
    while next_field(&reader):
        if reader.field == Schedule_weekdays and reader.wire_type == 2:
            text = read_span(&reader)  # packed
            for i in range(text.size):
                day = <uint8_t>text.data[i]
                if not 1 <= day <= 7:
                    return snapshot.fail(RESULT_CODE_TIME_INVALID, "promotions.schedule.weekdays", day, 7)
                promotion.weekdays |= 1 << (day - 1)
        elif reader.field == Schedule_weekdays:
            day = read_int(&reader)
            if not 1 <= day <= 7:
                return snapshot.fail(RESULT_CODE_TIME_INVALID, "promotions.schedule.weekdays", day, 7)
            promotion.weekdays |= 1 << (day - 1)
        elif reader.field == Schedule_periods:
            inner = reader_of(read_span(&reader))
            starts = ends = 0
            while next_field(&inner):
                if inner.field == Period_from_minute:
                    starts = read_int(&inner)
                elif inner.field == Period_to_minute:
                    ends = read_int(&inner)
                else:
                    skip_field(&inner)
            if inner.bad or not 0 <= starts < 1440 or not 0 <= ends <= 1440 or starts == ends:
                return snapshot.fail(RESULT_CODE_TIME_INVALID, "promotions.schedule.periods.to_minute", ends, 1440)
            for i in range(starts, ends if ends > starts else ends + 1440):
                j = i % 1440
                if taken[j]:
                    return snapshot.fail(RESULT_CODE_TIME_INVALID, "promotions.schedule.periods.from_minute", starts, j)
                taken[j] = True
            snapshot.push_list(<int32_t>starts)
            snapshot.push_list(<int32_t>ends)
            promotion.period_count += 1
        else:
            skip_field(&reader)
    if reader.bad:
        return snapshot.fail(RESULT_CODE_FIELD_INVALID, "promotions.schedule", 0, 0)
    return True


cdef int32_t _needed_target(Snapshot snapshot, Benefit* benefit) noexcept nogil:
    """The target without which a basket gets nothing of a benefit; NO_SYMBOL where every basket may."""
    cdef int32_t target = benefit.target, i
    if benefit.type == BUY_GET:
        target = benefit.get.target if snapshot.targets[benefit.buy.target].all else benefit.buy.target
    elif benefit.type == BUNDLE_FIXED_PRICE and benefit.component_count:
        target = snapshot.components[benefit.components].target
        for i in range(benefit.component_count):
            if not snapshot.targets[snapshot.components[benefit.components + i].target].all:
                target = snapshot.components[benefit.components + i].target
    elif benefit.type == FREE_ITEM:
        if not benefit.has_for_each:
            return NO_SYMBOL
        target = benefit.for_each.target
    elif benefit.type == ORDER_FIXED_TOTAL or CHARGE_PERCENT_OFF <= benefit.type <= CHARGE_FIXED_PRICE:
        return NO_SYMBOL
    return NO_SYMBOL if snapshot.targets[target].all else target


cdef void _choose_anchors(Snapshot snapshot, int32_t at) noexcept nogil:
    """Decide what must be in a basket for the promotion to be looked at, the rarest thing known first."""
    cdef Promotion* promotion = &snapshot.promotions[at]
    cdef Condition* condition
    cdef int32_t i, first, count
    cdef bint reachable = True
    if promotion.coupon != NO_SYMBOL:
        snapshot.add_anchor(promotion.coupon, at)
        return
    for i in range(promotion.condition_count):
        condition = &snapshot.conditions[promotion.conditions + i]
        if not snapshot.targets[condition.target].all and (
            condition.type == CONTAINS
            or (condition.type == MIN_QTY and condition.qty_milli > 0)
            or (condition.type == MIN_VALUE and condition.amount > 0)
            or (condition.type == DISTINCT and condition.count > 0)
        ):
            snapshot.targets[condition.target].anchor = True
            return
    for i in range(promotion.benefit_count):
        reachable = reachable and _needed_target(snapshot, &snapshot.benefits[promotion.benefits + i]) != NO_SYMBOL
    if reachable:
        for i in range(promotion.benefit_count):
            snapshot.targets[_needed_target(snapshot, &snapshot.benefits[promotion.benefits + i])].anchor = True
        return
    first = promotion.customer_groups
    count = promotion.customer_group_count
    if count == 0:
        first = promotion.channels
        count = promotion.channel_count
    if count == 0:
        snapshot.add_always(at)
        return
    for i in range(count):
        snapshot.add_anchor(snapshot.lists[first + i], at)


cdef void _add_name(
    Snapshot snapshot, int space, Span text, const char* field, int32_t* first, int32_t* count
) noexcept nogil:
    """Add a name to a list of a promotion: those of one list stand side by side."""
    cdef int32_t symbol = snapshot.intern(space, text), at = snapshot.push_list(symbol)
    if count[0] == 0:
        first[0] = at
    elif first[0] + count[0] != at:
        snapshot.fail(RESULT_CODE_FIELD_INVALID, field, 0, 0)
    count[0] += 1


cdef bint _check_promotion(Snapshot snapshot, Promotion* promotion, bint malformed) noexcept nogil:
    if malformed or not 0 < promotion.id.size <= CODE_BYTES_MAX:
        return snapshot.fail(RESULT_CODE_FIELD_INVALID, "promotions.promotion_id", promotion.id.size, CODE_BYTES_MAX)
    if not is_utf8(promotion.id):
        return snapshot.fail(RESULT_CODE_FIELD_INVALID, "promotions.promotion_id", 0, 0)
    if promotion.name.size > NAME_BYTES_MAX or not is_utf8(promotion.name):
        return snapshot.fail(RESULT_CODE_FIELD_INVALID, "promotions.name", promotion.name.size, NAME_BYTES_MAX)
    if promotion.benefit_count == 0:
        return snapshot.fail(RESULT_CODE_FIELD_INVALID, "promotions.benefits", 0, 1)
    if promotion.to_ns != 0 and promotion.to_ns <= promotion.from_ns:
        return snapshot.fail(RESULT_CODE_TIME_INVALID, "promotions.to_ns", promotion.to_ns, promotion.from_ns)
    if not -TIME_NS_MAX <= promotion.from_ns <= TIME_NS_MAX:
        return snapshot.fail(RESULT_CODE_TIME_INVALID, "promotions.from_ns", promotion.from_ns, TIME_NS_MAX)
    return True


cdef bint _has_amounts(Snapshot snapshot, const Promotion* promotion, int64_t first_target) noexcept nogil:
    """Whether anything of a promotion is money: a discount, a price, a cap, a threshold or a budget.

    Its targets are those from `first_target` on.
    """
    cdef const Benefit* benefit
    cdef int64_t i
    for i in range(promotion.condition_count):
        if snapshot.conditions[promotion.conditions + i].amount:
            return True
    for i in range(promotion.benefit_count):
        benefit = &snapshot.benefits[promotion.benefits + i]
        if (
            benefit.amount or benefit.has_cap or benefit.base_amount or benefit.additional
            or benefit.type == ITEM_FIXED_PRICE or benefit.type == ORDER_FIXED_TOTAL or benefit.type == BUNDLE_FIXED_PRICE
            or benefit.type == FIRST_THEN_AMOUNT or benefit.type == CHARGE_FIXED_PRICE
        ):
            return True
        if benefit.tier_count and (
            benefit.type == QUANTITY_BREAK or benefit.type == TIERED_AMOUNT or benefit.basis != BASIS_QTY
        ):
            return True
    for i in range(first_target, snapshot.counts[TARGETS]):
        if snapshot.targets[i].has_min or snapshot.targets[i].has_max:
            return True
    return promotion.budget != UNLIMITED


cdef bint add_promotion(Snapshot snapshot, Span body) noexcept nogil:
    """Compile one definition; False (and `defect`) when it is not sound."""
    cdef Reader reader = reader_of(body)
    cdef int64_t first_target = snapshot.counts[TARGETS]
    cdef int32_t at = snapshot.add_promotion()
    cdef Promotion* promotion = &snapshot.promotions[at]
    cdef Span text, limits, schedule
    cdef bint unique = False
    limits = schedule = no_span()
    while next_field(&reader) and snapshot.defect.code == 0:
        if reader.field == Promotion_promotion_id:
            promotion.id = read_span(&reader)
        elif reader.field == Promotion_name:
            promotion.name = read_span(&reader)
        elif reader.field == Promotion_conditions:
            read_condition(snapshot, read_span(&reader))
            promotion.condition_count += 1
        elif reader.field == Promotion_benefits:
            read_benefit(snapshot, read_span(&reader))
            promotion.benefit_count += 1
        elif reader.field == Promotion_priority:
            promotion.priority = read_int(&reader)
        elif reader.field == Promotion_coupon:
            text = read_span(&reader)
            if text.size > CODE_BYTES_MAX:
                snapshot.fail(RESULT_CODE_FIELD_INVALID, "promotions.coupon", text.size, CODE_BYTES_MAX)
            elif text.size > 0:
                promotion.coupon = snapshot.intern(SPACE_COUPON, text)
                promotion.coupon_code = text
        elif reader.field == Promotion_stage:
            promotion.stage = 1 if read_int(&reader) == STAGE_CATALOG else 2
        elif reader.field == Promotion_exclusive:
            promotion.exclusive = read_int(&reader) != 0
        elif reader.field == Promotion_group_id:
            text = read_span(&reader)
            if text.size > 0:
                promotion.group = snapshot.intern(SPACE_STACK, text)
        elif reader.field == Promotion_vendor_funded:
            promotion.vendor = read_int(&reader) != 0
        elif reader.field == Promotion_channels:
            _add_name(
                snapshot, SPACE_CHANNEL, read_span(&reader), "promotions.channels", &promotion.channels,
                &promotion.channel_count,
            )
        elif reader.field == Promotion_customer_groups:
            _add_name(
                snapshot, SPACE_GROUP, read_span(&reader), "promotions.customer_groups", &promotion.customer_groups,
                &promotion.customer_group_count,
            )
        elif reader.field == Promotion_from_ns:
            promotion.from_ns = read_int(&reader)
        elif reader.field == Promotion_to_ns:
            promotion.to_ns = read_int(&reader)
        elif reader.field == Promotion_unique_coupons:
            unique = read_int(&reader) != 0
        elif reader.field == Promotion_schedule:
            schedule = read_span(&reader)
        elif reader.field == Promotion_limits:
            limits = read_span(&reader)
        else:
            skip_field(&reader)
    if snapshot.defect.code == 0:
        _check_promotion(snapshot, promotion, reader.bad)
    if unique:  # no typed code has this symbol; the caller resolves single-use codes to the promotion
        promotion.coupon = snapshot.intern(SPACE_CAMPAIGN, promotion.id)
    if limits.data != NULL and snapshot.defect.code == 0:
        _read_limits(snapshot, limits, promotion)
    if schedule.data != NULL and snapshot.defect.code == 0:
        _read_schedule(snapshot, schedule, promotion)
    if snapshot.defect.code != 0:
        snapshot.defect.index = at
        snapshot.defect.subject = promotion.id
        return False
    snapshot.promotions[at].has_amounts = _has_amounts(snapshot, &snapshot.promotions[at], first_target)
    _choose_anchors(snapshot, at)
    return True


cdef void _read_group(Snapshot snapshot, Span body) noexcept nogil:
    # How the promotions of one group go together.
    cdef Reader reader = reader_of(body)
    cdef int32_t i, symbol, mode = 0
    cdef Span group = no_span()
    while next_field(&reader):
        if reader.field == PromotionGroup_group_id:
            group = read_span(&reader)
        elif reader.field == PromotionGroup_mode:
            mode = <int32_t>read_int(&reader)
        else:
            skip_field(&reader)
    if reader.bad or group.size > CODE_BYTES_MAX or not is_utf8(group):
        snapshot.fail(RESULT_CODE_FIELD_INVALID, "rules.groups.group_id", group.size, CODE_BYTES_MAX)
    symbol = snapshot.symbol(SPACE_STACK, group)
    if symbol == NO_SYMBOL:
        return
    for i in range(snapshot.counts[PROMOTIONS]):
        if snapshot.promotions[i].group == symbol:
            snapshot.promotions[i].group_mode = mode


cdef void read_rules(Snapshot snapshot, Span body) noexcept nogil:
    """Read the rules of pricing, `defect` set where one is not sound; the promotions have been added."""
    cdef Reader reader = reader_of(body)
    cdef int64_t value
    while next_field(&reader):
        if reader.field == PricingRules_groups:
            _read_group(snapshot, read_span(&reader))
        elif reader.field == PricingRules_rounding:
            value = read_int(&reader)
            snapshot.rules.rounding = <int32_t>value - 1 if value > 0 else 0
        elif reader.field == PricingRules_percent_round_at:
            snapshot.rules.percent_round_at = <int32_t>read_int(&reader)
        elif reader.field == PricingRules_round_new_price:
            snapshot.rules.round_new_price = read_int(&reader) != 0
        elif reader.field == PricingRules_selection:
            snapshot.rules.selection = <int32_t>read_int(&reader)
        elif reader.field == PricingRules_search_nodes_max:
            snapshot.rules.nodes_max = read_int(&reader)
        elif reader.field == PricingRules_tax_rounding:
            value = read_int(&reader)
            snapshot.rules.tax_rounding = <int32_t>value - 1 if value > 0 else 0
        elif reader.field == PricingRules_tax_round_at:
            snapshot.rules.tax_round_at = <int32_t>read_int(&reader)
        elif reader.field == PricingRules_tax_round_net:
            snapshot.rules.tax_round_net = read_int(&reader) != 0
        elif reader.field == PricingRules_tax_before_discount:
            snapshot.rules.tax_before_discount = read_int(&reader) != 0
        elif reader.field == PricingRules_price_selection:
            snapshot.rules.price_selection = <int32_t>read_int(&reader)
        else:
            skip_field(&reader)
    if reader.bad or not 0 <= snapshot.rules.rounding <= 6 or not 0 <= snapshot.rules.tax_rounding <= 6:
        snapshot.fail(RESULT_CODE_FIELD_INVALID, "rules", snapshot.rules.rounding, 7)
    if not 0 <= snapshot.rules.percent_round_at <= 3 or not 0 <= snapshot.rules.tax_round_at <= 3:
        snapshot.fail(RESULT_CODE_FIELD_INVALID, "rules.percent_round_at", snapshot.rules.percent_round_at, 3)
    if not 0 <= snapshot.rules.selection <= 3 or snapshot.rules.nodes_max < 0:
        snapshot.fail(RESULT_CODE_FIELD_INVALID, "rules.selection", snapshot.rules.selection, 3)
    if not 0 <= snapshot.rules.price_selection <= PRICE_SELECTION_LOWEST:
        snapshot.fail(
            RESULT_CODE_FIELD_INVALID, "rules.price_selection", snapshot.rules.price_selection, PRICE_SELECTION_LOWEST
        )


cdef bint compile_promotions(Snapshot snapshot, Span request, uint32_t promotion_field, uint32_t rules_field) noexcept nogil:
    """Compile a message whose fields hold promotions and rules; False with `defect` set when one is not sound."""
    cdef Reader reader = reader_of(request)
    while next_field(&reader) and snapshot.defect.code == 0:
        if reader.field == promotion_field:
            if snapshot.counts[PROMOTIONS] >= 1000000:
                return snapshot.fail(RESULT_CODE_TOO_MANY, "promotions", snapshot.counts[PROMOTIONS] + 1, 1000000)
            add_promotion(snapshot, read_span(&reader))
        else:
            skip_field(&reader)
    if reader.bad:
        snapshot.fail(RESULT_CODE_FIELD_INVALID, "promotions", 0, 0)
    reader = reader_of(request)
    while next_field(&reader) and snapshot.defect.code == 0:
        if reader.field == rules_field:
            read_rules(snapshot, read_span(&reader))
        else:
            skip_field(&reader)
    snapshot.finish()
    return snapshot.defect.code == 0

"""Promotions compiled into a snapshot: read once from their definitions, then only looked up."""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport abort, calloc, free, malloc, realloc
from libc.string cimport memset

from ringup.native.contract cimport (
    Benefit_additional_minor,
    Benefit_amount_minor,
    Benefit_base_amount_minor,
    Benefit_base_rate_ppb,
    Benefit_basis,
    Benefit_buy,
    Benefit_cap_minor,
    Benefit_charge_ids,
    Benefit_components,
    Benefit_consume,
    Benefit_for_each,
    Benefit_get,
    Benefit_item_id,
    Benefit_once,
    Benefit_original,
    Benefit_per_line,
    Benefit_pick,
    Benefit_qty,
    Benefit_rate_ppb,
    Benefit_target,
    Benefit_tax_view,
    Benefit_tiers,
    Benefit_type,
    Component_pick,
    Component_qty,
    Component_rate_ppb,
    Component_target,
    Condition_amount_minor,
    Condition_count,
    Condition_original,
    Condition_qty_milli,
    Condition_target,
    Condition_tax_view,
    Condition_type,
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
    RESULT_CODE_AMOUNT_INVALID,
    RESULT_CODE_AMOUNT_TOO_LARGE,
    RESULT_CODE_FIELD_INVALID,
    RESULT_CODE_QTY_INVALID,
    RESULT_CODE_TIME_INVALID,
    RESULT_CODE_TOO_MANY,
    STAGE_CATALOG,
    Schedule_periods,
    Schedule_weekdays,
    Target_all,
    Target_categories,
    Target_exclude_discounted,
    Target_item_ids,
    Target_max_units,
    Target_max_units_per_line,
    Target_pick,
    Target_unit_price_max_minor,
    Target_unit_price_min_minor,
    Tier_amount_minor,
    Tier_min,
    Tier_rate_ppb,
)
from ringup.native.index cimport hash_bytes, hash_int, index_add, index_free, index_next, index_start
from ringup.native.limits cimport (
    CODE_BYTES_MAX,
    NAME_BYTES_MAX,
    PERCENT_SCALE,
    PRICE_MINOR_MAX,
    QTY_MILLI_MAX,
    TIME_NS_MAX,
    TOTAL_MINOR_MAX,
)
from ringup.native.wire cimport Reader, Span, is_utf8, next_field, read_int, read_span, reader_of, skip_field, span_equal

cdef enum:
    PROMOTIONS = 0
    TARGETS = 1
    CONDITIONS = 2
    BENEFITS = 3
    COMPONENTS = 4
    TIERS = 5
    LISTS = 6
    SYMBOLS = 7
    POSTINGS = 8
    ANCHORS = 9
    ALWAYS = 10
    GROUPS = 11
    PICK_MAX = 3
    BENEFIT_MAX = 22
    CONDITION_MAX = 9


cdef void* _room(void* data, int64_t* counts, int64_t* capacities, int kind, int64_t size) noexcept nogil:
    # One more element of `kind`: the array with room for it, zeroed.
    cdef int64_t capacity = capacities[kind]
    if counts[kind] == capacity:
        capacity = capacity * 2 if capacity else 16
        data = realloc(data, capacity * size)
        if data == NULL:
            abort()
        memset(<char*>data + capacities[kind] * size, 0, (capacity - capacities[kind]) * size)
        capacities[kind] = capacity
    counts[kind] += 1
    return data


cdef int32_t _pick(int64_t value) noexcept nogil:
    return 0 if value == 3 or not 0 <= value <= PICK_MAX else <int32_t>value


cdef Span _trimmed(Span text) noexcept nogil:
    while text.size > 0 and text.data[0] == 32:
        text.data += 1
        text.size -= 1
    while text.size > 0 and text.data[text.size - 1] == 32:
        text.size -= 1
    return text


cdef uint8_t _folded(char byte) noexcept nogil:
    return <uint8_t>byte + 32 if 65 <= byte <= 90 else <uint8_t>byte


cdef bint same_coupon(Span a, Span b) noexcept nogil:
    cdef int64_t i
    a, b = _trimmed(a), _trimmed(b)
    if a.size != b.size:
        return False
    for i in range(a.size):
        if _folded(a.data[i]) != _folded(b.data[i]):
            return False
    return True


cdef uint64_t _hash(int space, Span text) noexcept nogil:
    cdef char[CODE_BYTES_MAX] folded
    cdef int64_t i
    if space == SPACE_COUPON:
        text = _trimmed(text)
        if text.size <= CODE_BYTES_MAX:
            for i in range(text.size):
                folded[i] = <char>_folded(text.data[i])
            text.data = folded
            return hash_int(hash_bytes(text.data, text.size) + <uint64_t>space)
    return hash_int(hash_bytes(text.data, text.size) + <uint64_t>space)


cdef uint64_t coupon_hash(Span code) noexcept nogil:
    """The hash of a code as customers type it."""
    return _hash(SPACE_COUPON, code)


cdef bint _before(Promotion* a, Promotion* b) noexcept nogil:
    # The order in which promotions are tried: by stage, exclusive ones first, by priority, as listed.
    if a.stage != b.stage:
        return a.stage < b.stage
    if a.exclusive != b.exclusive:
        return a.exclusive
    if a.priority != b.priority:
        return a.priority > b.priority
    return a.number < b.number


cdef class Snapshot:
    """Immutable once `compile` has run; a new set of promotions is a new snapshot."""

    def __dealloc__(self):
        free(self.promotions)
        free(self.targets)
        free(self.conditions)
        free(self.benefits)
        free(self.components)
        free(self.tiers)
        free(self.lists)
        free(self.symbols)
        free(self.spaces)
        free(self.posting_start)
        free(self.postings)
        free(self.anchored_start)
        free(self.anchored)
        free(self.always)
        free(self.order)
        free(self.collected)
        free(self.collected_anchors)
        index_free(&self.symbol_index)

    cdef bint fail(self, int code, const char* field, int64_t found, int64_t limit) noexcept nogil:
        # The first defect stays; the caller adds which promotion it is in.
        if self.defect.code == 0:
            self.defect.code = code
            self.defect.field = field
            self.defect.found = found
            self.defect.limit = limit
        return False

    cdef int32_t symbol(self, int space, Span text) noexcept nogil:
        """The number of `text` in `space`, or NO_SYMBOL when no promotion names it.

        Coupons are looked up as customers type them: the case of ASCII letters and outer blanks do not count.
        """
        cdef uint64_t hash = _hash(space, text)
        cdef int64_t cursor = index_start(&self.symbol_index, hash)
        cdef int64_t row = index_next(&self.symbol_index, hash, &cursor)
        while row >= 0:
            if self.spaces[row] == space and (
                same_coupon(self.symbols[row], text) if space == SPACE_COUPON else span_equal(self.symbols[row], text)
            ):
                return <int32_t>row
            row = index_next(&self.symbol_index, hash, &cursor)
        return NO_SYMBOL

    cdef int32_t intern(self, int space, Span text) noexcept nogil:
        cdef int32_t symbol = self.symbol(space, text)
        cdef int64_t capacity = self.capacities[SYMBOLS]
        if symbol != NO_SYMBOL:
            return symbol
        if not is_utf8(text):  # it would stand in an answer that no client could read
            self.fail(RESULT_CODE_FIELD_INVALID, "promotions", text.size, 0)
        symbol = <int32_t>self.counts[SYMBOLS]
        self.symbols = <Span*>_room(self.symbols, self.counts, self.capacities, SYMBOLS, sizeof(Span))
        if self.capacities[SYMBOLS] != capacity:
            self.spaces = <uint8_t*>realloc(self.spaces, self.capacities[SYMBOLS])
            if self.spaces == NULL:
                abort()
        self.symbols[symbol] = text
        self.spaces[symbol] = <uint8_t>space
        index_add(&self.symbol_index, _hash(space, text), symbol)
        return symbol

    cdef int32_t push_list(self, int32_t value) noexcept nogil:
        self.lists = <int32_t*>_room(self.lists, self.counts, self.capacities, LISTS, sizeof(int32_t))
        self.lists[self.counts[LISTS] - 1] = value
        return <int32_t>(self.counts[LISTS] - 1)

    cdef int32_t no_target(self) noexcept nogil:
        # A target that was not given means all.
        cdef int32_t at = <int32_t>self.counts[TARGETS]
        self.targets = <Target*>_room(self.targets, self.counts, self.capacities, TARGETS, sizeof(Target))
        memset(&self.targets[at], 0, sizeof(Target))
        self.targets[at].promotion = <int32_t>(self.counts[PROMOTIONS] - 1)
        self.targets[at].all = True
        return at

    cdef int32_t read_target(self, Span body) noexcept nogil:
        cdef Reader reader = reader_of(body)
        cdef int32_t at = self.no_target()
        cdef int32_t symbol
        cdef Target* target = &self.targets[at]
        cdef bint named = False, filtered = False
        cdef int space
        cdef Span text
        target.all = False
        while next_field(&reader):
            if reader.field == Target_all:
                target.all = read_int(&reader) != 0
            elif reader.field == Target_item_ids or reader.field == Target_categories:
                space = SPACE_ITEM if reader.field == Target_item_ids else SPACE_CATEGORY
                text = read_span(&reader)
                if reader.bad or not 0 < text.size <= CODE_BYTES_MAX:
                    self.fail(RESULT_CODE_FIELD_INVALID, "promotions.target", text.size, CODE_BYTES_MAX)
                    return at
                named = True
                symbol = self.intern(space, text)
                self.collected = <SymbolList*>_room(
                    self.collected, self.counts, self.capacities, POSTINGS, sizeof(SymbolList)
                )
                self.collected[self.counts[POSTINGS] - 1].symbol = symbol
                self.collected[self.counts[POSTINGS] - 1].value = at
            elif reader.field == Target_unit_price_min_minor:
                target.price_min = read_int(&reader)
                target.has_min = filtered = True
            elif reader.field == Target_unit_price_max_minor:
                target.price_max = read_int(&reader)
                target.has_max = filtered = True
            elif reader.field == Target_exclude_discounted:
                target.exclude_discounted = filtered = read_int(&reader) != 0
            elif reader.field == Target_max_units:
                target.max_units = read_int(&reader)
                filtered = True
            elif reader.field == Target_pick:
                target.pick = _pick(read_int(&reader))
                filtered = True
            elif reader.field == Target_max_units_per_line:
                target.max_units_per_line = read_int(&reader)
                filtered = True
            else:
                skip_field(&reader)
        if not named and not target.all:
            if not filtered:
                self.fail(RESULT_CODE_FIELD_INVALID, "promotions.target", 0, 1)
            target.all = True  # only narrowed by price or number
        if reader.bad or target.max_units < 0 or target.max_units_per_line < 0:
            self.fail(RESULT_CODE_QTY_INVALID, "promotions.target.max_units", target.max_units, 0)
        if target.has_min and target.has_max and target.price_min > target.price_max:
            self.fail(
                RESULT_CODE_AMOUNT_INVALID, "promotions.target.unit_price_min_minor", target.price_min, target.price_max
            )
        return at

    cdef bint read_condition(self, Span body) noexcept nogil:
        cdef Reader reader = reader_of(body)
        cdef int32_t target = NO_SYMBOL
        cdef Condition* condition
        self.conditions = <Condition*>_room(
            self.conditions, self.counts, self.capacities, CONDITIONS, sizeof(Condition)
        )
        condition = &self.conditions[self.counts[CONDITIONS] - 1]
        memset(condition, 0, sizeof(Condition))
        while next_field(&reader):
            if reader.field == Condition_type:
                condition.type = <int32_t>read_int(&reader)
            elif reader.field == Condition_target:
                target = self.read_target(read_span(&reader))
            elif reader.field == Condition_amount_minor:
                condition.amount = read_int(&reader)
            elif reader.field == Condition_qty_milli:
                condition.qty_milli = read_int(&reader)
            elif reader.field == Condition_count:
                condition.count = read_int(&reader)
            elif reader.field == Condition_original:
                condition.original = read_int(&reader) != 0
            elif reader.field == Condition_tax_view:
                condition.tax_view = <int32_t>read_int(&reader)
            else:
                skip_field(&reader)
        condition.target = target if target != NO_SYMBOL else self.no_target()
        if reader.bad or not 1 <= condition.type <= CONDITION_MAX:
            return self.fail(RESULT_CODE_FIELD_INVALID, "promotions.conditions.type", condition.type, CONDITION_MAX)
        if not 0 <= condition.amount <= TOTAL_MINOR_MAX:
            return self.fail(
                RESULT_CODE_AMOUNT_TOO_LARGE if condition.amount > 0 else RESULT_CODE_AMOUNT_INVALID,
                "promotions.conditions.amount_minor", condition.amount, TOTAL_MINOR_MAX,
            )
        if not 0 <= condition.qty_milli <= QTY_MILLI_MAX or condition.count < 0:
            return self.fail(
                RESULT_CODE_QTY_INVALID, "promotions.conditions.qty_milli", condition.qty_milli, QTY_MILLI_MAX
            )
        return True

    cdef Component read_component(self, Span body) noexcept nogil:
        cdef Reader reader = reader_of(body)
        cdef Component component
        cdef int32_t target = NO_SYMBOL
        memset(&component, 0, sizeof(Component))
        while next_field(&reader):
            if reader.field == Component_target:
                target = self.read_target(read_span(&reader))
            elif reader.field == Component_qty:
                component.qty = read_int(&reader)
            elif reader.field == Component_rate_ppb:
                component.rate_ppb = read_int(&reader)
            elif reader.field == Component_pick:
                component.pick = read_int(&reader) & 3
            else:
                skip_field(&reader)
        component.pick = PICK_CHEAPEST if component.pick == 0 else _pick(component.pick)
        if component.qty == 0:
            component.qty = 1
        if reader.bad or not 0 < component.qty <= QTY_MILLI_MAX:
            self.fail(RESULT_CODE_QTY_INVALID, "promotions.benefits.qty", component.qty, QTY_MILLI_MAX)
        if not 0 <= component.rate_ppb <= PERCENT_SCALE:
            self.fail(RESULT_CODE_AMOUNT_INVALID, "promotions.benefits.rate_ppb", component.rate_ppb, PERCENT_SCALE)
        component.target = target if target != NO_SYMBOL else self.no_target()
        return component

    cdef bint read_benefit(self, Span body) noexcept nogil:
        cdef Reader reader = reader_of(body), inner
        cdef int32_t target = NO_SYMBOL
        cdef Benefit benefit
        cdef Component component
        cdef Tier tier
        cdef bint has_buy = False, has_get = False
        cdef int64_t picked = 0
        memset(&benefit, 0, sizeof(Benefit))
        # Components and tiers of one benefit stand side by side, as do its charges.
        benefit.components = <int32_t>self.counts[COMPONENTS]
        benefit.tiers = <int32_t>self.counts[TIERS]
        benefit.charges = <int32_t>self.counts[LISTS]
        while next_field(&reader):
            if reader.field == Benefit_type:
                benefit.type = <int32_t>read_int(&reader)
            elif reader.field == Benefit_target:
                target = self.read_target(read_span(&reader))
            elif reader.field == Benefit_rate_ppb:
                benefit.rate_ppb = read_int(&reader)
            elif reader.field == Benefit_amount_minor:
                benefit.amount = read_int(&reader)
            elif reader.field == Benefit_cap_minor:
                benefit.cap = read_int(&reader)
                benefit.has_cap = True
            elif reader.field == Benefit_per_line:
                benefit.per_line = read_int(&reader) != 0
            elif reader.field == Benefit_original:
                benefit.original = read_int(&reader) != 0
            elif reader.field == Benefit_tax_view:
                benefit.tax_view = <int32_t>read_int(&reader)
            elif reader.field == Benefit_charge_ids:
                self.push_list(self.intern(SPACE_CHARGE, read_span(&reader)))
                benefit.charge_count += 1
            elif reader.field == Benefit_qty:
                benefit.qty = read_int(&reader)
            elif reader.field == Benefit_pick:
                picked = read_int(&reader)
                benefit.pick = _pick(picked)
            elif reader.field == Benefit_components:
                component = self.read_component(read_span(&reader))
                self.components = <Component*>_room(
                    self.components, self.counts, self.capacities, COMPONENTS, sizeof(Component)
                )
                self.components[self.counts[COMPONENTS] - 1] = component
                benefit.component_count += 1
            elif reader.field == Benefit_buy:
                benefit.buy = self.read_component(read_span(&reader))
                has_buy = True
            elif reader.field == Benefit_get:
                benefit.get = self.read_component(read_span(&reader))
                has_get = True
            elif reader.field == Benefit_for_each:
                benefit.for_each = self.read_component(read_span(&reader))
                benefit.has_for_each = True
            elif reader.field == Benefit_once:
                benefit.once = read_int(&reader) != 0
            elif reader.field == Benefit_consume:
                benefit.consume = _pick(read_int(&reader))
                benefit.buy_first = True
            elif reader.field == Benefit_tiers:
                inner = reader_of(read_span(&reader))
                memset(&tier, 0, sizeof(Tier))
                while next_field(&inner):
                    if inner.field == Tier_min:
                        tier.min = read_int(&inner)
                    elif inner.field == Tier_amount_minor:
                        tier.amount = read_int(&inner)
                    elif inner.field == Tier_rate_ppb:
                        tier.rate_ppb = read_int(&inner)
                    else:
                        skip_field(&inner)
                if inner.bad or tier.min < 0 or not 0 <= tier.amount <= PRICE_MINOR_MAX:
                    return self.fail(
                        RESULT_CODE_AMOUNT_INVALID, "promotions.benefits.tiers.amount_minor", tier.amount,
                        PRICE_MINOR_MAX,
                    )
                if not 0 <= tier.rate_ppb <= PERCENT_SCALE:
                    return self.fail(
                        RESULT_CODE_AMOUNT_INVALID, "promotions.benefits.tiers.rate_ppb", tier.rate_ppb, PERCENT_SCALE
                    )
                self.tiers = <Tier*>_room(self.tiers, self.counts, self.capacities, TIERS, sizeof(Tier))
                self.tiers[self.counts[TIERS] - 1] = tier
                benefit.tier_count += 1
            elif reader.field == Benefit_basis:
                benefit.basis = <int32_t>read_int(&reader)
            elif reader.field == Benefit_base_amount_minor:
                benefit.base_amount = read_int(&reader)
            elif reader.field == Benefit_base_rate_ppb:
                benefit.base_rate_ppb = read_int(&reader)
            elif reader.field == Benefit_additional_minor:
                benefit.additional = read_int(&reader)
            elif reader.field == Benefit_item_id:
                benefit.free_item = read_span(&reader)
            else:
                skip_field(&reader)
        benefit.target = target if target != NO_SYMBOL else self.no_target()
        if benefit.basis == 0:
            benefit.basis = BASIS_ORDER
        if picked == 0 and BUNDLE_FIXED_PRICE <= benefit.type <= BUNDLE_AMOUNT_OFF:
            benefit.pick = PICK_DEAREST  # the choice that is best for the customer
        if reader.bad or not 1 <= benefit.type <= BENEFIT_MAX:
            return self.fail(RESULT_CODE_FIELD_INVALID, "promotions.benefits.type", benefit.type, BENEFIT_MAX)
        if benefit.rate_ppb < 0 or (benefit.rate_ppb > PERCENT_SCALE and benefit.type != ITEM_MARKUP_PERCENT) or (
            benefit.rate_ppb > 100 * <int64_t>PERCENT_SCALE
        ):
            return self.fail(
                RESULT_CODE_AMOUNT_INVALID, "promotions.benefits.rate_ppb", benefit.rate_ppb, PERCENT_SCALE
            )
        if not 0 <= benefit.base_rate_ppb <= PERCENT_SCALE:
            return self.fail(
                RESULT_CODE_AMOUNT_INVALID, "promotions.benefits.base_rate_ppb", benefit.base_rate_ppb, PERCENT_SCALE
            )
        if benefit.amount < 0 or benefit.base_amount < 0 or benefit.additional < 0 or benefit.cap < 0:
            return self.fail(RESULT_CODE_AMOUNT_INVALID, "promotions.benefits.amount_minor", benefit.amount, 0)
        if max(benefit.amount, benefit.base_amount, benefit.additional, benefit.cap) > TOTAL_MINOR_MAX:
            return self.fail(
                RESULT_CODE_AMOUNT_TOO_LARGE, "promotions.benefits.amount_minor", benefit.amount, TOTAL_MINOR_MAX
            )
        if not 0 <= benefit.qty <= QTY_MILLI_MAX:
            return self.fail(RESULT_CODE_QTY_INVALID, "promotions.benefits.qty", benefit.qty, QTY_MILLI_MAX)
        if benefit.qty == 0:
            benefit.qty = 1
        if benefit.type == BUY_GET and not (has_buy and has_get):
            return self.fail(RESULT_CODE_FIELD_INVALID, "promotions.benefits.buy", has_buy, 1)
        if benefit.type == FREE_ITEM and (
            not 0 < benefit.free_item.size <= CODE_BYTES_MAX or not is_utf8(benefit.free_item)
        ):
            return self.fail(
                RESULT_CODE_FIELD_INVALID, "promotions.benefits.item_id", benefit.free_item.size, CODE_BYTES_MAX
            )
        if CHARGE_PERCENT_OFF <= benefit.type <= CHARGE_FIXED_PRICE and benefit.charge_count == 0:
            return self.fail(RESULT_CODE_FIELD_INVALID, "promotions.benefits.charge_ids", 0, 1)
        if QUANTITY_BREAK <= benefit.type <= TIERED_PERCENT and benefit.tier_count == 0:
            return self.fail(RESULT_CODE_FIELD_INVALID, "promotions.benefits.tiers", 0, 1)
        self.benefits = <Benefit*>_room(self.benefits, self.counts, self.capacities, BENEFITS, sizeof(Benefit))
        self.benefits[self.counts[BENEFITS] - 1] = benefit
        return True

    cdef bint read_limits(self, Span body, Promotion* promotion) noexcept nogil:
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
            return self.fail(RESULT_CODE_QTY_INVALID, "promotions.limits", promotion.max_uses, 0)
        return True

    cdef bint read_schedule(self, Span body, Promotion* promotion) noexcept nogil:
        cdef Reader reader = reader_of(body), inner
        cdef int64_t day, starts, ends, i, j
        cdef bint[2880] taken
        cdef Span text
        memset(taken, 0, sizeof(taken))
        promotion.periods = <int32_t>self.counts[LISTS]
        while next_field(&reader):
            if reader.field == Schedule_weekdays and reader.wire_type == 2:
                text = read_span(&reader)  # packed
                for i in range(text.size):
                    day = <uint8_t>text.data[i]
                    if not 1 <= day <= 7:
                        return self.fail(RESULT_CODE_TIME_INVALID, "promotions.schedule.weekdays", day, 7)
                    promotion.weekdays |= 1 << (day - 1)
            elif reader.field == Schedule_weekdays:
                day = read_int(&reader)
                if not 1 <= day <= 7:
                    return self.fail(RESULT_CODE_TIME_INVALID, "promotions.schedule.weekdays", day, 7)
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
                    return self.fail(RESULT_CODE_TIME_INVALID, "promotions.schedule.periods.to_minute", ends, 1440)
                for i in range(starts, ends if ends > starts else ends + 1440):
                    j = i % 1440
                    if taken[j]:
                        return self.fail(RESULT_CODE_TIME_INVALID, "promotions.schedule.periods.from_minute", starts, j)
                    taken[j] = True
                self.push_list(<int32_t>starts)
                self.push_list(<int32_t>ends)
                promotion.period_count += 1
            else:
                skip_field(&reader)
        if reader.bad:
            return self.fail(RESULT_CODE_FIELD_INVALID, "promotions.schedule", 0, 0)
        return True

    cdef bint add_promotion(self, Span body) noexcept nogil:
        """Compile one definition; False (and `defect`) when it is not sound."""
        cdef Reader reader = reader_of(body)
        cdef Promotion* promotion
        cdef int32_t at = <int32_t>self.counts[PROMOTIONS]
        cdef Span text, limits, schedule
        cdef bint unique = False
        cdef int32_t symbol
        limits.data = schedule.data = NULL
        limits.size = schedule.size = 0
        self.promotions = <Promotion*>_room(
            self.promotions, self.counts, self.capacities, PROMOTIONS, sizeof(Promotion)
        )
        promotion = &self.promotions[at]
        memset(promotion, 0, sizeof(Promotion))
        promotion.number = at
        promotion.stage = 2
        promotion.coupon = promotion.group = NO_SYMBOL
        promotion.max_uses = promotion.max_uses_per_customer = UNLIMITED
        promotion.max_applications = promotion.budget = UNLIMITED
        promotion.conditions = <int32_t>self.counts[CONDITIONS]
        promotion.benefits = <int32_t>self.counts[BENEFITS]
        while next_field(&reader) and self.defect.code == 0:
            if reader.field == Promotion_promotion_id:
                promotion.id = read_span(&reader)
            elif reader.field == Promotion_name:
                promotion.name = read_span(&reader)
            elif reader.field == Promotion_conditions:
                self.read_condition(read_span(&reader))
                promotion.condition_count += 1
            elif reader.field == Promotion_benefits:
                self.read_benefit(read_span(&reader))
                promotion.benefit_count += 1
            elif reader.field == Promotion_priority:
                promotion.priority = read_int(&reader)
            elif reader.field == Promotion_coupon:
                text = read_span(&reader)
                if text.size > CODE_BYTES_MAX:
                    self.fail(RESULT_CODE_FIELD_INVALID, "promotions.coupon", text.size, CODE_BYTES_MAX)
                elif text.size > 0:
                    promotion.coupon = self.intern(SPACE_COUPON, text)
                    promotion.coupon_code = text
            elif reader.field == Promotion_stage:
                promotion.stage = 1 if read_int(&reader) == STAGE_CATALOG else 2
            elif reader.field == Promotion_exclusive:
                promotion.exclusive = read_int(&reader) != 0
            elif reader.field == Promotion_group_id:
                text = read_span(&reader)
                if text.size > 0:
                    promotion.group = self.intern(SPACE_STACK, text)
            elif reader.field == Promotion_vendor_funded:
                promotion.vendor = read_int(&reader) != 0
            elif reader.field == Promotion_channels:
                symbol = self.intern(SPACE_CHANNEL, read_span(&reader))
                if promotion.channel_count == 0:
                    promotion.channels = <int32_t>self.counts[LISTS]
                elif promotion.channels + promotion.channel_count != self.counts[LISTS]:
                    self.fail(RESULT_CODE_FIELD_INVALID, "promotions.channels", 0, 0)
                self.push_list(symbol)
                promotion.channel_count += 1
            elif reader.field == Promotion_customer_groups:
                symbol = self.intern(SPACE_GROUP, read_span(&reader))
                if promotion.customer_group_count == 0:
                    promotion.customer_groups = <int32_t>self.counts[LISTS]
                elif promotion.customer_groups + promotion.customer_group_count != self.counts[LISTS]:
                    self.fail(RESULT_CODE_FIELD_INVALID, "promotions.customer_groups", 0, 0)
                self.push_list(symbol)
                promotion.customer_group_count += 1
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
        if self.defect.code == 0:
            if reader.bad or not 0 < promotion.id.size <= CODE_BYTES_MAX:
                self.fail(RESULT_CODE_FIELD_INVALID, "promotions.promotion_id", promotion.id.size, CODE_BYTES_MAX)
            elif not is_utf8(promotion.id):
                self.fail(RESULT_CODE_FIELD_INVALID, "promotions.promotion_id", 0, 0)
            elif promotion.name.size > NAME_BYTES_MAX or not is_utf8(promotion.name):
                self.fail(RESULT_CODE_FIELD_INVALID, "promotions.name", promotion.name.size, NAME_BYTES_MAX)
            elif promotion.benefit_count == 0:
                self.fail(RESULT_CODE_FIELD_INVALID, "promotions.benefits", 0, 1)
            elif promotion.to_ns != 0 and promotion.to_ns <= promotion.from_ns:
                self.fail(RESULT_CODE_TIME_INVALID, "promotions.to_ns", promotion.to_ns, promotion.from_ns)
            elif not -TIME_NS_MAX <= promotion.from_ns <= TIME_NS_MAX:
                self.fail(RESULT_CODE_TIME_INVALID, "promotions.from_ns", promotion.from_ns, TIME_NS_MAX)
        if unique:  # no typed code has this symbol; the caller resolves single-use codes to the promotion
            promotion.coupon = self.intern(SPACE_CAMPAIGN, promotion.id)
        if limits.data != NULL and self.defect.code == 0:
            self.read_limits(limits, promotion)
        if schedule.data != NULL and self.defect.code == 0:
            self.read_schedule(schedule, promotion)
        if self.defect.code != 0:
            self.defect.index = at
            self.defect.subject = promotion.id
            return False
        self.choose_anchors(at)
        return True

    cdef void choose_anchors(self, int32_t at) noexcept nogil:
        """Decide what must be in a basket for the promotion to be looked at, the rarest thing known first."""
        cdef Promotion* promotion = &self.promotions[at]
        cdef Condition* condition
        cdef Benefit* benefit
        cdef int32_t i, j, target, first, count
        cdef bint reachable = True
        if promotion.coupon != NO_SYMBOL:
            self.collected_anchors = <SymbolList*>_room(
                self.collected_anchors, self.counts, self.capacities, ANCHORS, sizeof(SymbolList)
            )
            self.collected_anchors[self.counts[ANCHORS] - 1].symbol = promotion.coupon
            self.collected_anchors[self.counts[ANCHORS] - 1].value = at
            return
        for i in range(promotion.condition_count):
            condition = &self.conditions[promotion.conditions + i]
            if not self.targets[condition.target].all and (
                condition.type == CONTAINS
                or (condition.type == MIN_QTY and condition.qty_milli > 0)
                or (condition.type == MIN_VALUE and condition.amount > 0)
                or (condition.type == DISTINCT and condition.count > 0)
            ):
                self.targets[condition.target].anchor = True
                return
        for i in range(promotion.benefit_count):
            benefit = &self.benefits[promotion.benefits + i]
            target = benefit.target
            if benefit.type == BUY_GET:
                target = benefit.get.target if self.targets[benefit.buy.target].all else benefit.buy.target
            elif benefit.type == BUNDLE_FIXED_PRICE and benefit.component_count:
                target = self.components[benefit.components].target
                for j in range(benefit.component_count):
                    if not self.targets[self.components[benefit.components + j].target].all:
                        target = self.components[benefit.components + j].target
            elif benefit.type == FREE_ITEM:
                if not benefit.has_for_each:
                    reachable = False
                target = benefit.for_each.target
            elif benefit.type == ORDER_FIXED_TOTAL or CHARGE_PERCENT_OFF <= benefit.type <= CHARGE_FIXED_PRICE:
                reachable = False
            if reachable and self.targets[target].all:
                reachable = False
        if reachable:
            for i in range(promotion.benefit_count):
                benefit = &self.benefits[promotion.benefits + i]
                target = benefit.target
                if benefit.type == BUY_GET:
                    target = benefit.get.target if self.targets[benefit.buy.target].all else benefit.buy.target
                elif benefit.type == BUNDLE_FIXED_PRICE and benefit.component_count:
                    for j in range(benefit.component_count):
                        if not self.targets[self.components[benefit.components + j].target].all:
                            target = self.components[benefit.components + j].target
                elif benefit.type == FREE_ITEM:
                    target = benefit.for_each.target
                self.targets[target].anchor = True
            return
        first = promotion.customer_groups
        count = promotion.customer_group_count
        if count == 0:
            first = promotion.channels
            count = promotion.channel_count
        if count == 0:
            self.always = <int32_t*>_room(self.always, self.counts, self.capacities, ALWAYS, sizeof(int32_t))
            self.always[self.counts[ALWAYS] - 1] = at
            return
        for i in range(count):
            self.collected_anchors = <SymbolList*>_room(
                self.collected_anchors, self.counts, self.capacities, ANCHORS, sizeof(SymbolList)
            )
            self.collected_anchors[self.counts[ANCHORS] - 1].symbol = self.lists[first + i]
            self.collected_anchors[self.counts[ANCHORS] - 1].value = at

    cdef void read_rules(self, Span body) noexcept nogil:
        cdef Reader reader = reader_of(body), inner
        cdef int32_t i, symbol, mode
        cdef Span group
        cdef int64_t value
        while next_field(&reader):
            if reader.field == PricingRules_groups:
                inner = reader_of(read_span(&reader))
                mode = 0
                group.data = NULL
                group.size = 0
                while next_field(&inner):
                    if inner.field == PromotionGroup_group_id:
                        group = read_span(&inner)
                    elif inner.field == PromotionGroup_mode:
                        mode = <int32_t>read_int(&inner)
                    else:
                        skip_field(&inner)
                if inner.bad or group.size > CODE_BYTES_MAX or not is_utf8(group):
                    self.fail(RESULT_CODE_FIELD_INVALID, "rules.groups.group_id", group.size, CODE_BYTES_MAX)
                symbol = self.symbol(SPACE_STACK, group)
                if symbol != NO_SYMBOL:
                    for i in range(self.counts[PROMOTIONS]):
                        if self.promotions[i].group == symbol:
                            self.promotions[i].group_mode = mode
                continue
            if reader.field == PricingRules_rounding:
                value = read_int(&reader)
                self.rules.rounding = <int32_t>value - 1 if value > 0 else 0
            elif reader.field == PricingRules_percent_round_at:
                self.rules.percent_round_at = <int32_t>read_int(&reader)
            elif reader.field == PricingRules_round_new_price:
                self.rules.round_new_price = read_int(&reader) != 0
            elif reader.field == PricingRules_selection:
                self.rules.selection = <int32_t>read_int(&reader)
            elif reader.field == PricingRules_search_nodes_max:
                self.rules.nodes_max = read_int(&reader)
            elif reader.field == PricingRules_tax_rounding:
                value = read_int(&reader)
                self.rules.tax_rounding = <int32_t>value - 1 if value > 0 else 0
            elif reader.field == PricingRules_tax_round_at:
                self.rules.tax_round_at = <int32_t>read_int(&reader)
            elif reader.field == PricingRules_tax_round_net:
                self.rules.tax_round_net = read_int(&reader) != 0
            elif reader.field == PricingRules_tax_before_discount:
                self.rules.tax_before_discount = read_int(&reader) != 0
            else:
                skip_field(&reader)
        if reader.bad or not 0 <= self.rules.rounding <= 6 or not 0 <= self.rules.tax_rounding <= 6:
            self.fail(RESULT_CODE_FIELD_INVALID, "rules", self.rules.rounding, 7)
        if not 0 <= self.rules.percent_round_at <= 3 or not 0 <= self.rules.tax_round_at <= 3:
            self.fail(RESULT_CODE_FIELD_INVALID, "rules.percent_round_at", self.rules.percent_round_at, 3)
        if not 0 <= self.rules.selection <= 3 or self.rules.nodes_max < 0:
            self.fail(RESULT_CODE_FIELD_INVALID, "rules.selection", self.rules.selection, 3)

    cdef void finish(self) noexcept nogil:
        """Bring the promotions into the order of trial and build the postings."""
        cdef int64_t count = self.counts[PROMOTIONS], symbols = self.counts[SYMBOLS], i, width, low, mid, high, a, b, to
        cdef int32_t* order = <int32_t*>malloc(max(count, 1) * sizeof(int32_t))
        cdef int32_t* other = <int32_t*>malloc(max(count, 1) * sizeof(int32_t))
        cdef int32_t* places = <int32_t*>malloc(max(count, 1) * sizeof(int32_t))
        cdef int32_t* swap
        cdef Promotion* sorted_ = <Promotion*>malloc(max(count, 1) * sizeof(Promotion))
        if order == NULL or other == NULL or places == NULL or sorted_ == NULL:
            abort()
        for i in range(count):
            order[i] = <int32_t>i
        width = 1
        while width < count:  # a stable merge sort
            low = 0
            while low < count:
                mid = min(low + width, count)
                high = min(low + 2 * width, count)
                a, b = low, mid
                for to in range(low, high):
                    if a < mid and (b >= high or not _before(&self.promotions[order[b]], &self.promotions[order[a]])):
                        other[to] = order[a]
                        a += 1
                    else:
                        other[to] = order[b]
                        b += 1
                low = high
            swap = order
            order = other
            other = swap
            width *= 2
        for i in range(count):
            sorted_[i] = self.promotions[order[i]]
            places[order[i]] = <int32_t>i
        free(self.promotions)
        self.promotions = sorted_
        free(self.order)
        self.order = places
        free(order)
        free(other)
        for i in range(self.counts[TARGETS]):
            self.targets[i].promotion = places[self.targets[i].promotion]
        for i in range(self.counts[ALWAYS]):
            self.always[i] = places[self.always[i]]
        self.posting_start = <int32_t*>calloc(symbols + 2, sizeof(int32_t))
        self.postings = <int32_t*>malloc(max(self.counts[POSTINGS], 1) * sizeof(int32_t))
        self.anchored_start = <int32_t*>calloc(symbols + 2, sizeof(int32_t))
        self.anchored = <int32_t*>malloc(max(self.counts[ANCHORS], 1) * sizeof(int32_t))
        if self.posting_start == NULL or self.postings == NULL or self.anchored_start == NULL or self.anchored == NULL:
            abort()
        for i in range(self.counts[POSTINGS]):
            self.posting_start[self.collected[i].symbol + 2] += 1
        for i in range(self.counts[ANCHORS]):
            self.anchored_start[self.collected_anchors[i].symbol + 2] += 1
        for i in range(2, symbols + 2):
            self.posting_start[i] += self.posting_start[i - 1]
            self.anchored_start[i] += self.anchored_start[i - 1]
        for i in range(self.counts[POSTINGS]):
            to = self.posting_start[self.collected[i].symbol + 1]
            self.posting_start[self.collected[i].symbol + 1] += 1
            self.postings[to] = self.collected[i].value
        for i in range(self.counts[ANCHORS]):
            to = self.anchored_start[self.collected_anchors[i].symbol + 1]
            self.anchored_start[self.collected_anchors[i].symbol + 1] += 1
            self.anchored[to] = places[self.collected_anchors[i].value]
        free(self.collected)
        free(self.collected_anchors)
        self.collected = NULL
        self.collected_anchors = NULL
        self.promotion_count = count
        self.target_count = self.counts[TARGETS]
        self.symbol_count = symbols
        self.always_count = self.counts[ALWAYS]
        self.uses_best_deal = (
            self.rules.selection == SELECT_BEST_DEAL or self.rules.selection == SELECT_BEST_ALLOCATION
        )

    cdef bint compile(self, Span request, uint32_t promotion_field, uint32_t rules_field) noexcept nogil:
        """Compile a message whose fields hold promotions and rules; False with `defect` set when one is not sound."""
        cdef Reader reader = reader_of(request)
        while next_field(&reader) and self.defect.code == 0:
            if reader.field == promotion_field:
                if self.counts[PROMOTIONS] >= 1000000:
                    return self.fail(RESULT_CODE_TOO_MANY, "promotions", self.counts[PROMOTIONS] + 1, 1000000)
                self.add_promotion(read_span(&reader))
            else:
                skip_field(&reader)
        if reader.bad:
            self.fail(RESULT_CODE_FIELD_INVALID, "promotions", 0, 0)
        reader = reader_of(request)
        while next_field(&reader) and self.defect.code == 0:
            if reader.field == rules_field:
                self.read_rules(read_span(&reader))
            else:
                skip_field(&reader)
        self.finish()
        return self.defect.code == 0

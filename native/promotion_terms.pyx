"""The terms of a promotion, read into its snapshot: conditions and benefits, with the goods that they are about."""

from libc.stdint cimport int32_t, int64_t
from libc.string cimport memset

from ringup.native.contract cimport (
    RESULT_CODE_AMOUNT_INVALID,
    RESULT_CODE_AMOUNT_TOO_LARGE,
    RESULT_CODE_FIELD_INVALID,
    RESULT_CODE_QTY_INVALID,
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
from ringup.native.limits cimport CODE_BYTES_MAX, PERCENT_SCALE, PRICE_MINOR_MAX, QTY_MILLI_MAX, TOTAL_MINOR_MAX
from ringup.native.promotion cimport (
    BASIS_ORDER,
    BUNDLE_AMOUNT_OFF,
    BUNDLE_FIXED_PRICE,
    BUY_GET,
    CHARGE_FIXED_PRICE,
    CHARGE_PERCENT_OFF,
    COMPONENTS,
    FREE_ITEM,
    ITEM_MARKUP_PERCENT,
    LISTS,
    NO_SYMBOL,
    PICK_CHEAPEST,
    PICK_DEAREST,
    QUANTITY_BREAK,
    SPACE_CATEGORY,
    SPACE_CHARGE,
    SPACE_ITEM,
    TIERED_PERCENT,
    TIERS,
    Benefit,
    Component,
    Condition,
    Snapshot,
    Target,
    Tier,
)
from ringup.native.wire cimport Reader, Span, is_utf8, next_field, read_int, read_span, reader_of, skip_field


cdef enum:
    PICK_MAX = 3
    BENEFIT_MAX = 22
    CONDITION_MAX = 9


cdef int32_t _pick(int64_t value) noexcept nogil:
    return 0 if value == 3 or not 0 <= value <= PICK_MAX else <int32_t>value


cdef int32_t _read_target(Snapshot snapshot, Span body) noexcept nogil:
    """Read a choice of goods; returns its number."""
    cdef Reader reader = reader_of(body)
    cdef int32_t at = snapshot.add_target()
    cdef int32_t symbol
    cdef Target* target = &snapshot.targets[at]
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
                snapshot.fail(RESULT_CODE_FIELD_INVALID, "promotions.target", text.size, CODE_BYTES_MAX)
                return at
            named = True
            symbol = snapshot.intern(space, text)
            snapshot.add_posting(symbol, at)
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
            snapshot.fail(RESULT_CODE_FIELD_INVALID, "promotions.target", 0, 1)
        target.all = True  # only narrowed by price or number
    if reader.bad or target.max_units < 0 or target.max_units_per_line < 0:
        snapshot.fail(RESULT_CODE_QTY_INVALID, "promotions.target.max_units", target.max_units, 0)
    if target.has_min and target.has_max and target.price_min > target.price_max:
        snapshot.fail(
            RESULT_CODE_AMOUNT_INVALID, "promotions.target.unit_price_min_minor", target.price_min, target.price_max
        )
    return at


cdef bint read_condition(Snapshot snapshot, Span body) noexcept nogil:
    """Read a condition; False (and `defect`) when it is not sound."""
    cdef Reader reader = reader_of(body)
    cdef int32_t target = NO_SYMBOL
    cdef Condition* condition = snapshot.add_condition()
    while next_field(&reader):
        if reader.field == Condition_type:
            condition.type = <int32_t>read_int(&reader)
        elif reader.field == Condition_target:
            target = _read_target(snapshot, read_span(&reader))
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
    condition.target = target if target != NO_SYMBOL else snapshot.add_target()
    if reader.bad or not 1 <= condition.type <= CONDITION_MAX:
        return snapshot.fail(RESULT_CODE_FIELD_INVALID, "promotions.conditions.type", condition.type, CONDITION_MAX)
    if not 0 <= condition.amount <= TOTAL_MINOR_MAX:
        return snapshot.fail(
            RESULT_CODE_AMOUNT_TOO_LARGE if condition.amount > 0 else RESULT_CODE_AMOUNT_INVALID,
            "promotions.conditions.amount_minor", condition.amount, TOTAL_MINOR_MAX,
        )
    if not 0 <= condition.qty_milli <= QTY_MILLI_MAX or condition.count < 0:
        return snapshot.fail(
            RESULT_CODE_QTY_INVALID, "promotions.conditions.qty_milli", condition.qty_milli, QTY_MILLI_MAX
        )
    return True


cdef Component _read_component(Snapshot snapshot, Span body) noexcept nogil:
    cdef Reader reader = reader_of(body)
    cdef Component component
    cdef int32_t target = NO_SYMBOL
    memset(&component, 0, sizeof(Component))
    while next_field(&reader):
        if reader.field == Component_target:
            target = _read_target(snapshot, read_span(&reader))
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
        snapshot.fail(RESULT_CODE_QTY_INVALID, "promotions.benefits.qty", component.qty, QTY_MILLI_MAX)
    if not 0 <= component.rate_ppb <= PERCENT_SCALE:
        snapshot.fail(RESULT_CODE_AMOUNT_INVALID, "promotions.benefits.rate_ppb", component.rate_ppb, PERCENT_SCALE)
    component.target = target if target != NO_SYMBOL else snapshot.add_target()
    return component


cdef bint read_benefit(Snapshot snapshot, Span body) noexcept nogil:
    """Read a benefit; False (and `defect`) when it is not sound."""
    cdef Reader reader = reader_of(body), inner
    cdef int32_t target = NO_SYMBOL
    cdef Benefit benefit
    cdef Component component
    cdef Tier tier
    cdef bint has_buy = False, has_get = False
    cdef int64_t picked = 0
    memset(&benefit, 0, sizeof(Benefit))
    # Components and tiers of one benefit stand side by side, as do its charges.
    benefit.components = <int32_t>snapshot.counts[COMPONENTS]
    benefit.tiers = <int32_t>snapshot.counts[TIERS]
    benefit.charges = <int32_t>snapshot.counts[LISTS]
    while next_field(&reader):
        if reader.field == Benefit_type:
            benefit.type = <int32_t>read_int(&reader)
        elif reader.field == Benefit_target:
            target = _read_target(snapshot, read_span(&reader))
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
            snapshot.push_list(snapshot.intern(SPACE_CHARGE, read_span(&reader)))
            benefit.charge_count += 1
        elif reader.field == Benefit_qty:
            benefit.qty = read_int(&reader)
        elif reader.field == Benefit_pick:
            picked = read_int(&reader)
            benefit.pick = _pick(picked)
        elif reader.field == Benefit_components:
            component = _read_component(snapshot, read_span(&reader))
            snapshot.add_component(component)
            benefit.component_count += 1
        elif reader.field == Benefit_buy:
            benefit.buy = _read_component(snapshot, read_span(&reader))
            has_buy = True
        elif reader.field == Benefit_get:
            benefit.get = _read_component(snapshot, read_span(&reader))
            has_get = True
        elif reader.field == Benefit_for_each:
            benefit.for_each = _read_component(snapshot, read_span(&reader))
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
                return snapshot.fail(
                    RESULT_CODE_AMOUNT_INVALID, "promotions.benefits.tiers.amount_minor", tier.amount,
                    PRICE_MINOR_MAX,
                )
            if not 0 <= tier.rate_ppb <= PERCENT_SCALE:
                return snapshot.fail(
                    RESULT_CODE_AMOUNT_INVALID, "promotions.benefits.tiers.rate_ppb", tier.rate_ppb, PERCENT_SCALE
                )
            snapshot.add_tier(tier)
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
    benefit.target = target if target != NO_SYMBOL else snapshot.add_target()
    if benefit.basis == 0:
        benefit.basis = BASIS_ORDER
    if picked == 0 and BUNDLE_FIXED_PRICE <= benefit.type <= BUNDLE_AMOUNT_OFF:
        benefit.pick = PICK_DEAREST  # the choice that is best for the customer
    if reader.bad or not 1 <= benefit.type <= BENEFIT_MAX:
        return snapshot.fail(RESULT_CODE_FIELD_INVALID, "promotions.benefits.type", benefit.type, BENEFIT_MAX)
    if benefit.rate_ppb < 0 or (benefit.rate_ppb > PERCENT_SCALE and benefit.type != ITEM_MARKUP_PERCENT) or (
        benefit.rate_ppb > 100 * <int64_t>PERCENT_SCALE
    ):
        return snapshot.fail(
            RESULT_CODE_AMOUNT_INVALID, "promotions.benefits.rate_ppb", benefit.rate_ppb, PERCENT_SCALE
        )
    if not 0 <= benefit.base_rate_ppb <= PERCENT_SCALE:
        return snapshot.fail(
            RESULT_CODE_AMOUNT_INVALID, "promotions.benefits.base_rate_ppb", benefit.base_rate_ppb, PERCENT_SCALE
        )
    if benefit.amount < 0 or benefit.base_amount < 0 or benefit.additional < 0 or benefit.cap < 0:
        return snapshot.fail(RESULT_CODE_AMOUNT_INVALID, "promotions.benefits.amount_minor", benefit.amount, 0)
    if max(benefit.amount, benefit.base_amount, benefit.additional, benefit.cap) > TOTAL_MINOR_MAX:
        return snapshot.fail(
            RESULT_CODE_AMOUNT_TOO_LARGE, "promotions.benefits.amount_minor", benefit.amount, TOTAL_MINOR_MAX
        )
    if not 0 <= benefit.qty <= QTY_MILLI_MAX:
        return snapshot.fail(RESULT_CODE_QTY_INVALID, "promotions.benefits.qty", benefit.qty, QTY_MILLI_MAX)
    if benefit.qty == 0:
        benefit.qty = 1
    if benefit.type == BUY_GET and not (has_buy and has_get):
        return snapshot.fail(RESULT_CODE_FIELD_INVALID, "promotions.benefits.buy", has_buy, 1)
    if benefit.type == FREE_ITEM and (
        not 0 < benefit.free_item.size <= CODE_BYTES_MAX or not is_utf8(benefit.free_item)
    ):
        return snapshot.fail(
            RESULT_CODE_FIELD_INVALID, "promotions.benefits.item_id", benefit.free_item.size, CODE_BYTES_MAX
        )
    if CHARGE_PERCENT_OFF <= benefit.type <= CHARGE_FIXED_PRICE and benefit.charge_count == 0:
        return snapshot.fail(RESULT_CODE_FIELD_INVALID, "promotions.benefits.charge_ids", 0, 1)
    if QUANTITY_BREAK <= benefit.type <= TIERED_PERCENT and benefit.tier_count == 0:
        return snapshot.fail(RESULT_CODE_FIELD_INVALID, "promotions.benefits.tiers", 0, 1)
    snapshot.add_benefit(benefit)
    return True

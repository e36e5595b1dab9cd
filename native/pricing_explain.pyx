"""The reasons of a price, written as messages: what applied, how often and where, or why not."""

from libc.stdint cimport int32_t, int64_t, uint32_t

from ringup.native.contract cimport (
    ChargePrice_amount_minor,
    ChargePrice_charge_id,
    ChargePrice_discount_minor,
    ChargePrice_tax_added_minor,
    CouponOutcome_code,
    CouponOutcome_outcome,
    CouponOutcome_promotion_id,
    ExplainedPromotion_applications,
    ExplainedPromotion_charge_discount_minor,
    ExplainedPromotion_condition,
    ExplainedPromotion_discount_minor,
    ExplainedPromotion_found,
    ExplainedPromotion_name,
    ExplainedPromotion_needed,
    ExplainedPromotion_other_promotion_id,
    ExplainedPromotion_outcome,
    ExplainedPromotion_promotion_id,
    ExplainedPromotion_turn,
    ExplainedPromotion_units,
    FreeItem_item_id,
    FreeItem_promotion_id,
    FreeItem_qty,
    SearchReport_bound_minor,
    SearchReport_discount_minor,
    SearchReport_nodes,
    SearchReport_proven,
    TaxAmount_base_minor,
    TaxAmount_inclusive,
    TaxAmount_name,
    TaxAmount_tax_minor,
    UnitDiscount_amount_minor,
    UnitDiscount_count,
    UnitDiscount_first_unit,
    UnitDiscount_line,
)
from ringup.native.pricing_kernel cimport coupon_outcome
from ringup.native.pricing_state cimport Basket, LogEntry, Verdict
from ringup.native.pricing_rates cimport TaxKey, Taxes
from ringup.native.promotion cimport NO_SYMBOL, OUT_APPLIED, Promotion, Snapshot
from ringup.native.wire cimport Writer, begin_message, end_message, write_int, write_span


cdef void write_explained(
    Writer* out, uint32_t field, Basket* basket, Snapshot snapshot, bint reasons
) noexcept nogil:
    """What each promotion did; with `reasons` also why others did nothing, and which units were discounted."""
    cdef int64_t i, j, mark, inner
    cdef Verdict* verdict
    cdef Promotion* promotion
    cdef LogEntry* entry
    for i in range(basket.verdict_count):
        verdict = &basket.verdicts[i]
        promotion = &snapshot.promotions[verdict.promotion]
        if not reasons and verdict.outcome != OUT_APPLIED:
            continue
        mark = begin_message(out, field)
        write_span(out, ExplainedPromotion_promotion_id, promotion.id)
        write_int(out, ExplainedPromotion_outcome, verdict.outcome)
        write_int(out, ExplainedPromotion_discount_minor, verdict.discount)
        write_int(out, ExplainedPromotion_applications, verdict.applications)
        if reasons and verdict.outcome == OUT_APPLIED:
            for j in range(basket.log_count):
                entry = &basket.log[j]
                if entry.promotion != verdict.promotion or entry.line < 0:
                    continue
                inner = begin_message(out, ExplainedPromotion_units)
                write_int(out, UnitDiscount_line, entry.line)
                write_int(out, UnitDiscount_first_unit, entry.first)
                write_int(out, UnitDiscount_count, entry.count)
                write_int(out, UnitDiscount_amount_minor, entry.amount)
                end_message(out, inner)
        write_int(out, ExplainedPromotion_charge_discount_minor, verdict.charge_discount)
        write_int(out, ExplainedPromotion_found, verdict.found)
        write_int(out, ExplainedPromotion_needed, verdict.needed)
        write_int(out, ExplainedPromotion_condition, verdict.condition)
        if verdict.other != NO_SYMBOL:
            write_span(out, ExplainedPromotion_other_promotion_id, snapshot.promotions[verdict.other].id)
        write_span(out, ExplainedPromotion_name, promotion.name)
        write_int(out, ExplainedPromotion_turn, verdict.turn)
        end_message(out, mark)


cdef void write_coupons(Writer* out, uint32_t field, Basket* basket, Snapshot snapshot) noexcept nogil:
    cdef int64_t i, mark
    cdef int outcome
    cdef int32_t promotion
    for i in range(basket.coupon_count):
        outcome = coupon_outcome(basket, snapshot, i, &promotion)
        mark = begin_message(out, field)
        write_span(out, CouponOutcome_code, basket.coupons[i].code)
        write_int(out, CouponOutcome_outcome, outcome)
        if promotion != NO_SYMBOL:
            write_span(out, CouponOutcome_promotion_id, snapshot.promotions[promotion].id)
        end_message(out, mark)


cdef void write_free(Writer* out, uint32_t field, Basket* basket, Snapshot snapshot) noexcept nogil:
    cdef int64_t i, mark
    for i in range(basket.free_count):
        mark = begin_message(out, field)
        write_span(out, FreeItem_item_id, basket.free_units[i].item_id)
        write_int(out, FreeItem_qty, basket.free_units[i].qty)
        write_span(out, FreeItem_promotion_id, snapshot.promotions[basket.free_units[i].promotion].id)
        end_message(out, mark)


cdef void write_charges(Writer* out, uint32_t field, Basket* basket, Taxes* taxes) noexcept nogil:
    cdef int64_t i, mark
    for i in range(basket.charge_count):
        mark = begin_message(out, field)
        write_span(out, ChargePrice_charge_id, basket.input_charges[i].id)
        write_int(out, ChargePrice_amount_minor, basket.charges[i].amount)
        write_int(out, ChargePrice_discount_minor, basket.input_charges[i].amount - basket.charges[i].amount)
        write_int(out, ChargePrice_tax_added_minor, taxes.places[basket.input_line_count + i].added)
        end_message(out, mark)


cdef void write_taxes(Writer* out, uint32_t field, Taxes* taxes) noexcept nogil:
    cdef int64_t i, mark
    cdef TaxKey* key
    for i in range(taxes.order_count):
        key = &taxes.keys[taxes.order[i]]
        mark = begin_message(out, field)
        write_span(out, TaxAmount_name, key.name)
        write_int(out, TaxAmount_inclusive, key.inclusive)
        write_int(out, TaxAmount_tax_minor, key.tax)
        write_int(out, TaxAmount_base_minor, key.net)
        end_message(out, mark)


cdef void write_search(Writer* out, uint32_t field, Basket* basket) noexcept nogil:
    cdef int64_t mark
    if not basket.searched:
        return
    mark = begin_message(out, field)
    write_int(out, SearchReport_proven, basket.proven)
    write_int(out, SearchReport_nodes, basket.nodes)
    write_int(out, SearchReport_discount_minor, basket.found)
    write_int(out, SearchReport_bound_minor, basket.bound)
    end_message(out, mark)

"""What is certain to be wrong with promotions that are sound one by one.

Conditions that no basket meets (a subtotal of at least 50 and at most 40; three different items out of two),
and free items that earn each other without end.  What may be meant, such as an offer that another always
beats, is no refusal: `CheckPromotions` names it.
"""

from libc.stdint cimport int64_t
from libc.string cimport memset

from ringup.native.contract cimport (
    BENEFIT_TYPE_FREE_ITEM,
    CONDITION_TYPE_DISTINCT,
    CONDITION_TYPE_MAX_QTY,
    CONDITION_TYPE_MAX_SUBTOTAL,
    CONDITION_TYPE_MIN_QTY,
    CONDITION_TYPE_MIN_SUBTOTAL,
    CONDITION_TYPE_NTH_ORDER,
    Benefit_for_each,
    Benefit_item_id,
    Benefit_type,
    Component_target,
    Condition_amount_minor,
    Condition_count,
    Condition_original,
    Condition_qty_milli,
    Condition_target,
    Condition_tax_view,
    Condition_type,
    Promotion_benefits,
    Promotion_conditions,
    Target_all,
    Target_categories,
    Target_item_ids,
)
from ringup.native.wire cimport (
    Reader,
    Span,
    next_field,
    next_of,
    no_span,
    read_int,
    read_span,
    reader_of,
    skip_field,
    span_equal,
)

cdef enum:
    CONDITIONS_COMPARED_MAX = 32  # of one promotion; nobody writes more

cdef struct Condition:
    int64_t type
    int64_t amount
    int64_t qty_milli
    int64_t count
    int64_t original
    int64_t tax_view
    Span target


cdef Condition _read_condition(Span body) noexcept nogil:
    cdef Reader reader = reader_of(body)
    cdef Condition condition
    memset(&condition, 0, sizeof(Condition))
    while next_field(&reader):
        if reader.field == Condition_type:
            condition.type = read_int(&reader)
        elif reader.field == Condition_target:
            condition.target = read_span(&reader)
        elif reader.field == Condition_amount_minor:
            condition.amount = read_int(&reader)
        elif reader.field == Condition_qty_milli:
            condition.qty_milli = read_int(&reader)
        elif reader.field == Condition_count:
            condition.count = read_int(&reader)
        elif reader.field == Condition_original:
            condition.original = read_int(&reader)
        elif reader.field == Condition_tax_view:
            condition.tax_view = read_int(&reader)
        else:
            skip_field(&reader)
    return condition


cdef int64_t _items_named(Span target) noexcept nogil:
    """How many items a target names, -1 when it also takes others."""
    cdef Reader reader = reader_of(target)
    cdef int64_t count = 0
    while next_field(&reader):
        if reader.field == Target_item_ids:
            read_span(&reader)
            count += 1
        elif reader.field == Target_categories or (reader.field == Target_all and reader.wire_type == 0):
            return -1
        else:
            skip_field(&reader)
    return count if count else -1


cdef bint _exclude(Condition* low, Condition* high, Contradiction* out) noexcept nogil:
    """Whether two conditions cannot both hold."""
    if low.type == CONDITION_TYPE_NTH_ORDER and high.type == CONDITION_TYPE_NTH_ORDER and low.count != high.count:
        out.found, out.limit = low.count, high.count
        return True
    if low.original != high.original or low.tax_view != high.tax_view:
        return False  # two views of one basket may differ
    if low.type == CONDITION_TYPE_MIN_SUBTOTAL and high.type == CONDITION_TYPE_MAX_SUBTOTAL:
        out.found, out.limit = low.amount, high.amount
        return low.amount > high.amount
    if low.type == CONDITION_TYPE_MIN_QTY and high.type == CONDITION_TYPE_MAX_QTY:
        out.found, out.limit = low.qty_milli, high.qty_milli
        return low.qty_milli > high.qty_milli and span_equal(low.target, high.target)
    return False


cdef bint contradicts_itself(Span definition, Contradiction* out) noexcept nogil:
    """Whether no basket can meet all conditions of a definition; `out` has the two numbers."""
    cdef Reader reader = reader_of(definition)
    cdef Condition[CONDITIONS_COMPARED_MAX] conditions
    cdef int64_t count = 0, i, j, items
    while next_field(&reader):
        if reader.field == Promotion_conditions and count < CONDITIONS_COMPARED_MAX:
            conditions[count] = _read_condition(read_span(&reader))
            count += 1
        else:
            skip_field(&reader)
    for i in range(count):
        if conditions[i].type == CONDITION_TYPE_DISTINCT:
            items = _items_named(conditions[i].target)
            if 0 <= items < conditions[i].count:
                out.found, out.limit = conditions[i].count, items
                return True
        for j in range(count):
            if _exclude(&conditions[i], &conditions[j], out):
                return True
    return False


cdef bytes bytes_of(Span span):
    return span.data[:span.size] if span.size else b""


cdef list free_item_edges(Span definition):
    """(item bought, item given for it) of each free item that a definition gives for others."""
    cdef Reader reader = reader_of(definition), inner, part, target
    cdef Span for_each, item
    cdef int64_t kind
    edges = []
    while next_of(&reader, Promotion_benefits):
        inner = reader_of(read_span(&reader))
        for_each = item = no_span()
        kind = 0
        while next_field(&inner):
            if inner.field == Benefit_type:
                kind = read_int(&inner)
            elif inner.field == Benefit_item_id:
                item = read_span(&inner)
            elif inner.field == Benefit_for_each:
                for_each = read_span(&inner)
            else:
                skip_field(&inner)
        if kind != BENEFIT_TYPE_FREE_ITEM or for_each.size == 0:
            continue
        part = reader_of(for_each)
        while next_of(&part, Component_target):
            target = reader_of(read_span(&part))
            while next_of(&target, Target_item_ids):
                bought = bytes_of(read_span(&target))
                if bought != bytes_of(item):  # one more of the same is an offer like any other
                    edges.append((bought, bytes_of(item)))
    return edges


cdef object free_item_circle(list edges):
    """An item that earns itself over others, or None."""
    gives = {}
    for bought, given in edges:
        gives.setdefault(bought, set()).add(given)
    for start in gives:
        seen, waiting = set(), [start]
        while waiting:
            for item in gives.get(waiting.pop(), ()):
                if item == start:
                    return start
                if item not in seen:
                    seen.add(item)
                    waiting.append(item)
    return None

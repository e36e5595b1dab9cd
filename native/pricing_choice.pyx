"""Which units a target means, and in which order they are taken."""

from libc.stdint cimport int32_t, int64_t
from libc.string cimport memcpy

from ringup.native.arrays cimport room_for
from ringup.native.pricing_state cimport SET_BEFORE, Basket, Pick, Segment, line_value
from ringup.native.promotion cimport NO_SYMBOL, PICK_CHEAPEST, PICK_LISTED, Snapshot, Target


cdef bint _comes_before(Pick* a, Pick* b, int pick) noexcept nogil:
    return a.price < b.price if pick == PICK_CHEAPEST else a.price > b.price


cdef void sort_picks(Basket* basket, Pick* picks, int64_t count, int pick) noexcept nogil:
    """Bring picks into the order of `pick`; equal prices stay as listed."""
    cdef int64_t i, j, width, low, mid, high, a, b
    cdef Pick held
    cdef Pick* other
    cdef Pick* from_
    cdef Pick* swap
    if pick == PICK_LISTED or count < 2:
        return
    if count <= 24:
        for i in range(1, count):
            held = picks[i]
            j = i
            while j > 0 and _comes_before(&held, &picks[j - 1], pick):
                picks[j] = picks[j - 1]
                j -= 1
            picks[j] = held
        return
    basket.sort_room = <Pick*>room_for(basket.sort_room, &basket.sort_capacity, count, sizeof(Pick))
    from_, other = picks, basket.sort_room
    width = 1
    while width < count:
        low = 0
        while low < count:
            mid = min(low + width, count)
            high = min(low + 2 * width, count)
            a, b = low, mid
            for i in range(low, high):
                if a < mid and (b >= high or not _comes_before(&from_[b], &from_[a], pick)):
                    other[i] = from_[a]
                    a += 1
                else:
                    other[i] = from_[b]
                    b += 1
            low = high
        swap = from_
        from_ = other
        other = swap
        width *= 2
    if from_ != picks:
        memcpy(picks, from_, count * sizeof(Pick))


cdef int64_t choose(
    Basket* basket, Snapshot snapshot, int32_t target, int pick, int open_to, bint for_benefit
) noexcept nogil:
    """Fill basket.picks with the target's units in the order of `pick`; returns how many units.

    Returns and reductions by hand are never chosen; goods that may not be discounted only where
    `for_benefit` is false; `open_to` says which units that have been in a set are left out.
    """
    cdef Target* wanted = &snapshot.targets[target]
    cdef Segment* segment
    cdef int64_t line = 0, left, count, total = 0, i, shelf
    cdef int32_t at, link = NO_SYMBOL
    cdef Pick* chosen
    basket.pick_count = 0
    if not wanted.all:
        if basket.stamps[target] != basket.epoch:
            return 0
        link = basket.touched[target]
    while True:
        if wanted.all:
            if line >= basket.input_line_count:
                break
            at = <int32_t>line
            line += 1
        else:
            if link == NO_SYMBOL:
                break
            at = basket.touched_lines[link].line
            link = basket.touched_lines[link].next
        left = <int64_t>1 << 62
        if wanted.max_units_per_line > 0 and not basket.whole_targets:
            left = wanted.max_units_per_line
        while at != NO_SYMBOL and left > 0:
            segment = &basket.segments[at]
            shelf = segment.listed if basket.in_catalog else segment.original
            if (
                basket.lines[segment.line].sign > 0
                and segment.listed >= 0
                and not (for_benefit and segment.closed)
                and not (segment.used and open_to and (open_to == UNITS_IN_NO_SET or segment.used != SET_BEFORE))
                and not (wanted.has_min and shelf < wanted.price_min)
                and not (wanted.has_max and shelf > wanted.price_max)
                and not (wanted.exclude_discounted and segment.original < segment.listed)
            ):
                basket.picks = <Pick*>room_for(
                    basket.picks, &basket.pick_capacity, basket.pick_count + 1, sizeof(Pick)
                )
                chosen = &basket.picks[basket.pick_count]
                basket.pick_count += 1
                chosen.segment = at
                chosen.line = segment.line
                chosen.count = min(segment.count, left)
                chosen.price = segment.price
                left -= chosen.count
                total += chosen.count
            at = segment.next
    if wanted.max_units > 0 and total > wanted.max_units and not basket.whole_targets:
        sort_picks(basket, basket.picks, basket.pick_count, wanted.pick)
        total = 0
        for i in range(basket.pick_count):
            count = min(basket.picks[i].count, wanted.max_units - total)
            basket.picks[i].count = count
            total += count
            if total == wanted.max_units:
                basket.pick_count = i + 1
                break
        if pick == PICK_LISTED and wanted.pick != PICK_LISTED:
            sort_listed(basket, basket.picks, basket.pick_count)
    sort_picks(basket, basket.picks, basket.pick_count, pick)
    return total


cdef void sort_listed(Basket* basket, Pick* picks, int64_t count) noexcept nogil:
    """Into the order of the basket."""
    cdef int64_t i, j
    cdef Pick held
    for i in range(1, count):
        held = picks[i]
        j = i
        while j > 0 and (
            held.line < picks[j - 1].line
            or (
                held.line == picks[j - 1].line
                and basket.segments[held.segment].first < basket.segments[picks[j - 1].segment].first
            )
        ):
            picks[j] = picks[j - 1]
            j -= 1
        picks[j] = held


cdef int64_t returned_value(Basket* basket, Snapshot snapshot, int32_t target) noexcept nogil:
    """The running value of what is brought back, and of reductions by hand, among the lines of a target."""
    cdef int64_t i, value = 0
    cdef int32_t link
    if snapshot.targets[target].all:
        for i in range(basket.input_line_count):
            if basket.lines[i].sign < 0 or basket.segments[i].listed < 0:
                value += line_value(basket, i)
    elif basket.stamps[target] == basket.epoch:
        link = basket.touched[target]
        while link != NO_SYMBOL:
            i = basket.touched_lines[link].line
            if basket.lines[i].sign < 0 or basket.segments[i].listed < 0:
                value += line_value(basket, i)
            link = basket.touched_lines[link].next
    return value

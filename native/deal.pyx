"""The best deal: the mix of offers with the greatest total discount, each unit in at most one application.

Equal units (same price, same offers) form a class, and the search works on counts of classes.  Offers
on single units that nothing limits need no search: a unit that is in no set takes the best of them.
Classes that share a set offer, or one with a limit, form a component; each component is searched by itself
(`deal_search`), and the mix is laid on the basket (`deal_lay`).

What no search lays unit by unit plays as a whole: an amount per line, a set with a narrow target.  Each is
tried before the search on all its units, and after it on the units that it left; what gives most is kept.
Benefits on the order, on charges and free items follow the mix.
"""

from libc.stdint cimport int32_t, int64_t
from libc.stdlib cimport abort, calloc, free, malloc
from libc.string cimport memset

from ringup.native.deal_lay cimport lay_mix
from ringup.native.deal_offers cimport OFFERS_MAX, Offer, Search, follows, is_block, money_left
from ringup.native.pricing_benefit cimport apply_benefit
from ringup.native.pricing_discount cimport shrink
from ringup.native.pricing_kernel cimport conditions_hold
from ringup.native.pricing_state cimport SET_BEFORE, Basket, Verdict, given_since, restore_state, save_state
from ringup.native.promotion cimport (
    GROUP_BEST,
    GROUP_FIRST,
    NO_SYMBOL,
    OUT_APPLIED,
    OUT_BEATEN,
    OUT_NONE,
    OUT_NOTHING,
    UNLIMITED,
    Benefit,
    Promotion,
    Snapshot,
)

cdef enum:
    NODES_DEFAULT = 5000  # some 60 ms at worst
    BLOCKS_MAX = 16


cdef void _mark_used(Basket* basket, int64_t mark) noexcept nogil:
    # Units discounted since `mark` are in an application.
    cdef int64_t i
    cdef int32_t at
    for i in range(mark, basket.log_count):
        at = basket.log[i].line
        if at < 0:
            continue
        while at != NO_SYMBOL:
            if basket.log[i].first <= basket.segments[at].first < basket.log[i].first + basket.log[i].count:
                basket.segments[at].used = 1
            at = basket.segments[at].next


cdef void _give_blocks(
    Basket* basket, Snapshot snapshot, int64_t first, int64_t end, const char* playing, int64_t only, int64_t skip
) noexcept nogil:
    """Give benefits that take units as a whole on the units that are free: number `only`, or all but `skip`."""
    cdef int64_t i, j, block = 0
    cdef Promotion* promotion
    basket.best_units = True
    for i in range(first, end):
        promotion = &snapshot.promotions[basket.verdicts[i].promotion]
        for j in range(promotion.benefit_count if playing[i - first] else 0):
            if not is_block(snapshot, promotion, &snapshot.benefits[promotion.benefits + j], basket.input_line_count):
                continue
            block += 1
            if (only < 0 or block - 1 == only) and block - 1 != skip:
                _give_benefit(basket, snapshot, promotion, &snapshot.benefits[promotion.benefits + j], i)
    basket.best_units = False


cdef void _give_benefit(
    Basket* basket, Snapshot snapshot, Promotion* promotion, Benefit* benefit, int64_t number
) noexcept nogil:
    cdef int64_t mark = basket.log_count, left, i
    basket.log_floor = mark
    basket.promotion = basket.verdicts[number].promotion
    basket.vendor = promotion.vendor
    basket.verdicts[number].applications += apply_benefit(basket, snapshot, benefit, promotion.max_applications)
    if promotion.budget != UNLIMITED:
        left = money_left(basket, promotion, basket.promotion)
        for i in range(mark):
            if basket.log[i].promotion == basket.promotion:
                left -= basket.log[i].amount * basket.log[i].count
        if given_since(basket, mark) > left:
            shrink(basket, mark, 0 if promotion.budget_skips else max(left, 0))
    basket.vendor = False
    if basket.best_units:
        _mark_used(basket, mark)


cdef void _give_rest(
    Basket* basket, Snapshot snapshot, int64_t first, int64_t end, const char* playing
) noexcept nogil:
    """What follows the mix, by priority, on running prices; conditions are looked at when the turn comes."""
    cdef int64_t i, j
    cdef Promotion* promotion
    cdef bint held
    for i in range(first, end):
        promotion = &snapshot.promotions[basket.verdicts[i].promotion]
        held = True
        for j in range(promotion.benefit_count if playing[i - first] else 0):
            if not follows(&snapshot.benefits[promotion.benefits + j]):
                continue
            if j == 0 or held:
                held = conditions_hold(basket, snapshot, promotion, &basket.verdicts[i])
            if held:
                _give_benefit(basket, snapshot, promotion, &snapshot.benefits[promotion.benefits + j], i)


cdef int64_t _play(
    Search* search, Snapshot snapshot, int64_t first, int64_t end, const char* playing, int64_t ahead
) noexcept nogil:
    """One way to combine: block number `ahead` first (-1 for none), the search, the other blocks, the rest.

    With `ahead` below -1 only the rest is given: a threshold may be worth more than any mix below it.
    """
    cdef Basket* basket = search.basket
    cdef int64_t mark = basket.log_count, i
    for i in range(first, end):
        basket.verdicts[i].applications = 0
        if playing[i - first]:
            basket.verdicts[i].outcome = OUT_NONE
            basket.verdicts[i].condition = 0
    basket.bound = 0
    search.visited = search.weighed = 0
    search.exhausted = False
    if ahead == -3:
        _give_greedily(basket, snapshot, first, end, playing)
    if ahead >= 0:
        _give_blocks(basket, snapshot, first, end, playing, ahead, -1)
    if ahead >= -1:
        lay_mix(search, snapshot, first, end, playing)
        _give_blocks(basket, snapshot, first, end, playing, -1, ahead)
    _give_rest(basket, snapshot, first, end, playing)
    return given_since(basket, mark)


cdef void _give_greedily(
    Basket* basket, Snapshot snapshot, int64_t first, int64_t end, const char* playing
) noexcept nogil:
    """The first answer: every offer in the order of priority, on the units that are still free."""
    cdef int64_t i, j
    cdef Promotion* promotion
    basket.best_units = True
    for i in range(first, end):
        promotion = &snapshot.promotions[basket.verdicts[i].promotion]
        for j in range(promotion.benefit_count if playing[i - first] else 0):
            if not follows(&snapshot.benefits[promotion.benefits + j]):
                _give_benefit(basket, snapshot, promotion, &snapshot.benefits[promotion.benefits + j], i)
    basket.best_units = False


cdef void best_stage(Basket* basket, Snapshot snapshot, int64_t first, int64_t end) noexcept nogil:
    """Give the best mix of the stage's promotions; every choice of one member of each group is tried."""
    cdef int64_t i, j, blocks = 0, ahead, total, best = -1, best_ahead = -1, mark = basket.log_count, choice
    cdef int64_t choices = 1, best_choice = 0, free_mark = basket.free_count, worth
    cdef int64_t[8] group_sizes
    cdef int32_t[8] groups
    cdef int64_t group_count = 0
    cdef Promotion* promotion
    cdef Verdict* verdict
    cdef char* open_ = <char*>calloc(2 * (end - first) + 2, 1)
    cdef char* playing
    cdef bint wants_units, has_followers = False, proven = True
    cdef int64_t bound = 0
    cdef Search search
    memset(&search, 0, sizeof(Search))
    if open_ == NULL:
        abort()
    playing = open_ + (end - first)
    search.basket = basket
    search.offers = <Offer*>malloc(OFFERS_MAX * sizeof(Offer))
    search.table_mask = 1023
    search.table = <int64_t*>calloc(search.table_mask + 1, sizeof(int64_t))
    search.budget = snapshot.rules.nodes_max if snapshot.rules.nodes_max > 0 else NODES_DEFAULT
    if search.offers == NULL or search.table == NULL:
        abort()
    for i in range(basket.segment_count):
        if basket.segments[i].used:
            basket.segments[i].used = SET_BEFORE
    for i in range(first, end):
        verdict = &basket.verdicts[i]
        promotion = &snapshot.promotions[verdict.promotion]
        if verdict.outcome != OUT_NONE or promotion.exclusive:
            continue
        wants_units = False
        for j in range(promotion.benefit_count):
            if follows(&snapshot.benefits[promotion.benefits + j]):
                has_followers = True
            else:
                wants_units = True
        if wants_units and not conditions_hold(basket, snapshot, promotion, verdict):
            continue
        open_[i - first] = 1
        for j in range(promotion.benefit_count):
            blocks += is_block(snapshot, promotion, &snapshot.benefits[promotion.benefits + j], basket.input_line_count)
        if promotion.group_mode != 0:
            for j in range(group_count):
                if groups[j] == promotion.group:
                    if promotion.group_mode == GROUP_FIRST:
                        open_[i - first] = 2  # only the first member plays
                    else:
                        group_sizes[j] += 1
                    break
            else:
                if group_count < 8:
                    groups[group_count] = promotion.group
                    group_sizes[group_count] = 1
                    group_count += 1
    for j in range(group_count):
        choices *= group_sizes[j]
    choices = min(choices, 256)
    blocks = min(blocks, BLOCKS_MAX)
    save_state(basket, 2)
    for choice in range(choices):
        _set_playing(basket, snapshot, first, end, open_, playing, groups, group_sizes, group_count, choice)
        for ahead in range(-1, blocks + (1 if has_followers else 0)):
            if ahead == blocks:
                ahead = -2
            total = _play(&search, snapshot, first, end, playing, ahead)
            if total > best or (best < 0 and basket.free_count > free_mark):
                best = total
                best_choice = choice
                best_ahead = ahead
            restore_state(basket, 2)
            if search.exhausted:
                proven = False
                bound = max(bound, basket.bound)
        if not proven:
            total = _play(&search, snapshot, first, end, playing, -3)
            if total > best:
                best = total
                best_choice = choice
                best_ahead = -3
            restore_state(basket, 2)
    _set_playing(basket, snapshot, first, end, open_, playing, groups, group_sizes, group_count, best_choice)
    _play(&search, snapshot, first, end, playing, best_ahead)
    basket.searched = True
    basket.nodes = search.visited
    basket.found = given_since(basket, mark)
    # What reaches the bound is proved by it.
    basket.bound = max(bound, basket.bound, basket.found)
    basket.proven = blocks == 0 and (proven or (choices == 1 and not has_followers and basket.bound == basket.found))
    if basket.proven:
        basket.bound = basket.found
    for i in range(first, end):
        if not open_[i - first]:
            continue
        verdict = &basket.verdicts[i]
        verdict.discount = verdict.charge_discount = 0
        for j in range(mark, basket.log_count):
            if basket.log[j].promotion == verdict.promotion:
                worth = basket.log[j].amount * basket.log[j].count
                verdict.discount += worth
                if basket.log[j].line < 0:
                    verdict.charge_discount += worth
        if verdict.outcome != OUT_NONE:
            continue  # a condition failed when its turn came
        worth = verdict.discount != 0
        for j in range(free_mark, basket.free_count):
            worth = worth or basket.free_units[j].promotion == verdict.promotion
        verdict.outcome = OUT_APPLIED if worth else OUT_BEATEN
        verdict.settled = 1
        if not worth:
            verdict.applications = 0
            # Beaten only if it could give something alone.
            verdict.found = basket.found
            verdict.needed = _alone(basket, snapshot, verdict.promotion)
            if verdict.needed == 0:
                verdict.outcome = OUT_NOTHING
                verdict.found = 0
    for j in range(2):  # in the order in which they were given: the mix, then what follows it
        for i in range(first, end):
            verdict = &basket.verdicts[i]
            promotion = &snapshot.promotions[verdict.promotion]
            if open_[i - first] and verdict.outcome == OUT_APPLIED and verdict.turn == 0 and (
                j == 1 or not follows(&snapshot.benefits[promotion.benefits])
            ):
                basket.turns += 1
                verdict.turn = basket.turns
    free(open_)
    free(search.offers)
    free(search.table)
    free(search.words)
    free(search.nodes)
    free(search.roles)
    free(search.class_of)
    free(search.cursors)
    free(search.classes)


cdef void _set_playing(
    Basket* basket, Snapshot snapshot, int64_t first, int64_t end, const char* open_, char* playing,
    const int32_t* groups, const int64_t* sizes, int64_t group_count, int64_t choice
) noexcept nogil:
    # Who plays in this choice of one member a group.
    cdef int64_t i, j, seat, wanted
    cdef int64_t[8] seen
    cdef Promotion* promotion
    memset(seen, 0, sizeof(seen))
    for i in range(first, end):
        promotion = &snapshot.promotions[basket.verdicts[i].promotion]
        playing[i - first] = open_[i - first] == 1
        if not playing[i - first] or promotion.group_mode != GROUP_BEST:
            continue
        wanted = choice
        for j in range(group_count):
            seat = wanted % sizes[j]
            wanted //= sizes[j]
            if groups[j] == promotion.group:
                playing[i - first] = seen[j] == seat
                seen[j] += 1


cdef int64_t _alone(Basket* basket, Snapshot snapshot, int32_t number) noexcept nogil:
    """What a promotion would give by itself at the start of the stage."""
    cdef Promotion* promotion = &snapshot.promotions[number]
    cdef int64_t i, worth, log_end = basket.log_count, free_end = basket.free_count, mark
    save_state(basket, 3)
    restore_state(basket, 2)
    basket.log_count = log_end  # entries of the answer stay untouched behind the trial's
    mark = basket.log_count
    basket.log_floor = mark
    basket.promotion = number
    for i in range(promotion.benefit_count):
        apply_benefit(basket, snapshot, &snapshot.benefits[promotion.benefits + i], promotion.max_applications)
    worth = given_since(basket, mark)
    basket.free_count = free_end
    restore_state(basket, 3)
    return worth

"""Promotions compiled into a snapshot: read once from their definitions, then only looked up."""

from libc.stdint cimport int32_t, int64_t, uint64_t, uint8_t
from libc.stdlib cimport abort, calloc, free, malloc, realloc
from libc.string cimport memset

from ringup.native.contract cimport RESULT_CODE_FIELD_INVALID
from ringup.native.index cimport hash_bytes, hash_int, index_add, index_free, index_next, index_start
from ringup.native.limits cimport CODE_BYTES_MAX
from ringup.native.wire cimport Span, is_utf8, span_equal


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
    """Immutable once `compile_promotions` has run; a new set of promotions is a new snapshot."""

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

    cdef int32_t add_promotion(self) noexcept nogil:
        """A promotion without terms and limits; its conditions and benefits are those added next."""
        cdef int32_t at = <int32_t>self.counts[PROMOTIONS]
        cdef Promotion* promotion
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
        return at

    cdef Condition* add_condition(self) noexcept nogil:
        self.conditions = <Condition*>_room(
            self.conditions, self.counts, self.capacities, CONDITIONS, sizeof(Condition)
        )
        memset(&self.conditions[self.counts[CONDITIONS] - 1], 0, sizeof(Condition))
        return &self.conditions[self.counts[CONDITIONS] - 1]

    cdef void add_benefit(self, Benefit benefit) noexcept nogil:
        self.benefits = <Benefit*>_room(self.benefits, self.counts, self.capacities, BENEFITS, sizeof(Benefit))
        self.benefits[self.counts[BENEFITS] - 1] = benefit

    cdef void add_component(self, Component component) noexcept nogil:
        self.components = <Component*>_room(
            self.components, self.counts, self.capacities, COMPONENTS, sizeof(Component)
        )
        self.components[self.counts[COMPONENTS] - 1] = component

    cdef void add_tier(self, Tier tier) noexcept nogil:
        self.tiers = <Tier*>_room(self.tiers, self.counts, self.capacities, TIERS, sizeof(Tier))
        self.tiers[self.counts[TIERS] - 1] = tier

    cdef void add_posting(self, int32_t symbol, int32_t target) noexcept nogil:
        """From an item or a category to a target that it belongs to."""
        self.collected = <SymbolList*>_room(
            self.collected, self.counts, self.capacities, POSTINGS, sizeof(SymbolList)
        )
        self.collected[self.counts[POSTINGS] - 1].symbol = symbol
        self.collected[self.counts[POSTINGS] - 1].value = target

    cdef void add_anchor(self, int32_t symbol, int32_t promotion) noexcept nogil:
        """From a coupon, customer group or channel to a promotion to look at."""
        self.collected_anchors = <SymbolList*>_room(
            self.collected_anchors, self.counts, self.capacities, ANCHORS, sizeof(SymbolList)
        )
        self.collected_anchors[self.counts[ANCHORS] - 1].symbol = symbol
        self.collected_anchors[self.counts[ANCHORS] - 1].value = promotion

    cdef void add_always(self, int32_t promotion) noexcept nogil:
        """A promotion that every basket must look at."""
        self.always = <int32_t*>_room(self.always, self.counts, self.capacities, ALWAYS, sizeof(int32_t))
        self.always[self.counts[ALWAYS] - 1] = promotion

    cdef int32_t add_target(self) noexcept nogil:
        """A target of the promotion at hand; one that was not given means all."""
        cdef int32_t at = <int32_t>self.counts[TARGETS]
        self.targets = <Target*>_room(self.targets, self.counts, self.capacities, TARGETS, sizeof(Target))
        memset(&self.targets[at], 0, sizeof(Target))
        self.targets[at].promotion = <int32_t>(self.counts[PROMOTIONS] - 1)
        self.targets[at].all = True
        return at

    cdef void finish(self) noexcept nogil:
        """Bring the promotions into the order of trial and build the postings."""
        self.sort_promotions()
        self.build_postings()
        self.promotion_count = self.counts[PROMOTIONS]
        self.target_count = self.counts[TARGETS]
        self.symbol_count = self.counts[SYMBOLS]
        self.always_count = self.counts[ALWAYS]
        self.uses_best_deal = (
            self.rules.selection == SELECT_BEST_DEAL or self.rules.selection == SELECT_BEST_ALLOCATION
        )

    cdef void sort_promotions(self) noexcept nogil:
        cdef int64_t count = self.counts[PROMOTIONS], i, width, low, mid, high, a, b, to
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

    cdef void build_postings(self) noexcept nogil:
        """Lay what was collected in the order of its symbols, promotions by their new places."""
        cdef int64_t symbols = self.counts[SYMBOLS], i, to
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
            self.anchored[to] = self.order[self.collected_anchors[i].value]
        free(self.collected)
        free(self.collected_anchors)
        self.collected = NULL
        self.collected_anchors = NULL

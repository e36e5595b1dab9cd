# The promotions that the engine has: definitions, versions, counters, single-use coupons, stores' clocks.
#
# The definitions stand as the bytes in which they came; the snapshot that prices with them is derived,
# made anew when a definition, a state or the rules change or a version's instant comes.
from libc.stdint cimport int32_t, int64_t, uint32_t

from ringup.native.catalog cimport Catalog
from ringup.native.command cimport Command
from ringup.native.index cimport Index
from ringup.native.pricing_state cimport Basket
from ringup.native.promotion cimport Snapshot, Usage
from ringup.native.table cimport Heap, Table
from ringup.native.wire cimport Span, Writer

cdef enum:
    DEFINITION_BYTES_MAX = 16384  # of one promotion
    STATE_ACTIVE = 1
    STATE_PAUSED = 2
    STATE_ENDED = 3

cdef struct Bytes:  # in the heap
    int64_t at
    int64_t size

cdef struct PromotionRow:
    Bytes id
    Bytes now
    Bytes next
    int64_t next_ns
    int64_t version
    int64_t used
    int64_t cancelled
    int64_t spent_minor
    int64_t state

cdef struct RulesRow:
    Bytes rules
    int64_t offset_count

cdef struct OffsetRow:
    int64_t location  # row + 1, 0 for all others
    int64_t from_ns
    int64_t offset_s

cdef struct CouponRow:
    Bytes code
    int64_t promotion  # row
    int64_t sale  # row + 1 of the sale that used it

cdef struct CustomerUseRow:
    Bytes customer
    int64_t promotion  # row
    int64_t uses

cdef struct TakenRow:  # a promotion that a sale used
    int64_t promotion  # row
    int64_t discount_minor
    uint32_t customer_use  # row + 1
    uint32_t coupon  # row + 1

cdef class PromotionBook:
    cdef readonly list tables
    cdef Catalog catalog
    cdef Heap heap
    cdef Table promotions, rules, offsets, coupons, customer_uses, taken
    cdef Index promotion_index, coupon_index, customer_index
    cdef Snapshot snapshot  # never None
    cdef int64_t* row_of  # by place in the snapshot
    cdef int64_t* place_of  # by row, -1 when it takes no part
    cdef Usage* usage  # by place
    cdef int64_t row_capacity, place_capacity, usage_capacity
    cdef bint stale
    cdef int64_t valid_from_ns, valid_to_ns  # of the snapshot: another version is in force outside
    cdef int64_t due_ns  # the first instant at which a waiting version comes into force
    cdef Span customer  # of the basket at hand
    # A sale that is priced again: what it used is not used as long.
    cdef int64_t aside_first, aside_count
    cdef int64_t aside_sale  # row + 1

    cdef void rebuild(self) noexcept nogil
    cdef void publish_due(self, int64_t now_ns) noexcept nogil
    cdef inline void see(self, int64_t at_ns) noexcept nogil:
        # Make `snapshot` the one in force at an instant.
        if self.stale or not self.valid_from_ns <= at_ns < self.valid_to_ns:
            self.refresh(at_ns)

    cdef void refresh(self, int64_t at_ns) noexcept with gil
    cdef Span in_force(self, PromotionRow* promotion, int64_t at_ns) noexcept nogil
    cdef int64_t find(self, Span id) noexcept nogil
    cdef int64_t find_coupon(self, Span code) noexcept nogil
    cdef int64_t find_customer_use(self, Span customer, int64_t promotion) noexcept nogil
    cdef int64_t offset_s(self, int64_t location, int64_t at_ns) noexcept nogil
    cdef void add_coupon_code(self, Basket* basket, Span code) noexcept nogil
    cdef void take(self, Basket* basket, Span customer, int64_t sale, int64_t* first, int64_t* count) noexcept nogil
    cdef void set_aside(self, int64_t sale, int64_t first, int64_t count) noexcept nogil
    cdef void put_back(self) noexcept nogil
    cdef void give_back(self, int64_t first, int64_t count) noexcept nogil
    cdef Bytes store(self, Span span) noexcept nogil
    cdef Span text(self, Bytes bytes) noexcept nogil
    cdef int check(self, Span body, uint32_t field, Writer* out) noexcept with gil
    cdef int check_all(self, Span body, uint32_t field, Writer* out) noexcept nogil
    cdef int check_promotions(self, Span request, Writer* out) noexcept nogil
    cdef bytes rules_bytes(self)
    cdef int check_free_items(self, dict ids, list edges, Writer* out)
    cdef int64_t customer_count(self, int32_t place) noexcept with gil

    cdef int put_promotions(self, Command* command, Writer* out) noexcept nogil
    cdef int set_state(self, Command* command, Writer* out) noexcept nogil
    cdef int put_rules(self, Command* command, Writer* out) noexcept nogil
    cdef bint rules_are_sound(self, Span rules) noexcept with gil
    cdef bint takes_codes(self, int64_t row) noexcept nogil
    cdef int put_coupons(self, Command* command, Writer* out) noexcept nogil
    cdef int list_promotions(self, Span request, Writer* out) noexcept nogil
    cdef void write_published(self, Writer* out, int64_t row) noexcept nogil

cdef int64_t customer_uses(void* context, int32_t place) noexcept with gil

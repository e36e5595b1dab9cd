# Goods on their way: what is expected when, and what rules have suggested or ordered.
#
# Both may be many of one item at one place, as callers choose dates and names of rules: what is asked of all of them is
# answered by a tree over them (stock_dates.pxd).
from libc.stdint cimport int32_t, int64_t

from ringup.native.index cimport Index
from ringup.native.stock_dates cimport Dates
from ringup.native.stock_positions cimport Positions
from ringup.native.stock_tally cimport Tally
from ringup.native.table cimport Table

cdef struct ArrivalRow:
    int64_t expected_ns  # 0: not known
    int64_t qty_milli  # 0: a free row
    int32_t item
    int32_t location
    int32_t next_free
    int32_t spare

cdef struct ReorderRow:  # what a rule suggests or ordered of an item for a place; one row each
    int64_t suggested_milli
    int64_t ordered_milli  # to come; both zero: a free row
    int64_t at_ns
    int32_t item
    int32_t location
    int32_t policy  # symbol row + 1; 0: the rule without a name
    int32_t next_free

cdef struct PolicyGlobals:
    int64_t free_quota  # row + 1
    int64_t free_place
    int64_t free_arrival
    int64_t free_reorder

cdef class Incoming(Positions):
    cdef Table arrivals
    cdef readonly Table reorders
    cdef Table policy_globals
    cdef Dates arrival_dates  # one tree an (item, location)
    cdef Index arrival_index  # (item, location) -> the root of its tree
    cdef Dates order_dates  # of reorders that are ordered; one tree an (item, location)
    cdef Index order_index  # (item, location) -> the root of its tree
    cdef Index reorder_index  # (item, location, policy) -> its open row
    cdef Tally incoming_delta  # by (item, location): what the open batch changed of the goods on their way

    cdef int64_t incoming_milli(self, int64_t item, int64_t location, int64_t by_ns) noexcept nogil
    cdef void expect(self, int64_t item, int64_t location, int64_t qty_milli, int64_t expected_ns) noexcept nogil
    cdef void arrive(self, int64_t item, int64_t location, int64_t qty_milli) noexcept nogil
    cdef int64_t reorder(
        self, int64_t item, int64_t location, int64_t policy, int64_t qty_milli, bint ordered, int64_t now_ns
    ) noexcept nogil
    cdef void reorders_arrive(self, int64_t item, int64_t location, int64_t qty_milli) noexcept nogil
    cdef void rebuild_incoming(self) noexcept nogil
    # What these stand on.
    cdef int64_t arrival_root(self, int64_t item, int64_t location) noexcept nogil
    cdef void date_arrival(self, int64_t row) noexcept nogil
    cdef int64_t find_reorder(self, int64_t item, int64_t location, int64_t policy) noexcept nogil
    cdef void close_reorder(self, int64_t row) noexcept nogil
    cdef int64_t order_root(self, int64_t item, int64_t location) noexcept nogil
    cdef void date_order(self, int64_t row, bint ordered) noexcept nogil

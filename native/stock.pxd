# Stock: all of it in one object, and what a till sale takes.
#
# The classes build on each other, one idea each: positions, policies, plans, lines, holds, orders.
# Nothing here knows the wire format: items and locations are rows of the catalogue, and every
# function works without Python.  A `check_` function only reads; its twin applies and cannot fail.
from libc.stdint cimport int64_t, uint8_t

from ringup.native.stock_orders cimport Orders
from ringup.native.stock_tally cimport Tally

cdef struct Demand:
    int64_t item
    int64_t qty_milli  # above zero

# Units that left a position where the request does not say which: goods kept by lot.
cdef struct LotPart:
    int64_t position
    int64_t qty_milli

cdef class Stock(Orders):
    cdef Tally need  # scratch: by item
    cdef Tally seen  # scratch: by hold
    cdef LotPart* lot_parts  # of the last `take` or `transfer`, in the order of leaving
    cdef int64_t lot_part_count
    cdef int64_t lot_part_capacity

    cdef int check_take(
        self, int64_t location, const Demand* demands, int64_t count, const int64_t* holds, int64_t hold_count,
        bint shortfall_allowed, int64_t now_ns, int64_t* failed, int64_t* found
    ) noexcept nogil
    cdef void take(
        self, int64_t location, const Demand* demands, int64_t count, const int64_t* holds, int64_t hold_count
    ) noexcept nogil
    cdef void take_free(self, int64_t item, int64_t location, int64_t qty_milli) noexcept nogil
    cdef void leave_lot(self, int64_t position, int64_t qty_milli) noexcept nogil
    cdef void put_back(self, int64_t location, int64_t item, int64_t qty_milli) noexcept nogil
    cdef void bar(self, int64_t row, int64_t reason, int64_t qty_milli) noexcept nogil
    cdef void lower(self, int64_t item, int64_t location, int64_t qty_milli) noexcept nogil
    cdef void transfer(self, int64_t item, int64_t source, int64_t target, int64_t qty_milli) noexcept nogil
    cdef bint place_is_empty(self, int64_t item, int64_t location) noexcept nogil
    cdef void remove_place(self, int64_t item, int64_t location) noexcept nogil
    cdef void sum_demands(self, const Demand* demands, int64_t count) noexcept nogil
    cdef void expire_due(self, int64_t now_ns) noexcept nogil
    cdef void rebuild(self) noexcept nogil

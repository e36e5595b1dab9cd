# Stock: positions, soft holds with deadlines, and what a sale takes.
#
# Nothing here knows codes or messages: items and locations are rows of the catalogue, and every
# function works without Python.  A `check_` function only reads; its twin applies and cannot fail.
from libc.stdint cimport int32_t, int64_t, uint8_t

from ringup.native.index cimport Index, hash_bytes, index_prefetch
from ringup.native.stock_deadlines cimport Deadlines
from ringup.native.stock_positions cimport Positions
from ringup.native.stock_tally cimport Tally
from ringup.native.table cimport Table
from ringup.native.wire cimport Span

cdef enum:
    ENDED_HOLDS_MAX = 262144  # ended holds that can still be asked for; the oldest go first
    OWNER_BYTES_MAX = 64

cdef struct HoldRow:  # two cache lines
    uint8_t id[16]
    int64_t deadline_ns  # 0: never
    int64_t made_ns
    int64_t number  # holds are numbered from 1 in the order they were made
    int32_t first_line  # row + 1
    int32_t line_count
    int32_t next  # row + 1 of the next ended hold, or of the next free row
    int32_t location  # -1: its lines are at several
    uint8_t state  # HOLD_STATE_*; 0: a free row
    uint8_t owner_size
    uint8_t spare[6]
    uint8_t owner[64]

cdef struct HoldLineRow:
    int32_t position
    int32_t next  # row + 1 of the hold's next line, or of the next free row
    int64_t qty_milli

cdef struct Demand:
    int64_t item
    int64_t qty_milli  # above zero

cdef class Stock(Positions):
    cdef readonly Table holds
    cdef readonly Table hold_lines
    cdef Table hold_globals
    cdef Index hold_index  # id -> hold
    cdef Deadlines deadlines
    cdef Tally need  # scratch: by item
    cdef Tally seen  # scratch: by hold

    cdef inline HoldRow* hold_row(self, int64_t hold) noexcept nogil:
        return <HoldRow*>self.holds.row(hold)

    cdef inline HoldLineRow* hold_line_row(self, int64_t line) noexcept nogil:
        return <HoldLineRow*>self.hold_lines.row(line)

    cdef inline void prefetch_hold(self, const uint8_t* id) noexcept nogil:
        index_prefetch(&self.hold_index, hash_bytes(id, 16))

    cdef int64_t find_hold(self, const uint8_t* id) noexcept nogil
    cdef int open_code(self, int64_t hold, int64_t now_ns) noexcept nogil

    cdef int check_hold(
        self, int64_t location, const Demand* demands, int64_t count, int64_t replaced, int64_t* failed, int64_t* found
    ) noexcept nogil
    cdef int64_t hold(
        self, const uint8_t* id, Span owner, int64_t location, const Demand* demands, int64_t count,
        int64_t replaced, int64_t deadline_ns, int64_t now_ns
    ) noexcept nogil
    cdef void extend(self, int64_t hold, int64_t deadline_ns) noexcept nogil
    cdef void release(self, int64_t hold, int state) noexcept nogil
    cdef void commit(self, int64_t hold) noexcept nogil
    cdef void expire_due(self, int64_t now_ns) noexcept nogil

    cdef int check_take(
        self, int64_t location, const Demand* demands, int64_t count, const int64_t* holds, int64_t hold_count,
        bint shortfall_allowed, int64_t now_ns, int64_t* failed, int64_t* found
    ) noexcept nogil
    cdef void take(
        self, int64_t location, const Demand* demands, int64_t count, const int64_t* holds, int64_t hold_count
    ) noexcept nogil
    cdef void put_back(self, int64_t location, int64_t item, int64_t qty_milli) noexcept nogil

    cdef void sum_demands(self, const Demand* demands, int64_t count) noexcept nogil
    cdef int64_t new_hold_row(self) noexcept nogil
    cdef void add_line(self, int64_t hold, int64_t position, int64_t qty_milli) noexcept nogil
    cdef void free_lines(self, int64_t hold) noexcept nogil
    cdef void end(self, int64_t hold, int state) noexcept nogil
    cdef void forget_oldest_ended(self) noexcept nogil
    cdef void rebuild(self) noexcept nogil

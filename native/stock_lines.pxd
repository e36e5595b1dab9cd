# Lines of promised units, in chains: what a hold has, what an order has allocated and shipped.
from libc.stdint cimport int32_t, int64_t, uint8_t

from ringup.native.stock_plan cimport Entry, Planner
from ringup.native.stock_tally cimport Tally
from ringup.native.table cimport Table

cdef enum Counter:
    COUNTER_HELD = 0
    COUNTER_ALLOCATED = 1

cdef enum:
    ENTRY_PLACE = 3  # not units: a place that a hold's request named

cdef struct LineRow:
    int64_t qty_milli
    int64_t picked_milli  # of an allocated line: taken from the shelf
    int32_t position  # row; -1: none
    int32_t next  # row + 1 of the next line, or of the next free row
    int32_t item
    int32_t location  # -1: none
    int32_t channel  # symbol row + 1
    int32_t lot  # as in PositionRow: what was shipped is found again after its position was removed
    uint8_t kind  # ENTRY_*
    uint8_t owed
    uint8_t barred
    uint8_t spare[1]
    int32_t kit  # row + 1 of the version of a kit that these are parts of; 0: none

cdef struct Chain:
    int32_t first  # row + 1
    int32_t last

cdef class Lines(Planner):
    cdef readonly Table lines
    cdef Table line_globals
    cdef int64_t* shares  # scratch: by line of a chain, what of it is meant
    cdef int64_t share_capacity
    cdef Tally kit_seen  # scratch: versions of kits in a chain
    cdef Tally kit_need  # scratch: by (version, part)

    cdef inline LineRow* line_row(self, int64_t line) noexcept nogil:
        return <LineRow*>self.lines.row(line)

    cdef inline LineRow* edit_line(self, int64_t line) noexcept nogil:
        return <LineRow*>self.lines.edit(line)

    cdef LineRow* append_line(self, Chain* chain) noexcept nogil
    cdef void free_chain(self, Chain* chain) noexcept nogil
    cdef void sweep_chain(self, Chain* chain) noexcept nogil
    cdef int64_t chain_milli(self, const Chain* chain, int64_t item) noexcept nogil
    cdef void promise(self, Entry* entry, int counter, Chain* chain) noexcept nogil
    cdef void give_back(self, const LineRow* line, int64_t qty_milli, int counter) noexcept nogil
    cdef void give_back_chain(self, const Chain* chain, int counter) noexcept nogil
    cdef void plan_give_back_line(self, const LineRow* line) noexcept nogil
    cdef void plan_give_back_chain(self, const Chain* chain) noexcept nogil
    cdef Entry entry_of(self, const LineRow* line) noexcept nogil
    cdef int64_t kits_in(self, const Chain* chain, int64_t kit, int64_t location) noexcept nogil
    cdef int64_t kits_milli(self, const Chain* chain, int64_t item, int64_t location) noexcept nogil
    cdef LineRow* line_of_kit(self, const Chain* chain, int32_t kit, int64_t item) noexcept nogil
    cdef int64_t asked_item(self, const LineRow* line) noexcept nogil
    cdef int64_t asked_milli(self, const Chain* chain) noexcept nogil
    cdef void note(self, const LineRow* line, int64_t qty_milli) noexcept nogil
    cdef void share_out(self, const Chain* chain, int64_t qty_milli) noexcept nogil
    cdef int64_t position_again(self, const LineRow* line) noexcept nogil

# Kits: items that keep no stock of their own and are promised as their parts.
#
# A row is a version of a kit.  It never changes, so lines of holds, orders and sales go on naming the parts that they
# took when the kit's parts change.
from libc.stdint cimport int32_t, int64_t, uint32_t

from ringup.native.index cimport Index
from ringup.native.stock_policy cimport Policies
from ringup.native.stock_tally cimport Tally
from ringup.native.table cimport Table

cdef enum:
    KIT_PARTS_MAX = 100  # parts of a kit, after kits among them are opened
    KIT_DEPTH_MAX = 4  # kits within kits
    KIT_REQUEST_PARTS_MAX = 100000  # parts in one PutKits
    KIT_STEPS_MAX = 10000  # parts looked at while one kit is opened
    KIT_APART = 1  # the parts of one kit may come from several places
    KIT_CURRENT = 2  # the kit as it is now

cdef extern from *:
    """
    #define KIT_PART_QTY_MILLI_MAX 10000000LL  /* of one part in one kit: 10,000 pieces */
    """
    const int64_t KIT_PART_QTY_MILLI_MAX

cdef struct KitRow:
    int32_t item
    int32_t first_written  # row in kit_parts: the parts as they were put, kits among them
    int32_t written_count
    int32_t first_part  # row in kit_parts: opened, each item once, none a kit
    int32_t part_count
    uint32_t flags  # KIT_*

cdef struct KitPartRow:
    int64_t qty_milli  # in one kit
    int32_t item
    int32_t spare

cdef struct PendingKit:  # of the PutKits at hand
    int64_t item
    int64_t first  # in pending_parts
    int64_t count
    uint32_t flags

cdef class Kits(Policies):
    cdef readonly Table kits
    cdef Table kit_parts
    cdef Index kit_index  # item -> its current version
    cdef PendingKit* pending  # scratch
    cdef int64_t pending_count
    cdef int64_t pending_capacity
    cdef KitPartRow* pending_parts  # scratch
    cdef int64_t pending_part_count
    cdef int64_t pending_part_capacity
    cdef Tally pending_of  # scratch: item -> its place in pending
    cdef Tally opened  # scratch: part -> quantity in one kit
    cdef int64_t open_steps

    cdef inline KitRow* kit_row(self, int64_t kit) noexcept nogil:
        return <KitRow*>self.kits.row(kit)

    cdef inline KitPartRow* kit_part(self, int64_t kit, int64_t part) noexcept nogil:
        return <KitPartRow*>self.kit_parts.row(self.kit_row(kit).first_part + part)

    cdef int64_t find_kit(self, int64_t item) noexcept nogil
    cdef void pending_clear(self) noexcept nogil
    cdef PendingKit* pending_add(self, int64_t item, uint32_t flags) noexcept nogil
    cdef void pending_add_part(self, int64_t item, int64_t qty_milli) noexcept nogil
    cdef int open_kit(self, int64_t item) noexcept nogil
    cdef int open_into(self, int64_t item, int64_t kits, int depth) noexcept nogil
    cdef int check_kits_above(self, int64_t* item) noexcept nogil
    cdef void put_pending(self) noexcept nogil
    cdef bint put_version(
        self, int64_t item, const KitPartRow* written, int64_t count, uint32_t flags
    ) noexcept nogil
    cdef bint same_version(
        self, int64_t kit, const KitPartRow* written, int64_t count, uint32_t flags
    ) noexcept nogil
    cdef void rebuild_kits(self) noexcept nogil

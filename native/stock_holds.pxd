# Soft reservations with a deadline.
from libc.stdint cimport int32_t, int64_t, uint8_t, uint64_t

from ringup.native.index cimport Index, hash_bytes
from ringup.native.stock_deadlines cimport Deadlines
from ringup.native.stock_lines cimport Chain, Lines
from ringup.native.stock_plan cimport Entry
from ringup.native.stock_scope cimport ScopeIn, Want
from ringup.native.table cimport Table
from ringup.native.wire cimport Span

cdef enum:
    ENDED_HOLDS_MAX = 262144  # ended holds that can still be asked for; the oldest go first
    OWNER_BYTES_MAX = 64
    PAYMENTS_MAX = 16  # times that a payment may begin anew

cdef extern from *:
    """
    #define PAY_TTL_MS_MAX 3600000LL  /* a payment in flight: one hour at most */
    """
    const int64_t PAY_TTL_MS_MAX

cdef struct HoldRow:
    uint8_t id[16]
    int64_t deadline_ns  # 0: never
    int64_t made_ns
    int64_t number  # holds are numbered from 1 in the order they were made
    Chain lines
    Chain places  # named by the request, in order, when there are several
    int32_t location  # the one place asked; -1: a channel or several
    int32_t channel  # symbol row + 1 of the channel asked
    int32_t collection_point  # location row + 1
    int32_t next  # row + 1 of the next ended hold, or of the next free row
    int32_t owner  # row + 1; 0: nobody named
    uint8_t state  # HOLD_STATE_*; 0: a free row
    uint8_t payments
    uint8_t by_channel
    uint8_t spare

# Who made a hold, where the request says it: most do not, so it is not in the hold's own row.
cdef struct OwnerRow:
    uint8_t text[64]
    int32_t size
    int32_t next_free  # row + 1

cdef class Holds(Lines):
    cdef readonly Table holds
    cdef Table owners
    cdef Table hold_globals
    cdef Index hold_index  # id -> its newest hold
    cdef Deadlines deadlines

    cdef inline HoldRow* hold_row(self, int64_t hold) noexcept nogil:
        return <HoldRow*>self.holds.row(hold)

    cdef inline int64_t find_hold(self, const uint8_t* id) noexcept nogil:
        """The newest hold with this id of 16 bytes, or -1."""
        return self.find_hold_hashed(id, hash_bytes(id, 16))

    cdef int64_t find_hold_hashed(self, const uint8_t* id, uint64_t hash) noexcept nogil
    cdef int open_code(self, int64_t hold, int64_t now_ns) noexcept nogil
    cdef void scope_of_hold(self, int64_t hold, ScopeIn* scope) noexcept nogil
    cdef int64_t hold(
        self, const uint8_t* id, uint64_t id_hash, Span owner, const ScopeIn* scope, int64_t replaced, int64_t ended,
        int64_t deadline_ns, int64_t now_ns
    ) noexcept nogil
    cdef void hold_one(
        self, const uint8_t* id, uint64_t id_hash, int64_t position, int64_t qty_milli, int64_t deadline_ns, int64_t now_ns
    ) noexcept nogil
    cdef Span hold_owner(self, const HoldRow* row) noexcept nogil
    cdef void set_owner(self, HoldRow* row, Span owner) noexcept nogil
    cdef void resize(self, int64_t hold, const Want* wants, int64_t count) noexcept nogil
    cdef void extend(self, int64_t hold, int64_t deadline_ns) noexcept nogil
    cdef void pay(self, int64_t hold, int64_t deadline_ns) noexcept nogil
    cdef void release(self, int64_t hold, int state) noexcept nogil
    cdef void release_part(self, int64_t hold, int64_t qty_milli) noexcept nogil
    cdef void commit(self, int64_t hold) noexcept nogil
    cdef void commit_part(self, int64_t hold, int64_t qty_milli) noexcept nogil
    cdef void expire_holds(self, int64_t now_ns) noexcept nogil
    cdef void forget_position(self, int64_t position, Chain* chain) noexcept nogil
    cdef void forget_position_in_holds(self, int64_t position) noexcept nogil
    cdef int64_t new_hold_row(self) noexcept nogil
    cdef void end(self, int64_t hold, int state) noexcept nogil
    cdef void forget_oldest_ended(self) noexcept nogil
    cdef void rebuild_holds(self) noexcept nogil

"""The table of command ids.

An answer is kept once, in the journal; here is only where it stands.  Rows are in a queue by age
and are reused when their retention ends.  Sales and returns are remembered for good in their own
table, so they are not here.
"""

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcmp, memcpy, memset

from ringup.native.command cimport Command
from ringup.native.index cimport hash_bytes, index_add, index_free, index_next, index_remove, index_reserve, index_start
from ringup.native.table cimport Table


cdef class Replies:
    """Ids of commands whose answers may still be asked for again."""

    def __cinit__(self):
        self.rows = Table("replies", sizeof(ReplyRow))
        self.globals = Table("replies_globals", sizeof(RepliesGlobals))
        self.globals.append()
        self.tables = [self.rows, self.globals]

    def __dealloc__(self):
        index_free(&self.index)

    cdef void rebuild(self) noexcept nogil:
        cdef RepliesGlobals* state = <RepliesGlobals*>self.globals.row(0)
        cdef int64_t row = <int64_t>state.oldest - 1
        cdef ReplyRow* reply
        index_reserve(&self.index, state.live_count)
        while row >= 0:
            reply = <ReplyRow*>self.rows.row(row)
            index_add(&self.index, hash_bytes(reply.id, 16), row)
            row = <int64_t>reply.next - 1

    cdef const ReplyRow* find(self, const uint8_t* id, uint64_t hash) noexcept nogil:
        cdef int64_t cursor = index_start(&self.index, hash)
        cdef int64_t row = index_next(&self.index, hash, &cursor)
        cdef ReplyRow* reply
        while row >= 0:
            reply = <ReplyRow*>self.rows.row(row)
            if memcmp(reply.id, id, 16) == 0:
                return reply
            row = index_next(&self.index, hash, &cursor)
        return NULL

    cdef void remember(self, const Command* command, uint64_t body_hash) noexcept nogil:
        """Note where the answer to a command is going to stand."""
        cdef RepliesGlobals* state = <RepliesGlobals*>self.globals.edit(0)
        cdef int64_t row = <int64_t>state.free - 1
        cdef ReplyRow* reply
        if row >= 0:
            state.free = (<ReplyRow*>self.rows.row(row)).next
        else:
            row = self.rows.append()
        reply = <ReplyRow*>self.rows.edit(row)
        memcpy(reply.id, command.id, 16)
        reply.body_hash = body_hash
        reply.reply_at = reply_at_of(command.sequence, command.index)
        reply.at_ns = command.now_ns
        reply.next = 0
        if state.youngest:
            (<ReplyRow*>self.rows.edit(<int64_t>state.youngest - 1)).next = <uint32_t>(row + 1)
        else:
            state.oldest = <uint32_t>(row + 1)
        state.youngest = <uint32_t>(row + 1)
        state.live_count += 1
        index_add(&self.index, command.id_hash, row)

    cdef void forget_before(self, int64_t at_ns) noexcept nogil:
        """Drop the ids of commands older than `at_ns`."""
        cdef RepliesGlobals* state = <RepliesGlobals*>self.globals.row(0)
        cdef int64_t row
        cdef ReplyRow* reply
        while state.oldest:
            row = <int64_t>state.oldest - 1
            reply = <ReplyRow*>self.rows.row(row)
            if reply.at_ns >= at_ns:
                return
            state = <RepliesGlobals*>self.globals.edit(0)
            reply = <ReplyRow*>self.rows.edit(row)
            index_remove(&self.index, hash_bytes(reply.id, 16), row)
            state.oldest = reply.next
            if not state.oldest:
                state.youngest = 0
            state.live_count -= 1
            memset(reply, 0, sizeof(ReplyRow))
            reply.next = state.free
            state.free = <uint32_t>(row + 1)

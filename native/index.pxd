# Hash index from a 64-bit hash to row numbers; the caller compares the row's own key.
#
# Open addressing with linear probing; a slot is 32 bits of hash above row + 1, zero is empty.  An
# index is derived state: it is rebuilt at a start and never part of a checkpoint or digest.
#
# A large index is many small ones, its segments, found by the first bits of the hash (extendible
# hashing): a full segment is split in two, so that no insertion waits for the whole to be made anew.  Rows whose hash
# thousands of others have, too, cannot be split from them: they stand in a list, which is searched after the segment.
#
#     cdef int64_t cursor = index_start(&index, hash)
#     cdef int64_t row = index_next(&index, hash, &cursor)
#     while row >= 0 and not (row is the one): row = index_next(&index, hash, &cursor)
from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy

cdef struct Index:
    uint64_t** segments  # 2 ** bits, by the first bits of the hash; neighbours may be the same one
    int64_t mask  # of the slots in a segment
    int64_t used
    int32_t bits
    char** blocks  # memory of the segments
    int64_t block_count
    char* block_at
    int64_t block_left
    uint64_t* spilled  # slots that found no room in their segment
    int64_t spilled_count
    int64_t spilled_capacity

cdef extern from *:
    """
    /* GCC takes a function that does nothing but prefetch for one without effect and leaves its calls out; an empty
       volatile statement keeps them. */
    static inline void prefetch(const void *address) {
        __builtin_prefetch(address);
        __asm__ volatile("");
    }
    """
    void prefetch(const void* address) noexcept nogil

cdef inline uint64_t hash_int(uint64_t key) noexcept nogil:
    key ^= key >> 33
    key *= <uint64_t>0xff51afd7ed558ccd
    key ^= key >> 33
    key *= <uint64_t>0xc4ceb9fe1a85ec53
    key ^= key >> 33
    return key

cdef inline uint64_t hash_bytes(const void* data, int64_t size) noexcept nogil:
    cdef const uint8_t* at = <const uint8_t*>data
    cdef uint64_t word, state = <uint64_t>0x9e3779b97f4a7c15 ^ <uint64_t>size
    while size >= 8:
        memcpy(&word, at, 8)
        state = hash_int(state ^ word)
        at += 8
        size -= 8
    word = 0
    if size:
        memcpy(&word, at, size)
    return hash_int(state ^ word)

cdef inline uint64_t* index_segment(Index* index, uint64_t hash) noexcept nogil:
    return index.segments[(hash >> 32) >> (32 - index.bits)]

cdef inline int64_t index_start(Index* index, uint64_t hash) noexcept nogil:
    return <int64_t>(hash >> 32) & index.mask

cdef enum:
    SPILLED = 1 << 30  # a cursor from here on is a place in the list

cdef int64_t index_next_spilled(Index* index, uint64_t hash, int64_t* cursor) noexcept nogil

cdef inline int64_t index_next(Index* index, uint64_t hash, int64_t* cursor) noexcept nogil:
    cdef uint64_t slot
    cdef uint64_t* slots
    if index.segments == NULL:
        return -1
    if cursor[0] >= SPILLED:
        return index_next_spilled(index, hash, cursor)
    slots = index_segment(index, hash)
    while True:
        slot = slots[cursor[0]]
        if slot == 0:
            if index.spilled_count == 0:
                return -1
            cursor[0] = SPILLED
            return index_next_spilled(index, hash, cursor)
        cursor[0] = (cursor[0] + 1) & index.mask
        if <uint32_t>(slot >> 32) == <uint32_t>(hash >> 32):
            return <int64_t>(slot & <uint64_t>0xffffffff) - 1

cdef inline void index_prefetch(Index* index, uint64_t hash) noexcept nogil:
    if index.segments != NULL:
        prefetch(&index_segment(index, hash)[<int64_t>(hash >> 32) & index.mask])

cdef void index_add(Index* index, uint64_t hash, int64_t row) noexcept nogil
cdef void index_remove(Index* index, uint64_t hash, int64_t row) noexcept nogil
cdef void index_reserve(Index* index, int64_t rows) noexcept nogil
cdef void index_free(Index* index) noexcept nogil

# Hash index from a 64-bit hash to row numbers; the caller compares the row's own key.
#
# Open addressing; a slot is 32 bits of hash above row + 1, zero is empty.  An index is derived state: it is rebuilt at
# a start and never part of a checkpoint or digest.
#
# A way of probing goes round the cache line of its home slot before it goes on to the next line, so that nearly every
# search touches one line, which a prefetch can bring.  (From slot to slot, a quarter of them would cross into a second.)
#
# A large index is many small ones, its segments, found by the first bits of the hash (extendible
# hashing): a full segment is split in two, so that no insertion waits for the whole to be made anew.  Rows whose hash
# thousands of others have, too, cannot be split from them: they stand in a list, which is searched after the segment.
#
# Hashes are keyed.  Callers choose the ids and codes that are looked up here, and rows of one hash are searched one by
# one: with a function that all know, a caller could make each search as long as it likes.  Each word of a key is laid
# over (xor) a factor of a product, so that no word of the caller's can make a factor zero, or any other known number.
# What is claimed: who does not know the key finds no ids that share a hash more often than ids chosen at random, by any
# way known to us (the shape is that of wyhash and rapidhash, the key is 256 bits).  What is not: a proof, as there is for
# no function this fast, or that the function would do as a signature; a hash must not leave the process, and who could
# time single searches through a network could learn about the key.
#
#     cdef int64_t cursor = index_start(&index, hash)
#     cdef int64_t row = index_next(&index, hash, &cursor)
#     while row >= 0 and not (row is the one): row = index_next(&index, hash, &cursor)
from libc.stdint cimport int32_t, int64_t, uint16_t, uint32_t, uint64_t

# How many slots are in use stands here, not beside the slots: a line more to wait for in each insertion.
cdef struct Segment:
    uint64_t* slots
    uint32_t first  # of the directory's entries that lead to these slots
    uint16_t used  # of `first` alone: slots in use
    uint16_t depth  # first bits of the hash that all rows share

cdef struct Index:
    Segment* segments  # 2 ** bits, by the first bits of the hash; neighbours may lead to the same slots
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
    #include <stdint.h>
    #include <string.h>

    /* GCC takes a function that does nothing but prefetch for one without effect and leaves its calls out; an empty
       volatile statement keeps them. */
    static inline void prefetch(const void *address) {
        __builtin_prefetch(address);
        __asm__ volatile("");
    }

    /* Both halves of a product, so that each bit of either factor reaches all bits of the result. */
    static inline uint64_t hash_fold(uint64_t one, uint64_t other) {
        unsigned __int128 product = (unsigned __int128)one * other;
        return (uint64_t)product ^ (uint64_t)(product >> 64);
    }

    /* 16 bytes a step; the last 1 to 16 are read as two words that may overlap.  The size comes in last, under a product
       that nobody can choose: beside the words it could be made good there, and the same bytes read as 8 or as 16. */
    static inline uint64_t hash_keyed_bytes(const uint64_t *key, const void *data, int64_t size) {
        const uint8_t *at = (const uint8_t *)data;
        uint64_t state = key[1], first = 0, last = 0;
        int64_t rest = size;
        uint32_t low, high;
        for (; rest > 16; at += 16, rest -= 16) {
            memcpy(&first, at, 8);
            memcpy(&last, at + 8, 8);
            state = hash_fold(first ^ key[0], last ^ state);
        }
        first = last = 0;
        if (rest >= 8) {
            memcpy(&first, at, 8);
            memcpy(&last, at + rest - 8, 8);
        } else if (rest >= 4) {
            memcpy(&low, at, 4);
            memcpy(&high, at + rest - 4, 4);
            first = low;
            last = high;
        } else if (rest > 0) {
            first = at[0] | (uint64_t)at[rest / 2] << 8 | (uint64_t)at[rest - 1] << 16;
        }
        return hash_fold(hash_fold(first ^ key[0], last ^ state) ^ key[2], key[3] ^ (uint64_t)size);
    }

    static inline uint64_t hash_keyed_int(const uint64_t *key, uint64_t word) {
        uint64_t turned = word << 32 | word >> 32;
        return hash_fold(hash_fold(word ^ key[0], turned ^ key[1]) ^ key[2], key[3]);
    }
    """
    void prefetch(const void* address) noexcept nogil
    uint64_t hash_fold(uint64_t one, uint64_t other) noexcept nogil
    uint64_t hash_keyed_bytes(const uint64_t* key, const void* data, int64_t size) noexcept nogil
    uint64_t hash_keyed_int(const uint64_t* key, uint64_t word) noexcept nogil

cdef enum:
    KEY_WORDS = 4

# Each process has its own key, from the system's source of randomness, and writes it nowhere.
cdef uint64_t[KEY_WORDS] index_key

cdef inline uint64_t hash_bytes(const void* data, int64_t size) noexcept nogil:
    """The hash of an id or a code, in this process alone: nothing that is kept or sent may depend on it."""
    return hash_keyed_bytes(index_key, data, size)

cdef inline uint64_t hash_int(uint64_t word) noexcept nogil:
    """The same of one word."""
    return hash_keyed_int(index_key, word)

cdef enum:
    LINE_SLOTS = 8  # of a cache line

cdef inline Segment* index_segment(Index* index, uint64_t hash) noexcept nogil:
    return &index.segments[(hash >> 32) >> (32 - index.bits)]

cdef inline int64_t index_home(uint64_t hash, int64_t mask) noexcept nogil:
    """The slot where a hash (or a slot's own bits of it) begins to probe."""
    return <int64_t>(hash >> 32) & mask

cdef inline int64_t index_slot(int64_t home, int64_t step, int64_t mask) noexcept nogil:
    """The slot of a step from a home: round its line, then round the lines after it."""
    return ((home + (step & -LINE_SLOTS)) & mask & -LINE_SLOTS) | ((home + step) & (LINE_SLOTS - 1))

cdef inline int64_t index_start(Index* index, uint64_t hash) noexcept nogil:
    return 0  # a cursor counts steps

cdef enum:
    SPILLED = 1 << 30  # a cursor from here on is a place in the list

cdef int64_t index_next_spilled(Index* index, uint64_t hash, int64_t* cursor) noexcept nogil

cdef inline int64_t index_next(Index* index, uint64_t hash, int64_t* cursor) noexcept nogil:
    cdef int64_t home = index_home(hash, index.mask), step = cursor[0]
    cdef int64_t line = index_slot(home, step, index.mask) & -LINE_SLOTS
    cdef uint64_t slot
    cdef uint64_t* slots
    if index.segments == NULL:
        return -1
    if step >= SPILLED:
        return index_next_spilled(index, hash, cursor)
    slots = index_segment(index, hash).slots
    while True:
        slot = slots[line | ((home + step) & (LINE_SLOTS - 1))]
        if slot == 0:
            if index.spilled_count == 0:
                return -1
            cursor[0] = SPILLED
            return index_next_spilled(index, hash, cursor)
        step += 1
        if <uint32_t>(slot >> 32) == <uint32_t>(hash >> 32):
            cursor[0] = step
            return <int64_t>(slot & <uint64_t>0xffffffff) - 1
        if step & (LINE_SLOTS - 1) == 0:
            line = (line + LINE_SLOTS) & index.mask

cdef inline void index_prefetch(Index* index, uint64_t hash) noexcept nogil:
    if index.segments != NULL:
        prefetch(&index_segment(index, hash).slots[index_home(hash, index.mask)])

cdef void index_add(Index* index, uint64_t hash, int64_t row) noexcept nogil
cdef void index_remove(Index* index, uint64_t hash, int64_t row) noexcept nogil
cdef void index_reserve(Index* index, int64_t rows) noexcept nogil
cdef void index_free(Index* index) noexcept nogil

"""Hash indexes over table rows (see index.pxd for the way to look one up)."""

from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.stdlib cimport abort, calloc, free, malloc, realloc
from libc.string cimport memcpy, memset

from ringup.native.memory cimport BLOCK_BYTES, block_take

cdef enum:
    SLOTS_MIN = 64
    SLOTS_MAX = 4096  # of a segment: splitting one is a matter of microseconds
    # Words before a segment's slots, a cache line: how many slots are in use, and how many first bits of the hash
    # all of them share.
    HEADER = 8
    USED = -1
    DEPTH = -2
    SMALL_INDEX_SEGMENTS = 16  # up to here segments are allocated one by one
    ROWS_MAX = 0xfffffffe  # a slot has 32 bits for row + 1
    DEPTH_MAX = 24  # the directory stays below 128 MiB, whatever the hashes are


cdef inline bint _is_full(uint64_t* slots, int64_t mask) noexcept nogil:
    return (<int64_t>slots[USED] + 1) * 4 > (mask + 1) * 3


cdef inline void _place(uint64_t* slots, int64_t mask, uint64_t slot) noexcept nogil:
    cdef int64_t at = <int64_t>(slot >> 32) & mask
    while slots[at] != 0:
        at = (at + 1) & mask
    slots[at] = slot
    slots[USED] += 1


cdef uint64_t* _new_segment(Index* index, int64_t size) noexcept nogil:
    """A segment of `size` empty slots; small ones and the first large ones come one by one, then from blocks."""
    cdef int64_t wanted = (size + HEADER) * <int64_t>sizeof(uint64_t)
    cdef uint64_t* segment
    cdef bint is_small = size < SLOTS_MAX or index.block_count < SMALL_INDEX_SEGMENTS
    if is_small or index.block_left < wanted:
        index.blocks = <char**>realloc(index.blocks, (index.block_count + 1) * sizeof(char*))
        index.block_left = wanted if is_small else BLOCK_BYTES
        index.block_at = <char*>calloc(1, wanted) if is_small else block_take()
        if index.blocks == NULL or index.block_at == NULL:
            abort()  # out of memory in the middle of a command: stop, the journal is the truth
        index.blocks[index.block_count] = index.block_at
        index.block_count += 1
    segment = <uint64_t*>index.block_at + HEADER
    index.block_at += wanted
    index.block_left -= wanted
    return segment


cdef void _begin(Index* index, int64_t rows) noexcept nogil:
    """Make an empty index in which `rows` rows find room."""
    cdef int64_t at
    index.mask = SLOTS_MIN - 1
    index.bits = 0
    while (index.mask + 1) * 2 < rows * 3 and index.mask + 1 < SLOTS_MAX:
        index.mask = index.mask * 2 + 1
    while (<int64_t>SLOTS_MAX << index.bits) * 2 < rows * 3:
        index.bits += 1
    index.segments = <uint64_t**>malloc((<int64_t>1 << index.bits) * sizeof(uint64_t*))
    if index.segments == NULL:
        abort()
    for at in range(<int64_t>1 << index.bits):
        index.segments[at] = _new_segment(index, index.mask + 1)
        index.segments[at][DEPTH] = index.bits


cdef void _double(Index* index) noexcept nogil:
    """Make the one segment of a small index twice as large."""
    cdef uint64_t* old = index.segments[0]
    cdef int64_t at, size = index.mask + 1
    index.block_count -= 1
    index.segments[0] = _new_segment(index, size * 2)
    index.mask = size * 2 - 1
    for at in range(size):
        if old[at] != 0:
            _place(index.segments[0], index.mask, old[at])
    free(old - HEADER)


cdef void _split(Index* index, uint64_t hash) noexcept nogil:
    """Split the segment of a hash: the slots whose next bit is set go to a new one."""
    cdef uint64_t* low = index_segment(index, hash)
    cdef uint64_t* high = _new_segment(index, SLOTS_MAX)
    cdef uint64_t* old = <uint64_t*>malloc(SLOTS_MAX * sizeof(uint64_t))
    cdef int64_t depth = <int64_t>low[DEPTH], at, first, half
    if old == NULL:
        abort()
    if depth == index.bits:  # the directory has one entry for it: make it two
        index.bits += 1
        index.segments = <uint64_t**>realloc(index.segments, (<int64_t>1 << index.bits) * sizeof(uint64_t*))
        if index.segments == NULL:
            abort()
        for at in range((<int64_t>1 << index.bits) - 1, -1, -1):
            index.segments[at] = index.segments[at >> 1]
    half = <int64_t>1 << (index.bits - depth - 1)  # entries of each of the two
    first = <int64_t>((hash >> 32) >> (32 - index.bits)) // (2 * half) * (2 * half)
    for at in range(first + half, first + 2 * half):
        index.segments[at] = high
    memcpy(old, low, SLOTS_MAX * sizeof(uint64_t))
    memset(low, 0, SLOTS_MAX * sizeof(uint64_t))
    low[USED] = 0
    low[DEPTH] = high[DEPTH] = <uint64_t>(depth + 1)
    for at in range(SLOTS_MAX):
        if old[at] != 0:
            _place(high if old[at] >> (63 - depth) & 1 else low, index.mask, old[at])
    free(old)


cdef bint _splits(uint64_t* slots) noexcept nogil:
    """Whether splitting a full segment makes room: not where more than half of its rows have one hash."""
    cdef uint32_t candidate = 0
    cdef int64_t at, votes = 0, count = 0
    if <int64_t>slots[DEPTH] >= DEPTH_MAX:
        return False
    for at in range(SLOTS_MAX):  # the vote of Boyer and Moore: if one hash has the majority, it is the candidate
        if slots[at] != 0:
            if votes == 0:
                candidate = <uint32_t>(slots[at] >> 32)
            votes += 1 if <uint32_t>(slots[at] >> 32) == candidate else -1
    for at in range(SLOTS_MAX):
        count += slots[at] != 0 and <uint32_t>(slots[at] >> 32) == candidate
    return count * 2 <= <int64_t>slots[USED]


cdef void _spill(Index* index, uint64_t slot) noexcept nogil:
    if index.spilled_count == index.spilled_capacity:
        index.spilled_capacity = max(64, 2 * index.spilled_capacity)
        index.spilled = <uint64_t*>realloc(index.spilled, index.spilled_capacity * sizeof(uint64_t))
        if index.spilled == NULL:
            abort()
    index.spilled[index.spilled_count] = slot
    index.spilled_count += 1
    index.used += 1


cdef int64_t index_next_spilled(Index* index, uint64_t hash, int64_t* cursor) noexcept nogil:
    """The next row of the list with this hash, or -1."""
    cdef uint64_t slot
    while cursor[0] - SPILLED < index.spilled_count:
        slot = index.spilled[cursor[0] - SPILLED]
        cursor[0] += 1
        if <uint32_t>(slot >> 32) == <uint32_t>(hash >> 32):
            return <int64_t>(slot & <uint64_t>0xffffffff) - 1
    return -1


cdef void _take_spilled(Index* index, uint64_t slot) noexcept nogil:
    cdef int64_t at
    for at in range(index.spilled_count):
        if index.spilled[at] == slot:
            index.spilled_count -= 1
            index.spilled[at] = index.spilled[index.spilled_count]
            index.used -= 1
            return
    abort()  # an index that disagrees with its table: stop before it is believed


cdef void index_reserve(Index* index, int64_t rows) noexcept nogil:
    """Make room in an empty index so that `rows` entries stay below two thirds of the slots."""
    if index.segments == NULL:
        _begin(index, rows)


cdef void index_add(Index* index, uint64_t hash, int64_t row) noexcept nogil:
    """Add `row` under `hash`; equal hashes may stand several times."""
    if row >= ROWS_MAX:
        abort()  # a table of four thousand million rows is beyond this version: stop before a row is mistaken
    if index.segments == NULL:
        _begin(index, 0)
    while _is_full(index_segment(index, hash), index.mask):
        if index.mask + 1 < SLOTS_MAX:
            _double(index)
        elif _splits(index_segment(index, hash)):
            _split(index, hash)
        else:
            _spill(index, ((hash >> 32) << 32) | <uint64_t>(row + 1))
            return
    _place(index_segment(index, hash), index.mask, ((hash >> 32) << 32) | <uint64_t>(row + 1))
    index.used += 1


cdef void index_remove(Index* index, uint64_t hash, int64_t row) noexcept nogil:
    """Take (`hash`, `row`) out; it must be there.  Later entries of the run move back."""
    cdef uint64_t wanted = ((hash >> 32) << 32) | <uint64_t>(row + 1)
    cdef uint64_t* slots = index_segment(index, hash)
    cdef int64_t hole = <int64_t>(hash >> 32) & index.mask
    cdef int64_t at, home
    while slots[hole] != wanted:
        if slots[hole] == 0:
            _take_spilled(index, wanted)
            return
        hole = (hole + 1) & index.mask
    at = hole
    while True:
        at = (at + 1) & index.mask
        if slots[at] == 0:
            break
        home = <int64_t>(slots[at] >> 32) & index.mask
        if ((at - home) & index.mask) >= ((at - hole) & index.mask):
            slots[hole] = slots[at]
            hole = at
    slots[hole] = 0
    slots[USED] -= 1
    index.used -= 1


cdef void index_free(Index* index) noexcept nogil:
    cdef int64_t at
    for at in range(index.block_count):
        free(index.blocks[at])
    free(index.blocks)
    free(index.spilled)
    free(index.segments)
    memset(index, 0, sizeof(Index))

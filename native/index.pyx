"""Hash indexes over table rows (see index.pxd for the way to look one up)."""

import os

from libc.stdint cimport int64_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport abort, free, malloc, realloc
from libc.string cimport memcpy, memset

from ringup.native.memory cimport BLOCK_BYTES, block_take, lines_alloc

cdef enum:
    SLOTS_MIN = 64
    SLOTS_MAX = 4096  # of a segment: splitting one is a matter of microseconds
    SMALL_INDEX_SEGMENTS = 16  # up to here segments are allocated one by one
    ROWS_MAX = 0xfffffffe  # a slot has 32 bits for row + 1
    DEPTH_MAX = 24  # the directory stays below 128 MiB, whatever the hashes are


cdef bint key_is_used = False  # an index has been made: its places depend on the key


cdef _fill_key(uint64_t* words, bytes key):
    if len(key) != KEY_WORDS * sizeof(uint64_t):
        raise ValueError(f"an index key has {KEY_WORDS * sizeof(uint64_t)} bytes, found {len(key)}")
    memcpy(words, <const char*>key, KEY_WORDS * sizeof(uint64_t))


def set_index_key(bytes key) -> None:
    """Give this process a known key of 32 bytes instead of its random one, before it makes its first index.

    For tests alone: whoever knows the key can slow the process down.  ValueError for another length, RuntimeError when
    an index has been made.
    """
    if key_is_used:
        raise RuntimeError("the index key can be set before the first index is made: set it at the process's start")
    _fill_key(index_key, key)


_fill_key(index_key, os.urandom(KEY_WORDS * sizeof(uint64_t)))


cdef inline bint _is_full(Index* index, const Segment* segment) noexcept nogil:
    return (index.segments[segment.first].used + 1) * 4 > (index.mask + 1) * 3


cdef inline void _place(Index* index, const Segment* segment, uint64_t slot) noexcept nogil:
    """Put a slot into its segment, which has room."""
    cdef int64_t home = index_home(slot, index.mask), line = home & -LINE_SLOTS, step = 0
    while segment.slots[line | ((home + step) & (LINE_SLOTS - 1))] != 0:
        step += 1
        if step & (LINE_SLOTS - 1) == 0:
            line = (line + LINE_SLOTS) & index.mask
    segment.slots[line | ((home + step) & (LINE_SLOTS - 1))] = slot
    index.segments[segment.first].used += 1


cdef uint64_t* _new_slots(Index* index, int64_t size) noexcept nogil:
    """`size` empty slots of a segment; small ones and the first large ones come one by one, then from blocks."""
    cdef int64_t wanted = size * <int64_t>sizeof(uint64_t)
    cdef uint64_t* slots
    cdef bint is_small = size < SLOTS_MAX or index.block_count < SMALL_INDEX_SEGMENTS
    if is_small or index.block_left < wanted:
        index.blocks = <char**>realloc(index.blocks, (index.block_count + 1) * sizeof(char*))
        index.block_left = wanted if is_small else BLOCK_BYTES
        index.block_at = <char*>lines_alloc(wanted) if is_small else block_take()
        if index.blocks == NULL or index.block_at == NULL:
            abort()  # out of memory in the middle of a command: stop, the journal is the truth
        index.blocks[index.block_count] = index.block_at
        index.block_count += 1
    slots = <uint64_t*>index.block_at
    index.block_at += wanted
    index.block_left -= wanted
    return slots


cdef void _begin(Index* index, int64_t rows) noexcept nogil:
    """Make an empty index in which `rows` rows find room."""
    cdef int64_t at
    global key_is_used
    key_is_used = True
    index.mask = SLOTS_MIN - 1
    index.bits = 0
    while (index.mask + 1) * 2 < rows * 3 and index.mask + 1 < SLOTS_MAX:
        index.mask = index.mask * 2 + 1
    while (<int64_t>SLOTS_MAX << index.bits) * 2 < rows * 3:
        index.bits += 1
    index.segments = <Segment*>malloc((<int64_t>1 << index.bits) * sizeof(Segment))
    if index.segments == NULL:
        abort()
    for at in range(<int64_t>1 << index.bits):
        index.segments[at].slots = _new_slots(index, index.mask + 1)
        index.segments[at].first = <uint32_t>at
        index.segments[at].used = 0
        index.segments[at].depth = <uint16_t>index.bits


cdef void _double(Index* index) noexcept nogil:
    """Make the one segment of a small index twice as large."""
    cdef uint64_t* old = index.segments[0].slots
    cdef int64_t at, size = index.mask + 1
    index.block_count -= 1
    index.segments[0].slots = _new_slots(index, size * 2)
    index.segments[0].used = 0
    index.mask = size * 2 - 1
    for at in range(size):
        if old[at] != 0:
            _place(index, index.segments, old[at])
    free(old)


cdef void _split(Index* index, uint64_t hash) noexcept nogil:
    """Split the segment of a hash: the slots whose next bit is set go to a new one."""
    cdef uint64_t* high = _new_slots(index, SLOTS_MAX)
    cdef uint64_t* old = <uint64_t*>malloc(SLOTS_MAX * sizeof(uint64_t))
    cdef int64_t at, first, half
    cdef Segment* segment
    if old == NULL:
        abort()
    if index_segment(index, hash).depth == index.bits:  # the directory has one entry for it: make it two
        index.bits += 1
        index.segments = <Segment*>realloc(index.segments, (<int64_t>1 << index.bits) * sizeof(Segment))
        if index.segments == NULL:
            abort()
        for at in range((<int64_t>1 << index.bits) - 1, -1, -1):
            index.segments[at] = index.segments[at >> 1]
            index.segments[at].first *= 2
    segment = index_segment(index, hash)
    first = segment.first
    half = <int64_t>1 << (index.bits - segment.depth - 1)  # entries of each of the two
    memcpy(old, segment.slots, SLOTS_MAX * sizeof(uint64_t))
    memset(segment.slots, 0, SLOTS_MAX * sizeof(uint64_t))
    for at in range(first, first + 2 * half):
        segment = &index.segments[at]
        segment.used = 0
        segment.depth += 1
        if at >= first + half:
            segment.first = <uint32_t>(first + half)
            segment.slots = high
    for at in range(SLOTS_MAX):
        if old[at] != 0:
            _place(index, index_segment(index, old[at]), old[at])
    free(old)


cdef bint _splits(Index* index, const Segment* segment) noexcept nogil:
    """Whether splitting a full segment makes room: not where more than half of its rows have one hash."""
    cdef const uint64_t* slots = segment.slots
    cdef uint32_t candidate = 0
    cdef int64_t at, votes = 0, count = 0, used = index.segments[segment.first].used
    if segment.depth >= DEPTH_MAX:
        return False
    # Nearly always the next bit of the hashes says it: where it parts the rows 3 to 1 or better, room is made.
    for at in range(SLOTS_MAX):
        count += slots[at] >> (63 - segment.depth) & 1
    if used < 4 * count < 3 * used:
        return True
    count = 0
    for at in range(SLOTS_MAX):  # the vote of Boyer and Moore: if one hash has the majority, it is the candidate
        if slots[at] != 0:
            if votes == 0:
                candidate = <uint32_t>(slots[at] >> 32)
            votes += 1 if <uint32_t>(slots[at] >> 32) == candidate else -1
    for at in range(SLOTS_MAX):
        count += slots[at] != 0 and <uint32_t>(slots[at] >> 32) == candidate
    return count * 2 <= used


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
    cdef uint64_t slot = ((hash >> 32) << 32) | <uint64_t>(row + 1)
    cdef const Segment* segment
    if row >= ROWS_MAX:
        abort()  # a table of four thousand million rows is beyond this version: stop before a row is mistaken
    if index.segments == NULL:
        _begin(index, 0)
    segment = index_segment(index, hash)
    while _is_full(index, segment):
        if index.mask + 1 < SLOTS_MAX:
            _double(index)
        elif _splits(index, segment):
            _split(index, hash)
        else:
            _spill(index, slot)
            return
        segment = index_segment(index, hash)
    _place(index, segment, slot)
    index.used += 1


cdef inline int64_t _steps_to(int64_t home, int64_t at, int64_t mask) noexcept nogil:
    """The step on which a way from `home` comes to slot `at`."""
    return ((at - (home & -LINE_SLOTS)) & mask & -LINE_SLOTS) | ((at - home) & (LINE_SLOTS - 1))


cdef int64_t _stranded(const uint64_t* slots, int64_t mask, int64_t hole) noexcept nogil:
    """A slot whose way leads through an empty one, which would end a search too early; or -1."""
    cdef int64_t line = hole & -LINE_SLOTS, at, home
    cdef bint has_room = False
    while not has_room:
        for at in range(line, line + LINE_SLOTS):
            if at == hole:
                continue
            if slots[at] == 0:
                has_room = True  # no way goes on beyond this line
                continue
            home = index_home(slots[at], mask)
            if _steps_to(home, hole, mask) < _steps_to(home, at, mask):
                return at
        line = (line + LINE_SLOTS) & mask
    return -1


cdef void index_remove(Index* index, uint64_t hash, int64_t row) noexcept nogil:
    """Take (`hash`, `row`) out; it must be there.  Those whose way leads through its slot move up."""
    cdef uint64_t wanted = ((hash >> 32) << 32) | <uint64_t>(row + 1)
    cdef Segment* segment = index_segment(index, hash)
    cdef uint64_t* slots = segment.slots
    cdef int64_t home = index_home(hash, index.mask), step = 0, hole = home, other
    while slots[hole] != wanted:
        if slots[hole] == 0:
            _take_spilled(index, wanted)
            return
        step += 1
        hole = index_slot(home, step, index.mask)
    while True:
        other = _stranded(slots, index.mask, hole)
        if other < 0:
            break
        slots[hole] = slots[other]
        hole = other
    slots[hole] = 0
    index.segments[segment.first].used -= 1
    index.used -= 1


cdef void index_free(Index* index) noexcept nogil:
    cdef int64_t at
    for at in range(index.block_count):
        free(index.blocks[at])
    free(index.blocks)
    free(index.spilled)
    free(index.segments)
    memset(index, 0, sizeof(Index))


def hash_bytes_by(bytes key, bytes data) -> int:
    """The hash of an id under a key of 32 bytes, for tests."""
    cdef uint64_t[KEY_WORDS] words
    _fill_key(words, key)
    return hash_keyed_bytes(words, <const char*>data, len(data))


def hash_int_by(bytes key, uint64_t word) -> int:
    """The hash of a word under a key of 32 bytes, for tests."""
    cdef uint64_t[KEY_WORDS] words
    _fill_key(words, key)
    return hash_keyed_int(words, word)


def own_hash(bytes data) -> int:
    """The hash of an id under the key of this process, for tests."""
    return hash_bytes(<const char*>data, len(data))


cdef class RowIndex:
    """An index as tests see it: it believes the hashes that it is told."""

    cdef Index index

    def __dealloc__(self):
        index_free(&self.index)

    def __len__(self) -> int:
        return self.index.used

    def add(self, uint64_t hash, int64_t row) -> None:
        """Add a row under a hash."""
        index_add(&self.index, hash, row)

    def remove(self, uint64_t hash, int64_t row) -> None:
        """Take a row out, which must be there under that hash."""
        index_remove(&self.index, hash, row)

    @property
    def steps_max(self) -> int:
        """The longest search for a row that is there: slots looked at, with the list of those that found no room."""
        cdef int64_t at, slot, longest = 0, spilled = self.index.spilled_count
        cdef const uint64_t* slots
        if self.index.segments == NULL:
            return 0
        for at in range(<int64_t>1 << self.index.bits):
            slots = self.index.segments[at].slots
            for slot in range(self.index.mask + 1):
                if slots[slot] != 0:
                    longest = max(
                        longest, 1 + _steps_to(index_home(slots[slot], self.index.mask), slot, self.index.mask)
                    )
        return longest + spilled

    def rows(self, uint64_t hash) -> list[int]:
        """What a search for a hash comes upon, in its order."""
        cdef int64_t cursor = index_start(&self.index, hash)
        cdef int64_t row = index_next(&self.index, hash, &cursor)
        cdef list found = []
        while row >= 0:
            found.append(row)
            row = index_next(&self.index, hash, &cursor)
        return found

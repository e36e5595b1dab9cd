"""Hash indexes over table rows (see index.pxd for the way to look one up)."""

from libc.stdint cimport int64_t, uint64_t
from libc.stdlib cimport abort, calloc, free

from ringup.native.memory cimport BLOCK_BYTES, block_alloc


cdef void _place(Index* index, uint64_t slot) noexcept nogil:
    cdef int64_t at = <int64_t>(slot >> 32) & index.mask
    while index.slots[at] != 0:
        at = (at + 1) & index.mask
    index.slots[at] = slot


cdef void index_reserve(Index* index, int64_t rows) noexcept nogil:
    """Make room so that `rows` entries stay below two thirds of the slots."""
    cdef int64_t size = 64, at, old_size = 0 if index.slots == NULL else index.mask + 1
    cdef uint64_t* old = index.slots
    while size * 2 < rows * 3:
        size *= 2
    if size <= old_size:
        return
    if size * <int64_t>sizeof(uint64_t) < BLOCK_BYTES:
        index.slots = <uint64_t*>calloc(size, sizeof(uint64_t))
    else:  # sizes are powers of two, so this is a multiple of a block
        index.slots = <uint64_t*>block_alloc(size * sizeof(uint64_t))
    if index.slots == NULL:
        abort()
    index.mask = size - 1
    for at in range(old_size):
        if old[at] != 0:
            _place(index, old[at])
    free(old)


cdef void index_add(Index* index, uint64_t hash, int64_t row) noexcept nogil:
    """Add `row` (below 2**32 - 1) under `hash`; equal hashes may stand several times."""
    if index.slots == NULL or (index.used + 1) * 3 > (index.mask + 1) * 2:
        index_reserve(index, max(index.used * 2, 32))
    _place(index, ((hash >> 32) << 32) | <uint64_t>(row + 1))
    index.used += 1


cdef void index_remove(Index* index, uint64_t hash, int64_t row) noexcept nogil:
    """Take (`hash`, `row`) out; it must be there.  Later entries of the run move back."""
    cdef uint64_t wanted = ((hash >> 32) << 32) | <uint64_t>(row + 1)
    cdef int64_t hole = <int64_t>(hash >> 32) & index.mask
    cdef int64_t at, home
    while index.slots[hole] != wanted:
        if index.slots[hole] == 0:
            abort()  # an index that disagrees with its table: stop before it is believed
        hole = (hole + 1) & index.mask
    at = hole
    while True:
        at = (at + 1) & index.mask
        if index.slots[at] == 0:
            break
        home = <int64_t>(index.slots[at] >> 32) & index.mask
        if ((at - home) & index.mask) >= ((at - hole) & index.mask):
            index.slots[hole] = index.slots[at]
            hole = at
    index.slots[hole] = 0
    index.used -= 1


cdef void index_free(Index* index) noexcept nogil:
    free(index.slots)
    index.slots = NULL
    index.used = 0
    index.mask = 0

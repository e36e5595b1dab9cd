# Arrays in C that grow and never shrink: scratch of a handler, rows of a snapshot.
from libc.stdint cimport int64_t

cdef void* grow(void* data, int64_t* capacity, int64_t count, int64_t size) noexcept nogil

cdef inline void* room_for(void* data, int64_t* capacity, int64_t count, int64_t size) noexcept nogil:
    """`data` with room for `count` elements of `size` bytes; what is new is zeroed.  Never shrinks."""
    return data if count <= capacity[0] else grow(data, capacity, count, size)

"""Arrays in C that grow and never shrink; a process without memory ends."""

from libc.stdint cimport int64_t
from libc.stdlib cimport abort, realloc
from libc.string cimport memset


cdef void* grow(void* data, int64_t* capacity, int64_t count, int64_t size) noexcept nogil:
    cdef int64_t wanted = max(count, capacity[0] * 2, 32)
    data = realloc(data, wanted * size)
    if data == NULL:
        abort()
    memset(<char*>data + capacity[0] * size, 0, (wanted - capacity[0]) * size)
    capacity[0] = wanted
    return data

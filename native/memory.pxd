# Large blocks of memory: zeroed, and in huge pages where the system has them.
#
# State is read at random: with pages of 4 KiB most reads also miss the address translation.
from libc.stdint cimport int64_t

cdef extern from *:
    """
    #include <stdlib.h>
    #include <string.h>
    #ifdef __linux__
    #include <sys/mman.h>
    #endif
    #define BLOCK_BYTES ((int64_t)2 << 20)

    /* Zeroed memory that begins with a cache line, or NULL; give it back with free(). */
    static inline void *lines_alloc(int64_t size) {
    #ifdef __linux__
        void *lines;
        size = (size + 63) & ~(int64_t)63;
        lines = aligned_alloc(64, (size_t)size);
        if (lines != NULL) memset(lines, 0, (size_t)size);
        return lines;
    #else
        return calloc(1, (size_t)size);
    #endif
    }

    /* A zeroed block of a multiple of 2 MiB, or NULL; give it back with free(). */
    static inline void *block_alloc(int64_t size) {
    #ifdef __linux__
        void *block = aligned_alloc((size_t)BLOCK_BYTES, (size_t)size);
        if (block == NULL) return NULL;
    #ifdef MADV_HUGEPAGE
        madvise(block, (size_t)size, MADV_HUGEPAGE);  /* advice: where it is not taken, nothing is lost */
    #endif
        memset(block, 0, (size_t)size);
        return block;
    #else
        return calloc(1, (size_t)size);
    #endif
    }
    """
    const int64_t BLOCK_BYTES
    void* block_alloc(int64_t size) noexcept nogil
    void* lines_alloc(int64_t size) noexcept nogil

cdef char* block_take() noexcept nogil

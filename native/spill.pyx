"""Tables larger than the memory: beyond a budget their blocks are parts of a file that is mapped.

`verify` folds a whole journal into a fresh core, which keeps every sale, and a journal may be larger than the memory.
What a fold has written it seldom reads again, so that the system can write it to the file and forget it, and reads it
back when it is asked for.  An engine never does that: no sale should wait for a disk that it did not ask.
"""

from libc.stdint cimport int64_t
from libc.stdlib cimport free

from ringup.native.memory cimport BLOCK_BYTES, block_take

cdef extern from *:
    """
    #include <stdint.h>
    #ifdef __linux__
    #include <errno.h>
    #include <fcntl.h>
    #include <pthread.h>
    #include <stdlib.h>
    #include <string.h>
    #include <sys/mman.h>
    #include <unistd.h>
    #define SPILL_BLOCK ((int64_t)2 << 20)
    #define SPILL_CHUNK ((int64_t)64 << 20)  /* of the file, mapped at a time */

    static pthread_mutex_t spill_lock = PTHREAD_MUTEX_INITIALIZER;
    static int spill_file = -1;
    static int64_t spill_budget;  /* bytes of ordinary memory that tables may still take */
    static int64_t spill_at;  /* bytes of the file that are mapped */
    static char **spill_chunks;
    static int64_t spill_chunk_count, spill_chunk_used;  /* bytes of the last chunk that are given */
    static void *spill_free;  /* blocks given back, linked through their first bytes */
    static int64_t spill_out;  /* blocks in use */

    static void spill_forget(void) {
        int64_t at;
        for (at = 0; at < spill_chunk_count; at++) munmap(spill_chunks[at], SPILL_CHUNK);
        free(spill_chunks);
        spill_chunks = NULL;
        spill_chunk_count = spill_at = 0;
        spill_free = NULL;
    }

    /* Take the pages out of this process; the file keeps what is in them. */
    static void spill_let_go_locked(void) {
        int64_t at;
        for (at = 0; at < spill_chunk_count; at++) madvise(spill_chunks[at], SPILL_CHUNK, MADV_DONTNEED);
    }

    static int spill_grow(void) {
        char **chunks = realloc(spill_chunks, (spill_chunk_count + 1) * sizeof(char *));
        void *chunk;
        if (chunks == NULL) return 0;
        spill_chunks = chunks;
        /* Room first: a write to a mapped page that has none on the disk ends the process. */
        if (posix_fallocate(spill_file, spill_at, SPILL_CHUNK) != 0) return 0;
        chunk = mmap(NULL, SPILL_CHUNK, PROT_READ | PROT_WRITE, MAP_SHARED, spill_file, spill_at);
        if (chunk == MAP_FAILED) return 0;
        spill_let_go_locked();
        spill_chunks[spill_chunk_count++] = chunk;
        spill_chunk_used = 0;
        spill_at += SPILL_CHUNK;
        return 1;
    }

    static void *spill_take(void) {
        void *block = NULL;
        pthread_mutex_lock(&spill_lock);
        if (spill_file >= 0 && spill_budget < SPILL_BLOCK) {
            if (spill_free != NULL) {
                block = spill_free;
                memcpy(&spill_free, block, sizeof(void *));
                memset(block, 0, SPILL_BLOCK);
            } else if ((spill_chunk_count > 0 && spill_chunk_used < SPILL_CHUNK) || spill_grow()) {
                block = spill_chunks[spill_chunk_count - 1] + spill_chunk_used;
                spill_chunk_used += SPILL_BLOCK;
            }
            spill_out += block != NULL;
        } else if (spill_file >= 0) spill_budget -= SPILL_BLOCK;
        pthread_mutex_unlock(&spill_lock);
        return block;
    }

    static int spill_take_back(char *block) {
        int64_t at;
        int is_spilled = 0;
        pthread_mutex_lock(&spill_lock);
        for (at = 0; at < spill_chunk_count && !is_spilled; at++)
            is_spilled = block >= spill_chunks[at] && block < spill_chunks[at] + SPILL_CHUNK;
        if (is_spilled) {
            memcpy(block, &spill_free, sizeof(void *));
            spill_free = block;
            if (--spill_out == 0 && spill_file < 0) spill_forget();
        }
        pthread_mutex_unlock(&spill_lock);
        return is_spilled;
    }

    static int64_t spill_begin(int file, int64_t budget) {
        int64_t error = 0;
        pthread_mutex_lock(&spill_lock);
        if (spill_file >= 0) error = EBUSY;
        else if ((spill_file = fcntl(file, F_DUPFD_CLOEXEC, 0)) < 0) error = errno;
        else {
            spill_budget = budget;
            spill_at = 0;
            spill_chunk_used = SPILL_CHUNK;  /* the last chunk of another file, if there is one, is not gone on with */
        }
        pthread_mutex_unlock(&spill_lock);
        return error;
    }

    static int64_t spill_end(void) {
        int64_t mapped;
        pthread_mutex_lock(&spill_lock);
        mapped = spill_at;
        if (spill_file >= 0) close(spill_file);  /* what is mapped of it stays until it is given back */
        spill_file = -1;
        if (spill_out == 0) spill_forget();
        pthread_mutex_unlock(&spill_lock);
        return mapped;
    }

    static void spill_let_go(void) {
        pthread_mutex_lock(&spill_lock);
        spill_let_go_locked();
        pthread_mutex_unlock(&spill_lock);
    }
    #else
    #define SPILL_BLOCK ((int64_t)2 << 20)
    static void *spill_take(void) { return NULL; }
    static int spill_take_back(char *block) { (void)block; return 0; }
    static int64_t spill_begin(int file, int64_t budget) { (void)file; (void)budget; return 0; }
    static int64_t spill_end(void) { return 0; }
    static void spill_let_go(void) { }
    #endif
    """
    void* spill_take() noexcept nogil
    bint spill_take_back(char* block) noexcept nogil
    int64_t spill_begin(int file, int64_t budget) noexcept nogil
    int64_t spill_end() noexcept nogil
    void spill_let_go() noexcept nogil
    const int64_t SPILL_BLOCK

assert SPILL_BLOCK == BLOCK_BYTES


cdef char* table_block_take() noexcept nogil:
    """A zeroed block of BLOCK_BYTES for a table, or NULL; give it back with table_block_free()."""
    cdef char* block = <char*>spill_take()
    return block if block != NULL else block_take()


cdef void table_block_free(char* block) noexcept nogil:
    """Give a block back, or other memory of a table."""
    if not spill_take_back(block):
        free(block)


cdef void table_blocks_let_go() noexcept nogil:
    """Take what is spilled out of this process's memory; it comes back when it is read."""
    spill_let_go()


def begin_spill(int file, int64_t budget_bytes) -> None:
    """Take blocks of tables from `file` (empty, open for writing) when `budget_bytes` of memory are used up.

    For the whole process, until `end_spill`; where the file's disk has no room, blocks are memory as ever.
    Raises OSError; a process can spill to one file at a time.
    """
    cdef int64_t error = spill_begin(file, budget_bytes)
    if error:
        raise OSError(error, "cannot spill tables to a file")


def end_spill() -> int:
    """Take no more blocks from the file, and return how many bytes of it were needed.

    Tables that stand in it go on; its room is given back with the last of them.
    """
    return spill_end()

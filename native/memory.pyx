"""Blocks of memory that are zeroed before they are needed.

The first touch of fresh memory is the system's work: 0.1 ms for a block where it is quick, 8 ms where a
hypervisor has to find the memory first, and the processor does nothing else meanwhile.  A batch should not wait for
that, so that a thread of its own keeps a few blocks ready from the moment that a process takes its second one.  It
touches nothing but those blocks.

Keeping a few ready does not make the work less, it only puts it on another processor, which is as busy in a peak.
`keep_ready` asks for a stock that lasts for a peak: what the peak takes of it is made anew when it is over.
"""

from libc.stdint cimport int64_t

from ringup.native.memory cimport BLOCK_BYTES, block_alloc

cdef extern from *:
    """
    #ifdef __linux__
    #include <pthread.h>
    #include <unistd.h>
    #define SPARE_BLOCKS_MIN 4
    #define SPARE_SLICE_US 50000
    #define SPARE_QUIET_SLICES 100  /* 5 s without a block taken: the peak is over */
    static pthread_mutex_t spare_lock = PTHREAD_MUTEX_INITIALIZER;
    static pthread_cond_t spare_changed = PTHREAD_COND_INITIALIZER;
    static void *spare_blocks;  /* linked through their first bytes, which are zeroed when a block is taken */
    static int64_t spare_count, spare_wanted = SPARE_BLOCKS_MIN;
    static int64_t spare_calls;  /* for a block, so far */
    static int spare_is_begun, spare_is_filling;

    /* Wait, with the lock held, until a block is to be made.  There is no clock in the core: slices are counted. */
    static void spare_wait(void) {
        int64_t calls;
        int slices;
        while (!spare_is_filling && spare_count >= SPARE_BLOCKS_MIN) {
            if (spare_count >= spare_wanted) {
                pthread_cond_wait(&spare_changed, &spare_lock);
                continue;
            }
            calls = spare_calls;
            for (slices = SPARE_QUIET_SLICES; slices > 0 && calls == spare_calls; slices--) {
                pthread_mutex_unlock(&spare_lock);
                usleep(SPARE_SLICE_US);
                pthread_mutex_lock(&spare_lock);
            }
            spare_is_filling = calls == spare_calls;
        }
    }

    static void *spare_thread(void *nothing) {
        void *block;
        (void)nothing;
        pthread_mutex_lock(&spare_lock);
        for (;;) {
            spare_wait();
            pthread_mutex_unlock(&spare_lock);
            block = block_alloc(BLOCK_BYTES);
            pthread_mutex_lock(&spare_lock);
            if (block == NULL) break;  /* no memory: whoever needs it says so */
            memcpy(block, &spare_blocks, sizeof(void *));
            spare_blocks = block;
            if (++spare_count >= spare_wanted) spare_is_filling = 0;
        }
        spare_is_begun = 0;  /* a later call may try again */
        pthread_mutex_unlock(&spare_lock);
        return NULL;
    }

    static void spare_begin(void) {
        pthread_t thread;
        if (spare_is_begun || pthread_create(&thread, NULL, spare_thread, NULL) != 0) return;
        spare_is_begun = 1;
        pthread_detach(thread);
    }

    static void *spare_block(void) {
        void *block;
        pthread_mutex_lock(&spare_lock);
        if (++spare_calls > 1) spare_begin();
        block = spare_blocks;
        if (block != NULL) {
            memcpy(&spare_blocks, block, sizeof(void *));
            memset(block, 0, sizeof(void *));
            spare_count--;
            pthread_cond_signal(&spare_changed);
        }
        pthread_mutex_unlock(&spare_lock);
        return block;
    }

    static void spare_keep(int64_t blocks) {
        pthread_mutex_lock(&spare_lock);
        spare_wanted = blocks > SPARE_BLOCKS_MIN ? blocks : SPARE_BLOCKS_MIN;
        spare_is_filling = spare_count < spare_wanted;
        spare_begin();
        pthread_cond_signal(&spare_changed);
        pthread_mutex_unlock(&spare_lock);
    }

    static int64_t spare_ready(void) {
        int64_t count;
        pthread_mutex_lock(&spare_lock);
        count = spare_count;
        pthread_mutex_unlock(&spare_lock);
        return count;
    }
    #else
    static void *spare_block(void) { return NULL; }
    static void spare_keep(int64_t blocks) { (void)blocks; }
    static int64_t spare_ready(void) { return 0; }
    #endif
    """
    void* spare_block() noexcept nogil
    void spare_keep(int64_t blocks) noexcept nogil
    int64_t spare_ready() noexcept nogil


cdef char* block_take() noexcept nogil:
    """A zeroed block of BLOCK_BYTES, or NULL; give it back with free()."""
    cdef char* block = <char*>spare_block()
    return block if block != NULL else <char*>block_alloc(BLOCK_BYTES)


def keep_ready(int64_t size) -> None:
    """Have `size` bytes ready from soon on, and again 5 s after the last of a peak took some of them."""
    spare_keep((size + BLOCK_BYTES - 1) // BLOCK_BYTES)


def ready_bytes() -> int:
    """How many bytes are ready now."""
    return spare_ready() * BLOCK_BYTES

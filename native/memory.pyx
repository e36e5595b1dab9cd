"""Blocks of memory that are zeroed before they are needed.

The first touch of fresh memory is the system's work: 0.1 ms for a block where it is quick, 5 ms where a
hypervisor has to find the memory first.  A batch should not wait for that, so that a thread of its own keeps a few
blocks ready from the moment that a process takes its second one.  It touches nothing but those blocks.
"""

from ringup.native.memory cimport BLOCK_BYTES, block_alloc

cdef extern from *:
    """
    #ifdef __linux__
    #include <pthread.h>
    #define SPARE_BLOCKS 4
    static pthread_mutex_t spare_lock = PTHREAD_MUTEX_INITIALIZER;
    static pthread_cond_t spare_taken = PTHREAD_COND_INITIALIZER;
    static void *spare_blocks[SPARE_BLOCKS];
    static int spare_count, spare_calls;

    static void *spare_thread(void *nothing) {
        (void)nothing;
        pthread_mutex_lock(&spare_lock);
        for (;;) {
            void *block;
            while (spare_count == SPARE_BLOCKS) pthread_cond_wait(&spare_taken, &spare_lock);
            pthread_mutex_unlock(&spare_lock);
            block = block_alloc(BLOCK_BYTES);
            pthread_mutex_lock(&spare_lock);
            if (block == NULL) break;  /* no memory: whoever needs it says so */
            spare_blocks[spare_count++] = block;
        }
        spare_calls = 1;  /* a later call may try again */
        pthread_mutex_unlock(&spare_lock);
        return NULL;
    }

    static void *spare_block(void) {
        void *block = NULL;
        pthread_mutex_lock(&spare_lock);
        if (++spare_calls == 2) {
            pthread_t thread;
            if (pthread_create(&thread, NULL, spare_thread, NULL) == 0) pthread_detach(thread);
            else spare_calls = 1;
        }
        if (spare_count > 0) {
            block = spare_blocks[--spare_count];
            pthread_cond_signal(&spare_taken);
        }
        pthread_mutex_unlock(&spare_lock);
        return block;
    }
    #else
    static void *spare_block(void) { return NULL; }
    #endif
    """
    void* spare_block() noexcept nogil


cdef char* block_take() noexcept nogil:
    """A zeroed block of BLOCK_BYTES, or NULL; give it back with free()."""
    cdef char* block = <char*>spare_block()
    return block if block != NULL else <char*>block_alloc(BLOCK_BYTES)

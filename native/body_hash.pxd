# The hash that is kept with each command's id, by which a resend is known for the same command.
#
# Rows keep it: another function is another layout.  It has no key and is no digest: for any body anybody can write down
# another one with its hash (tests/support/body_hash.py does).  So nothing may rest on it that a caller could gain by:
# - A resend is known by it.  Who sends another body with the hash of the first under the same id gets the first answer
#   again, with what was booked, in place of ID_CONFLICT; nothing is executed, so nobody is deceived but who sent both.
#   To have somebody else's command taken for a resend one has to send first under its id, which are 16 random bytes that
#   its caller alone knows; who does know them can spoil that command with any body.
# - A return that is priced again has its sale's request from the journal and never from a caller (originals.pyx); the
#   core compares hashes there to find mistakes, not deceit.
# (Index hashes are keyed: index.pxd.)
from libc.stdint cimport int64_t, uint64_t

from ringup.native.index cimport hash_fold

cdef extern from *:
    """
    /* 16 bytes a step; the last 1 to 16 are read as two words that may overlap. */
    static inline uint64_t hash_fixed_bytes(const void *data, int64_t size) {
        const uint8_t *at = (const uint8_t *)data;
        uint64_t state = 0x94d049bb133111ebu ^ (uint64_t)size, first = 0, last = 0;
        uint32_t low, high;
        for (; size > 16; at += 16, size -= 16) {
            memcpy(&first, at, 8);
            memcpy(&last, at + 8, 8);
            state = hash_fold(first ^ 0x9e3779b97f4a7c15u, last ^ state);
        }
        first = last = 0;
        if (size >= 8) {
            memcpy(&first, at, 8);
            memcpy(&last, at + size - 8, 8);
        } else if (size >= 4) {
            memcpy(&low, at, 4);
            memcpy(&high, at + size - 4, 4);
            first = low;
            last = high;
        } else if (size > 0) {
            first = at[0] | (uint64_t)at[size / 2] << 8 | (uint64_t)at[size - 1] << 16;
        }
        return hash_fold(hash_fold(first ^ 0x9e3779b97f4a7c15u, last ^ state) ^ 0x9e3779b97f4a7c15u, 0xbf58476d1ce4e5b9u);
    }
    """
    uint64_t hash_fixed_bytes(const void* data, int64_t size) noexcept nogil

cdef inline uint64_t _hash_kind(uint64_t kind) noexcept nogil:
    kind ^= kind >> 33
    kind *= <uint64_t>0xff51afd7ed558ccd
    kind ^= kind >> 33
    kind *= <uint64_t>0xc4ceb9fe1a85ec53
    kind ^= kind >> 33
    return kind

cdef inline uint64_t hash_body(int kind, const void* data, int64_t size) noexcept nogil:
    """Of a command's kind and body.

    The kind counts too: two kinds of command may have the same fields (release and commit of a hold).
    """
    return hash_fixed_bytes(data, size) ^ _hash_kind(<uint64_t>kind)

"""Protocol Buffers wire format: the less hot half of wire.pxd."""

from libc.stdint cimport int64_t, uint8_t, uint64_t
from libc.stdlib cimport abort, free, realloc
from libc.string cimport memmove, memset


cdef uint64_t read_long_varint(Reader* reader) noexcept nogil:
    """A varint of any length, at most 10 bytes; else the reader is bad."""
    cdef const uint8_t* at = reader.at
    cdef const uint8_t* end = min(reader.end, at + 10)
    cdef uint64_t value = 0
    cdef int shift = 0
    while at < end:
        value |= <uint64_t>(at[0] & 0x7f) << min(shift, 63)
        if at[0] < 0x80:
            reader.at = at + 1
            return value
        at += 1
        shift += 7
    reader.bad = True
    reader.at = reader.end
    return 0


cdef void skip_field(Reader* reader) noexcept nogil:
    """Pass over a field that this version does not know; groups are malformed in proto3."""
    cdef int64_t size = 0
    if reader.wire_type == WIRE_VARINT:
        read_varint(reader)
        return
    if reader.wire_type == WIRE_BYTES:
        read_span(reader)
        return
    if reader.wire_type == WIRE_FIXED64:
        size = 8
    elif reader.wire_type == WIRE_FIXED32:
        size = 4
    if size == 0 or reader.end - reader.at < size:
        reader.bad = True
        reader.at = reader.end
        return
    reader.at += size


cdef bint is_utf8(Span span) noexcept nogil:
    """Whether the bytes are well-formed UTF-8 (RFC 3629: no overlong forms, no surrogates)."""
    cdef const uint8_t* at = <const uint8_t*>span.data
    cdef const uint8_t* end = at + span.size
    cdef uint8_t lead
    cdef int more, i
    while at < end:
        lead = at[0]
        if lead < 0x80:
            at += 1
            continue
        if 0xc2 <= lead <= 0xdf:
            more = 1
        elif 0xe0 <= lead <= 0xef:
            more = 2
        elif 0xf0 <= lead <= 0xf4:
            more = 3
        else:
            return False
        if end - at <= more:
            return False
        for i in range(1, more + 1):
            if (at[i] & 0xc0) != 0x80:
                return False
        if (
            (lead == 0xe0 and at[1] < 0xa0)
            or (lead == 0xed and at[1] > 0x9f)
            or (lead == 0xf0 and at[1] < 0x90)
            or (lead == 0xf4 and at[1] > 0x8f)
        ):
            return False
        at += more + 1
    return True


cdef void writer_grow(Writer* writer, int64_t more) noexcept nogil:
    cdef int64_t capacity = max(writer.capacity * 2, writer.size + more, 4096)
    writer.data = <uint8_t*>realloc(writer.data, capacity)
    if writer.data == NULL:
        abort()
    writer.capacity = capacity


cdef void writer_free(Writer* writer) noexcept nogil:
    free(writer.data)
    writer.data = NULL
    writer.size = writer.capacity = 0


cdef void clear(void* data, int64_t size) noexcept nogil:
    """Zero a struct of some hundred bytes.

    By a call: of a size that it knows GCC makes a `rep stos`, which takes longer to begin than the rest takes.
    """
    memset(data, 0, size)


cdef void end_long_message(Writer* writer, int64_t mark) noexcept nogil:
    """The same for a message of more than 127 bytes: move it, so that its length has room."""
    cdef int64_t size = writer.size - mark
    cdef uint64_t rest = <uint64_t>size >> 7
    cdef int64_t extra = 0
    while rest:
        extra += 1
        rest >>= 7
    if extra:
        writer_room(writer, extra)
        memmove(writer.data + mark + extra, writer.data + mark, size)
    writer.size = mark - 1
    put_varint(writer, <uint64_t>size)
    writer.size += size

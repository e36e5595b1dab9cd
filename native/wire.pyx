"""Protocol Buffers wire format: the less hot half of wire.pxd."""

from libc.stdint cimport int64_t, uint8_t, uint64_t
from libc.stdlib cimport abort, free, realloc
from libc.string cimport memmove


cdef uint64_t read_long_varint(Reader* reader) noexcept nogil:
    """A varint of any length, at most 10 bytes; else the reader is bad."""
    cdef uint64_t value = 0
    cdef uint8_t byte
    cdef int shift = 0
    while reader.at < reader.end and shift < 70:
        byte = reader.at[0]
        reader.at += 1
        value |= <uint64_t>(byte & 0x7f) << (shift if shift < 64 else 63)
        if byte < 0x80:
            return value
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


cdef void end_message(Writer* writer, int64_t mark) noexcept nogil:
    """Close the message opened at `mark`: put its length before it."""
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

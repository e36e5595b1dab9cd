# Protocol Buffers wire format, read and written in place: no Python objects, no GIL.
#
# Encoding: https://protobuf.dev/programming-guides/encoding.  Field numbers come from contract.pxd.
from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcmp, memcpy

cdef enum:
    WIRE_VARINT = 0
    WIRE_FIXED64 = 1
    WIRE_BYTES = 2
    WIRE_FIXED32 = 5

cdef struct Span:
    const char* data
    int64_t size

cdef struct Reader:
    const uint8_t* at
    const uint8_t* end
    bint bad  # set for good at the first malformed byte
    uint32_t field  # of the last tag read
    uint32_t wire_type

cdef struct Writer:
    uint8_t* data
    int64_t size
    int64_t capacity

cdef inline Reader reader_of(Span span) noexcept nogil:
    cdef Reader reader
    reader.at = <const uint8_t*>span.data
    reader.end = reader.at + span.size
    reader.bad = False
    reader.field = 0
    reader.wire_type = 0
    return reader

cdef uint64_t read_long_varint(Reader* reader) noexcept nogil

cdef inline uint64_t read_varint(Reader* reader) noexcept nogil:
    cdef uint8_t byte
    if reader.at < reader.end:
        byte = reader.at[0]
        if byte < 0x80:  # one byte: nearly all tags and lengths
            reader.at += 1
            return byte
    return read_long_varint(reader)

cdef inline bint next_field(Reader* reader) noexcept nogil:
    """Move to the next field; False at the end or at malformed bytes (then `bad` is set)."""
    cdef uint64_t tag
    if reader.at >= reader.end:
        return False
    tag = read_varint(reader)
    reader.field = <uint32_t>(tag >> 3)
    reader.wire_type = <uint32_t>(tag & 7)
    if reader.field == 0 or tag > <uint64_t>0xffffffff:
        reader.bad = True
    if reader.bad:
        reader.at = reader.end
        return False
    return True

cdef inline int64_t read_int(Reader* reader) noexcept nogil:
    """The int64, uint, bool or enum of the field at hand; another wire type is malformed."""
    if reader.wire_type != WIRE_VARINT:
        reader.bad = True
        reader.at = reader.end
        return 0
    return <int64_t>read_varint(reader)

cdef inline Span read_span(Reader* reader) noexcept nogil:
    """The bytes, string or message of the field at hand, in place."""
    cdef Span span
    cdef uint64_t size
    span.data = NULL
    span.size = 0
    if reader.wire_type == WIRE_BYTES:
        size = read_varint(reader)
        if not reader.bad and size <= <uint64_t>(reader.end - reader.at):
            span.data = <const char*>reader.at
            span.size = <int64_t>size
            reader.at += size
            return span
    reader.bad = True
    reader.at = reader.end
    return span

cdef void skip_field(Reader* reader) noexcept nogil

cdef inline bint next_of(Reader* reader, uint32_t field) noexcept nogil:
    """Move to the next field of this number, over all others; False at the end or at malformed bytes."""
    while next_field(reader):
        if reader.field == field:
            return True
        skip_field(reader)
    return False

cdef bint is_utf8(Span span) noexcept nogil

cdef inline bint span_equal(Span a, Span b) noexcept nogil:
    return a.size == b.size and (a.size == 0 or memcmp(a.data, b.data, a.size) == 0)

cdef inline Span span_at(const void* data, int64_t size) noexcept nogil:
    cdef Span span
    span.data = <const char*>data
    span.size = size
    return span

cdef inline Span no_span() noexcept nogil:
    return span_at(NULL, 0)

cdef void writer_grow(Writer* writer, int64_t more) noexcept nogil
cdef void writer_free(Writer* writer) noexcept nogil

cdef inline void writer_room(Writer* writer, int64_t more) noexcept nogil:
    if writer.size + more > writer.capacity:
        writer_grow(writer, more)

cdef inline uint8_t* varint_at(uint8_t* at, uint64_t value) noexcept nogil:
    """Write a varint where there is room for 10 bytes; returns where it ends."""
    while value >= 0x80:
        at[0] = <uint8_t>(value | 0x80)
        at += 1
        value >>= 7
    at[0] = <uint8_t>value
    return at + 1

cdef inline void put_varint(Writer* writer, uint64_t value) noexcept nogil:
    # The caller made room for 10 bytes.
    writer.size = varint_at(writer.data + writer.size, value) - writer.data

cdef inline void write_int(Writer* writer, uint32_t field, int64_t value) noexcept nogil:
    """A varint field; zero is left out, as proto3 does."""
    if value == 0:
        return
    writer_room(writer, 20)
    put_varint(writer, (<uint64_t>field << 3) | WIRE_VARINT)
    put_varint(writer, <uint64_t>value)

cdef inline void write_element(Writer* writer, uint32_t field, int64_t value) noexcept nogil:
    """A varint element of a repeated field: zero is written too."""
    writer_room(writer, 20)
    put_varint(writer, (<uint64_t>field << 3) | WIRE_VARINT)
    put_varint(writer, <uint64_t>value)

cdef inline void write_span(Writer* writer, uint32_t field, Span span) noexcept nogil:
    """A string or bytes field; an empty one is left out."""
    if span.size == 0:
        return
    writer_room(writer, 20 + span.size)
    put_varint(writer, (<uint64_t>field << 3) | WIRE_BYTES)
    put_varint(writer, <uint64_t>span.size)
    memcpy(writer.data + writer.size, span.data, span.size)
    writer.size += span.size

cdef inline int64_t begin_message(Writer* writer, uint32_t field) noexcept nogil:
    """Open a nested message; give the returned mark to `end_message`."""
    writer_room(writer, 20)
    put_varint(writer, (<uint64_t>field << 3) | WIRE_BYTES)
    writer.size += 1  # room for a length below 128
    return writer.size

cdef void end_long_message(Writer* writer, int64_t mark) noexcept nogil

cdef inline void end_message(Writer* writer, int64_t mark) noexcept nogil:
    """Close the message opened at `mark`: put its length before it."""
    if writer.size - mark < 0x80:
        writer.data[mark - 1] = <uint8_t>(writer.size - mark)
    else:
        end_long_message(writer, mark)

cdef void clear(void* data, int64_t size) noexcept nogil

"""What a return has of its sale is the journal's word, never its caller's.

A refund by repricing needs the request that booked the sale (`original_sale`), which the core does not keep.  The core
knows it by a hash (native/body_hash.pxd) for which anybody can write another basket, so it must not be asked of a
caller.  `with_originals` puts the journal's own into every return that asks for it, in place of whatever came, before
the core executes the request; that is also what the journal gets, so a fold needs no other record.
"""

from cpython.bytes cimport PyBytes_FromStringAndSize
from libc.stdint cimport int64_t, uint64_t, uint8_t
from libc.string cimport memcpy

from ringup.native.core import MalformedRequest

from ringup.native.body_hash cimport hash_body
from ringup.native.command cimport Command
from ringup.native.contract cimport (
    REFUND_POLICY_REPRICE_KEPT,
    Command_return_lines,
    Command_sell,
    ReturnLinesRequest_original_sale,
    SessionRequest_commands,
)
from ringup.native.core cimport Core
from ringup.native.limits cimport ID_BYTES
from ringup.native.replies cimport REPLY_INDEX_BITS
from ringup.native.sale_returns cimport ReturnIn
from ringup.native.wire cimport (
    WIRE_BYTES,
    Reader,
    Span,
    Writer,
    begin_message,
    end_message,
    next_field,
    read_span,
    reader_of,
    skip_field,
    span_at,
    write_span,
    writer_free,
    writer_room,
)

# A request and all sales that its returns are of.  A batch and one sale are each at most a message (4 MiB), so that
# each return has room in a batch of its own; without a limit a short batch could ask for gigabytes.
FILLED_BYTES_MAX = 16 << 20

# What becomes of a command.
cdef enum Verdict:
    AS_IT_IS  # no return that is priced again, or one that was answered before
    BARE  # a return without the sale that its caller put there
    FROM_JOURNAL  # a return with the request of a sale that is booked
    FROM_REQUEST  # a return with the request of a sale that stands before it


cdef bint _has_return(Span request) noexcept nogil:
    """Whether a command is a return; False for what is no SessionRequest, of which the core executes nothing."""
    cdef Reader reader = reader_of(request), inner
    cdef uint64_t kind
    cdef bint found = False
    while next_field(&reader):
        if reader.field != SessionRequest_commands or reader.wire_type != WIRE_BYTES:
            return False
        inner = reader_of(read_span(&reader))
        kind = 0
        while next_field(&inner):  # the last field, as the core takes it
            kind = inner.field
            read_span(&inner)
        found = found or kind == Command_return_lines
    return found and not reader.bad


cdef void _write_bare(Writer* out, Span body) noexcept nogil:
    """Write a ReturnLinesRequest without `original_sale`."""
    cdef Reader reader = reader_of(body)
    cdef const uint8_t* start = reader.at
    out.size = 0
    while next_field(&reader):
        skip_field(&reader)
        if reader.field != ReturnLinesRequest_original_sale:
            writer_room(out, reader.at - start)
            memcpy(out.data + out.size, start, reader.at - start)
            out.size += reader.at - start
        start = reader.at


cdef class _Filler:
    """One request."""

    cdef Core core
    cdef Writer bare, out
    cdef Command command
    cdef uint64_t reply_at  # of the sale, where it is booked
    cdef bytes sale_id  # else, where the return names it
    cdef dict sold  # by id, of this request's commands: position and body of a sale, or None

    def __dealloc__(self):
        writer_free(&self.bare)
        writer_free(&self.out)

    cdef int look(self, Span span):
        """Read a command; a return without its sale is in `bare`."""
        cdef ReturnIn asked
        cdef uint64_t known_hash = 0, reply_at = 0
        cdef int64_t sale
        cdef bint is_known
        cdef Command* command = &self.command
        self.core.prefetcher.count = 0
        self.core.prefetcher.read_command(span, command)
        if command.kind != Command_return_lines or command.bad or command.id_size != ID_BYTES:
            return AS_IT_IS
        asked = self.core.sales.read_return(command.body)
        if asked.bad or asked.refund_policy != REFUND_POLICY_REPRICE_KEPT:
            return AS_IT_IS
        # A resend is answered and not executed.  It must stay the same command, also where its sale was booked or was
        # given in another form since it came first.
        is_known = self.core.known_id(command, &known_hash, &reply_at)
        if is_known and hash_body(command.kind, command.body.data, command.body.size) == known_hash:
            return AS_IT_IS
        _write_bare(&self.bare, command.body)
        if is_known and hash_body(command.kind, self.bare.data, self.bare.size) == known_hash:
            return BARE
        if asked.sale_id.size != 0 and asked.sale_id.size != ID_BYTES:
            return BARE
        sale = self.core.sales.find_original(&asked)
        if sale >= 0:
            self.reply_at = self.core.sales.sale(sale).reply_at
            return FROM_JOURNAL
        self.sale_id = PyBytes_FromStringAndSize(asked.sale_id.data, asked.sale_id.size)
        return FROM_REQUEST if self.sale_id else BARE

    cdef tuple place(self):
        return (
            <int64_t>(self.reply_at >> REPLY_INDEX_BITS), <int64_t>(self.reply_at & ((1 << REPLY_INDEX_BITS) - 1))
        )

    cdef bytes sold_before(self, Span request, int64_t position):
        """The sale of this request that a return at `position` is of.

        Only where no other command has its id: it alone can have been booked under it.
        """
        cdef Reader reader
        cdef Command* command = &self.command
        cdef int64_t at = 0
        if self.sold is None:
            self.sold = {}
            reader = reader_of(request)
            while next_field(&reader):
                self.core.prefetcher.count = 0
                self.core.prefetcher.read_command(read_span(&reader), command)
                if command.id_size == ID_BYTES:
                    id = PyBytes_FromStringAndSize(<const char*>command.id, ID_BYTES)
                    is_one = command.kind == Command_sell and not command.bad and id not in self.sold
                    self.sold[id] = (
                        at, PyBytes_FromStringAndSize(command.body.data, command.body.size)
                    ) if is_one else None
                at += 1
        found = self.sold.get(self.sale_id)
        return found[1] if found is not None and found[0] < position else None

    cdef set places(self, Span request):
        """Where in the journal the sales are."""
        cdef Reader reader = reader_of(request)
        cdef set found = set()
        while next_field(&reader):
            if self.look(read_span(&reader)) == FROM_JOURNAL:
                found.add(self.place())
        return found

    cdef bytes fill(self, Span request, dict requests):
        cdef Reader reader = reader_of(request)
        cdef const uint8_t* start = reader.at
        cdef int64_t position = 0, mark
        cdef int verdict
        cdef bytes original
        while next_field(&reader):
            verdict = self.look(read_span(&reader))
            if verdict == AS_IT_IS:
                writer_room(&self.out, reader.at - start)
                memcpy(self.out.data + self.out.size, start, reader.at - start)
                self.out.size += reader.at - start
            else:
                original = None
                if verdict == FROM_JOURNAL:
                    original = requests.get(self.place())
                elif verdict == FROM_REQUEST:
                    original = self.sold_before(request, position)
                if original is not None:
                    write_span(
                        &self.bare, ReturnLinesRequest_original_sale, span_at(<char*>original, len(original))
                    )
                mark = begin_message(&self.out, SessionRequest_commands)
                write_span(&self.out, Command_return_lines, span_at(self.bare.data, self.bare.size))
                end_message(&self.out, mark)
            if self.out.size > FILLED_BYTES_MAX:
                raise MalformedRequest(
                    f"SessionRequest: expected returns that have at most {FILLED_BYTES_MAX} bytes together with the "
                    f"sales they are of, found more at command {position}; send smaller batches"
                )
            start = reader.at
            position += 1
        return PyBytes_FromStringAndSize(<char*>self.out.data, self.out.size)


def with_originals(Core core not None, bytes request not None, requests_at) -> bytes:
    """A `SessionRequest` whose returns that are priced again have the sale as the journal has it.

    What their callers put there is left out.  `requests_at` takes a set of (sequence, index) of sales and returns those
    requests of them that the journal still has, by the same.  A sale that stands in the same request counts, too, where
    the return names it by its id.  Where there is none the core refuses the return.

    A request without such a return is returned as it is; so is what is no SessionRequest, for the core to refuse.
    Raises MalformedRequest where it would have more than FILLED_BYTES_MAX bytes, and what `requests_at` raises.
    """
    cdef Span whole = span_at(<const char*>request, len(request))
    cdef _Filler filler
    if not _has_return(whole):
        return request
    filler = _Filler()
    filler.core = core
    places = filler.places(whole)
    return filler.fill(whole, requests_at(places) if places else {})

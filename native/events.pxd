# The outbox: what a batch changed of stock, one event for each position, arrival and threshold, packed for the journal.
#
# While a batch runs, its first move of a position keeps what was there before (Positions.changes); the rest is done
# here when the batch ends.  Items, locations, channels and lots stand in the packed bytes as row numbers, which never
# change their meaning; `expand` makes of them the messages that readers get.
from libc.stdint cimport int32_t, int64_t

from ringup.native.catalog cimport Catalog
from ringup.native.stock cimport Stock
from ringup.native.stock_policy cimport ChannelSum
from ringup.native.wire cimport Span, Writer

# The front of packed events, as it is in memory (little endian): 40 bytes.
cdef struct EventsHead:
    int64_t count
    int64_t items  # rows there were at the end of the batch: other numbers later mean other rows
    int64_t locations
    int64_t symbols
    int64_t last_sequence

cdef struct Crossed:
    int64_t before_milli
    int64_t after_milli
    int32_t item
    int32_t channel
    int32_t kind
    int32_t spare

cdef struct Expansion:  # one walk over packed events
    int64_t sequence  # of the next event
    Span left  # what is not read yet
    bint bad  # the bytes are no packed events of this catalog

cdef class Events:
    cdef Catalog catalog
    cdef Stock stock
    cdef Writer out  # the packed events of the batch that ended last
    cdef int64_t count
    cdef Crossed* crossed  # scratch
    cdef int64_t crossed_count
    cdef int64_t crossed_capacity

    cdef int32_t* watched  # sums with a watcher that the batch that ended last changed
    cdef int64_t watched_count
    cdef int64_t watched_capacity

    cdef int32_t* kit_sums  # of kits that were watched: their parts move, and they are looked at after each batch
    cdef int64_t kit_count
    cdef int64_t kit_capacity

    cdef ChannelSum* watched_sum(self, int64_t item, int64_t channel, int64_t batch) noexcept nogil
    cdef void tell_watchers(self, ChannelSum* sum_row) noexcept nogil
    cdef int64_t close(self, int64_t batch, int64_t last_sequence) noexcept nogil
    cdef void settle(self, int64_t batch) noexcept nogil
    cdef void pack_positions(self) noexcept nogil
    cdef void pack_incoming(self) noexcept nogil
    cdef void look_at_sums(self, int64_t batch) noexcept nogil
    cdef void look_at(self, ChannelSum* sum_row, int64_t batch, bint quiet) noexcept nogil
    cdef void cross(self, ChannelSum* sum_row, int64_t after_milli, int kind) noexcept nogil
    cdef void pack_crossings(self) noexcept nogil
    cdef void expand(self, Expansion* walk, int64_t from_sequence, int64_t bytes_max, Writer* out) noexcept nogil

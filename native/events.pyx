"""The outbox (see events.pxd)."""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport abort, free, qsort, realloc
from libc.string cimport memcpy, memset

from ringup.native.catalog cimport ITEM_KIT, ITEM_UNTRACKED, SymbolRow
from ringup.native.contract cimport (
    CROSSING_BACK,
    CROSSING_LOW,
    CROSSING_OUT,
    AvailabilityCrossed_available_milli,
    AvailabilityCrossed_channel_id,
    AvailabilityCrossed_crossing,
    AvailabilityCrossed_item_id,
    AvailabilityCrossed_low_milli,
    AvailabilityCrossed_unlimited,
    Event_availability,
    Event_incoming,
    Event_position,
    EventBatch_events,
    IncomingChanged_incoming_change_milli,
    IncomingChanged_incoming_milli,
    IncomingChanged_item_id,
    IncomingChanged_location_id,
    PositionChanged_allocated_change_milli,
    PositionChanged_allocated_milli,
    PositionChanged_barred,
    PositionChanged_held_change_milli,
    PositionChanged_held_milli,
    PositionChanged_item_id,
    PositionChanged_location_id,
    PositionChanged_lot_id,
    PositionChanged_on_hand_change_milli,
    PositionChanged_on_hand_milli,
    PositionChanged_removed,
    PositionChanged_unavailable_change_milli,
    PositionChanged_unavailable_milli,
    PositionChanged_version,
)
from ringup.native.index cimport prefetch
from ringup.native.stock_policy cimport SUM_CHANGED, SUM_LISTED, SUM_UNTRACKED, UNLIMITED
from ringup.native.stock_positions cimport POSITION_BARRED, POSITION_CHANGED, Change, PositionRow
from ringup.native.stock_tally cimport Entry, tally_clear
from ringup.native.wire cimport (
    Reader,
    Writer,
    begin_message,
    end_message,
    put_varint,
    read_varint,
    reader_of,
    span_at,
    varint_at,
    write_int,
    write_span,
    writer_free,
    writer_room,
)

# The first byte of a packed event.
cdef enum:
    KIND_POSITION = 0
    KIND_INCOMING = 1
    KIND_CROSSING = 2
    KIND_MASK = 3
    BIT_BARRED = 4  # of a position
    BIT_REMOVED = 8
    BIT_LOT = 16
    CROSSING_SHIFT = 2
    PACKED_BYTES_MAX = 160  # of one event
    COUNTERS = 4
    LOCATION_MASK = 0x7fffffff  # of the keys of `incoming_delta`
    AHEAD = 8  # positions asked of memory before they are packed

assert KIND_MASK < BIT_BARRED
assert CROSSING_BACK << CROSSING_SHIFT <= 255


cdef inline uint64_t _zigzag(int64_t value) noexcept nogil:
    return (<uint64_t>value << 1) ^ <uint64_t>(value >> 63)


cdef inline int64_t _unzigzag(uint64_t value) noexcept nogil:
    return <int64_t>(value >> 1) ^ -<int64_t>(value & 1)


cdef inline void _write_change(Writer* out, uint32_t field, int64_t value) noexcept nogil:
    """A sint64 field; zero is left out."""
    write_int(out, field, <int64_t>_zigzag(value))


cdef int _by_item(const void* one, const void* other) noexcept nogil:
    cdef const Crossed* a = <const Crossed*>one
    cdef const Crossed* b = <const Crossed*>other
    if a.item != b.item:
        return -1 if a.item < b.item else 1
    if a.channel != b.channel:
        return -1 if a.channel < b.channel else 1
    return a.kind - b.kind


cdef class Events:
    """Packs what a batch changed, and expands what was packed."""

    def __cinit__(self, Catalog catalog, Stock stock):
        self.catalog, self.stock = catalog, stock

    def __dealloc__(self):
        writer_free(&self.out)
        free(self.crossed)
        free(self.watched)
        free(self.kit_sums)

    # The end of a batch.

    cdef int64_t close(self, int64_t batch, int64_t last_sequence) noexcept nogil:
        """Pack the events of the batch that ends into `out`; returns the sequence of the last, `last_sequence` if none."""
        cdef EventsHead head
        self.count = self.out.size = self.watched_count = 0
        writer_room(&self.out, sizeof(EventsHead))
        self.out.size = sizeof(EventsHead)
        self.pack_positions()
        self.pack_incoming()
        self.look_at_sums(batch)
        self.pack_crossings()
        if self.count == 0:
            self.out.size = 0
            return last_sequence
        head.count = self.count
        head.items, head.locations = self.catalog.items.count, self.catalog.locations.count
        head.symbols = self.catalog.symbols.count
        head.last_sequence = last_sequence + self.count
        memcpy(self.out.data, &head, sizeof(EventsHead))
        return head.last_sequence

    cdef void pack_positions(self) noexcept nogil:
        cdef int64_t at, i
        cdef int64_t[COUNTERS] now
        cdef int64_t[COUNTERS] before
        cdef Change* change
        cdef PositionRow* position
        cdef Writer out = self.out
        cdef uint8_t* to
        cdef uint8_t* mask_to
        cdef int head, mask
        for at in range(self.stock.change_count):
            if at + AHEAD < self.stock.change_count and self.stock.changes[at + AHEAD].row >= 0:
                prefetch(self.stock.position_row(self.stock.changes[at + AHEAD].row))
            change = &self.stock.changes[at]
            writer_room(&out, PACKED_BYTES_MAX)
            before[0], before[1] = change.on_hand_milli, change.held_milli
            before[2], before[3] = change.allocated_milli, change.unavailable_milli
            head = KIND_POSITION
            if change.row >= 0:
                # Written to in this batch, so its page is the table's own and dirty already.
                position = self.stock.position_row(change.row)
                position.flags &= ~<uint32_t>POSITION_CHANGED
                change.item, change.location, change.lot = position.item, position.location, position.lot
                change.flags, change.version = position.flags, position.version
                now[0], now[1] = position.on_hand_milli, position.held_milli
                now[2], now[3] = position.allocated_milli, position.unavailable_milli
            else:
                memset(&now[0], 0, sizeof(now))
                head |= BIT_REMOVED
            if change.flags & POSITION_BARRED:
                head |= BIT_BARRED
            if change.lot:
                head |= BIT_LOT
            to = out.data + out.size
            to[0] = <uint8_t>head
            mask_to = to + 1
            to = varint_at(to + 2, <uint64_t>change.item)
            to = varint_at(to, <uint64_t>change.location)
            if change.lot:
                to = varint_at(to, <uint64_t>change.lot)
            to = varint_at(to, <uint64_t>change.version)
            mask = 0
            for i in range(COUNTERS):
                if now[i] != before[i]:
                    mask |= 1 << i
                    to = varint_at(to, _zigzag(now[i] - before[i]))
                if now[i]:
                    mask |= 16 << i
                    to = varint_at(to, _zigzag(now[i]))
            mask_to[0] = <uint8_t>mask
            out.size = to - out.data
        self.count += self.stock.change_count
        self.stock.change_count = 0
        self.out = out

    cdef void pack_incoming(self) noexcept nogil:
        cdef int64_t at, item, location
        cdef Entry* entry
        if self.stock.incoming_delta.count == 0:
            return
        for at in range(self.stock.incoming_delta.count):
            entry = &self.stock.incoming_delta.entries[self.stock.incoming_delta.order[at]]
            if entry.sum_milli == 0:
                continue
            item, location = entry.key >> 32, entry.key & LOCATION_MASK
            writer_room(&self.out, PACKED_BYTES_MAX)
            self.out.data[self.out.size] = KIND_INCOMING
            self.out.size += 1
            put_varint(&self.out, <uint64_t>item)
            put_varint(&self.out, <uint64_t>location)
            put_varint(&self.out, <uint64_t>self.stock.incoming_milli(item, location, 0))
            put_varint(&self.out, _zigzag(entry.sum_milli))
            self.count += 1
        tally_clear(&self.stock.incoming_delta)

    # Thresholds.

    cdef void settle(self, int64_t batch) noexcept nogil:
        """After a start: what is available now is what the last batch left, and nothing was crossed."""
        cdef int64_t at
        for at in range(self.stock.sum_count):
            self.look_at(&self.stock.sums[at], batch, True)
        self.stock.sum_change_count = self.stock.change_count = 0

    cdef void look_at_sums(self, int64_t batch) noexcept nogil:
        """Find what crossed a threshold since the batch before."""
        cdef int64_t at
        self.crossed_count = 0
        if self.stock.sums_are_stale():
            self.stock.refresh_sums()  # places or channels changed: any item may have crossed
            for at in range(self.stock.sum_count):
                self.look_at(&self.stock.sums[at], batch, False)
        else:
            for at in range(self.stock.sum_change_count):
                self.look_at(&self.stock.sums[self.stock.sum_changes[at]], batch, False)
            for at in range(self.kit_count):
                if self.stock.sums[self.kit_sums[at]].watchers:
                    self.look_at(&self.stock.sums[self.kit_sums[at]], batch, False)
        self.stock.sum_change_count = 0
        # Which sums there are, and in which order, depends on starts and on who watches; events must not.
        qsort(self.crossed, self.crossed_count, sizeof(Crossed), _by_item)

    cdef void look_at(self, ChannelSum* sum_row, int64_t batch, bint quiet) noexcept nogil:
        cdef bint tracked = not self.catalog.item(sum_row.item).flags & ITEM_UNTRACKED
        # Only what is counted crosses a threshold: no item without stock, and no kit, whose parts do.
        cdef bint counted = tracked and not self.catalog.item(sum_row.item).flags & ITEM_KIT
        cdef int64_t before_milli = sum_row.available_milli, low_milli
        cdef int64_t after_milli = self.stock.ready_available(sum_row.item, tracked, sum_row.channel)
        sum_row.flags &= ~<uint32_t>SUM_CHANGED
        if quiet or after_milli != before_milli:
            sum_row.available_milli = after_milli
            sum_row.version = batch
            if sum_row.watchers:
                self.tell_watchers(sum_row)
        if not counted or sum_row.flags & SUM_UNTRACKED:
            sum_row.flags = (sum_row.flags & ~<uint32_t>SUM_UNTRACKED) | (0 if counted else SUM_UNTRACKED)
            return
        if quiet or after_milli == before_milli:
            return
        low_milli = self.stock.policy(sum_row.item).low_milli
        if after_milli != UNLIMITED and after_milli <= low_milli and (before_milli == UNLIMITED or before_milli > low_milli):
            self.cross(sum_row, after_milli, CROSSING_LOW)
        if after_milli == 0:
            self.cross(sum_row, after_milli, CROSSING_OUT)
        elif before_milli == 0:
            self.cross(sum_row, after_milli, CROSSING_BACK)

    cdef void tell_watchers(self, ChannelSum* sum_row) noexcept nogil:
        if self.watched_count == self.watched_capacity:
            self.watched_capacity = max(self.watched_capacity * 2, 64)
            self.watched = <int32_t*>realloc(self.watched, self.watched_capacity * sizeof(int32_t))
            if self.watched == NULL:
                abort()
        self.watched[self.watched_count] = <int32_t>(sum_row - self.stock.sums)
        self.watched_count += 1

    cdef ChannelSum* watched_sum(self, int64_t item, int64_t channel, int64_t batch) noexcept nogil:
        """The sum of an item on a channel, made where there is none; `batch` is the one that ended last.

        Where there was none nothing can be promised, unless no stock is kept.  That a sum was made for a watcher must
        change no event, see `look_at_sums`.
        """
        cdef ChannelSum* sum_row = self.stock.channel_sum(item, channel, False)
        if sum_row == NULL:
            sum_row = self.stock.channel_sum(item, channel, True)
            sum_row.version = batch
            if self.catalog.item(item).flags & ITEM_UNTRACKED:
                sum_row.available_milli = UNLIMITED
                sum_row.flags |= SUM_UNTRACKED
        if self.catalog.item(item).flags & ITEM_KIT and not sum_row.flags & SUM_LISTED:
            sum_row.flags |= SUM_UNTRACKED | SUM_LISTED
            sum_row.available_milli = self.stock.ready_available(item, True, channel)
            sum_row.version = batch
            if self.kit_count == self.kit_capacity:
                self.kit_capacity = max(self.kit_capacity * 2, 64)
                self.kit_sums = <int32_t*>realloc(self.kit_sums, self.kit_capacity * sizeof(int32_t))
                if self.kit_sums == NULL:
                    abort()
            self.kit_sums[self.kit_count] = <int32_t>(sum_row - self.stock.sums)
            self.kit_count += 1
        return sum_row

    cdef void cross(self, ChannelSum* sum_row, int64_t after_milli, int kind) noexcept nogil:
        cdef Crossed* crossed
        if kind == CROSSING_LOW and self.stock.policy(sum_row.item).low_milli == 0:
            return  # no threshold was set
        if self.crossed_count == self.crossed_capacity:
            self.crossed_capacity = max(self.crossed_capacity * 2, 64)
            self.crossed = <Crossed*>realloc(self.crossed, self.crossed_capacity * sizeof(Crossed))
            if self.crossed == NULL:
                abort()
        crossed = &self.crossed[self.crossed_count]
        self.crossed_count += 1
        crossed.item, crossed.channel, crossed.kind = sum_row.item, sum_row.channel, kind
        crossed.after_milli = after_milli

    cdef void pack_crossings(self) noexcept nogil:
        cdef int64_t at
        cdef Crossed* crossed
        for at in range(self.crossed_count):
            crossed = &self.crossed[at]
            writer_room(&self.out, PACKED_BYTES_MAX)
            self.out.data[self.out.size] = <uint8_t>(KIND_CROSSING | crossed.kind << CROSSING_SHIFT)
            self.out.size += 1
            put_varint(&self.out, <uint64_t>crossed.item)
            put_varint(&self.out, <uint64_t>self.stock.channel_row(crossed.channel).symbol)
            put_varint(&self.out, _zigzag(crossed.after_milli))
            put_varint(&self.out, <uint64_t>self.stock.policy(crossed.item).low_milli)
            self.count += 1

    # For readers.

    cdef void expand(self, Expansion* walk, int64_t from_sequence, int64_t bytes_max, Writer* out) noexcept nogil:
        """Append events as fields of an EventBatch, from `from_sequence` on, until `bytes_max` is reached; at least one."""
        cdef Reader reader = reader_of(walk.left)
        cdef int64_t start = out.size, mark, inner, item, place, lot, i
        cdef int64_t[COUNTERS] change
        cdef int64_t[COUNTERS] now
        cdef int64_t version, value, extra
        cdef int head, mask
        while reader.at < reader.end and not reader.bad and (out.size == start or out.size - start < bytes_max):
            head = reader.at[0]
            mask = 0
            lot = version = value = extra = 0
            memset(&change[0], 0, sizeof(change))
            memset(&now[0], 0, sizeof(now))
            reader.at += 1
            if head & KIND_MASK == KIND_POSITION and reader.at < reader.end:
                mask = reader.at[0]
                reader.at += 1
            item, place = <int64_t>read_varint(&reader), <int64_t>read_varint(&reader)
            if head & KIND_MASK == KIND_POSITION:
                if head & BIT_LOT:
                    lot = <int64_t>read_varint(&reader)
                version = <int64_t>read_varint(&reader)
                for i in range(COUNTERS):
                    if mask & 1 << i:
                        change[i] = _unzigzag(read_varint(&reader))
                    if mask & 16 << i:
                        now[i] = _unzigzag(read_varint(&reader))
            elif head & KIND_MASK == KIND_INCOMING:
                value = <int64_t>read_varint(&reader)
                change[0] = _unzigzag(read_varint(&reader))
            else:
                value = _unzigzag(read_varint(&reader))
                extra = <int64_t>read_varint(&reader)
            if (
                reader.bad or not 0 <= item < self.catalog.items.count or not 0 <= lot <= self.catalog.symbols.count
                or head & KIND_MASK > KIND_CROSSING or place < 0
                or place >= (
                    self.catalog.symbols.count if head & KIND_MASK == KIND_CROSSING else self.catalog.locations.count
                )
            ):
                walk.bad = True
                return
            walk.sequence += 1
            if walk.sequence <= from_sequence:
                continue
            mark = begin_message(out, EventBatch_events)
            if head & KIND_MASK == KIND_POSITION:
                inner = begin_message(out, Event_position)
                write_span(out, PositionChanged_item_id, self.catalog.item_code(item))
                write_span(out, PositionChanged_location_id, self.catalog.location_code(place))
                if lot:
                    write_span(
                        out, PositionChanged_lot_id,
                        self.catalog.text((<SymbolRow*>self.catalog.symbols.row(lot - 1)).code),
                    )
                write_int(out, PositionChanged_barred, head & BIT_BARRED != 0)
                write_int(out, PositionChanged_removed, head & BIT_REMOVED != 0)
                write_int(out, PositionChanged_version, version)
                write_int(out, PositionChanged_on_hand_milli, now[0])
                write_int(out, PositionChanged_held_milli, now[1])
                write_int(out, PositionChanged_allocated_milli, now[2])
                write_int(out, PositionChanged_unavailable_milli, now[3])
                _write_change(out, PositionChanged_on_hand_change_milli, change[0])
                _write_change(out, PositionChanged_held_change_milli, change[1])
                _write_change(out, PositionChanged_allocated_change_milli, change[2])
                _write_change(out, PositionChanged_unavailable_change_milli, change[3])
            elif head & KIND_MASK == KIND_INCOMING:
                inner = begin_message(out, Event_incoming)
                write_span(out, IncomingChanged_item_id, self.catalog.item_code(item))
                write_span(out, IncomingChanged_location_id, self.catalog.location_code(place))
                write_int(out, IncomingChanged_incoming_milli, value)
                _write_change(out, IncomingChanged_incoming_change_milli, change[0])
            else:
                inner = begin_message(out, Event_availability)
                write_span(out, AvailabilityCrossed_item_id, self.catalog.item_code(item))
                write_span(
                    out, AvailabilityCrossed_channel_id,
                    self.catalog.text((<SymbolRow*>self.catalog.symbols.row(place)).code),
                )
                write_int(out, AvailabilityCrossed_crossing, head >> CROSSING_SHIFT)
                if value == UNLIMITED:
                    write_int(out, AvailabilityCrossed_unlimited, 1)
                else:
                    write_int(out, AvailabilityCrossed_available_milli, value)
                write_int(out, AvailabilityCrossed_low_milli, extra)
            end_message(out, inner)
            end_message(out, mark)
        walk.bad |= reader.bad
        walk.left = span_at(reader.at, reader.end - reader.at)

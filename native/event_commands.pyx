"""Commands and queries of EventService that the core answers; reading events themselves is the journal's affair."""

from libc.stdint cimport int64_t, uint32_t
from libc.string cimport memset

from ringup.native.catalog cimport ITEM_UNTRACKED, SYMBOL_CHANNEL, Text
from ringup.native.catalog_pages cimport ItemsAsked, ask_item, check_item_count, check_items_known, nothing_asked
from ringup.native.command cimport MALFORMED, Command, is_code, is_text, ok, refuse
from ringup.native.contract cimport (
    RESULT_CODE_CHANNEL_UNKNOWN,
    RESULT_CODE_CURSOR_FOREIGN,
    RESULT_CODE_CURSOR_UNKNOWN,
    RESULT_CODE_EVENTS_NOT_YET,
    RESULT_CODE_FIELD_INVALID,
    RESULT_CODE_OK,
    RESULT_CODE_TOO_MANY,
    DeleteEventCursorRequest_cursor_id,
    EventCursor_cursor_id,
    EventCursor_note,
    EventCursor_parked,
    EventCursor_put_ns,
    EventCursor_sequence,
    ItemAvailability_available_milli,
    ItemAvailability_item_id,
    ItemAvailability_unlimited,
    ItemAvailability_version,
    ListEventCursorsResponse_cursors,
    PutEventCursorRequest_cursor_id,
    PutEventCursorRequest_engine_id,
    PutEventCursorRequest_note,
    PutEventCursorRequest_parked,
    PutEventCursorRequest_rewind,
    PutEventCursorRequest_sequence,
    PutEventCursorResponse_cursor,
    ReadAvailabilityRequest_channel_id,
    ReadAvailabilityRequest_item_ids,
    ReadAvailabilityResponse_items,
)
from ringup.native.limits cimport CODE_BYTES_MAX, REASON_BYTES_MAX
from ringup.native.stock_policy cimport UNLIMITED, ChannelSum
from ringup.native.table cimport Table
from ringup.native.wire cimport (
    Reader,
    Span,
    Writer,
    begin_message,
    end_message,
    next_field,
    next_of,
    no_span,
    read_int,
    read_span,
    reader_of,
    skip_field,
    span_equal,
    write_int,
    write_span,
)


cdef class EventCommands:
    """Cursors are few: they are looked for one after the other."""

    def __cinit__(self, catalog, stock):
        self.catalog, self.stock = catalog, stock
        self.cursors = Table("event_cursors", sizeof(CursorRow))
        self.tables = [self.cursors]

    cdef int64_t find(self, Span code) noexcept nogil:
        cdef int64_t row
        cdef CursorRow* cursor
        for row in range(self.cursors.count):
            cursor = <CursorRow*>self.cursors.row(row)
            if cursor.flags & CURSOR_LIVE and span_equal(self.catalog.text(cursor.code), code):
                return row
        return -1

    cdef int put_cursor(self, Command* command, Span engine_id, int64_t last_event, Writer* out) noexcept nogil:
        """`engine_id` is this engine's, empty where it is not known; `last_event` is of the batches before."""
        cdef Reader reader = reader_of(command.body)
        cdef Span code = no_span(), other = no_span(), note = no_span()
        cdef int64_t sequence = 0, row, free_row = -1, at
        cdef bint rewind = False, parked = False
        cdef CursorRow* cursor
        while next_field(&reader):
            if reader.field == PutEventCursorRequest_cursor_id:
                code = read_span(&reader)
            elif reader.field == PutEventCursorRequest_engine_id:
                other = read_span(&reader)
            elif reader.field == PutEventCursorRequest_sequence:
                sequence = read_int(&reader)
            elif reader.field == PutEventCursorRequest_rewind:
                rewind = read_int(&reader) != 0
            elif reader.field == PutEventCursorRequest_parked:
                parked = read_int(&reader) != 0
            elif reader.field == PutEventCursorRequest_note:
                note = read_span(&reader)
            else:
                skip_field(&reader)

        # Check.
        if reader.bad:
            return MALFORMED
        if not is_code(code):
            return refuse(out, RESULT_CODE_FIELD_INVALID, "cursor_id", 0, no_span(), code.size, CODE_BYTES_MAX)
        if not is_code(other):
            return refuse(out, RESULT_CODE_FIELD_INVALID, "engine_id", 0, code, other.size, CODE_BYTES_MAX)
        if not is_text(note, REASON_BYTES_MAX):
            return refuse(out, RESULT_CODE_FIELD_INVALID, "note", 0, code, note.size, REASON_BYTES_MAX)
        row = self.find(code)
        if row < 0:
            for at in range(self.cursors.count):
                if not (<CursorRow*>self.cursors.row(at)).flags & CURSOR_LIVE:
                    free_row = at
                    break
            if free_row < 0 and self.cursors.count >= CURSORS_MAX:
                return refuse(out, RESULT_CODE_TOO_MANY, "cursor_id", 0, code, self.cursors.count + 1, CURSORS_MAX)
        if engine_id.size and not span_equal(engine_id, other):
            return refuse(out, RESULT_CODE_CURSOR_FOREIGN, "engine_id", 0, other, 0, 0)
        if not 0 <= sequence <= last_event:
            return refuse(out, RESULT_CODE_EVENTS_NOT_YET, "sequence", 0, code, sequence, last_event)

        # Apply.
        if row < 0:
            row = free_row if free_row >= 0 else self.cursors.append()
            cursor = <CursorRow*>self.cursors.edit(row)
            cursor.code = self.catalog.restore(cursor.code, code)
            cursor.sequence = 0
        cursor = <CursorRow*>self.cursors.edit(row)
        if rewind or sequence > cursor.sequence:
            cursor.sequence = sequence
        cursor.flags = CURSOR_LIVE | (CURSOR_PARKED if parked else 0)
        cursor.note = self.catalog.restore(cursor.note, note)
        cursor.put_ns = command.now_ns
        self.write_cursor(cursor, PutEventCursorResponse_cursor, out)
        return ok(out)

    cdef int delete_cursor(self, Command* command, Writer* out) noexcept nogil:
        cdef Reader reader = reader_of(command.body)
        cdef Span code = no_span()
        cdef CursorRow* cursor
        cdef Text name, note
        cdef int64_t row
        while next_of(&reader, DeleteEventCursorRequest_cursor_id):
            code = read_span(&reader)
        if reader.bad:
            return MALFORMED
        if not is_code(code):
            return refuse(out, RESULT_CODE_FIELD_INVALID, "cursor_id", 0, no_span(), code.size, CODE_BYTES_MAX)
        row = self.find(code)
        if row < 0:
            return refuse(out, RESULT_CODE_CURSOR_UNKNOWN, "cursor_id", 0, code, 0, 0)
        cursor = <CursorRow*>self.cursors.edit(row)
        name, note = cursor.code, cursor.note  # their bytes serve again when the same cursor is put again
        memset(cursor, 0, sizeof(CursorRow))
        cursor.code, cursor.note = name, note
        return ok(out)

    cdef int list_cursors(self, Span request, Writer* out) noexcept nogil:
        cdef Reader reader = reader_of(request)
        cdef int64_t row
        while next_field(&reader):
            skip_field(&reader)
        if reader.bad:
            return MALFORMED
        for row in range(self.cursors.count):
            if (<CursorRow*>self.cursors.row(row)).flags & CURSOR_LIVE:
                self.write_cursor(<CursorRow*>self.cursors.row(row), ListEventCursorsResponse_cursors, out)
        return ok(out)

    cdef void write_cursor(self, const CursorRow* cursor, uint32_t field, Writer* out) noexcept nogil:
        cdef int64_t mark = begin_message(out, field)
        write_span(out, EventCursor_cursor_id, self.catalog.text(cursor.code))
        write_int(out, EventCursor_sequence, cursor.sequence)
        write_int(out, EventCursor_parked, cursor.flags & CURSOR_PARKED != 0)
        write_span(out, EventCursor_note, self.catalog.text(cursor.note))
        write_int(out, EventCursor_put_ns, cursor.put_ns)
        end_message(out, mark)

    cdef int read_availability(self, Span request, Writer* out) noexcept nogil:
        """Also reads a WatchAvailabilityRequest, whose first fields are the same."""
        cdef Reader reader = reader_of(request)
        cdef ItemsAsked items = nothing_asked()
        cdef Span channel_code = no_span()
        cdef int64_t channel, symbol, item, available_milli, mark
        cdef int code
        cdef ChannelSum* ready
        while next_field(&reader):
            if reader.field == ReadAvailabilityRequest_channel_id:
                channel_code = read_span(&reader)
            elif reader.field == ReadAvailabilityRequest_item_ids:
                ask_item(&items, self.catalog, read_span(&reader))
            else:
                skip_field(&reader)
        if reader.bad:
            return MALFORMED
        code = check_item_count(&items, out)
        if code == RESULT_CODE_OK:
            code = check_items_known(&items, out)
        if code != RESULT_CODE_OK:
            return code
        symbol = self.catalog.find_symbol(SYMBOL_CHANNEL, channel_code) if channel_code.size else -1
        channel = self.stock.find_channel(symbol) if symbol >= 0 else -1
        if channel < 0:
            return refuse(out, RESULT_CODE_CHANNEL_UNKNOWN, "channel_id", 0, channel_code, 0, 0)
        reader = reader_of(request)
        while next_of(&reader, ReadAvailabilityRequest_item_ids):
            item = self.catalog.find_item(read_span(&reader))
            available_milli = self.stock.ready_available(
                item, not self.catalog.item(item).flags & ITEM_UNTRACKED, channel
            )
            ready = self.stock.channel_sum(item, channel, False)
            mark = begin_message(out, ReadAvailabilityResponse_items)
            write_span(out, ItemAvailability_item_id, self.catalog.item_code(item))
            if available_milli == UNLIMITED:
                write_int(out, ItemAvailability_unlimited, 1)
            else:
                write_int(out, ItemAvailability_available_milli, available_milli)
            if ready != NULL:
                write_int(out, ItemAvailability_version, ready.version)
            end_message(out, mark)
        return ok(out)

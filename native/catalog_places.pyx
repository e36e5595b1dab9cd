"""Locations and tills: the handlers of PutLocations and PutTills, and the query ListLocations."""

from libc.stdint cimport int64_t, uint32_t
from libc.string cimport memset

from ringup.native.catalog cimport LOCATION_DISABLED, LOCATION_SHORTFALL_ALLOWED, Catalog, LocationRow, TillRow
from ringup.native.catalog_pages cimport read_page, write_token
from ringup.native.command cimport MALFORMED, Command, check_count, is_code, is_text, ok, refuse
from ringup.native.contract cimport (
    RESULT_CODE_FIELD_INVALID,
    RESULT_CODE_LOCATION_UNKNOWN,
    RESULT_CODE_OK,
    ListLocationsResponse_locations,
    Location_disabled,
    Location_location_id,
    Location_name,
    Location_till_shortfall_allowed,
    PutLocationsRequest_locations,
    PutTillsRequest_tills,
    Till_location_id,
    Till_till_id,
)
from ringup.native.limits cimport CODE_BYTES_MAX, NAME_BYTES_MAX
from ringup.native.wire cimport (
    Reader,
    Span,
    Writer,
    begin_message,
    end_message,
    next_field,
    next_of,
    read_int,
    read_span,
    reader_of,
    skip_field,
    write_int,
    write_span,
)

cdef PlaceIn _read_location(Span body) noexcept nogil:
    cdef PlaceIn location
    cdef Reader reader = reader_of(body)
    memset(&location, 0, sizeof(PlaceIn))
    while next_field(&reader):
        if reader.field == Location_location_id:
            location.code = read_span(&reader)
        elif reader.field == Location_name:
            location.second = read_span(&reader)
        elif reader.field == Location_till_shortfall_allowed:
            location.flags |= LOCATION_SHORTFALL_ALLOWED if read_int(&reader) else 0
        elif reader.field == Location_disabled:
            location.flags |= LOCATION_DISABLED if read_int(&reader) else 0
        else:
            skip_field(&reader)
    location.bad = reader.bad
    return location


cdef PlaceIn _read_till(Span body) noexcept nogil:
    cdef PlaceIn till
    cdef Reader reader = reader_of(body)
    memset(&till, 0, sizeof(PlaceIn))
    while next_field(&reader):
        if reader.field == Till_till_id:
            till.code = read_span(&reader)
        elif reader.field == Till_location_id:
            till.second = read_span(&reader)
        else:
            skip_field(&reader)
    till.bad = reader.bad
    return till


cdef class PlaceCommands:
    """What the catalog does with locations and tills."""

    def __cinit__(self, Catalog catalog):
        self.catalog = catalog

    cdef int put_locations(self, Command* command, Writer* out) noexcept nogil:
        cdef Reader reader = reader_of(command.body)
        cdef PlaceIn location
        cdef LocationRow* row_now
        cdef int64_t row, index = 0
        cdef int code = check_count(command.body, PutLocationsRequest_locations, "locations", out)

        # Check.
        if code != RESULT_CODE_OK:
            return code
        while next_of(&reader, PutLocationsRequest_locations):
            location = _read_location(read_span(&reader))
            if location.bad:
                return MALFORMED
            if not is_code(location.code):
                return refuse(
                    out, RESULT_CODE_FIELD_INVALID, "locations.location_id", index, location.code, location.code.size,
                    CODE_BYTES_MAX,
                )
            if not is_text(location.second, NAME_BYTES_MAX):
                return refuse(
                    out, RESULT_CODE_FIELD_INVALID, "locations.name", index, location.code, location.second.size,
                    NAME_BYTES_MAX,
                )
            index += 1

        # Apply.
        reader = reader_of(command.body)
        while next_of(&reader, PutLocationsRequest_locations):
            location = _read_location(read_span(&reader))
            row = self.catalog.find_location(location.code)
            if row < 0:
                row = self.catalog.add_location(location.code)
            row_now = <LocationRow*>self.catalog.locations.edit(row)
            row_now.name = self.catalog.restore(row_now.name, location.second)
            if (row_now.flags ^ <uint32_t>location.flags) & LOCATION_DISABLED:
                self.catalog.sale_changes += 1
            row_now.flags = <uint32_t>location.flags
        return ok(out)

    cdef int put_tills(self, Command* command, Writer* out) noexcept nogil:
        cdef Reader reader = reader_of(command.body)
        cdef PlaceIn till
        cdef int64_t row, location, index = 0
        cdef int code = check_count(command.body, PutTillsRequest_tills, "tills", out)

        # Check.
        if code != RESULT_CODE_OK:
            return code
        while next_of(&reader, PutTillsRequest_tills):
            till = _read_till(read_span(&reader))
            if till.bad:
                return MALFORMED
            if not is_code(till.code):
                return refuse(
                    out, RESULT_CODE_FIELD_INVALID, "tills.till_id", index, till.code, till.code.size, CODE_BYTES_MAX
                )
            location = self.catalog.find_location(till.second)
            if location < 0:
                return refuse(out, RESULT_CODE_LOCATION_UNKNOWN, "tills.location_id", index, till.second, 0, 0)
            row = self.catalog.find_till(till.code)
            if row >= 0 and self.catalog.till(row).last_receipt_number and self.catalog.till(row).location != location:
                return refuse(out, RESULT_CODE_FIELD_INVALID, "tills.location_id", index, till.code, 0, 0)
            index += 1

        # Apply.
        reader = reader_of(command.body)
        while next_of(&reader, PutTillsRequest_tills):
            till = _read_till(read_span(&reader))
            row = self.catalog.find_till(till.code)
            if row < 0:
                row = self.catalog.add_till(till.code)
            (<TillRow*>self.catalog.tills.edit(row)).location = <uint32_t>self.catalog.find_location(till.second)
        return ok(out)

    cdef int list_locations(self, Span request, Writer* out) noexcept nogil:
        cdef int64_t page_size = 0, row = 0, end, mark
        cdef LocationRow* location
        cdef int code = read_page(request, &page_size, &row, out)
        if code != RESULT_CODE_OK:
            return code
        end = min(row + page_size, self.catalog.locations.count)
        while row < end:
            location = self.catalog.location(row)
            mark = begin_message(out, ListLocationsResponse_locations)
            write_span(out, Location_location_id, self.catalog.text(location.code))
            write_span(out, Location_name, self.catalog.text(location.name))
            write_int(out, Location_till_shortfall_allowed, (location.flags & LOCATION_SHORTFALL_ALLOWED) != 0)
            write_int(out, Location_disabled, (location.flags & LOCATION_DISABLED) != 0)
            end_message(out, mark)
            row += 1
        if row < self.catalog.locations.count:
            write_token(row, out)
        return ok(out)

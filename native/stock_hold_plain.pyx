"""Holds as nearly all are: one line of an item that stands at the one place named, with or without a deadline.

`HoldCommands.hold_stock` can do all that is done here, and would do the same; here it takes a third of the time.
Whatever is not as expected is left to it: this is no second ladder of checks, as nothing is refused here.
"""

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy

from ringup.native.catalog cimport ITEM_KIT, ITEM_MEASURED, ITEM_UNTRACKED
from ringup.native.command cimport PlainHold
from ringup.native.contract cimport (
    RESULT_CODE_OK,
    HoldStockResponse_code,
    HoldStockResponse_deadline_ns,
    HoldStockResponse_hold_id,
    HoldStockResponse_takes,
    Take_item_id,
    Take_location_id,
    Take_qty_milli,
)
from ringup.native.limits cimport HOLD_TTL_MS_MAX, ID_BYTES, QTY_MILLI_MAX
from ringup.native.stock_policy cimport PolicyRow
from ringup.native.stock_positions cimport POSITION_BARRED, PositionRow, free_of
from ringup.native.wire cimport WIRE_BYTES, WIRE_VARINT, varint_at, writer_room

cdef enum:
    CODES_BYTES_MAX = 96  # of item and place together
    TAKE_BYTES_MAX = CODES_BYTES_MAX + 4 + 11
    REPLY_BYTES_MAX = TAKE_BYTES_MAX + 2 + ID_BYTES + 2 + 11 + 2

assert HoldStockResponse_takes < 16 and Take_qty_milli < 16  # tags of one byte
assert TAKE_BYTES_MAX < 0x80  # its length is one byte


cdef inline uint8_t* _bytes_at(uint8_t* to, int field, const char* data, int64_t size) noexcept nogil:
    """A field of bytes, fewer than 128, where there is room for it; returns where it ends."""
    to[0], to[1] = <uint8_t>(field << 3 | WIRE_BYTES), <uint8_t>size
    memcpy(to + 2, data, size)
    return to + 2 + size


cdef class PlainHolds(KitCommands):
    """The short way of a hold."""

    cdef bint hold_plain(self, Command* command, Writer* out) noexcept nogil:
        """Reserve what a plain hold asks for and answer OK; False: nothing was done, and the general way decides.

        Its position has been found.
        """
        cdef const PlainHold* wanted = &command.hold
        cdef const PositionRow* position
        cdef const PolicyRow* policy
        cdef int64_t deadline_ns, qty_milli = wanted.qty_milli
        cdef uint32_t flags
        cdef uint8_t* to
        cdef uint8_t* take

        # Check: all that the general way does, for a hold that is granted.
        if wanted.found_stamp != self.stock.found_stamp:
            return False  # positions came or went since this one was found
        position = self.stock.position_row(wanted.position)
        policy = self.stock.policy(wanted.item)
        flags = self.catalog.item(wanted.item).flags
        if (
            flags & (ITEM_UNTRACKED | ITEM_KIT) or not self.stock.enabled(wanted.location)
            or not 0 < qty_milli <= QTY_MILLI_MAX or (not flags & ITEM_MEASURED and qty_milli % 1000 != 0)
            or not 0 <= wanted.ttl_ms <= HOLD_TTL_MS_MAX
            or policy.flags or policy.limit_milli or policy.min_qty_milli or policy.max_qty_milli or policy.step_milli
            or position.lot or position.flags & POSITION_BARRED or self.stock.next_in_place(wanted.position) >= 0
            or qty_milli > free_of(position) - policy.safety_milli
            or wanted.code.size + wanted.place.size > CODES_BYTES_MAX
            or self.stock.find_hold_hashed(command.id, command.id_hash) >= 0
        ):
            return False

        # Apply.
        deadline_ns = command.now_ns + wanted.ttl_ms * 1000000 if wanted.ttl_ms else 0
        self.stock.hold_one(command.id, command.id_hash, wanted.position, qty_milli, deadline_ns, command.now_ns)
        writer_room(out, REPLY_BYTES_MAX)
        to = _bytes_at(out.data + out.size, HoldStockResponse_hold_id, <const char*>command.id, ID_BYTES)
        if deadline_ns:
            to[0] = HoldStockResponse_deadline_ns << 3 | WIRE_VARINT
            to = varint_at(to + 1, <uint64_t>deadline_ns)
        to[0] = HoldStockResponse_takes << 3 | WIRE_BYTES
        take = to + 2
        to = _bytes_at(take, Take_item_id, wanted.code.data, wanted.code.size)
        to = _bytes_at(to, Take_location_id, wanted.place.data, wanted.place.size)
        to[0] = Take_qty_milli << 3 | WIRE_VARINT
        to = varint_at(to + 1, <uint64_t>qty_milli)
        take[-1] = <uint8_t>(to - take)
        to[0], to[1] = HoldStockResponse_code << 3 | WIRE_VARINT, RESULT_CODE_OK
        out.size = to + 2 - out.data
        return True

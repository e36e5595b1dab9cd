"""What plain sales took from stock, read from a batch of the journal: for the fold of all movements in `verify`.

A busy journal is sales, and a plain one moves what its receipt says: its lines leave the place of the receipt.  Read
with Python objects a sale of ten lines costs 37 us, six times what the core needs to book it; read in place 2 us.
Everything else (sales that use holds, kits or lots, and all other commands) is handed back as bytes.

The fold is there to contradict the core, so nothing here is shared with it but the numbers of the contract: not the
reader of the wire (wire.pxd), not the tables.  What is no canonical message is handed back too, for protobuf to judge.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.unicode cimport PyUnicode_DecodeUTF8
from libc.stdint cimport int64_t, uint8_t, uint64_t

from ringup.native.contract cimport (
    RESULT_CODE_OK,
    Command_sell,
    CommandReply_sell,
    PricedBasket_lines,
    PricedLine_item_id,
    PricedLine_qty_milli,
    Receipt_basket,
    Receipt_location_id,
    Receipt_number,
    Receipt_till_id,
    SellRequest_hold_ids,
    SellResponse_code,
    SellResponse_kit_parts,
    SellResponse_receipt,
    SellResponse_takes,
    SessionRequest_commands,
    SessionResponse_replies,
)

cdef enum:
    VARINT = 0  # the wire types of protobuf that this contract uses
    BYTES = 2

cdef struct Part:
    const uint8_t* at
    const uint8_t* end

# A field: its number (0: the end, -1: the bytes are no message), its value or its bytes.
cdef struct Field:
    int64_t number
    int64_t value
    Part part


cdef inline bint _varint(Part* rest, uint64_t* value) noexcept nogil:
    cdef int shift = 0
    value[0] = 0
    while rest.at < rest.end and shift < 64:
        value[0] |= <uint64_t>(rest.at[0] & 0x7f) << shift
        rest.at += 1
        if not rest.at[-1] & 0x80:
            return True
        shift += 7
    return False


cdef inline Field _field(Part* rest) noexcept nogil:
    """The next field; fixed-width numbers, which the contract has none of, are no message here."""
    cdef Field field
    cdef uint64_t tag, value
    field.number, field.value, field.part.at, field.part.end = 0, 0, NULL, NULL
    if rest.at >= rest.end:
        return field
    field.number = -1
    if not _varint(rest, &tag) or not _varint(rest, &value):
        return field
    if tag & 7 == VARINT:
        field.value = <int64_t>value
    elif tag & 7 == BYTES and value <= <uint64_t>(rest.end - rest.at):
        field.part.at = rest.at
        field.part.end = rest.at = rest.at + value
    else:
        return field
    field.number = <int64_t>(tag >> 3) if 0 < tag >> 3 < 1 << 29 else -1
    return field


cdef inline Part _part(bytes data) noexcept:
    cdef Part part
    part.at = <const uint8_t*>PyBytes_AS_STRING(data)
    part.end = part.at + PyBytes_GET_SIZE(data)
    return part


cdef inline str _text(Part part):
    return PyUnicode_DecodeUTF8(<const char*>part.at, part.end - part.at, NULL)


cdef class Sold:
    """Units of an item that left a place, and by how many sales."""

    cdef readonly int64_t qty_milli
    cdef readonly int64_t sales
    cdef int64_t receipt  # the last one that had it


cdef class PlainSales:
    """The reader; `sums` is place -> item -> Sold of all plain sales read and not yet taken."""

    cdef readonly dict sums
    cdef readonly int64_t receipts
    cdef readonly list gaps  # (till, receipt number, the number before it) where a number does not follow
    cdef dict numbers
    cdef bytes commands, replies
    cdef Part command_rest, reply_rest

    def __init__(self, dict numbers):
        """`numbers` is till -> its last receipt; it is kept up to date here."""
        self.numbers = numbers
        self.sums = {}
        self.gaps = []
        self.commands = self.replies = b""
        self.command_rest = self.reply_rest = _part(b"")

    def begin(self, bytes commands not None, bytes replies not None) -> None:
        """Read the batch of these bytes (a SessionRequest and its SessionResponse) from now on."""
        self.commands, self.replies = commands, replies
        self.command_rest, self.reply_rest = _part(commands), _part(replies)

    def next(self, bint with_sales=True) -> tuple[bytes, bytes] | None:
        """Take in plain sales up to the next other command; returns its Command and CommandReply, None at the end.

        `with_sales` False hands every sale back.  Raises ValueError where there are not as many replies as commands,
        or where the bytes are no messages.
        """
        cdef Field command, reply
        while True:
            command, reply = _field(&self.command_rest), _field(&self.reply_rest)
            if command.number == 0 and reply.number == 0:
                return None
            if command.number != SessionRequest_commands or reply.number != SessionResponse_replies:
                raise ValueError(
                    f"expected a command and its reply, found fields {command.number} and {reply.number}: "
                    "their numbers differ, or the bytes are damaged"
                )
            if not with_sales or not self._take(command.part, reply.part):
                return (
                    PyBytes_FromStringAndSize(<const char*>command.part.at, command.part.end - command.part.at),
                    PyBytes_FromStringAndSize(<const char*>reply.part.at, reply.part.end - reply.part.at),
                )

    cdef bint _take(self, Part command, Part reply) except -1:
        """Whether it was a plain sale, which is in the sums then, or one that did not happen."""
        cdef Field field = _field(&command), other = _field(&reply)
        cdef Part basket, rest, till, place
        cdef int64_t code = 0, number = 0
        cdef bint has_receipt = False
        if field.number != Command_sell or command.at < command.end or other.number != CommandReply_sell:
            return False
        if reply.at < reply.end:
            return False
        rest = field.part
        while True:
            field = _field(&rest)
            if field.number == 0:
                break
            if field.number < 0 or field.number == SellRequest_hold_ids:
                return False
        basket.at = basket.end = till.at = till.end = place.at = place.end = NULL
        rest = other.part
        while True:
            field = _field(&rest)
            if field.number == 0:
                break
            if field.number < 0 or field.number == SellResponse_takes or field.number == SellResponse_kit_parts:
                return False
            if field.number == SellResponse_code:
                code = field.value
            elif field.number == SellResponse_receipt:
                if has_receipt:
                    return False
                has_receipt = True
                reply = field.part
        if code != RESULT_CODE_OK:
            return True
        if not has_receipt:
            return False
        while True:
            field = _field(&reply)
            if field.number == 0:
                break
            if field.number < 0:
                return False
            if field.number == Receipt_till_id:
                till = field.part
            elif field.number == Receipt_number:
                number = field.value
            elif field.number == Receipt_location_id:
                place = field.part
            elif field.number == Receipt_basket:
                if basket.at != NULL:
                    return False
                basket = field.part
        if not _is_basket(basket):
            return False
        self._count(_text(till), number)
        self._add(_text(place), basket)
        return True

    cdef int _count(self, str till, int64_t number) except -1:
        cdef int64_t last = self.numbers.get(till, 0)
        self.receipts += 1
        if number != last + 1:
            self.gaps.append((till, number, last))
        self.numbers[till] = number
        return 0

    cdef int _add(self, str place, Part basket) except -1:
        cdef Field field, inner
        cdef Part line
        cdef Sold sold
        cdef str item
        cdef int64_t qty
        cdef dict sums = self.sums.setdefault(place, {})
        while True:
            field = _field(&basket)
            if field.number == 0:
                return 0
            if field.number != PricedBasket_lines:
                continue
            item, qty, line = "", 0, field.part
            while True:
                inner = _field(&line)
                if inner.number == 0:
                    break
                if inner.number == PricedLine_item_id:
                    item = _text(inner.part)
                elif inner.number == PricedLine_qty_milli:
                    qty = inner.value
                    break  # the item comes before it, see _is_basket
            sold = sums.get(item)
            if sold is None:
                sums[item] = sold = Sold.__new__(Sold)
            sold.qty_milli += qty
            if sold.receipt != self.receipts:  # two lines of one item are one movement
                sold.receipt = self.receipts
                sold.sales += 1

    def taken(self) -> dict[str, dict[str, Sold]]:
        """The sums, which begin anew."""
        sums = self.sums
        self.sums = {}
        return sums


cdef bint _is_basket(Part basket) noexcept nogil:
    """Whether every line has one item and then one quantity: as a writer of protobuf puts them."""
    cdef Field field, inner
    cdef Part line
    cdef int seen
    while True:
        field = _field(&basket)
        if field.number <= 0:
            return field.number == 0
        if field.number == PricedBasket_lines:
            line, seen = field.part, 0
            while True:
                inner = _field(&line)
                if inner.number < 0:
                    return False
                if inner.number == 0:
                    break
                if inner.number == PricedLine_item_id:
                    if seen != 0:
                        return False
                    seen = 1
                elif inner.number == PricedLine_qty_milli:
                    if seen != 1:
                        return False
                    seen = 2
            if seen == 0:
                return False

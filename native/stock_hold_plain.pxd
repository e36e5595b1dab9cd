# Holds as nearly all are: one line of an item that stands at the one place named, with or without a deadline.
from ringup.native.command cimport Command
from ringup.native.stock_kit_commands cimport KitCommands
from ringup.native.wire cimport Writer

cdef class PlainHolds(KitCommands):
    cdef bint hold_plain(self, Command* command, Writer* out) noexcept nogil

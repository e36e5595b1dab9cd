# Handlers of kits.
from libc.stdint cimport int64_t

from ringup.native.command cimport Command
from ringup.native.stock_rules cimport RuleCommands
from ringup.native.wire cimport Span, Writer

cdef struct KitIn:
    Span code
    int64_t item, part_count
    bint apart, bad

cdef class KitCommands(RuleCommands):
    cdef int put_kits(self, Command* command, Writer* out) noexcept nogil
    cdef int get_kits(self, Span request, Writer* out) noexcept nogil
    cdef KitIn read_kit(self, Span body) noexcept nogil
    cdef int check_kit(self, KitIn* kit, Span body, int64_t index, Writer* out) noexcept nogil
    cdef int check_pending(self, Writer* out) noexcept nogil
    cdef bint keeps_stock(self, int64_t item) noexcept nogil

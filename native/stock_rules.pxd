# Handlers about the rules of promising: policies of items, and channels.
from ringup.native.command cimport Command
from ringup.native.stock_reorders cimport ReorderCommands
from ringup.native.wire cimport Span, Writer
from libc.stdint cimport int64_t

cdef struct PolicyIn:
    Span body, code, debtor_code
    int64_t item, limit_milli, safety_milli, min_milli, max_milli, step_milli, total_milli, removal, quota_count
    int64_t low_milli
    bint backorder, count_floor, preorder, has_total, bad

cdef struct ChannelIn:
    Span body, code
    int64_t sourcing, buffer_milli, place_count
    bint bad

cdef class RuleCommands(ReorderCommands):
    cdef int put_stock_policies(self, Command* command, Writer* out) noexcept nogil
    cdef int put_channels(self, Command* command, Writer* out) noexcept nogil
    cdef PolicyIn read_policy(self, Span body) noexcept nogil
    cdef ChannelIn read_channel(self, Span body) noexcept nogil
    cdef int check_policy(self, PolicyIn* policy, int64_t index, Writer* out) noexcept nogil
    cdef int check_channel(self, ChannelIn* channel, int64_t index, Writer* out) noexcept nogil

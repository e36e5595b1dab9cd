# Settings that are part of the state.
from libc.stdint cimport int64_t

from ringup.native.catalog cimport Catalog
from ringup.native.command cimport Command
from ringup.native.table cimport Table
from ringup.native.wire cimport Span, Writer, span_at

cdef struct SettingsRow:
    char[8] currency  # ISO 4217, padded with zeros
    int64_t cash_increment_minor
    int64_t reply_retention_ms
    int64_t cash_rounding  # of money.pxd
    int64_t receipts_after  # tills number above it

cdef class SettingsTable:
    cdef readonly list tables
    cdef Table rows
    cdef Catalog catalog

    cdef inline SettingsRow* now(self) noexcept nogil:
        return <SettingsRow*>self.rows.row(0)

    cdef inline Span currency(self) noexcept nogil:
        return span_at(self.now().currency, 3)  # as every code of ISO 4217

    cdef int put_settings(self, Command* command, Writer* out) noexcept nogil
    cdef int get_settings(self, Span request, Writer* out) noexcept nogil

# Codes that carry a price or a quantity: what a scale or a meat counter prints.
from libc.stdint cimport int64_t, uint8_t

from ringup.native.catalog cimport Catalog
from ringup.native.command cimport Command
from ringup.native.settings cimport SettingsTable
from ringup.native.table cimport Table
from ringup.native.wire cimport Span, Writer

cdef enum:
    CODE_DIGITS_MAX = 48
    CODE_PATTERNS_MAX = 64
    VALUE_DIGITS_MAX = 15

cdef enum ReadOutcome:
    READ_OK = 0
    READ_OTHER = 1  # no code of this pattern
    READ_INVALID = 2  # of this pattern but for its check digit

# A pattern taken apart; zeroed memory matches nothing.
cdef struct Pattern:
    uint8_t[CODE_DIGITS_MAX] digits  # "0" to "9" where that digit must stand, 0 for any
    int64_t size
    int64_t value_at
    int64_t whole_digits
    int64_t decimal_digits
    int64_t checked_size  # of codes with a check digit; 0 for codes of any size without one

cdef struct Reading:
    int64_t value  # with its decimals: 1.250 is 1250
    int64_t value_digits
    char[CODE_DIGITS_MAX] base_code  # the value zeroed, with a fresh check digit
    int64_t base_size

cdef struct PatternRow:
    char[CODE_DIGITS_MAX + 8] text
    int64_t text_size
    int64_t value  # CodeValue
    int64_t symbology

# What a code says in a basket: the item, and its price or quantity.
cdef struct ScannedCode:
    int64_t item  # row
    int64_t price_minor  # -1 where it carries a quantity
    int64_t qty_milli

cdef int64_t pattern_read(Pattern* pattern, Span text, int64_t checked_size) noexcept nogil
cdef ReadOutcome code_read(const Pattern* pattern, Span code, Reading* reading) noexcept nogil

cdef class EmbeddedCodes:
    cdef readonly list tables
    cdef Catalog catalog
    cdef SettingsTable settings
    cdef Table rows
    cdef Pattern[CODE_PATTERNS_MAX] patterns  # derived
    cdef int64_t count

    cdef void rebuild(self) noexcept nogil
    cdef int resolve(self, Span code, ScannedCode* found) noexcept nogil
    cdef bint value_of(self, int64_t pattern, Reading* reading, ScannedCode* found) noexcept nogil
    cdef int put_patterns(self, Command* command, Writer* out) noexcept nogil
    cdef int list_patterns(self, Span request, Writer* out) noexcept nogil

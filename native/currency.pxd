from ringup.native.wire cimport Span

# How many digits a currency's minor unit stands behind the point (ISO 4217).
cdef int currency_exponent(const char* code) noexcept nogil  # of three letters; 2 where nothing else is known
cdef bint is_currency(Span code) noexcept nogil  # a code whose exponent is known

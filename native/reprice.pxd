# What is left of a sale after a return, as the request that would sell it.
from libc.stdint cimport int64_t

from ringup.native.catalog cimport Catalog
from ringup.native.embedded_codes cimport EmbeddedCodes
from ringup.native.wire cimport Span, Writer

cdef int64_t write_kept(
    Writer* out, Span sale, const int64_t* sold_milli, const int64_t* kept_milli, Catalog catalog, EmbeddedCodes codes
) noexcept nogil

# What became of each row of a price book.
from libc.stdint cimport int64_t, uint32_t

from ringup.native.catalog cimport Catalog
from ringup.native.price_book cimport PriceAsk, PriceFound
from ringup.native.wire cimport Span, Writer

cdef void write_price_rows(
    Writer* out, uint32_t field, Catalog catalog, int64_t item, int64_t location, const PriceFound* chosen,
    const PriceFound* listed, const PriceAsk* ask
) noexcept nogil

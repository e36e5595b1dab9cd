# The price rows of a Simulate request.
from ringup.native.catalog cimport Catalog
from ringup.native.price_book cimport PriceAsk, PriceFound
from ringup.native.promotion cimport Snapshot
from ringup.native.simulate_basket cimport SimulatedBasket
from ringup.native.wire cimport Span

cdef class SimulatedPrices(SimulatedBasket):
    cdef Snapshot snapshot  # its rules say how a price is selected
    cdef Catalog catalog  # of the price rows of the request at hand

    cdef int price_lines(self, Span body) noexcept nogil
    cdef int read_book(self, Span body) noexcept nogil
    cdef PriceFound find_row(self, Span item_id, const PriceAsk* ask) noexcept nogil
    cdef void write_rows(
        self, Span item_id, const PriceFound* found, const PriceFound* listed, const PriceAsk* ask
    ) noexcept nogil

# The loyalty program of a Simulate request.
from ringup.native.loyalty_program cimport Program, Tally
from ringup.native.simulate_prices cimport SimulatedPrices

cdef class SimulatedPoints(SimulatedPrices):
    cdef Program program

    cdef int read_program(self) noexcept nogil
    cdef int count_points(self, Tally* tally) noexcept nogil
    cdef void write_points(self, Tally* tally) noexcept nogil

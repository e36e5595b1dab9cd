# Points: customers' balances, what each sale earned and burned line by line, and the program in force.
from libc.stdint cimport int64_t, uint32_t

from ringup.native.catalog cimport Catalog, Text
from ringup.native.command cimport Command
from ringup.native.index cimport Index
from ringup.native.loyalty_program cimport Program, Tally
from ringup.native.settings cimport SettingsTable
from ringup.native.table cimport Table
from ringup.native.wire cimport Span, Writer

# points = earned + adjusted - burned: the balance is always the sum of its movements.
cdef struct CustomerRow:
    Text code
    int64_t earned_micro
    int64_t burned_micro
    int64_t adjusted_micro

cdef struct ProgramRow:
    Text program  # a LoyaltyProgram

cdef struct SalePointsRow:
    uint32_t customer  # row
    uint32_t first_line  # row in line_points, one for each line of the sale
    int64_t redeemed_minor

cdef struct LinePointsRow:
    int64_t earned_micro
    int64_t burned_micro

# One line of the basket at hand.
cdef struct EarningLine:
    int64_t qty_milli
    int64_t paid_minor
    int64_t redeemed_minor
    int64_t earned_micro
    int64_t burned_micro
    bint takes  # part in earning

cdef class Loyalty:
    cdef readonly list tables
    cdef Catalog catalog  # keeps the texts, knows the items
    cdef SettingsTable settings
    cdef Table customers, programs, sale_points, line_points
    cdef Index customer_index
    cdef Program program
    cdef char* program_bytes
    # The basket at hand.
    cdef bint opened
    cdef Span customer_id
    cdef int64_t customer  # row, -1 for one without points
    cdef int64_t offer_minor
    cdef bint offer_reward
    cdef Tally tally
    cdef int64_t pending_micro  # of the tally, not yet in the balance
    cdef EarningLine* lines
    cdef int64_t* weights
    cdef int64_t* shares
    cdef int64_t line_count

    cdef inline const CustomerRow* customer_row(self, int64_t row) noexcept nogil:
        return <const CustomerRow*>self.customers.row(row)

    cdef inline int64_t balance_micro(self, int64_t row) noexcept nogil:
        if row < 0:
            return 0
        return (
            self.customer_row(row).earned_micro + self.customer_row(row).adjusted_micro
            - self.customer_row(row).burned_micro
        )

    cdef inline void close(self) noexcept nogil:
        self.opened = False
        self.offer_minor = 0

    cdef inline bint open(self, Span customer_id, bint redeem) noexcept nogil:
        """Begin a basket of this customer; whether points can take anything off it."""
        if customer_id.size and (self.program.earn_basis or self.program.burn_points):
            self.open_for(customer_id, redeem)
        return self.offer_minor > 0

    cdef void rebuild(self) noexcept nogil
    cdef void load_program(self) noexcept nogil
    cdef int64_t find(self, Span code) noexcept nogil
    cdef int64_t add(self, Span code) noexcept nogil
    cdef void open_for(self, Span customer_id, bint redeem) noexcept nogil
    cdef void add_line(self, int64_t item, int64_t qty_milli, int64_t paid_minor) noexcept nogil
    cdef int count(self, Writer* out) noexcept nogil
    cdef void share_out(self) noexcept nogil
    cdef uint32_t book(self) noexcept nogil
    cdef int64_t redeemed_on_kept(
        self, uint32_t points, int64_t line_count, const int64_t* kept_milli, const int64_t* sold_milli
    ) noexcept nogil
    cdef void open_return(self, uint32_t points) noexcept nogil
    cdef void take_back(
        self, uint32_t points, int64_t line, int64_t before_milli, int64_t after_milli, int64_t whole_milli
    ) noexcept nogil
    cdef void write(self, Writer* out, uint32_t field) noexcept nogil
    cdef void write_reward(self, Writer* out, uint32_t field) noexcept nogil

    cdef int handle(self, int kind, Command* command, Writer* out) noexcept nogil
    cdef int put_program(self, Command* command, Writer* out) noexcept nogil
    cdef int adjust_points(self, Command* command, Writer* out) noexcept nogil
    cdef int get_program(self, Span request, Writer* out) noexcept nogil
    cdef int get_customer(self, Span request, Writer* out) noexcept nogil

# Hard allocations: what is promised to an order, what left for it.
from libc.stdint cimport int32_t, int64_t, uint8_t

from ringup.native.index cimport Index
from ringup.native.money cimport HALF_UP, multiply_divide
from ringup.native.stock_deadlines cimport Deadlines
from ringup.native.stock_holds cimport Holds
from ringup.native.stock_lines cimport Chain, LineRow
from ringup.native.stock_scope cimport Place, Want
from ringup.native.stock_tally cimport Tally
from ringup.native.table cimport Table
from ringup.native.wire cimport Span

cdef enum:
    ORDER_CANCELLED = 1
    ITEM_MASK = 0x7fffffff  # of a tally's key: the item, below the version of a kit

cdef struct OrderRow:
    int64_t placed_at_ns
    int64_t state_at_ns[9]  # when it first came to each OrderState
    int64_t pickup_deadline_ns  # 0: none
    Chain allocated
    Chain shipped
    int32_t channel  # symbol row + 1
    int32_t pickup_location  # row + 1
    int32_t older  # row + 1 of the same customer's order before this one
    int32_t first_paid  # row + 1 of what was paid for it
    uint8_t flags
    uint8_t code_size
    uint8_t customer_size
    uint8_t state  # ORDER_STATE_*
    uint8_t pickup_code_size
    uint8_t spare[3]
    uint8_t pickup_code[16]
    uint8_t code[64]
    uint8_t customer[64]

cdef struct PaidRow:  # what was paid for units of an order
    int64_t paid_minor
    int64_t qty_milli
    int64_t back_milli  # of them: cancelled or returned
    int32_t item
    int32_t next  # row + 1

cdef struct ShipLine:  # an allocated line, and what of it the shipment at hand has not met yet
    int64_t line  # row
    int64_t left_milli

cdef struct ShipMove:
    int64_t ship_line
    int64_t position  # where the goods leave from; -1: none (untracked)
    int64_t qty_milli
    int32_t kit  # as in LineRow
    int32_t item

cdef inline int64_t refund_of(const PaidRow* paid, int64_t back_milli) noexcept nogil:
    """What is to be given back for so many units of a paid line: all parts together are what was paid."""
    return multiply_divide(paid.paid_minor, back_milli, paid.qty_milli, HALF_UP)

cdef class Orders(Holds):
    cdef readonly Table orders
    cdef Table paid
    cdef Index order_index  # code -> order
    cdef Index customer_index  # customer -> their newest order
    cdef Deadlines pickups  # orders that wait for their customer
    cdef ShipLine* ship_lines  # scratch
    cdef int64_t ship_line_count
    cdef int64_t ship_line_capacity
    cdef ShipMove* ship_moves  # scratch
    cdef int64_t ship_move_count
    cdef int64_t ship_move_capacity
    cdef int32_t ship_kit  # row + 1 of the version of a kit that the want at hand is about; 0: any units
    cdef Tally gone  # scratch: on hand that leaves, by position
    cdef Tally had  # scratch: by item (and the version of the kit that it is a part of), what an order had and has
    cdef Place* part_places  # scratch: where parts of a line leave from
    cdef int64_t part_count
    cdef int64_t part_capacity

    cdef inline OrderRow* order_row(self, int64_t order) noexcept nogil:
        return <OrderRow*>self.orders.row(order)

    cdef int64_t find_order(self, Span code) noexcept nogil
    cdef int64_t make_order(self, Span code, Span customer, int64_t symbol, int64_t now_ns) noexcept nogil
    cdef int64_t newest_order(self, Span customer) noexcept nogil
    cdef void index_customer(self, int64_t order) noexcept nogil
    cdef void enter(self, int64_t order, int action, int64_t now_ns) noexcept nogil
    cdef void wait_for_customer(
        self, int64_t order, int64_t location, Span code, int64_t deadline_ns, int64_t now_ns
    ) noexcept nogil
    cdef int64_t paid_minor(self, int64_t order) noexcept nogil
    cdef int64_t last_paid(self, int64_t order) noexcept nogil
    cdef int64_t add_paid(
        self, int64_t order, int64_t last, int64_t item, int64_t qty_milli, int64_t paid_minor
    ) noexcept nogil
    cdef int64_t refund(self, int64_t order, int64_t item, int64_t qty_milli) noexcept nogil
    cdef void note_had(self, int64_t order) noexcept nogil
    cdef void sum_had(self, const Chain* chain, bint before) noexcept nogil
    cdef int64_t refund_lost(self, int64_t order) noexcept nogil
    cdef int64_t kits_had(self, int64_t kit, bint before) noexcept nogil
    cdef void expire_pickups(self, int64_t now_ns) noexcept nogil
    cdef void pick(self, int64_t order, int64_t item, int64_t location, int64_t qty_milli) noexcept nogil
    cdef int64_t pick_short(self, int64_t order, int64_t location) noexcept nogil
    cdef void place(self, int64_t order, int64_t hold, bint planned, int64_t now_ns) noexcept nogil
    cdef int64_t cancel(self, int64_t order, int64_t now_ns) noexcept nogil
    cdef void cancel_part(self, int64_t order, const Want* want) noexcept nogil
    cdef void cancelled_in_part(self, int64_t order, int64_t now_ns) noexcept nogil
    cdef int64_t plan_ship(self, int64_t order, const Want* wants, int64_t count) noexcept nogil
    cdef int64_t plan_ship_all(self, int64_t order) noexcept nogil
    cdef void ship_begin(self, int64_t order) noexcept nogil
    cdef bint ship_line_want(self, const Want* want) noexcept nogil
    cdef bint stands_for(self, const LineRow* line, const Want* want, bint in_kit) noexcept nogil
    cdef bint meant(self, const LineRow* line, int64_t item) noexcept nogil
    cdef bint add_part(self, int64_t location, int64_t qty_milli) noexcept nogil
    cdef bint parts_where_free(self, int64_t item, int64_t symbol, int64_t qty_milli) noexcept nogil
    cdef bint leave(self, int64_t item, int64_t location, int64_t qty_milli) noexcept nogil
    cdef void meet(self, int64_t item, int64_t location, int64_t position, int64_t qty_milli) noexcept nogil
    cdef int64_t ship_move(self, int64_t ship_line, int64_t position, int64_t qty_milli) noexcept nogil
    cdef void ship(self, int64_t order, int64_t now_ns) noexcept nogil
    cdef void unship(self, int64_t order, int64_t now_ns) noexcept nogil
    cdef void take_back(self, int64_t order, const Want* want) noexcept nogil
    cdef int64_t allocated_at(self, int64_t order, int64_t item, int64_t location) noexcept nogil
    cdef void deallocate_at(self, int64_t order, const Want* want, int64_t source) noexcept nogil
    cdef void allocate_plan(self, int64_t order) noexcept nogil
    cdef void forget_position_in_orders(self, int64_t position) noexcept nogil
    cdef void rebuild_orders(self) noexcept nogil

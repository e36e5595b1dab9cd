# The basket while it is priced: lines cut into segments of equal units.
#
# A segment is `count` units of one line that stand side by side and cost the same.  A benefit that
# touches only some of them cuts the segment, so the work follows distinct prices, not units.  A
# measured quantity (0.735 kg) is a lump: one unit whose price is the line's amount.  A segment's
# first entry has the line's own number; `next` leads to the line's further segments in order.
from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t

from ringup.native.promotion cimport Usage
from ringup.native.wire cimport Span

cdef struct InputLine:
    Span item_id
    int32_t categories  # first of category_count spans
    int32_t category_count
    int64_t qty_milli  # below zero is a return
    int64_t price  # of base_qty_milli
    int64_t base_qty_milli
    int64_t gross  # set by load_lines: list price times quantity, signed
    int64_t floor
    int64_t deposit
    int64_t base_units_ppm
    int32_t tax_class  # row in Taxes, NO_SYMBOL when untaxed
    bint not_discountable

cdef struct InputCharge:
    Span id
    int64_t amount
    int32_t tax_class
    int32_t symbol

cdef struct InputCoupon:
    Span code
    int32_t promotion  # place in the snapshot when the caller resolved it, else NO_SYMBOL
    int32_t outcome  # OUT_NONE, or why the caller rejects it

cdef enum:
    SET_BEFORE = 3  # Segment.used of units in a set of the catalog stage: a best deal gives them no other set

cdef struct Segment:
    int64_t price  # running, of one unit
    int64_t original  # after the catalog stage
    int64_t listed  # before it
    int64_t floor
    int64_t vendor  # discount of one unit that a vendor pays
    int64_t count
    int64_t first  # unit of the line
    int32_t line
    int32_t next
    uint8_t used  # 1: in a set or, in a best deal, an application; SET_BEFORE; 0: free
    uint8_t lump
    uint8_t closed  # no benefit may touch it
    uint32_t tag  # which sides or parts of a set want it
    int64_t taken  # by the set being put together

cdef struct Line:
    int64_t units  # in the line, above zero
    int64_t qty_milli  # above zero
    int64_t base_qty_milli  # in base units
    int32_t sign

cdef struct RunningCharge:
    int64_t amount
    int64_t vendor

cdef struct LogEntry:
    int32_t promotion  # NO_SYMBOL for redeemed points
    int32_t line  # below zero: charge -1 - line
    int64_t first
    int64_t count
    int64_t amount  # of each unit

cdef struct FreeUnits:
    int32_t promotion
    int32_t pad
    Span item_id
    int64_t qty

cdef struct Pick:  # units chosen by a target
    int32_t segment
    int32_t line
    int64_t count
    int64_t price  # running price of a unit, by which picks are sorted and amounts are laid

cdef struct Verdict:  # what became of a promotion
    int32_t promotion
    int32_t outcome
    int32_t condition
    int32_t other
    int32_t settled  # its group is decided
    int64_t turn  # its place among those applied
    int64_t applications
    int64_t discount
    int64_t charge_discount
    int64_t found
    int64_t needed

cdef struct TouchedLine:
    int32_t line
    int32_t next

cdef struct SavedState:  # to take a trial back
    Segment* segments
    int64_t segment_capacity
    int64_t segment_count
    RunningCharge* charges
    int64_t charge_capacity
    int64_t log_count
    int64_t free_count

ctypedef int64_t (*CustomerUses)(void* context, int32_t promotion) noexcept nogil

cdef struct Basket:
    # what is asked
    InputLine* input_lines
    int64_t input_line_count
    int64_t input_line_capacity
    InputCharge* input_charges
    int64_t charge_count
    int64_t charge_capacity
    InputCoupon* coupons
    int64_t coupon_count
    int64_t coupon_capacity
    Span* texts  # categories of the lines, then the customer's groups
    int64_t text_count
    int64_t text_capacity
    int32_t groups
    int32_t group_count
    Span channel
    bint has_customer
    int64_t completed_orders
    int64_t at_ns
    int64_t utc_offset_s
    bint explain_all
    bint foreign  # in another currency than amounts of promotions
    int64_t redeem
    Usage* usage  # by promotion; NULL when nothing is used
    void* taxes  # Taxes*
    void* customer_context
    CustomerUses customer_uses
    # what runs
    Line* lines
    int64_t line_capacity
    Segment* segments
    int64_t segment_count
    int64_t segment_capacity
    RunningCharge* charges
    int64_t running_charge_capacity
    LogEntry* log
    int64_t log_count
    int64_t log_capacity
    int64_t log_floor  # entries below it belong to earlier benefits
    FreeUnits* free_units
    int64_t free_count
    int64_t free_capacity
    Verdict* verdicts
    int64_t verdict_count
    int64_t verdict_capacity
    # targets touched by this basket
    int32_t* stamps  # by target, then by promotion: epoch of the last touch
    int64_t stamp_capacity
    int32_t* touched  # by target: head of its lines
    int32_t* touched_last
    int64_t touched_capacity
    TouchedLine* touched_lines
    int64_t touched_count
    int64_t touched_line_capacity
    int32_t epoch
    int32_t* candidates
    int64_t candidate_count
    int64_t candidate_capacity
    int32_t* group_symbols
    int64_t group_symbol_capacity
    int32_t channel_symbol
    # scratch
    Pick* picks
    int64_t pick_count
    int64_t pick_capacity
    Pick* picks2
    int64_t pick2_count
    int64_t pick2_capacity
    Pick* sort_room
    int64_t sort_capacity
    int64_t* numbers
    int64_t number_capacity
    SavedState[4] saved
    # the promotion at work
    int32_t promotion
    bint vendor
    bint in_catalog
    bint best_units  # units are chosen for the greatest discount, each in one application
    bint whole_targets  # max_units is looked after elsewhere
    int64_t turns
    # of the last search
    bint searched
    bint proven
    int64_t nodes
    int64_t found
    int64_t bound

cdef void basket_free(Basket* basket) noexcept nogil
cdef void basket_clear(Basket* basket) noexcept nogil
cdef InputLine* add_line(Basket* basket) noexcept nogil
cdef InputCharge* add_charge(Basket* basket) noexcept nogil
cdef InputCoupon* add_coupon(Basket* basket) noexcept nogil
cdef void add_text(Basket* basket, Span text) noexcept nogil
cdef int64_t load_lines(Basket* basket) noexcept nogil
cdef int32_t cut(Basket* basket, int32_t segment, int64_t count) noexcept nogil
cdef void discount(Basket* basket, int32_t segment, int64_t amount) noexcept nogil
cdef void discount_charge(Basket* basket, int64_t charge, int64_t amount) noexcept nogil
cdef int64_t line_value(Basket* basket, int64_t line) noexcept nogil
cdef int64_t basket_value(Basket* basket, bint original) noexcept nogil
cdef int64_t given_since(Basket* basket, int64_t mark) noexcept nogil
cdef void save_state(Basket* basket, int level) noexcept nogil
cdef void restore_state(Basket* basket, int level) noexcept nogil
cdef void undo(Basket* basket, int64_t mark) noexcept nogil

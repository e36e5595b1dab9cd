# What the search for the best deal works on: offers, classes of equal units, and what limits offers.
from libc.stdint cimport int16_t, int32_t, int64_t, uint64_t

from ringup.native.pricing_state cimport Basket
from ringup.native.promotion cimport Benefit, Promotion, Snapshot

cdef enum:
    CLASSES_MAX = 48  # of one component
    OFFERS_MAX = 64
    PARTS_MAX = 8
    USED_MAX = 384  # CLASSES_MAX * PARTS_MAX
    LINES_MAX = 12  # more lines than this are not told apart by limits per line
    COUNTS_MAX = 128  # purses of applications or units: at most two an offer
    MONEY_MAX = 8  # purses of money
    MONEY_WORDS = 4  # of a state for each purse of money
    STATE_MAX = 208  # CLASSES_MAX + COUNTS_MAX + MONEY_MAX * MONEY_WORDS

cdef extern from *:
    """
    #define DEAL_ENDLESS 4000000000000000000LL  /* left in a purse that can no longer run out */
    """
    const int64_t ENDLESS "DEAL_ENDLESS"

# A purse is what several applications share: uses of a promotion, units of a target, a cap, a budget.
cdef struct Purse:
    int64_t left
    int64_t opening  # what was in it before the first application
    bint skips  # money: an application beyond what is left is not given, instead of cut down to it
    int32_t place  # in the state of the component at hand, NO_SYMBOL when it is not in it

cdef struct Offer:
    int32_t verdict
    int32_t benefit  # row in the snapshot
    bint is_set
    int32_t parts
    uint64_t[8] roles
    int64_t[8] qty
    int64_t total_qty
    int64_t tier_price  # of a quantity break
    int32_t count_purses
    int32_t[2] counts  # purses that lose one with each application
    int32_t money_purses
    int32_t[2] moneys  # purses that lose what an application gives

cdef struct UnitClass:
    uint64_t roles
    int64_t price
    int64_t original
    int64_t floor
    bint lump
    int64_t qty_milli  # of a lump
    int64_t base_units_ppm
    int64_t count
    int64_t alone  # the best single offer that nothing limits
    int32_t alone_offer
    int64_t most  # no offer gives more for a unit
    int64_t most_free  # no offer without a purse of money gives more
    int64_t[8] most_of  # no offer that draws on this purse of money gives more
    int32_t component
    bint searched

cdef struct Node:
    int64_t key  # where its state stands
    int64_t value
    int64_t choice  # where the best application stands, -1 to leave the class alone
    int32_t offer
    int64_t times  # how often it is applied

cdef struct Search:
    Basket* basket
    Offer* offers
    int64_t offer_count
    Purse[128] counts
    int64_t count_purses
    Purse[8] moneys
    int64_t money_purses
    UnitClass* classes  # of the whole basket
    int64_t class_count
    int64_t class_capacity
    int32_t* class_of  # by segment
    int32_t* cursors  # by line: every segment before it is used
    uint64_t* roles  # by segment
    int64_t roles_used
    # the component at hand
    int32_t[48] members
    int64_t size
    int32_t[128] near_counts
    int64_t near_count_purses
    int32_t[8] near_moneys
    int64_t near_money_purses
    int32_t[64] near  # offers of this component
    int64_t near_count
    int64_t width  # of a state
    int16_t* words  # states and choices
    int64_t word_count
    int64_t word_capacity
    Node* nodes
    int64_t node_count
    int64_t node_capacity
    int64_t* table
    int64_t table_mask
    int64_t visited
    int64_t weighed
    int64_t depth
    int64_t budget
    bint exhausted

cdef bint is_offer(Snapshot snapshot, Promotion* promotion, Benefit* benefit, int64_t lines) noexcept nogil
cdef bint is_block(Snapshot snapshot, Promotion* promotion, Benefit* benefit, int64_t lines) noexcept nogil
cdef bint follows(Benefit* benefit) noexcept nogil
cdef int64_t money_left(Basket* basket, Promotion* promotion, int32_t number) noexcept nogil
cdef bint add_offers(Search* search, Snapshot snapshot, int32_t number) noexcept nogil
cdef void make_classes(Search* search) noexcept nogil
cdef void rate_classes(Search* search, Snapshot snapshot) noexcept nogil
cdef void join_components(Search* search) noexcept nogil
cdef uint64_t all_roles(Offer* offer) noexcept nogil
cdef int64_t single_gain(Snapshot snapshot, Offer* offer, UnitClass* unit) noexcept nogil

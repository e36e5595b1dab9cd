# Promotions, rules and taxes, compiled from their protobuf definitions into one immutable snapshot.
#
# Every text that a definition names (item, category, group, channel, coupon, charge) becomes a
# number, its symbol.  A basket looks its own texts up once; a text that no promotion names has no
# symbol and costs nothing more.  From an item's or category's symbol, postings lead to the targets
# that it belongs to, and from a touched target to its promotion: the cost of a price follows the
# promotions that touch the basket, not those that exist.
from libc.stdint cimport int32_t, int64_t, uint8_t, uint64_t

from ringup.native.index cimport Index
from ringup.native.wire cimport Span

cdef enum:
    NO_SYMBOL = -1
    SPACE_ITEM = 1
    SPACE_CATEGORY = 2
    SPACE_GROUP = 3
    SPACE_CHANNEL = 4
    SPACE_COUPON = 5
    SPACE_CHARGE = 6
    SPACE_STACK = 7  # promotion groups
    SPACE_CAMPAIGN = 8  # promotions with single-use codes

# Numbers of the contract under short names: the core's own vocabulary of rules.
cdef enum Benefits:
    ITEM_PERCENT_OFF = 1
    ITEM_AMOUNT_OFF = 2
    ITEM_FIXED_PRICE = 3
    ITEM_MARKUP_PERCENT = 4
    ORDER_PERCENT_OFF = 5
    ORDER_AMOUNT_OFF = 6
    ORDER_FIXED_TOTAL = 7
    BUNDLE_FIXED_PRICE = 8
    BUNDLE_PERCENT_OFF = 9
    BUNDLE_AMOUNT_OFF = 10
    MULTIBUY_CHEAPEST_FREE = 11
    BUY_GET = 12
    QUANTITY_GROUP = 13
    QUANTITY_BREAK = 14
    TIERED_AMOUNT = 15
    TIERED_PERCENT = 16
    FIRST_THEN_AMOUNT = 17
    CHEAPEST_PERCENT_OFF = 18
    CHARGE_PERCENT_OFF = 19
    CHARGE_AMOUNT_OFF = 20
    CHARGE_FIXED_PRICE = 21
    FREE_ITEM = 22

cdef enum Conditions:
    MIN_SUBTOTAL = 1
    MAX_SUBTOTAL = 2
    MIN_QTY = 3
    MAX_QTY = 4
    MIN_LINE_QTY = 5
    MIN_VALUE = 6
    CONTAINS = 7
    DISTINCT = 8
    NTH_ORDER = 9

cdef enum Outcomes:
    OUT_NONE = 0
    OUT_APPLIED = 1
    OUT_UNKNOWN = 2
    OUT_EXPIRED = 3
    OUT_NOT_STARTED = 4
    OUT_SCHEDULE = 5
    OUT_WRONG_CHANNEL = 6
    OUT_WRONG_CUSTOMER = 7
    OUT_COUPON_MISSING = 8
    OUT_USAGE_LIMIT = 9
    OUT_CUSTOMER_LIMIT = 10
    OUT_BUDGET = 11
    OUT_NEEDS_VALUE = 12
    OUT_ABOVE_VALUE = 13
    OUT_NEEDS_QTY = 14
    OUT_ABOVE_QTY = 15
    OUT_NEEDS_DISTINCT = 16
    OUT_WRONG_ORDER = 17
    OUT_NOTHING = 18
    OUT_EXCLUDED = 19
    OUT_BEATEN = 20
    OUT_SET_INCOMPLETE = 21
    OUT_WRONG_CURRENCY = 22

cdef enum:
    PICK_LISTED = 0
    PICK_CHEAPEST = 1
    PICK_DEAREST = 2
    PLACE_DEFAULT = 0
    PLACE_UNIT = 1
    PLACE_LINE = 2
    PLACE_SET = 3
    SELECT_PRIORITY = 1
    SELECT_BEST_DEAL = 2
    SELECT_BEST_ALLOCATION = 3
    GROUP_BEST = 1
    GROUP_FIRST = 2
    BASIS_ORDER = 1
    BASIS_LINE = 2
    BASIS_QTY = 3
    VIEW_EXCLUDED = 1
    VIEW_INCLUDED = 2
    UNLIMITED = -1

cdef struct Target:
    int32_t promotion
    bint all
    bint anchor  # touching it makes the promotion a candidate
    bint has_min
    bint has_max
    bint exclude_discounted
    int32_t pick
    int64_t price_min
    int64_t price_max
    int64_t max_units
    int64_t max_units_per_line

cdef struct Condition:
    int32_t type
    int32_t target  # number of the target
    bint original
    int32_t tax_view
    int64_t amount
    int64_t qty_milli
    int64_t count

cdef struct Component:
    int32_t target
    int32_t pick
    int64_t qty
    int64_t rate_ppb

cdef struct Tier:
    int64_t min
    int64_t amount
    int64_t rate_ppb

cdef struct Benefit:
    int32_t type
    int32_t target
    int32_t pick
    int32_t basis
    int32_t tax_view
    int32_t consume
    bint per_line
    bint original
    bint once
    bint buy_first
    bint has_cap
    int64_t rate_ppb
    int64_t amount
    int64_t cap
    int64_t qty
    int64_t base_amount
    int64_t base_rate_ppb
    int64_t additional
    int32_t charges  # first of charge_count symbols
    int32_t charge_count
    int32_t components
    int32_t component_count
    int32_t tiers
    int32_t tier_count
    Component buy
    Component get
    Component for_each
    bint has_for_each
    Span free_item

cdef struct Promotion:
    Span id
    Span name
    Span coupon_code
    int64_t number  # place in the request that compiled it
    int64_t priority
    int32_t stage  # 1 catalog, 2 cart
    bint exclusive
    bint vendor
    int32_t coupon
    int32_t group
    int32_t group_mode
    int32_t channels
    int32_t channel_count
    int32_t customer_groups
    int32_t customer_group_count
    int32_t conditions
    int32_t condition_count
    int32_t benefits
    int32_t benefit_count
    int64_t from_ns
    int64_t to_ns
    int32_t weekdays  # bit 0 is Monday; 0 means all
    int32_t periods
    int32_t period_count
    int64_t max_uses  # UNLIMITED when there is no limit
    int64_t max_uses_per_customer
    int64_t max_applications
    int64_t budget
    bint budget_skips
    bint release_on_cancel
    bint has_amounts  # of money, which are in the engine's currency

cdef struct Usage:
    int64_t used
    int64_t cancelled
    int64_t customer_used
    int64_t spent

cdef struct Rules:
    int32_t rounding
    int32_t percent_round_at
    bint round_new_price
    int32_t selection
    int64_t nodes_max
    int32_t tax_rounding
    int32_t tax_round_at
    bint tax_round_net
    bint tax_before_discount
    int32_t price_selection  # among the price rows that match: price_book.pyx

cdef struct Defect:
    int32_t code  # of ResultCode; 0 while all is well
    const char* field
    int64_t index
    Span subject
    int64_t found
    int64_t limit

cdef enum:  # what a snapshot counts
    PROMOTIONS = 0
    TARGETS = 1
    CONDITIONS = 2
    BENEFITS = 3
    COMPONENTS = 4
    TIERS = 5
    LISTS = 6
    SYMBOLS = 7
    POSTINGS = 8
    ANCHORS = 9
    ALWAYS = 10
    KINDS = 11

cdef struct SymbolList:  # postings while they are collected
    int32_t symbol
    int32_t value

cdef class Snapshot:
    cdef bytes definition  # spans point into it
    cdef Promotion* promotions  # in the order in which they are tried
    cdef Target* targets
    cdef Condition* conditions
    cdef Benefit* benefits
    cdef Component* components
    cdef Tier* tiers
    cdef int32_t* lists  # channels, groups, charges, periods
    cdef Span* symbols
    cdef uint8_t* spaces
    cdef Index symbol_index
    cdef int32_t* posting_start  # by symbol, then the targets
    cdef int32_t* postings
    cdef int32_t* anchored_start  # by symbol of a coupon, customer group or channel, then the promotions
    cdef int32_t* anchored
    cdef int32_t* always  # promotions that every basket must look at
    cdef int32_t* order  # request number -> place
    cdef int64_t[KINDS] counts
    cdef int64_t[KINDS] capacities
    cdef SymbolList* collected
    cdef SymbolList* collected_anchors
    cdef Rules rules
    cdef readonly int64_t promotion_count
    cdef readonly int64_t target_count
    cdef readonly int64_t symbol_count
    cdef readonly int64_t always_count
    cdef bint uses_best_deal
    cdef Defect defect

    cdef int32_t symbol(self, int space, Span text) noexcept nogil
    cdef int32_t intern(self, int space, Span text) noexcept nogil
    cdef bint fail(self, int code, const char* field, int64_t found, int64_t limit) noexcept nogil
    cdef int32_t push_list(self, int32_t value) noexcept nogil
    cdef int32_t add_promotion(self) noexcept nogil
    cdef int32_t add_target(self) noexcept nogil
    cdef Condition* add_condition(self) noexcept nogil
    cdef void add_benefit(self, Benefit benefit) noexcept nogil
    cdef void add_component(self, Component component) noexcept nogil
    cdef void add_tier(self, Tier tier) noexcept nogil
    cdef void add_posting(self, int32_t symbol, int32_t target) noexcept nogil
    cdef void add_anchor(self, int32_t symbol, int32_t promotion) noexcept nogil
    cdef void add_always(self, int32_t promotion) noexcept nogil
    cdef void finish(self) noexcept nogil
    cdef void sort_promotions(self) noexcept nogil
    cdef void build_postings(self) noexcept nogil

cdef uint64_t coupon_hash(Span code) noexcept nogil
cdef bint same_coupon(Span a, Span b) noexcept nogil

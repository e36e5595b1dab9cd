# Every limit of the core, and the relations between them (checked by tests/unit and below).
from libc.stdint cimport int64_t

cdef enum:
    ID_BYTES = 16  # command, hold and sale ids
    CODE_BYTES_MAX = 64  # item, location, till, channel, class and book codes, barcodes
    NAME_BYTES_MAX = 200
    REASON_BYTES_MAX = 200
    LINES_MAX = 2000  # lines of one sale, hold or receipt of goods
    DISCOUNTS_PER_LINE_MAX = 16
    TENDERS_MAX = 32
    TAXES_PER_CLASS_MAX = 8
    BARCODES_PER_ITEM_MAX = 32
    CATEGORIES_PER_ITEM_MAX = 16
    PUT_ROWS_MAX = 10000  # items, prices and the like in one command
    PAGE_SIZE_MAX = 1000  # rows in one page of an answer
    PERCENT_SCALE = 1000000000  # rates are in parts per thousand million: 19 % is 190,000,000

cdef extern from *:
    """
    #define QTY_MILLI_MAX 1000000000000LL          /* 10^9 pieces */
    #define PRICE_MINOR_MAX 1000000000000LL        /* 10^10 in a currency with cents */
    #define TOTAL_MINOR_MAX 1000000000000000LL     /* 10^13 in a currency with cents */
    #define TIME_NS_MAX 9000000000000000000LL      /* the year 2255 */
    #define HOLD_TTL_MS_MAX 2678400000LL           /* a hold is soft: 31 days at most */
    #define SEQUENCE_MAX 1099511627775LL           /* batches: 40 bits, see ReplyAt */
    """
    const int64_t QTY_MILLI_MAX
    const int64_t PRICE_MINOR_MAX
    const int64_t TOTAL_MINOR_MAX
    const int64_t TIME_NS_MAX
    const int64_t HOLD_TTL_MS_MAX
    const int64_t SEQUENCE_MAX

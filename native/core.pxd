# The deterministic state machine: batches of commands in, answers out.
from libc.stdint cimport int64_t, uint8_t, uint64_t

from ringup.native.catalog cimport Catalog
from ringup.native.catalog_items cimport ItemCommands
from ringup.native.catalog_places cimport PlaceCommands
from ringup.native.catalog_prices cimport PriceCommands
from ringup.native.catalog_taxes cimport TaxCommands
from ringup.native.command cimport Command
from ringup.native.embedded_codes cimport EmbeddedCodes
from ringup.native.event_commands cimport EventCommands
from ringup.native.events cimport Events
from ringup.native.gift_cards cimport GiftCards
from ringup.native.loyalty cimport Loyalty
from ringup.native.prefetch cimport Prefetcher
from ringup.native.pricing cimport Pricing
from ringup.native.promotion_book cimport PromotionBook
from ringup.native.promotion_commands cimport PromotionCommands
from ringup.native.replies cimport Replies
from ringup.native.sale cimport Sales
from ringup.native.settings cimport SettingsTable
from ringup.native.stock cimport Stock
from ringup.native.stock_commands cimport StockCommands
from ringup.native.table cimport Table
from ringup.native.wire cimport Span, Writer

cdef enum:
    COMMANDS_PER_REQUEST_MAX = 4096
    REPLAYS_MAX = COMMANDS_PER_REQUEST_MAX

cdef struct CoreGlobals:
    int64_t sequence  # of the last batch begun
    int64_t now_ns  # its clock value
    int64_t command_count  # commands taken for good, since the beginning
    int64_t event_sequence  # of the last event

# A resent command in the request at hand: its place there, and where its first answer is.
cdef struct Replay:
    int64_t position
    int64_t sequence
    int64_t index

cdef class Core:
    cdef readonly list tables
    cdef Catalog catalog
    cdef ItemCommands item_commands
    cdef PriceCommands price_commands
    cdef TaxCommands tax_commands
    cdef PlaceCommands place_commands
    cdef Stock stock
    cdef StockCommands stock_commands
    cdef Events events
    cdef EventCommands event_commands
    cdef list identities  # (last batch, engine id) of those that are to come, the next one at the end
    cdef int64_t identity_until  # the last batch of `engine_id`
    cdef bytes engine_id
    cdef Span engine_span
    cdef PromotionBook promotion_book
    cdef PromotionCommands promotion_commands
    cdef Pricing pricing
    cdef Prefetcher prefetcher
    cdef object pricer  # of Simulate
    cdef GiftCards gift_cards
    cdef Loyalty loyalty
    cdef EmbeddedCodes codes
    cdef Sales sales
    cdef SettingsTable settings
    cdef Replies replies
    cdef Table globals
    cdef Writer out
    cdef int64_t index  # of the next command in the batch
    cdef bint is_open  # between `begin` and the end of the batch
    cdef int64_t rejected  # commands of the request at hand that were malformed
    cdef Replay* replays
    cdef int64_t replay_count

    cdef void apply_request(self, Span request) noexcept nogil
    cdef void apply_command(self, Command* command, int64_t position) noexcept nogil
    cdef int handle(self, int kind, Command* command, uint64_t body_hash, Writer* out) noexcept nogil
    cdef bint known_id(self, const Command* command, uint64_t* body_hash, uint64_t* reply_at) noexcept nogil
    cdef int answer(self, int kind, Span request, Writer* out) noexcept nogil

    cdef become(self)
    cdef void close_batch(self) noexcept nogil
    cdef int64_t check_request(self, Span request) except -1
    cdef void reject(self, const char* message, int64_t start) noexcept nogil
    cdef void write_replay(self, uint64_t reply_at, int64_t position) noexcept nogil

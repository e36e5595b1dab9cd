"""Gift cards: issue, top up, block, pay, refund.

A sale that a card helps to pay takes the money in the same command: a racing sale sees it taken or
does not see the sale at all, and no balance goes below zero.
"""

from libc.stdint cimport int64_t, uint64_t
from libc.string cimport memset

from ringup.native.catalog cimport Catalog
from ringup.native.command cimport MALFORMED, Command, check_count, is_code, is_text, ok, refuse
from ringup.native.contract cimport (
    RESULT_CODE_AMOUNT_INVALID,
    RESULT_CODE_AMOUNT_TOO_LARGE,
    RESULT_CODE_FIELD_INVALID,
    RESULT_CODE_GIFT_CARD_BLOCKED,
    RESULT_CODE_GIFT_CARD_TAKEN,
    RESULT_CODE_GIFT_CARD_UNKNOWN,
    RESULT_CODE_OK,
    BlockGiftCardRequest_gift_card_id,
    BlockGiftCardRequest_reason,
    BlockGiftCardRequest_unblock,
    Command_issue_gift_cards,
    Command_top_up_gift_card,
    GetGiftCardRequest_gift_card_id,
    GetGiftCardResponse_gift_card,
    GiftCard_balance_minor,
    GiftCard_blocked,
    GiftCard_gift_card_id,
    GiftCard_loaded_minor,
    GiftCard_refunded_minor,
    GiftCard_spent_minor,
    IssueGiftCardsRequest_gift_cards,
    NewGiftCard_amount_minor,
    NewGiftCard_gift_card_id,
    TopUpGiftCardRequest_amount_minor,
    TopUpGiftCardRequest_gift_card_id,
    TopUpGiftCardRequest_reason,
    TopUpGiftCardResponse_balance_minor,
)
from ringup.native.index cimport Index, hash_bytes, index_add, index_free, index_next, index_reserve, index_start
from ringup.native.limits cimport CODE_BYTES_MAX, PUT_ROWS_MAX, REASON_BYTES_MAX, TOTAL_MINOR_MAX
from ringup.native.table cimport Table
from ringup.native.wire cimport (
    Reader,
    Span,
    Writer,
    begin_message,
    end_message,
    next_field,
    next_of,
    no_span,
    read_int,
    read_span,
    reader_of,
    skip_field,
    span_equal,
    write_int,
    write_span,
)

cdef struct NewCard:
    Span code
    int64_t amount_minor
    bint bad


cdef NewCard _read_new(Span body) noexcept nogil:
    cdef NewCard card
    cdef Reader reader = reader_of(body)
    card.code = no_span()
    card.amount_minor = 0
    while next_field(&reader):
        if reader.field == NewGiftCard_gift_card_id:
            card.code = read_span(&reader)
        elif reader.field == NewGiftCard_amount_minor:
            card.amount_minor = read_int(&reader)
        else:
            skip_field(&reader)
    card.bad = reader.bad
    return card


cdef bint _first_of_its_name(Index* seen, Span* codes, int64_t count) noexcept nogil:
    """Whether the last of `count` codes stands for the first time; notes it."""
    cdef Span code = codes[count - 1]
    cdef uint64_t hash = hash_bytes(code.data, code.size)
    cdef int64_t cursor = index_start(seen, hash), at = index_next(seen, hash, &cursor)
    while at >= 0:
        if span_equal(codes[at], code):
            return False
        at = index_next(seen, hash, &cursor)
    index_add(seen, hash, count - 1)
    return True


cdef class GiftCards:
    """The book of gift cards."""

    def __cinit__(self, Catalog catalog):
        self.catalog = catalog
        self.cards = Table("gift_cards", sizeof(GiftCardRow))
        self.tables = [self.cards]

    def __dealloc__(self):
        index_free(&self.card_index)

    cdef void rebuild(self) noexcept nogil:
        cdef int64_t row
        cdef Span code
        index_reserve(&self.card_index, self.cards.count)
        for row in range(self.cards.count):
            code = self.catalog.text(self.card(row).code)
            index_add(&self.card_index, hash_bytes(code.data, code.size), row)

    cdef int64_t find(self, Span code) noexcept nogil:
        """The card with this code, or -1."""
        cdef uint64_t hash = hash_bytes(code.data, code.size)
        cdef int64_t cursor = index_start(&self.card_index, hash)
        cdef int64_t row = index_next(&self.card_index, hash, &cursor)
        while row >= 0 and not span_equal(self.catalog.text(self.card(row).code), code):
            row = index_next(&self.card_index, hash, &cursor)
        return row

    # For Sell and ReturnLines

    cdef int check_pays(self, Span code, const char* field, int64_t index, int64_t* row, Writer* out) noexcept nogil:
        """Find a card that may pay; whether it has enough is another question."""
        row[0] = self.find(code)
        if row[0] < 0:
            return refuse(out, RESULT_CODE_GIFT_CARD_UNKNOWN, field, index, code, 0, 0)
        if self.card(row[0]).flags & GIFT_CARD_BLOCKED:
            return refuse(out, RESULT_CODE_GIFT_CARD_BLOCKED, field, index, code, 0, 0)
        return RESULT_CODE_OK

    cdef int check_takes(
        self, Span code, const char* field, int64_t amount_minor, int64_t* row, Writer* out
    ) noexcept nogil:
        """Find a card that can take `amount_minor` more; a blocked one can."""
        row[0] = self.find(code)
        if row[0] < 0:
            return refuse(out, RESULT_CODE_GIFT_CARD_UNKNOWN, field, 0, code, 0, 0)
        # The sums of movements stay within int64 far beyond the limit of a balance.
        if self.card(row[0]).loaded_minor + self.card(row[0]).refunded_minor + amount_minor > TOTAL_MINOR_MAX:
            return refuse(out, RESULT_CODE_AMOUNT_TOO_LARGE, field, 0, code, amount_minor, TOTAL_MINOR_MAX)
        return RESULT_CODE_OK

    cdef void spend(self, int64_t row, int64_t amount_minor) noexcept nogil:
        (<GiftCardRow*>self.cards.edit(row)).spent_minor += amount_minor

    cdef void refund(self, int64_t row, int64_t amount_minor) noexcept nogil:
        (<GiftCardRow*>self.cards.edit(row)).refunded_minor += amount_minor

    # Commands

    cdef int handle(self, int kind, Command* command, Writer* out) noexcept nogil:
        if kind == Command_issue_gift_cards:
            return self.issue(command, out)
        if kind == Command_top_up_gift_card:
            return self.top_up(command, out)
        return self.block(command, out)

    cdef int issue(self, Command* command, Writer* out) noexcept nogil:
        cdef Reader reader = reader_of(command.body)
        cdef NewCard card
        cdef GiftCardRow* row_now
        cdef int64_t row
        cdef int code

        # Check.
        code = self.check_issue(command.body, out)
        if code != RESULT_CODE_OK:
            return code

        # Apply.
        while next_of(&reader, IssueGiftCardsRequest_gift_cards):
            card = _read_new(read_span(&reader))
            row = self.cards.append()
            row_now = <GiftCardRow*>self.cards.edit(row)
            row_now.code = self.catalog.store(card.code)
            row_now.loaded_minor = card.amount_minor
            index_add(&self.card_index, hash_bytes(card.code.data, card.code.size), row)
        return ok(out)

    cdef int check_issue(self, Span body, Writer* out) noexcept nogil:
        cdef Reader reader = reader_of(body)
        cdef Index seen
        cdef Span[PUT_ROWS_MAX] codes
        cdef NewCard card
        cdef int64_t count = 0
        cdef int code = check_count(body, IssueGiftCardsRequest_gift_cards, "gift_cards", out)
        memset(&seen, 0, sizeof(Index))
        while code == RESULT_CODE_OK and next_of(&reader, IssueGiftCardsRequest_gift_cards):
            card = _read_new(read_span(&reader))
            codes[count] = card.code
            count += 1
            if card.bad:
                code = MALFORMED
            elif not is_code(card.code):
                code = refuse(
                    out, RESULT_CODE_FIELD_INVALID, "gift_cards.gift_card_id", count - 1, card.code, card.code.size,
                    CODE_BYTES_MAX,
                )
            elif card.amount_minor < 0:
                code = refuse(
                    out, RESULT_CODE_AMOUNT_INVALID, "gift_cards.amount_minor", count - 1, card.code, card.amount_minor, 0
                )
            elif card.amount_minor > TOTAL_MINOR_MAX:
                code = refuse(
                    out, RESULT_CODE_AMOUNT_TOO_LARGE, "gift_cards.amount_minor", count - 1, card.code,
                    card.amount_minor, TOTAL_MINOR_MAX,
                )
            elif self.find(card.code) >= 0 or not _first_of_its_name(&seen, codes, count):
                code = refuse(
                    out, RESULT_CODE_GIFT_CARD_TAKEN, "gift_cards.gift_card_id", count - 1, card.code, 0, 0
                )
        index_free(&seen)
        return code

    cdef int top_up(self, Command* command, Writer* out) noexcept nogil:
        cdef Reader reader = reader_of(command.body)
        cdef Span code = no_span(), reason = no_span()
        cdef int64_t amount = 0, row = -1
        cdef int found

        # Check.
        while next_field(&reader):
            if reader.field == TopUpGiftCardRequest_gift_card_id:
                code = read_span(&reader)
            elif reader.field == TopUpGiftCardRequest_amount_minor:
                amount = read_int(&reader)
            elif reader.field == TopUpGiftCardRequest_reason:
                reason = read_span(&reader)
            else:
                skip_field(&reader)
        if reader.bad:
            return MALFORMED
        if not is_code(code):
            return refuse(out, RESULT_CODE_FIELD_INVALID, "gift_card_id", 0, code, code.size, CODE_BYTES_MAX)
        if not is_text(reason, REASON_BYTES_MAX):
            return refuse(out, RESULT_CODE_FIELD_INVALID, "reason", 0, code, reason.size, REASON_BYTES_MAX)
        if amount <= 0:
            return refuse(out, RESULT_CODE_AMOUNT_INVALID, "amount_minor", 0, code, amount, 1)
        if amount > TOTAL_MINOR_MAX:
            return refuse(out, RESULT_CODE_AMOUNT_TOO_LARGE, "amount_minor", 0, code, amount, TOTAL_MINOR_MAX)
        found = self.check_takes(code, "gift_card_id", amount, &row, out)
        if found != RESULT_CODE_OK:
            return found

        # Apply.
        (<GiftCardRow*>self.cards.edit(row)).loaded_minor += amount
        write_int(out, TopUpGiftCardResponse_balance_minor, self.balance_minor(row))
        return ok(out)

    cdef int block(self, Command* command, Writer* out) noexcept nogil:
        cdef Reader reader = reader_of(command.body)
        cdef Span code = no_span(), reason = no_span()
        cdef bint unblock = False
        cdef int64_t row
        cdef GiftCardRow* card

        # Check.
        while next_field(&reader):
            if reader.field == BlockGiftCardRequest_gift_card_id:
                code = read_span(&reader)
            elif reader.field == BlockGiftCardRequest_unblock:
                unblock = read_int(&reader) != 0
            elif reader.field == BlockGiftCardRequest_reason:
                reason = read_span(&reader)
            else:
                skip_field(&reader)
        if reader.bad:
            return MALFORMED
        if not is_code(code):
            return refuse(out, RESULT_CODE_FIELD_INVALID, "gift_card_id", 0, code, code.size, CODE_BYTES_MAX)
        if not is_text(reason, REASON_BYTES_MAX):
            return refuse(out, RESULT_CODE_FIELD_INVALID, "reason", 0, code, reason.size, REASON_BYTES_MAX)
        row = self.find(code)
        if row < 0:
            return refuse(out, RESULT_CODE_GIFT_CARD_UNKNOWN, "gift_card_id", 0, code, 0, 0)

        # Apply.
        card = <GiftCardRow*>self.cards.edit(row)
        card.flags = 0 if unblock else GIFT_CARD_BLOCKED
        return ok(out)

    # The query

    cdef int get_gift_card(self, Span request, Writer* out) noexcept nogil:
        cdef Reader reader = reader_of(request)
        cdef Span code = no_span()
        cdef int64_t row, mark
        cdef const GiftCardRow* card
        while next_of(&reader, GetGiftCardRequest_gift_card_id):
            code = read_span(&reader)
        if reader.bad:
            return MALFORMED
        row = self.find(code)
        if row < 0:
            return refuse(out, RESULT_CODE_GIFT_CARD_UNKNOWN, "gift_card_id", 0, code, 0, 0)
        card = self.card(row)
        mark = begin_message(out, GetGiftCardResponse_gift_card)
        write_span(out, GiftCard_gift_card_id, self.catalog.text(card.code))
        write_int(out, GiftCard_balance_minor, self.balance_minor(row))
        write_int(out, GiftCard_loaded_minor, card.loaded_minor)
        write_int(out, GiftCard_spent_minor, card.spent_minor)
        write_int(out, GiftCard_refunded_minor, card.refunded_minor)
        write_int(out, GiftCard_blocked, (card.flags & GIFT_CARD_BLOCKED) != 0)
        end_message(out, mark)
        return ok(out)

"""How a sale is paid and a return is paid back: tenders, gift cards, cash and change."""

from libc.stdint cimport int64_t
from libc.string cimport memset

from ringup.native.command cimport is_code_or_empty, refuse
from ringup.native.contract cimport (
    RESULT_CODE_AMOUNT_INVALID,
    RESULT_CODE_AMOUNT_TOO_LARGE,
    RESULT_CODE_FIELD_INVALID,
    RESULT_CODE_GIFT_CARD_SHORT,
    RESULT_CODE_OK,
    RESULT_CODE_TENDER_EXCEEDED,
    RESULT_CODE_TENDER_SHORT,
    TENDER_METHOD_ACCOUNT,
    TENDER_METHOD_CASH,
    TENDER_METHOD_GIFT_CARD,
    TENDER_METHOD_UNSPECIFIED,
    Tender_amount_minor,
    Tender_method,
    Tender_reference,
)
from ringup.native.limits cimport CODE_BYTES_MAX, TENDERS_MAX, TOTAL_MINOR_MAX
from ringup.native.sale_book cimport SaleBook
from ringup.native.tender cimport NOT_GIVEN, CashRule, Payment, Settlement, round_cash, settle_payments
from ringup.native.wire cimport Reader, Span, Writer, next_field, no_span, read_int, read_span, reader_of, skip_field


cdef class SaleTenders(SaleBook):
    """The tenders of the sale or return at hand."""

    cdef bint read_tender(self, Span body) noexcept nogil:
        cdef TenderIn tender
        cdef Reader reader = reader_of(body)
        memset(&tender, 0, sizeof(TenderIn))
        while next_field(&reader):
            if reader.field == Tender_method:
                tender.method = read_int(&reader)
            elif reader.field == Tender_amount_minor:
                tender.amount_minor = read_int(&reader)
            elif reader.field == Tender_reference:
                tender.reference = read_span(&reader)
            else:
                skip_field(&reader)
        if self.tender_count < TENDERS_MAX:
            self.tenders[self.tender_count] = tender
            self.tender_count += 1
        return not reader.bad

    cdef int check_tenders(self, Writer* out) noexcept nogil:
        """Check the shape of each tender."""
        cdef Span none = no_span()
        cdef int64_t at
        cdef TenderIn* tender
        for at in range(self.tender_count):
            tender = &self.tenders[at]
            if not TENDER_METHOD_UNSPECIFIED < tender.method <= TENDER_METHOD_ACCOUNT:
                return refuse(
                    out, RESULT_CODE_FIELD_INVALID, "tenders.method", at, none, tender.method, TENDER_METHOD_ACCOUNT
                )
            if not is_code_or_empty(tender.reference):
                return refuse(
                    out, RESULT_CODE_FIELD_INVALID, "tenders.reference", at, none, tender.reference.size, CODE_BYTES_MAX
                )
            if tender.amount_minor <= 0:
                return refuse(out, RESULT_CODE_AMOUNT_INVALID, "tenders.amount_minor", at, none, tender.amount_minor, 1)
            if tender.amount_minor > TOTAL_MINOR_MAX:
                return refuse(
                    out, RESULT_CODE_AMOUNT_TOO_LARGE, "tenders.amount_minor", at, none, tender.amount_minor, TOTAL_MINOR_MAX
                )
        return RESULT_CODE_OK

    cdef CashRule cash_rule(self) noexcept nogil:
        cdef CashRule rule
        # The coins of another currency are not known.
        rule.increment_minor = 1 if self.pricing.currency else self.settings.now().cash_increment_minor
        rule.rounding = <int>self.settings.now().cash_rounding
        return rule

    cdef int settle(self, Writer* out) noexcept nogil:
        """Check the tenders against the total; sets the cash rounding and the change.

        Only the part paid in cash is rounded to the coins; only cash gives change.
        """
        cdef int64_t total = self.pricing.total_minor, cash = 0, other = 0, at
        cdef bint has_cash = False
        cdef Span none = no_span()
        cdef CashRule rule = self.cash_rule()
        cdef Payment[2] payments
        cdef Settlement settled
        for at in range(self.tender_count):
            if self.tenders[at].method == TENDER_METHOD_CASH:
                cash += self.tenders[at].amount_minor
                has_cash = True
            else:
                other += self.tenders[at].amount_minor
        if other > total:
            return refuse(out, RESULT_CODE_TENDER_EXCEEDED, "tenders.amount_minor", 0, none, other, total)
        payments[0].cash, payments[0].amount_minor, payments[0].tendered_minor = False, other, NOT_GIVEN
        payments[1].cash, payments[1].amount_minor, payments[1].tendered_minor = True, NOT_GIVEN, cash
        settled = settle_payments(payments, 2 if has_cash else 1, total, &rule)
        if cash + other < settled.due_minor:
            return refuse(
                out, RESULT_CODE_TENDER_SHORT, "tenders.amount_minor", 0, none, cash + other, settled.due_minor
            )
        self.cash_rounding_minor, self.change_minor = settled.rounding_minor, settled.change_minor
        return RESULT_CODE_OK

    cdef int check_gift_cards(self, Writer* out) noexcept nogil:
        """Find the gift cards among the tenders."""
        cdef int64_t at
        cdef int code
        for at in range(self.tender_count):
            if self.tenders[at].method == TENDER_METHOD_GIFT_CARD:
                code = self.gift_cards.check_pays(
                    self.tenders[at].reference, "tenders.reference", at, &self.tenders[at].gift_card, out
                )
                if code != RESULT_CODE_OK:
                    return code
        return RESULT_CODE_OK

    cdef int check_balances(self, Writer* out) noexcept nogil:
        """Whether each gift card has what it is to pay, also where it stands in several tenders."""
        cdef int64_t at, other, asked, balance
        for at in range(self.tender_count):
            if self.tenders[at].method != TENDER_METHOD_GIFT_CARD:
                continue
            asked = 0
            for other in range(at + 1):
                if self.tenders[other].method == TENDER_METHOD_GIFT_CARD and (
                    self.tenders[other].gift_card == self.tenders[at].gift_card
                ):
                    asked += self.tenders[other].amount_minor
            balance = self.gift_cards.balance_minor(self.tenders[at].gift_card)
            if asked > balance:
                return refuse(
                    out, RESULT_CODE_GIFT_CARD_SHORT, "tenders.amount_minor", at, self.tenders[at].reference, balance,
                    asked,
                )
        return RESULT_CODE_OK

    cdef void spend_gift_cards(self) noexcept nogil:
        cdef int64_t at
        for at in range(self.tender_count):
            if self.tenders[at].method == TENDER_METHOD_GIFT_CARD:
                self.gift_cards.spend(self.tenders[at].gift_card, self.tenders[at].amount_minor)

    cdef void refund_tender(self, int64_t method, Span reference, int64_t gift_card) noexcept nogil:
        """One tender gives the refund back, cash where none is named; cash is rounded as at the sale."""
        cdef int64_t total = self.pricing.total_minor
        cdef CashRule rule = self.cash_rule()
        cdef TenderIn* tender = &self.tenders[0]
        memset(tender, 0, sizeof(TenderIn))
        tender.method = method if method != TENDER_METHOD_UNSPECIFIED else TENDER_METHOD_CASH
        tender.reference = reference
        self.change_minor = self.cash_rounding_minor = 0
        if tender.method == TENDER_METHOD_CASH:
            self.cash_rounding_minor = round_cash(total, &rule) - total
        tender.amount_minor = total + self.cash_rounding_minor
        if tender.method == TENDER_METHOD_GIFT_CARD:
            self.gift_cards.refund(gift_card, tender.amount_minor)
        self.tender_count = 1

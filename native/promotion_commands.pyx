"""Commands and queries of promotions: publish, pause or end, rules of pricing, single-use coupons; list and check."""

from libc.stdint cimport int64_t, uint32_t

from ringup.native.catalog_pages cimport write_token
from ringup.native.command cimport MALFORMED, check_count, is_code, ok, refuse
from ringup.native.contract cimport (
    RESULT_CODE_COUPON_TAKEN,
    RESULT_CODE_COUPONS_NOT_ASKED,
    RESULT_CODE_FIELD_INVALID,
    RESULT_CODE_FREE_ITEM_CIRCLE,
    RESULT_CODE_LINES_EMPTY,
    RESULT_CODE_LOCATION_UNKNOWN,
    RESULT_CODE_OK,
    RESULT_CODE_PROMOTION_ENDED,
    RESULT_CODE_PROMOTION_NEVER,
    RESULT_CODE_PROMOTION_UNKNOWN,
    RESULT_CODE_TIME_INVALID,
    RESULT_CODE_TOO_MANY,
    CheckPromotionsRequest_promotions,
    ListPromotionsRequest_page_size,
    ListPromotionsRequest_page_token,
    ListPromotionsRequest_promotion_ids,
    ListPromotionsResponse_promotions,
    Promotion_coupon,
    Promotion_promotion_id,
    Promotion_unique_coupons,
    PromotionUsage_budget_spent_minor,
    PromotionUsage_cancelled_uses,
    PromotionUsage_used,
    PublishedPromotion_next,
    PublishedPromotion_next_from_ns,
    PublishedPromotion_promotion,
    PublishedPromotion_state,
    PublishedPromotion_usage,
    PublishedPromotion_version,
    PutCouponsRequest_codes,
    PutCouponsRequest_promotion_id,
    PutPricingRulesRequest_rules,
    PutPricingRulesRequest_utc_offsets,
    PutPromotionsRequest_effective_ns,
    PutPromotionsRequest_promotions,
    PutPromotionsResponse_created,
    SetPromotionStateRequest_promotion_ids,
    SetPromotionStateRequest_state,
    UtcOffset_from_ns,
    UtcOffset_location_id,
    UtcOffset_offset_s,
)
from ringup.native.index cimport hash_bytes, index_add
from ringup.native.limits cimport CODE_BYTES_MAX, PAGE_SIZE_MAX, PUT_ROWS_MAX, TIME_NS_MAX
from ringup.native.promotion cimport Snapshot, coupon_hash
from ringup.native.promotion_book cimport CouponRow
from ringup.native.promotion_check cimport (
    Contradiction,
    bytes_of,
    contradicts_itself,
    free_item_circle,
    free_item_edges,
)
from ringup.native.promotion_compile cimport add_promotion, read_rules
from ringup.native.promotion_versions cimport (
    DEFINITION_BYTES_MAX,
    STATE_ACTIVE,
    STATE_ENDED,
    OffsetRow,
    PromotionRow,
    RulesRow,
)
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
    span_at,
    write_int,
    write_span,
)


cdef Span _id_of(Span definition) noexcept nogil:
    cdef Reader reader = reader_of(definition)
    while next_field(&reader):
        if reader.field == Promotion_promotion_id:
            return read_span(&reader)
        skip_field(&reader)
    return no_span()


cdef bint _is_opened_by_codes(Span definition) noexcept nogil:
    """Whether a promotion asks for a code: a shared one, beside which single-use codes open it, or only those."""
    cdef Reader reader = reader_of(definition)
    cdef bint unique = False, shared = False
    while next_field(&reader):
        if reader.field == Promotion_unique_coupons:
            unique = read_int(&reader) != 0
        elif reader.field == Promotion_coupon:
            shared = read_span(&reader).size > 0
        else:
            skip_field(&reader)
    return unique or shared


cdef class PromotionCommands:
    """Handlers of promotions, rules of pricing and single-use coupons."""

    def __cinit__(self, Catalog catalog, PromotionBook book):
        self.catalog = catalog
        self.book = book

    cdef int put_promotions(self, Command* command, Writer* out) noexcept nogil:
        cdef Reader reader = reader_of(command.body)
        cdef Span definition, id
        cdef int64_t effective_ns = 0, row, created = 0
        cdef PromotionRow* promotion
        cdef int code
        # Check.
        while next_of(&reader, PutPromotionsRequest_effective_ns):
            effective_ns = read_int(&reader)
        if reader.bad:
            return MALFORMED
        if not 0 <= effective_ns <= TIME_NS_MAX:
            return refuse(out, RESULT_CODE_TIME_INVALID, "effective_ns", 0, no_span(), effective_ns, TIME_NS_MAX)
        code = self.check_all(command.body, PutPromotionsRequest_promotions, out)
        if code != RESULT_CODE_OK:
            return code

        # Apply.
        reader = reader_of(command.body)
        while next_of(&reader, PutPromotionsRequest_promotions):
            definition = read_span(&reader)
            id = _id_of(definition)
            row = self.book.find(id)
            if row < 0:
                row = self.book.promotions.append()
                (<PromotionRow*>self.book.promotions.edit(row)).id = self.book.store(id)
                index_add(&self.book.promotion_index, hash_bytes(id.data, id.size), row)
                created += 1
            promotion = <PromotionRow*>self.book.promotions.edit(row)
            if effective_ns > command.now_ns:
                promotion.next = self.book.store(definition)
                promotion.next_ns = effective_ns
                self.book.due_ns = min(self.book.due_ns, effective_ns)
                self.book.stale = True
            else:
                self.book.bring_into_force(promotion, self.book.store(definition))
        self.book.stale = self.book.stale or created > 0  # places by row must know the new rows
        write_int(out, PutPromotionsResponse_created, created)
        return ok(out)

    cdef int set_state(self, Command* command, Writer* out) noexcept nogil:
        cdef Reader reader = reader_of(command.body)
        cdef int64_t index = 0, state = 0, row
        cdef int code
        cdef Span id
        # Check.
        code = check_count(command.body, SetPromotionStateRequest_promotion_ids, "promotion_ids", out)
        if code != RESULT_CODE_OK:
            return code
        while next_field(&reader):
            if reader.field == SetPromotionStateRequest_state:
                state = read_int(&reader)
            else:
                skip_field(&reader)
        if reader.bad:
            return MALFORMED
        if not STATE_ACTIVE <= state <= STATE_ENDED:
            return refuse(out, RESULT_CODE_FIELD_INVALID, "state", 0, no_span(), state, STATE_ENDED)
        reader = reader_of(command.body)
        while next_of(&reader, SetPromotionStateRequest_promotion_ids):
            id = read_span(&reader)
            row = self.book.find(id)
            if row < 0:
                return refuse(out, RESULT_CODE_PROMOTION_UNKNOWN, "promotion_ids", index, id, 0, 0)
            # Others were published without it in mind: free items that earn each other are looked for at a put.
            if (<PromotionRow*>self.book.promotions.row(row)).state == STATE_ENDED and state != STATE_ENDED:
                return refuse(out, RESULT_CODE_PROMOTION_ENDED, "promotion_ids", index, id, 0, 0)
            index += 1

        # Apply.
        reader = reader_of(command.body)
        while next_of(&reader, SetPromotionStateRequest_promotion_ids):
            row = self.book.find(read_span(&reader))
            (<PromotionRow*>self.book.promotions.edit(row)).state = state
        self.book.stale = True
        return ok(out)

    cdef int put_rules(self, Command* command, Writer* out) noexcept nogil:
        cdef Reader reader = reader_of(command.body), inner
        cdef Span rules = no_span(), location
        cdef int64_t index = 0, from_ns, offset_s, row
        cdef OffsetRow* offset
        cdef int step
        for step in range(2):  # check, then apply
            reader = reader_of(command.body)
            index = 0
            while next_field(&reader):
                if reader.field == PutPricingRulesRequest_rules:
                    rules = read_span(&reader)
                    continue
                if reader.field != PutPricingRulesRequest_utc_offsets:
                    skip_field(&reader)
                    continue
                inner = reader_of(read_span(&reader))
                location = no_span()
                from_ns = offset_s = 0
                while next_field(&inner):
                    if inner.field == UtcOffset_location_id:
                        location = read_span(&inner)
                    elif inner.field == UtcOffset_from_ns:
                        from_ns = read_int(&inner)
                    elif inner.field == UtcOffset_offset_s:
                        offset_s = read_int(&inner)
                    else:
                        skip_field(&inner)
                row = self.catalog.find_location(location) if location.size else -1
                if step == 0:
                    if inner.bad or not -86400 < offset_s < 86400 or not 0 <= from_ns <= TIME_NS_MAX:
                        return refuse(
                            out, RESULT_CODE_TIME_INVALID, "utc_offsets.offset_s", index, location, offset_s, 86399
                        )
                    if location.size and row < 0:
                        return refuse(
                            out, RESULT_CODE_LOCATION_UNKNOWN, "utc_offsets.location_id", index, location, 0, 0
                        )
                    if index == PUT_ROWS_MAX:
                        return refuse(
                            out, RESULT_CODE_TOO_MANY, "utc_offsets", index, location, index + 1, PUT_ROWS_MAX
                        )
                else:
                    if index >= self.book.offsets.count:
                        self.book.offsets.append()
                    offset = <OffsetRow*>self.book.offsets.edit(index)
                    offset.location = row + 1
                    offset.from_ns = from_ns
                    offset.offset_s = offset_s
                index += 1
            if reader.bad:
                return MALFORMED
            if step == 0:
                if rules.size > DEFINITION_BYTES_MAX:
                    return refuse(out, RESULT_CODE_TOO_MANY, "rules", 0, location, rules.size, DEFINITION_BYTES_MAX)
                if not self.rules_are_sound(rules):
                    return refuse(out, RESULT_CODE_FIELD_INVALID, "rules", 0, no_span(), 0, 0)
        self.book.offsets.truncate(index)
        (<RulesRow*>self.book.rules.edit(0)).rules = self.book.store(rules)
        (<RulesRow*>self.book.rules.edit(0)).offset_count = index
        self.book.stale = True
        return ok(out)

    cdef bint rules_are_sound(self, Span rules) noexcept with gil:
        cdef Snapshot trial = Snapshot()
        read_rules(trial, rules)
        return trial.defect.code == 0

    cdef int put_coupons(self, Command* command, Writer* out) noexcept nogil:
        cdef Reader reader = reader_of(command.body)
        cdef Span id = no_span(), code
        cdef int64_t count = 0, promotion, row
        cdef CouponRow* coupon
        # Check.
        while next_field(&reader):
            if reader.field == PutCouponsRequest_promotion_id:
                id = read_span(&reader)
            elif reader.field == PutCouponsRequest_codes:
                code = read_span(&reader)
                if not reader.bad and not is_code(code):
                    return refuse(out, RESULT_CODE_FIELD_INVALID, "codes", count, no_span(), code.size, CODE_BYTES_MAX)
                if self.book.find_coupon(code) >= 0:
                    return refuse(out, RESULT_CODE_COUPON_TAKEN, "codes", count, code, 0, 0)
                count += 1
            else:
                skip_field(&reader)
        if reader.bad:
            return MALFORMED
        promotion = self.book.find(id)
        if promotion < 0:
            return refuse(out, RESULT_CODE_PROMOTION_UNKNOWN, "promotion_id", 0, id, 0, 0)
        if not self.takes_codes(promotion):
            return refuse(out, RESULT_CODE_COUPONS_NOT_ASKED, "promotion_id", 0, id, 0, 0)
        if count == 0:
            return refuse(out, RESULT_CODE_LINES_EMPTY, "codes", 0, id, 0, 1)
        if count > PUT_ROWS_MAX:
            return refuse(out, RESULT_CODE_TOO_MANY, "codes", 0, id, count, PUT_ROWS_MAX)

        # Apply; a code that stands twice in the request is one coupon.
        reader = reader_of(command.body)
        while next_of(&reader, PutCouponsRequest_codes):
            code = read_span(&reader)
            if self.book.find_coupon(code) >= 0:
                continue
            row = self.book.coupons.append()
            coupon = <CouponRow*>self.book.coupons.edit(row)
            coupon.code = self.book.store(code)
            coupon.promotion = promotion
            index_add(&self.book.coupon_index, coupon_hash(code), row)
        return ok(out)

    cdef bint takes_codes(self, int64_t row) noexcept nogil:
        """Whether single-use codes open a promotion, now or from the instant on for which it is put."""
        cdef PromotionRow* promotion = <PromotionRow*>self.book.promotions.row(row)
        return _is_opened_by_codes(self.book.text(promotion.now)) or _is_opened_by_codes(self.book.text(promotion.next))

    # What a put checks of definitions.

    cdef int check_all(self, Span body, uint32_t field, Writer* out) noexcept nogil:
        """How many there are, and each by itself."""
        cdef int code = check_count(body, field, "promotions", out)
        return self.check(body, field, out) if code == RESULT_CODE_OK else code

    cdef int check(self, Span body, uint32_t field, Writer* out) noexcept with gil:
        """Compile the definitions in a field of a request for a try; refuses the first that is not sound."""
        cdef Snapshot trial = Snapshot()
        cdef Reader reader = reader_of(body)
        cdef Span definition
        cdef int64_t index = 0
        cdef Contradiction contradiction
        cdef dict ids = {}
        cdef list edges = []
        while next_of(&reader, field):
            definition = read_span(&reader)
            if definition.size > DEFINITION_BYTES_MAX:
                return refuse(
                    out, RESULT_CODE_TOO_MANY, "promotions", index, _id_of(definition), definition.size,
                    DEFINITION_BYTES_MAX,
                )
            if not add_promotion(trial, definition):
                return refuse(
                    out, trial.defect.code, trial.defect.field, index, trial.defect.subject, trial.defect.found,
                    trial.defect.limit,
                )
            if contradicts_itself(definition, &contradiction):
                return refuse(
                    out, RESULT_CODE_PROMOTION_NEVER, "promotions.conditions", index, _id_of(definition),
                    contradiction.found, contradiction.limit,
                )
            id = bytes_of(_id_of(definition))
            if id in ids:
                return refuse(
                    out, RESULT_CODE_FIELD_INVALID, "promotions.promotion_id", index, _id_of(definition), index, ids[id]
                )
            ids[id] = index
            edges += free_item_edges(definition)
            index += 1
        return self.check_free_items(ids, edges, out) if edges else RESULT_CODE_OK

    cdef int check_free_items(self, dict ids, list edges, Writer* out):
        """Free items of the request, and of the other promotions that are not over, must not earn each other."""
        cdef int64_t row
        cdef PromotionRow* promotion
        cdef bytes item
        for row in range(self.book.promotions.count):
            promotion = <PromotionRow*>self.book.promotions.row(row)
            if promotion.state == STATE_ENDED or bytes_of(self.book.text(promotion.id)) in ids:
                continue
            edges += free_item_edges(self.book.text(promotion.now)) + free_item_edges(self.book.text(promotion.next))
        item = free_item_circle(edges)
        if item is None:
            return RESULT_CODE_OK
        return refuse(
            out, RESULT_CODE_FREE_ITEM_CIRCLE, "promotions.benefits.item_id", 0, span_at(<const char*>item, len(item)),
            0, 0,
        )

    # Queries.

    cdef int check_promotions(self, Span request, Writer* out) noexcept nogil:
        """The query: whether PutPromotions would take the promotions of a CheckPromotionsRequest."""
        cdef int code = self.check_all(request, CheckPromotionsRequest_promotions, out)
        return ok(out) if code == RESULT_CODE_OK else code

    cdef int list_promotions(self, Span request, Writer* out) noexcept nogil:
        cdef Reader reader = reader_of(request)
        cdef Span id, token = no_span()
        cdef int64_t asked = 0, page_size = 0, row, first = 0, i
        while next_field(&reader):
            if reader.field == ListPromotionsRequest_promotion_ids:
                id = read_span(&reader)
                asked += 1
                if not reader.bad and self.book.find(id) < 0:
                    return refuse(out, RESULT_CODE_PROMOTION_UNKNOWN, "promotion_ids", asked - 1, id, 0, 0)
            elif reader.field == ListPromotionsRequest_page_size:
                page_size = read_int(&reader)
            elif reader.field == ListPromotionsRequest_page_token:
                token = read_span(&reader)
            else:
                skip_field(&reader)
        if reader.bad:
            return MALFORMED
        if not 0 <= page_size <= PAGE_SIZE_MAX or asked > PAGE_SIZE_MAX or token.size > 18:
            return refuse(out, RESULT_CODE_FIELD_INVALID, "page_size", 0, token, page_size, PAGE_SIZE_MAX)
        for i in range(token.size):
            if not 48 <= token.data[i] <= 57:
                return refuse(out, RESULT_CODE_FIELD_INVALID, "page_token", 0, token, 0, 0)
            first = first * 10 + token.data[i] - 48
        if asked:
            reader = reader_of(request)
            while next_of(&reader, ListPromotionsRequest_promotion_ids):
                self.write_published(out, self.book.find(read_span(&reader)))
            return ok(out)
        page_size = page_size if page_size else 50
        row = first
        while row < min(first + page_size, self.book.promotions.count):
            self.write_published(out, row)
            row += 1
        if row < self.book.promotions.count:
            write_token(row, out)
        return ok(out)

    cdef void write_published(self, Writer* out, int64_t row) noexcept nogil:
        cdef PromotionRow* promotion = <PromotionRow*>self.book.promotions.row(row)
        cdef int64_t mark = begin_message(out, ListPromotionsResponse_promotions), inner
        write_span(out, PublishedPromotion_promotion, self.book.text(promotion.now))
        write_int(out, PublishedPromotion_state, promotion.state)
        write_int(out, PublishedPromotion_version, promotion.version)
        inner = begin_message(out, PublishedPromotion_usage)
        write_int(out, PromotionUsage_used, promotion.used)
        write_int(out, PromotionUsage_cancelled_uses, promotion.cancelled)
        write_int(out, PromotionUsage_budget_spent_minor, promotion.spent_minor)
        end_message(out, inner)
        if promotion.next_ns:
            write_span(out, PublishedPromotion_next, self.book.text(promotion.next))
            write_int(out, PublishedPromotion_next_from_ns, promotion.next_ns)
        end_message(out, mark)

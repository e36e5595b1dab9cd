"""The promotions that the engine has, and what is used of them.

Uses, budgets and single-use coupons are taken where the sale is booked, in the same command: a
racing sale sees them taken or does not see the sale at all.
"""

from cpython.bytes cimport PyBytes_FromStringAndSize
from libc.stdint cimport int32_t, int64_t, uint32_t, uint64_t
from libc.stdlib cimport free
from libc.string cimport memset

from ringup.native.arrays cimport room_for
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
    ListPromotionsResponse_next_page_token,
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
    SimulateRequest_promotions,
    SimulateRequest_rules,
    UtcOffset_from_ns,
    UtcOffset_location_id,
    UtcOffset_offset_s,
)
from ringup.native.index cimport hash_bytes, hash_int, index_add, index_free, index_next, index_start
from ringup.native.limits cimport CODE_BYTES_MAX, PAGE_SIZE_MAX, PUT_ROWS_MAX, TIME_NS_MAX
from ringup.native.pricing_state cimport Basket, InputCoupon, Verdict, add_coupon
from ringup.native.promotion cimport (
    NO_SYMBOL,
    OUT_APPLIED,
    OUT_EXPIRED,
    OUT_USAGE_LIMIT,
    Snapshot,
    Usage,
    coupon_hash,
    same_coupon,
)
from ringup.native.promotion_check cimport Contradiction, contradicts_itself, free_item_circle, free_item_edges
from ringup.native.promotion_compile cimport add_promotion, compile_promotions, read_rules
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
    span_equal,
    write_int,
    write_span,
    writer_free,
)


cdef Span _id_of(Span definition) noexcept nogil:
    cdef Reader reader = reader_of(definition)
    while next_field(&reader):
        if reader.field == Promotion_promotion_id:
            return read_span(&reader)
        skip_field(&reader)
    return no_span()


cdef bint is_opened_by_codes(Span definition) noexcept nogil:
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


cdef bytes _bytes_of(Span span):
    return span.data[:span.size] if span.size else b""


cdef class PromotionBook:
    """Definitions, versions, counters and coupons of all promotions."""

    def __cinit__(self, catalog):
        self.catalog = catalog
        self.heap = Heap("promotion_heap", 1)
        self.promotions = Table("promotions", sizeof(PromotionRow))
        self.rules = Table("pricing_rules", sizeof(RulesRow))
        self.offsets = Table("utc_offsets", sizeof(OffsetRow))
        self.coupons = Table("coupons", sizeof(CouponRow))
        self.customer_uses = Table("customer_uses", sizeof(CustomerUseRow))
        self.taken = Table("sale_promotions", sizeof(TakenRow))
        self.tables = [
            self.heap, self.promotions, self.rules, self.offsets, self.coupons, self.customer_uses, self.taken,
        ]
        self.rules.append()
        self.stale = True
        self.due_ns = TIME_NS_MAX
        self.refresh(0)

    def __dealloc__(self):
        index_free(&self.promotion_index)
        index_free(&self.coupon_index)
        index_free(&self.customer_index)
        free(self.row_of)
        free(self.place_of)
        free(self.usage)

    cdef Bytes store(self, Span span) noexcept nogil:
        cdef Bytes found
        found.size = span.size
        found.at = self.heap.put(span.data, span.size) if span.size else 0
        return found

    cdef Span text(self, Bytes bytes) noexcept nogil:
        return span_at(self.heap.row(bytes.at) if bytes.size else NULL, bytes.size)

    cdef void rebuild(self) noexcept nogil:
        """Make the indexes anew, after the tables' pages were loaded."""
        cdef int64_t row
        cdef CustomerUseRow* use
        cdef PromotionRow* promotion
        self.due_ns = TIME_NS_MAX
        for row in range(self.promotions.count):
            promotion = <PromotionRow*>self.promotions.row(row)
            index_add(&self.promotion_index, hash_bytes(self.text(promotion.id).data, promotion.id.size), row)
            if promotion.next_ns and promotion.next_ns < self.due_ns:
                self.due_ns = promotion.next_ns
        for row in range(self.coupons.count):
            index_add(
                &self.coupon_index, coupon_hash(self.text((<CouponRow*>self.coupons.row(row)).code)), row
            )
        for row in range(self.customer_uses.count):
            use = <CustomerUseRow*>self.customer_uses.row(row)
            index_add(
                &self.customer_index,
                hash_int(hash_bytes(self.text(use.customer).data, use.customer.size) + <uint64_t>use.promotion), row,
            )
        self.stale = True

    cdef int64_t find(self, Span id) noexcept nogil:
        """The row of a promotion, or -1."""
        cdef uint64_t hash = hash_bytes(id.data, id.size)
        cdef int64_t cursor = index_start(&self.promotion_index, hash)
        cdef int64_t row = index_next(&self.promotion_index, hash, &cursor)
        while row >= 0 and not span_equal(self.text((<PromotionRow*>self.promotions.row(row)).id), id):
            row = index_next(&self.promotion_index, hash, &cursor)
        return row

    cdef int64_t find_coupon(self, Span code) noexcept nogil:
        """The row of a single-use code, or -1; compared as customers type it."""
        cdef uint64_t hash = coupon_hash(code)
        cdef int64_t cursor = index_start(&self.coupon_index, hash)
        cdef int64_t row = index_next(&self.coupon_index, hash, &cursor)
        while row >= 0 and not same_coupon(self.text((<CouponRow*>self.coupons.row(row)).code), code):
            row = index_next(&self.coupon_index, hash, &cursor)
        return row

    cdef int64_t find_customer_use(self, Span customer, int64_t promotion) noexcept nogil:
        cdef uint64_t hash = hash_int(hash_bytes(customer.data, customer.size) + <uint64_t>promotion)
        cdef int64_t cursor = index_start(&self.customer_index, hash)
        cdef int64_t row = index_next(&self.customer_index, hash, &cursor)
        cdef CustomerUseRow* use
        while row >= 0:
            use = <CustomerUseRow*>self.customer_uses.row(row)
            if use.promotion == promotion and span_equal(self.text(use.customer), customer):
                return row
            row = index_next(&self.customer_index, hash, &cursor)
        return -1

    cdef int64_t customer_count(self, int32_t place) noexcept with gil:
        """How often the customer of the basket at hand has used the promotion."""
        cdef int64_t row = -1, uses, at
        if self.customer.size:
            row = self.find_customer_use(self.customer, self.row_of[place])
        if row < 0:
            return 0
        uses = (<CustomerUseRow*>self.customer_uses.row(row)).uses
        for at in range(self.aside_first, self.aside_first + self.aside_count):
            uses -= (<TakenRow*>self.taken.row(at)).customer_use == row + 1
        return uses

    cdef int64_t offset_s(self, int64_t location, int64_t at_ns) noexcept nogil:
        """What the store's clock shows beyond UTC at an instant, in seconds."""
        cdef int64_t row, best = -1
        cdef OffsetRow* offset
        cdef OffsetRow* held
        for row in range((<RulesRow*>self.rules.row(0)).offset_count):
            offset = <OffsetRow*>self.offsets.row(row)
            if offset.from_ns > at_ns or (offset.location != 0 and offset.location != location + 1):
                continue
            held = <OffsetRow*>self.offsets.row(max(best, 0))
            if best < 0 or (offset.location != 0) > (held.location != 0) or (
                offset.location == held.location and offset.from_ns >= held.from_ns
            ):
                best = row
        return (<OffsetRow*>self.offsets.row(best)).offset_s if best >= 0 else 0

    # The snapshot

    cdef void publish_due(self, int64_t now_ns) noexcept nogil:
        """Bring versions into force whose instant has come."""
        cdef int64_t row, due = TIME_NS_MAX
        cdef PromotionRow* promotion
        if now_ns < self.due_ns:
            return
        for row in range(self.promotions.count):
            promotion = <PromotionRow*>self.promotions.row(row)
            if not promotion.next_ns:
                continue
            if promotion.next_ns > now_ns:
                due = min(due, promotion.next_ns)
                continue
            promotion = <PromotionRow*>self.promotions.edit(row)
            promotion.now = promotion.next
            promotion.next.at = promotion.next.size = promotion.next_ns = 0
            promotion.state = STATE_ACTIVE
            promotion.version += 1
            self.stale = True
        self.due_ns = due

    cdef Span in_force(self, PromotionRow* promotion, int64_t at_ns) noexcept nogil:
        # The definition that counts at an instant; empty when the promotion takes no part.
        if promotion.next_ns and promotion.next_ns <= at_ns:
            return self.text(promotion.next)
        return self.text(promotion.now) if promotion.state == STATE_ACTIVE else no_span()

    cdef void refresh(self, int64_t at_ns) noexcept with gil:
        """Compile the snapshot of the versions in force at an instant."""
        cdef Writer writer
        cdef int64_t row, number = 0, place
        cdef PromotionRow* promotion
        cdef Snapshot snapshot
        memset(&writer, 0, sizeof(Writer))
        self.valid_from_ns = 0
        self.valid_to_ns = TIME_NS_MAX + 1
        for row in range(self.promotions.count):
            promotion = <PromotionRow*>self.promotions.row(row)
            if promotion.next_ns and promotion.next_ns <= at_ns:
                self.valid_from_ns = max(self.valid_from_ns, promotion.next_ns)
            elif promotion.next_ns:
                self.valid_to_ns = min(self.valid_to_ns, promotion.next_ns)
            if self.in_force(promotion, at_ns).size:
                write_span(&writer, SimulateRequest_promotions, self.in_force(promotion, at_ns))
                number += 1
        write_span(&writer, SimulateRequest_rules, self.text((<RulesRow*>self.rules.row(0)).rules))
        snapshot = Snapshot()
        snapshot.definition = PyBytes_FromStringAndSize(<char*>writer.data, writer.size) if writer.size else b""
        writer_free(&writer)
        compile_promotions(
            snapshot, span_at(<const char*>snapshot.definition, len(snapshot.definition)), SimulateRequest_promotions,
            SimulateRequest_rules,
        )
        assert snapshot.defect.code == 0, "definitions are checked before they are stored"
        self.place_of = <int64_t*>room_for(
            self.place_of, &self.place_capacity, self.promotions.count + 1, sizeof(int64_t)
        )
        self.row_of = <int64_t*>room_for(self.row_of, &self.row_capacity, number + 1, sizeof(int64_t))
        self.usage = <Usage*>room_for(self.usage, &self.usage_capacity, number + 1, sizeof(Usage))
        number = 0
        for row in range(self.promotions.count):
            promotion = <PromotionRow*>self.promotions.row(row)
            self.place_of[row] = -1
            if self.in_force(promotion, at_ns).size:
                place = snapshot.order[number]
                number += 1
                self.place_of[row] = place
                self.row_of[place] = row
                self.usage[place].used = promotion.used
                self.usage[place].cancelled = promotion.cancelled
                self.usage[place].spent = promotion.spent_minor
                self.usage[place].customer_used = 0
        self.snapshot = snapshot
        self.stale = False

    # Sales

    cdef void add_coupon_code(self, Basket* basket, Span code) noexcept nogil:
        """Present a code: a single-use one stands for its promotion while it is unused."""
        cdef InputCoupon* coupon = add_coupon(basket)
        cdef int64_t row
        coupon.code = code
        row = self.find_coupon(code) if self.coupons.count else -1
        if row < 0:
            return
        coupon.promotion = <int32_t>self.place_of[(<CouponRow*>self.coupons.row(row)).promotion]
        if (<CouponRow*>self.coupons.row(row)).sale and (<CouponRow*>self.coupons.row(row)).sale != self.aside_sale:
            coupon.outcome = OUT_USAGE_LIMIT
            coupon.promotion = NO_SYMBOL
        elif coupon.promotion < 0:
            coupon.outcome = OUT_EXPIRED
            coupon.promotion = NO_SYMBOL

    cdef void take(self, Basket* basket, Span customer, int64_t sale, int64_t* first, int64_t* count) noexcept nogil:
        """Take the uses, budgets and coupons of the promotions that the priced basket applied."""
        cdef int64_t i, j, row, use
        cdef Verdict* verdict
        cdef PromotionRow* promotion
        cdef TakenRow* taken
        first[0] = self.taken.count
        count[0] = 0
        for i in range(basket.verdict_count):
            verdict = &basket.verdicts[i]
            if verdict.outcome != OUT_APPLIED:
                continue
            row = self.row_of[verdict.promotion]
            promotion = <PromotionRow*>self.promotions.edit(row)
            promotion.used += 1
            promotion.spent_minor += verdict.discount
            self.usage[verdict.promotion].used = promotion.used
            self.usage[verdict.promotion].spent = promotion.spent_minor
            use = self.taken.append()
            taken = <TakenRow*>self.taken.edit(use)
            taken.promotion = row
            taken.discount_minor = verdict.discount
            count[0] += 1
            if customer.size and self.snapshot.promotions[verdict.promotion].max_uses_per_customer >= 0:
                use = self.find_customer_use(customer, row)
                if use < 0:
                    use = self.customer_uses.append()
                    (<CustomerUseRow*>self.customer_uses.edit(use)).customer = self.store(customer)
                    (<CustomerUseRow*>self.customer_uses.edit(use)).promotion = row
                    index_add(
                        &self.customer_index,
                        hash_int(hash_bytes(customer.data, customer.size) + <uint64_t>row), use,
                    )
                (<CustomerUseRow*>self.customer_uses.edit(use)).uses += 1
                taken.customer_use = <uint32_t>(use + 1)
            for j in range(basket.coupon_count):
                if basket.coupons[j].promotion == verdict.promotion:
                    use = self.find_coupon(basket.coupons[j].code)
                    if not (<CouponRow*>self.coupons.row(use)).sale:
                        (<CouponRow*>self.coupons.edit(use)).sale = sale + 1
                        taken.coupon = <uint32_t>(use + 1)
                        break

    cdef void set_aside(self, int64_t sale, int64_t first, int64_t count) noexcept nogil:
        """Price as if `sale` had used nothing, until `put_back`; the snapshot in force stays the same until then."""
        cdef int64_t i, place
        cdef TakenRow* taken
        self.aside_sale, self.aside_first, self.aside_count = sale + 1, first, count
        for i in range(first, first + count):
            taken = <TakenRow*>self.taken.row(i)
            place = self.place_of[taken.promotion]
            if place >= 0:
                self.usage[place].used -= 1
                self.usage[place].spent -= taken.discount_minor

    cdef void put_back(self) noexcept nogil:
        cdef int64_t i, place
        cdef TakenRow* taken
        for i in range(self.aside_first, self.aside_first + self.aside_count):
            taken = <TakenRow*>self.taken.row(i)
            place = self.place_of[taken.promotion]
            if place >= 0:
                self.usage[place].used += 1
                self.usage[place].spent += taken.discount_minor
        self.aside_sale = self.aside_first = self.aside_count = 0

    cdef void give_back(self, int64_t first, int64_t count) noexcept nogil:
        """A sale was wholly taken back: count it as cancelled, and free what its promotions let free."""
        cdef int64_t i, place
        cdef TakenRow* taken
        cdef PromotionRow* promotion
        for i in range(first, first + count):
            taken = <TakenRow*>self.taken.row(i)
            promotion = <PromotionRow*>self.promotions.edit(taken.promotion)
            promotion.cancelled += 1
            place = self.place_of[taken.promotion]
            if place < 0:
                continue
            self.usage[place].cancelled = promotion.cancelled
            if not self.snapshot.promotions[place].release_on_cancel:
                continue
            promotion.spent_minor -= taken.discount_minor
            self.usage[place].spent = promotion.spent_minor
            if taken.customer_use:
                (<CustomerUseRow*>self.customer_uses.edit(taken.customer_use - 1)).uses -= 1
            if taken.coupon:
                (<CouponRow*>self.coupons.edit(taken.coupon - 1)).sale = 0

    # Commands

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
            id = _bytes_of(_id_of(definition))
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
        for row in range(self.promotions.count):
            promotion = <PromotionRow*>self.promotions.row(row)
            if promotion.state == STATE_ENDED or _bytes_of(self.text(promotion.id)) in ids:
                continue
            edges += free_item_edges(self.text(promotion.now)) + free_item_edges(self.text(promotion.next))
        item = free_item_circle(edges)
        if item is None:
            return RESULT_CODE_OK
        return refuse(
            out, RESULT_CODE_FREE_ITEM_CIRCLE, "promotions.benefits.item_id", 0, span_at(<const char*>item, len(item)),
            0, 0,
        )

    cdef int check_all(self, Span body, uint32_t field, Writer* out) noexcept nogil:
        """How many there are, and each by itself."""
        cdef int code = check_count(body, field, "promotions", out)
        return self.check(body, field, out) if code == RESULT_CODE_OK else code

    cdef int check_promotions(self, Span request, Writer* out) noexcept nogil:
        """The query: whether PutPromotions would take the promotions of a CheckPromotionsRequest."""
        cdef int code = self.check_all(request, CheckPromotionsRequest_promotions, out)
        return ok(out) if code == RESULT_CODE_OK else code

    cdef bytes rules_bytes(self):
        return _bytes_of(self.text((<RulesRow*>self.rules.row(0)).rules))

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
            row = self.find(id)
            if row < 0:
                row = self.promotions.append()
                (<PromotionRow*>self.promotions.edit(row)).id = self.store(id)
                index_add(&self.promotion_index, hash_bytes(id.data, id.size), row)
                created += 1
            promotion = <PromotionRow*>self.promotions.edit(row)
            if effective_ns > command.now_ns:
                promotion.next = self.store(definition)
                promotion.next_ns = effective_ns
                self.due_ns = min(self.due_ns, effective_ns)
                self.stale = True
            else:
                promotion.now = self.store(definition)
                promotion.next.at = promotion.next.size = promotion.next_ns = 0
                promotion.state = STATE_ACTIVE
                promotion.version += 1
                self.stale = True
        self.stale = self.stale or created > 0  # places by row must know the new rows
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
            row = self.find(id)
            if row < 0:
                return refuse(out, RESULT_CODE_PROMOTION_UNKNOWN, "promotion_ids", index, id, 0, 0)
            # Others were published without it in mind: free items that earn each other are looked for at a put.
            if (<PromotionRow*>self.promotions.row(row)).state == STATE_ENDED and state != STATE_ENDED:
                return refuse(out, RESULT_CODE_PROMOTION_ENDED, "promotion_ids", index, id, 0, 0)
            index += 1

        # Apply.
        reader = reader_of(command.body)
        while next_of(&reader, SetPromotionStateRequest_promotion_ids):
            row = self.find(read_span(&reader))
            (<PromotionRow*>self.promotions.edit(row)).state = state
        self.stale = True
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
                    if index >= self.offsets.count:
                        self.offsets.append()
                    offset = <OffsetRow*>self.offsets.edit(index)
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
        self.offsets.truncate(index)
        (<RulesRow*>self.rules.edit(0)).rules = self.store(rules)
        (<RulesRow*>self.rules.edit(0)).offset_count = index
        self.stale = True
        return ok(out)

    cdef bint rules_are_sound(self, Span rules) noexcept with gil:
        cdef Snapshot trial = Snapshot()
        read_rules(trial, rules)
        return trial.defect.code == 0

    cdef bint takes_codes(self, int64_t row) noexcept nogil:
        """Whether single-use codes open a promotion, now or from the instant on for which it is put."""
        cdef PromotionRow* promotion = <PromotionRow*>self.promotions.row(row)
        return is_opened_by_codes(self.text(promotion.now)) or is_opened_by_codes(self.text(promotion.next))

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
                if self.find_coupon(code) >= 0:
                    return refuse(out, RESULT_CODE_COUPON_TAKEN, "codes", count, code, 0, 0)
                count += 1
            else:
                skip_field(&reader)
        if reader.bad:
            return MALFORMED
        promotion = self.find(id)
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
            if self.find_coupon(code) >= 0:
                continue
            row = self.coupons.append()
            coupon = <CouponRow*>self.coupons.edit(row)
            coupon.code = self.store(code)
            coupon.promotion = promotion
            index_add(&self.coupon_index, coupon_hash(code), row)
        return ok(out)

    # The query

    cdef void write_published(self, Writer* out, int64_t row) noexcept nogil:
        cdef PromotionRow* promotion = <PromotionRow*>self.promotions.row(row)
        cdef int64_t mark = begin_message(out, ListPromotionsResponse_promotions), inner
        write_span(out, PublishedPromotion_promotion, self.text(promotion.now))
        write_int(out, PublishedPromotion_state, promotion.state)
        write_int(out, PublishedPromotion_version, promotion.version)
        inner = begin_message(out, PublishedPromotion_usage)
        write_int(out, PromotionUsage_used, promotion.used)
        write_int(out, PromotionUsage_cancelled_uses, promotion.cancelled)
        write_int(out, PromotionUsage_budget_spent_minor, promotion.spent_minor)
        end_message(out, inner)
        if promotion.next_ns:
            write_span(out, PublishedPromotion_next, self.text(promotion.next))
            write_int(out, PublishedPromotion_next_from_ns, promotion.next_ns)
        end_message(out, mark)

    cdef int list_promotions(self, Span request, Writer* out) noexcept nogil:
        cdef Reader reader = reader_of(request)
        cdef Span id, token = no_span()
        cdef int64_t asked = 0, page_size = 0, row, first = 0, i
        cdef char[24] digits
        while next_field(&reader):
            if reader.field == ListPromotionsRequest_promotion_ids:
                id = read_span(&reader)
                asked += 1
                if not reader.bad and self.find(id) < 0:
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
                self.write_published(out, self.find(read_span(&reader)))
            return ok(out)
        page_size = page_size if page_size else 50
        row = first
        while row < min(first + page_size, self.promotions.count):
            self.write_published(out, row)
            row += 1
        if row < self.promotions.count:
            i = 24
            while row:
                i -= 1
                digits[i] = <char>(48 + row % 10)
                row //= 10
            write_span(out, ListPromotionsResponse_next_page_token, span_at(&digits[i], 24 - i))
        return ok(out)


cdef int64_t customer_uses(void* context, int32_t place) noexcept with gil:
    return (<PromotionBook>context).customer_count(place)

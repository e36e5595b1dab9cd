"""What is used of promotions: uses, budgets, single-use coupons, and how often a customer had one.

Uses, budgets and single-use coupons are taken where the sale is booked, in the same command: a
racing sale sees them taken or does not see the sale at all.
"""

from libc.stdint cimport int32_t, int64_t, uint32_t, uint64_t

from ringup.native.index cimport hash_bytes, hash_int, index_add, index_free, index_next, index_start
from ringup.native.pricing_state cimport Basket, InputCoupon, Verdict, add_coupon
from ringup.native.promotion cimport NO_SYMBOL, OUT_APPLIED, OUT_EXPIRED, OUT_USAGE_LIMIT, coupon_hash, same_coupon
from ringup.native.promotion_versions cimport PromotionRow, PromotionVersions
from ringup.native.wire cimport Span, span_equal


cdef inline uint64_t _hash_of_use(Span customer, int64_t promotion) noexcept nogil:
    return hash_int(hash_bytes(customer.data, customer.size) + <uint64_t>promotion)


cdef class PromotionBook(PromotionVersions):
    """Counters, single-use coupons, and what each sale used."""

    def __cinit__(self, catalog):
        self.coupons = Table("coupons", sizeof(CouponRow))
        self.customer_uses = Table("customer_uses", sizeof(CustomerUseRow))
        self.taken = Table("sale_promotions", sizeof(TakenRow))
        self.tables += [self.coupons, self.customer_uses, self.taken]

    def __dealloc__(self):
        index_free(&self.coupon_index)
        index_free(&self.customer_index)

    cdef void rebuild(self) noexcept nogil:
        """Make the indexes anew, after the tables' pages were loaded."""
        cdef int64_t row
        cdef CustomerUseRow* use
        PromotionVersions.rebuild(self)
        for row in range(self.coupons.count):
            index_add(
                &self.coupon_index, coupon_hash(self.text((<CouponRow*>self.coupons.row(row)).code)), row
            )
        for row in range(self.customer_uses.count):
            use = <CustomerUseRow*>self.customer_uses.row(row)
            index_add(&self.customer_index, _hash_of_use(self.text(use.customer), use.promotion), row)

    cdef int64_t find_coupon(self, Span code) noexcept nogil:
        """The row of a single-use code, or -1; compared as customers type it."""
        cdef uint64_t hash = coupon_hash(code)
        cdef int64_t cursor = index_start(&self.coupon_index, hash)
        cdef int64_t row = index_next(&self.coupon_index, hash, &cursor)
        while row >= 0 and not same_coupon(self.text((<CouponRow*>self.coupons.row(row)).code), code):
            row = index_next(&self.coupon_index, hash, &cursor)
        return row

    cdef int64_t find_customer_use(self, Span customer, int64_t promotion) noexcept nogil:
        cdef uint64_t hash = _hash_of_use(customer, promotion)
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
                    index_add(&self.customer_index, _hash_of_use(customer, row), use)
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


cdef int64_t customer_uses(void* context, int32_t place) noexcept with gil:
    return (<PromotionBook>context).customer_count(place)

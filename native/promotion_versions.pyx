"""The promotions that were published: definitions, versions, and the snapshot of those in force.

The definitions stand as the bytes in which they came; the snapshot that prices with them is derived, made anew when a
definition, a state or the rules change or a version's instant comes.
"""

from cpython.bytes cimport PyBytes_FromStringAndSize
from libc.stdint cimport int64_t, uint64_t
from libc.stdlib cimport free
from libc.string cimport memset

from ringup.native.arrays cimport room_for
from ringup.native.contract cimport SimulateRequest_promotions, SimulateRequest_rules
from ringup.native.index cimport hash_bytes, index_add, index_free, index_next, index_start
from ringup.native.limits cimport TIME_NS_MAX
from ringup.native.promotion cimport Snapshot, Usage
from ringup.native.promotion_compile cimport compile_promotions
from ringup.native.wire cimport Span, Writer, no_span, span_at, span_equal, write_span, writer_free


cdef class PromotionVersions:
    """Definitions, their versions, the rules of pricing, and the snapshot compiled from what is in force."""

    def __cinit__(self, catalog):
        self.catalog = catalog
        self.heap = Heap("promotion_heap", 1)
        self.promotions = Table("promotions", sizeof(PromotionRow))
        self.rules = Table("pricing_rules", sizeof(RulesRow))
        self.offsets = Table("utc_offsets", sizeof(OffsetRow))
        self.tables = [self.heap, self.promotions, self.rules, self.offsets]
        self.rules.append()
        self.stale = True
        self.due_ns = TIME_NS_MAX
        self.refresh(0)

    def __dealloc__(self):
        index_free(&self.promotion_index)
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
        """Make the index anew, after the tables' pages were loaded."""
        cdef int64_t row
        cdef PromotionRow* promotion
        self.due_ns = TIME_NS_MAX
        for row in range(self.promotions.count):
            promotion = <PromotionRow*>self.promotions.row(row)
            index_add(&self.promotion_index, hash_bytes(self.text(promotion.id).data, promotion.id.size), row)
            if promotion.next_ns and promotion.next_ns < self.due_ns:
                self.due_ns = promotion.next_ns
        self.stale = True

    cdef int64_t find(self, Span id) noexcept nogil:
        """The row of a promotion, or -1."""
        cdef uint64_t hash = hash_bytes(id.data, id.size)
        cdef int64_t cursor = index_start(&self.promotion_index, hash)
        cdef int64_t row = index_next(&self.promotion_index, hash, &cursor)
        while row >= 0 and not span_equal(self.text((<PromotionRow*>self.promotions.row(row)).id), id):
            row = index_next(&self.promotion_index, hash, &cursor)
        return row

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

    cdef bytes rules_bytes(self):
        """The rules of pricing as they were put."""
        cdef Span rules = self.text((<RulesRow*>self.rules.row(0)).rules)
        return rules.data[:rules.size] if rules.size else b""

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
            self.bring_into_force(<PromotionRow*>self.promotions.edit(row), promotion.next)
        self.due_ns = due

    cdef void bring_into_force(self, PromotionRow* promotion, Bytes definition) noexcept nogil:
        """Let a definition count from now on, as the next version; another that waited is forgotten."""
        promotion.now = definition
        promotion.next.at = promotion.next.size = promotion.next_ns = 0
        promotion.state = STATE_ACTIVE
        promotion.version += 1
        self.stale = True

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

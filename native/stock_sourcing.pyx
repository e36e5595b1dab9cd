"""In which order places are asked for units, and the positions of a place emptied."""

from libc.stdint cimport int64_t, uint32_t
from libc.stdlib cimport free

from ringup.native.arrays cimport room_for
from ringup.native.catalog cimport ITEM_KIT
from ringup.native.contract cimport REMOVAL_FEFO, REMOVAL_LIFO, SOURCING_MOST_AVAILABLE
from ringup.native.stock_kits cimport KitPartRow
from ringup.native.stock_policy cimport UNLIMITED
from ringup.native.stock_positions cimport POSITION_BARRED, ExtraRow, PositionRow
from ringup.native.stock_tally cimport tally_at, tally_clear, tally_free


cdef void _sort(Place* places, int64_t count) noexcept nogil:
    # By value, largest first, then by order: merge-free insertion, lists are short and nearly in order.
    cdef int64_t i, at
    cdef Place place
    for i in range(1, count):
        place = places[i]
        at = i
        while at > 0 and (
            places[at - 1].value < place.value
            or (places[at - 1].value == place.value and places[at - 1].order > place.order)
        ):
            places[at] = places[at - 1]
            at -= 1
        places[at] = place


cdef class Sourcing(Promises):
    """Orders of places and of positions."""

    def __dealloc__(self):
        free(self.asked)
        free(self.kit_places)
        free(self.lot_order)
        tally_free(&self.cover)

    # Places.

    cdef void order_places(self, int64_t item, ScopeIn* scope) noexcept nogil:
        """Fill `asked` with the open places of a scope, in the order in which they are asked for an item."""
        cdef int64_t i, row
        cdef Place* place
        cdef PositionRow* position
        self.asked = <Place*>room_for(self.asked, &self.asked_capacity, scope.place_count, sizeof(Place))
        self.asked_count = 0
        for i in range(scope.place_count):
            if not self.place_open(item, self.places[i].location):
                continue
            place = &self.asked[self.asked_count]
            place.location = self.places[i].location
            place.order = i
            place.value = 0
            if scope.sourcing == SOURCING_MOST_AVAILABLE:
                row = self.find(item, place.location)
                while row >= 0:
                    position = self.position_row(row)
                    if not position.flags & POSITION_BARRED:
                        place.value += position.on_hand_milli - position.allocated_milli
                    row = self.next_in_place(row)
            self.asked_count += 1
        if scope.sourcing == SOURCING_MOST_AVAILABLE:
            i = self.asked_count > 0 and self.asked[0].location == scope.collection_point
            _sort(self.asked + i, self.asked_count - i)

    cdef void order_by_cover(self, const Want* wants, int64_t count, ScopeIn* scope) noexcept nogil:
        """Order a scope's places so that few are used: again and again the one that covers most of what is left."""
        cdef int64_t i, j, done = 0, best, cover, best_cover, free_milli
        cdef Place place
        if scope.collection_point >= 0:
            done = 1
        tally_clear(&self.cover)
        while done < scope.place_count:
            best, best_cover = -1, 0
            for i in range(done, scope.place_count):
                cover = 0
                if self.enabled(self.places[i].location):
                    for j in range(count):
                        if wants[j].location < 0:
                            free_milli = self.planned_value(wants[j].item, self.places[i].location)
                            cover += min(free_milli, wants[j].qty_milli - sum_at(&self.cover, j))
                if cover > best_cover:
                    best, best_cover = i, cover
            if best < 0:
                break
            place = self.places[best]
            for i in range(best, done, -1):
                self.places[i] = self.places[i - 1]
            self.places[done] = place
            for j in range(count):
                if wants[j].location < 0:
                    free_milli = self.planned_value(wants[j].item, place.location)
                    tally_at(&self.cover, j).sum_milli += min(
                        free_milli, wants[j].qty_milli - sum_at(&self.cover, j)
                    )
            done += 1
        tally_clear(&self.cover)

    cdef int64_t planned_value(self, int64_t item, int64_t location) noexcept nogil:
        """What a place has free of an item, or in whole kits of a kit; not below zero."""
        cdef int64_t kits
        if not self.catalog.item(item).flags & ITEM_KIT:
            return max(0, self.planned_free(item, location))
        kits = self.kits_at(self.find_kit(item), location, False)
        return 0 if kits == UNLIMITED else kits * 1000

    cdef void order_kit_places(self, int64_t kit, ScopeIn* scope) noexcept nogil:
        """Fill `kit_places` with the places of a scope that are open for all parts, in the order of sourcing."""
        cdef int64_t i
        cdef Place* place
        self.kit_places = <Place*>room_for(
            self.kit_places, &self.kit_place_capacity, scope.place_count, sizeof(Place)
        )
        self.kit_place_count = 0
        for i in range(scope.place_count):
            if self.kits_at(kit, self.places[i].location, True) == 0:
                continue
            place = &self.kit_places[self.kit_place_count]
            place.location = self.places[i].location
            place.order = i
            place.value = 0
            if scope.sourcing == SOURCING_MOST_AVAILABLE:
                place.value = self.kits_value(kit, place.location)
            self.kit_place_count += 1
        if scope.sourcing == SOURCING_MOST_AVAILABLE:
            i = self.kit_place_count > 0 and self.kit_places[0].location == scope.collection_point
            _sort(self.kit_places + i, self.kit_place_count - i)

    cdef int64_t kits_value(self, int64_t kit, int64_t location) noexcept nogil:
        """Kits that the goods of a place make that are not allocated: what most-available sourcing compares."""
        cdef int64_t i, row, sum_milli, kits = UNLIMITED
        cdef KitPartRow* part
        cdef PositionRow* position
        for i in range(self.kit_row(kit).part_count):
            part = self.kit_part(kit, i)
            if not self.binds(part.item, False):
                continue
            sum_milli = 0
            row = self.find(part.item, location)
            while row >= 0:
                position = self.position_row(row)
                if not position.flags & POSITION_BARRED:
                    sum_milli += position.on_hand_milli - position.allocated_milli
                row = self.next_in_place(row)
            sum_milli = max(0, sum_milli) // part.qty_milli
            kits = sum_milli if kits == UNLIMITED else min(kits, sum_milli)
        return kits

    # Positions of a place.

    cdef int64_t removal_order(self, int64_t item, int64_t location) noexcept nogil:
        """Fill `lot_order` with the positions of a place in the order in which they are emptied; their count.

        FIFO: first received first; LIFO: last received first; FEFO: first to expire first, then first
        received.  Undated ones come last; ties in the order of their making (LIFO: the later first).
        """
        cdef int64_t row = self.find(item, location), count = 0, at
        cdef uint32_t removal = self.policy(item).removal
        cdef bint later
        while row >= 0:
            self.lot_order = <int64_t*>room_for(self.lot_order, &self.lot_capacity, count + 1, sizeof(int64_t))
            at = count
            while at > 0:
                later = self.leaves_before(row, self.lot_order[at - 1], removal)
                if not later:
                    break
                self.lot_order[at] = self.lot_order[at - 1]
                at -= 1
            self.lot_order[at] = row
            count += 1
            row = self.next_in_place(row)
        return count

    cdef bint leaves_before(self, int64_t a, int64_t b, uint32_t removal) noexcept nogil:
        cdef const ExtraRow* extra_a = self.extra_row(self.position_row(a))
        cdef const ExtraRow* extra_b = self.extra_row(self.position_row(b))
        cdef int64_t first_a = extra_a.received_ns if extra_a != NULL else 0
        cdef int64_t first_b = extra_b.received_ns if extra_b != NULL else 0
        cdef int64_t end_a, end_b
        if removal == REMOVAL_LIFO:
            if first_a != first_b:
                return first_a > first_b  # undated is zero: last
            return a > b
        if removal == REMOVAL_FEFO:
            end_a = extra_a.expires_ns if extra_a != NULL else 0
            end_b = extra_b.expires_ns if extra_b != NULL else 0
            if end_a != end_b:
                return end_a != 0 and (end_b == 0 or end_a < end_b)
        if first_a != first_b:
            return first_a != 0 and (first_b == 0 or first_a < first_b)
        return a < b

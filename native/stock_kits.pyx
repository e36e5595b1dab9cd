"""Kits: items that keep no stock of their own and are promised as their parts.

A kit is put with its parts as they are written; kits among them are opened, so that a promise only ever
sees plain items.  When a kit changes, the kits that have it as a part get a new version too.
"""

from libc.stdint cimport int32_t, int64_t, uint32_t
from libc.stdlib cimport free
from libc.string cimport memcpy

from ringup.native.arrays cimport room_for
from ringup.native.catalog cimport ITEM_IN_KIT, ITEM_KIT, ItemRow
from ringup.native.contract cimport (
    RESULT_CODE_KIT_NESTED,
    RESULT_CODE_OK,
    RESULT_CODE_QTY_INVALID,
    RESULT_CODE_QTY_TOO_LARGE,
    RESULT_CODE_TOO_MANY,
)
from ringup.native.index cimport hash_int, index_add, index_free, index_next, index_remove, index_start
from ringup.native.stock_tally cimport Entry, tally_at, tally_clear, tally_find, tally_free
from ringup.native.table cimport Table


cdef class Kits(Policies):
    """Versions of kits over the items of the catalogue."""

    def __cinit__(self):
        self.kits = Table("kits", sizeof(KitRow))
        self.kit_parts = Table("kit_parts", sizeof(KitPartRow))
        self.tables += [self.kits, self.kit_parts]

    def __dealloc__(self):
        index_free(&self.kit_index)
        free(self.pending)
        free(self.pending_parts)
        tally_free(&self.pending_of)
        tally_free(&self.opened)

    cdef int64_t find_kit(self, int64_t item) noexcept nogil:
        """The version of a kit (its item) that counts now, or -1."""
        cdef int64_t cursor = index_start(&self.kit_index, hash_int(item))
        cdef int64_t kit = index_next(&self.kit_index, hash_int(item), &cursor)
        while kit >= 0 and self.kit_row(kit).item != item:
            kit = index_next(&self.kit_index, hash_int(item), &cursor)
        return kit

    # Kits that are about to be put.

    cdef void pending_clear(self) noexcept nogil:
        self.pending_count = self.pending_part_count = 0
        tally_clear(&self.pending_of)

    cdef PendingKit* pending_add(self, int64_t item, uint32_t flags) noexcept nogil:
        cdef PendingKit* kit
        self.pending = <PendingKit*>room_for(
            self.pending, &self.pending_capacity, self.pending_count + 1, sizeof(PendingKit)
        )
        kit = &self.pending[self.pending_count]
        kit.item = item
        kit.first = self.pending_part_count
        kit.count = 0
        kit.flags = flags
        tally_at(&self.pending_of, item).sum_milli = self.pending_count
        self.pending_count += 1
        return kit

    cdef void pending_add_part(self, int64_t item, int64_t qty_milli) noexcept nogil:
        """A part of the pending kit added last."""
        cdef KitPartRow* part
        self.pending_parts = <KitPartRow*>room_for(
            self.pending_parts, &self.pending_part_capacity, self.pending_part_count + 1, sizeof(KitPartRow)
        )
        part = &self.pending_parts[self.pending_part_count]
        part.item = <int32_t>item
        part.qty_milli = qty_milli
        part.spare = 0
        self.pending_part_count += 1
        self.pending[self.pending_count - 1].count += 1

    cdef int open_kit(self, int64_t item) noexcept nogil:
        """Fill `opened` with the plain parts of one kit, pending kits as they will be; or the code that refuses it."""
        tally_clear(&self.opened)
        self.open_steps = 0
        return self.open_into(item, 1, 0)

    cdef int open_into(self, int64_t item, int64_t kits, int depth) noexcept nogil:
        cdef Entry* found = tally_find(&self.pending_of, item) if self.pending_count else NULL
        cdef int64_t kit = -1 if found != NULL else self.find_kit(item)
        cdef int64_t i, count, first
        cdef KitPartRow part
        cdef Entry* entry
        cdef bint inner
        cdef int code
        if depth > KIT_DEPTH_MAX:
            return RESULT_CODE_KIT_NESTED
        if found != NULL:
            first, count = self.pending[found.sum_milli].first, self.pending[found.sum_milli].count
        else:
            first, count = self.kit_row(kit).first_written, self.kit_row(kit).written_count
        for i in range(count):
            self.open_steps += 1
            if self.open_steps > KIT_STEPS_MAX:
                return RESULT_CODE_TOO_MANY
            part = self.pending_parts[first + i] if kit < 0 else (<KitPartRow*>self.kit_parts.row(first + i))[0]
            found = tally_find(&self.pending_of, part.item) if self.pending_count else NULL
            if found != NULL:
                inner = self.pending[found.sum_milli].count > 0
            else:
                inner = self.find_kit(part.item) >= 0
            if part.qty_milli * kits > KIT_PART_QTY_MILLI_MAX:
                return RESULT_CODE_QTY_TOO_LARGE
            if inner:
                if part.qty_milli % 1000:
                    return RESULT_CODE_QTY_INVALID  # there are whole kits only
                code = self.open_into(part.item, part.qty_milli // 1000 * kits, depth + 1)
                if code != RESULT_CODE_OK:
                    return code
                continue
            entry = tally_at(&self.opened, part.item)
            entry.sum_milli += part.qty_milli * kits
            if entry.sum_milli > KIT_PART_QTY_MILLI_MAX:
                return RESULT_CODE_QTY_TOO_LARGE
            if self.opened.count > KIT_PARTS_MAX:
                return RESULT_CODE_TOO_MANY
        return RESULT_CODE_OK

    cdef int check_kits_above(self, int64_t* item) noexcept nogil:
        """Whether the kits that are not pending can still be opened; `item` is the first that cannot."""
        cdef int64_t kit, i
        cdef bint above = False
        cdef int code
        for i in range(self.pending_count):
            above |= self.catalog.item(self.pending[i].item).flags & ITEM_IN_KIT != 0
        if not above:
            return RESULT_CODE_OK
        for kit in range(self.kits.count):
            if self.kit_row(kit).flags & KIT_CURRENT and tally_find(&self.pending_of, self.kit_row(kit).item) == NULL:
                code = self.open_kit(self.kit_row(kit).item)
                if code != RESULT_CODE_OK:
                    item[0] = self.kit_row(kit).item
                    return code
        return RESULT_CODE_OK

    # Versions.

    cdef void put_pending(self) noexcept nogil:
        """Put the pending kits, which have been checked, and the kits above them."""
        cdef int64_t i, j, kit, count
        cdef PendingKit* pending
        cdef ItemRow* item
        cdef bint above = False
        for i in range(self.pending_count):
            pending = &self.pending[i]
            above |= self.catalog.item(pending.item).flags & ITEM_IN_KIT != 0
            for j in range(pending.count):
                item = <ItemRow*>self.catalog.items.edit(self.pending_parts[pending.first + j].item)
                item.flags |= ITEM_IN_KIT
        for i in range(self.pending_count):
            pending = &self.pending[i]
            self.put_version(pending.item, self.pending_parts + pending.first, pending.count, pending.flags)
        if above:
            count = self.kits.count
            self.pending_count = 0
            for kit in range(count):
                if self.kit_row(kit).flags & KIT_CURRENT:
                    # The parts are copied first: a new version may move the table's pages.
                    self.pending_part_count = 0
                    for j in range(self.kit_row(kit).written_count):
                        self.pending_parts = <KitPartRow*>room_for(
                            self.pending_parts, &self.pending_part_capacity, j + 1, sizeof(KitPartRow)
                        )
                        self.pending_parts[j] = (<KitPartRow*>self.kit_parts.row(self.kit_row(kit).first_written + j))[0]
                    self.put_version(
                        self.kit_row(kit).item, self.pending_parts, self.kit_row(kit).written_count,
                        self.kit_row(kit).flags & KIT_APART,
                    )
        self.pending_clear()

    cdef bint put_version(
        self, int64_t item, const KitPartRow* written, int64_t count, uint32_t flags
    ) noexcept nogil:
        """Make a kit what it is from now on, no kit where `count` is zero; False where it is that already."""
        cdef int64_t old = self.find_kit(item), kit, first, i
        cdef KitRow* row
        cdef KitPartRow* part
        if count:
            self.open_kit(item)
            if old >= 0 and self.same_version(old, written, count, flags):
                return False
        if old >= 0:
            index_remove(&self.kit_index, hash_int(item), old)
            row = <KitRow*>self.kits.edit(old)
            row.flags &= ~<uint32_t>KIT_CURRENT
        elif count == 0:
            return False
        if count == 0:
            (<ItemRow*>self.catalog.items.edit(item)).flags &= ~<uint32_t>ITEM_KIT
            return True
        kit = self.kits.append()
        first = self.kit_parts.append_many(count + self.opened.count)
        row = <KitRow*>self.kits.edit(kit)
        row.item = <int32_t>item
        row.first_written = <int32_t>first
        row.written_count = <int32_t>count
        row.first_part = <int32_t>(first + count)
        row.part_count = <int32_t>self.opened.count
        row.flags = flags | KIT_CURRENT
        for i in range(count):
            part = <KitPartRow*>self.kit_parts.edit(first + i)
            memcpy(part, &written[i], sizeof(KitPartRow))
        for i in range(self.opened.count):
            part = <KitPartRow*>self.kit_parts.edit(first + count + i)
            part.item = <int32_t>self.opened.entries[self.opened.order[i]].key
            part.qty_milli = self.opened.entries[self.opened.order[i]].sum_milli
        index_add(&self.kit_index, hash_int(item), kit)
        (<ItemRow*>self.catalog.items.edit(item)).flags |= ITEM_KIT
        return True

    cdef bint same_version(
        self, int64_t kit, const KitPartRow* written, int64_t count, uint32_t flags
    ) noexcept nogil:
        """Whether a version is these parts, and opens as `opened` says."""
        cdef KitRow* row = self.kit_row(kit)
        cdef KitPartRow* part
        cdef int64_t i
        if row.written_count != count or row.part_count != self.opened.count or row.flags & KIT_APART != flags:
            return False
        for i in range(count):
            part = <KitPartRow*>self.kit_parts.row(row.first_written + i)
            if part.item != written[i].item or part.qty_milli != written[i].qty_milli:
                return False
        for i in range(self.opened.count):
            part = self.kit_part(kit, i)
            if (
                part.item != self.opened.entries[self.opened.order[i]].key
                or part.qty_milli != self.opened.entries[self.opened.order[i]].sum_milli
            ):
                return False
        return True

    cdef void rebuild_kits(self) noexcept nogil:
        """Make the index again from the rows."""
        cdef int64_t kit
        index_free(&self.kit_index)
        for kit in range(self.kits.count):
            if self.kit_row(kit).flags & KIT_CURRENT:
                index_add(&self.kit_index, hash_int(self.kit_row(kit).item), kit)

"""Quantities by date (see stock_dates.pxd)."""

from libc.stdint cimport int32_t, int64_t, uint32_t, uint64_t
from libc.stdlib cimport free

from ringup.native.arrays cimport room_for
from ringup.native.index cimport hash_int


cdef inline bint _before(const DateNode* nodes, int64_t row, uint64_t at, int64_t other) noexcept nogil:
    return nodes[row].at < at or (nodes[row].at == at and row < other)


cdef inline void _sum_up(DateNode* nodes, int64_t row) noexcept nogil:
    cdef DateNode* node = &nodes[row]
    node.sum_milli = node.qty_milli
    if node.left:
        node.sum_milli += nodes[node.left - 1].sum_milli
    if node.right:
        node.sum_milli += nodes[node.right - 1].sum_milli


cdef void _split(
    DateNode* nodes, int32_t tree, uint64_t at, int64_t row, int32_t* before, int32_t* after
) noexcept nogil:
    # Trees are row + 1 here, as in nodes.  As deep as the tree: tens of calls for any number of rows there can be.
    if tree == 0:
        before[0] = after[0] = 0
    elif _before(nodes, tree - 1, at, row):
        before[0] = tree
        _split(nodes, nodes[tree - 1].right, at, row, &nodes[tree - 1].right, after)
        _sum_up(nodes, tree - 1)
    else:
        after[0] = tree
        _split(nodes, nodes[tree - 1].left, at, row, before, &nodes[tree - 1].left)
        _sum_up(nodes, tree - 1)


cdef int32_t _join(DateNode* nodes, int32_t before, int32_t after) noexcept nogil:
    # All of `before` stands before all of `after`.
    if before == 0 or after == 0:
        return before + after
    if nodes[before - 1].priority >= nodes[after - 1].priority:
        nodes[before - 1].right = _join(nodes, nodes[before - 1].right, after)
        _sum_up(nodes, before - 1)
        return before
    nodes[after - 1].left = _join(nodes, before, nodes[after - 1].left)
    _sum_up(nodes, after - 1)
    return after


cdef int64_t dates_until(Dates* self, int64_t root, uint64_t at) noexcept nogil:
    """What the dates up to `at` have, and that one."""
    cdef int64_t sum_milli = 0
    cdef DateNode* node
    while root >= 0:
        node = &self.nodes[root]
        if node.at > at:
            root = node.left - 1
            continue
        sum_milli += node.qty_milli
        if node.left:
            sum_milli += self.nodes[node.left - 1].sum_milli
        root = node.right - 1
    return sum_milli


cdef int64_t dates_find(Dates* self, int64_t root, uint64_t at) noexcept nogil:
    """A row of this date, or -1."""
    while root >= 0 and self.nodes[root].at != at:
        root = (self.nodes[root].left if at < self.nodes[root].at else self.nodes[root].right) - 1
    return root


cdef int64_t dates_first(Dates* self, int64_t root) noexcept nogil:
    """The row that stands first by (at, row), or -1."""
    while root >= 0 and self.nodes[root].left:
        root = self.nodes[root].left - 1
    return root


cdef int64_t dates_add(Dates* self, int64_t root, int64_t row, uint64_t at, int64_t qty_milli) noexcept nogil:
    """Put a row that stands in no tree into this one; returns the root."""
    cdef int32_t tree = <int32_t>(root + 1)
    cdef int32_t* link = &tree
    cdef DateNode* node
    self.nodes = <DateNode*>room_for(self.nodes, &self.capacity, row + 1, sizeof(DateNode))
    node = &self.nodes[row]
    node.at = at
    node.qty_milli = qty_milli
    node.priority = <uint32_t>(hash_int(<uint64_t>row) >> 32)
    while link[0] and self.nodes[link[0] - 1].priority >= node.priority:
        self.nodes[link[0] - 1].sum_milli += qty_milli
        if _before(self.nodes, link[0] - 1, at, row):
            link = &self.nodes[link[0] - 1].right
        else:
            link = &self.nodes[link[0] - 1].left
    _split(self.nodes, link[0], at, row, &node.left, &node.right)
    _sum_up(self.nodes, row)
    link[0] = <int32_t>(row + 1)
    return tree - 1


cdef int64_t dates_remove(Dates* self, int64_t root, int64_t row) noexcept nogil:
    """Take a row out of the tree that it stands in; returns the root, -1 when it was the last."""
    cdef int32_t tree = <int32_t>(root + 1)
    cdef int32_t* link = &tree
    cdef DateNode* node = &self.nodes[row]
    while link[0] != row + 1:
        self.nodes[link[0] - 1].sum_milli -= node.qty_milli
        if _before(self.nodes, link[0] - 1, node.at, row):
            link = &self.nodes[link[0] - 1].right
        else:
            link = &self.nodes[link[0] - 1].left
    link[0] = _join(self.nodes, node.left, node.right)
    return tree - 1


cdef void dates_change(Dates* self, int64_t root, int64_t row, int64_t qty_milli) noexcept nogil:
    """A row of this tree has so much more, or less where it is below zero."""
    cdef DateNode* node = &self.nodes[row]
    while root != row:
        self.nodes[root].sum_milli += qty_milli
        root = (self.nodes[root].right if _before(self.nodes, root, node.at, row) else self.nodes[root].left) - 1
    node.qty_milli += qty_milli
    node.sum_milli += qty_milli


cdef void dates_free(Dates* self) noexcept nogil:
    """Forget all trees and give the memory back."""
    free(self.nodes)
    self.nodes = NULL
    self.capacity = 0

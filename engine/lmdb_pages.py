"""Prove the structure of an LMDB file (format of 0.9, 64-bit) page by page, without LMDB.

LMDB believes every byte of its file: a flipped bit in a page can hide a commit, lose a branch of the
tree, hand a live page out for writing, or crash the reader.  This walk believes nothing: each page of
the file must be reached exactly once, through a tree or through the list of free pages, and every
count, order and offset must be what the tree says.  The contents of values are not its business:
records and checkpoint pages prove themselves.

Format: `struct MDB_page`, `MDB_node`, `MDB_db` and `MDB_meta` of LMDB 0.9's mdb.c.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

MAGIC, VERSION = 0xBEEFC0DE, 1
NO_PAGE = (1 << 64) - 1
_BRANCH, _LEAF, _OVERFLOW, _META = 1, 2, 4, 8
_BIG, _SUBTREE = 1, 2  # flags of a leaf's node
_INTEGER_KEYS = 8
_HEADER = struct.Struct("=QHHHH")  # page number, padding, flags, lower, upper
_OVERFLOW_COUNT = struct.Struct("=I")  # in place of lower and upper
_NODE = struct.Struct("=HHHH")  # low and high half of the size or page number, flags, bytes of the key
_TREE = struct.Struct("=IHHQQQQQ")
_META_HEAD = struct.Struct("=IIQQ")  # magic, version, address, map size
_META_TAIL = struct.Struct("=QQ")  # last page, transaction
_META_BYTES = _META_HEAD.size + 2 * _TREE.size + _META_TAIL.size
_U64 = struct.Struct("=Q")


class PageDamage(Exception):
    """A page that is not what LMDB writes; the message names it."""


@dataclass(frozen=True, slots=True)
class Tree:
    """`MDB_db`: the root of a tree and what LMDB counted in it."""

    page_bytes: int  # only in the tree of free pages
    flags: int
    depth: int
    branch_pages: int
    leaf_pages: int
    overflow_pages: int
    entries: int
    root: int


@dataclass(frozen=True, slots=True)
class Meta:
    """`MDB_meta`: one of the two descriptions of the whole, written in turn."""

    free: Tree
    main: Tree
    last_page: int
    transaction: int


def _meta_of(data: bytes, number: int) -> Meta:
    page, _, flags, _, _ = _HEADER.unpack_from(data)
    magic, version, _, _ = _META_HEAD.unpack_from(data, _HEADER.size)
    at = _HEADER.size + _META_HEAD.size
    if (page, flags & ~0x10, magic) != (number, _META, MAGIC):
        raise PageDamage(f"page {number}: expected LMDB's description of the file, found other bytes")
    if version != VERSION:
        raise PageDamage(f"page {number}: expected LMDB's file format {VERSION}, found {version}")
    trees = [Tree(*_TREE.unpack_from(data, at + one * _TREE.size)) for one in (0, 1)]
    return Meta(trees[0], trees[1], *_META_TAIL.unpack_from(data, at + 2 * _TREE.size))


def read_metas(file: int) -> tuple[Meta, Meta]:
    """The two descriptions at the beginning of the open file; raises PageDamage.

    A commit writes them in turn, so their transactions differ by one and the even one stands first.
    Otherwise LMDB would take the older for the newer, and a commit would be gone without a word; see also
    `check_last_freed`.
    """
    first = os.pread(file, _HEADER.size + _META_BYTES, 0)
    if len(first) < _HEADER.size + _META_BYTES:
        raise PageDamage(f"expected an LMDB file, found {len(first)} bytes")
    one = _meta_of(first, 0)
    page_bytes = one.free.page_bytes
    if not 512 <= page_bytes <= 65536 or page_bytes & (page_bytes - 1):
        raise PageDamage(f"page 0: expected the size of a page, found {page_bytes} bytes")
    both = os.pread(file, 2 * page_bytes, 0)  # one read, so that a commit falls before or after it
    if len(both) < 2 * page_bytes:
        raise PageDamage(f"expected two descriptions of {page_bytes} bytes, found {len(both)} bytes")
    metas = _meta_of(both, 0), _meta_of(both[page_bytes:], 1)
    for number, meta in enumerate(metas):
        if meta.free.page_bytes != page_bytes or meta.free.flags != _INTEGER_KEYS or meta.main.flags:
            raise PageDamage(f"page {number}: the flags or the page size are not what the store writes")
    numbers = metas[0].transaction, metas[1].transaction
    if numbers != (0, 0) and (abs(numbers[0] - numbers[1]) != 1 or numbers[0] % 2):
        raise PageDamage(f"pages 0 and 1: expected two commits in a row, found {numbers[0]} and {numbers[1]}")
    return metas


def check_last_freed(meta: Meta, freed_by: int) -> None:
    """Every commit but the first frees the pages it replaced under its own number: the last must be `meta`'s.

    This tells an older description with a flipped bit in its number from the newest one.
    """
    if meta.transaction > 1 and freed_by != meta.transaction:
        raise PageDamage(
            f"page {meta.transaction & 1}: expected the description of commit {freed_by or 1}, found {meta.transaction}"
        )


def last_freed(file: int, meta: Meta) -> int:
    """The number of the last commit that freed pages, as the tree of free pages says; 0 for an empty tree."""
    page, walk = meta.free.root, Walk(file, meta)
    for _ in range(32):
        if page == NO_PAGE:
            return 0
        if page > meta.last_page:
            break
        flags, nodes = walk.nodes(page)
        if not nodes:
            break
        key, value, _, _ = nodes[-1]
        if flags == _LEAF:
            if len(key) != _U64.size:
                break
            return int(_U64.unpack(key)[0])
        page = _U64.unpack(value)[0]
    raise PageDamage("the tree of free pages cannot be followed")


@dataclass(slots=True)
class _Counts:
    depth: int = 0
    branch_pages: int = 0
    leaf_pages: int = 0
    overflow_pages: int = 0
    entries: int = 0


class Walk:
    """One walk over the file as transaction `meta` sees it."""

    def __init__(self, file: int, meta: Meta) -> None:
        """`file` stays open; nobody may overwrite the transaction's pages (hold a read transaction)."""
        self._file, self._meta = file, meta
        self._page_bytes = meta.free.page_bytes
        self._seen = bytearray()

    def prove(self) -> int:
        """Walk all trees; returns how many pages the file has.  Raises PageDamage."""
        meta, size = self._meta, os.fstat(self._file).st_size
        if meta.last_page < 1 or (meta.last_page + 1) * self._page_bytes > size:
            raise PageDamage(
                f"expected {meta.last_page + 1} pages of {self._page_bytes} bytes, found a file of {size} bytes: "
                "it was cut"
            )
        self._seen = bytearray(meta.last_page + 1)
        self._take(0, 2)
        freed_by = 0
        for key, value in self._tree(meta.free, "free pages"):
            if len(key) != 8 or len(value) < 8 or len(value) != 8 * (_U64.unpack_from(value)[0] + 1):
                raise PageDamage("the list of free pages has another length than it says")
            freed_by = _U64.unpack(key)[0]
            for (page,) in _U64.iter_unpack(value[8:]):
                self._take(page)
        check_last_freed(meta, freed_by)
        for key, value in self._tree(meta.main, "main", subtrees=True):
            for _ in self._tree(Tree(*_TREE.unpack(value)), bytes(key).decode("ascii", "replace")):
                pass
        missing = self._seen.find(0)
        if missing >= 0:
            raise PageDamage(f"page {missing}: neither in a tree nor free")
        return meta.last_page + 1

    def free_pages(self) -> list[int]:
        """The pages that no tree has."""
        self._seen = bytearray(self._meta.last_page + 1)
        found: list[int] = []
        for _, value in self._tree(self._meta.free, "free pages"):
            found += [page for (page,) in _U64.iter_unpack(value[8 : len(value) - len(value) % 8])]
        return found

    def _take(self, page: int, count: int = 1) -> None:
        if not 0 <= page <= page + count - 1 < len(self._seen):
            raise PageDamage(f"expected pages up to {len(self._seen) - 1}, found a link to page {page}")
        if any(self._seen[page : page + count]):
            raise PageDamage(f"page {page}: it is used twice")
        self._seen[page : page + count] = b"\1" * count

    def _tree(self, tree: Tree, name: str, *, subtrees: bool = False) -> Iterator[tuple[bytes, bytes]]:
        """(key, value) of every entry, in order; the value of a big entry in the tree of free pages is read, too."""
        counts = _Counts()
        is_free = tree is self._meta.free
        if tree.root != NO_PAGE:
            yield from self._page(tree.root, 1, None, None, counts, is_free=is_free, subtrees=subtrees)
        found = (counts.depth, counts.branch_pages, counts.leaf_pages, counts.overflow_pages, counts.entries)
        expected = (tree.depth, tree.branch_pages, tree.leaf_pages, tree.overflow_pages, tree.entries)
        if found != expected:
            raise PageDamage(
                f"tree {name!r}: expected depth, branch, leaf and overflow pages and entries {expected}, found {found}"
            )
        if not is_free and tree.flags:
            raise PageDamage(f"tree {name!r}: expected no flags, found {tree.flags}")

    def _page(
        self,
        page: int,
        depth: int,
        low: bytes | None,
        high: bytes | None,
        counts: _Counts,
        *,
        is_free: bool,
        subtrees: bool,
    ) -> Iterator[tuple[bytes, bytes]]:
        """The entries below `page`, whose keys must be in [low, high)."""
        self._take(page)
        if depth > 32:
            raise PageDamage(f"page {page}: deeper than LMDB builds a tree")
        counts.depth = max(counts.depth, depth)
        flags, nodes = self.nodes(page)
        if flags == _BRANCH:
            counts.branch_pages += 1
            if len(nodes) < 2:
                raise PageDamage(f"page {page}: a branch with {len(nodes)} entries")
            keys = [low, *(key for key, _, _, _ in nodes[1:]), high]
            self._ordered(page, [key for key in keys if key is not None], is_free)
            for at, (_, value, _, _) in enumerate(nodes):
                child = _U64.unpack(value)[0]
                yield from self._page(
                    child, depth + 1, keys[at], keys[at + 1], counts, is_free=is_free, subtrees=subtrees
                )
            return
        counts.leaf_pages += 1
        counts.entries += len(nodes)
        self._ordered(page, [key for key, _, _, _ in nodes], is_free)
        if nodes:
            order = self._number if is_free else bytes
            if (low is not None and order(nodes[0][0]) < order(low)) or (
                high is not None and order(nodes[-1][0]) >= order(high)
            ):
                raise PageDamage(f"page {page}: its keys do not belong where the tree has it")
        for key, value, kind, size in nodes:
            if kind != (_SUBTREE if subtrees else kind & _BIG):
                raise PageDamage(f"page {page}: an entry of unknown kind {kind}")
            if kind == _BIG:
                value = self._overflow(page, _U64.unpack(value)[0], size, counts, read=is_free)
            yield key, value

    def nodes(self, page: int) -> tuple[int, list[tuple[bytes, bytes, int, int]]]:
        """The flags of a tree's page and its nodes, see `_nodes`."""
        data = os.pread(self._file, self._page_bytes, page * self._page_bytes)
        if len(data) < self._page_bytes:
            raise PageDamage(f"page {page}: beyond the end of the file")
        number, _, flags, _, _ = _HEADER.unpack_from(data)
        if number != page or flags not in (_BRANCH, _LEAF):
            raise PageDamage(f"page {page}: expected a page of a tree, found number {number} with flags {flags}")
        return flags, self._nodes(data, page, is_leaf=flags == _LEAF)

    @staticmethod
    def _number(key: bytes) -> bytes:
        return key[::-1]  # little-endian numbers compare like their bytes turned round

    def _ordered(self, page: int, keys: list[bytes], is_free: bool) -> None:
        if is_free:
            keys = [self._number(key) for key in keys]
        if any(one >= other for one, other in pairwise(keys)):
            raise PageDamage(f"page {page}: its keys are not in order")

    def _overflow(self, page: int, first: int, size: int, counts: _Counts, *, read: bool) -> bytes:
        """Take the pages of a big value of the leaf `page`."""
        count = (_HEADER.size - 1 + size) // self._page_bytes + 1
        self._take(first, count)
        counts.overflow_pages += count
        header = os.pread(self._file, _HEADER.size + (size if read else 0), first * self._page_bytes)
        number, _, flags, _, _ = _HEADER.unpack_from(header)
        if (number, flags, _OVERFLOW_COUNT.unpack_from(header, 12)[0]) != (first, _OVERFLOW, count):
            raise PageDamage(f"page {first}: expected the first of {count} pages of a value of page {page}")
        return header[_HEADER.size :]

    def _nodes(self, data: bytes, page: int, *, is_leaf: bool) -> list[tuple[bytes, bytes, int, int]]:
        """(key, value or 8 bytes of a page number, flags, size of the value) of each node; they fill the page's end."""
        _, _, _, lower, upper = _HEADER.unpack_from(data)
        if lower < _HEADER.size or lower % 2 or not lower <= upper <= len(data):
            raise PageDamage(f"page {page}: impossible bounds {lower} and {upper}")
        offsets = struct.unpack_from(f"={(lower - _HEADER.size) // 2}H", data, _HEADER.size)
        nodes: list[tuple[bytes, bytes, int, int]] = []
        spans: list[tuple[int, int]] = []
        for offset in offsets:
            if not upper <= offset <= len(data) - _NODE.size:
                raise PageDamage(f"page {page}: an entry outside of the page")
            low, high, flags, key_bytes = _NODE.unpack_from(data, offset)
            start = offset + _NODE.size + key_bytes
            if is_leaf:
                size = low | high << 16
                stored = 8 if flags & _BIG else size
            else:
                size = stored = 0
            end = start + stored
            spans.append((offset, end + (end & 1)))
            if end > len(data):
                raise PageDamage(f"page {page}: an entry outside of the page")
            value = data[start:end] if is_leaf else _U64.pack(low | high << 16 | flags << 32)
            nodes.append((data[start - key_bytes : start], value, flags if is_leaf else 0, size))
        edge = upper
        for begin, end in sorted(spans):
            if begin != edge:
                raise PageDamage(f"page {page}: entries overlap or leave a gap")
            edge = end
        if edge != len(data):
            raise PageDamage(f"page {page}: entries overlap or leave a gap")
        return nodes

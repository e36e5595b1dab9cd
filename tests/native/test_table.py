"""Tables and checkpoints against a list of rows and a dictionary of pages: what is written is what stood there
when the checkpoint was taken, whatever the rows did meanwhile, and loading it gives exactly that."""

from __future__ import annotations

import os

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from ringup.native.table import Checkpoint, Table

PAGE_BYTES = 16384
EXAMPLES = int(os.environ.get("RINGUP_EXAMPLES", "60"))


class TableMachine(RuleBasedStateMachine):
    """Two tables with one checkpoint at a time, as a core has them."""

    @initialize(sizes=st.tuples(*[st.sampled_from([1, 8, 24, 1000, 6000, PAGE_BYTES])] * 2))
    def begin(self, sizes: tuple[int, int]) -> None:
        self.sizes = sizes
        self.tables = [Table(f"t{number}", size) for number, size in enumerate(sizes)]
        self.rows: list[list[bytes]] = [[], []]
        self.disk: dict[tuple[int, int], bytes] = {}
        self.counts = [0, 0]  # rows at the last checkpoint that was written
        self.digests = [table.digest() for table in self.tables]
        self.frozen: Checkpoint | None = None

    @rule(which=st.integers(0, 1), more=st.integers(0, 5), pages=st.integers(0, 2))
    def grow(self, which: int, more: int, pages: int) -> None:
        rows = min(more + pages * self.tables[which].page_rows, 40_000 - len(self.rows[which]))
        self.rows[which] += [bytes(self.sizes[which])] * rows
        self.tables[which].resize(len(self.rows[which]))

    @rule(which=st.integers(0, 1), share=st.floats(0, 1))
    def give_up(self, which: int, share: float) -> None:
        del self.rows[which][int(len(self.rows[which]) * share) :]
        self.tables[which].resize(len(self.rows[which]))

    @rule(which=st.integers(0, 1), share=st.floats(0, 0.999), value=st.integers(0, 255))
    def edit(self, which: int, share: float, value: int) -> None:
        if self.rows[which]:
            at = int(len(self.rows[which]) * share)
            self.rows[which][at] = bytes([value]) * self.sizes[which]
            self.tables[which].set_row(at, self.rows[which][at])

    @precondition(lambda self: self.frozen is None)
    @rule()
    def freeze(self) -> None:
        self.frozen = Checkpoint(self.tables)
        self.frozen_counts = [table.count for table in self.tables]
        self.frozen_digests = [table.digest() for table in self.tables]

    @precondition(lambda self: self.frozen is not None)
    @rule()
    def written(self) -> None:
        assert self.frozen is not None
        for table, page, data in self.frozen:
            self.disk[table, page] = bytes(data)
        self.frozen.done()
        self.frozen = None
        self.counts, self.digests = self.frozen_counts, self.frozen_digests

    @precondition(lambda self: self.frozen is not None)
    @rule()
    def not_written(self) -> None:
        """The disk refused in the middle: as if it had never been begun."""
        assert self.frozen is not None
        self.frozen.failed()
        self.frozen = None

    @rule()
    def start_from_the_disk(self) -> None:
        """A checkpoint loads to the state that it was taken of."""
        loaded = self._loaded()
        assert [table.digest() for table in loaded] == self.digests
        # And every row is as it was set, for those that nobody changed since.
        assert [table.count for table in loaded] == self.counts

    @precondition(lambda self: self.frozen is None)
    @rule()
    def crash(self) -> None:
        """What was not in a checkpoint is gone; the loaded tables go on, and write only what changes."""
        self.tables = self._loaded()
        self.rows = [[table.get_row(at) for at in range(table.count)] for table in self.tables]

    def _loaded(self) -> list[Table]:
        tables = [Table(f"t{number}", size) for number, size in enumerate(self.sizes)]
        for (table, page), data in self.disk.items():
            tables[table].load_page(page, data, self.counts[table])
        return tables

    @invariant()
    def rows_are_the_model(self) -> None:
        for table, rows in zip(getattr(self, "tables", []), getattr(self, "rows", []), strict=True):
            assert table.count == len(rows)
            for at in {0, len(rows) // 2, len(rows) - 1} & set(range(len(rows))):
                assert table.get_row(at) == rows[at]


TestTables = TableMachine.TestCase
TestTables.settings = settings(max_examples=EXAMPLES, stateful_step_count=40, deadline=None)


def test_a_checkpoint_holds_only_what_changed() -> None:
    table = Table("t", 8)
    table.resize(5 * table.page_rows)
    first = Checkpoint([table])
    assert len(first) == 5
    table.set_row(0, b"meantime")  # while it is being written
    assert [bytes(data[:8]) for _, page, data in first if page == 0] == [bytes(8)]
    first.done()
    second = Checkpoint([table])
    assert [(page, bytes(data[:8])) for _, page, data in second] == [(0, b"meantime")]
    second.failed()
    assert len(Checkpoint([table])) == 1, "what failed is due again"


def test_only_one_checkpoint_is_taken_at_a_time() -> None:
    table = Table("t", 8)
    table.resize(1)
    first = Checkpoint([table])
    with pytest.raises(AssertionError, match="one checkpoint at a time"):
        Checkpoint([table])
    first.done()


def test_a_page_that_does_not_fit_is_refused() -> None:
    table = Table("t", 8)
    with pytest.raises(ValueError, match="has 3 bytes, expected 16384"):
        table.load_page(0, b"abc", 1)
    with pytest.raises(ValueError, match="page 1 is beyond a table of 1 rows"):
        table.load_page(1, b"x" * PAGE_BYTES, 1)
    table.load_page(1, bytes(PAGE_BYTES), 1)  # rows that were given up: nothing is in them
    assert table.count == 1
    with pytest.raises(IndexError):
        table.get_row(1)
    with pytest.raises(ValueError, match="expected 8 bytes, found 3"):
        table.set_row(0, b"abc")

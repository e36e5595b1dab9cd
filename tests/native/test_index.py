"""Hash indexes against a dictionary: every row is found under its hash, whatever was taken out around it."""

from __future__ import annotations

import os
import random
from collections import defaultdict

from hypothesis import given, settings
from hypothesis import strategies as st

from ringup.native.index import RowIndex

EXAMPLES = int(os.environ.get("RINGUP_EXAMPLES", "100"))
WORD = 1 << 32  # a search looks at the upper half of a hash alone


class Model:
    """The index and what must be in it."""

    def __init__(self) -> None:
        self.index = RowIndex()
        self.rows: dict[int, set[int]] = defaultdict(set)
        self.count = 0

    def add(self, hash: int, row: int) -> None:
        self.index.add(hash, row)
        self.rows[hash].add(row)
        self.count += 1

    def remove(self, hash: int, row: int) -> None:
        self.index.remove(hash, row)
        self.rows[hash].remove(row)
        self.count -= 1

    def check(self) -> None:
        """All is found, once, and nothing else."""
        assert len(self.index) == self.count
        for hash, rows in self.rows.items():
            assert sorted(self.index.rows(hash)) == sorted(rows)


@settings(max_examples=EXAMPLES)
@given(st.lists(st.tuples(st.integers(0, 25), st.booleans(), st.integers(0, 1 << 20)), max_size=120))
def test_hashes_of_few_lines(steps: list[tuple[int, bool, int]]) -> None:
    """Three cache lines of homes, the last of the segment among them: full lines, ways round their ends, holes."""
    model = Model()
    for row, (home, adds, choice) in enumerate(steps):
        present = [(hash, one) for hash, rows in sorted(model.rows.items()) for one in sorted(rows)]
        if adds or not present:
            model.add(((home + 54) % 64 + 64 * (choice % 3)) * WORD, row)
        else:
            model.remove(*present[choice % len(present)])
        model.check()


def test_segments_split_and_many_have_one_hash() -> None:
    """20,000 rows in several segments, 6,000 more under one hash, which no split parts; then most are taken out."""
    model, choose = Model(), random.Random(5)
    hashes = [choose.getrandbits(32) * WORD for _ in range(20_000)] + [77 * WORD] * 6000
    choose.shuffle(hashes)
    for row, hash in enumerate(hashes):
        model.add(hash, row)
    model.check()
    everything = [(hash, row) for row, hash in enumerate(hashes)]
    choose.shuffle(everything)
    for hash, row in everything[:22_000]:
        model.remove(hash, row)
    model.check()
    for row, hash in enumerate(hashes):
        if row not in model.rows[hash]:
            model.add(hash, row)
    model.check()

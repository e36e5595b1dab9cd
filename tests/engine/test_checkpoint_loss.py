"""What a checkpoint has lost is missed, and what a table has given up is not."""

from __future__ import annotations

from pathlib import Path

import lmdb
import pytest

from ringup.engine.lmdb_store import CheckpointStore, LmdbJournal
from ringup.engine.record import GENESIS
from ringup.engine.recovery import load_checkpoint, recover
from ringup.native.core import Core
from ringup.v1 import promotion_pb2
from support.core import CoreHarness, small_shop
from support.data_directory import write_directory


@pytest.mark.parametrize("which", [0, -1])
def test_a_page_that_is_missing_is_missed(tmp_path: Path, which: int) -> None:
    """Only the rows were counted, and rows of a page that is not there were taken for rows of zeros."""
    written = write_directory(tmp_path, 400)
    with lmdb.open(str(tmp_path / "checkpoint"), max_dbs=2) as env:
        pages = env.open_db(b"pages", create=False)
        with env.begin(db=pages, write=True) as txn:
            sale_lines = [key for key in txn.cursor().iternext(values=False) if key[:2] == _most_common(txn)]
            txn.delete(sale_lines[which])
    journal, store = LmdbJournal(tmp_path / "journal"), CheckpointStore(tmp_path / "checkpoint")
    try:
        recovered = recover(journal, store)
        assert "pages" in recovered.note
        assert recovered.checkpoint_sequence == 0
        assert recovered.core.digest().hex() == written.digest
    finally:
        journal.close()
        store.close()


def _most_common(txn: lmdb.Transaction) -> bytes:
    """The number, as it stands in the keys, of the table with the most pages."""
    tables = [key[:2] for key in txn.cursor().iternext(values=False)]
    return max(tables, key=tables.count)


def _checkpoint(store: CheckpointStore, core: Core, *, fresh: bool) -> None:
    counts = core.row_counts()
    meta = {"sequence": core.sequence, "digest": GENESIS.hex(), "layout": core.layout(), "counts": counts}
    pages = core.checkpoint()
    store.write(meta, pages, fresh=fresh)
    pages.done()


def _put_offsets(shop: CoreHarness, count: int) -> None:
    offsets = [promotion_pb2.UtcOffset(from_ns=at, offset_s=3600) for at in range(count)]
    assert shop.send(promotion_pb2.PutPricingRulesRequest(utc_offsets=offsets)).code == 1


def test_a_table_that_has_shrunk_is_loaded(tmp_path: Path) -> None:
    """Pages that it had given up stayed in the checkpoint and made the whole of it unusable: from then on every
    start folded the journal from its first batch."""
    shop, store, core = small_shop(), CheckpointStore(tmp_path), Core()
    try:
        _put_offsets(shop, 9000)
        _checkpoint(store, shop.core, fresh=True)
        _put_offsets(shop, 3)
        _checkpoint(store, shop.core, fresh=False)
        assert load_checkpoint(core, store)[0] == shop.core.sequence
        assert core.digest() == shop.core.digest()
        _put_offsets(shop, 8000)
        _checkpoint(store, shop.core, fresh=False)
        core = Core()
        load_checkpoint(core, store)
        assert core.digest() == shop.core.digest()
    finally:
        store.close()

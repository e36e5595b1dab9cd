"""Prints hashes of everything that a core says and keeps, under a key of its indexes given in hex.

`python -m support.key_transcript KEY` in the folder of the tests.  tests/core/test_index_keys.py runs it once a key:
a process has one, set before its first index.
"""

from __future__ import annotations

import hashlib
import json
import random
import sys

from ringup.engine.contract import methods
from ringup.native.core import Core, MalformedRequest
from ringup.native.envelope import wrap_command
from ringup.native.index import own_hash, set_index_key
from support.core import small_shop
from support.requests import method_of, mutated, prerequisites, samples, scrambled
from support.shop_walk import ShopWalk

WALK_COMMANDS = 600
CASES = 1500


Pages = dict[tuple[int, int], bytes]  # by table and page, as they stand in the store of checkpoints


def _checkpoint(core: Core, pages: Pages) -> Core:
    """Write the pages that have changed; what a core is that is loaded from all pages."""
    loaded, checkpoint = Core(), core.checkpoint()
    pages.update({(table, page): bytes(data) for table, page, data in checkpoint})
    checkpoint.done()
    for (number, page), data in sorted(pages.items()):
        table, count = loaded.tables[number], core.tables[number].count
        if page * table.page_rows < count:
            table.load_page(page, data, count)
    loaded.rebuild()
    assert loaded.digest() == core.digest(), "a checkpoint means another state than the core's"
    return loaded


def _told(core: Core, answers: hashlib._Hash, pages: Pages) -> dict[str, str]:
    kept = hashlib.sha256(repr(sorted(pages.items())).encode())
    return {"answers": answers.hexdigest(), "pages": kept.hexdigest(), "state": core.digest().hex()}


def _walk(seed: int) -> dict[str, str]:
    walk, answers, pages = ShopWalk(seed), hashlib.sha256(), Pages()
    while walk.commands < WALK_COMMANDS:
        walk.batch()
    walk.engine.core.take_open()
    for record in walk.engine.core.done:
        answers.update(b"%d %d " % (record.sequence, record.now_ns) + record.commands + record.replies)
    _checkpoint(walk.engine.core, pages)
    return _told(walk.engine.core, answers, pages)


def _every_command(seed: int) -> dict[str, str]:
    """Commands and questions of all kinds, whole and spoiled; half-way the core is loaded from its checkpoint."""
    rng, shop, base = random.Random(seed), small_shop(), samples()
    answers, pages = hashlib.sha256(), Pages()
    names = sorted(method.name for method in methods() if not method.streams)
    for request in prerequisites():
        shop.send(request)
    for case in range(CASES):
        if case == CASES // 2:
            shop.core = _checkpoint(shop.core, pages)
        method = method_of(rng.choice([one for one in names if one not in ("GetStats", "GetReceipt", "ReadEvents")]))
        message = scrambled(base[method.name], rng) if rng.random() < 0.7 else base[method.name]
        if method.kind:
            message.command_id = rng.randbytes(16)  # type: ignore[attr-defined]  # every command has one
        data = message.SerializeToString()
        if rng.random() < 0.2:
            data = mutated(data, rng)
        shop.now_ns += 1000
        if method.kind:
            shop.core.begin(shop.core.sequence + 1, shop.now_ns)
            answers.update(shop.core.apply(wrap_command(method.kind, data))[0])
            answers.update(shop.core.end())
        else:
            try:
                answers.update(shop.core.query(method.name, data, shop.now_ns))
            except MalformedRequest as error:
                answers.update(str(error).encode())
    _checkpoint(shop.core, pages)
    return _told(shop.core, answers, pages)


def main() -> None:
    set_index_key(bytes.fromhex(sys.argv[1]))
    print(json.dumps({"walk": _walk(1), "commands": _every_command(1), "a hash": own_hash(b"i" * 16)}))


if __name__ == "__main__":
    main()

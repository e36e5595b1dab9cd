"""What the kernels share, and the calibration that makes their times comparable over machines."""

from __future__ import annotations

import hashlib

import pytest

from bench.in_process import BareCore
from bench.shop import Ids

ITEMS = 10_000


def calibration() -> bytes:
    """A fixed piece of work that has nothing to do with us: 64 KiB through SHA-256 in 1,024 steps, and a sort.

    Half C, half interpreter: a kernel's time over this one's is what a stored baseline keeps.
    """
    digest = b""
    for number in range(1024):
        digest = hashlib.sha256(digest + b"%064d" % number).digest()
    return bytes(sorted(digest * 32))


@pytest.fixture(scope="session")
def ids() -> Ids:
    """Ids that no kernel uses twice."""
    return Ids(1000)


@pytest.fixture(scope="session")
def core(ids: Ids) -> BareCore:
    """A core with 10,000 items in stock."""
    return BareCore(ITEMS, ids)

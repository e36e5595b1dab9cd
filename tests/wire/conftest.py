"""One engine with the small shop, for tests that leave it as they found it."""

from __future__ import annotations

from collections.abc import Iterator

import grpc
import pytest

from support.callers import open_shop
from support.engine_process import EngineProcess


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EngineProcess]:
    """A real engine in a process of its own."""
    with EngineProcess(tmp_path_factory.mktemp("wire")) as process:
        with process.channel() as channel:
            open_shop(channel, 100_000)
        yield process
        assert process.stop() == 0, "whatever was sent, it stops in good order"


@pytest.fixture
def channel(engine: EngineProcess) -> Iterator[grpc.Channel]:
    """A plain channel to it, which takes and gives bytes."""
    with engine.channel() as channel:
        yield channel

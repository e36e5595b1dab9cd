"""One engine with the small shop, for tests that leave it as they found it."""

from __future__ import annotations

from collections.abc import Iterator

import grpc
import pytest

from ringup.engine.edge import GRPCIO, NGHTTP2, chosen_server
from support.callers import open_shop
from support.engine_process import EngineProcess


@pytest.fixture(scope="session", params=[NGHTTP2, GRPCIO])
def grpc_server(request: pytest.FixtureRequest) -> str:
    """What takes the calls: callers see no difference."""
    server = str(request.param)
    if server == NGHTTP2 and chosen_server() != NGHTTP2:
        pytest.skip("no libnghttp2 on this machine")
    return server


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory, grpc_server: str) -> Iterator[EngineProcess]:
    """A real engine in a process of its own."""
    with EngineProcess(tmp_path_factory.mktemp("wire"), args=["--grpc-server", grpc_server]) as process:
        with process.channel() as channel:
            open_shop(channel, 100_000)
        yield process
        assert process.stop() == 0, "whatever was sent, it stops in good order"


@pytest.fixture
def channel(engine: EngineProcess) -> Iterator[grpc.Channel]:
    """A plain channel to it, which takes and gives bytes."""
    with engine.channel() as channel:
        yield channel

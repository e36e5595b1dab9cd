"""Where grpcio takes the calls, all threads let each other finish, unless who started the engine chose otherwise."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest

from ringup.engine.edge import chosen_server
from ringup.v1 import admin_pb2, admin_pb2_grpc
from support.engine_process import EngineProcess

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has SCHED_BATCH")
GRPCIO = ["--grpc-server", "grpcio"]


def _policies(engine: EngineProcess) -> set[int]:
    """Of all threads of an engine that has answered a call, so that gRPC's are there."""
    with engine.channel() as channel:
        admin_pb2_grpc.AdminServiceStub(channel).GetStats(admin_pb2.GetStatsRequest(), timeout=20)
        threads = [int(name) for name in os.listdir(f"/proc/{engine.process.pid}/task")]
        assert len(threads) > 4, "the event loop's, the commit's and gRPC's"
        return {os.sched_getscheduler(thread) for thread in threads}


def test_threads_that_wake_wait_for_their_turn(tmp_path: Path) -> None:
    with EngineProcess(tmp_path, args=GRPCIO) as engine:
        assert _policies(engine) == {os.SCHED_BATCH}


@pytest.mark.skipif(shutil.which("chrt") is None, reason="needs chrt of util-linux")
def test_a_policy_that_was_chosen_stays(tmp_path: Path) -> None:
    with EngineProcess(tmp_path, prefix=["chrt", "--idle", "0"], args=GRPCIO) as engine:
        assert _policies(engine) == {os.SCHED_IDLE}


def test_without_threads_of_grpc_the_policy_is_not_touched(tmp_path: Path) -> None:
    with EngineProcess(tmp_path) as engine, engine.channel() as channel:
        admin_pb2_grpc.AdminServiceStub(channel).GetStats(admin_pb2.GetStatsRequest(), timeout=20)
        if chosen_server() == "grpcio":
            pytest.skip("no libnghttp2 on this machine")
        threads = [int(name) for name in os.listdir(f"/proc/{engine.process.pid}/task")]
        assert {os.sched_getscheduler(thread) for thread in threads} == {os.SCHED_OTHER}

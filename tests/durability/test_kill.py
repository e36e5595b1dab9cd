"""SIGKILL at any moment, again and again: what was acknowledged is there, once.

RINGUP_KILL_ROUNDS sets how many rounds run (default 50), RINGUP_SEED the moments.
"""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from ringup.v1 import admin_pb2, admin_pb2_grpc
from support.callers import Caller, answers_again, open_shop, prove, receipts, trade
from support.engine_entry import ENTRY
from support.engine_process import EngineProcess

PIECES = 3000
SMALL = ("--checkpoint-commands", "400")  # so that kills meet checkpoints in all their phases


def _callers(seed: int) -> list[Caller]:
    return [Caller(1000 * seed + number, streams=number % 2 == 1) for number in range(6)]


def _open(directory: Path) -> None:
    with EngineProcess(directory, entry=ENTRY, args=SMALL) as engine:
        with engine.channel() as channel:
            open_shop(channel, PIECES)
        engine.kill()


def _round(directory: Path, callers: list[Caller], rng: random.Random, *, keep_ids: bool = True) -> int:
    """Start, resend what the last round left open, go on until killed; sales in the book after the resend."""
    with EngineProcess(directory, entry=ENTRY, args=SMALL) as engine:
        for caller in callers:
            caller.resend(engine.target, keep_ids=keep_ids)
        with engine.channel() as channel:
            stats = admin_pb2_grpc.AdminServiceStub(channel).GetStats(admin_pb2.GetStatsRequest(), timeout=60)
        trade(engine.target, callers, rng.uniform(0.02, 0.35), engine.kill)
    return int(stats.rows["sales"])


@pytest.mark.timeout(600)
def test_what_was_acknowledged_is_there_once_after_many_kills(tmp_path: Path) -> None:
    rounds, seed = int(os.environ.get("RINGUP_KILL_ROUNDS", "50")), int(os.environ.get("RINGUP_SEED", "1"))
    rng, callers = random.Random(seed), _callers(seed)
    _open(tmp_path)
    unanswered = 0
    for _ in range(rounds):
        _round(tmp_path, callers, rng)
        unanswered += sum(not sent.answers for caller in callers for sent in caller.sent)
    with EngineProcess(tmp_path, entry=ENTRY, args=SMALL) as engine:
        for caller in callers:
            caller.resend(engine.target)
        answers_again(engine.target, callers)
        assert engine.stop() == 0
    sent = sum(len(caller.sent) for caller in callers)
    print(f"{rounds} kills, {sent} commands, {unanswered} without an answer when the engine died")
    assert unanswered >= rounds, "the kills must interrupt callers"
    prove(tmp_path, callers, PIECES)


def test_clients_that_take_a_new_id_for_a_resend_book_twice(tmp_path: Path) -> None:
    """The control: the same kills and the same impatient callers, without the ids."""
    rng, callers = random.Random(1), _callers(1)
    _open(tmp_path)
    for _ in range(12):
        before = [sent for caller in callers for sent in caller.sent]
        booked = _round(tmp_path, callers, rng, keep_ids=False)
        if booked > len(list(receipts(before))):
            return
    raise AssertionError("without ids a resend should have been booked twice")

"""The commit thread: one after the other, in order, and whatever goes wrong is told."""

from __future__ import annotations

import threading

import pytest

from ringup.engine.commit_thread import CommitThread


def test_work_is_done_in_its_order_by_one_thread() -> None:
    threads, ended = set(), []

    def do(work: int) -> int:
        threads.add(threading.get_ident())
        return work * 2

    commits = CommitThread[int](do, lambda work, error, result: ended.append((work, error, result)))
    for work in range(1, 200):
        commits.hand_over(work)
    commits.stop()
    assert ended == [(work, None, work * 2) for work in range(1, 200)]
    assert len(threads) == 1
    assert threads != {threading.get_ident()}


@pytest.mark.parametrize("error", [OSError("the disk is full"), SystemExit(3)])
def test_a_failure_is_told_and_the_thread_goes_on(error: BaseException) -> None:
    ended: list[tuple[int, BaseException | None, int]] = []

    def do(work: int) -> int:
        if work == 1:
            raise error
        return work

    commits = CommitThread[int](do, lambda *told: ended.append(told))
    commits.hand_over(1)
    commits.hand_over(2)
    commits.stop()
    assert ended == [(1, error, 0), (2, None, 2)]

"""The commit thread: one after the other, in order, and whatever goes wrong is told."""

from __future__ import annotations

import threading

import pytest

from ringup.engine.commit_thread import CommitThread


def test_work_is_done_in_its_order_by_one_thread() -> None:
    threads, ended = set(), []

    def do(works: list[int]) -> None:
        threads.add(threading.get_ident())

    commits = CommitThread[int](do, lambda *told: ended.append(told))
    for work in range(1, 200):
        commits.hand_over(work)
    commits.stop()
    assert ended == [([work], None) for work in range(1, 200)]
    assert len(threads) == 1
    assert threads != {threading.get_ident()}


def test_what_waits_is_done_together_up_to_a_number() -> None:
    done: list[list[int]] = []
    begun, go_on = threading.Event(), threading.Event()

    def do(works: list[int]) -> None:
        done.append(works)
        begun.set()
        assert go_on.wait(10)

    commits = CommitThread[int](do, lambda works, error: None, together_max=3)
    commits.hand_over(1)
    assert begun.wait(10)
    for work in range(2, 7):
        commits.hand_over(work)
    go_on.set()
    commits.stop()
    assert done == [[1], [2, 3, 4], [5, 6]]


@pytest.mark.parametrize("error", [OSError("the disk is full"), SystemExit(3)])
def test_a_failure_is_told_and_nothing_is_done_after_it(error: BaseException) -> None:
    """A batch behind one that failed would be a record that follows none."""
    done: list[int] = []
    ended: list[tuple[list[int], BaseException | None]] = []

    def do(works: list[int]) -> None:
        if works == [2]:
            raise error
        done.extend(works)

    commits = CommitThread[int](do, lambda *told: ended.append(told))
    for work in (1, 2, 3):
        commits.hand_over(work)
    commits.stop()
    assert done == [1]
    assert ended == [([1], None), ([2], error)]

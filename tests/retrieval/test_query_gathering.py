from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import pytest
from numpy.typing import NDArray

from retrieval.errors import EmbedderBusy
from retrieval.query_gathering import QueryGathering


class HeldModel:
    """A model whose calls last until `release`; a text's vector is its length."""

    def __init__(self) -> None:
        self.calls: list[list[str]] = []
        self.begun = threading.Semaphore(0)
        self.release = threading.Semaphore(0)

    def __call__(self, texts: Sequence[str]) -> NDArray[np.float32]:
        self.calls.append(list(texts))
        self.begun.release()
        assert self.release.acquire(timeout=10)
        if "bad" in texts:
            raise ValueError("bad")
        return np.array([[len(text)] for text in texts], dtype=np.float32)


def _ask(
    pool: ThreadPoolExecutor, gathering: QueryGathering, text: str, *, waiting: int
) -> Future[NDArray[np.float32]]:
    """Asks, and returns once as many queries wait as this one should make it."""
    asked = pool.submit(gathering.ask, text)
    deadline = time.monotonic() + 10
    while gathering.waiting < waiting:
        assert time.monotonic() < deadline
        time.sleep(0.001)
    return asked


def test_a_query_alone_does_not_wait() -> None:
    gathering = QueryGathering(lambda texts: np.ones((len(texts), 1), dtype=np.float32), max_wait_s=0)
    assert gathering.ask("a").tolist() == [1]


def test_queries_that_come_during_a_call_share_the_next_one() -> None:
    model = HeldModel()
    gathering = QueryGathering(model)
    with ThreadPoolExecutor(8) as pool:
        asked = [_ask(pool, gathering, "a", waiting=0)]
        model.begun.acquire()
        asked += [_ask(pool, gathering, "b" * n, waiting=n - 1) for n in range(2, 6)]
        model.release.release(2)
        assert [one.result(10).tolist() for one in asked] == [[1], [2], [3], [4], [5]]
    assert [sorted(call) for call in model.calls] == [["a"], ["bb", "bbb", "bbbb", "bbbbb"]]


def test_a_call_takes_no_more_than_its_limit() -> None:
    model = HeldModel()
    gathering = QueryGathering(model, max_gathered=2)
    with ThreadPoolExecutor(8) as pool:
        asked = [_ask(pool, gathering, "a", waiting=0)]
        model.begun.acquire()
        asked += [_ask(pool, gathering, "b", waiting=n) for n in range(1, 4)]
        model.release.release(3)
        assert [one.result(10).tolist() for one in asked] == [[1]] * 4
    assert [len(call) for call in model.calls] == [1, 2, 1]


def test_one_query_too_many_is_told_so_at_once() -> None:
    model = HeldModel()
    gathering = QueryGathering(model, max_waiting=1)
    with ThreadPoolExecutor(8) as pool:
        asked = [_ask(pool, gathering, "a", waiting=0)]
        model.begun.acquire()
        asked.append(_ask(pool, gathering, "b", waiting=1))
        with pytest.raises(EmbedderBusy):
            gathering.ask("c")
        model.release.release(2)
        assert [one.result(10).tolist() for one in asked] == [[1], [1]]


def test_a_query_that_waited_too_long_is_told_so_and_forgotten() -> None:
    model = HeldModel()
    gathering = QueryGathering(model, max_wait_s=0.05)
    with ThreadPoolExecutor(8) as pool:
        first = _ask(pool, gathering, "a", waiting=0)
        model.begun.acquire()
        with pytest.raises(EmbedderBusy):
            gathering.ask("b")
        assert gathering.waiting == 0
        model.release.release(1)
        first.result(10)
    assert model.calls == [["a"]]


def test_a_failed_call_fails_its_queries_and_nobody_after_them() -> None:
    model = HeldModel()
    gathering = QueryGathering(model)
    with ThreadPoolExecutor(8) as pool:
        first = _ask(pool, gathering, "bad", waiting=0)
        model.begun.acquire()
        second = _ask(pool, gathering, "good", waiting=1)
        model.release.release(2)
        with pytest.raises(ValueError, match="bad"):
            first.result(10)
        assert second.result(10).tolist() == [4]

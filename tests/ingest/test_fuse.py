"""The fuse: a stage in trouble rests, is tried, and works on."""

from __future__ import annotations

import threading
import time

import pytest

from ingest.fuse import Admission, Fuse, FuseOpen, Fuses
from retrieval.documents import Stage
from retrieval.errors import IndexUnavailable

BUG = ValueError("a bug")
DELAY_S = 0.1


def fuse(*, limit: int = 3) -> Fuse:
    return Fuse(Stage.PARSE, limit=limit, first_delay_s=DELAY_S, longest_delay_s=4 * DELAY_S)


def opened() -> Fuse:
    one = fuse()
    for task in range(3):
        one.failed(task, BUG)
    return one


def admitted(one: Fuse) -> Admission:
    with one.admission() as admission:
        return admission


def waited(one: Fuse) -> float:
    """How long nothing is let through."""
    started = time.monotonic()
    while admitted(one) is Admission.NONE:
        assert time.monotonic() - started < 10
        time.sleep(0.002)
    return time.monotonic() - started


def test_it_opens_after_so_many_different_documents_in_a_row() -> None:
    one = fuse()
    assert [one.failed(task, error) for task, error in enumerate([BUG, IndexUnavailable(), BUG])] == [
        False,
        False,
        True,
    ]
    assert one.is_open
    assert admitted(one) is Admission.NONE


def test_the_tries_of_one_document_count_once() -> None:
    one = fuse()
    assert [one.failed(7, BUG) for _ in range(10)] == [False] * 10
    assert admitted(one) is Admission.ALL


def test_a_success_begins_the_row_anew() -> None:
    one = fuse()
    for task in range(10):
        assert not one.failed(task, BUG)
        if task % 2:
            one.succeeded()
    assert not one.is_open


def test_after_a_delay_one_thread_is_let_through_for_a_trial() -> None:
    one = opened()
    waited(one)
    with one.admission() as first:
        others: list[Admission] = []
        thread = threading.Thread(target=lambda: others.append(admitted(one)))
        thread.start()
        thread.join()
        assert (first, others) == (Admission.ONE, [Admission.NONE])
    assert admitted(one) is Admission.ONE  # the trial came to no verdict


def test_a_trial_that_fails_doubles_the_delay_up_to_the_longest() -> None:
    one = opened()
    delays = []
    for _ in range(4):
        delays.append(waited(one))
        with one.admission() as admission:
            assert admission is Admission.ONE
            assert one.failed(9, BUG)
    for found, expected in zip(delays, (1, 2, 4, 4), strict=True):
        assert expected * DELAY_S * 0.9 < found < expected * DELAY_S + 1


def test_who_fails_beside_the_trial_changes_nothing() -> None:
    one = opened()
    waited(one)
    with one.admission():
        thread = threading.Thread(target=one.failed, args=(5, BUG))
        thread.start()
        thread.join()
    assert admitted(one) is Admission.ONE


def test_a_success_closes_it_and_the_next_delay_is_the_first_again() -> None:
    one = opened()
    waited(one)
    with one.admission():
        one.failed(9, BUG)
    waited(one)
    with one.admission():
        one.succeeded()
    assert (one.is_open, admitted(one)) == (False, Admission.ALL)
    for task in range(3):
        one.failed(task, BUG)
    assert waited(one) < 2 * DELAY_S


def test_a_process_with_an_open_fuse_says_why_it_is_not_ready() -> None:
    fuses = Fuses(limit=2, first_delay_s=60)
    fuses.check()
    fuses.of(Stage.PARSE).failed(1, BUG)
    fuses.of(Stage.EMBED).failed(2, BUG)
    fuses.check()
    fuses.of(Stage.EMBED).failed(3, IndexUnavailable())
    with pytest.raises(FuseOpen, match="embed stage is paused: 2 documents in a row failed, lastly with IndexUnav"):
        fuses.check()


def test_the_other_stages_of_a_worker_go_on_and_nothing_is_taken_beside_a_trial() -> None:
    fuses = Fuses(limit=1, first_delay_s=DELAY_S)
    stages = [Stage.ERASE, Stage.REPAINT]
    fuses.of(Stage.ERASE).failed(1, BUG)
    with fuses.admission(stages, limit=8) as now:
        assert (now.stages, now.limit) == ([Stage.REPAINT], 8)
    waited(fuses.of(Stage.ERASE))
    with fuses.admission(stages, limit=8) as now:
        assert (now.stages, now.limit) == (stages, 1)

"""Who is next: first come, first served, and what is spare to those who can use it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from ingest.parser_turns import Turns


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.002)


def test_turns_are_given_in_the_order_they_were_asked_for() -> None:
    turns, order = Turns(1), list[int]()

    def ask(number: int) -> None:
        with turns.turn():
            order.append(number)

    with ThreadPoolExecutor(5) as callers, turns.turn():
        for number in range(5):
            callers.submit(ask, number)
            time.sleep(0.02)
        assert turns.somebody_waits()
    assert order == [0, 1, 2, 3, 4]
    assert not turns.somebody_waits()


def test_who_pauses_comes_after_all_who_wait() -> None:
    turns, order = Turns(1), list[str]()

    def ask(name: str) -> None:
        with turns.turn():
            order.append(name)

    with ThreadPoolExecutor(2) as callers, turns.turn():
        for name in ("first", "second"):
            callers.submit(ask, name)
        until(lambda: len(turns._waiting) == 2)
        with turns.pause():
            pass
        order.append("paused")
    assert set(order[:2]) == {"first", "second"}
    assert order[2] == "paused"


def test_a_spare_turn_is_one_that_nobody_waits_for() -> None:
    turns, wanted, granted = Turns(1), threading.Event(), list[bool]()
    wanted.set()

    def help_out() -> None:
        with turns.spare_turn(wanted=wanted.is_set) as turn:
            granted.append(turn)

    with ThreadPoolExecutor(2) as callers:
        with turns.turn():
            callers.submit(help_out)
            time.sleep(0.02)
            assert granted == []
        until(lambda: granted == [True])
        with turns.turn():
            callers.submit(help_out)
            time.sleep(0.02)
            wanted.clear()
            turns.stir()
            until(lambda: granted == [True, False])
    with turns.turn():  # the one that was not granted took none
        pass

"""Turns: who works with one of the pool's children next. First come, first served; what is spare helps."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Turns:
    """As many turns as there are children. Thread-safe.

    Those who hold a turn for long ask `somebody_waits` now and then, and let others pass in a `pause`.
    """

    def __init__(self, size: int) -> None:
        self._changed = threading.Condition()
        self._free = size
        self._waiting: deque[object] = deque()

    @contextmanager
    def turn(self) -> Iterator[None]:
        self._take()
        try:
            yield
        finally:
            self._give()

    @contextmanager
    def pause(self) -> Iterator[None]:
        """Gives the turn that is held to whoever waits, and queues for another at the end."""
        self._give()
        try:
            yield
        finally:
            self._take()

    @contextmanager
    def spare_turn(self, *, wanted: Callable[[], bool]) -> Iterator[bool]:
        """A turn that nobody else waits for. False, and no turn, once it is not `wanted` any more; see `stir`."""
        with self._changed:
            while (still := wanted()) and not self._is_spare():
                self._changed.wait()
            if still:
                self._free -= 1
        try:
            yield still
        finally:
            if still:
                self._give()

    def somebody_waits(self) -> bool:
        return bool(self._waiting)

    def stir(self) -> None:
        """Lets those who wait for a spare turn look again whether it is wanted."""
        with self._changed:
            self._changed.notify_all()

    def _is_spare(self) -> bool:
        return self._free > 0 and not self._waiting

    def _take(self) -> None:
        ticket = object()
        with self._changed:
            self._waiting.append(ticket)
            self._changed.wait_for(lambda: self._free > 0 and self._waiting[0] is ticket)
            self._waiting.popleft()
            self._free -= 1
            self._changed.notify_all()

    def _give(self) -> None:
        with self._changed:
            self._free += 1
            self._changed.notify_all()

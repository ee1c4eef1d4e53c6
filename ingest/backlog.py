"""Backlog: how much is owed, and when intake takes no more.

The catalogue keeps whatever was accepted, however long workers or brokers are away; this bounds how much that may be.
"""

from __future__ import annotations

import threading
import time
from typing import Protocol

from retrieval.errors import BacklogFull

# A count is believed so long, or so many times as long as it took: asking is then next to nothing of a core, and other
# processes let in only what they can accept within it beyond the limit.
_BELIEVED_S = 1.0
_BELIEVED_TIMES = 20


class Count(Protocol):
    """`Catalogue.tasks.backlog`."""

    def __call__(self, *, at_most: int) -> int: ...


class Backlog:
    """What is owed before something new is live: counted now and then, with what was accepted here since added."""

    def __init__(self, count: Count, *, limit: int, believed_s: float = _BELIEVED_S) -> None:
        self._count = count
        self._limit = limit
        self._believed_s = believed_s
        self._lock = threading.Lock()
        self._ask_at = 0.0
        self._open = 0

    def expect_room(self) -> None:
        """Raises `BacklogFull` where the limit is reached. One caller a second asks the catalogue; the others go by
        what is known, and wait for nobody."""
        with self._lock:
            now = time.monotonic()
            asks = now >= self._ask_at
            if asks:
                self._ask_at = now + self._believed_s
        if asks:
            found = self._count(at_most=self._limit)
            took = time.monotonic() - now
            with self._lock:
                self._open = found
                self._ask_at = max(self._ask_at, now + took * _BELIEVED_TIMES)
        if self._open >= self._limit:
            raise BacklogFull(
                f"{self._limit} tasks wait to be processed, and no more are taken; nothing was accepted. Send it again "
                "later."
            )

    def grew(self, count: int) -> None:
        """So many tasks more are owed, as far as is known."""
        with self._lock:
            self._open += count

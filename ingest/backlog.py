"""Backlog: how much is owed, and when intake takes no more.

The catalogue keeps whatever was accepted, however long workers or brokers are away; this bounds how much that may be.
"""

from __future__ import annotations

import threading
import time
from typing import Protocol

from retrieval.documents import Stage
from retrieval.errors import BacklogFull

# A count is believed so long: asking once a second costs nothing, and other processes let in only what they can accept
# within it beyond the limit.
_BELIEVED_S = 1.0


class OpenCount(Protocol):
    """`Catalogue.tasks.open_count`."""

    def __call__(self, *stages: Stage, at_most: int | None = None) -> int: ...


class Backlog:
    """Open parse and embed tasks: counted now and then, and reckoned on by what was accepted here since."""

    def __init__(self, count: OpenCount, *, limit: int, believed_s: float = _BELIEVED_S) -> None:
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
            found = self._count(Stage.PARSE, Stage.EMBED, at_most=self._limit)
            with self._lock:
                self._open = found
        if self._open >= self._limit:
            raise BacklogFull(
                f"{self._limit} tasks wait to be processed, and no more are taken; nothing was accepted. Send it again "
                "later."
            )

    def grew(self, count: int) -> None:
        """So many tasks more are owed, as far as is known."""
        with self._lock:
            self._open += count

"""Permits: what a process does at once of one kind of work. No permit, an immediate 503, never a queue."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from retrieval.errors import Unavailable


class Overloaded(Unavailable):
    """Too much is being done at once here; try again in a moment."""

    code = "overloaded"


class Permits:
    def __init__(self, count: int) -> None:
        self._free = threading.BoundedSemaphore(count)
        self.count = count

    @contextmanager
    def one(self) -> Iterator[None]:
        if not self._free.acquire(blocking=False):
            raise Overloaded
        try:
            yield
        finally:
            self._free.release()

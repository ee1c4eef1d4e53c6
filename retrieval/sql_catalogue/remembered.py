"""What was read since the last commit of anybody: as good as asking again, and much quicker."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class Remembered(Generic[K, V]):
    """Forgets everything as soon as `changes` moves, and at `most` entries.

    `now()` is called before the database is asked, and what was read goes into the dictionary it gave: a slow reader
    then fills one that nobody looks into any more, never the current one with what has become old.
    """

    def __init__(self, changes: Callable[[], int], *, most: int) -> None:
        self._changes = changes
        self._most = most
        self._known: tuple[int, dict[K, V]] = (-1, {})

    def now(self) -> dict[K, V]:
        """What is known as of this moment."""
        changes = self._changes()
        since, known = self._known
        if since != changes or len(known) > self._most:
            known = {}
            self._known = (changes, known)
        return known

"""Progress of one partition: completions in any order, commits in order.

Committed is the highest contiguous offset: everything below it is done with. What was done with beyond it is told in
the commit's metadata, so that the dispatcher, which sees only what was committed, does not take it for outstanding
while one long task at the front is still being worked on.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

# Brokers refuse metadata beyond `offset.metadata.max.bytes`, 4096 unless somebody changed it.
METADATA_CHARACTERS = 3_000
_MARK = "done "
_RUN = re.compile(r"(\d{1,9})(?:-(\d{1,9}))?", re.ASCII)
# More than any window holds; a forged run must not fill the memory.
_LONGEST_RUN = 1 << 20


@dataclass(frozen=True, slots=True)
class Position:
    """What is committed: the next offset that is owed, and what is done with beyond it."""

    offset: int
    metadata: str = ""


class PartitionProgress:
    """`next` is the offset after the last one delivered, None before the first."""

    def __init__(self) -> None:
        self.next: int | None = None
        self.weight = 0  # of what is pending
        self._pending: dict[int, int] = {}  # offset → weight, in order
        self._done: set[int] = set()  # at or past the first pending one

    @property
    def pending(self) -> int:
        return len(self._pending)

    def start(self, offset: int, weight: int = 0) -> None:
        self._pending[offset] = weight
        self.weight += weight
        self.next = offset + 1

    def finish(self, offset: int) -> None:
        """Said again, it changes nothing."""
        weight = self._pending.pop(offset, None)
        if weight is None:
            return
        self.weight -= weight
        self._done.add(offset)
        first = self._first
        self._done = {done for done in self._done if first is not None and done >= first}

    @property
    def position(self) -> Position | None:
        """None before anything was delivered."""
        first = self._first
        return None if first is None else Position(first, written(self._done, beyond=first))

    @property
    def _first(self) -> int | None:
        return next(iter(self._pending), self.next)


def written(done: Iterable[int], *, beyond: int) -> str:
    """Runs of offsets relative to the committed one, such as `done 1-3,7`; what finds no room is left out."""
    runs: list[str] = []
    room = METADATA_CHARACTERS - len(_MARK)
    for first, last in _runs(sorted(done)):
        run = f"{first - beyond}" if first == last else f"{first - beyond}-{last - beyond}"
        room -= len(run) + 1
        if room < 0:
            break
        runs.append(run)
    return _MARK + ",".join(runs) if runs else ""


def read(position: Position) -> list[range]:
    """The runs that `written` wrote, as offsets; nothing of what it did not write."""
    if not position.metadata.startswith(_MARK):
        return []
    runs = []
    for text in position.metadata.removeprefix(_MARK).split(","):
        run = _RUN.fullmatch(text)
        if run is None:
            return []
        first, last = int(run[1]), int(run[2] or run[1])
        if not first <= last < first + _LONGEST_RUN:
            return []
        runs.append(range(position.offset + first, position.offset + last + 1))
    return runs


def _runs(offsets: list[int]) -> Iterable[tuple[int, int]]:
    first = last = None
    for offset in offsets:
        if first is None or last is None:
            first = last = offset
        elif offset == last + 1:
            last = offset
        else:
            yield first, last
            first = last = offset
    if first is not None and last is not None:
        yield first, last

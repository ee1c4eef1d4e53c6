"""Page ranges: which pages of one document are still to be read, and what came of the others.

A range ends where its child fails. The page it failed at is tried once more, first and in a fresh child: what it
failed of may have been left by the pages before. Failing again it is a bad page, and the range goes on behind it.
"""

from __future__ import annotations

import threading
from collections import Counter, deque
from dataclasses import dataclass

from ingest.document_budget import DocumentBudget
from ingest.parser_limits import ParserLimits
from ingest.parser_verdicts import PageFailure, over

# 64: a tenth of a second of reading and more, where taking a range over costs a copy of the file, its opening and
# perhaps a fork, a hundredth or two. It is also how long a small document waits for a child that reads a large one.
RANGE_PAGES = 64
_TRIES = 2
# 64: each costs a process. A document with more pages that kill or exhaust is attacked or damaged as a whole.
_MOST_FAILURES = 64


@dataclass(frozen=True, slots=True)
class PageRange:
    """Pages `first` to `last`. `fresh`: for a child that has read nothing before."""

    first: int
    last: int
    fresh: bool = False


class ReadingOver(Exception):
    """The document is judged: nobody wants its pages any more."""


class PageRanges:
    """Thread-safe. A range that is taken is in somebody's hands until it is `returned`."""

    def __init__(self, pages: int, *, limits: ParserLimits, budget: DocumentBudget) -> None:
        self.budget = budget
        self._limits = limits
        self._count = pages
        self._changed = threading.Condition()
        self._next = 1
        self._again: deque[PageRange] = deque()  # rests of ranges that failed
        self._in_hand = 0
        self._read: dict[int, bytes | str] = {}
        self._tries: Counter[int] = Counter()
        self._first_failure: PageFailure | None = None
        self._verdict: Exception | None = None

    def __len__(self) -> int:
        """How many ranges nobody has taken yet."""
        return len(self._again) + -(-(self._count - self._next + 1) // RANGE_PAGES)

    def take(self) -> PageRange | None:
        """A range to read; None when there is none to take, now or for ever."""
        with self._changed:
            if self._verdict is not None or not len(self):
                return None
            self._in_hand += 1
            if self._again:
                return self._again.popleft()
            first = self._next
            self._next = min(first + RANGE_PAGES, self._count + 1)
            return PageRange(first, self._next - 1)

    def is_open(self) -> bool:
        """Whether there is a range to take."""
        return self._verdict is None and len(self) > 0

    def left(self) -> int:
        """Pages that nothing has come of yet."""
        return self._count - len(self._read)

    def keep(self, number: int, data: bytes, *, cpu_s: float) -> None:
        self.budget.charge(cpu_s=cpu_s, size=len(data))
        self._read[number] = data

    def failed_at(self, number: int, last: int, failure: PageFailure) -> None:
        """The range that goes on to `last` failed at this page."""
        with self._changed:
            self._first_failure = self._first_failure or failure
            self._tries[number] += 1
            if self._tries.total() > _MOST_FAILURES:
                self._verdict = self._verdict or failure.error
            if failure.by_time or self._tries[number] >= _TRIES:
                self._read[number] = failure.why
                number += 1
            if number <= last:
                self._again.append(PageRange(number, last, fresh=True))

    def returned(self) -> None:
        with self._changed:
            self._in_hand -= 1
            self._changed.notify_all()

    def judge(self, verdict: Exception) -> None:
        """Ends the reading for everybody; the first verdict counts."""
        with self._changed:
            self._verdict = self._verdict or verdict
            self._changed.notify_all()

    def check(self) -> None:
        """Raises `ReadingOver` when the document is judged, or has used up what it may use."""
        limit = self.budget.spent()
        if limit is not None:
            self.judge(over(limit, self._limits))
        if self._verdict is not None:
            raise ReadingOver

    def are_decided(self) -> bool:
        """Whether something has come of every page. Raises the verdict if there is one."""
        if self._verdict is not None:
            raise self._verdict
        return self.left() == 0

    def wait(self) -> None:
        """Until there is a range to take, every page is decided, or there is a verdict."""
        with self._changed:
            self._changed.wait_for(lambda: self._verdict is not None or self.is_open() or not self._in_hand)

    def wait_for_hands(self) -> None:
        """Until nobody holds a range."""
        with self._changed:
            self._changed.wait_for(lambda: not self._in_hand)

    def pages(self) -> list[bytes | str]:
        """All pages in order, when every one is decided."""
        return [self._read[number] for number in range(1, self._count + 1)]

    def first_failure(self) -> Exception | None:
        """What the first page that killed or exhausted its child would have made of the document."""
        return self._first_failure.error if self._first_failure else None

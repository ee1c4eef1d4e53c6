"""What one document may still use, over all the children that read its pages."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from ingest.parser_limits import ParserLimits

# 4: a page gets a quarter of what its document has left, so that one that never ends costs a quarter of it and not all;
# the eighth of them still leaves a tenth. A usual page takes a thousandth of a second.
_SHARES = 4
_PAGE_BYTES = 64  # what an empty page costs the pool to keep: a million of them are no empty document


class DocumentBudget:
    """Thread-safe. Seconds by the clock are those of each child that works on the document, added."""

    def __init__(self, limits: ParserLimits, *, children: int) -> None:
        self._shares = max(_SHARES, children)  # that many pages may be read at once, and together stay below the limit
        self._lock = threading.Lock()
        self._cpu_s = float(limits.cpu_s)
        self._wall_s = limits.wall_s
        self._bytes = limits.result_bytes
        self._running: dict[object, float] = {}

    @contextmanager
    def clock(self) -> Iterator[None]:
        """Counts the time inside."""
        key = object()
        started = self._running[key] = time.monotonic()
        try:
            yield
        finally:
            with self._lock:
                del self._running[key]
                self._wall_s -= time.monotonic() - started

    def charge(self, *, cpu_s: float, size: int = 0) -> None:
        with self._lock:
            self._cpu_s -= cpu_s
            self._bytes -= size + _PAGE_BYTES

    def page_cpu_s(self, pages_left: int) -> int:
        """Whole seconds, at least one: the system counts no finer."""
        return max(1, math.ceil(self._cpu_s / self._parts(pages_left)))

    def page_wall_s(self, pages_left: int) -> float:
        return max(0.0, self.wall_s()) / self._parts(pages_left)

    def cpu_s(self) -> int:
        return max(1, math.ceil(self._cpu_s))

    def wall_s(self) -> float:
        with self._lock:
            now = time.monotonic()
            return self._wall_s - sum(now - started for started in self._running.values())

    def room(self) -> int:
        """Bytes that its pages may still have."""
        return max(0, self._bytes)

    def spent(self) -> str | None:
        """The limit that the document has reached, by its name in `ParserLimits.sentence`."""
        if self._bytes < 0:
            return "result"
        if self._cpu_s <= 0:
            return "cpu"
        return "wall" if self.wall_s() <= 0 else None

    def _parts(self, pages_left: int) -> int:
        return max(1, min(self._shares, pages_left))

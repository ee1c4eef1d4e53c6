"""Concurrent queries, gathered into one model call.

No thread of its own and no timer: a query that finds nobody embedding embeds at once. Those that come meanwhile wait,
and when the call ends the first of them takes all of them into the next. A server under load therefore runs batches
as large as its load, and an idle one adds nothing to the model's latency.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from retrieval.errors import EmbedderBusy

# 64 waiting queries are about two seconds of work on two cores: who comes after them is better told to come back.
MAX_WAITING = 64
# One call of 16 short queries takes about 15 ms on two cores; more rows make the first of them wait for the last.
MAX_GATHERED = 16
# Longer than MAX_WAITING queries take; past it the model hangs or the machine is far too small.
MAX_WAIT_S = 5.0


@dataclass(slots=True)
class _Asked:
    text: str
    woken: threading.Event = field(default_factory=threading.Event)
    leads: bool = False
    vector: NDArray[np.float32] | None = None
    error: BaseException | None = None


class QueryGathering:
    """Wraps `embed`, which takes texts and returns vectors of shape [len(texts), dimension], for many threads.

    `embed` is never called by two threads at once. What it raises, every query of that call raises.
    """

    def __init__(
        self,
        embed: Callable[[Sequence[str]], NDArray[np.float32]],
        *,
        max_waiting: int = MAX_WAITING,
        max_gathered: int = MAX_GATHERED,
        max_wait_s: float = MAX_WAIT_S,
    ) -> None:
        self._embed = embed
        self._max_waiting = max_waiting
        self._max_gathered = max_gathered
        self._max_wait_s = max_wait_s
        self._lock = threading.Lock()
        self._waiting: list[_Asked] = []
        self._embedding = False

    @property
    def waiting(self) -> int:
        """How many queries wait for a call, for readiness and metrics."""
        return len(self._waiting)

    def ask(self, text: str) -> NDArray[np.float32]:
        """The vector of one query. Raises `EmbedderBusy` when too many wait, or this one waited too long."""
        asked = _Asked(text)
        if not self._goes_first(asked):
            self._wait(asked)
        if asked.leads:
            self._lead(asked)
        if asked.error is not None:
            raise asked.error
        if asked.vector is None:
            raise RuntimeError("a query was woken without a vector or an error")
        return asked.vector

    def _goes_first(self, asked: _Asked) -> bool:
        with self._lock:
            if self._embedding:
                if len(self._waiting) >= self._max_waiting:
                    raise EmbedderBusy
                self._waiting.append(asked)
                return False
            self._embedding = asked.leads = True
            return True

    def _wait(self, asked: _Asked) -> None:
        if asked.woken.wait(self._max_wait_s):
            return
        with self._lock:
            if asked in self._waiting:
                self._waiting.remove(asked)
                raise EmbedderBusy
        # A leader has taken it between the timeout and the lock: its answer is on the way.
        asked.woken.wait()

    def _lead(self, first: _Asked) -> None:
        with self._lock:
            room = self._max_gathered - 1
            call = [first, *self._waiting[:room]]
            del self._waiting[:room]
        try:
            vectors = self._embed([asked.text for asked in call])
            for asked, vector in zip(call, vectors, strict=True):
                asked.vector = vector
        except BaseException as error:
            for asked in call:
                asked.error = error
        finally:
            self._hand_over()
            for asked in call[1:]:
                asked.woken.set()

    def _hand_over(self) -> None:
        with self._lock:
            if not self._waiting:
                self._embedding = False
                return
            successor = self._waiting.pop(0)
            successor.leads = True
        successor.woken.set()

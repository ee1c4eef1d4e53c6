"""The waiting line of a queue: deliveries that are here and that no worker has taken yet."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence

from ingest.task_queue import Delivery
from retrieval.documents import Lane, Stage


class WaitingLine:
    """Interactive deliveries come before bulk ones, and what must run alone is taken alone."""

    def __init__(self) -> None:
        self._waiting: dict[tuple[Stage, Lane], deque[Delivery]] = {
            (stage, lane): deque() for stage in Stage for lane in Lane
        }
        self._changed = threading.Condition()
        self._closed = False

    def put(self, deliveries: Iterable[Delivery]) -> None:
        with self._changed:
            for delivery in deliveries:
                self._waiting[delivery.pointer.stage, delivery.pointer.lane].append(delivery)
            self._changed.notify_all()

    def take(self, stages: Sequence[Stage], *, limit: int, timeout_s: float) -> list[Delivery]:
        """Up to `limit` deliveries: waits for the first one, takes the others if they are there."""
        deadline = time.monotonic() + timeout_s
        with self._changed:
            while not self._closed:
                taken = self._pop(stages, limit)
                remaining = deadline - time.monotonic()
                if taken or remaining <= 0:
                    return taken
                self._changed.wait(remaining)
            return []

    def _pop(self, stages: Sequence[Stage], limit: int) -> list[Delivery]:
        taken: list[Delivery] = []
        for lane in (Lane.INTERACTIVE, Lane.BULK):
            for stage in stages:
                waiting = self._waiting[stage, lane]
                while waiting and len(taken) < limit:
                    if waiting[0].pointer.solitary and taken:
                        return taken
                    taken.append(waiting.popleft())
                    if taken[-1].pointer.solitary:
                        return taken
        return taken

    def remove(self, gone: Callable[[Delivery], bool]) -> None:
        """Takes out what will be delivered to somebody else."""
        with self._changed:
            for key, waiting in self._waiting.items():
                self._waiting[key] = deque(delivery for delivery in waiting if not gone(delivery))

    def close(self) -> None:
        """Wakes every taker; later ones get nothing."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

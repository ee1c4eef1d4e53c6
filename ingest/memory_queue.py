"""The queue of an embedded install: a bounded window in this process's memory."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Sequence

from ingest.task_queue import Delivery
from retrieval.documents import Lane, Stage
from retrieval.tasks import TaskPointer


class MemoryQueue:
    """`window` bounds the pointers in flight for each stage."""

    def __init__(self, *, window: int) -> None:
        self._window = window
        self._waiting: dict[tuple[Stage, Lane], deque[TaskPointer]] = {
            (stage, lane): deque() for stage in Stage for lane in Lane
        }
        self._outstanding: dict[Stage, set[int]] = {stage: set() for stage in Stage}
        self._changed = threading.Condition()
        self._closed = False

    def room(self, stage: Stage) -> int:
        with self._changed:
            return self._window - len(self._outstanding[stage])

    def outstanding(self, stage: Stage) -> Sequence[int]:
        with self._changed:
            return sorted(self._outstanding[stage])

    def publish(self, pointers: Sequence[TaskPointer]) -> None:
        with self._changed:
            for pointer in pointers:
                if pointer.task_id not in self._outstanding[pointer.stage]:
                    self._outstanding[pointer.stage].add(pointer.task_id)
                    self._waiting[pointer.stage, pointer.lane].append(pointer)
            self._changed.notify_all()

    def take(self, stages: Sequence[Stage], *, limit: int, timeout_s: float) -> list[Delivery]:
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
                    # What must run alone is taken alone.
                    if waiting[0].solitary and taken:
                        return taken
                    taken.append(Delivery(waiting.popleft()))
                    if taken[-1].pointer.solitary:
                        return taken
        return taken

    def acknowledge(self, delivery: Delivery) -> None:
        with self._changed:
            self._outstanding[delivery.pointer.stage].discard(delivery.pointer.task_id)

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify_all()

"""The queue of an embedded install: a bounded window in this process's memory."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from ingest.task_queue import Delivery
from ingest.waiting_line import WaitingLine
from retrieval.documents import Lane, Stage
from retrieval.tasks import TaskPointer


class MemoryQueue:
    """`window` bounds the pointers in flight for each stage and lane."""

    def __init__(self, *, window: int) -> None:
        self._window = window
        self._line = WaitingLine()
        self._outstanding: dict[Stage, dict[int, Lane]] = {stage: {} for stage in Stage}
        self._lock = threading.Lock()

    def room(self, stage: Stage, lane: Lane) -> int:
        with self._lock:
            return self._window - sum(1 for known in self._outstanding[stage].values() if known is lane)

    def outstanding(self, stage: Stage) -> Sequence[int]:
        with self._lock:
            return sorted(self._outstanding[stage])

    def publish(self, pointers: Sequence[TaskPointer]) -> None:
        fresh: list[Delivery] = []
        with self._lock:
            for pointer in pointers:
                if pointer.task_id not in self._outstanding[pointer.stage]:
                    self._outstanding[pointer.stage][pointer.task_id] = pointer.lane
                    fresh.append(Delivery(pointer))
        self._line.put(fresh)

    def take(self, stages: Sequence[Stage], *, limit: int, timeout_s: float) -> list[Delivery]:
        return self._line.take(stages, limit=limit, timeout_s=timeout_s)

    def acknowledge(self, delivery: Delivery) -> None:
        with self._lock:
            self._outstanding[delivery.pointer.stage].pop(delivery.pointer.task_id, None)

    def close(self) -> None:
        self._line.close()

"""A queue made of several: each stage has its own, and who publishes and takes sees one."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

from ingest.task_queue import Delivery, Queue
from retrieval.documents import Lane, Stage
from retrieval.tasks import TaskPointer


class RoutedQueue:
    """One `take` names stages of one queue."""

    def __init__(self, routes: Mapping[Stage, Queue]) -> None:
        self._routes = routes

    def room(self, stage: Stage, lane: Lane) -> int:
        return self._routes[stage].room(stage, lane)

    def outstanding(self, stage: Stage) -> Sequence[int]:
        return self._routes[stage].outstanding(stage)

    def publish(self, pointers: Sequence[TaskPointer]) -> None:
        by_queue: dict[int, list[TaskPointer]] = defaultdict(list)
        for pointer in pointers:
            by_queue[id(self._routes[pointer.stage])].append(pointer)
        for portion in by_queue.values():
            self._routes[portion[0].stage].publish(portion)

    def take(self, stages: Sequence[Stage], *, limit: int, timeout_s: float) -> list[Delivery]:
        (queue,) = {id(self._routes[stage]): self._routes[stage] for stage in stages}.values()
        return queue.take(stages, limit=limit, timeout_s=timeout_s)

    def acknowledge(self, delivery: Delivery) -> None:
        self._routes[delivery.pointer.stage].acknowledge(delivery)

    def close(self) -> None:
        for queue in {id(queue): queue for queue in self._routes.values()}.values():
            queue.close()

"""Queue: pointers to owed tasks, in flight between the dispatcher and the workers.

Words
-----
*Pointer*   names a task; the task itself is in the catalogue, which alone knows whether it is still owed.
*Window*    the bounded number of pointers in flight; the backlog waits in the catalogue.
*Delivery*  a pointer handed to one worker, to be acknowledged after its claim was refused or its outcome recorded.

Promises: at least once. A pointer that was published and not acknowledged is delivered again after a restart, or is
due again in the catalogue; duplicates are harmless because claims are by compare-and-set. Interactive pointers are
taken before bulk ones. Failures raise `QueueUnavailable`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from retrieval.documents import Stage
from retrieval.tasks import TaskPointer


@dataclass(frozen=True, slots=True)
class Delivery:
    pointer: TaskPointer


class Queue(Protocol):
    def room(self, stage: Stage) -> int:
        """How many more pointers of this stage the window takes."""
        ...

    def outstanding(self, stage: Stage) -> Sequence[int]:
        """Task ids of this stage that were published and not acknowledged."""
        ...

    def publish(self, pointers: Sequence[TaskPointer]) -> None: ...

    def take(self, stages: Sequence[Stage], *, limit: int, timeout_s: float) -> list[Delivery]:
        """Up to `limit` deliveries: waits for the first one, takes the others if they are there."""
        ...

    def acknowledge(self, delivery: Delivery) -> None: ...

    def close(self) -> None:
        """Wakes every taker; later takes return nothing."""
        ...

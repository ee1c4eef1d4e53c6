"""Queue: pointers to owed tasks, in flight between the dispatcher and the workers.

Words
-----
*Pointer*   names a task; the task itself is in the catalogue, which alone knows whether it is still owed.
*Window*    the bounded number of pointers of one stage and lane in flight; the backlog waits in the catalogue.
*Delivery*  a pointer handed to one worker, to be acknowledged after its claim was refused or its outcome recorded.

Promises: at least once. A pointer that was published and not acknowledged is delivered again after a restart, or is
due again in the catalogue; duplicates are harmless because claims are by compare-and-set. Interactive pointers are
taken before bulk ones, and a full window of bulk ones leaves the interactive window as it is. Failures raise
`QueueUnavailable`; nothing is lost by them, since whatever was not published is still due.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from retrieval.documents import Lane, Stage
from retrieval.tasks import TaskPointer


@dataclass(frozen=True, slots=True)
class Delivery:
    """`receipt` is the queue's own: by it, it knows the delivery again."""

    pointer: TaskPointer
    receipt: object = None


class Queue(Protocol):
    """The dispatcher publishes into one end, workers take from the other; they may be in different processes."""

    def room(self, stage: Stage, lane: Lane) -> int:
        """How many more pointers of this stage and lane the window takes."""
        ...

    def outstanding(self, stage: Stage) -> Sequence[int]:
        """Task ids of this stage that were published, by whomever, and not acknowledged."""
        ...

    def publish(self, pointers: Sequence[TaskPointer]) -> None:
        """Puts them in flight, the ones apart that are already. If it raises, some of them may be in flight."""
        ...

    def take(self, stages: Sequence[Stage], *, limit: int, timeout_s: float) -> list[Delivery]:
        """Up to `limit` deliveries: waits for the first one, takes the others if they are there. One that must run
        alone is taken alone. While the queue is away there is nothing to take; that is no failure."""
        ...

    def acknowledge(self, delivery: Delivery) -> None:
        """Said again, or too late, it changes nothing. Never raises, never waits."""
        ...

    def close(self) -> None:
        """Wakes every taker; later takes return nothing. What was taken can still be acknowledged."""
        ...

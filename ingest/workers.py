"""Workers: take deliveries, claim their tasks, run the stage, record what came of it.

A worker never decides whether a task is owed; the claim does. An outcome is recorded under the claim, and a failure
is told apart by one fork: refused is parked, unavailable rests, anything else is a bug and tried a few times. What a
stage's fuse takes for the stage's own trouble rests too.
"""

from __future__ import annotations

import logging
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from ingest.fuse import Fuses
from ingest.parsing import ParserFailed, ParserKilled
from ingest.task_queue import Delivery, Queue
from ingest.upkeep import OlderLeaseLives
from retrieval.catalogue import Catalogue
from retrieval.documents import Stage
from retrieval.errors import CatalogueUnavailable, Refused, Unavailable, Unparseable
from retrieval.tasks import Claim, Failure

log = logging.getLogger(__name__)

TAKE_TIMEOUT_S = 0.5  # how long a worker waits for a delivery before it looks whether it shall stop


class Solitude:
    """Work that may kill its process runs alone in it, so that its death is nobody else's suspicion."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._shared = 0
        self._alone = False

    @property
    def wanted(self) -> bool:
        """Somebody waits for those who share to end: who works on and on lets go now."""
        return self._alone

    @contextmanager
    def shared(self) -> Iterator[None]:
        with self._changed:
            self._changed.wait_for(lambda: not self._alone)
            self._shared += 1
        try:
            yield
        finally:
            with self._changed:
                self._shared -= 1
                self._changed.notify_all()

    @contextmanager
    def alone(self) -> Iterator[None]:
        with self._changed:
            self._changed.wait_for(lambda: not self._alone)
            self._alone = True
            self._changed.wait_for(lambda: not self._shared)
        try:
            yield
        finally:
            with self._changed:
                self._alone = False
                self._changed.notify_all()


class Settlement:
    """Runs a step of a claim and records how it failed, if it did. `fuses` are told, and asked by the workers: one who
    takes has them from here."""

    def __init__(self, catalogue: Catalogue, *, rest_s: float, fuses: Fuses | None = None) -> None:
        self.fuses = fuses or Fuses()
        self._catalogue = catalogue
        self._rest_s = rest_s
        self._unrecorded: deque[Claim] = deque()

    def settle(self, claim: Claim, step: Callable[[], None]) -> bool:
        """Whether the step ended well; if not, the claim has ended with it."""
        try:
            try:
                step()
                return True
            except CatalogueUnavailable:
                raise  # no fuse: without the catalogue nobody takes anything, and everybody is ready when it is back
            except Exception as error:
                self._record(claim, error)
        except Unavailable as error:  # also a disk too full to record anything
            log.warning("task %s: %s", claim.task_id, error)
            self.abandon([claim])
        return False

    def succeeded(self, claim: Claim) -> None:
        """The claim's document came through."""
        self.fuses.of(claim.stage).succeeded()

    def abandon(self, claims: Sequence[Claim]) -> None:
        """Nothing can be recorded of these now. The heartbeat would keep them for as long as the process lives, so they
        are given back when the catalogue answers again."""
        self._unrecorded.extend(claims)

    def rest(self) -> None:
        """What is away is not asked a thousand times a second."""
        time.sleep(self._rest_s)

    def release(self, claim: Claim) -> None:
        """Gives back what was not finished; it counts for nothing."""
        self.settle(claim, lambda: self._catalogue.tasks.released(claim))

    def give_back(self) -> None:
        """Gives back what was abandoned; a claim that was lost, or whose commit arrived, is not touched by it."""
        with suppress(IndexError):
            while True:
                claim = self._unrecorded.popleft()
                try:
                    self._catalogue.tasks.postpone(claim, delay_s=self._rest_s)
                except Unavailable:
                    self._unrecorded.append(claim)
                    raise

    def _record(self, claim: Claim, error: Exception) -> None:
        tasks = self._catalogue.tasks
        log.info("document %s, %s: %s", claim.document.id, claim.stage, type(error).__name__)
        match error:
            case OlderLeaseLives():
                tasks.postpone(claim, delay_s=self._rest_s, growing=False)
            case ParserKilled():  # the document's own doing, and counted as such
                tasks.killed_alone(claim, reason=str(error))
            case Unparseable():
                tasks.failed(claim, Failure(error.reason_code, str(error), permanent=True))
            case Refused():
                tasks.failed(claim, Failure(error.code, str(error), permanent=True))
            case _:
                self._trouble(claim, error)

    def _trouble(self, claim: Claim, error: Exception) -> None:
        """A bug, or something that is away. While the fuse is open it is the stage's, not the document's."""
        tasks = self._catalogue.tasks
        if not isinstance(error, Unavailable):
            log.error("task %s failed", claim.task_id, exc_info=error)
        if self.fuses.of(claim.stage).failed(claim.task_id, error) or isinstance(error, Unavailable):
            tasks.postpone(claim, delay_s=self._rest_s)
        else:
            tasks.failed(claim, Failure("internal", _sentence(error), permanent=False, evidence=_evidence(error)))


def _sentence(error: Exception) -> str:
    return f"An error inside ragstone: {type(error).__name__}. Its traceback is in the dead letter's evidence."


def _evidence(error: Exception) -> dict[str, str]:
    text = str(error) if isinstance(error, ParserFailed) else "".join(traceback.format_exception(error))
    return {"traceback": text[-20_000:]}


@dataclass(frozen=True, slots=True)
class Workplace:
    """What every worker of a process shares."""

    catalogue: Catalogue
    queue: Queue
    worker: str
    lease_s: float
    solitude: Solitude
    settlement: Settlement

    def claim(self, delivery: Delivery) -> Claim | None:
        """The delivery's task; None where it is not owed any more, or somebody is at it."""
        return self.catalogue.tasks.claim(delivery.pointer.task_id, worker=self.worker, lease_s=self.lease_s)

    def give_back(self) -> None:
        """Gives back what was abandoned, if that is possible by now."""
        try:
            self.settlement.give_back()
        except Unavailable as error:
            log.warning("worker: %s", error)


class Worker:
    """A thread's work: takes up to `batch` deliveries of its stages and gives their claims to `run`. A stage whose fuse
    is open rests."""

    def __init__(
        self, place: Workplace, *, stages: Sequence[Stage], batch: int, run: Callable[[Sequence[Claim]], None]
    ) -> None:
        self._place = place
        self._stages = stages
        self._batch = batch
        self._run = run

    def run(self, stop: threading.Event) -> None:
        while not stop.is_set():
            self._place.give_back()
            with self._place.settlement.fuses.admission(self._stages, limit=self._batch) as admitted:
                if not admitted.stages:
                    stop.wait(TAKE_TIMEOUT_S)
                    continue
                deliveries = self._place.queue.take(admitted.stages, limit=admitted.limit, timeout_s=TAKE_TIMEOUT_S)
                if deliveries:
                    self._handle(deliveries)

    def _handle(self, deliveries: Sequence[Delivery]) -> None:
        solitude = self._place.solitude
        solitary = any(delivery.pointer.solitary for delivery in deliveries)
        try:
            with solitude.alone() if solitary else solitude.shared():
                claims = self._claims(deliveries)
                if claims:
                    self._run(claims)
        except Unavailable as error:
            log.warning("worker: %s", error)
            self._place.settlement.rest()
        finally:
            for delivery in deliveries:
                self._place.queue.acknowledge(delivery)

    def _claims(self, deliveries: Sequence[Delivery]) -> list[Claim]:
        place = self._place
        claims: list[Claim] = []
        try:
            for delivery in deliveries:
                claim = place.claim(delivery)
                if claim is not None:
                    claims.append(claim)
        except Unavailable:
            place.settlement.abandon(claims)
            raise
        return claims


def one_by_one(settlement: Settlement, run: Callable[[Claim], None]) -> Callable[[Sequence[Claim]], None]:
    """A stage that handles one claim at a time, as `Worker` wants it."""

    def run_all(claims: Sequence[Claim]) -> None:
        for claim in claims:
            if settlement.settle(claim, lambda claim=claim: run(claim)):  # type: ignore[misc]
                settlement.succeeded(claim)

    return run_all


class Heartbeat:
    """Keeps this process's leases alive while it lives."""

    def __init__(self, catalogue: Catalogue, *, worker: str, lease_s: float) -> None:
        self._catalogue = catalogue
        self._worker = worker
        self._lease_s = lease_s

    def run(self, stop: threading.Event) -> None:
        while not stop.wait(self._lease_s / 3):
            try:
                self._catalogue.tasks.heartbeat(self._worker, lease_s=self._lease_s)
            except Unavailable as error:
                log.warning("heartbeat: %s", error)

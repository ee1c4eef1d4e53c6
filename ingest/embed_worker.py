"""The embed worker: keeps the embed stage supplied with documents, and turns it.

Between two turns it takes what has arrived, so a document waits for the slice that is being embedded and for no other
document. A delivery is acknowledged when its document has ended, however many turns later that is.
"""

from __future__ import annotations

import logging
import threading
import time

from ingest.embed_stage import EmbedStage
from ingest.fuse import Admission
from ingest.task_queue import Delivery
from ingest.workers import TAKE_TIMEOUT_S, Workplace
from retrieval.documents import Lane, Stage
from retrieval.errors import Unavailable
from retrieval.tasks import TaskPointer

log = logging.getLogger(__name__)

EVERYTHING = 1_000_000  # the queue's own window is the bound
OPENING_S = 0.2  # documents of a thousand chunks are read in 25 ms; who is open already waits for no more than some


class EmbedWorker:
    """For one thread. `documents` is how many a tenant that is alone in its lane may have open.

    Whatever the queue has in flight is taken, for bulk that is not opened yet must not stand before interactive work;
    it waits here unclaimed, for a claim is what a crash is blamed on.
    """

    def __init__(self, place: Workplace, stage: EmbedStage, *, documents: int) -> None:
        self._place = place
        self._stage = stage
        self._documents = documents
        self._fuse = place.settlement.fuses.of(Stage.EMBED)
        self._waiting: list[Delivery] = []
        self._held: dict[int, Delivery] = {}

    def run(self, stop: threading.Event) -> None:
        while not stop.is_set():
            with self._fuse.admission() as admission:
                match admission:
                    case Admission.NONE:
                        self._place.give_back()
                        stop.wait(TAKE_TIMEOUT_S)
                    case Admission.ONE:
                        self._try_one(stop)
                    case Admission.ALL:
                        self._work(stop)

    def _work(self, stop: threading.Event) -> None:
        self._take(timeout_s=0.0 if self._waiting else TAKE_TIMEOUT_S)
        solitary = self._next_solitary()
        if solitary is not None:
            self._one(solitary, stop)
        if self._waiting:
            self._together(stop)

    def _try_one(self, stop: threading.Event) -> None:
        """The fuse's trial: one document, and nothing beside it."""
        self._take(timeout_s=0.0 if self._waiting else TAKE_TIMEOUT_S)
        if self._waiting:
            self._one(self._next_solitary() or self._waiting[0], stop)

    def _together(self, stop: threading.Event) -> None:
        """Turns, until nothing is left, or somebody must be alone."""
        solitude = self._place.solitude
        with solitude.shared():
            self._open_waiting()
            while self._held and not stop.is_set():
                self._turn()
                self._take(timeout_s=0.0)
                if solitude.wanted or self._next_solitary() is not None:
                    break
                self._open_waiting()
            self._release()

    def _one(self, delivery: Delivery, stop: threading.Event) -> None:
        """One document from start to end. Nothing else is held, or the death of a solitary one would not be known for
        its own."""
        solitude = self._place.solitude
        with solitude.alone() if delivery.pointer.solitary else solitude.shared():
            self._open(delivery)
            while self._held and not stop.is_set():
                self._turn()
            self._release()

    def _turn(self) -> None:
        published = self._stage.published
        self._stage.turn()
        if self._stage.published > published:
            self._fuse.succeeded()
        self._acknowledge_ended()

    def _release(self) -> None:
        """What is open is given back; its next attempt finds the vectors that this one wrote."""
        for claim in self._stage.let_go():
            self._place.settlement.release(claim)
        self._acknowledge_ended()

    # --- deliveries

    def _take(self, *, timeout_s: float) -> None:
        self._place.give_back()
        self._waiting += self._place.queue.take([Stage.EMBED], limit=EVERYTHING, timeout_s=timeout_s)

    def _next_solitary(self) -> Delivery | None:
        return next((delivery for delivery in self._waiting if delivery.pointer.solitary), None)

    def _open_waiting(self) -> None:
        """Those that there is room for; the rest of a crowd of large ones at a later turn, and nobody once the fuse is
        open."""
        if self._fuse.is_open:
            return
        deadline = time.monotonic() + OPENING_S
        for delivery in sorted(self._waiting, key=lambda delivery: delivery.pointer.lane is Lane.BULK):
            if delivery.pointer.solitary or not self._has_room(delivery.pointer):
                continue
            if not self._open(delivery) or time.monotonic() > deadline:
                return

    def _has_room(self, pointer: TaskPointer) -> bool:
        """A tenant may hold as many places of a lane as are still free there: alone it takes half of them, and the next
        ones find some."""
        lane = [held.pointer for held in self._held.values() if held.pointer.lane is pointer.lane]
        own = sum(held.tenant == pointer.tenant for held in lane)
        return own < 2 * self._documents - len(lane)

    def _open(self, delivery: Delivery) -> bool:
        """False while the catalogue cannot say whose the task is; the delivery waits."""
        try:
            claim = self._place.claim(delivery)
        except Unavailable as error:
            log.warning("embed worker: %s", error)
            self._place.settlement.rest()
            return False
        self._waiting.remove(delivery)
        if claim is None:
            self._place.queue.acknowledge(delivery)
        else:
            self._held[claim.attempt] = delivery
            self._stage.open(claim)
        return True

    def _acknowledge_ended(self) -> None:
        for attempt in self._held.keys() - self._stage.attempts:
            self._place.queue.acknowledge(self._held.pop(attempt))

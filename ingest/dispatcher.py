"""Dispatcher: publishes what is due, a bounded number at a time, fair between tenants, for each stage and lane apart.

One of them works at a time (a lease); many may run.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence

from ingest.doorbell import Doorbell
from ingest.leasing import NamedLease
from ingest.task_queue import Queue
from retrieval.catalogue import Catalogue
from retrieval.documents import Lane, Stage
from retrieval.errors import Unavailable
from retrieval.tasks import TaskPointer

log = logging.getLogger(__name__)

# Documents of a deleted collection that are taken in one transaction: short enough to keep the write lock free.
DELETION_PORTION = 100
# Two rounds begin so far apart: a ring in quiet times is heard at once, and of many documents a second each does not
# cost a round of its own (some 10 ms of processor time with Kafka and PostgreSQL).
ROUND_S = 0.05
# What nobody waits for is looked at so often while other things ring: bulk, erasing, repainting. It is most of a round.
FULL_ROUND_S = 0.25
URGENT = frozenset({Stage.PARSE, Stage.EMBED})


class Dispatcher:
    def __init__(
        self,
        *,
        catalogue: Catalogue,
        queue: Queue,
        doorbell: Doorbell,
        lease: NamedLease,
        stages: Sequence[Stage],
        poll_s: float,
    ) -> None:
        self._catalogue = catalogue
        self._queue = queue
        self._doorbell = doorbell
        self._lease = lease
        self._stages = stages
        self._poll_s = poll_s

    def run(self, stop: threading.Event) -> None:
        full_at = 0.0
        while not stop.is_set():
            began = time.monotonic()
            full = began >= full_at
            try:
                busy = self._lease.held() and (self.round() if full else self.urgent_round())
            except Unavailable as error:
                log.warning("dispatcher: %s", error)
                busy = False
            if full:
                full_at = began if busy else began + FULL_ROUND_S
            stop.wait(max(0.0, began + ROUND_S - time.monotonic()))
            if not busy:
                self._doorbell.wait(self._poll_s if full else min(self._poll_s, max(0.0, full_at - time.monotonic())))
        self._lease.release()

    def round(self) -> bool:
        """Publishes what is due and fits; whether there may be more at once."""
        taken = self._catalogue.collections.take_deletions(limit=DELETION_PORTION)
        if not self._catalogue.tasks.open_count(at_most=1):
            return bool(taken)  # and the brokers are left alone
        published = [self._publish(stage, (Lane.INTERACTIVE, Lane.BULK)) for stage in self._stages]
        return bool(taken) or any(published)

    def urgent_round(self) -> bool:
        """The same of what somebody waits for."""
        published = [self._publish(stage, (Lane.INTERACTIVE,)) for stage in self._stages if stage in URGENT]
        return any(published)

    def _publish(self, stage: Stage, lanes: Sequence[Lane]) -> bool:
        """Whether it found as much as there was room for."""
        room = {lane: self._queue.room(stage, lane) for lane in lanes}
        if not any(free > 0 for free in room.values()):
            return False
        # Asked before the catalogue: what is acknowledged in between was recorded before, and is not due.
        outstanding = self._queue.outstanding(stage)
        due: list[TaskPointer] = []
        filled = False
        for lane, free in room.items():
            if free > 0:
                found = self._catalogue.tasks.due([stage], lane=lane, excluding=outstanding, limit=free)
                due += found
                filled |= len(found) == free
        if due:
            self._queue.publish(due)
        return filled

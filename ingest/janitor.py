"""Janitor: looks for what slipped, and says how much it found.

At each round it removes points that are neither live nor of use to an embedding that is owed, owes again what the
index lacks of a live version, repaints what has an older revision, sweeps blobs that nothing needs, and forgets
requests whose time is over. Drift is a figure, not a feeling.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from dataclasses import dataclass

from ingest.blobs import Blobs
from ingest.embed_stage import EARLIER_ATTEMPTS
from ingest.leasing import NamedLease
from retrieval.catalogue import Catalogue
from retrieval.documents import LiveState
from retrieval.errors import Unavailable
from retrieval.index import Index, Selection

log = logging.getLogger(__name__)

LEASE = "janitor"
SWEEP_PORTION = 100
_DOCUMENTS_PORTION = 500
_REQUESTS_PORTION = 500


@dataclass(frozen=True, slots=True)
class Drift:
    """What one round found and put right: orphan points, documents whose points were missing or of an old revision,
    blobs swept."""

    orphan_points: int = 0
    incomplete_documents: int = 0
    stale_documents: int = 0
    swept_blobs: int = 0


@dataclass(frozen=True, slots=True)
class _Group:
    """Points of one attempt at one document."""

    tenant: str
    document_id: str
    attempt: int


class Janitor:
    def __init__(
        self,
        *,
        catalogue: Catalogue,
        index: Index,
        blobs: Blobs,
        lease: NamedLease,
        interval_s: float,
        keep_blobs_s: float,
    ) -> None:
        self._catalogue = catalogue
        self._index = index
        self._blobs = blobs
        self._lease = lease
        self._interval_s = interval_s
        self._keep_blobs_s = keep_blobs_s
        self.last = Drift()

    def run(self, stop: threading.Event) -> None:
        while not stop.wait(self._interval_s):
            try:
                if self._lease.held():
                    self.last = self.round()
            except Unavailable as error:
                log.warning("janitor: %s", error)
        self._lease.release()

    def round(self) -> Drift:
        stored, revisions = self._stored()
        orphans = self._remove_orphans(stored)
        incomplete, stale = self._compare(stored, revisions)
        swept = self._catalogue.blobs.sweep(
            self._blobs.delete, untouched_since=time.time() - self._keep_blobs_s, limit=SWEEP_PORTION
        )
        while self._catalogue.requests.expire(limit=_REQUESTS_PORTION) == _REQUESTS_PORTION:
            pass  # each portion is a transaction of its own
        return Drift(orphans, incomplete, stale, swept)

    def _stored(self) -> tuple[Counter[_Group], dict[_Group, int]]:
        """What the index holds: points by attempt, and the lowest revision among them."""
        stored: Counter[_Group] = Counter()
        revisions: dict[_Group, int] = {}
        for point in self._index.scroll():
            group = _Group(point.tenant, point.chunk.document_id, point.attempt)
            stored[group] += 1
            revisions[group] = min(point.rev, revisions.get(group, point.rev))
        return stored, revisions

    def _remove_orphans(self, stored: Counter[_Group]) -> int:
        # Read after the index: an attempt that began since has points that no group here counts.
        of_use = self._catalogue.tasks.attempts_of_use(earlier=EARLIER_ATTEMPTS)
        states = self._states({group.document_id for group in stored})
        removed = 0
        for group in list(stored):
            state = states.get(group.document_id)
            is_live = state is not None and not state.gone and state.live_attempt == group.attempt
            if is_live or group.attempt in of_use:
                continue
            self._index.delete(group.tenant, Selection(group.document_id, attempt=group.attempt))
            removed += stored.pop(group)
        return removed

    def _states(self, document_ids: set[str]) -> dict[str, LiveState]:
        ids = sorted(document_ids)
        states: dict[str, LiveState] = {}
        for start in range(0, len(ids), _DOCUMENTS_PORTION):
            states |= self._catalogue.documents.live_states(ids[start : start + _DOCUMENTS_PORTION])
        return states

    def _compare(self, stored: Counter[_Group], revisions: dict[_Group, int]) -> tuple[int, int]:
        incomplete = stale = 0
        after: str | None = None
        while True:
            page = self._catalogue.tasks.live_attempts(after=after, limit=_DOCUMENTS_PORTION)
            for live in page.items:
                group = _Group(live.tenant, live.document_id, live.attempt)
                if stored[group] != live.chunks and self._lacks(group, live.chunks):
                    incomplete += self._catalogue.tasks.owe_embedding(live.document_id, attempt=live.attempt)
                elif revisions.get(group, live.rev) < live.rev:
                    stale += self._catalogue.tasks.owe_repaint(live.document_id)
            after = page.next
            if after is None:
                return incomplete, stale

    def _lacks(self, group: _Group, chunks: int) -> bool:
        """Counted again, exactly: a switch since the scroll is no drift."""
        where = Selection(group.document_id, attempt=group.attempt)
        return self._index.count(group.tenant, where) != chunks

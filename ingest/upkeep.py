"""Upkeep: keeping the index to the catalogue after a switch, a delete, a PATCH.

Erases and repaints select by filter, so they are right however late they run and however often.
"""

from __future__ import annotations

from ingest.publication import repaint
from retrieval.catalogue import Catalogue
from retrieval.documents import Document, DocumentState, Stage
from retrieval.errors import IndexUnavailable, Unavailable
from retrieval.index import Index, Selection
from retrieval.tasks import Claim


class OlderLeaseLives(Unavailable):
    """A worker still holds an older version of the document; the erase waits for it."""


class Upkeep:
    def __init__(self, *, catalogue: Catalogue, index: Index) -> None:
        self._catalogue = catalogue
        self._index = index

    def run(self, claim: Claim) -> None:
        counts = self._repaint(claim) if claim.stage is Stage.REPAINT else self._erase(claim)
        self._catalogue.tasks.done(claim, counts=counts)

    def _repaint(self, claim: Claim) -> dict[str, int]:
        if not claim.document.state.is_gone:
            repaint(self._index, claim.document)
        return {"rev": claim.document.rev}

    def _erase(self, claim: Claim) -> dict[str, int]:
        document = claim.document
        if claim.subject:
            return self._delete(claim, Selection(document.id, attempt=int(claim.subject)))
        if document.state is DocumentState.DELETING and self._catalogue.tasks.blocking_leases(claim):
            raise OlderLeaseLives
        counts = self._delete(claim, Selection(document.id, version_below=claim.version))
        if document.live_version == claim.version and document.live_attempt is not None:
            for attempt in self._attempts_before(document, document.live_attempt):
                others = Selection(document.id, version=claim.version, attempt=attempt)
                counts["erased"] += self._delete(claim, others)["erased"]
        return counts

    def _attempts_before(self, document: Document, live: int) -> list[int]:
        """The attempts that the live one replaced. A later one may be live itself by the time its points are erased."""
        entries = self._catalogue.documents.timelines([document.id])[document.id]
        return [
            entry.attempt
            for entry in entries
            if entry.stage is Stage.EMBED and entry.version == document.live_version and entry.attempt < live
        ]

    def _delete(self, claim: Claim, selection: Selection) -> dict[str, int]:
        tenant = claim.document.tenant
        erased = self._index.count(tenant, selection)
        if erased:
            self._index.delete(tenant, selection)
            if self._index.count(tenant, selection):
                raise IndexUnavailable("Points are left after an erase.")
        return {"erased": erased}

"""Publication: how an attempt's points become the ones that search answers from.

Upserted not live → counted exactly → probed → set live → one commit in the catalogue, the switch. Whatever happens
before the switch, the old points serve; whatever happens after, an erase is owed for what was replaced.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from retrieval import identity
from retrieval.catalogue import Catalogue
from retrieval.chunks import EmbeddedChunk
from retrieval.documents import Document
from retrieval.errors import IndexUnavailable
from retrieval.index import DenseArm, Index, Placement, Point, Selection, SparseArm
from retrieval.tasks import Claim, Switch

# The probed chunk need not rank first by its own terms, but it is among the first thousand of its own document.
_PROBE_LIMIT = 1_000
_NO_REVISION = -1  # no document's attributes have it


@dataclass(frozen=True, slots=True)
class Published:
    switch: Switch
    points: int


class Publisher:
    def __init__(self, *, catalogue: Catalogue, index: Index) -> None:
        self._catalogue = catalogue
        self._index = index

    def write(self, claim: Claim, embedded: Sequence[EmbeddedChunk]) -> list[Point]:
        """Upserts points, not live; may be called for one portion of the chunks after the other."""
        placement = _placement(claim.document, claim)
        points = [
            Point(
                id=identity.point_id(one.chunk.id, claim.attempt),
                embedded=one,
                digest=identity.text_digest(one.chunk.embedded_text),
                placement=placement,
            )
            for one in embedded
        ]
        self._index.upsert(claim.document.tenant, points)
        return points

    def publish(self, claim: Claim, *, expected: int, sample: Point, counts: dict[str, int]) -> Published:
        """Counts, probes, sets live, switches. `sample` is a point that `write` sent, `expected` how many it sent."""
        tenant = claim.document.tenant
        attempt = Selection(claim.document.id, version=claim.version, attempt=claim.attempt)
        stored = self._index.count(tenant, attempt)
        if stored != expected:
            raise IndexUnavailable(f"The index holds {stored} of the {expected} points that were written.")
        self._probe(tenant, attempt, sample)
        self._index.set_live(tenant, attempt)
        return Published(self._switch(claim, counts), expected)

    def withdraw(self, claim: Claim, counts: dict[str, int]) -> bool:
        """Ends an attempt whose points are not whole: it was lost or overtaken, and their erase is owed. False if the
        claim still stands. Either way nothing goes live: no document has the revision that this switch asks for."""
        switch, _ = self._catalogue.tasks.switch(claim, rev=_NO_REVISION, counts=counts)
        return switch in {Switch.LOST, Switch.OVERTAKEN}

    def _probe(self, tenant: str, attempt: Selection, sample: Point) -> None:
        found = self._index.retrieve(tenant, [sample.id], vectors=True)
        if not found or found[0].vector is None or not np.array_equal(found[0].vector, sample.embedded.vector):
            raise IndexUnavailable("A written point does not read back as it was sent.")
        limit = _PROBE_LIMIT
        dense = self._index.search_selection(tenant, attempt, DenseArm(sample.embedded.vector), limit=limit)
        if sample.id not in {candidate.point_id for candidate in dense}:
            raise IndexUnavailable("A written point is not found by its own vector.")
        if not sample.embedded.sparse.indices:
            return  # stop words alone: there is no term to find it by
        sparse = self._index.search_selection(tenant, attempt, SparseArm(sample.embedded.sparse), limit=limit)
        if sample.id not in {candidate.point_id for candidate in sparse}:
            raise IndexUnavailable("A written point is not found by its own terms.")

    def _switch(self, claim: Claim, counts: dict[str, int]) -> Switch:
        document = claim.document
        while True:
            switch, current = self._catalogue.tasks.switch(claim, rev=document.rev, counts=counts)
            if switch is not Switch.ATTRIBUTES_MOVED:
                return switch
            document = current
            repaint(self._index, document)


def repaint(index: Index, document: Document) -> None:
    """Brings the document's points to the attributes of this row; older rows change nothing."""
    index.repaint(
        document.tenant,
        document.id,
        rev=document.rev,
        readers=document.readers,
        fields=document.filter_fields(),
    )


def _placement(document: Document, claim: Claim) -> Placement:
    return Placement(
        tenant=document.tenant,
        collection_id=document.collection_id,
        document_id=document.id,
        version=claim.version,
        attempt=claim.attempt,
        rev=document.rev,
        readers=document.readers,
        fields=document.filter_fields(),
    )

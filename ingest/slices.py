"""Slices: whose chunks are embedded next, when many documents are open.

A document that asks for little has it soon, one that asks for much has some of every slice, and so has the bulk lane:
nobody waits for somebody else to end.
"""

from __future__ import annotations

from collections.abc import Sequence

from ingest.open_document import OpenDocument
from retrieval.documents import Lane

# An eighth of a slice is the bulk lane's while interactive work never ends: it slows that by as much.
BULK_SHARE = 8
# A quarter of what a tenant has of a lane goes to the document that has been open longest: small ones that keep
# arriving make a large one take four times as long, and no longer.
ELDEST_SHARE = 4

# On two cores calls of 64 chunks cost 3 % more than calls of 256 and let go of the embedder four times as often, every
# half second on idle ones; calls of 32 cost 5 %.
SMALLEST_SLICE = 64
# Fills the batches of a GPU of any speed, and is still 6 MB of vectors.
LARGEST_SLICE = 1_024
SLICE_S = 0.5  # nobody notices half a second in front of a document of his own
_CHUNK_TOKENS = 160  # an ordinary chunk

Share = tuple[OpenDocument, int]
"""A document and how many of its next chunks are in the slice."""


def size_for(tokens_per_s: float) -> int:
    """The slice of an embedder of this speed: how long a document that has just come may have to wait."""
    return min(LARGEST_SLICE, max(SMALLEST_SLICE, int(tokens_per_s * SLICE_S / _CHUNK_TOKENS)))


def compose(documents: Sequence[OpenDocument], size: int) -> list[Share]:
    """A slice of `size` chunks, or of all there are. `documents` are in the order in which they were opened.

    Interactive before bulk; evenly between tenants; then whoever has the least left, so that small documents pass
    large ones.
    """
    interactive = [document for document in documents if document.lane is Lane.INTERACTIVE]
    bulk = [document for document in documents if document.lane is Lane.BULK]
    for_bulk = min(_left(bulk), max(size // BULK_SHARE, size - _left(interactive)))
    return _among_tenants(interactive, size - for_bulk) + _among_tenants(bulk, for_bulk)


def _among_tenants(documents: Sequence[OpenDocument], size: int) -> list[Share]:
    """Evenly; what one does not use is the others'."""
    tenants: dict[str, list[OpenDocument]] = {}
    for document in documents:
        tenants.setdefault(document.tenant, []).append(document)
    shares: list[Share] = []
    for place, theirs in enumerate(sorted(tenants.values(), key=_left)):
        count = min(_left(theirs), -(-size // (len(tenants) - place)))
        shares += _among_documents(theirs, count)
        size -= count
    return shares


def _among_documents(documents: Sequence[OpenDocument], size: int) -> list[Share]:
    """The eldest's part is put aside, then the shortest come first."""
    eldest = documents[0]
    aside = min(eldest.remaining, size, max(1, size // ELDEST_SHARE))
    free = size - aside
    shares: list[Share] = []
    for document in sorted(documents, key=lambda document: document.remaining):
        own = aside if document is eldest else 0
        more = min(document.remaining - own, free)
        free -= more
        if own + more:
            shares.append((document, own + more))
    return shares


def _left(documents: Sequence[OpenDocument]) -> int:
    return sum(document.remaining for document in documents)

"""Index: points in, candidates out. It serves; the catalogue decides.

Words
-----
*Point*       an embedded chunk with what narrows a search: its placement.
*Placement*   tenant, collection, document, version, attempt, revision of the attributes, readers, filter fields.
*Attempt*     the fencing number of the claim that wrote the point; no two attempts share a point.
*Live*        set once an attempt is complete; only live points are found by `search`.
*Selection*   a set of points of one document by version and attempt: what is counted, set live, erased.
*Scope*       what one principal may find: built from it in one place (`search.scope_of`) and asked of every method.
*Arm*         one way to ask: dense by vector, sparse by BM25 terms. IDF is counted over the scope's corpus only.

Promises: a write that returned is visible to the next call. `delete`, `set_live` and `repaint` select by filter, so
late and repeated ones select nothing they should not. Vectors come back bit-exact. No method crosses tenants except
`scroll(tenant=None)`, which is the janitor's. Failures of the engine or the way to it raise `IndexUnavailable`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Final, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from retrieval.chunks import Chunk, EmbeddedChunk, SparseVector
from retrieval.filters import Condition, FilterFields


@dataclass(frozen=True, slots=True)
class Placement:
    """What a point carries beside its chunk. `title`, `metadata` and the like live in the catalogue."""

    tenant: str
    collection_id: str
    document_id: str
    version: int
    attempt: int
    rev: int
    readers: tuple[str, ...]
    fields: FilterFields


@dataclass(frozen=True, slots=True)
class Point:
    """`id` is `identity.point_id(chunk.id, placement.attempt)`; `digest` is the sha256 hex of the embedded text."""

    id: str
    embedded: EmbeddedChunk
    digest: str
    placement: Placement


@dataclass(frozen=True, slots=True)
class Selection:
    """Points of one document. Every field given narrows; `attempts` and `other_than_attempt` exclude each other."""

    document_id: str
    version: int | None = None
    version_below: int | None = None
    attempt: int | None = None
    other_than_attempt: int | None = None
    rev_below: int | None = None
    live: bool | None = None


@dataclass(frozen=True, slots=True)
class SearchScope:
    """What may be found: `labels` None means every reader list; `collections` are ids, never empty by accident."""

    tenant: str
    collections: tuple[str, ...]
    labels: frozenset[str] | None
    condition: Condition | None = None


@dataclass(frozen=True, slots=True)
class DenseArm:
    vector: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class SparseArm:
    terms: SparseVector


Arm = DenseArm | SparseArm

T = TypeVar("T")
# An answer that is on its way: while the block runs, the index works and the caller does something else. What the block
# is given waits for the answer; a block that is left without it lets the answer go.
Underway = AbstractContextManager[Callable[[], T]]


@dataclass(frozen=True, slots=True)
class Candidate:
    """A point that one arm found, with that arm's raw score (cosine, or BM25) and what identifies it."""

    point_id: str
    score: float
    document_id: str
    version: int
    attempt: int


@dataclass(frozen=True, slots=True)
class StoredPoint:
    """A point read back. `vector` is None unless asked for."""

    id: str
    chunk: Chunk
    digest: str
    tenant: str
    collection_id: str
    version: int
    attempt: int
    rev: int
    live: bool
    readers: tuple[str, ...]
    vector: NDArray[np.float32] | None = None


RETRIEVING: Final = 256  # points a call: no reply of an index outgrows what is read at once


class Index(Protocol):
    def upsert(self, tenant: str, points: Sequence[Point]) -> None:
        """Writes points, not live. All must be of this tenant."""
        ...

    def count(self, tenant: str, where: Selection) -> int:
        """Exactly how many points the selection holds."""
        ...

    def retrieve(self, tenant: str, ids: Sequence[str], *, vectors: bool = False) -> list[StoredPoint]:
        """The points with these ids that exist and are this tenant's, in the order of `ids`."""
        ...

    def retrieving(self, tenant: str, ids: Sequence[str]) -> Underway[list[StoredPoint]]:
        """`retrieve` of at most `RETRIEVING` points, while the caller does something else."""
        ...

    def search(self, scope: SearchScope, arms: Sequence[Arm], *, limit: int) -> list[list[Candidate]]:
        """For each arm its best `limit` live points in the scope, best first, in one batch."""
        ...

    def searching(self, scope: SearchScope, arms: Sequence[Arm], *, limit: int) -> Underway[list[list[Candidate]]]:
        """`search`, while the caller does something else."""
        ...

    def search_selection(self, tenant: str, where: Selection, arm: Arm, *, limit: int) -> list[Candidate]:
        """The best points within a selection, live or not: what the probe before publication asks."""
        ...

    def set_live(self, tenant: str, where: Selection) -> None: ...

    def repaint(
        self, tenant: str, document_id: str, *, rev: int, readers: tuple[str, ...], fields: FilterFields
    ) -> None:
        """Writes attributes to the document's points with a lower revision, and the revision with them."""
        ...

    def delete(self, tenant: str, where: Selection) -> None: ...

    def points_of(self, tenant: str, where: Selection, *, vectors: bool = False) -> Iterator[StoredPoint]:
        """All points of a selection, in no particular order."""
        ...

    def chunk_points(self, tenant: str, chunk_id: str) -> list[StoredPoint]:
        """The live points that carry this chunk id (one, or two for the moment of a switch)."""
        ...

    def scroll(self, *, tenant: str | None = None, vectors: bool = False) -> Iterator[StoredPoint]:
        """Every point of a tenant, or of all: for the janitor, exports and checks."""
        ...

    def health(self) -> Mapping[str, Any]:
        """Counts and sizes for readiness: {"points": int, "indexed": int, …}. Raises `IndexUnavailable`."""
        ...

    def close(self) -> None: ...

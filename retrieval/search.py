"""Searcher: a principal's query in, hits out.

The walk: scope → sparse arm in the index, and meanwhile embed → dense arm in the index → fuse → check against the
catalogue, and meanwhile read the chunks → hits. The check drops what the catalogue says is not the live attempt's, is
gone, or is not this principal's to see, whatever the index still holds; so a delete and a narrowed reader list hold for
the very next query.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cache
from typing import Protocol

from retrieval.catalogue import Catalogue
from retrieval.chunks import Chunk, SparseVector
from retrieval.documents import Collection, LiveState
from retrieval.embedding import Embedder
from retrieval.filters import Condition
from retrieval.fusion import DENSE, SPARSE, SPARSE_EXHAUSTED, Fused, fuse
from retrieval.index import RETRIEVING, Arm, Candidate, DenseArm, Index, SearchScope, SparseArm, StoredPoint
from retrieval.principal import Principal

# Top 100 of each arm: below it recall of the fused ten suffers, above it nothing was gained on the test collections.
ARM_LIMIT = 100
# A query runs again when a switch fell between the index and the check; two of them in a row were never seen.
RERUNS = 2
REFILL_FACTOR = 5


class Mode(StrEnum):
    HYBRID = "hybrid"
    DENSE = "dense"
    SPARSE = "sparse"


class GroupBy(StrEnum):
    DOCUMENT = "document"


class Bm25(Protocol):
    """Text to BM25 terms, the same in every deployment."""

    def passage(self, text: str) -> SparseVector: ...

    def query(self, text: str) -> SparseVector: ...


@dataclass(frozen=True, slots=True)
class Query:
    """A question and its restriction. `collections` None means all that the principal may read."""

    text: str
    collections: tuple[str, ...] | None = None
    condition: Condition | None = None
    mode: Mode = Mode.HYBRID
    top_k: int = 10
    group_by: GroupBy | None = None


@dataclass(frozen=True, slots=True)
class Hit:
    """One answer. `score` orders hits within one result and is comparable only there."""

    rank: int
    score: float
    score_parts: Mapping[str, float]
    chunk: Chunk
    document_id: str
    collection: str
    external_id: str | None
    title: str
    metadata: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class SearchResult:
    """Hits, best first, and how long each step took in milliseconds."""

    hits: Sequence[Hit]
    timings: Mapping[str, float]


def scope_of(principal: Principal, collections: Sequence[Collection], condition: Condition | None) -> SearchScope:
    """The one place where a principal becomes what the index may answer from."""
    return SearchScope(
        tenant=principal.tenant,
        collections=tuple(collection.id for collection in collections),
        labels=principal.readable_labels,
        condition=condition,
    )


@dataclass(slots=True)
class _Clock:
    """Milliseconds by step, summed over reruns."""

    spent: dict[str, float] = field(default_factory=dict)
    since: float = field(default_factory=time.perf_counter)

    def lap(self, step: str) -> None:
        now = time.perf_counter()
        self.spent[step] = self.spent.get(step, 0.0) + (now - self.since) * 1000
        self.since = now


@dataclass(frozen=True, slots=True)
class _Checked:
    """What the catalogue left of the candidates. `moved`: something newer went live since the index answered."""

    kept: Sequence[tuple[Fused, LiveState]]
    moved: bool


class Searcher:
    def __init__(self, *, catalogue: Catalogue, index: Index, embedder: Embedder, bm25: Bm25) -> None:
        self._catalogue = catalogue
        self._index = index
        self._embedder = embedder
        self._bm25 = bm25

    def search(self, principal: Principal, query: Query) -> SearchResult:
        clock = _Clock()
        collections = self._catalogue.collections.readable(principal, query.collections)
        if not collections:
            return SearchResult((), clock.spent)
        scope = scope_of(principal, collections, query.condition)
        clock.lap("scope_ms")
        return SearchResult(self._hits(principal, query, scope, self._arms(query), clock), clock.spent)

    def _arms(self, query: Query) -> dict[str, Callable[[], Arm]]:
        """The arms, made when they are first asked for, in the order in which to ask: the sparse one costs next to
        nothing to make, so the index looks for it while the query is embedded."""
        arms: dict[str, Callable[[], Arm]] = {}
        if query.mode is not Mode.DENSE:
            arms["sparse"] = cache(lambda: SparseArm(self._bm25.query(query.text)))
        if query.mode is not Mode.SPARSE:
            arms["dense"] = cache(lambda: DenseArm(self._embedder.embed_query(query.text)))
        return arms

    def _hits(
        self,
        principal: Principal,
        query: Query,
        scope: SearchScope,
        arms: Mapping[str, Callable[[], Arm]],
        clock: _Clock,
    ) -> list[Hit]:
        limit = max(ARM_LIMIT, query.top_k)
        reruns = RERUNS
        while True:
            fused, exhausted = self._ask(scope, arms, limit, clock)
            checked, points = self._check_and_read(principal, query, fused, clock)
            hits = _hits_of(checked, points)
            moved = checked.moved or len(hits) < len(checked.kept)
            if moved and reruns:
                reruns -= 1
                continue
            if len(hits) < query.top_k and not exhausted and limit <= max(ARM_LIMIT, query.top_k):
                limit *= REFILL_FACTOR
                continue
            return hits

    def _ask(
        self, scope: SearchScope, arms: Mapping[str, Callable[[], Arm]], limit: int, clock: _Clock
    ) -> tuple[list[Fused], bool]:
        """All candidates fused, and whether the index has no more than these."""
        found = self._found(scope, arms, limit, clock)
        exhausted = len(found.get("sparse", ())) < limit
        fused = fuse(found, {"dense": DENSE, "sparse": SPARSE_EXHAUSTED if exhausted else SPARSE})
        clock.lap("fuse_ms")
        return fused, all(len(candidates) < limit for candidates in found.values())

    def _found(
        self, scope: SearchScope, arms: Mapping[str, Callable[[], Arm]], limit: int, clock: _Clock
    ) -> dict[str, list[Candidate]]:
        """The candidates of each arm. Each arm is on its way to the index before the next is made."""
        with ExitStack() as underway:
            answers: dict[str, Callable[[], list[list[Candidate]]]] = {}
            for name, make in arms.items():
                arm = make()
                clock.lap("embed_ms")
                answers[name] = underway.enter_context(self._index.searching(scope, [arm], limit=limit))
            found = {name: answer()[0] for name, answer in answers.items()}
        clock.lap("index_ms")
        return found

    def _check_and_read(
        self, principal: Principal, query: Query, fused: Sequence[Fused], clock: _Clock
    ) -> tuple[_Checked, dict[str, StoredPoint]]:
        """What may be shown, and its points: the best, which nearly always are it, are read during the check. A point
        that was erased meanwhile is missing; nothing else of a point ever changes that a hit shows."""
        if not fused:
            return _Checked((), moved=False), {}
        best = [one.candidate.point_id for one in fused[: min(query.top_k, RETRIEVING)]]
        with self._index.retrieving(principal.tenant, best) as read:
            checked = self._check(principal, query, fused)
            clock.lap("check_ms")
            points = {point.id: point for point in read()}
        kept = [one.candidate.point_id for one, _ in checked.kept]
        if others := [point_id for point_id in kept if point_id not in set(best)]:
            points |= {point.id: point for point in self._index.retrieve(principal.tenant, others)}
        clock.lap("read_ms")
        return checked, points

    def _check(self, principal: Principal, query: Query, fused: Sequence[Fused]) -> _Checked:
        """The best `top_k` that the catalogue lets pass, one a document when grouped."""
        kept: list[tuple[Fused, LiveState]] = []
        seen: set[str] = set()
        states: dict[str, LiveState | None] = {}
        moved = False
        for portion in _portions(fused, size=query.top_k):
            # Each document is asked for once: a switch between two portions must not let both its attempts pass.
            unknown = list({one.candidate.document_id for one in portion} - states.keys())
            states |= dict.fromkeys(unknown) | self._catalogue.documents.live_states(unknown)
            for one in portion:
                candidate, state = one.candidate, states.get(one.candidate.document_id)
                if state is None or not _visible(principal, state):
                    continue
                if state.live_attempt != candidate.attempt:
                    moved = moved or (state.live_attempt is not None and state.live_attempt > candidate.attempt)
                    continue
                if query.group_by is GroupBy.DOCUMENT and candidate.document_id in seen:
                    continue
                seen.add(candidate.document_id)
                kept.append((one, state))
                if len(kept) == query.top_k:
                    return _Checked(kept, moved)
        return _Checked(kept, moved)


def _hits_of(checked: _Checked, points: Mapping[str, StoredPoint]) -> list[Hit]:
    """Hits in order; points erased since the search are left out."""
    present = [(one, state) for one, state in checked.kept if one.candidate.point_id in points]
    return [
        Hit(
            rank=rank,
            score=one.score,
            score_parts=one.parts,
            chunk=points[one.candidate.point_id].chunk,
            document_id=one.candidate.document_id,
            collection=state.collection,
            external_id=state.external_id,
            title=state.title,
            metadata=state.metadata,
        )
        for rank, (one, state) in enumerate(present, start=1)
    ]


def _visible(principal: Principal, state: LiveState) -> bool:
    """The second layer of the permission check, on what the catalogue says now."""
    return not state.gone and principal.may_see(
        tenant=state.tenant, collection_id=state.collection_id, readers=state.readers
    )


def _portions(fused: Sequence[Fused], *, size: int) -> Iterator[Sequence[Fused]]:
    for start in range(0, len(fused), size):
        yield fused[start : start + size]

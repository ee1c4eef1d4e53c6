"""Index on Qdrant's engine inside this process.

The engine never releases Python's lock: while a call runs, every thread of the process stands still. So it runs in an
index process (`index_server`), and others ask it through `SocketIndex`; only tests and tools hold it themselves. One
process may open the folder.

Nothing heavy happens by itself: writes go to the write-ahead log and one appendable segment, which is searched exactly.
`flush` and `optimise` are called by who knows that nobody waits.
"""

from __future__ import annotations

import hashlib
import logging
import shutil
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from sys import intern
from typing import Any, Final, TypeVar, cast
from uuid import UUID

import numpy as np
import qdrant_edge
from qdrant_edge import (
    CountRequest,
    Distance,
    EdgeConfig,
    EdgeOptimizersConfig,
    EdgeShard,
    EdgeSparseVectorParams,
    EdgeVectorParams,
    Filter,
    IdfParams,
    IntegerIndexParams,
    KeywordIndexParams,
    Memory,
    Modifier,
    Query,
    QueryBatchRequest,
    QueryRequest,
    Record,
    ScoredPoint,
    ScrollRequest,
    SearchParams,
    UpdateOperation,
)

from retrieval.edge_filters import (
    IndexParams,
    corpus_of_scope,
    equals,
    filter_of_scope,
    filter_of_selection,
    filter_of_tenant,
    index_of_path,
    paths_of_condition,
    served,
)
from retrieval.edge_payload import attributes_of, payload_of, point_of
from retrieval.embedding import EmbeddingSpec
from retrieval.errors import IndexUnavailable
from retrieval.filters import Condition, FilterFields
from retrieval.index import Arm, Candidate, DenseArm, Point, SearchScope, Selection, SparseArm, StoredPoint, Underway

PAGE = 256  # points read at a time: 2 ms with vectors, so that a scroll never holds up a search
# Points written at a time: 5 to 10 ms; at once, the 5,000 points of a long document stop searches for 0.8 s.
PORTION = 64

log = logging.getLogger(__name__)

_DENSE: Final = "dense"
_SPARSE: Final = "bm25"
_UNIT: Final = 1e-3  # how far from 1 a vector's norm may be: what embedders promise

# Without these, every filtered call reads the payload of every point: 80 ms instead of 0.03 ms for a count at 20,000.
_KEYWORDS: Final = ("served", "document", "chunk")
_INTEGERS: Final = ("version", "attempt", "rev", "live")
_INDEXES: Final[Mapping[str, IndexParams]] = {
    "tenant": KeywordIndexParams(is_tenant=True),
    **{name: KeywordIndexParams() for name in _KEYWORDS},
    **{name: IntegerIndexParams(lookup=True, range=True) for name in _INTEGERS},
}

# A condition that no index answers reads every payload in scope, 10 µs each and more, in every search. An index is made
# once for ever, but everybody waits for it (0.1 ms a point on a busy machine): what is asked for the first time later
# than this is remembered, and indexed at the next start, before anybody is served.
FIELDS_AT_ONCE: Final = 500
MAX_INDEXES: Final = 72  # each slows every write a little: a tenant with very many fields is not let to do that

# Reading three keys of a payload costs 13 µs, 2.6 ms for the candidates of two arms: half of a search. 35 MB when full.
IDENTITIES: Final = 100_000

PointId = int | UUID | str
T = TypeVar("T")


class EdgeIndex:
    """One shard per embedding spec in `path`. May be shared between threads, which then take turns.

    Raises `IndexUnavailable` when another process still has it open after `wait_s`. The fields that filters ask are
    indexed when they are first asked of at most `fields_at_once` points, else at the next opening; filters hold either
    way.
    """

    def __init__(
        self, path: Path, spec: EmbeddingSpec, *, wait_s: float = 0.0, fields_at_once: int = FIELDS_AT_ONCE
    ) -> None:
        self._fields_at_once = fields_at_once
        self._dimension = spec.dimension
        self._lock = threading.RLock()
        self._closed = False
        self._identities: dict[PointId, tuple[str, str, int, int]] = {}
        self._folder = path / _folder_name(spec)
        self._optimised = self._folder.with_name(f"{self._folder.name}.optimised")
        self._asked_fields = self._folder.with_name(f"{self._folder.name}.fields")
        if not self._folder.exists():
            _create(self._folder, spec.dimension)
        self._shard = _open(self._folder, wait_s)
        self._indexed = set(self._engine(self._shard.info).payload_schema)
        for name, parameters in {**_INDEXES, **self._remembered()}.items():
            self._index_path(name, parameters)

    # --- writes

    def upsert(self, tenant: str, points: Sequence[Point]) -> None:
        made = [self._made(tenant, point) for point in points]
        with self._lock:
            for point in points:
                self._identities.pop(UUID(point.id), None)
            if made:
                self._update(UpdateOperation.upsert_points(made))

    def set_live(self, tenant: str, where: Selection) -> None:
        while self.set_live_some(tenant, where):
            pass

    def repaint(
        self, tenant: str, document_id: str, *, rev: int, readers: tuple[str, ...], fields: FilterFields
    ) -> None:
        while self.repaint_some(tenant, document_id, rev=rev, readers=readers, fields=fields):
            pass

    def delete(self, tenant: str, where: Selection) -> None:
        while self.delete_some(tenant, where):
            pass

    # Writes by filter, `PORTION` points at a time, for who lets searches go between. Each selects and writes in one
    # turn, so the filter holds as a fence for every portion; each says whether there may be more.

    def set_live_some(self, tenant: str, where: Selection) -> bool:
        with self._lock:
            waiting = self._portion(filter_of_selection(tenant, where, equals("live", 0)), ["collection", "readers"])
            for (collection, *readers), ids in _alike(waiting, lambda it: (it["collection"], *it["readers"])):
                self._paint(ids, {"live": 1, "served": served(tenant, collection, readers)})
            return len(waiting) == PORTION

    def repaint_some(
        self, tenant: str, document_id: str, *, rev: int, readers: tuple[str, ...], fields: FilterFields
    ) -> bool:
        with self._lock:
            where = Selection(document_id, rev_below=rev)
            older = self._portion(filter_of_selection(tenant, where), ["collection", "live"])
            for (collection, live), ids in _alike(older, lambda it: (it["collection"], it["live"])):
                ways = {"served": served(tenant, collection, readers)} if live else {}
                self._paint(ids, attributes_of(readers, rev, fields) | ways)
            return len(older) == PORTION

    def delete_some(self, tenant: str, where: Selection) -> bool:
        with self._lock:
            going = self._portion(filter_of_selection(tenant, where), [])
            if going:
                self._update(UpdateOperation.delete_points([record.id for record in going]))
            return len(going) == PORTION

    def _portion(self, within: Filter, keys: list[str]) -> list[Record]:
        return self._scroll(ScrollRequest(limit=PORTION, filter=within, with_payload=keys or False))[0]

    def _paint(self, ids: list[PointId], payload: dict[str, Any]) -> None:
        self._update(UpdateOperation.set_payload(ids, payload))

    # --- reads

    def count(self, tenant: str, where: Selection) -> int:
        request = CountRequest(exact=True, filter=filter_of_selection(tenant, where))
        return self._engine(lambda: self._shard.count(request))

    def retrieve(self, tenant: str, ids: Sequence[str], *, vectors: bool = False) -> list[StoredPoint]:
        possible: list[Any] = [point_id for point_id in ids if _is_point_id(point_id)]
        records = self._engine(lambda: self._shard.retrieve(possible, True, [_DENSE] if vectors else False))
        found = {str(record.id): record for record in records if _payload(record)["tenant"] == tenant}
        return [_stored(found[point_id]) for point_id in ids if point_id in found]

    def retrieving(self, tenant: str, ids: Sequence[str]) -> Underway[list[StoredPoint]]:
        found = self.retrieve(tenant, ids)
        return nullcontext(lambda: found)

    def search(self, scope: SearchScope, arms: Sequence[Arm], *, limit: int) -> list[list[Candidate]]:
        if scope.condition is not None:
            self._prepare(scope.condition)
        within, corpus = filter_of_scope(scope), corpus_of_scope(scope)
        return self._asked([_request(arm, within, corpus, limit) for arm in arms])

    def searching(self, scope: SearchScope, arms: Sequence[Arm], *, limit: int) -> Underway[list[list[Candidate]]]:
        found = self.search(scope, arms, limit=limit)
        return nullcontext(lambda: found)

    def search_selection(self, tenant: str, where: Selection, arm: Arm, *, limit: int) -> list[Candidate]:
        within = filter_of_selection(tenant, where)
        return self._asked([_request(arm, within, within, limit)])[0]

    def points_of(self, tenant: str, where: Selection, *, vectors: bool = False) -> Iterator[StoredPoint]:
        return self._pages(tenant, where, vectors=vectors)

    def chunk_points(self, tenant: str, chunk_id: str) -> list[StoredPoint]:
        carrying = Filter(must=[equals("tenant", tenant), equals("chunk", chunk_id), equals("live", 1)])
        records, _ = self._scroll(ScrollRequest(limit=PAGE, filter=carrying, with_payload=True))
        return [_stored(record) for record in records]

    def scroll(self, *, tenant: str | None = None, vectors: bool = False) -> Iterator[StoredPoint]:
        return self._pages(tenant, None, vectors=vectors)

    def page(
        self, tenant: str | None, where: Selection | None, *, vectors: bool, after: str | None, limit: int = PAGE
    ) -> tuple[list[StoredPoint], str | None]:
        """Up to `limit` points from the cursor `after` on, in the order of their ids, and the cursor of the rest.

        Of a selection, of a tenant, or (both None) of all. Points written meanwhile may or may not be seen.
        """
        if where is not None and tenant is None:
            raise ValueError("A selection is asked of one tenant.")
        within = None if tenant is None else filter_of_tenant(tenant)
        if tenant is not None and where is not None:
            within = filter_of_selection(tenant, where)
        records, rest = self._scroll(
            ScrollRequest(
                offset=None if after is None else UUID(after),
                limit=limit,
                filter=within,
                with_payload=True,
                with_vector=[_DENSE] if vectors else False,
            )
        )
        return [_stored(record) for record in records], None if rest is None else str(rest)

    def health(self) -> Mapping[str, Any]:
        """`points`; `indexed`, how many a graph answers for (the rest are compared one by one); `segments`.

        The engine counts sparse vectors and deleted points as indexed too, so what `optimise` saw is asked instead.
        """
        info = self._engine(self._shard.info)
        graph = int(self._optimised.read_text()) if self._optimised.exists() else 0
        return {
            "points": info.points_count,
            "indexed": min(graph, info.points_count),
            "segments": info.segments_count,
        }

    @property
    def indexed_paths(self) -> frozenset[str]:
        """The payload paths that have an index."""
        return frozenset(self._indexed)

    # --- upkeep

    def flush(self) -> None:
        """Everything written is on disk, power loss included. Stands still for 0.1 s and more at 20,000 points."""
        self._engine(self._shard.flush)

    def optimise(self, *, above: int) -> bool:
        """Builds the search graph if more than `above` points are without, and says whether it did.

        Stands still for a minute and more at 100,000 points: only before anybody is served.
        """
        health = self.health()
        if health["points"] - health["indexed"] <= above:
            return False
        log.info("building the search graph of %s points before the index is ready", health["points"])
        self._engine(self._shard.optimize)
        self._optimised.write_text(str(health["points"]))
        return True

    def close(self) -> None:
        """Flushes and lets go of the folder; a second close does nothing, any other call raises `IndexUnavailable`."""
        with self._lock:
            if not self._closed:
                self._closed = True
                self._shard.flush()
                self._shard.close()

    # --- the engine

    def _engine(self, call: Callable[[], T]) -> T:
        with self._lock:
            if self._closed:
                raise IndexUnavailable("The index is closed.")
            try:
                return call()
            except Exception as error:
                if type(error) is Exception:  # all that the engine raises; anything more special is a bug of ours
                    raise IndexUnavailable(f"The index engine failed: {error}") from error
                raise

    def _update(self, operation: UpdateOperation) -> None:
        self._engine(lambda: self._shard.update(operation))

    def _scroll(self, request: ScrollRequest) -> tuple[list[Record], Any]:
        return self._engine(lambda: self._shard.scroll(request))

    def _asked(self, requests: list[QueryRequest]) -> list[list[Candidate]]:
        batch = QueryBatchRequest(requests)
        with self._lock:
            answers = self._engine(lambda: self._shard.query_batch(batch))
            self._identify({point.id for answer in answers for point in answer})
            return [[self._candidate(point) for point in answer] for answer in answers]

    def _identify(self, ids: set[PointId]) -> None:
        """Learns whose the points are, as far as it is not known: of a point it only changes by an upsert."""
        # One by one: a difference of `ids` and the keys would walk through all the keys, 10 ms when there are 100,000.
        if not (unknown := [point_id for point_id in ids if point_id not in self._identities]):
            return
        if len(self._identities) + len(unknown) > IDENTITIES:
            self._identities.clear()
            unknown = list(ids)
        for record in self._engine(lambda: self._shard.retrieve(unknown, ["document", "version", "attempt"], False)):
            payload = _payload(record)
            document = intern(payload["document"])
            self._identities[record.id] = (str(record.id), document, payload["version"], payload["attempt"])

    def _candidate(self, point: ScoredPoint) -> Candidate:
        point_id, document, version, attempt = self._identities[point.id]
        return Candidate(point_id, point.score, document, version, attempt)

    def _pages(self, tenant: str | None, where: Selection | None, *, vectors: bool) -> Iterator[StoredPoint]:
        points, rest = self.page(tenant, where, vectors=vectors, after=None)
        yield from points
        while rest is not None:
            points, rest = self.page(tenant, where, vectors=vectors, after=rest)
            yield from points

    def _made(self, tenant: str, point: Point) -> qdrant_edge.Point:
        if point.placement.tenant != tenant:
            raise ValueError(f"Point {point.id} is not of the tenant it is written for.")
        vector = point.embedded.vector
        # NaN is within nothing, so it is refused too; the engine would store it.
        if vector.shape != (self._dimension,) or not abs(float(np.linalg.norm(vector)) - 1) <= _UNIT:
            raise ValueError(f"Point {point.id} needs a unit vector of {self._dimension} dimensions.")
        sparse = point.embedded.sparse
        vectors = {
            _DENSE: vector.tolist(),
            _SPARSE: qdrant_edge.SparseVector(list(sparse.indices), list(sparse.values)),
        }
        return qdrant_edge.Point(point.id, vectors, payload_of(point))

    def _prepare(self, condition: Condition) -> None:
        missing = {path: kind for path, kind in paths_of_condition(condition).items() if path not in self._indexed}
        if not missing:
            return
        if self._engine(self._shard.info).points_count <= self._fields_at_once:
            for path, parameters in missing.items():
                self._index_path(path, parameters)
        elif new := missing.keys() - self._remembered().keys():
            with self._asked_fields.open("a", encoding="ascii") as file:
                file.writelines(f"{path}\n" for path in sorted(new))

    def _remembered(self) -> dict[str, IndexParams]:
        if not self._asked_fields.exists():
            return {}
        return {path: index_of_path(path) for path in self._asked_fields.read_text(encoding="ascii").split()}

    def _index_path(self, path: str, parameters: IndexParams) -> None:
        if path not in self._indexed and len(self._indexed) < MAX_INDEXES:
            self._update(UpdateOperation.create_field_index(path, parameters))
            self._indexed.add(path)


def _folder_name(spec: EmbeddingSpec) -> str:
    """Two specs share a folder when their vectors have the same origin and size."""
    return f"{hashlib.sha256(spec.digest.encode()).hexdigest()[:16]}-{spec.dimension}"


def _create(folder: Path, dimension: int) -> None:
    """Makes an empty shard beside `folder` and moves it there whole: a start cut short leaves nothing half made."""
    begun = folder.with_name(f"{folder.name}.new")
    shutil.rmtree(begun, ignore_errors=True)
    begun.mkdir(parents=True)
    shard = EdgeShard.create(str(begun), _config(dimension))
    shard.flush()
    shard.close()
    begun.rename(folder)


def _config(dimension: int) -> EdgeConfig:
    return EdgeConfig(
        vectors={_DENSE: EdgeVectorParams(size=dimension, distance=Distance.Dot)},
        sparse_vectors={_SPARSE: EdgeSparseVectorParams(modifier=Modifier.Idf)},
        optimizers=EdgeOptimizersConfig(prevent_unoptimized=False),
        payload_memory=Memory.Cached,
    )


def _open(folder: Path, wait_s: float) -> EdgeShard:
    deadline = time.monotonic() + wait_s
    while True:
        try:
            return EdgeShard.load(str(folder))
        except Exception as error:
            if "WouldBlock" not in str(error):
                raise IndexUnavailable(f"The index in {folder} cannot be opened: {error}") from error
            if time.monotonic() >= deadline:
                raise IndexUnavailable(f"The index in {folder} is in use by another process.") from error
        time.sleep(0.05)  # its owner may be on its way out


def _request(arm: Arm, within: Filter, corpus: Filter, limit: int) -> QueryRequest:
    match arm:
        case DenseArm(vector):
            query, params = Query.Nearest(vector.tolist(), using=_DENSE), None
        case SparseArm(terms):
            sparse = qdrant_edge.SparseVector(list(terms.indices), list(terms.values))
            query, params = Query.Nearest(sparse, using=_SPARSE), SearchParams(idf=IdfParams(corpus=corpus))
    return QueryRequest(limit=limit, query=query, filter=within, params=params, with_payload=False, with_vector=False)


def _alike(
    records: list[Record], look: Callable[[dict[str, Any]], tuple[Any, ...]]
) -> Iterable[tuple[tuple[Any, ...], list[PointId]]]:
    """The ids of the records by how their payloads look."""
    groups: dict[tuple[Any, ...], list[PointId]] = {}
    for record in records:
        groups.setdefault(look(_payload(record)), []).append(record.id)
    return groups.items()


def _stored(record: Record) -> StoredPoint:
    vectors = cast("dict[str, list[float]] | None", record.vector)
    return point_of(str(record.id), _payload(record), vectors[_DENSE] if vectors else None)


def _payload(point: Record | ScoredPoint) -> dict[str, Any]:
    return point.payload or {}


def _is_point_id(text: str) -> bool:
    try:
        return str(UUID(text)) == text
    except ValueError:
        return False

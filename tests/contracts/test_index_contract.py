"""What every Index promises, run on the engine in this process and through a socket on a real index process."""

from __future__ import annotations

import contextlib
import itertools
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from retrieval.chunks import Box, Chunk, EmbeddedChunk, Locator, SparseVector
from retrieval.edge_bm25 import Bm25Encoder
from retrieval.edge_filters import MAX_WAYS
from retrieval.edge_index import EdgeIndex
from retrieval.embedding import EmbeddingSpec
from retrieval.errors import IndexUnavailable
from retrieval.filters import encode_fields, parse_filter
from retrieval.identity import point_id, text_digest
from retrieval.index import (
    Arm,
    DenseArm,
    Index,
    Placement,
    Point,
    SearchScope,
    Selection,
    SparseArm,
)
from retrieval.socket_index import SocketIndex

ROOT = Path(__file__).resolve().parents[2]
DIMENSION = 8
SPEC = EmbeddingSpec(model="tiny", digest="d" * 64, dimension=DIMENSION, max_tokens=64)
BM25 = Bm25Encoder()

SERVER = """
import signal, sys, threading
from pathlib import Path
from retrieval.edge_filters import MAX_WAYS
from retrieval.edge_index import EdgeIndex
from retrieval.embedding import EmbeddingSpec
from retrieval.index_server import serve

stop = threading.Event()
signal.signal(signal.SIGTERM, lambda *_: stop.set())
spec = EmbeddingSpec(model="tiny", digest="d" * 64, dimension=int(sys.argv[3]), max_tokens=64)
index = EdgeIndex(Path(sys.argv[1]), spec, wait_s=10)
serve(index, sys.argv[2], ready=lambda: print("ready", flush=True), stop=stop)
index.close()
"""


class ServerProcess:
    """An index process on a folder of its own, as an install runs it."""

    def __init__(self, folder: Path, address: str) -> None:
        self._command = [sys.executable, "-c", SERVER, str(folder), address, str(DIMENSION)]
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        self._process = subprocess.Popen(self._command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "ready\n"

    def end(self, how: signal.Signals = signal.SIGTERM) -> int:
        assert self._process is not None
        with self._process as process:
            process.send_signal(how)
            return process.wait(20)


@pytest.fixture(scope="module", params=["edge", "socket"])
def shared_index(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Index]:
    folder = tmp_path_factory.mktemp(request.param)
    if request.param == "edge":
        index = EdgeIndex(folder, SPEC)
        yield index
        index.close()
        return
    server = ServerProcess(folder, str(folder / "index.sock"))
    server.start()
    client = SocketIndex(str(folder / "index.sock"))
    yield client
    client.close()
    assert server.end() == 0


_tenants = (f"tenant-{number}" for number in itertools.count())


@pytest.fixture
def index(shared_index: Index) -> Index:
    return shared_index


@pytest.fixture
def tenant(index: Index) -> Iterator[str]:
    """A tenant nobody used before: tests share an index without seeing each other."""
    name = next(_tenants)
    yield name
    for stored in list(index.scroll(tenant=name)):
        index.delete(name, Selection(stored.chunk.document_id))


def unit(seed: int) -> NDArray[np.float32]:
    vector = np.random.default_rng(seed).standard_normal(DIMENSION).astype(np.float32)
    return vector / np.linalg.norm(vector)


def chunk(document: str, ordinal: int, text: str, *, header: str = "") -> Chunk:
    locator = Locator(0, len(text))
    return Chunk(f"{document}#{ordinal}", document, ordinal, text, header + text, locator, tokens=len(text.split()))


def fields(**metadata: object) -> dict[str, object]:
    return encode_fields(  # type: ignore[return-value]
        title="A title",
        external_id=None,
        source=None,
        media_type="text/plain",
        language="en",
        created_at=0.0,
        pages=None,
        metadata=metadata,
    )


def point(
    tenant: str,
    document: str,
    ordinal: int = 0,
    text: str = "the quick brown fox",
    *,
    version: int = 1,
    attempt: int = 1,
    rev: int = 1,
    collection: str = "c",
    readers: tuple[str, ...] = ("*",),
    seed: int | None = None,
    metadata: dict[str, object] | None = None,
) -> Point:
    made = chunk(document, ordinal, text)
    embedded = EmbeddedChunk(made, unit(ordinal if seed is None else seed), BM25.passage(made.embedded_text))
    placement = Placement(
        tenant,
        collection,
        document,
        version,
        attempt,
        rev,
        readers,
        fields(**(metadata or {})),  # type: ignore[arg-type]
    )
    return Point(point_id(made.id, attempt), embedded, text_digest(made.embedded_text), placement)


def everything(tenant: str, *collections: str, labels: frozenset[str] | None = None) -> SearchScope:
    return SearchScope(tenant, collections or ("c",), labels)


def found(index: Index, scope: SearchScope, *, text: str = "quick fox", limit: int = 100) -> set[str]:
    """The documents that either arm finds; both must find the same ones."""
    dense, sparse = index.search(scope, [DenseArm(unit(0)), SparseArm(BM25.query(text))], limit=limit)
    documents = {candidate.document_id for candidate in dense}
    assert {candidate.document_id for candidate in sparse} == documents
    assert len({candidate.point_id for candidate in dense}) == len(dense)
    return documents


def put_live(index: Index, *points: Point) -> None:
    tenant = points[0].placement.tenant
    index.upsert(tenant, points)
    for document in {each.placement.document_id for each in points}:
        index.set_live(tenant, Selection(document))


# --- writing and being found


def test_what_is_not_live_is_never_found(index: Index, tenant: str) -> None:
    index.upsert(tenant, [point(tenant, "d1")])
    assert index.count(tenant, Selection("d1")) == 1
    assert found(index, everything(tenant)) == set()


def test_what_is_set_live_is_found_by_the_next_search(index: Index, tenant: str) -> None:
    index.upsert(tenant, [point(tenant, "d1"), point(tenant, "d2")])
    index.set_live(tenant, Selection("d1", attempt=1))
    assert found(index, everything(tenant)) == {"d1"}


def test_a_candidate_carries_score_and_identity(index: Index, tenant: str) -> None:
    put_live(index, point(tenant, "d1", 3, attempt=7, version=2))
    [[dense], [sparse]] = index.search(everything(tenant), [DenseArm(unit(3)), SparseArm(BM25.query("fox"))], limit=10)
    assert dense.score == pytest.approx(1, abs=1e-6)
    assert sparse.score > 0
    assert (dense.point_id, dense.document_id, dense.version, dense.attempt) == (point_id("d1#3", 7), "d1", 2, 7)


def test_candidates_come_best_first_and_no_more_than_the_limit(index: Index, tenant: str) -> None:
    put_live(index, *[point(tenant, "d1", n) for n in range(30)])
    [dense] = index.search(everything(tenant), [DenseArm(unit(5))], limit=10)
    assert dense[0].point_id == point_id("d1#5", 1)
    scores = [candidate.score for candidate in dense]
    assert len(scores) == 10
    assert scores == sorted(scores, reverse=True)


def test_what_is_under_way_together_is_what_is_found_one_by_one(index: Index, tenant: str) -> None:
    points = [point(tenant, "d1", n) for n in range(5)]
    put_live(index, *points)
    scope, ids = everything(tenant), [each.id for each in points[1:3]]
    arms: list[Arm] = [DenseArm(unit(2)), SparseArm(BM25.query("fox"))]
    with (
        index.searching(scope, arms[:1], limit=3) as dense,
        index.searching(scope, arms[1:], limit=3) as sparse,
        index.retrieving(tenant, ids) as read,
    ):
        assert index.count(tenant, Selection("d1")) == 5
        assert [*sparse(), *dense()] == index.search(scope, arms[::-1], limit=3)
        assert read() == index.retrieve(tenant, ids)


def test_an_upsert_of_many_points_arrives_whole(index: Index, tenant: str) -> None:
    index.upsert(tenant, [point(tenant, "d1", n) for n in range(200)])
    assert index.count(tenant, Selection("d1")) == 200


def test_an_upsert_of_nothing_does_nothing(index: Index, tenant: str) -> None:
    index.upsert(tenant, [])


def test_an_upsert_of_the_same_point_replaces_it_and_takes_it_from_search(index: Index, tenant: str) -> None:
    put_live(index, point(tenant, "d1"))
    index.upsert(tenant, [point(tenant, "d1")])
    assert index.count(tenant, Selection("d1")) == 1
    assert found(index, everything(tenant)) == set()


def test_a_point_of_another_tenant_than_named_is_refused(index: Index, tenant: str) -> None:
    with pytest.raises(ValueError, match="tenant"):
        index.upsert(tenant, [point("somebody-else", "d1")])


@pytest.mark.parametrize(
    "vector", [np.full(DIMENSION, np.nan, np.float32), np.zeros(DIMENSION, np.float32), unit(1)[:3]]
)
def test_a_vector_that_is_not_of_the_spec_is_refused(index: Index, tenant: str, vector: NDArray[np.float32]) -> None:
    made = point(tenant, "d1")
    with pytest.raises(ValueError, match="unit vector"):
        index.upsert(tenant, [replace(made, embedded=replace(made.embedded, vector=vector))])


# --- selections


SELECTIONS = [
    (Selection("d"), 8),
    (Selection("other"), 0),
    (Selection("d", version=2), 4),
    (Selection("d", version_below=2), 4),
    (Selection("d", version_below=1), 0),
    (Selection("d", attempt=3), 2),
    (Selection("d", other_than_attempt=3), 6),
    (Selection("d", version=2, other_than_attempt=3), 2),
    (Selection("d", version=1, attempt=3), 0),
    (Selection("d", rev_below=5), 4),
    (Selection("d", rev_below=6), 8),
    (Selection("d", live=True), 2),
    (Selection("d", live=False), 6),
    (Selection("d", version=2, attempt=3, rev_below=9, live=True), 2),
]


def put_eight(index: Index, tenant: str) -> None:
    """Two points each of attempts 1 and 2 (version 1), 3 (version 2, live) and 4 (version 2); revisions 4 and 5."""
    for attempt in (1, 2, 3, 4):
        version = 1 if attempt < 3 else 2
        index.upsert(
            tenant,
            [point(tenant, "d", n, version=version, attempt=attempt, rev=4 + attempt % 2) for n in (0, 1)],
        )
    index.set_live(tenant, Selection("d", attempt=3))
    index.upsert(tenant, [point(tenant, "beside", attempt=3, version=2)])


def test_a_selection_counts_exactly_what_it_names(index: Index, tenant: str) -> None:
    put_eight(index, tenant)
    assert [index.count(tenant, where) for where, _ in SELECTIONS] == [expected for _, expected in SELECTIONS]


def test_a_selection_reads_what_it_counts(index: Index, tenant: str) -> None:
    put_eight(index, tenant)
    for where, expected in SELECTIONS:
        assert len(list(index.points_of(tenant, where))) == expected


@pytest.mark.parametrize(("where", "expected"), SELECTIONS)
def test_a_delete_takes_what_the_selection_counts_and_nothing_else(
    index: Index, tenant: str, where: Selection, expected: int
) -> None:
    put_eight(index, tenant)
    for _ in range(2):
        index.delete(tenant, where)
        assert index.count(tenant, where) == 0
        assert index.count(tenant, Selection("d")) == 8 - expected
        assert index.count(tenant, Selection("beside")) == 1


def test_set_live_reaches_one_attempt_only(index: Index, tenant: str) -> None:
    put_eight(index, tenant)
    assert {stored.attempt for stored in index.points_of(tenant, Selection("d", live=True))} == {3}


def test_writes_by_selection_reach_all_the_points_of_a_long_document(index: Index, tenant: str) -> None:
    index.upsert(tenant, [point(tenant, "d1", n) for n in range(200)])
    index.set_live(tenant, Selection("d1", attempt=1))
    assert index.count(tenant, Selection("d1", live=True)) == 200
    index.repaint(tenant, "d1", rev=2, readers=("b",), fields=fields())  # type: ignore[arg-type]
    assert index.count(tenant, Selection("d1", rev_below=2)) == 0
    [dense] = index.search(everything(tenant, labels=frozenset({"b"})), [DenseArm(unit(1))], limit=500)
    assert len(dense) == 200
    index.delete(tenant, Selection("d1"))
    assert index.count(tenant, Selection("d1")) == 0


def test_a_late_erase_of_older_versions_spares_the_newer(index: Index, tenant: str) -> None:
    put_live(index, point(tenant, "d1", version=3, attempt=9))
    index.delete(tenant, Selection("d1", version_below=3))
    index.delete(tenant, Selection("d1", version=3, other_than_attempt=9))
    assert found(index, everything(tenant)) == {"d1"}


# --- repaint


def test_a_repaint_changes_who_finds_the_document(index: Index, tenant: str) -> None:
    put_live(index, point(tenant, "d1", readers=("a",)))
    index.repaint(tenant, "d1", rev=2, readers=("b",), fields=fields())  # type: ignore[arg-type]
    assert found(index, everything(tenant, labels=frozenset({"a"}))) == set()
    assert found(index, everything(tenant, labels=frozenset({"b"}))) == {"d1"}


def test_a_repaint_changes_what_filters_find(index: Index, tenant: str) -> None:
    put_live(index, point(tenant, "d1", metadata={"colour": "red", "size": 3}))
    index.repaint(tenant, "d1", rev=2, readers=("*",), fields=fields(colour="blue"))  # type: ignore[arg-type]

    def by(raw: object) -> set[str]:
        return found(index, replace(everything(tenant), condition=parse_filter(raw)))

    assert by({"metadata.colour": "red"}) == set()
    assert by({"metadata.colour": "blue"}) == {"d1"}
    assert by({"metadata.size": {"$exists": True}}) == set()


def test_a_late_or_repeated_repaint_changes_nothing(index: Index, tenant: str) -> None:
    put_live(index, point(tenant, "d1", rev=5, readers=("a",)))
    for rev in (4, 5):
        index.repaint(tenant, "d1", rev=rev, readers=("b",), fields=fields())  # type: ignore[arg-type]
    [stored] = index.points_of(tenant, Selection("d1"))
    assert (stored.rev, stored.readers) == (5, ("a",))
    assert found(index, everything(tenant, labels=frozenset({"a"}))) == {"d1"}


def test_a_repaint_before_publication_holds_when_it_is_set_live(index: Index, tenant: str) -> None:
    index.upsert(tenant, [point(tenant, "d1", readers=("a",))])
    index.repaint(tenant, "d1", rev=2, readers=("b", "c"), fields=fields())  # type: ignore[arg-type]
    assert found(index, everything(tenant)) == set()
    index.set_live(tenant, Selection("d1"))
    assert found(index, everything(tenant, labels=frozenset({"a"}))) == set()
    assert found(index, everything(tenant, labels=frozenset({"c"}))) == {"d1"}


def test_points_of_different_readers_set_live_at_once_keep_their_readers(index: Index, tenant: str) -> None:
    index.upsert(tenant, [point(tenant, "d1", n, readers=("a",) if n % 2 else ("b",)) for n in range(6)])
    index.set_live(tenant, Selection("d1"))
    [dense] = index.search(everything(tenant, labels=frozenset({"a"})), [DenseArm(unit(1))], limit=10)
    assert {candidate.point_id for candidate in dense} == {point_id(f"d1#{n}", 1) for n in (1, 3, 5)}


# --- scopes


def test_tenants_never_cross_in_any_method(index: Index, tenant: str) -> None:
    put_live(index, point(tenant, "d1"))
    [mine] = index.points_of(tenant, Selection("d1"))
    stranger = f"{tenant}-stranger"
    whole = Selection("d1")
    assert found(index, everything(stranger)) == set()
    assert index.count(stranger, whole) == 0
    assert index.retrieve(stranger, [mine.id]) == []
    assert index.search_selection(stranger, whole, DenseArm(unit(0)), limit=5) == []
    assert list(index.points_of(stranger, whole)) == []
    assert index.chunk_points(stranger, "d1#0") == []
    assert list(index.scroll(tenant=stranger)) == []
    index.delete(stranger, whole)
    index.repaint(stranger, "d1", rev=99, readers=("x",), fields=fields())  # type: ignore[arg-type]
    index.set_live(stranger, whole)
    assert list(index.points_of(tenant, whole)) == [mine]


def test_reader_labels_narrow(index: Index, tenant: str) -> None:
    put_live(
        index,
        point(tenant, "all", readers=("*",)),
        point(tenant, "ab", readers=("a", "b")),
        point(tenant, "c", readers=("c",)),
        point(tenant, "nobody", readers=()),
    )

    def by(labels: frozenset[str] | None) -> set[str]:
        return found(index, everything(tenant, labels=labels))

    assert by(None) == {"all", "ab", "c", "nobody"}
    assert by(frozenset()) == set()
    assert by(frozenset({"*"})) == {"all"}
    assert by(frozenset({"a", "b", "*"})) == {"all", "ab"}
    assert by(frozenset({"c", "z"})) == {"c"}
    assert by(frozenset({f"l{n}" for n in range(MAX_WAYS)} | {"a"})) == {"ab"}


def test_collections_narrow(index: Index, tenant: str) -> None:
    put_live(index, point(tenant, "d1", collection="c1"), point(tenant, "d2", collection="c2"))
    assert found(index, everything(tenant, "c1")) == {"d1"}
    assert found(index, everything(tenant, "c1", "c2", "c3")) == {"d1", "d2"}
    assert found(index, everything(tenant, "c3")) == set()
    assert found(index, SearchScope(tenant, (), None)) == set()


def test_names_that_look_like_one_another_stay_apart(index: Index, tenant: str) -> None:
    put_live(index, point(tenant, "d1", collection='c", "x', readers=("y",)))
    assert found(index, everything(tenant, "c", labels=frozenset({'x", "y'}))) == set()
    assert found(index, everything(tenant, 'c", "x', labels=frozenset({"y"}))) == {"d1"}


def test_another_tenants_documents_do_not_move_a_score(index: Index, tenant: str) -> None:
    put_live(index, point(tenant, "d1", text="zeppelin maintenance"), point(tenant, "d2", text="garden maintenance"))
    index.upsert(tenant, [point(tenant, "d3", n, text="zeppelin waiting") for n in range(5)])
    arm = SparseArm(BM25.query("zeppelin"))
    [before] = index.search(everything(tenant), [arm], limit=10)
    stranger = f"{tenant}-stranger"
    put_live(index, *[point(stranger, "s", n, text="zeppelin zeppelin") for n in range(500)])
    put_live(index, *[point(tenant, "elsewhere", n, text="zeppelin", collection="c2") for n in range(20)])
    [after] = index.search(everything(tenant), [arm], limit=10)
    index.delete(stranger, Selection("s"))
    assert before == after
    assert [candidate.document_id for candidate in after] == ["d1"]


def test_readers_do_not_move_a_score(index: Index, tenant: str) -> None:
    put_live(
        index,
        point(tenant, "d1", text="zeppelin maintenance", readers=("a",)),
        *[point(tenant, "d2", n, text="zeppelin garden", readers=("b",)) for n in range(9)],
    )
    arm = SparseArm(BM25.query("zeppelin"))
    [narrow] = index.search(everything(tenant, labels=frozenset({"a"})), [arm], limit=20)
    [wide] = index.search(everything(tenant), [arm], limit=20)
    assert narrow == [candidate for candidate in wide if candidate.document_id == "d1"]


def test_a_query_of_stop_words_alone_finds_by_meaning_only(index: Index, tenant: str) -> None:
    put_live(index, point(tenant, "d1"))
    terms = BM25.query("the of and")
    assert terms == SparseVector((), ())
    [sparse, dense] = index.search(everything(tenant), [SparseArm(terms), DenseArm(unit(0))], limit=5)
    assert sparse == []
    assert len(dense) == 1


def test_a_passage_of_stop_words_alone_is_found_by_meaning(index: Index, tenant: str) -> None:
    put_live(index, point(tenant, "d1", text="the of and"))
    [dense, sparse] = index.search(everything(tenant), [DenseArm(unit(0)), SparseArm(BM25.query("fox"))], limit=5)
    assert [candidate.document_id for candidate in dense] == ["d1"]
    assert sparse == []


def test_a_search_without_arms_is_a_search_without_answers(index: Index, tenant: str) -> None:
    assert index.search(everything(tenant), [], limit=5) == []


def test_a_probe_finds_points_that_are_not_live(index: Index, tenant: str) -> None:
    index.upsert(tenant, [point(tenant, "d1", n, attempt=a) for n in range(3) for a in (1, 2)])
    where = Selection("d1", attempt=2)
    dense = index.search_selection(tenant, where, DenseArm(unit(1)), limit=1)
    sparse = index.search_selection(tenant, where, SparseArm(BM25.query("fox")), limit=10)
    assert [candidate.point_id for candidate in dense] == [point_id("d1#1", 2)]
    assert {candidate.point_id for candidate in sparse} == {point_id(f"d1#{n}", 2) for n in range(3)}


# --- reading back


def test_a_point_comes_back_as_it_was_sent(index: Index, tenant: str) -> None:
    locator = Locator(
        char_start=5,
        char_end=30,
        pages=(2, 3),
        boxes=(Box(2, 0.1, 0.2, 300.7, 1 / 3), Box(3, 1.0, 2.0, 3.0, 4.0)),
        heading_path=("Über", "二"),
        slide=4,
        sheet="S",
        row_start=1,
        row_end=9,
        part="1.2",
    )
    text = 'He said: "Straße", \x00 \U0001f600 and\n\tleft\\ \ud800'
    made = Chunk("chunk", "d1", 12, text, f"Title\n\n{text}", locator, tokens=77)
    sent = point(tenant, "d1", rev=3, version=4, attempt=5, readers=("x", "y"))
    sent = replace(sent, embedded=EmbeddedChunk(made, unit(77), SparseVector((), ())), digest="e" * 64)
    index.upsert(tenant, [sent])
    [stored] = index.retrieve(tenant, [sent.id], vectors=True)
    assert stored.chunk == made
    assert stored.vector is not None
    assert stored.vector.dtype == np.float32
    assert stored.vector.tobytes() == unit(77).tobytes()
    assert (stored.id, stored.digest, stored.tenant, stored.collection_id) == (sent.id, "e" * 64, tenant, "c")
    assert (stored.version, stored.attempt, stored.rev, stored.live, stored.readers) == (4, 5, 3, False, ("x", "y"))


def test_an_embedded_text_that_does_not_hold_the_quoted_one_comes_back_too(index: Index, tenant: str) -> None:
    sent = point(tenant, "d1")
    made = replace(sent.embedded.chunk, text="a\tb", embedded_text="Title a b")
    index.upsert(tenant, [replace(sent, embedded=replace(sent.embedded, chunk=made))])
    assert index.retrieve(tenant, [sent.id])[0].chunk == made


def test_vectors_come_back_bit_exact_and_only_when_asked_for(index: Index, tenant: str) -> None:
    sent = [point(tenant, "d1", n) for n in range(300)]
    index.upsert(tenant, sent)
    bits = {each.id: each.embedded.vector.tobytes() for each in sent}
    read = {stored.id: stored.vector for stored in index.points_of(tenant, Selection("d1"), vectors=True)}
    assert {key: vector.tobytes() for key, vector in read.items() if vector is not None} == bits
    assert all(stored.vector is None for stored in index.points_of(tenant, Selection("d1")))


def test_points_come_back_in_the_order_asked_for_without_those_that_are_not_there(index: Index, tenant: str) -> None:
    sent = [point(tenant, "d1", n) for n in range(5)]
    index.upsert(tenant, sent)
    ids = [sent[3].id, point_id("nothing", 1), sent[0].id, "no uuid", "", sent[4].id, sent[3].id]
    assert [stored.id for stored in index.retrieve(tenant, ids)] == [sent[3].id, sent[0].id, sent[4].id, sent[3].id]


def test_the_points_of_a_chunk_are_its_live_ones(index: Index, tenant: str) -> None:
    index.upsert(tenant, [point(tenant, "d1", attempt=a) for a in (1, 2, 3)])
    assert index.chunk_points(tenant, "d1#0") == []
    index.set_live(tenant, Selection("d1", attempt=2))
    index.set_live(tenant, Selection("d1", attempt=3))
    assert sorted(stored.attempt for stored in index.chunk_points(tenant, "d1#0")) == [2, 3]


def test_a_scroll_sees_every_point_once(index: Index, tenant: str) -> None:
    stranger = f"{tenant}-stranger"
    index.upsert(tenant, [point(tenant, "d1", n) for n in range(520)])
    index.upsert(stranger, [point(stranger, "d9", n) for n in range(3)])
    mine = [stored.id for stored in index.scroll(tenant=tenant)]
    assert len(mine) == len(set(mine)) == 520
    all_of_them = [stored for stored in index.scroll(vectors=True) if stored.tenant in {tenant, stranger}]
    index.delete(stranger, Selection("d9"))
    assert len(all_of_them) == 523
    assert all(stored.vector is not None for stored in all_of_them)


def test_health_counts_the_points(index: Index, tenant: str) -> None:
    before = index.health()["points"]
    index.upsert(tenant, [point(tenant, "d1", n) for n in range(7)])
    assert index.health()["points"] == before + 7


def test_several_threads_may_ask_at_once(index: Index, tenant: str) -> None:
    put_live(index, *[point(tenant, "d1", n) for n in range(64)])
    wrong: list[object] = []

    def ask(seed: int) -> None:
        for n in range(seed, seed + 10):
            [dense] = index.search(everything(tenant), [DenseArm(unit(n))], limit=1)
            if dense[0].point_id != point_id(f"d1#{n}", 1):
                wrong.append(dense)

    threads = [threading.Thread(target=ask, args=(seed,)) for seed in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


# --- the engine and its process


def test_a_closed_index_is_unavailable(tmp_path: Path) -> None:
    index = EdgeIndex(tmp_path, SPEC)
    index.close()
    index.close()
    with pytest.raises(IndexUnavailable):
        index.health()


def test_what_was_written_is_there_after_a_restart(tmp_path: Path) -> None:
    with contextlib.closing(EdgeIndex(tmp_path, SPEC)) as index:
        put_live(index, point("t", "d1", metadata={"colour": "red"}))
        red = replace(everything("t"), condition=parse_filter({"metadata.colour": "red"}))
        assert found(index, red) == {"d1"}
    with contextlib.closing(EdgeIndex(tmp_path, SPEC)) as index:
        assert found(index, red) == {"d1"}
        assert found(index, everything("t")) == {"d1"}


def test_an_optimised_index_finds_the_same(tmp_path: Path) -> None:
    with contextlib.closing(EdgeIndex(tmp_path, SPEC)) as index:
        put_live(index, *[point("t", "d1", n) for n in range(300)])
        arms: list[Arm] = [DenseArm(unit(1)), SparseArm(BM25.query("fox"))]
        before = index.search(everything("t"), arms, limit=5)
        assert not index.optimise(above=300)
        assert index.health()["indexed"] == 0
        assert index.optimise(above=299)
        assert not index.optimise(above=0)
        assert index.health()["indexed"] == 300
        assert index.search(everything("t"), arms, limit=5)[0] == before[0]
        put_live(index, point("t", "d2", 1))
        assert "d2" in found(index, everything("t"), limit=400)


def test_another_spec_has_points_of_its_own(tmp_path: Path) -> None:
    with (
        contextlib.closing(EdgeIndex(tmp_path, SPEC)) as one,
        contextlib.closing(EdgeIndex(tmp_path, replace(SPEC, digest="e" * 64))) as other,
    ):
        one.upsert("t", [point("t", "d1")])
        assert other.health()["points"] == 0


def test_a_folder_in_use_is_said_to_be(tmp_path: Path) -> None:
    with contextlib.closing(EdgeIndex(tmp_path, SPEC)), pytest.raises(IndexUnavailable, match="in use by another"):
        EdgeIndex(tmp_path, SPEC, wait_s=0.1)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[ServerProcess, str]]:
    address = str(tmp_path / "index.sock")
    process = ServerProcess(tmp_path, address)
    process.start()
    yield process, address
    process.end(signal.SIGKILL)


def test_killing_the_process_during_writes_loses_nothing_it_acknowledged(server: tuple[ServerProcess, str]) -> None:
    process, address = server
    acknowledged: list[int] = []
    began = threading.Event()

    def write(client: SocketIndex) -> None:
        with contextlib.suppress(IndexUnavailable):
            for n in itertools.count():
                client.upsert("t", [point("t", f"d{n}", each) for each in range(8)])
                acknowledged.append(n)
                if n == 20:
                    began.set()

    with contextlib.closing(SocketIndex(address)) as client:
        writer = threading.Thread(target=write, args=(client,))
        writer.start()
        assert began.wait(30)
        process.end(signal.SIGKILL)
        writer.join()
        process.start()
        counts = {n: client.count("t", Selection(f"d{n}")) for n in acknowledged}
    assert len(counts) > 20
    assert set(counts.values()) == {8}


def test_a_client_survives_the_restart_of_the_process(server: tuple[ServerProcess, str]) -> None:
    process, address = server
    with contextlib.closing(SocketIndex(address)) as client:
        client.upsert("t", [point("t", "d1")])
        assert process.end() == 0
        began = time.monotonic()
        with pytest.raises(IndexUnavailable):
            client.count("t", Selection("d1"))
        assert time.monotonic() - began < 1
        process.start()
        assert client.count("t", Selection("d1")) == 1

"""Searching: two layers of permission, each enough without the other, and a writer that never shows."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from typing import Any

import pytest

from ingest.intake import FileItem, Spooled
from retrieval.chunks import EmbeddedChunk
from retrieval.documents import Attributes, Document, Lane, LiveState, Stage
from retrieval.errors import NotFound
from retrieval.filters import parse_filter
from retrieval.index import Arm, Candidate, Index, SearchScope, Selection, SparseArm, StoredPoint, Underway
from retrieval.principal import Principal
from retrieval.search import ARM_LIMIT, GroupBy, Mode, Query
from tests.corpus import Corpus, reader


class Answering:
    """An index that a subclass answers for: what is under way is answered at once."""

    def retrieve(self, tenant: str, ids: Sequence[str], *, vectors: bool = False) -> list[StoredPoint]:
        return list(self.__getattr__("retrieve")(tenant, ids, vectors=vectors))

    def __getattr__(self, name: str) -> Any:
        raise NotImplementedError

    def retrieving(self, tenant: str, ids: Sequence[str]) -> Underway[list[StoredPoint]]:
        found = self.retrieve(tenant, ids)
        return nullcontext(lambda: found)

    def search(self, scope: SearchScope, arms: Sequence[Arm], *, limit: int) -> list[list[Candidate]]:
        raise NotImplementedError

    def searching(self, scope: SearchScope, arms: Sequence[Arm], *, limit: int) -> Underway[list[list[Candidate]]]:
        found = self.search(scope, arms, limit=limit)
        return nullcontext(lambda: found)


class WideIndex(Answering):
    """The index layer taken away: it answers from every tenant, collection and reader list."""

    def __init__(self, index: Index) -> None:
        self._index = index

    def __getattr__(self, name: str) -> Any:
        return getattr(self._index, name)

    def search(self, scope: SearchScope, arms: Sequence[Arm], *, limit: int) -> list[list[Candidate]]:
        points = list(self._index.scroll())
        found: list[list[Candidate]] = [[] for _ in arms]
        for tenant in {point.tenant for point in points}:
            collections = tuple({point.collection_id for point in points if point.tenant == tenant})
            wide = replace(scope, tenant=tenant, collections=collections, labels=None)
            for all_found, more in zip(found, self._index.search(wide, arms, limit=limit), strict=True):
                all_found.extend(more)
        return [sorted(one, key=lambda candidate: -candidate.score) for one in found]

    def retrieve(self, tenant: str, ids: Sequence[str], *, vectors: bool = False) -> list[StoredPoint]:
        return [point for point in self._index.scroll() if point.id in set(ids)]


class Blind:
    """The catalogue's check taken away: whatever the index finds is visible to everybody and live."""

    def __init__(self, corpus: Corpus, principal: Principal) -> None:
        self._corpus = corpus
        self._principal = principal

    def __getattr__(self, name: str) -> Any:
        return getattr(self._corpus.catalogue, name)

    @property
    def documents(self) -> Blind:
        return self

    def live_states(self, ids: Sequence[str]) -> dict[str, LiveState]:
        found = {}
        for point in self._corpus.index.scroll():
            collections = self._principal.collections or {point.collection_id}
            found[point.chunk.document_id] = LiveState(
                tenant=self._principal.tenant,
                collection_id=next(iter(collections)),
                collection="",
                readers=("*", *self._principal.labels),
                live_version=point.version,
                live_attempt=point.attempt,
                gone=False,
                external_id=None,
                title="",
                metadata={},
            )
        return found


@pytest.fixture
def neighbour(corpus: Corpus) -> Corpus:
    """Another tenant of the same installation."""
    return corpus.with_(tenant=f"{corpus.tenant}-neighbour")


def found(corpus: Corpus, principal: Principal | None = None, text: str = "secret otter", **said: Any) -> set[str]:
    return {hit.document_id for hit in corpus.hits(text, principal, **said)}


@pytest.mark.parametrize("layers", ["both", "without the index's", "without the catalogue's"])
def test_what_a_principal_may_not_see_is_not_found(corpus: Corpus, neighbour: Corpus, layers: str) -> None:
    theirs = neighbour.add("A secret otter of the neighbours.")
    labelled = corpus.add("A secret otter of finance.", "labelled", readers=("group:finance",))
    nobodys = corpus.add("A secret otter of nobody.", "nobody", readers=())
    elsewhere = corpus.add("A secret otter elsewhere.", "elsewhere", collection="elsewhere")
    public = corpus.add("A secret otter for everybody.", "public")
    docs = frozenset({corpus.collection().id})
    hidden_from = {
        reader(corpus): {labelled.id, nobodys.id, theirs.id},
        reader(corpus, "group:finance"): {nobodys.id, theirs.id},
        reader(corpus, "group:finance", collections=docs): {nobodys.id, theirs.id, elsewhere.id},
        corpus.admin: {theirs.id},
        neighbour.admin: {public.id, labelled.id, nobodys.id, elsewhere.id},
    }
    everything = {theirs.id, labelled.id, nobodys.id, elsewhere.id, public.id}
    for principal, hidden in hidden_from.items():
        seen = corpus
        if layers == "without the index's":
            seen = corpus.with_(index=WideIndex(corpus.index))
        elif layers == "without the catalogue's":
            seen = corpus.with_(catalogue=Blind(corpus, principal))
        assert found(seen, principal) == everything - hidden


def test_a_layer_that_is_taken_away_is_away(corpus: Corpus, neighbour: Corpus) -> None:
    """The tests above would prove nothing if their doubles hid anything themselves."""
    theirs = neighbour.add("A secret otter of the neighbours.")
    mine = corpus.add("A secret otter of finance.", readers=("group:finance",))
    blind = Blind(corpus, reader(corpus))
    assert found(corpus.with_(index=WideIndex(corpus.index), catalogue=blind), reader(corpus)) == {theirs.id, mine.id}


def test_a_delete_and_fewer_readers_hold_for_the_very_next_query(corpus: Corpus) -> None:
    gone = corpus.add("A secret otter, soon gone.", "gone")
    narrowed = corpus.add("A secret otter, soon narrowed.", "narrowed")
    ann = reader(corpus, "user:ann")
    assert found(corpus, ann) == {gone.id, narrowed.id}
    corpus.catalogue.documents.delete(corpus.admin, gone.id)
    assert found(corpus, ann) == {narrowed.id}
    corpus.catalogue.documents.patch(corpus.admin, narrowed.id, Attributes(readers=("user:bob",)), readers_reset=False)
    assert found(corpus, ann) == set()
    corpus.work()
    assert found(corpus, reader(corpus, "user:bob")) == {narrowed.id}
    assert corpus.index.count(corpus.tenant, Selection(gone.id)) == 0


def test_a_collection_being_deleted_is_not_searched(corpus: Corpus) -> None:
    corpus.add("A secret otter.")
    kept = corpus.add("Another secret otter.", collection="kept")
    corpus.catalogue.collections.delete(corpus.tenant, "docs")
    assert found(corpus) == {kept.id}
    assert found(corpus.with_(index=WideIndex(corpus.index))) == {kept.id}


@contextmanager
def republishing(corpus: Corpus, rounds: int) -> Iterator[threading.Event]:
    """A writer in a thread that publishes one document again and again, as new versions and as new attempts."""
    over = threading.Event()
    errors: list[BaseException] = []

    def write() -> None:
        try:
            for n in range(rounds):
                if n % 4:
                    document = corpus.get(one.id)
                    assert document.live_attempt is not None
                    assert corpus.catalogue.tasks.owe_embedding(one.id, attempt=document.live_attempt)
                else:
                    corpus.send(f"The secret otter, written {n} times.", "one")
                corpus.work()
        except BaseException as error:
            errors.append(error)
        finally:
            over.set()

    one = corpus.add("The secret otter, written for the first time.", "one")
    writer = threading.Thread(target=write)
    writer.start()
    try:
        yield over
    finally:
        writer.join(60)
        assert errors == []


def test_a_document_that_is_published_in_a_loop_never_vanishes_and_never_doubles(corpus: Corpus) -> None:
    other = corpus.add("The secret otter of another document.", "other")
    asked = 0
    with republishing(corpus, 104) as over:
        while not over.is_set():
            documents = [hit.document_id for hit in corpus.hits("secret otter")]
            assert len(documents) == len(set(documents)) == 2
            asked += 1
            time.sleep(0.005)  # the engine stops the writer while it searches
    assert asked > 20
    assert corpus.get(other.id).version == 1
    assert corpus.index.count(corpus.tenant, Selection(other.id)) == 1


class Overtaken(Answering):
    """An index after whose answers a new version is published, and the old one erased, before anybody looks: after
    that of an arm, or to a read."""

    def __init__(self, corpus: Corpus, *, sparse: int = 0, dense: int = 0, reads: int = 0) -> None:
        self._corpus = corpus
        self._left = {"sparse": sparse, "dense": dense, "retrieve": reads}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._corpus.index, name)

    def _republish(self, after: str) -> None:
        if self._left[after]:
            self._left[after] -= 1
            self._corpus.add(f"The secret otter, {after} {self._left[after]}.", "one")

    def search(self, scope: SearchScope, arms: Sequence[Arm], *, limit: int) -> list[list[Candidate]]:
        found = self._corpus.index.search(scope, arms, limit=limit)
        self._republish("sparse" if isinstance(arms[0], SparseArm) else "dense")
        return found

    def retrieve(self, tenant: str, ids: Sequence[str], *, vectors: bool = False) -> list[StoredPoint]:
        self._republish("retrieve")
        return self._corpus.index.retrieve(tenant, ids, vectors=vectors)


@pytest.mark.parametrize(
    ("sparse", "dense", "reads"),
    [(1, 0, 0), (2, 0, 0), (0, 1, 0), (0, 2, 0), (1, 1, 0), (2, 2, 0), (0, 0, 1), (0, 0, 2), (0, 1, 1), (1, 0, 1)],
)
def test_a_switch_between_two_steps_of_a_search_is_searched_again(
    corpus: Corpus, sparse: int, dense: int, reads: int
) -> None:
    one = corpus.add("The secret otter.", "one")
    overtaken = Overtaken(corpus, sparse=sparse, dense=dense, reads=reads)
    [hit] = corpus.with_(index=overtaken).hits("secret otter")
    assert hit.document_id == one.id
    assert corpus.get(one.id).version == 1 + sparse + dense + reads


class SwitchingBetweenPortions:
    """A catalogue in which a switch falls between two questions of one check."""

    def __init__(self, corpus: Corpus, switch: Any) -> None:
        self._corpus = corpus
        self._switch = switch

    def __getattr__(self, name: str) -> Any:
        return getattr(self._corpus.catalogue, name)

    @property
    def documents(self) -> SwitchingBetweenPortions:
        return self

    def live_states(self, ids: Sequence[str]) -> dict[str, LiveState]:
        states = self._corpus.catalogue.documents.live_states(ids)
        self._switch()
        return states


class BetweenAttempts(Answering):
    """An index that answers one point, three that nobody knows, and the same chunk's point of a later attempt."""

    def __init__(self, corpus: Corpus, document: str) -> None:
        self._corpus = corpus
        self._document = document

    def __getattr__(self, name: str) -> Any:
        return getattr(self._corpus.index, name)

    def search(self, scope: SearchScope, arms: Sequence[Arm], *, limit: int) -> list[list[Candidate]]:
        points = sorted(self._corpus.index.points_of(scope.tenant, Selection(self._document)), key=lambda p: p.attempt)
        old, new = (Candidate(point.id, 0.0, self._document, 1, point.attempt) for point in points)
        ghosts = [Candidate(f"ghost {n}", 0.0, f"ghost {n}", 1, 1) for n in range(3)]
        return [[replace(one, score=9.0 - n) for n, one in enumerate([old, *ghosts, new])] for _ in arms]


def test_a_switch_in_the_middle_of_a_check_lets_no_document_pass_twice(corpus: Corpus) -> None:
    one = corpus.add("The secret otter.", "one")
    assert one.live_attempt is not None
    corpus.catalogue.tasks.owe_embedding(one.id, attempt=one.live_attempt)
    claim = corpus.claim(Stage.EMBED)
    [point] = corpus.index.points_of(corpus.tenant, Selection(one.id), vectors=True)
    assert point.vector is not None
    embedded = EmbeddedChunk(point.chunk, point.vector, corpus.bm25.passage(point.chunk.embedded_text))
    corpus.publisher.write(claim, [embedded])

    def switch() -> None:
        corpus.catalogue.tasks.switch(claim, rev=claim.document.rev, counts={})

    catalogue = SwitchingBetweenPortions(corpus, switch)
    hits = corpus.with_(index=BetweenAttempts(corpus, one.id), catalogue=catalogue).hits("secret otter", top_k=2)
    assert [hit.document_id for hit in hits] == [one.id]


def test_another_tenants_writes_never_move_ones_scores(corpus: Corpus, neighbour: Corpus) -> None:
    for n in range(6):
        corpus.add(f"Otter number {n} swims in the {'river' if n % 2 else 'sea'}.", f"{n}")

    def scores() -> list[tuple[str, float, Any]]:
        return [(hit.chunk.id, hit.score, dict(hit.score_parts)) for hit in corpus.hits("river otter")]

    before = scores()
    for n in range(10):
        neighbour.add(f"A river, a river, and no otter {n}.", f"{n}")
        corpus.add(f"River {n}.", f"{n}", collection="elsewhere")
    theirs = [(h.chunk.id, h.score, dict(h.score_parts)) for h in corpus.hits("river otter", collections=("docs",))]
    assert theirs == before
    assert scores() != before  # one's own documents do count


def paragraphs(word: str, count: int) -> str:
    """A text of about `count` chunks."""
    return "\n\n".join(f"{word} {n} " + f"filler{n} " * 150 for n in range(count))


def test_grouping_by_document_gives_each_document_once_with_its_best_hit(corpus: Corpus) -> None:
    long = corpus.add(paragraphs("otter", 6), "long")
    assert (long.chunks or 0) >= 6
    short = corpus.add("An otter.", "short")
    grouped = corpus.hits("otter", group_by=GroupBy.DOCUMENT)
    assert sorted(hit.document_id for hit in grouped) == sorted([long.id, short.id])
    assert [hit.rank for hit in grouped] == [1, 2]
    plain = corpus.hits("otter")
    assert len(plain) > 2
    best = {hit.document_id: hit.chunk.id for hit in reversed(plain)}
    assert {hit.document_id: hit.chunk.id for hit in grouped} == best


class Flooded(Answering):
    """An index whose best candidates are all dropped by the catalogue: they are of documents it does not know."""

    def __init__(self, index: Index, ghosts: int) -> None:
        self._index = index
        self._ghosts = ghosts
        self.limits: list[int] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._index, name)

    def search(self, scope: SearchScope, arms: Sequence[Arm], *, limit: int) -> list[list[Candidate]]:
        self.limits.append(limit)
        ghosts = [Candidate(f"ghost {n}", 100.0 - n / 1000, f"ghost {n}", 1, 1) for n in range(self._ghosts)]
        return [[*ghosts, *found][:limit] for found in self._index.search(scope, arms, limit=limit)]


EACH_ARM = [ARM_LIMIT, ARM_LIMIT]


def test_many_dropped_candidates_are_refilled_once(corpus: Corpus) -> None:
    document = corpus.add("The secret otter.")
    flooded = Flooded(corpus.index, ghosts=ARM_LIMIT + 50)
    assert found(corpus.with_(index=flooded)) == {document.id}
    assert flooded.limits == [*EACH_ARM, *(5 * limit for limit in EACH_ARM)]
    hopeless = Flooded(corpus.index, ghosts=10 * ARM_LIMIT)
    assert found(corpus.with_(index=hopeless)) == set()
    assert hopeless.limits == flooded.limits


def test_a_hit_says_where_it_is_from_and_how_it_scored(corpus: Corpus) -> None:
    document = corpus.add("The secret otter.", "ext", title="Otters", metadata={"year": 2024})
    [hit] = corpus.hits("secret otter")
    assert (hit.rank, hit.document_id, hit.external_id, hit.collection) == (1, document.id, "ext", "docs")
    assert (hit.title, hit.metadata, hit.chunk.text) == ("Otters", {"year": 2024}, "The secret otter.")
    assert hit.score_parts.keys() == {"dense", "sparse"}
    assert 0 < hit.score <= 1


@pytest.mark.parametrize(("mode", "parts"), [(Mode.DENSE, {"dense"}), (Mode.SPARSE, {"sparse"})])
def test_a_mode_asks_its_arm_only(corpus: Corpus, mode: Mode, parts: set[str]) -> None:
    corpus.add("The secret otter.")
    [hit] = corpus.hits("otter", mode=mode)
    assert hit.score_parts.keys() == parts
    assert corpus.hits("zebra", mode=Mode.SPARSE) == []


@pytest.mark.parametrize("text", ["the of and", "?!", "\ud800"])
def test_a_query_without_terms_is_answered(corpus: Corpus, text: str) -> None:
    corpus.add("The secret otter.")
    assert corpus.hits(text, mode=Mode.SPARSE) == []
    assert len(corpus.hits(text)) == 1


def test_collections_restrict_and_unknown_ones_are_not_found(corpus: Corpus) -> None:
    here = corpus.add("The secret otter.", "a")
    there = corpus.add("The secret otter.", "a", collection="there")
    assert found(corpus, collections=("there",)) == {there.id}
    assert found(corpus, collections=("there", "docs")) == {here.id, there.id}
    assert found(corpus, collections=()) == set()
    for principal, name in ((corpus.admin, "nowhere"), (reader(corpus, collections=frozenset({"x"})), "docs")):
        with pytest.raises(NotFound):
            corpus.hits("otter", principal, collections=(name,))
    assert found(corpus, reader(corpus, collections=frozenset())) == set()


def test_a_filter_restricts(corpus: Corpus) -> None:
    corpus.add("The secret otter.", "old", metadata={"year": 2020})
    new = corpus.add("The secret otter.", "new", metadata={"year": 2024})
    assert found(corpus, condition=parse_filter({"metadata.year": {"$gte": 2024}})) == {new.id}


def test_a_filter_finds_the_same_documents_as_a_list_after_each_change(corpus: Corpus) -> None:
    def agree(document: Document) -> None:
        corpus.work()
        title = corpus.get(document.id).title
        for raw in ({"title": title}, {"title": {"$ne": title}}, {"metadata.year": 2024}, {"external_id": "one"}):
            condition = parse_filter(raw)
            listed = {one.id for one in corpus.catalogue.documents.page(corpus.admin, condition=condition).items}
            assert found(corpus, condition=condition) == listed, raw

    document = corpus.send("The secret otter.", "one")
    agree(document)
    agree(corpus.send("The secret otter, second edition.", "one", metadata={"year": 2024}))
    agree(corpus.send("A third secret otter.", "one"))
    agree(corpus.catalogue.documents.patch(corpus.admin, document.id, Attributes(title="T"), readers_reset=False))
    agree(corpus.catalogue.documents.reprocess(corpus.admin, document.id, fingerprint="f2"))


@pytest.mark.parametrize(
    ("data", "ends"), [(b"# A secret otter\n\nIn Markdown.", "live"), (b" ", "failed"), (b"", "refused")]
)
@pytest.mark.parametrize("patched", [False, True])
def test_a_filter_finds_the_same_documents_as_a_list_between_any_two_steps_of_a_new_version(
    corpus: Corpus, data: bytes, ends: str, patched: bool
) -> None:
    def agree(media_type: str) -> None:
        for asked in ("text/plain", "text/markdown"):
            condition = parse_filter({"media_type": asked})
            listed = {one.id for one in corpus.catalogue.documents.page(corpus.admin, condition=condition).items}
            assert listed == ({document.id} if asked == media_type else set())
            assert found(corpus, condition=condition) == listed

    document = corpus.add("The secret otter.", "one")
    refusal = ("empty_file", "It is empty.") if ends == "refused" else None
    spooled = Spooled(None, "0" * 64, 0) if refusal else corpus.intake.spool([data])
    attributes = Attributes(external_id="one")
    item = FileItem(spooled, "otter.md", "text/markdown", attributes, Lane.INTERACTIVE, refusal=refusal)
    corpus.intake.accept_file(corpus.admin, corpus.collection(), item)
    agree("text/plain")
    while claims := corpus.claims(limit=1):
        if patched and claims[0].stage is Stage.EMBED:  # at the latest moment: the points are painted again
            said = Attributes(metadata={"year": 2024})
            corpus.catalogue.documents.patch(corpus.admin, document.id, said, readers_reset=False)
        corpus.run(claims)
        if patched and claims[0].stage is Stage.EMBED:
            corpus.work(Stage.REPAINT)
        agree("text/markdown" if corpus.get(document.id).live_version == 2 else "text/plain")
    assert corpus.get(document.id).live_version == (2 if ends == "live" else 1)


def test_nothing_is_found_where_nothing_is(corpus: Corpus) -> None:
    assert not corpus.hits("otter")
    corpus.collection()
    assert not corpus.hits("otter")
    corpus.send("The secret otter.")
    assert not corpus.hits("otter")


def test_timings_name_every_step(corpus: Corpus) -> None:
    corpus.add("The secret otter.")
    started = time.perf_counter()
    timings = corpus.searcher.search(corpus.admin, Query("otter")).timings
    assert timings.keys() == {"scope_ms", "embed_ms", "index_ms", "fuse_ms", "check_ms", "read_ms"}
    assert 0 < sum(timings.values()) <= (time.perf_counter() - started) * 1000

"""No reply shows what its caller may not see: by both layers of the permission check, and by each without the other.

Random questions by random keys over every path of a real server, against an oracle that knows the world's description
and nothing of the product. Each document carries words that occur nowhere else, so that one glance at the raw bytes of
a reply tells what it shows. And where the last layer goes too, the suite must say so, or it would prove nothing.
"""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.leaks import document_questions as documents
from tests.leaks import inquiry
from tests.leaks import other_questions as others
from tests.leaks import search_questions as searches
from tests.leaks.conftest import QUERIES, SEED
from tests.leaks.inquiry import PATHS, Findings, inquire
from tests.leaks.settlement import Settlement, calm_server, dropped_leaf, send, settle
from tests.leaks.world import make_world
from tests.running import RunningServer, eventually

# Enough for each path that has lost its layers to show it; an answer or a summary takes half a second.
PLANTED_QUERIES = 160
GENERATED_QUERIES = 32
GENERATING = (searches.answer, searches.summary)
# Hybrid and sparse searches for a word of one document find it; a switch or a crowd may not hide more than this.
FOUND = 0.99


@dataclass(frozen=True)
class Install:
    """A running server with the world in it; `layers` is the file that says which layers are left out."""

    running: RunningServer
    settlement: Settlement
    layers: Path | None


@pytest.fixture(scope="module")
def seed(request: pytest.FixtureRequest) -> int:
    found: int = request.config.getoption("--query-seed", default=SEED)
    print(f"\nseed of world and questions: {found}")
    return found


@pytest.fixture(scope="module")
def queries(request: pytest.FixtureRequest) -> int:
    """For each of the three servers."""
    found: int = request.config.getoption("--queries", default=QUERIES)
    return -(-found // 3)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, seed: int) -> Iterator[Install]:
    yield from _installed(tmp_path_factory.mktemp("whole"), seed, thinned=False)


@pytest.fixture(scope="module")
def thinned(tmp_path_factory: pytest.TempPathFactory, seed: int) -> Iterator[Install]:
    yield from _installed(tmp_path_factory.mktemp("thinned"), seed, thinned=True)


def _installed(folder: Path, seed: int, *, thinned: bool) -> Iterator[Install]:
    layers = folder / "layers-out" if thinned else None
    if layers is not None:
        layers.write_text("")
    running = calm_server(folder, layers=layers)
    chance = random.Random(seed)
    world = make_world(chance)
    try:
        running.start()
        settlement = settle(running, world, dropped=dropped_leaf(world, chance))
        eventually(lambda: is_quiet(settlement, running), within_s=60)
        yield Install(running, settlement, layers)
        assert running.stop() == 0, running.printed
    finally:
        running.end()


def without(install: Install, *layers: str) -> Settlement:
    """The server from now on without these layers."""
    assert install.layers is not None
    install.layers.write_text(" ".join(layers))
    return install.settlement


def state_of(settlement: Settlement, running: RunningServer) -> dict[str, Any]:
    """Everything that administrators see of their tenants, by route and id or name."""
    seen: dict[str, Any] = {}
    for caller in settlement.world.callers:
        if caller.administers and caller.places is None:
            for route in ("documents", "collections", "dead-letters", "keys"):
                reply = send(running.http, settlement.keys[caller], "GET", f"/v1/{route}", params={"limit": 200})
                named = {f"{caller.tenant} {route} {one.get('id') or one['name']}": one for one in reply.json()["data"]}
                seen |= named
    return seen


def is_quiet(settlement: Settlement, running: RunningServer) -> bool:
    """What is repainted and erased after a document is final shows in its timeline."""
    before = state_of(settlement, running)
    time.sleep(0.5)
    return before == state_of(settlement, running)


def changes(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """What is another than it was, by its fields."""
    found = [f"{name} came or went" for name in before.keys() ^ after.keys()]
    for name in before.keys() & after.keys():
        one, other = before[name], after[name]
        found += [f"{name} {key}: {one[key]} → {other[key]}" for key in one if one[key] != other[key]]
    return sorted(found)


def told(findings: Findings) -> str:
    rate = sum(findings.asked.values()) / (sum(findings.seconds.values()) / inquiry.THREADS)
    slowest = [f"{path} {seconds:.0f} s" for path, seconds in Counter(findings.seconds).most_common(4)]
    asked, statuses = sum(findings.asked.values()), dict(findings.statuses)
    return f"{asked} questions at {rate:.0f} a second; {statuses}; {', '.join(slowest)}"


@pytest.mark.parametrize("layer", ["both", "index", "catalogue"])
def test_no_reply_shows_what_its_caller_may_not_see(
    layer: str, queries: int, seed: int, request: pytest.FixtureRequest
) -> None:
    """By both layers, by the index's scope filter alone, by the catalogue's check alone. And nothing changes."""
    install: Install = request.getfixturevalue("whole" if layer == "both" else "thinned")
    settlement = install.settlement
    if layer != "both":
        settlement = without(install, {"index": "check", "catalogue": "index"}[layer])
    before = state_of(settlement, install.running)
    findings = inquire(settlement, queries=queries, seed=hash_of(seed, layer))
    print(f"{layer}: {told(findings)}; found {findings.found} of {findings.sought} by their own word")
    assert findings.leaks == []
    assert findings.faults == []
    assert layer == "catalogue" or findings.strays == []
    assert findings.sought > queries / 200
    assert findings.found >= FOUND * findings.sought
    assert changes(before, state_of(settlement, install.running)) == []


def hash_of(seed: int, layer: str) -> int:
    """The three ask different questions."""
    return seed * 3 + ["both", "index", "catalogue"].index(layer)


PARTS = {
    "get_document": documents.get_document,
    "get_document_content": documents.get_content,
    "get_document_text": documents.get_text,
    "list_document_elements": documents.get_elements,
    "list_document_chunks": documents.get_chunks,
}
LETTERS = (others.list_dead_letters, others.get_dead_letter)


@pytest.mark.parametrize(
    ("out", "paths", "leaking"),
    [
        # The layer that was left in each of the two tests above, gone as well.
        pytest.param(("check", "index"), [searches.search], {"search"}, id="search"),
        pytest.param(("check", "index"), [searches.answer], {"create_answer"}, id="answers"),
        pytest.param(("check", "index"), [searches.summary], {"create_summary"}, id="what a summary searches"),
        # Where the catalogue answers by itself, it is the only layer.
        pytest.param(("documents",), [searches.summary], {"create_summary"}, id="what a summary reads"),
        pytest.param(("documents",), [documents.list_documents], {"list_documents"}, id="the list of documents"),
        pytest.param(("documents",), list(PARTS.values()), set(PARTS), id="documents and their parts"),
        pytest.param(("documents",), [documents.get_chunk], {"get_chunk"}, id="chunks of other readers"),
        pytest.param(("letters",), LETTERS, {"list_dead_letters", "get_dead_letter"}, id="dead letters"),
        pytest.param(("collections",), [documents.list_collections], {"list_collections"}, id="collections"),
        pytest.param(("drop-folder",), [others.drop_folder], {"get_drop_folder"}, id="the drop folder"),
        pytest.param(("keys",), [others.list_keys], {"list_keys"}, id="keys"),
    ],
)
def test_where_no_layer_is_left_the_suite_finds_leaks(
    thinned: Install, seed: int, out: tuple[str, ...], paths: list[inquiry.Path], leaking: set[str]
) -> None:
    settlement = without(thinned, *out)
    queries = GENERATED_QUERIES if set(paths) & set(GENERATING) else PLANTED_QUERIES
    findings = inquire(settlement, queries=queries, seed=seed, paths=paths)
    assert findings.leaking == leaking
    assert [one for one in findings.faults if " → 5" in one[1]] == []


def test_a_chunk_of_another_tenant_leaks_only_without_both_layers(thinned: Install, seed: int) -> None:
    for out, leaks in ((("documents",), False), (("index",), False), (("documents", "index"), True)):
        findings = inquire(without(thinned, *out), queries=PLANTED_QUERIES, seed=seed, paths=[documents.get_chunk])
        tenants = {tenant for tenant in ("default", "acme", "globex") for _, leak in findings.leaks if _crosses(leak)}
        assert bool(tenants) == leaks, out


def _crosses(leak: str) -> bool:
    """Whether who asked is of another tenant than what was shown."""
    asked, _, shown = leak.partition(" → ")
    return f"tenant='{asked.partition(':')[0]}'" not in shown


def test_counts_that_are_not_the_callers_are_seen(thinned: Install, seed: int) -> None:
    paths = [documents.list_collections, documents.get_collection]
    findings = inquire(without(thinned, "counts"), queries=PLANTED_QUERIES, seed=seed, paths=paths)
    assert {path for path, told in findings.faults if "counts" in told} == {"list_collections", "get_collection"}


def test_every_route_is_asked(whole: Install, seed: int) -> None:
    """Whoever adds a route adds a question, in `PATHS` of tests/leaks/inquiry.py."""
    described = whole.running.http.get("/openapi.json").json()["paths"]
    operations = {one["operationId"] for methods in described.values() for one in methods.values()}
    findings = Findings()
    for _, _, path in PATHS:
        queries = 4 if path in GENERATING else 32
        findings.add(inquire(whole.settlement, queries=queries, seed=seed, paths=[path]))
    assert operations - set(findings.asked) == set()


def test_another_tenants_writes_move_no_score_of_the_wire(whole: Install) -> None:
    settlement, http = whole.settlement, whole.running.http
    asking = [one for one in settlement.world.callers if one.tenant == "acme" and one.may("search")]
    questions = [
        {"query": f"what happened at the {subject}", "mode": mode, "explain": True}
        for subject in ("otter", "heron by the river", "old amber mill")
        for mode in ("hybrid", "dense", "sparse")
    ]

    def scores() -> list[Any]:
        found = []
        for caller in asking:
            for body in questions:
                hits = send(http, settlement.keys[caller], "POST", "/v1/search", json=body).json()["hits"]
                found.append([(hit["chunk_id"], hit["score"], hit["score_parts"]) for hit in hits])
        return found

    before = scores()
    assert sum(map(len, before)) > 100
    other = settlement.keys[settlement.world.administrator("globex")]
    items = [{"text": f"An otter, an otter, a heron and the old amber mill {n}."} for n in range(20)]
    sent = send(http, other, "POST", "/v1/collections/papers/documents:batch", json={"documents": items}).json()["data"]
    for document in sent:
        shown = send(http, other, "GET", f"/v1/documents/{document['id']}", params={"wait": 60}).json()
        assert shown["state"] == "searchable"
    assert scores() == before
    for document in sent:
        assert send(http, other, "DELETE", f"/v1/documents/{document['id']}").status_code == 202
    assert scores() == before

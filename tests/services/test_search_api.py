"""Search over HTTP."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.made_files import pdf
from tests.running import RunningServer, eventually
from tests.wire_checks import assert_problem, pointers

HIT_FIELDS = {
    "rank", "score", "chunk_id", "document_id", "collection", "external_id", "title", "text", "locator", "metadata",
    "score_parts",
}  # fmt: skip
PLANETS = {
    "mercury": "Mercury is the planet closest to the Sun and has no moons at all.",
    "venus": "Venus is the hottest planet; its clouds are made of sulphuric acid.",
    "mars": "Mars is called the red planet because of the iron oxide on its surface.",
    "jupiter": "Jupiter is the largest planet, and its red spot is a storm older than a century.",
    "saturn": "Saturn is known for its rings of ice and dust.",
}


@pytest.fixture(scope="module")
def planets(server: RunningServer) -> str:
    name = server.collection("planets")
    for i, (key, text) in enumerate(PLANETS.items()):
        server.searchable(name, text, external_id=key, title=key.title(), metadata={"order": i + 1, "tags": [key]})
    return name


def search(server: RunningServer, **body: Any) -> dict[str, Any]:
    reply = server.http.post("/v1/search", json=body)
    assert reply.status_code == 200, reply.text
    shown: dict[str, Any] = reply.json()
    return shown


def test_a_hit_has_every_field_and_the_best_one_comes_first(server: RunningServer, planets: str) -> None:
    reply = search(server, query="Which planet has rings?", collections=[planets])
    assert set(reply) == {"hits", "took_ms", "timings"}
    assert reply["timings"] is None
    assert reply["took_ms"] > 0
    hits = reply["hits"]
    assert all(set(hit) == HIT_FIELDS for hit in hits)
    assert hits[0]["external_id"] == "saturn"
    assert (hits[0]["title"], hits[0]["collection"], hits[0]["text"]) == ("Saturn", planets, PLANETS["saturn"])
    assert hits[0]["metadata"] == {"order": 5, "tags": ["saturn"]}
    assert hits[0]["score_parts"] is None
    assert [hit["rank"] for hit in hits] == list(range(1, len(hits) + 1))
    scores = [hit["score"] for hit in hits]
    assert scores == sorted(scores, reverse=True)


def test_every_mode_finds_it(server: RunningServer, planets: str) -> None:
    for mode in ("hybrid", "dense", "sparse"):
        hits = search(server, query="sulphuric acid clouds", collections=[planets], mode=mode)["hits"]
        assert hits[0]["external_id"] == "venus", mode


def test_top_k_bounds_the_hits(server: RunningServer, planets: str) -> None:
    for top_k in (1, 3):
        assert len(search(server, query="planet", collections=[planets], top_k=top_k)["hits"]) == top_k


def test_explain_adds_score_parts_and_timings(server: RunningServer, planets: str) -> None:
    reply = search(server, query="the red planet", collections=[planets], explain=True)
    assert {"embed_ms", "index_ms"} <= set(reply["timings"])
    assert reply["hits"][0]["score_parts"]
    assert all(isinstance(part, float) for hit in reply["hits"] for part in hit["score_parts"].values())


def test_grouping_by_document_gives_each_document_once(server: RunningServer) -> None:
    name = server.collection("grouped")
    pages = [f"Chapter {i} of the whale book describes the blue whale and its song. " * 3 for i in range(1, 7)]
    book = server.finished(server.send_file(name, "whales.pdf", pdf(*pages)))
    other = server.searchable(name, "A whale was seen from the ferry.")
    ungrouped = search(server, query="whale", collections=[name], top_k=50)["hits"]
    grouped = search(server, query="whale", collections=[name], top_k=50, group_by="document")["hits"]
    assert sorted(hit["document_id"] for hit in grouped) == sorted([book["id"], other["id"]])
    best = {hit["document_id"]: hit["chunk_id"] for hit in reversed(ungrouped)}
    assert {hit["document_id"]: hit["chunk_id"] for hit in grouped} == best


def test_a_hit_of_a_pdf_says_its_page_and_where_on_it(server: RunningServer) -> None:
    name = server.collection("located")
    server.finished(
        server.send_file(name, "two.pdf", pdf("Nothing to see on this page.", "The pendulum swings in the cellar."))
    )
    locator = search(server, query="pendulum cellar", collections=[name])["hits"][0]["locator"]
    assert 2 in locator["pages"]
    boxes = [box for box in locator["boxes"] if box["page"] == 2]
    assert boxes
    assert all(0 <= box["x0"] < box["x1"] and 0 <= box["y0"] < box["y1"] for box in boxes)
    assert (locator["slide"], locator["sheet"], locator["row_start"], locator["part"]) == (None, None, None, None)


def test_filters_narrow_what_is_found(server: RunningServer, planets: str) -> None:
    def found(condition: dict[str, Any]) -> set[str]:
        hits = search(server, query="planet", collections=[planets], top_k=100, filter=condition)["hits"]
        return {hit["external_id"] for hit in hits}

    everything = set(PLANETS)
    assert found({}) == everything
    assert found({"metadata.order": 2}) == {"venus"}
    assert found({"metadata.order": {"$gt": 1, "$lte": 3}}) == {"venus", "mars"}
    assert found({"metadata.order": {"$in": [1, 5, 9]}}) == {"mercury", "saturn"}
    assert found({"metadata.order": {"$nin": [1, 5]}}) == {"venus", "mars", "jupiter"}
    assert found({"metadata.tags": {"$contains": "mars"}}) == {"mars"}
    assert found({"title": {"$contains": "TUR"}}) == {"saturn"}
    assert found({"$or": [{"external_id": "mars"}, {"metadata.order": {"$lt": 2}}]}) == {"mars", "mercury"}
    assert found({"$not": {"metadata.order": {"$gte": 2}}}) == {"mercury"}
    assert found({"metadata.absent": {"$exists": False}}) == everything
    assert found({"metadata.absent": {"$exists": True}}) == set()
    assert found({"media_type": "text/plain", "created_at": {"$gt": "2020-01-01"}}) == everything
    assert found({"pages": {"$gte": 1}}) == set()


def test_the_list_and_search_agree_on_every_filter(server: RunningServer, planets: str) -> None:
    for condition in (
        {"metadata.order": {"$ne": 3}},
        {"metadata.tags": {"$in": ["mars", "venus"]}},
        {"$and": [{"title": {"$contains": "e"}}, {"metadata.order": {"$lte": 4}}]},
        {"metadata.tags": "jupiter"},
        {"created_at": {"$lt": "0001-01-01T00:00:00+23:59"}},
    ):
        hits = search(server, query="planet", collections=[planets], top_k=100, filter=condition)["hits"]
        listed = server.documents(collection=planets, filter=json.dumps(condition))
        assert {hit["document_id"] for hit in hits} == {document["id"] for document in listed}, condition


def test_a_wrong_filter_is_a_422_that_points_at_it(server: RunningServer) -> None:
    for condition, pointer in (
        ({"metadata.year": {"$gte": "soon"}}, "/filter/metadata.year/$gte"),
        ({"metadata.year": {"$near": 1}}, "/filter/metadata.year/$near"),
        ({"colour": "red"}, "/filter/colour"),
        ({"$or": []}, "/filter/$or"),
        ({"$or": [{"title": "a"}, {"pages": "b"}]}, "/filter/$or/1/pages"),
        ({"title": {"$in": ["a", 7]}}, "/filter/title/$in/1"),
        ({"metadata.x": None}, "/filter/metadata.x"),
        ({"metadata.a/b": 1}, "/filter/metadata.a~1b"),
        ({"created_at": {"$gt": 5}}, "/filter/created_at/$gt"),
    ):
        reply = server.http.post("/v1/search", json={"query": "x", "filter": condition})
        assert pointers(assert_problem(reply, 422, "invalid_filter")) == [pointer]
    reply = server.http.post("/v1/search", json={"query": "x", "filter": [1]})
    assert pointers(assert_problem(reply, 422, "invalid_request")) == ["/filter"]


def test_numbers_out_of_range_and_wrong_types_are_refused_with_a_pointer(server: RunningServer) -> None:
    for field, value in (
        ("top_k", -1),
        ("top_k", 0),
        ("top_k", 101),
        ("top_k", "ten"),
        ("top_k", 2.5),
        ("top_k", True),
        ("mode", "fuzzy"),
        ("group_by", "chunk"),
        ("explain", "yes"),
        ("collections", "planets"),
        ("query", 7),
        ("query", ""),
        ("query", "   "),
        ("query", "x" * 10_001),
        ("limit", 3),
    ):
        reply = server.http.post("/v1/search", json={"query": "x", field: value})
        assert pointers(assert_problem(reply, 422, "invalid_request")) == [f"/{field}"], (field, value)
    assert pointers(assert_problem(server.http.post("/v1/search", json={}), 422, "invalid_request")) == ["/query"]


def test_an_unknown_collection_is_a_404_also_beside_a_known_one(server: RunningServer, planets: str) -> None:
    for names in (["nowhere"], [planets, "nowhere"]):
        problem = assert_problem(
            server.http.post("/v1/search", json={"query": "x", "collections": names}), 404, "not_found"
        )
        assert "nowhere" in problem["detail"]


def test_without_collections_everything_readable_is_searched(server: RunningServer, planets: str) -> None:
    assert any(hit["collection"] == planets for hit in search(server, query="sulphuric acid clouds")["hits"])


def test_an_empty_collection_has_no_hits(server: RunningServer) -> None:
    assert search(server, query="anything", collections=[server.collection("void")])["hits"] == []


def test_odd_queries_are_answered(server: RunningServer, planets: str) -> None:
    for query in ("𝄞" * 50, "a\u0000b", "؟؟؟", "!!!", "\n\tplanet\n", "x" * 10_000, "planet " * 1_000):
        assert "hits" in search(server, query=query, collections=[planets])


def test_half_a_surrogate_pair_breaks_nothing_wherever_it_stands(server: RunningServer, planets: str) -> None:
    headers = {"content-type": "application/json"}
    for body in (
        b'{"query": "\\ud800"}',
        b'{"query": "x", "filter": {"title": "\\ud800"}}',
        b'{"query": "x", "filter": {"metadata.a": {"$in": ["\\udfff"]}}}',
    ):
        reply = server.http.post("/v1/search", content=body, headers=headers)
        assert reply.status_code == 422 or reply.json()["hits"] == [], reply.text
    listed = server.http.get("/v1/documents", params={"filter": '{"title": "\\ud800"}'})
    assert listed.status_code == 422 or listed.json()["data"] == [], listed.text


def test_a_narrowed_reader_list_is_shown_at_once_and_the_document_stays_the_administrators(
    server: RunningServer, planets: str
) -> None:
    document = server.searchable(planets, "The readers of this sentence about quasars will be fewer.")
    reply = server.http.patch(f"/v1/documents/{document['id']}", json={"readers": []})
    assert reply.json()["readers"] == []
    eventually(lambda: server.hits("quasars", collections=[planets])[0]["document_id"] == document["id"], within_s=5)

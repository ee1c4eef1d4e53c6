"""Many documents are deleted or reprocessed with one call."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.made_files import truncated_word
from tests.running import RunningServer, eventually
from tests.wire_checks import assert_problem, pointers

Json = dict[str, Any]
COUNT = 4


def decide(server: RunningServer, decision: str, **body: Any) -> dict[str, int]:
    reply = server.http.post(f"/v1/documents:{decision}", json=body)
    assert reply.status_code == 202, reply.text
    found: dict[str, int] = reply.json()
    return found


def ships(server: RunningServer, collection: str) -> list[Json]:
    """A collection of searchable documents, one for each year from 2020 on."""
    server.collection(collection)
    sent = [
        server.send_text(
            collection, f"The ship of {2020 + n} sails at dawn.", external_id=f"s{n}", metadata={"year": 2020 + n}
        )
        for n in range(COUNT)
    ]
    return [server.finished(document) for document in sent]


def shown(server: RunningServer, document: Json) -> Json:
    found: Json = server.http.get(f"/v1/documents/{document['id']}").json()
    return found


def standing(documents: list[Json]) -> list[tuple[Any, ...]]:
    return [tuple(one[name] for name in ("version", "live_version", "state", "updated_at")) for one in documents]


def found_in(server: RunningServer, collection: str) -> set[str]:
    return {hit["external_id"] for hit in server.hits("ship at dawn", collections=[collection], top_k=50)}


@pytest.mark.parametrize("decision", ["delete", "reprocess"])
def test_a_dry_run_counts_and_changes_nothing(server: RunningServer, decision: str) -> None:
    collection = f"dry-{decision}"
    documents = ships(server, collection)
    found = decide(server, decision, collection=collection, filter={"metadata.year": {"$gt": 2020}}, dry_run=True)
    assert found == {"matched": COUNT - 1, "accepted": 0}
    assert standing([shown(server, document) for document in documents]) == standing(documents)


def test_documents_are_deleted_by_filter_and_search_stops_at_once(server: RunningServer) -> None:
    documents = ships(server, "fleet")
    beside = ships(server, "fleet-beside")
    condition = {"$or": [{"metadata.year": {"$gte": 2022}}, {"external_id": "s0"}]}
    listed = server.documents(collection="fleet", filter=json.dumps(condition))
    assert decide(server, "delete", collection="fleet", filter=condition) == {"matched": 3, "accepted": 3}
    assert found_in(server, "fleet") == {"s1"}
    assert {one["external_id"] for one in listed} == {"s0", "s2", "s3"}
    assert [server.finished(document)["state"] for document in documents] == [
        "deleted", "searchable", "deleted", "deleted",
    ]  # fmt: skip
    assert decide(server, "delete", collection="fleet", filter=condition) == {"matched": 0, "accepted": 0}
    assert decide(server, "delete", collection="fleet", filter={}) == {"matched": 1, "accepted": 1}
    assert {shown(server, document)["state"] for document in beside} == {"searchable"}


def test_more_than_max_is_refused_and_nothing_is_deleted(server: RunningServer) -> None:
    documents = ships(server, "bounded")
    for dry_run in (True, False):
        body = {"collection": "bounded", "filter": {}, "max": COUNT - 1, "dry_run": dry_run}
        problem = assert_problem(server.http.post("/v1/documents:delete", json=body), 409, "conflict")
        assert str(COUNT) in problem["detail"]
    assert standing([shown(server, document) for document in documents]) == standing(documents)
    assert decide(server, "delete", collection="bounded", filter={}, max=COUNT)["accepted"] == COUNT
    assert decide(server, "delete", collection="bounded", filter={}, max=0) == {"matched": 0, "accepted": 0}


def test_more_than_a_portion_is_deleted_with_one_call(server: RunningServer) -> None:
    server.collection("crowd")
    texts = [{"text": f"Sailor number {n} signs on.", "metadata": {"even": n % 2 == 0}} for n in range(450)]
    reply = server.http.post("/v1/collections/crowd/documents:batch", json={"documents": texts})
    assert reply.status_code == 202
    found = decide(server, "delete", collection="crowd", filter={"metadata.even": True}, max=225)
    assert found == {"matched": 225, "accepted": 225}
    assert decide(server, "delete", collection="crowd", filter={}) == {"matched": 225, "accepted": 225}


def test_documents_are_reprocessed_and_the_old_versions_stay_live_meanwhile(server: RunningServer) -> None:
    documents = ships(server, "reprocessed")
    found = decide(server, "reprocess", collection="reprocessed", filter={"metadata.year": {"$lt": 2022}})
    assert found == {"matched": 2, "accepted": 2}
    assert found_in(server, "reprocessed") == {"s0", "s1", "s2", "s3"}
    after = [server.finished(document) for document in documents]
    assert [(one["state"], one["version"], one["live_version"]) for one in after] == [
        ("searchable", 2, 2), ("searchable", 2, 2), ("searchable", 1, 1), ("searchable", 1, 1),
    ]  # fmt: skip
    assert decide(server, "reprocess", collection="reprocessed") == {"matched": COUNT, "accepted": COUNT}
    assert [server.finished(document)["version"] for document in documents] == [3, 3, 2, 2]


@pytest.mark.parametrize("decision", ["delete", "reprocess"])
def test_a_call_that_is_sent_again_under_its_key_happens_once(server: RunningServer, decision: str) -> None:
    documents = ships(server, f"keyed-{decision}")
    headers = {"Idempotency-Key": f"many-{decision}"}
    body = {"collection": f"keyed-{decision}", "filter": {"metadata.year": 2020}}
    first, again = (server.http.post(f"/v1/documents:{decision}", json=body, headers=headers) for _ in range(2))
    assert (first.status_code, first.json()) == (202, {"matched": 1, "accepted": 1})
    assert (again.status_code, again.content) == (202, first.content)
    assert again.headers["idempotency-replayed"] == "true"
    assert [server.finished(document)["version"] for document in documents] == [2, 1, 1, 1]
    other = server.http.post(f"/v1/documents:{decision}", json={**body, "filter": {}}, headers=headers)
    assert_problem(other, 422, "invalid_request")


def test_what_failed_is_reprocessed_and_what_was_never_stored_is_not_accepted(server: RunningServer) -> None:
    server.collection("unlucky")
    failed = server.finished(server.send_file("unlucky", "half.docx", truncated_word()))
    assert failed["state"] == "failed"
    empty = server.drop / "unlucky" / "empty.txt"
    empty.parent.mkdir(parents=True, exist_ok=True)
    empty.write_bytes(b"")
    eventually(lambda: len(server.documents(collection="unlucky")) == 2)
    assert decide(server, "reprocess", collection="unlucky") == {"matched": 2, "accepted": 1}
    again = server.finished(failed)
    assert (again["version"], again["state"], again["code"]) == (2, "failed", "damaged")
    [refused] = [one for one in server.documents(collection="unlucky") if one["code"] == "empty_file"]
    assert refused["version"] == 1


@pytest.mark.parametrize("decision", ["delete", "reprocess"])
def test_what_is_no_selection_is_refused_and_says_where(server: RunningServer, decision: str) -> None:
    server.collection(f"asked-{decision}")
    path = f"/v1/documents:{decision}"
    good = {"collection": f"asked-{decision}", "filter": {}}
    assert_problem(server.http.post(path, json={**good, "collection": "nowhere"}), 404, "not_found")
    for pointer, change in (
        ("/collection", {"collection": "No Such Name"}),
        ("/collection", {"collection": None}),
        ("/filter", {"filter": "year > 2020"}),
        ("/dry_run", {"dry_run": "yes"}),
        ("/documents", {"documents": ["a"]}),
    ):
        problem = assert_problem(server.http.post(path, json={**good, **change}), 422, "invalid_request")
        assert pointers(problem) == [pointer]
    wrong = assert_problem(
        server.http.post(path, json={**good, "filter": {"metadata.a": {"$near": 1}}}), 422, "invalid_filter"
    )
    assert pointers(wrong) == ["/filter/metadata.a/$near"]


def test_a_delete_says_what_it_is_of_and_a_bound_that_is_none_is_refused(server: RunningServer) -> None:
    server.collection("unsaid")
    for pointer, body in (
        ("/filter", {"collection": "unsaid"}),
        ("/filter", {"collection": "unsaid", "filter": None}),
        ("/collection", {"filter": {}}),
        ("/max", {"collection": "unsaid", "filter": {}, "max": -1}),
        ("/max", {"collection": "unsaid", "filter": {}, "max": "9"}),
    ):
        problem = assert_problem(server.http.post("/v1/documents:delete", json=body), 422, "invalid_request")
        assert pointers(problem) == [pointer]

"""A POST that is sent again under its Idempotency-Key: the same reply, and nothing twice."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import httpx2
import pytest

from tests.running import RunningServer
from tests.wire_checks import assert_problem


@pytest.fixture(scope="module")
def collection(server: RunningServer) -> str:
    server.collection("again")
    return "again"


def keyed(key: str | None = None) -> dict[str, str]:
    return {"Idempotency-Key": key or uuid4().hex}


def uploads(collection: str, text: str) -> dict[str, tuple[str, Mapping[str, Any]]]:
    """Every way of sending it, as path and body."""
    documents = f"/v1/collections/{collection}/documents"
    named = {"external_id": f"id-{text}"}
    return {
        "file": (documents, {"files": {"file": ("a.txt", text.encode())}, "data": named}),
        "text": (documents, {"json": {"text": text, **named}}),
        "batch": (f"{documents}:batch", {"json": {"documents": [{"text": text, **named}, {"text": ""}]}}),
    }


@pytest.mark.parametrize("way", ["file", "text", "batch"])
def test_the_same_upload_again_gets_the_same_reply_and_makes_no_version(
    server: RunningServer, collection: str, way: str
) -> None:
    path, body = uploads(collection, f"An otter, {way}.")[way]
    headers = keyed()
    first = server.http.post(path, headers=headers, **body)
    assert first.status_code == 202, first.text
    one = first.json()["data"][0] if way == "batch" else first.json()
    # A newer version in between: sent without a key, the older content would become the newest again.
    newer, newer_body = uploads(collection, f"An otter, {way}.")["text"]
    newer_body["json"]["text"] = f"Another otter, {way}."
    assert server.http.post(newer, **newer_body).json()["version"] == 2
    again = server.http.post(path, headers=headers, **body)
    assert (again.status_code, again.content) == (202, first.content)
    assert (again.headers.get("idempotency-replayed"), first.headers.get("idempotency-replayed")) == ("true", None)
    assert server.http.get(f"/v1/documents/{one['id']}").json()["version"] == 2


@pytest.mark.parametrize("way", ["file", "text", "batch"])
def test_another_body_under_the_same_key_is_refused(server: RunningServer, collection: str, way: str) -> None:
    headers = keyed()
    path, body = uploads(collection, f"A heron, {way}.")[way]
    assert server.http.post(path, headers=headers, **body).status_code == 202
    _, other = uploads(collection, f"An egret, {way}.")[way]
    problem = assert_problem(server.http.post(path, headers=headers, **other), 422, "invalid_request")
    assert problem["errors"][0]["pointer"] == "/Idempotency-Key"


def test_what_was_refused_may_be_mended_and_sent_again_under_its_key(server: RunningServer, collection: str) -> None:
    headers = keyed()
    path, body = uploads(collection, "A bittern.")["text"]
    missing = server.http.post(path.replace("again", "nowhere"), headers=headers, **body)
    assert_problem(missing, 404, "not_found")
    assert_problem(server.http.post(path, headers=headers, json={"text": ""}), 422, "empty_file")
    assert server.http.post(path, headers=headers, **body).status_code == 202


def test_the_same_request_many_times_at_once_is_done_once(server: RunningServer, collection: str) -> None:
    """Each gets the one reply, or is told that it is at work."""
    document = server.send_text(collection, "A tern to reprocess.", external_id="tern")
    path, headers = f"/v1/documents/{document['id']}:reprocess", keyed()
    server.finished(document["id"])

    def ask(_: int) -> httpx2.Response:
        return server.http.post(path, headers=headers)

    with ThreadPoolExecutor(8) as pool:
        replies = list(pool.map(ask, range(8)))
    for reply in replies:
        if reply.status_code == 409:
            problem = assert_problem(reply, 409, "request_running")
            assert problem["retryable"]
            assert int(reply.headers["retry-after"]) >= 1
    done = {reply.content for reply in replies if reply.status_code == 202}
    assert len(done) == 1
    assert server.finished(document["id"])["version"] == 2
    assert server.http.post(path, headers=headers).content in done


def test_one_key_on_two_routes_is_two_requests(server: RunningServer, collection: str) -> None:
    headers = keyed()
    path, body = uploads(collection, "A wigeon.")["text"]
    assert server.http.post(path, headers=headers, **body).status_code == 202
    bulk = server.http.post("/v1/dead-letters:redrive", headers=headers, json={"dry_run": True})
    assert bulk.status_code == 202
    assert server.http.post("/v1/dead-letters:redrive", headers=headers, json={"dry_run": True}).content == bulk.content


@pytest.mark.parametrize("key", ["", "x" * 256, "tab\there"])
def test_a_key_that_is_none_is_refused(server: RunningServer, collection: str, key: str) -> None:
    path, body = uploads(collection, "A smew.")["text"]
    problem = assert_problem(server.http.post(path, headers={"Idempotency-Key": key}, **body), 422, "invalid_request")
    assert problem["errors"][0]["pointer"] == "/Idempotency-Key"

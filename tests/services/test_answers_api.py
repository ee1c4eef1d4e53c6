"""Answers and summaries over HTTP, whole and as server-sent events."""

from __future__ import annotations

import json
import re
from typing import Any

import httpx2
import pytest

from tests.running import RunningServer
from tests.wire_checks import assert_problem, pointers

ANSWER_FIELDS = {"answer", "citations", "abstained", "dropped", "generator", "usage"}
SUMMARY_FIELDS = {"summary", "citations", "coverage", "dropped", "generator", "usage"}
CITATION_FIELDS = {"marker", "chunk_id", "document_id", "title", "locator", "quote"}
TEXT = (
    "The Kestrel boiler must be descaled every 400 hours. Descaling takes forty minutes and needs two litres of "
    "citric acid solution.\n\nThe pressure valve opens at 3.2 bar. A valve that opens earlier must be replaced.\n\n"
    "The guarantee of the Kestrel boiler is five years from the day of purchase."
)
QUESTION = "How often must the Kestrel boiler be descaled?"


@pytest.fixture(scope="module")
def manual(server: RunningServer) -> dict[str, Any]:
    server.collection("manuals")
    return server.searchable("manuals", TEXT, title="Kestrel manual", metadata={"kind": "manual"})


def events_of(reply: httpx2.Response) -> list[tuple[str, dict[str, Any]]]:
    assert reply.status_code == 200, reply.text
    assert reply.headers["content-type"].startswith("text/event-stream")
    found = []
    for block in reply.text.strip().split("\n\n"):
        name, data = block.split("\n")
        found.append((name.removeprefix("event: "), json.loads(data.removeprefix("data: "))))
    return found


def assert_cited(server: RunningServer, text: str, citations: list[dict[str, Any]]) -> None:
    """Markers in the text and citations are the same, and every quote is verbatim in its chunk."""
    assert {int(marker) for marker in re.findall(r"\[(\d+)\]", text)} == {one["marker"] for one in citations}
    for citation in citations:
        assert set(citation) == CITATION_FIELDS
        chunk = server.http.get(f"/v1/chunks/{citation['chunk_id']}").json()
        assert citation["quote"]
        assert citation["quote"] in chunk["text"]
        assert citation["document_id"] == chunk["document_id"]


def test_an_answer_is_cited_and_every_quote_is_verbatim(server: RunningServer, manual: dict[str, Any]) -> None:
    reply = server.http.post("/v1/answers", json={"question": QUESTION, "collections": ["manuals"]})
    assert reply.status_code == 200
    shown = reply.json()
    assert set(shown) == ANSWER_FIELDS
    assert shown["abstained"] is False
    assert "400 hours" in shown["answer"]
    assert shown["citations"]
    assert_cited(server, shown["answer"], shown["citations"])
    assert shown["citations"][0]["document_id"] == manual["id"]
    assert shown["citations"][0]["title"] == "Kestrel manual"
    assert shown["dropped"] == []
    assert shown["generator"]
    assert set(shown["usage"]) == {"prompt_tokens", "completion_tokens", "calls"}


@pytest.mark.usefixtures("manual")
def test_a_question_that_nothing_answers_is_an_abstention(server: RunningServer) -> None:
    empty = server.collection("no-manuals")
    shown = server.http.post("/v1/answers", json={"question": QUESTION, "collections": [empty]}).json()
    assert shown["abstained"] is True
    assert shown["citations"] == []
    assert shown["answer"]


@pytest.mark.usefixtures("manual")
@pytest.mark.parametrize("asked", ["stream", "accept"])
def test_a_streamed_answer_has_its_events_in_order_and_ends_with_the_whole(server: RunningServer, asked: str) -> None:
    body: dict[str, Any] = {"question": QUESTION, "collections": ["manuals"]}
    headers = {"accept": "text/event-stream"} if asked == "accept" else {}
    if asked == "stream":
        body["stream"] = True
    reply = server.http.post("/v1/answers", json=body, headers=headers)
    assert reply.headers["cache-control"] == "no-store"
    assert "x-request-id" in reply.headers
    events = events_of(reply)
    names = [name for name, _ in events]
    assert names[0] == "search"
    assert names[-1] == "done"
    assert set(names) == {"search", "delta", "citation", "done"}
    assert set(events[0][1]) == {"hits", "took_ms", "timings"}
    whole = events[-1][1]
    assert set(whole) == ANSWER_FIELDS
    assert "".join(data["text"] for name, data in events if name == "delta") == whole["answer"]
    assert [data for name, data in events if name == "citation"] == whole["citations"]
    assert_cited(server, whole["answer"], whole["citations"])


@pytest.mark.usefixtures("manual")
def test_what_the_body_says_of_streaming_wins_and_a_quality_of_nothing_is_no_wish(server: RunningServer) -> None:
    question = {"question": QUESTION, "collections": ["manuals"]}
    summary = {"collection": "manuals"}
    for path, body in (("/v1/answers", question), ("/v1/summaries", summary)):
        for accept, extra in (
            ("text/event-stream", {"stream": False}),
            ("text/event-stream;q=0", {}),
            ("*/*", {}),
            ("application/json, text/event-stream;q=0.5", {}),
        ):
            reply = server.http.post(path, json={**body, **extra}, headers={"accept": accept})
            assert reply.headers["content-type"] == "application/json", (path, accept)
            assert reply.json()["citations"]
        streamed = server.http.post(path, json={**body, "stream": True}, headers={"accept": "application/json"})
        assert events_of(streamed)[-1][0] == "done"


def test_what_is_wrong_with_a_streamed_request_is_a_problem_before_the_stream(server: RunningServer) -> None:
    for body in ({"question": " "}, {"question": "x", "top_k": -1}, {"question": "x", "lenght": "short"}):
        assert_problem(server.http.post("/v1/answers", json={**body, "stream": True}), 422, "invalid_request")
    bad = {"question": "x", "filter": {"title": {"$gt": 1}}, "stream": True}
    assert pointers(assert_problem(server.http.post("/v1/answers", json=bad), 422, "invalid_filter")) == [
        "/filter/title/$gt"
    ]
    unknown = {"question": "x", "collections": ["nowhere"], "stream": True}
    assert_problem(server.http.post("/v1/answers", json=unknown), 404, "not_found")


def test_filters_hold_for_answers(server: RunningServer, manual: dict[str, Any]) -> None:
    def cited(condition: dict[str, Any]) -> set[str]:
        body = {"question": QUESTION, "collections": ["manuals"], "filter": condition}
        return {one["document_id"] for one in server.http.post("/v1/answers", json=body).json()["citations"]}

    assert cited({"metadata.kind": "manual"}) == {manual["id"]}
    assert cited({"metadata.kind": "novel"}) == set()


def test_a_summary_covers_the_documents_named(server: RunningServer, manual: dict[str, Any]) -> None:
    for body in (
        {"documents": [manual["id"]]},
        {"collection": "manuals"},
        {"collection": "manuals", "filter": {"metadata.kind": "manual"}},
        {"filter": {"title": "Kestrel manual"}, "length": "short"},
        {"documents": [manual["id"]], "query": "guarantee", "length": "long"},
    ):
        reply = server.http.post("/v1/summaries", json=body)
        assert reply.status_code == 200, reply.text
        shown = reply.json()
        assert set(shown) == SUMMARY_FIELDS
        assert shown["coverage"] == {"documents": 1, "chunks_used": 1, "chunks_total": 1}
        assert shown["citations"]
        assert_cited(server, shown["summary"], shown["citations"])


def test_a_streamed_summary_ends_with_the_whole(server: RunningServer, manual: dict[str, Any]) -> None:
    events = events_of(server.http.post("/v1/summaries", json={"documents": [manual["id"]], "stream": True}))
    names = [name for name, _ in events]
    assert names[-1] == "done"
    assert set(names) == {"search", "delta", "citation", "done"}
    whole = events[-1][1]
    assert set(whole) == SUMMARY_FIELDS
    assert "".join(data["text"] for name, data in events if name == "delta") == whole["summary"]


def test_a_summary_must_be_told_of_what(server: RunningServer, manual: dict[str, Any]) -> None:
    bodies: list[dict[str, Any]] = [
        {},
        {"query": "x"},
        {"documents": []},
        {"documents": [manual["id"]], "collection": "manuals"},
        {"collection": "manuals", "length": "epic"},
        {"collection": "manuals", "query": ""},
    ]
    for body in bodies:
        assert_problem(server.http.post("/v1/summaries", json=body), 422, "invalid_request")
    for body in ({"documents": ["nobody"]}, {"collection": "nowhere"}):
        assert_problem(server.http.post("/v1/summaries", json=body), 404, "not_found")
    failed = server.finished(server.send_file("manuals", "n.pdf", b"%PDF-1.7 n"))
    assert_problem(server.http.post("/v1/summaries", json={"documents": [failed["id"]]}), 404, "not_found")

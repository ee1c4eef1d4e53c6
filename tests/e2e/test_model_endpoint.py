"""Answers and summaries from a model behind an OpenAI-compatible endpoint, through the whole server."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.running import RunningServer
from tests.summarize.scripted_openai import Mode, ScriptedOpenAI, scripted_openai
from tests.wire_checks import assert_problem

FACT = "The warranty of the Otter pump is 24 months from delivery."
QUESTION = "How long is the warranty of the Otter pump?"


@pytest.fixture(scope="module")
def endpoint() -> Iterator[ScriptedOpenAI]:
    with scripted_openai() as running:
        yield running


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, endpoint: ScriptedOpenAI) -> Iterator[RunningServer]:
    server = RunningServer(
        tmp_path_factory.mktemp("model"),
        environment={
            "RAGSTONE_GENERATOR__BASE_URL": endpoint.base_url,
            "RAGSTONE_GENERATOR__MODEL": "scripted",
            "RAGSTONE_GENERATOR__STALL_S": "1",
            "RAGSTONE_GENERATOR__CONTEXT_TOKENS": "2000",
            "RAGSTONE_GENERATOR__MAX_OUTPUT_TOKENS": "256",
        },
    )
    try:
        server.start()
        server.collection("manuals")
        server.searchable("manuals", FACT, external_id="pump", title="Otter pump")
        yield server
        assert server.stop() == 0, server.printed
    finally:
        server.end()


@pytest.fixture(autouse=True)
def _well_behaved(endpoint: ScriptedOpenAI) -> None:
    endpoint.script.mode = Mode.OK
    endpoint.script.text = f"{FACT} [1]"
    endpoint.script.requests.clear()


def _events(server: RunningServer, body: dict[str, Any]) -> list[tuple[str, Any]]:
    events = []
    with server.http.stream("POST", "/v1/answers", json={**body, "stream": True}) as reply:
        name = ""
        for line in reply.iter_lines():
            if line.startswith("event: "):
                name = line.removeprefix("event: ")
            elif line.startswith("data: "):
                events.append((name, json.loads(line.removeprefix("data: "))))
    return events


def test_the_models_answer_is_cited_and_says_who_wrote_it(served: RunningServer, endpoint: ScriptedOpenAI) -> None:
    shown = served.http.post("/v1/answers", json={"question": QUESTION}).json()
    assert shown["generator"] == "openai:scripted"
    assert shown["answer"].startswith("The warranty of the Otter pump is 24 months")
    assert [citation["quote"] for citation in shown["citations"]] == [FACT]
    assert FACT in json.dumps(endpoint.script.requests[-1]["messages"])


def test_an_invented_citation_and_an_invented_number_are_dropped_and_reported(
    served: RunningServer, endpoint: ScriptedOpenAI
) -> None:
    endpoint.script.text = f"{FACT} [1] It also covers rust [7]. The warranty of the Otter pump is 36 months [1]."
    shown = served.http.post("/v1/answers", json={"question": QUESTION}).json()
    assert "rust" not in shown["answer"]
    assert "36" not in shown["answer"]
    assert {dropped["reason"] for dropped in shown["dropped"]} >= {"invented_marker", "number_not_in_passage"}
    assert [citation["marker"] for citation in shown["citations"]] == [1]


def test_a_model_that_forgets_its_citations_is_an_abstention(served: RunningServer, endpoint: ScriptedOpenAI) -> None:
    endpoint.script.text = "It is 24 months, trust me."
    shown = served.http.post("/v1/answers", json={"question": QUESTION}).json()
    assert (shown["abstained"], shown["citations"]) == (True, [])


@pytest.mark.parametrize("mode", [Mode.STALL, Mode.BROKEN_STREAM, Mode.MALFORMED_JSON, Mode.STATUS])
def test_a_model_in_trouble_is_a_503_and_an_error_event(
    served: RunningServer, endpoint: ScriptedOpenAI, mode: Mode
) -> None:
    endpoint.script.mode, endpoint.script.status = mode, 500
    reply = served.http.post("/v1/answers", json={"question": QUESTION})
    assert_problem(reply, 503, "generator_unavailable")
    assert reply.headers["retry-after"]
    *_, (name, problem) = _events(served, {"question": QUESTION})
    assert (name, problem["code"]) == ("error", "generator_unavailable")
    # Nothing is stuck: the permits are back, and search never noticed.
    assert served.hits("otter pump")


def test_material_beyond_the_context_is_mapped_and_reduced(served: RunningServer, endpoint: ScriptedOpenAI) -> None:
    serviced = "The pump of bay {bay} was serviced in week {week} by crew {bay}."
    sections = [serviced.format(bay=bay, week=bay % 50 + 1) for bay in range(400)]
    document = served.searchable("manuals", "\n\n".join(sections), external_id="log", title="Service log")
    endpoint.script.mode = Mode.QUOTING
    endpoint.script.requests.clear()
    shown = served.http.post("/v1/summaries", json={"documents": [document["id"]]}).json()
    assert len(endpoint.script.requests) > 2
    assert len(shown["citations"]) == 3, shown
    assert all(citation["quote"] in sections for citation in shown["citations"])
    served.http.delete(f"/v1/documents/{document['id']}")

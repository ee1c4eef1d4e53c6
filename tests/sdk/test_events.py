"""Streamed answers and summaries, event by event."""

from __future__ import annotations

import asyncio
import json

import pytest

from ragstone import AsyncClient, Client, Retrying
from ragstone.errors import Invalid, NotConnected, Unavailable
from ragstone.events import Cited, Delta, Done, EventReader, Searched
from ragstone.models import Answer, Document, Summary
from tests.running import RunningServer
from tests.sdk.scripted_server import HITS, Reply, ScriptedServer, problem
from tests.sdk.test_client import HARBOUR

QUESTION = "When does the harbour office open?"


@pytest.fixture(scope="module")
def office(server: RunningServer) -> Document:
    with Client(server.url) as client:
        client.collections.create("sdk-events")
        return client.documents.wait(client.documents.upload_text("sdk-events", HARBOUR).id)


def test_an_answer_streams_what_it_becomes(client: Client, office: Document) -> None:
    events = list(client.stream_answer(QUESTION, collections=["sdk-events"]))
    assert isinstance(events[0], Searched)
    assert events[0].reply.hits[0].document_id == office.id
    done = events[-1]
    assert isinstance(done, Done)
    assert isinstance(done.reply, Answer)
    assert "".join(event.text for event in events if isinstance(event, Delta)) == done.reply.answer
    assert [event.citation for event in events if isinstance(event, Cited)] == done.reply.citations != []


def test_a_summary_streams_in_an_event_loop(server: RunningServer, office: Document) -> None:
    async def read() -> Summary:
        async with AsyncClient(server.url) as client:
            events = [event async for event in client.stream_summary(documents=[office.id])]
            done = events[-1]
            assert isinstance(done, Done)
            return done.reply

    assert asyncio.run(read()).coverage.documents == 1


def test_what_is_wrong_with_the_question_is_told_before_the_stream(client: Client) -> None:
    with pytest.raises(Invalid):
        client.stream_answer("")


def test_a_stream_that_is_left_early_ends_its_request(client: Client, office: Document) -> None:
    events = client.stream_answer(QUESTION, collections=["sdk-events"])
    assert isinstance(next(events), Searched)
    events.close()  # type: ignore[attr-defined]
    assert client.answer(QUESTION, collections=["sdk-events"]).citations


def test_a_busy_server_is_asked_again_for_a_stream(scripted: ScriptedServer) -> None:
    busy = Reply(503, problem(503, "overloaded", retryable=True), {"Retry-After": "0"})
    scripted.replies = [busy, Reply(200, f"event: search\ndata: {HITS_JSON}\n\nevent: x\ndata: {{}}\n\n".encode())]
    with Client(scripted.url, retrying=Retrying(first_s=0.01)) as client:
        events = client.stream_answer(QUESTION)
        assert isinstance(next(events), Searched)
        with pytest.raises(NotConnected, match="before it was whole"):
            next(events)
    assert len(scripted.asked) == 2
    assert scripted.asked[0].body.endswith(b'"stream":true}')


def test_an_error_in_the_stream_is_raised_with_its_problem() -> None:
    reader = EventReader(Answer)
    assert list(reader.read("event: error")) == []
    said = problem(503, "generator_unavailable", retryable=True)
    assert list(reader.read(f"data: {json.dumps(said)}")) == []
    with pytest.raises(Unavailable, match="generator_unavailable"):
        list(reader.read(""))


def test_comments_and_data_of_many_lines_are_read() -> None:
    reader = EventReader(Answer)
    lines = [": a comment", "", "event: delta", 'data: {"text":', 'data: "a"}', ""]
    assert [event for line in lines for event in reader.read(line)] == [Delta("a")]
    assert not reader.whole


HITS_JSON = json.dumps(HITS)

"""Routes of answers and summaries, plain and as server-sent events."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import ExitStack, closing
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response

from ingest import chunk_file
from ragstone import models as wire
from retrieval.documents import Document
from retrieval.errors import InvalidRequest, NotFound
from retrieval.principal import Principal
from retrieval.search import Query, SearchResult
from services.http import shown
from services.http.door import Door
from services.http.house import Home, House, Searching, readable_collection
from services.http.negotiation import wants_events
from services.http.problems import problem_of
from services.http.search_api import checked_text, condition_of
from services.http.streaming import Event, Events, EventStream
from summarize.answers import Answer, AnswerDone
from summarize.citations import Citation, Dropped
from summarize.generation import GenerationUsage, Length
from summarize.material import Material
from summarize.summaries import Summary, SummaryDone
from summarize.transcript import Cited, Delta

router = APIRouter(prefix="/v1", route_class=Door, tags=["answers and summaries"])

# Documents that one summary reads at most; the coverage says how many it read.
MAX_DOCUMENTS = 100
_STREAM = {"schema": {"type": "string", "description": "events search, delta, citation, done, error"}}
_EVENTS: dict[int | str, dict[str, Any]] = {200: {"content": {"text/event-stream": _STREAM}}}


class TextDelta(wire.Reply):
    text: str


@router.post("/answers", operation_id="create_answer", response_model=wire.Answer, responses=_EVENTS)
def answer(body: wire.AnswerRequest, request: Request, principal: Searching, house: Home) -> Response:
    """An answer from what search finds, every sentence cited and verified, or an abstention."""
    checked_text(house, body.question, "question")
    return _reply(_answering(house, principal, body), request, house, body)


@router.post("/summaries", operation_id="create_summary", response_model=wire.Summary, responses=_EVENTS)
def summary(body: wire.SummaryRequest, request: Request, principal: Searching, house: Home) -> Response:
    """A summary of one document, several, or a collection, on a question if one is given."""
    if body.query is not None:
        checked_text(house, body.query, "query")
    documents = _documents(house, principal, body)
    return _reply(_summarizing(house, principal, body, documents), request, house, body)


def _reply(events: Events, request: Request, house: House, body: wire.AnswerRequest | wire.SummaryRequest) -> Response:
    with ExitStack() as held:
        held.enter_context(house.summary.permits.one())
        house.noted_query()
        events = _begun(events)
        if wants_events(request.headers, stream=body.stream if "stream" in body.model_fields_set else None):
            request_id = request.state.request_id
            return EventStream(
                events,
                held=held.pop_all(),
                problem=lambda error: problem_of(error, request_id),
                limiter=request.app.state.stream_limiter,
            )
        *_, (_, done) = events
    return Response(done.model_dump_json(), media_type="application/json")


def _begun(events: Events) -> Events:
    """The same events, the first one made already: what is wrong with a request is a problem and not a stream."""
    first = next(events)

    def resumed() -> Events:
        with closing(events):
            yield first
            yield from events

    return resumed()


# --- answers ---


def _answering(house: House, principal: Principal, body: wire.AnswerRequest) -> Events:
    started = time.perf_counter()
    query = Query(
        text=body.question,
        collections=None if body.collections is None else tuple(body.collections),
        condition=condition_of(body.filter),
        top_k=body.top_k,
    )
    result = house.summary.searcher.search(principal, query)
    yield "search", shown.search_reply(result, explain=False, took_ms=(time.perf_counter() - started) * 1000)
    material = _found(result)
    for event in house.summary.answerer.answer(body.question, material, Length(body.length)):
        match event:
            case AnswerDone(done):
                yield "done", _shown_answer(done)
            case _:
                yield _progress(event)


def _found(result: SearchResult) -> list[Material]:
    return [
        Material(hit.chunk.id, hit.document_id, hit.title, hit.chunk.text, hit.chunk.locator, hit.score)
        for hit in result.hits
    ]


# --- summaries ---


def _documents(house: House, principal: Principal, body: wire.SummaryRequest) -> list[Document]:
    """The live documents to read, each visible to the principal."""
    if body.documents is not None:
        if body.collection is not None or body.filter is not None:
            raise InvalidRequest("Give documents, or a collection and a filter, not both.", pointer="/documents")
        found = [house.catalogue.documents.get(principal, key) for key in dict.fromkeys(body.documents)]
        missing = next((one for one in found if one.live_version is None), None)
        if missing is not None:
            raise NotFound(f"No version of the document {missing.id} is live.")
        return found
    if body.collection is None and body.filter is None:
        raise InvalidRequest("Say what to summarise: documents, a collection, or a filter.")
    collection = None if body.collection is None else readable_collection(house, principal, body.collection)
    page = house.catalogue.documents.page(
        principal,
        collection_ids=None if collection is None else [collection.id],
        condition=condition_of(body.filter),
        limit=MAX_DOCUMENTS,
    )
    return [document for document in page.items if document.live_version is not None]


def _summarizing(
    house: House, principal: Principal, body: wire.SummaryRequest, documents: Sequence[Document]
) -> Events:
    started = time.perf_counter()
    relevant = _relevant(house, principal, body.query, documents)
    yield "search", shown.search_reply(relevant, explain=False, took_ms=(time.perf_counter() - started) * 1000)
    scores = {hit.chunk.id: hit.score for hit in relevant.hits}
    material = {document.id: _chunks(house, document, scores) for document in documents}
    for event in house.summary.summarizer.summarize(material, body.query, Length(body.length)):
        match event:
            case SummaryDone(done):
                yield "done", _shown_summary(done)
            case _:
                yield _progress(event)


def _relevant(house: House, principal: Principal, question: str | None, documents: Sequence[Document]) -> SearchResult:
    """What search finds for the question in these documents' collections; nothing without a question."""
    if question is None or not documents:
        return SearchResult((), {})
    collections = tuple(sorted({document.collection for document in documents}))
    return house.summary.searcher.search(principal, Query(text=question, collections=collections, top_k=100))


def _chunks(house: House, document: Document, scores: dict[str, float]) -> list[Material]:
    digest = house.catalogue.documents.chunk_file(document)
    if digest is None:
        return []
    file = chunk_file.unpack(house.blobs.read(document.tenant, digest))
    return [
        Material(chunk.id, document.id, document.title, chunk.text, chunk.locator, scores.get(chunk.id, 0.0))
        for chunk in file.chunks
    ]


# --- what is shown ---


def _progress(event: Delta | Cited) -> Event:
    match event:
        case Delta(text):
            return "delta", TextDelta(text=text)
        case Cited(citation):
            return "citation", _shown_citation(citation)


def _shown_answer(done: Answer) -> wire.Answer:
    return wire.Answer(
        answer=done.text,
        citations=[_shown_citation(citation) for citation in done.citations],
        abstained=done.abstained,
        dropped=_shown_dropped(done.dropped),
        generator=done.generator,
        usage=_shown_usage(done.usage),
    )


def _shown_summary(done: Summary) -> wire.Summary:
    return wire.Summary(
        summary=done.text,
        citations=[_shown_citation(citation) for citation in done.citations],
        coverage=wire.Coverage(
            documents=done.coverage.documents,
            chunks_used=done.coverage.chunks_used,
            chunks_total=done.coverage.chunks_total,
        ),
        dropped=_shown_dropped(done.dropped),
        generator=done.generator,
        usage=_shown_usage(done.usage),
    )


def _shown_citation(citation: Citation) -> wire.Citation:
    return wire.Citation(
        marker=citation.marker,
        chunk_id=citation.chunk_id,
        document_id=citation.document_id,
        title=citation.title,
        locator=shown.locator(citation.locator),
        quote=citation.quote,
    )


def _shown_dropped(dropped: Sequence[Dropped]) -> list[wire.Dropped]:
    return [wire.Dropped(reason=str(one.reason), text=one.text) for one in dropped]


def _shown_usage(usage: GenerationUsage) -> wire.Usage:
    return wire.Usage(prompt_tokens=usage.prompt_tokens, completion_tokens=usage.completion_tokens, calls=usage.calls)

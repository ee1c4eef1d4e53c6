"""Commands that ask: search, ask, summarize."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeVar

import click

from ragstone.cli.output import Output
from ragstone.cli.session import EXIT_CODES, NOT_ALL, JsonObject, Session, connected
from ragstone.events import Delta, Done, Event
from ragstone.models import Answer, Citation, Length, Summary
from ragstone.nouns import Mode
from ragstone.places import place_of

M = TypeVar("M", Answer, Summary)

_QUOTED = 240  # characters of a passage: three lines of a terminal

_collections = click.option(
    "-c", "--collection", "collections", multiple=True, help="ask only this one; may be repeated"
)
_filter = click.option("-f", "--filter", "condition", type=JsonObject(), help="the API's filter grammar, as JSON")
_length = click.option("--length", type=click.Choice(["short", "medium", "long"]), help="how long the text may be")


@click.command(epilog=EXIT_CODES)
@click.argument("query")
@_collections
@_filter
@click.option("-k", "--top-k", type=click.IntRange(1, 100), default=10, show_default=True, help="how many hits")
@click.option("--mode", type=click.Choice(["hybrid", "dense", "sparse"]), help="how to search; hybrid unless said")
@click.option("--by-document", is_flag=True, help="each document once, with its best hit")
@connected
def search(
    session: Session,
    query: str,
    collections: Sequence[str],
    condition: Mapping[str, Any] | None,
    top_k: int,
    mode: Mode | None,
    by_document: bool,
) -> int:
    """Shows the passages that fit QUERY best."""
    with session.client() as client:
        reply = client.search(
            query,
            collections=list(collections) or None,
            filter=condition,
            top_k=top_k,
            mode=mode,
            group_by="document" if by_document else None,
        )
    out = session.out
    if out.as_json:
        out.json(reply)
    else:
        for hit in reply.hits:
            out.title(f"{hit.rank}. {hit.title}")
            out.text(f"   {hit.collection} · {place_of(hit.locator)} · document {hit.document_id}", "dim")
            _quote(out, hit.text)
        out.text(f"{len(reply.hits)} hits in {reply.took_ms:.0f} ms", "dim")
    return 0 if reply.hits else NOT_ALL


@click.command(epilog=EXIT_CODES)
@click.argument("question")
@_collections
@_filter
@_length
@connected
def ask(
    session: Session,
    question: str,
    collections: Sequence[str],
    condition: Mapping[str, Any] | None,
    length: Length | None,
) -> int:
    """Answers QUESTION from the documents, every sentence cited."""
    with session.client() as client:
        events = client.stream_answer(question, collections=list(collections) or None, filter=condition, length=length)
        answer = _told(session.out, events)
    _cited(session.out, answer, answer.citations)
    return NOT_ALL if answer.abstained else 0


@click.command(epilog=EXIT_CODES)
@click.argument("documents", nargs=-1, metavar="[DOCUMENT_ID]...")
@click.option("-c", "--collection", help="all of this collection")
@_filter
@click.option("-q", "--query", help="only what they say about this")
@_length
@connected
def summarize(
    session: Session,
    documents: Sequence[str],
    collection: str | None,
    condition: Mapping[str, Any] | None,
    query: str | None,
    length: Length | None,
) -> int:
    """Summarises documents by their ids, or a collection, a filter, or both."""
    if not (documents or collection or condition):
        raise click.UsageError("Say what to summarise: document ids, --collection, or --filter.")
    with session.client() as client:
        events = client.stream_summary(
            documents=list(documents) or None, collection=collection, filter=condition, query=query, length=length
        )
        summary = _told(session.out, events)
    _cited(session.out, summary, summary.citations)
    if not session.out.as_json:
        coverage = summary.coverage
        read = f"read {coverage.chunks_used} of {coverage.chunks_total} chunks of {coverage.documents} documents"
        session.out.text(read, "dim")
    return 0 if summary.citations else NOT_ALL


def _told(out: Output, events: Iterator[Event[M]]) -> M:
    """The whole reply; its text is shown as it comes."""
    for event in events:
        match event:
            case Delta(text) if not out.as_json:
                out.text(text, end="")
            case Done(reply):
                return reply
    raise AssertionError("a stream ends with the whole reply, or with an error")


def _cited(out: Output, reply: Answer | Summary, citations: Sequence[Citation]) -> None:
    if out.as_json:
        out.json(reply)
        return
    out.text()
    for citation in citations:
        out.title(f"[{citation.marker}] {citation.title}")
        out.text(f"   {place_of(citation.locator)} · document {citation.document_id}", "dim")
        _quote(out, citation.quote)


def _quote(out: Output, text: str) -> None:
    out.text(textwrap.indent(textwrap.fill(textwrap.shorten(text, _QUOTED, placeholder=" …"), 100), "   "))

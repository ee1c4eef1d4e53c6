"""Questions to search, answers and summaries."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import httpx2

from tests.leaks.filters import Meaning, random_filter
from tests.leaks.question import Asker, Expectation, Question, status
from tests.leaks.world import COLOURS, SUBJECTS, Leaf

EVENTS = {"Accept": "text/event-stream"}


def search(asker: Asker) -> Question:
    chance, sought = asker.chance, None
    mode, top_k = chance.choice(("hybrid", "dense", "sparse")), chance.choice((1, 5, 10, 100))
    body: dict[str, Any] = {"mode": mode, "top_k": top_k}
    names, meaning = _restriction(asker, body)
    if asker.often(0.6):
        leaf = asker.leaf()
        body["query"] = chance.choice((leaf.in_text, f"what is called {leaf.in_text}", leaf.title, leaf.in_metadata))
        by_its_word = leaf.in_text in body["query"] and (mode == "sparse" or (mode == "hybrid" and top_k > 1))
        unrestricted = not names and "filter" not in body
        if by_its_word and unrestricted and asker.caller.sees(leaf) and not leaf.broken:
            sought = asker.settlement.documents[leaf]
    else:
        body["query"] = f"what happened at the {chance.choice(COLOURS)} {chance.choice(SUBJECTS)}"
    if asker.often(0.3):
        body["group_by"] = "document"
    if asker.often(0.3):
        body["explain"] = True
    right, narrowed = _hits_right(asker, names, meaning)
    return Question("search", "POST", "/v1/search", right, body=body, narrowed=narrowed, sought=sought)


def answer(asker: Asker) -> Question:
    body: dict[str, Any] = {"question": _question(asker), "top_k": asker.chance.choice((3, 10))}
    names, _ = _restriction(asker, body)
    wanted = 200 if all(map(asker.place, names)) else 404
    headers = _maybe_streamed(asker, body)
    return Question("create_answer", "POST", "/v1/answers", status(wanted), body=body, headers=headers)


def summary(asker: Asker) -> Question:
    body: dict[str, Any] = {}
    live = {leaf for leaf in asker.seen() if not leaf.broken}
    wanted: set[Leaf] | None
    match asker.chance.choice(("documents", "documents", "collection", "filter")):
        case "documents":
            wanted = {
                asker.leaf(seen=None if asker.often(0.3) else True) for _ in range(asker.chance.choice((1, 1, 3)))
            }
            body["documents"] = [asker.settlement.documents[leaf] for leaf in wanted]
            wanted = wanted if wanted <= live else None
        case "collection":
            body["collection"] = name = asker.name()
            place = asker.place(name)
            wanted = None if place is None else {leaf for leaf in live if leaf.place == place}
        case _:
            body["filter"], meaning = random_filter(asker.chance, sorted_leaves(asker))
            wanted = set(filter(meaning, live))
    if asker.often(0.4):
        body["query"] = _question(asker)
    body["length"] = asker.chance.choice(("short", "medium"))
    headers = _maybe_streamed(asker, body)
    right = status(404) if wanted is None else _covers(asker, wanted)
    return Question("create_summary", "POST", "/v1/summaries", right, body=body, headers=headers)


def sorted_leaves(asker: Asker) -> list[Leaf]:
    """In an order that a seed repeats."""
    return list(asker.settlement.leaves)


def _restriction(asker: Asker, body: dict[str, Any]) -> tuple[list[str], Meaning]:
    """Perhaps collections, perhaps a filter, into the body; the names, and what the filter means."""
    names: list[str] = []
    if asker.often(0.3):
        names = sorted({asker.name() for _ in range(asker.chance.choice((1, 1, 2)))})
        body["collections"] = names
    if asker.often(0.4):
        body["filter"], meaning = random_filter(asker.chance, sorted_leaves(asker))
        return names, meaning
    return names, lambda leaf: True


def _question(asker: Asker) -> str:
    leaf = asker.leaf()
    return asker.chance.choice(
        (
            f"What is the {leaf.subject} by the old {leaf.colour} house called?",
            f"What is called {leaf.in_text}?",
            f"Which chapter was written in {leaf.year}?",
        )
    )


def _maybe_streamed(asker: Asker, body: dict[str, Any]) -> dict[str, str]:
    if asker.often(0.2):
        return EVENTS
    if asker.often(0.3):
        body["stream"] = True
    return {}


def _hits_right(asker: Asker, names: list[str], meaning: Meaning) -> tuple[Expectation, Expectation]:
    """Every hit is the caller's to see; and of a collection asked for, and what the filter means."""
    if not all(map(asker.place, names)):
        return status(404), status(404)
    reached = {leaf.place for leaf in asker.settlement.leaves} if not names else set(map(asker.place, names))
    visible = {asker.settlement.documents[leaf]: leaf for leaf in asker.seen() if not leaf.broken}

    def right(reply: httpx2.Response) -> Iterable[str]:
        if reply.status_code != 200:
            yield f"{reply.status_code} and not 200"
            return
        hits = reply.json()["hits"]
        for hit in hits:
            leaf = visible.get(hit["document_id"])
            if leaf is None:
                yield f"a hit on {hit['document_id']}, which is not the caller's to see"
            elif hit["chunk_id"] not in asker.settlement.chunks[leaf]:
                yield f"the hit {hit['chunk_id']} is no chunk of its document"
        if [hit["rank"] for hit in hits] != list(range(1, len(hits) + 1)):
            yield "the ranks are not 1, 2, 3, …"

    def narrowed(reply: httpx2.Response) -> Iterable[str]:
        for hit in reply.json()["hits"]:
            leaf = visible.get(hit["document_id"])
            if leaf is not None and not (leaf.place in reached and meaning(leaf)):
                yield f"a hit on {hit['document_id']}, which was not asked for"

    return right, narrowed


def _covers(asker: Asker, wanted: set[Leaf]) -> Expectation:
    """A summary of exactly these documents, by the chunks that there were to read."""
    chunks = sum(len(asker.settlement.chunks[leaf]) for leaf in wanted)

    def right(reply: httpx2.Response) -> Iterable[str]:
        if reply.status_code != 200:
            yield f"{reply.status_code} and not 200"
            return
        done = _last_event(reply.text) if reply.headers["content-type"].startswith("text/event") else reply.json()
        if done["coverage"]["chunks_total"] != chunks:
            yield f"it was made of {done['coverage']['chunks_total']} chunks and not of {chunks}"

    return right


def _last_event(stream: str) -> Any:
    """The data of the last event, which is the whole reply."""
    return json.loads(stream.strip().splitlines()[-1].removeprefix("data: "))

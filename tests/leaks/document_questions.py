"""Questions about documents, their parts, and collections; what changes something is asked of what one may not see."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import httpx2

from tests.leaks.filters import random_filter
from tests.leaks.question import Asker, Expectation, Question, exactly, ids, status
from tests.leaks.world import Leaf


def list_documents(asker: Asker) -> Question:
    """All on one page, so that exactly what the caller sees must be there."""
    wanted, params = asker.seen(), {"limit": 200}
    refused = False
    given: dict[str, Any] = {}
    if asker.often(0.4):
        given["collection"] = name = asker.name()
        place = asker.place(name)
        refused = place is None
        wanted = {leaf for leaf in wanted if leaf.place == place}
    if asker.often(0.3):
        given["state"] = state = asker.chance.choice(("searchable", "failed", "deleted"))
        wanted = {leaf for leaf in wanted if state == ("failed" if leaf.broken else "searchable")}
    if asker.often(0.3):
        named = asker.leaf()
        given["external_id"] = named.in_external_id
        wanted &= {named}
    if asker.often(0.3):
        asked, meaning = random_filter(asker.chance, list(asker.settlement.leaves))
        given["filter"] = json.dumps(asked)
        wanted = set(filter(meaning, wanted))
    right = status(404) if refused else exactly((asker.settlement.documents[leaf] for leaf in wanted), ids)
    return Question("list_documents", "GET", "/v1/documents", right, params=params | given)


def page_of_documents(asker: Asker) -> Question:
    """A part of the list from where somebody's page ended: a cursor carries no rights."""
    params: dict[str, Any] = {"limit": asker.chance.choice((1, 3, 7))}
    cursors = asker.settlement.cursors.get(asker.caller.tenant)
    if cursors and asker.often(0.8):
        params["cursor"] = asker.chance.choice(cursors)
    kept = asker.settlement.cursors.setdefault(asker.caller.tenant, [])

    def right(reply: httpx2.Response) -> Iterable[str]:
        yield from status(200)(reply)
        cursor = reply.json().get("next_cursor")
        if cursor and len(kept) < 200:
            kept.append(cursor)

    return Question("list_documents", "GET", "/v1/documents", right, params=params)


def get_document(asker: Asker) -> Question:
    leaf = asker.leaf()
    params = {"wait": 1} if asker.often(0.3) else {}
    return _of(asker, leaf, "get_document", "", status(200 if asker.caller.sees(leaf) else 404), params)


def _part(name: str, operation: str, shown: Callable[[Asker, Leaf], Expectation], asker: Asker) -> Question:
    leaf = asker.leaf()
    right = shown(asker, leaf) if asker.caller.sees(leaf) else status(404)
    return _of(asker, leaf, operation, name, right, {})


def _of(asker: Asker, leaf: Leaf, operation: str, name: str, right: Expectation, params: dict[str, Any]) -> Question:
    return Question(operation, "GET", f"/v1/documents/{asker.settlement.documents[leaf]}{name}", right, params=params)


def _content(asker: Asker, leaf: Leaf) -> Expectation:
    return status(404 if leaf == asker.settlement.dropped else 200)  # what was refused was never stored


def _parsed(asker: Asker, leaf: Leaf) -> Expectation:
    return status(404 if leaf.broken else 200)


def _chunks(asker: Asker, leaf: Leaf) -> Expectation:
    return status(404) if leaf.broken else exactly(asker.settlement.chunks[leaf], ids)


get_content = partial(_part, "/content", "get_document_content", _content)
get_text = partial(_part, "/text", "get_document_text", _parsed)
get_elements = partial(_part, "/elements", "list_document_elements", _parsed)
get_chunks = partial(_part, "/chunks", "list_document_chunks", _chunks)


def get_chunk(asker: Asker) -> Question:
    leaf = asker.leaf()
    while leaf.broken:
        leaf = asker.leaf()
    chunk = asker.chance.choice(asker.settlement.chunks[leaf])
    right = status(200 if asker.caller.sees(leaf) else 404)
    return Question("get_chunk", "GET", f"/v1/chunks/{chunk}", right)


def get_page(asker: Asker) -> Question:
    """None of these documents is a PDF: who sees one is told so, and who does not is told nothing."""
    leaf = asker.leaf()
    params = {"chunk": asker.settlement.chunks[leaf][0]} if not leaf.broken and asker.often(0.5) else {}
    return _of(asker, leaf, "get_document_page", "/pages/1", status(404), params)


# --- what would change something; none of it may ---


def _foreign(asker: Asker) -> str:
    return f"/v1/documents/{asker.settlement.documents[asker.leaf(seen=False)]}"


def patch_document(asker: Asker) -> Question:
    changes = (
        {"title": "Taken over"},
        {"readers": None},
        {"readers": sorted(asker.caller.labels)},
        {"metadata": {"a": 1}},
    )
    body = asker.chance.choice(changes)
    return Question("update_document", "PATCH", _foreign(asker), status(404), body=body)


def delete_document(asker: Asker) -> Question:
    return Question("delete_document", "DELETE", _foreign(asker), status(404))


def reprocess_document(asker: Asker) -> Question:
    return Question("reprocess_document", "POST", f"{_foreign(asker)}:reprocess", status(404))


def create_document(asker: Asker) -> Question:
    route = f"/v1/collections/{asker.unreached_name()}/documents"
    item = {"text": "This must go nowhere.", "external_id": asker.leaf().in_external_id}
    if asker.often(0.5):
        return Question("create_documents", "POST", f"{route}:batch", status(404), body={"documents": [item]})
    return Question("create_document", "POST", route, status(404), body=item)


def overwrite_document(asker: Asker) -> Question:
    """A new version, and for readers whom the caller belongs to, of a document that it does not see."""
    hidden = [
        leaf
        for leaf in asker.settlement.leaves
        if asker.caller.reaches(leaf.place) and not asker.caller.sees(leaf) and leaf != asker.settlement.dropped
    ]
    if not hidden:
        return create_document(asker)
    leaf = asker.chance.choice(hidden)
    route = f"/v1/collections/{leaf.place.name}/documents"
    body = {"text": "Taken over.", "external_id": leaf.in_external_id, "readers": sorted(asker.caller.labels)}
    return Question("create_document", "POST", route, status(409), body=body)


def decide_documents(asker: Asker) -> Question:
    """Tries out what a filter lets pass: as many as it sees. For good, of a collection that it does not reach."""
    operation = asker.chance.choice(("delete", "reprocess"))
    asked, meaning = random_filter(asker.chance, list(asker.settlement.leaves))
    if operation == "reprocess" or asker.often(0.3):
        body = {"collection": asker.unreached_name(), "filter": asked}
        return Question(f"{operation}_documents", "POST", f"/v1/documents:{operation}", status(404), body=body)
    name = asker.name()
    place = asker.place(name)
    wanted = [leaf for leaf in asker.seen() if leaf.place == place and meaning(leaf)]

    def right(reply: httpx2.Response) -> Iterable[str]:
        yield from status(404 if place is None else 202)(reply)
        if place is not None and reply.json().get("matched") != len(wanted):
            yield f"{reply.text} and not {len(wanted)}"

    body = {"collection": name, "filter": asked, "dry_run": True}
    return Question("delete_documents", "POST", "/v1/documents:delete", right, body=body)


# --- collections ---


def list_collections(asker: Asker) -> Question:
    reached = {place.name for place in asker.settlement.world.places if asker.caller.reaches(place)}
    names = exactly(reached, lambda reply: [one["name"] for one in reply["data"]])

    def right(reply: httpx2.Response) -> Iterable[str]:
        yield from names(reply)
        for one in reply.json().get("data", ()):
            yield from _counts(asker, one)

    return Question("list_collections", "GET", "/v1/collections", right, params={"limit": 200})


def get_collection(asker: Asker) -> Question:
    name = asker.name()

    def right(reply: httpx2.Response) -> Iterable[str]:
        if asker.place(name) is None:
            yield from status(404)(reply)
        else:
            yield from status(200)(reply)
            yield from _counts(asker, reply.json())

    return Question("get_collection", "GET", f"/v1/collections/{name}", right)


def change_collection(asker: Asker) -> Question:
    route = f"/v1/collections/{asker.unreached_name()}"
    if asker.often(0.5):
        return Question("delete_collection", "DELETE", route, status(404))
    return Question("update_collection", "PATCH", route, status(404), body={"description": "Taken over"})


def create_collection(asker: Asker) -> Question:
    """Of a name that the tenant has: it says so, and nothing of what is in it."""
    own = [place.name for place in asker.settlement.world.places if place.tenant == asker.caller.tenant]
    return Question(
        "create_collection", "POST", "/v1/collections", status(409), body={"name": asker.chance.choice(own)}
    )


def _counts(asker: Asker, shown: Any) -> Iterable[str]:
    """A collection counts what the caller sees of it."""
    there = [leaf for leaf in asker.seen() if leaf.place == asker.place(shown["name"])]
    live = [leaf for leaf in there if not leaf.broken]
    counted = shown["documents"]["total"], shown["documents"]["live"], shown["chunks"]
    if counted != (len(there), len(live), sum(len(asker.settlement.chunks[leaf]) for leaf in live)):
        yield f"the collection {shown['name']} counts {counted}"

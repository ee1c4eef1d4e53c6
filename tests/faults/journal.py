"""The client's journal: what it asked for and what was acknowledged, and what must be there in the end.

An operation that got no answer is sent again until it gets one; each is such that twice is as good as once. So when all
are acknowledged the end is known, whatever was killed in between, and without a look at the server's own books.
"""

from __future__ import annotations

import random
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx2

from tests.made_files import truncated_word

ANSWER_S = 180.0
_FINAL = ("searchable", "partial", "failed", "deleted")
COLLECTIONS = ("stable", "doomed-one", "doomed-two")
_WORDS = tuple(
    re.findall(
        r"\w+",
        "tide gauge harbour sensor lens ice ferry lantern anchor pressure battery firmware record mooring current "
        "salinity drift calibration bench bracket cable buoy log winter storm level datum pilot quay survey chart",
    )
)


@dataclass(frozen=True, slots=True)
class Operation:
    """One request. `kind` is new, change, break, patch, reprocess, redrive, delete or delete_collection."""

    kind: str
    collection: str
    key: str = ""
    text: str = ""
    metadata: dict[str, Any] = field(default_factory=dict)
    readers: tuple[str, ...] = ()


@dataclass(slots=True)
class Expected:
    """What a document must be in the end: the text that is live (None: nothing is), its state and its attributes."""

    text: str | None
    state: str
    metadata: dict[str, Any]
    readers: tuple[str, ...]


def text_of(chance: random.Random) -> str:
    """A Markdown text of a few sections; most make one to four chunks."""
    sections = []
    for number in range(chance.randint(1, 4)):
        words = " ".join(chance.choice(_WORDS) for _ in range(chance.randint(20, 140)))
        sections.append(f"## Section {number} {chance.choice(_WORDS)} {chance.randint(1, 99999)}\n\n{words}.")
    return f"# Note {chance.randint(1, 10**9)}\n\n" + "\n\n".join(sections) + "\n"


def operations(seed: int, documents: int) -> list[Operation]:
    """A schedule over at least `documents` documents in which every kind of operation occurs, in a seeded order."""
    chance = random.Random(seed)
    order: list[Operation] = []
    alive: list[tuple[str, str]] = []
    for number in range(documents):
        collection = COLLECTIONS[0] if chance.random() < 0.8 else chance.choice(COLLECTIONS[1:])
        key = f"document-{number}"
        order.append(Operation("new", collection, key, text_of(chance), {"year": 2000 + number % 30}))
        alive.append((collection, key))
        for kind, share in _AFTER.items():
            if chance.random() < share:
                order.append(_follow_up(kind, chance, *chance.choice(alive)))
    for collection in COLLECTIONS[1:]:
        place = chance.randint(len(order) * 2 // 3, len(order))
        order.insert(place, Operation("delete_collection", collection))
    # What comes after a collection's end would be refused: it is left out of the schedule, not of the check.
    gone: set[str] = set()
    kept = []
    for operation in order:
        if operation.collection in gone:
            continue
        if operation.kind == "delete_collection":
            gone.add(operation.collection)
        kept.append(operation)
    return kept


# How often each kind follows a new document, somewhere among the ones before it.
_AFTER = {"change": 0.25, "patch": 0.2, "reprocess": 0.1, "delete": 0.12, "break": 0.06, "redrive": 0.06}


def _follow_up(kind: str, chance: random.Random, collection: str, key: str) -> Operation:
    text = text_of(chance) if kind == "change" else ""
    metadata = {"mark": chance.randint(1, 99999)} if kind == "patch" else {}
    readers = (chance.choice(("group:red", "group:blue")),) if kind == "patch" else ()
    return Operation(kind, collection, key, text, metadata, readers)


def expectation(order: list[Operation]) -> dict[tuple[str, str], Expected]:
    """What must be there when all of these are acknowledged."""
    documents: dict[tuple[str, str], Expected] = {}
    for operation in order:
        if operation.kind == "delete_collection":
            documents = {place: one for place, one in documents.items() if place[0] != operation.collection}
            continue
        place = (operation.collection, operation.key)
        found = documents.get(place)
        match operation.kind:
            case "new" | "change" if found is None or found.state == "deleted":
                documents[place] = Expected(operation.text, "searchable", operation.metadata, ())
            case "change":
                found.text, found.state = operation.text, "searchable"
            case "break" if found is None or found.state == "deleted":
                documents[place] = Expected(None, "failed", {}, ())
            case "break":
                found.state = "failed"  # the broken version fails, the one before it stays live
            case "patch" if found is not None and found.state != "deleted":
                found.metadata, found.readers = operation.metadata, operation.readers
            case "delete" if found is not None:
                documents[place] = Expected(None, "deleted", {}, ())
    return documents


def insist(
    url: Callable[[], str],
    printed: Callable[[], str],
    method: str,
    path: str,
    *,
    accept: tuple[int, ...],
    **request: Any,
) -> Any:
    """The answer, however often it must be asked for: a connection that breaks says nothing of what became of the
    request. `url` is asked before each try."""
    deadline = time.monotonic() + ANSWER_S
    while True:
        try:
            reply = httpx2.request(method, f"{url()}{path}", timeout=30, **request)
        except (httpx2.TransportError, httpx2.InvalidURL, httpx2.UnsupportedProtocol):
            reply = None
        if reply is not None and reply.status_code in accept:
            return reply.json() if reply.content else None
        if reply is not None and reply.status_code not in {503, 507}:
            raise AssertionError(f"{method} {path}: {reply.status_code} {reply.text}")
        assert time.monotonic() < deadline, f"{method} {path} was never answered:\n{printed()}"
        time.sleep(0.05)


class Client:
    """Sends operations to a server that may die at any moment. `url` is asked before each try."""

    def __init__(self, send: Callable[..., Any]) -> None:
        self._send = send
        self._ids: dict[tuple[str, str], str] = {}

    def perform(self, operation: Operation) -> None:
        match operation.kind:
            case "new" | "change":
                self._submit(operation)
            case "break":
                self._break(operation)
            case "delete_collection":
                self._send("DELETE", f"/v1/collections/{operation.collection}", accept=(202, 404))
            case "redrive":
                self._redrive(operation)
            case _:
                self._on_document(operation)

    def _submit(self, operation: Operation) -> None:
        body: dict[str, Any] = {"text": operation.text, "media_type": "text/markdown", "external_id": operation.key}
        if operation.metadata:
            body["metadata"] = operation.metadata
        reply = self._send("POST", f"/v1/collections/{operation.collection}/documents", json=body, accept=(202,))
        self._ids[operation.collection, operation.key] = reply["id"]

    def _break(self, operation: Operation) -> None:
        """The same document as a file that cannot be read: half a .docx, the same half every time.

        Only when the version before it has arrived: which one stays live would otherwise be a matter of luck.
        """
        self._arrived(operation.collection, operation.key)
        reply = self._send(
            "POST",
            f"/v1/collections/{operation.collection}/documents",
            files={"file": ("half.docx", truncated_word())},
            data={"external_id": operation.key},
            accept=(202,),
        )
        self._ids[operation.collection, operation.key] = reply["id"]

    def _arrived(self, collection: str, key: str) -> None:
        document = self._ids.get((collection, key))
        state = None if document is None else ""
        while state is not None and state not in _FINAL:
            state = self._send("GET", f"/v1/documents/{document}", params={"wait": 5}, accept=(200,))["state"]

    def _redrive(self, operation: Operation) -> None:
        document = self._ids[operation.collection, operation.key]
        letters = self._send("GET", "/v1/dead-letters", params={"limit": 200}, accept=(200,))["data"]
        for letter in letters:
            if letter["document_id"] == document:
                # 404 and 409: it was redriven by a try whose answer was lost, or is overtaken.
                self._send("POST", f"/v1/dead-letters/{letter['id']}:redrive", accept=(202, 404, 409))

    def _on_document(self, operation: Operation) -> None:
        path = f"/v1/documents/{self._ids[operation.collection, operation.key]}"
        match operation.kind:
            case "patch":
                body = {"metadata": operation.metadata, "readers": list(operation.readers)}
                self._send("PATCH", path, json=body, accept=(200, 404, 409))
            case "reprocess":
                self._send("POST", f"{path}:reprocess", accept=(202, 409))
            case "delete":
                self._send("DELETE", path, accept=(202,))


def portions(order: list[Operation], count: int) -> Iterator[list[Operation]]:
    """The schedule in `count` parts, so that every kill finds work to interrupt."""
    size = -(-len(order) // count)
    for start in range(0, len(order), size):
        yield order[start : start + size]

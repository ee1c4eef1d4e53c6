"""What is there in the end, read from where it is stored, not from what the server says of it."""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path
from typing import Any

from ingest import chunk_file
from ingest.folder_blobs import FolderBlobs
from retrieval.documents import DocumentState
from retrieval.principal import Principal, Scope
from retrieval.socket_index import SocketIndex
from retrieval.sql_catalogue.catalogue import SqlCatalogue
from tests.faults.journal import Expected

EVERYTHING = Principal("default", frozenset(), frozenset(Scope))
QUIET_S = 180.0
Place = tuple[str, str, str]
"""Collection, external id, chunk text."""


class Stored:
    """A running install's index, catalogue and blobs, opened beside it. The first two are addresses."""

    def __init__(self, *, catalogue: str, index: str, blobs: Path) -> None:
        self._catalogue = SqlCatalogue(catalogue)
        self._index = SocketIndex(index)
        self._blobs = FolderBlobs(blobs)

    @classmethod
    def in_folder(cls, data: Path) -> Stored:
        """An embedded install's."""
        return cls(
            catalogue=f"sqlite:///{data / 'catalogue.db'}", index=str(data / "run" / "index"), blobs=data / "blobs"
        )

    def quiet(self, *, within_s: float) -> bool:
        """Whether no task is owed any more within the time."""
        deadline = time.monotonic() + within_s
        while self._catalogue.tasks.open_count():
            if time.monotonic() > deadline:
                return False
            time.sleep(0.1)
        return True

    def settled(self) -> bool:
        """Whether it became quiet, and stayed so over a round of the janitor, which runs every second here."""
        if not self.quiet(within_s=QUIET_S):
            return False
        time.sleep(2.5)
        return self.quiet(within_s=QUIET_S)

    def documents(self) -> list[Any]:
        found = []
        for state in (None, DocumentState.DELETED):
            after = None
            while True:
                page = self._catalogue.documents.page(EVERYTHING, state=state, after=after, limit=200)
                found += page.items
                after = page.next
                if after is None:
                    break
        return found

    def in_index(self) -> Counter[Place]:
        """Every point there is, live or not, of whatever version: a full scroll."""
        names = {document.id: (document.collection, document.external_id or "") for document in self.documents()}
        return Counter(
            (*names.get(point.chunk.document_id, ("?", "?")), point.chunk.text) for point in self._index.scroll()
        )

    def dead_points(self) -> int:
        return sum(not point.live for point in self._index.scroll())

    def in_catalogue(self) -> Counter[Place]:
        """Every chunk of every live version, from its chunk file."""
        found: Counter[Place] = Counter()
        for document in self.documents():
            digest = self._catalogue.documents.chunk_file(document)
            if digest is not None:
                file = chunk_file.unpack(self._blobs.read(document.tenant, digest))
                found.update((document.collection, document.external_id or "", chunk.text) for chunk in file.chunks)
        return found

    def readers_in_index(self) -> dict[tuple[str, str], set[tuple[str, ...]]]:
        names = {document.id: (document.collection, document.external_id or "") for document in self.documents()}
        found: dict[tuple[str, str], set[tuple[str, ...]]] = {}
        for point in self._index.scroll():
            found.setdefault(names.get(point.chunk.document_id, ("?", "?")), set()).add(point.readers)
        return found

    def close(self) -> None:
        self._index.close()
        self._catalogue.close()


def differences(stored: Stored, expected: dict[tuple[str, str], Expected], reference: Counter[Place]) -> list[str]:
    """Everything in which the install differs from what was asked of it; empty is the promise kept."""
    found: list[str] = []
    for name, there in (("index", stored.in_index()), ("catalogue", stored.in_catalogue())):
        found += [f"{name} lacks {place[:2]}: {place[2][:40]!r}" for place in reference - there]
        found += [f"{name} has too much of {place[:2]}: {place[2][:40]!r}" for place in there - reference]
    if stored.dead_points():
        found.append(f"{stored.dead_points()} points are not live")
    there_by_place = {(document.collection, document.external_id): document for document in stored.documents()}
    readers = stored.readers_in_index()
    for place, wanted in expected.items():
        document = there_by_place.get(place)
        if document is None:
            found.append(f"{place} is lost")
            continue
        if document.state.value != wanted.state:
            found.append(f"{place} is {document.state}, not {wanted.state} ({document.reason})")
        if wanted.state == "deleted":
            continue
        if dict(document.metadata) != wanted.metadata:
            found.append(f"{place} has metadata {document.metadata}, not {wanted.metadata}")
        labels = wanted.readers or ("*",)
        if document.readers != labels or (wanted.text is not None and readers.get(place) != {labels}):
            found.append(f"{place} is read by {document.readers} and {readers.get(place)}, not {labels}")
    return found

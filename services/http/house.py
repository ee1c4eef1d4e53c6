"""What the routes work with: made by the wiring, one for each process."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends, Request

from ingest.blobs import Blobs
from ingest.intake import Intake
from ingest.page_pictures import PagePictures
from retrieval.catalogue import Catalogue
from retrieval.documents import Collection
from retrieval.embedding import EmbeddingSpec
from retrieval.errors import NotFound
from retrieval.index import Index
from retrieval.principal import Principal, Scope
from retrieval.search import Searcher
from services.access import Access, require
from services.http.cursors import Cursors
from services.http.permits import Permits
from services.http.waiting import Waiting
from summarize.answers import Answerer
from summarize.summaries import Summarizer

_COLLECTION_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")


@dataclass(frozen=True, slots=True)
class DocumentsRole:
    """`ring` wakes the dispatcher after something became owed. `pictures` are drawn under permits of their own: a page
    may take seconds, and uploads do not wait for that."""

    intake: Intake
    permits: Permits
    pictures: PagePictures
    picture_permits: Permits
    waiting: Waiting
    spec: EmbeddingSpec
    fingerprint: str
    ring: Callable[[], None]


@dataclass(frozen=True, slots=True)
class SearchRole:
    searcher: Searcher
    permits: Permits


@dataclass(frozen=True, slots=True)
class SummaryRole:
    searcher: Searcher
    answerer: Answerer
    summarizer: Summarizer
    permits: Permits


@dataclass(frozen=True, slots=True)
class House:
    """`ready` asks every dependency: name → what it says of itself; it raises `Unavailable` for one that is not.

    What a role's routes need is there with the role; nobody else has those routes.
    """

    access: Access
    catalogue: Catalogue
    index: Index
    blobs: Blobs
    cursors: Cursors
    noted_query: Callable[[], None]
    query_chars: int
    ready: Callable[[], Mapping[str, Any]]
    documents_role: DocumentsRole | None = None
    search_role: SearchRole | None = None
    summary_role: SummaryRole | None = None

    @property
    def documents(self) -> DocumentsRole:
        assert self.documents_role is not None
        return self.documents_role

    @property
    def search(self) -> SearchRole:
        assert self.search_role is not None
        return self.search_role

    @property
    def summary(self) -> SummaryRole:
        assert self.summary_role is not None
        return self.summary_role


async def house_of(request: Request) -> House:
    # async, like every dependency here: none waits, and a hop to a thread costs more than all of them.
    return house_behind(request)


def house_behind(request: Request) -> House:
    found: House = request.app.state.house
    return found


def _principal(scope: Scope) -> Callable[[Request], Awaitable[Principal]]:
    async def principal(request: Request) -> Principal:
        found: Principal = request.state.principal  # the door's
        require(found, scope)
        return found

    principal.__name__ = f"principal_who_may_{scope}"
    return principal


# The type of a route's principal says the scope it needs.
Searching = Annotated[Principal, Depends(_principal(Scope.SEARCH))]
Reading = Annotated[Principal, Depends(_principal(Scope.READ))]
Writing = Annotated[Principal, Depends(_principal(Scope.WRITE))]
Deleting = Annotated[Principal, Depends(_principal(Scope.DELETE))]
Administering = Annotated[Principal, Depends(_principal(Scope.ADMIN))]
Home = Annotated[House, Depends(house_of)]


def readable_collection(house: House, principal: Principal, name: str) -> Collection:
    """The collection, if this principal may see it; `NotFound` otherwise."""
    if not _COLLECTION_NAME.fullmatch(name):
        raise NotFound(f"There is no collection {name}.")
    found = house.catalogue.collections.by_name(principal.tenant, name)
    if principal.collections is not None and found.id not in principal.collections:
        raise NotFound(f"There is no collection {name}.")
    return found

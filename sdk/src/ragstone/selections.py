"""Bodies that name many documents by a collection and a filter."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from ragstone.models import CollectionName, Request


class DocumentsToDelete(Request):
    """The documents of a collection that the filter lets pass, `{}` for all of them. More than `max` are a refusal, and
    then none is deleted."""

    collection: CollectionName
    filter: dict[str, Any]
    dry_run: bool = False
    max: int | None = Field(None, ge=0)


class DocumentsToReprocess(Request):
    """The documents of a collection, or those of them that the filter lets pass."""

    collection: CollectionName
    filter: dict[str, Any] | None = None
    dry_run: bool = False

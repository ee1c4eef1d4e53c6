"""The shown version: the one whose content a document row describes, the live one, or the newest while none is live.

What is known of a newer version's content waits in that version's own row until the switch copies it, so a version that
fails changes nothing of what is shown, filtered and counted. What the caller said is the document's and holds at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from retrieval.documents import Document
from retrieval.filters import encode_fields
from retrieval.sql_catalogue.sql_filters import stored

# What a document row and a version row both say of the content. The title is another one, where nobody gave any.
_OF_CONTENT: Final = ("source", "media_type", "language", "bytes", "sha256", "pages", "chunks", "tokens")


def encoded_fields(document: Mapping[str, Any]) -> dict[str, Any]:
    """The filter fields of a document row in their stored form."""
    return stored(
        encode_fields(
            title=document["title"],
            external_id=document["external_id"],
            source=document["source"],
            media_type=document["media_type"],
            language=document["language"],
            created_at=document["created_at"],
            pages=document["pages"],
            metadata=document["metadata"],
        )
    )


def showing(document: Mapping[str, Any], version: Mapping[str, Any]) -> dict[str, Any]:
    """The document row as it reads when this is its shown version, filter fields included."""
    row = {**document, **_content(version, title_given=document["title_given"])}
    return row | {"fields": encoded_fields(row)}


def read_as(document: Document, version: Mapping[str, Any]) -> Document:
    """The same of a `Document`: what a worker needs that prepares the version before it is shown."""
    return replace(document, **_content(version, title_given=document.title_given))


def _content(version: Mapping[str, Any], *, title_given: bool) -> dict[str, Any]:
    content = {name: version[name] for name in _OF_CONTENT}
    return content if title_given else content | {"title": version["title"]}

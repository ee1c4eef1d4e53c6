"""Rows to words: what a SELECT over these tables means."""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import Row, Select, select

from retrieval.documents import (
    Collection,
    Content,
    DeadLetter,
    Document,
    DocumentState,
    Lane,
    Outcome,
    Stage,
    TimelineEntry,
)
from retrieval.identity import IdentityKind
from retrieval.sql_catalogue.tables import collections, dead_letters, documents

_COLLECTION_NAME: Final = collections.c.name.label("collection")


def select_documents() -> Select[Any]:
    return select(documents, _COLLECTION_NAME).select_from(
        documents.join(collections, documents.c.collection_id == collections.c.id)
    )


def select_letters() -> Select[Any]:
    joined = dead_letters.join(documents, dead_letters.c.document_id == documents.c.id)
    joined = joined.join(collections, documents.c.collection_id == collections.c.id)
    return select(dead_letters, documents.c.collection_id, documents.c.title, _COLLECTION_NAME).select_from(joined)


def as_collection(row: Row[Any]) -> Collection:
    return Collection(
        id=row.id,
        tenant=row.tenant,
        name=row.name,
        description=row.description,
        default_readers=None if row.default_readers is None else tuple(row.default_readers),
        metadata_schema=row.metadata_schema,
        deleting=row.deleting,
        created_at=row.created_at,
    )


def as_document(row: Row[Any]) -> Document:
    columns = row._mapping
    return Document(
        id=row.id,
        tenant=row.tenant,
        collection_id=row.collection_id,
        collection=row.collection,
        identity_kind=IdentityKind(row.identity_kind),
        identity_value=row.identity_value,
        external_id=row.external_id,
        title=row.title,
        title_given=row.title_given,
        source=row.source,
        media_type=row.media_type,
        language=row.language,
        bytes=row.bytes,
        sha256=row.sha256,
        version=row.version,
        live_version=row.live_version,
        live_attempt=row.live_attempt,
        state=DocumentState(row.state),
        code=row.code,
        reason=row.reason,
        metadata=columns["metadata"],
        readers=tuple(row.readers),
        rev=row.rev,
        lane=Lane(row.lane),
        pages=row.pages,
        chunks=row.chunks,
        tokens=row.tokens,
        created_at=row.created_at,
        updated_at=row.updated_at,
    )


def as_content(row: Row[Any]) -> Content:
    return Content(
        sha256=row.sha256, bytes=row.bytes, media_type=row.media_type, name=row.name, inline_text=row.inline_text
    )


def as_entry(row: Row[Any]) -> TimelineEntry:
    return TimelineEntry(
        version=row.version,
        stage=Stage(row.stage),
        attempt=row.id,
        outcome=None if row.outcome is None else Outcome(row.outcome),
        started_at=row.started_at,
        ended_at=row.ended_at,
        counts=row.counts,
        error=row.error,
        document_id=row.document_id,
    )


def as_letter(row: Row[Any]) -> DeadLetter:
    return DeadLetter(
        id=row.id,
        tenant=row.tenant,
        collection_id=row.collection_id,
        collection=row.collection,
        document_id=row.document_id,
        title=row.title,
        version=row.version,
        stage=Stage(row.stage),
        code=row.code,
        reason=row.reason,
        sha256=row.sha256,
        attempts=row.attempts,
        evidence=row.evidence,
        created_at=row.created_at,
        closed_at=row.closed_at,
        closed_by=row.closed_by,
    )

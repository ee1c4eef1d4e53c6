"""What is shown: the corpus's words as the API's schemas."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime

from ingest.chunk_file import ChunkFile, StoredElement
from ragstone import models as wire
from retrieval import chunks
from retrieval import documents as words
from retrieval.api_keys import ApiKey
from retrieval.catalogue import DropFile, DropReport
from retrieval.embedding import EmbeddingSpec
from retrieval.principal import EVERYBODY
from retrieval.search import Hit, SearchResult


def moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def collection(found: words.Collection, statistics: words.CollectionStatistics, spec: EmbeddingSpec) -> wire.Collection:
    return wire.Collection(
        name=found.name,
        description=found.description,
        default_readers=None if found.default_readers is None else list(found.default_readers),
        metadata_schema=None if found.metadata_schema is None else dict(found.metadata_schema),
        documents=wire.DocumentCounts(total=statistics.total, live=statistics.live, by_state=dict(statistics.by_state)),
        chunks=statistics.chunks,
        bytes=statistics.bytes,
        embedding=wire.EmbeddingInfo(model=spec.model, dimension=spec.dimension),
        created_at=moment(found.created_at),
    )


def key(found: ApiKey) -> wire.Key:
    return wire.Key(
        id=found.id,
        name=found.grant.name,
        hint=found.hint,
        scopes=sorted(found.grant.scopes),
        labels=sorted(found.grant.labels),
        collections=None if found.grant.collections is None else sorted(found.grant.collections),
        created_at=moment(found.created_at),
        expires_at=None if found.grant.expires_at is None else moment(found.grant.expires_at),
        revoked_at=None if found.revoked_at is None else moment(found.revoked_at),
    )


def new_key(found: ApiKey, secret: str) -> wire.NewKey:
    return wire.NewKey(**key(found).model_dump(), key=secret)


def document(found: words.Document, timeline: Sequence[words.TimelineEntry]) -> wire.Document:
    return wire.Document(
        id=found.id,
        collection=found.collection,
        external_id=found.external_id,
        title=found.title,
        source=found.source,
        media_type=found.media_type,
        language=found.language,
        bytes=found.bytes,
        sha256=found.sha256,
        version=found.version,
        live_version=found.live_version,
        state=found.state.value,
        code=found.code,
        reason=found.reason,
        metadata=dict(found.metadata),
        readers=None if found.readers == (EVERYBODY,) else list(found.readers),
        pages=found.pages,
        chunks=found.chunks,
        tokens=found.tokens,
        created_at=moment(found.created_at),
        updated_at=moment(found.updated_at),
        timeline=[timeline_entry(entry) for entry in timeline],
    )


def only_document(
    answers: Sequence[words.Document | Exception], timeline: Sequence[words.TimelineEntry] = ()
) -> wire.Document:
    """The one that was asked for; raises what it was refused with."""
    (answer,) = answers
    if isinstance(answer, Exception):
        raise answer
    return document(answer, timeline)


def timeline_entry(entry: words.TimelineEntry) -> wire.TimelineEntry:
    return wire.TimelineEntry(
        version=entry.version,
        stage=entry.stage.value,
        attempt=entry.attempt,
        outcome=None if entry.outcome is None else entry.outcome.value,
        started_at=moment(entry.started_at),
        ended_at=None if entry.ended_at is None else moment(entry.ended_at),
        counts=dict(entry.counts),
        error=entry.error,
    )


def locator(found: chunks.Locator) -> wire.Locator:
    return wire.Locator.model_construct(
        pages=None if found.pages is None else list(found.pages),
        boxes=None if found.boxes is None else [box(one) for one in found.boxes],
        char_start=found.char_start,
        char_end=found.char_end,
        heading_path=None if found.heading_path is None else list(found.heading_path),
        slide=found.slide,
        sheet=found.sheet,
        row_start=found.row_start,
        row_end=found.row_end,
        part=found.part,
    )


def box(found: chunks.Box) -> wire.Box:
    return wire.Box.model_construct(**asdict(found))


def chunk(found: chunks.Chunk) -> wire.Chunk:
    return wire.Chunk(
        id=found.id,
        document_id=found.document_id,
        ordinal=found.ordinal,
        text=found.text,
        tokens=found.tokens,
        locator=locator(found.locator),
    )


def chunk_in_context(file: ChunkFile, ordinal: int) -> wire.ChunkInContext:
    found = file.chunks[ordinal]
    return wire.ChunkInContext(
        **chunk(found).model_dump(),
        previous_id=file.chunks[ordinal - 1].id if ordinal else None,
        next_id=file.chunks[ordinal + 1].id if ordinal + 1 < len(file.chunks) else None,
    )


def element(found: StoredElement, text: str) -> wire.Element:
    return wire.Element(
        kind=found.kind,
        text=text[found.char_start : found.char_end],
        char_start=found.char_start,
        char_end=found.char_end,
        heading_path=None if found.heading_path is None else list(found.heading_path),
        level=found.level,
        boxes=[box(one) for one in found.boxes],
        slide=found.slide,
        sheet=found.sheet,
        part=found.part,
    )


def hit(found: Hit, *, explain: bool) -> wire.Hit:
    # Constructed unchecked: these values were checked when they came in, and a search is counted in milliseconds.
    return wire.Hit.model_construct(
        rank=found.rank,
        score=found.score,
        chunk_id=found.chunk.id,
        document_id=found.document_id,
        collection=found.collection,
        external_id=found.external_id,
        title=found.title,
        text=found.chunk.text,
        locator=locator(found.chunk.locator),
        metadata=dict(found.metadata),
        score_parts=dict(found.score_parts) if explain else None,
    )


def search_reply(result: SearchResult, *, explain: bool, took_ms: float) -> wire.SearchReply:
    return wire.SearchReply.model_construct(
        hits=[hit(one, explain=explain) for one in result.hits],
        took_ms=round(took_ms, 3),
        timings={name: round(value, 3) for name, value in result.timings.items()} if explain else None,
    )


def dead_letter(found: words.DeadLetter) -> wire.DeadLetter:
    return wire.DeadLetter(
        id=found.id,
        document_id=found.document_id,
        collection=found.collection,
        title=found.title,
        version=found.version,
        stage=found.stage.value,
        code=found.code,
        reason=found.reason,
        attempts=found.attempts,
        evidence=dict(found.evidence),
        created_at=moment(found.created_at),
        closed_at=None if found.closed_at is None else moment(found.closed_at),
        closed_by=found.closed_by,
    )


def drop_folder(report: DropReport) -> wire.DropFolder:
    return wire.DropFolder(
        last_scan=None if report.last_scan is None else moment(report.last_scan),
        held=[_drop_file(file) for file in report.held],
        refused=[
            wire.RefusedFile(path=file.path, document_id=file.document_id or None, reason=file.refused or "")
            for file in report.refused
        ],
        ignored=list(report.ignored),
        waiting=report.waiting or None,
    )


def _drop_file(file: DropFile) -> wire.DropFile:
    return wire.DropFile(
        path=file.path,
        collection=file.collection,
        document_id=file.document_id or None,
        missing_since=moment(file.missing_since) if file.missing_since else None,
    )

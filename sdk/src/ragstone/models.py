"""What goes over the wire, in both directions: the schemas of the HTTP API, version 1."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from ragstone import notebook, tables

CollectionName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")]
Label = Annotated[str, StringConstraints(min_length=1, max_length=200)]
DocumentId = Annotated[str, StringConstraints(min_length=1, max_length=200)]
Metadata = dict[str, Any]
# A NUL is what one of the databases cannot store.
Description = Annotated[str, StringConstraints(max_length=2_000, pattern=r"^[^\x00]*$")]
Lane = Literal["interactive", "bulk"]
Length = Literal["short", "medium", "long"]


class Request(BaseModel):
    """A body we are sent: unknown fields are refused by name, and types are not bent."""

    model_config = ConfigDict(extra="forbid", strict=True)


class Reply(notebook.Shown, BaseModel):
    """A body we send: clients ignore fields they do not know."""

    model_config = ConfigDict(extra="ignore")


# --- collections ---


class NewCollection(Request):
    name: CollectionName
    description: Description | None = None
    default_readers: list[Label] | None = Field(None, max_length=64)
    metadata_schema: dict[str, Any] | None = None


class CollectionChange(Request):
    description: Description | None = None
    default_readers: list[Label] | None = Field(None, max_length=64)
    metadata_schema: dict[str, Any] | None = None


class DocumentCounts(Reply):
    total: int
    live: int
    by_state: dict[str, int]


class EmbeddingInfo(Reply):
    model: str
    dimension: int


class Collection(Reply):
    name: str
    description: str | None
    default_readers: list[str] | None
    metadata_schema: dict[str, Any] | None
    documents: DocumentCounts
    chunks: int
    bytes: int
    embedding: EmbeddingInfo
    created_at: datetime


# --- keys ---


class KeyBody(Request):
    """`collections` are names and restrict the key to them; left out, it reaches all. `expires_at` is RFC 3339."""

    name: str
    scopes: list[str] = Field(min_length=1, max_length=5)
    labels: list[Label] = Field([], max_length=2_000)
    collections: list[CollectionName] | None = Field(None, max_length=1_000)
    expires_at: str | None = Field(None, max_length=64)


class Key(Reply):
    """`hint` is how the key begins."""

    id: str
    name: str
    hint: str
    scopes: list[str]
    labels: list[str]
    collections: list[str] | None
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None


class NewKey(Key):
    """The one time that the key itself is shown."""

    key: str


class Keys(Reply):
    data: list[Key]
    next_cursor: str | None


# --- documents ---


class NewDocument(Request):
    text: str
    media_type: Literal["text/plain", "text/markdown", "text/html"] = "text/plain"
    external_id: str | None = None
    title: str | None = None
    metadata: Metadata | None = None
    readers: list[Label] | None = None
    lane: Lane = "interactive"


class NewDocuments(Request):
    """The envelope; each item is checked for itself."""

    documents: list[Any] = Field(min_length=1, max_length=1_000)


class DocumentChange(Request):
    title: str | None = None
    metadata: Metadata | None = None
    readers: list[Label] | None = None


class DecidedDocuments(Reply):
    """`matched`: how many there were. `accepted`: to how many of them it will happen; to none by a dry run."""

    matched: int
    accepted: int


class TimelineEntry(Reply):
    version: int
    stage: str
    attempt: int
    outcome: str | None
    started_at: datetime
    ended_at: datetime | None
    counts: dict[str, Any]
    error: str | None


class Document(Reply):
    id: str
    collection: str
    external_id: str | None
    title: str
    source: str | None
    media_type: str
    language: str | None
    bytes: int
    sha256: str
    version: int
    live_version: int | None
    state: str
    code: str | None
    reason: str | None
    metadata: Metadata
    readers: list[str] | None
    pages: int | None
    chunks: int | None
    tokens: int | None
    created_at: datetime
    updated_at: datetime
    timeline: list[TimelineEntry]


class Box(Reply):
    page: int
    x0: float
    y0: float
    x1: float
    y1: float


class Locator(Reply):
    pages: list[int] | None
    boxes: list[Box] | None
    char_start: int | None
    char_end: int | None
    heading_path: list[str] | None
    slide: int | None
    sheet: str | None
    row_start: int | None
    row_end: int | None
    part: str | None


class Chunk(Reply):
    id: str
    document_id: str
    ordinal: int
    text: str
    tokens: int
    locator: Locator


class ChunkInContext(Chunk):
    """One chunk with the ids of the ones before and after it in its document."""

    previous_id: str | None
    next_id: str | None


class Element(Reply):
    kind: str
    text: str
    char_start: int
    char_end: int
    heading_path: list[str] | None
    level: int | None
    boxes: list[Box]
    slide: int | None
    sheet: str | None
    part: str | None


# --- search, answers, summaries ---

QueryText = Annotated[str, StringConstraints(min_length=1)]


class SearchRequest(Request):
    query: QueryText
    collections: list[CollectionName] | None = Field(None, max_length=100)
    filter: dict[str, Any] | None = None
    mode: Literal["hybrid", "dense", "sparse"] = "hybrid"
    top_k: int = Field(10, ge=1, le=100)
    group_by: Literal["document"] | None = None
    explain: bool = False


class Hit(Reply):
    rank: int
    score: float
    chunk_id: str
    document_id: str
    collection: str
    external_id: str | None
    title: str
    text: str
    locator: Locator
    metadata: Metadata
    score_parts: dict[str, float] | None = None


class SearchReply(Reply):
    hits: list[Hit]
    took_ms: float
    timings: dict[str, float] | None = None

    def to_pandas(self) -> Any:
        """A DataFrame of the hits. Needs `pip install 'ragstone[pandas]'`."""
        return tables.frame(self.hits)


class AnswerRequest(Request):
    question: QueryText
    collections: list[CollectionName] | None = Field(None, max_length=100)
    filter: dict[str, Any] | None = None
    top_k: int = Field(10, ge=1, le=100)
    length: Length = "medium"
    stream: bool = False


class Citation(Reply):
    marker: int
    chunk_id: str
    document_id: str
    title: str
    locator: Locator
    quote: str


class Dropped(Reply):
    """Something the generator wrote and verification did not let pass."""

    reason: str
    text: str


class Usage(Reply):
    prompt_tokens: int | None
    completion_tokens: int | None
    calls: int


class Answer(Reply):
    answer: str
    citations: list[Citation]
    abstained: bool
    dropped: list[Dropped]
    generator: str
    usage: Usage


class SummaryRequest(Request):
    """Exactly one of `documents`, `collection` and `filter` alone says what to summarise; `collection` may be narrowed
    by a filter."""

    documents: list[DocumentId] | None = Field(None, min_length=1, max_length=100)
    collection: CollectionName | None = None
    filter: dict[str, Any] | None = None
    query: QueryText | None = None
    length: Length = "medium"
    stream: bool = False


class Coverage(Reply):
    documents: int
    chunks_used: int
    chunks_total: int


class Summary(Reply):
    summary: str
    citations: list[Citation]
    coverage: Coverage
    dropped: list[Dropped]
    generator: str
    usage: Usage


# --- dead letters, drop folder, problems ---


class DeadLetter(Reply):
    id: str
    document_id: str
    collection: str
    title: str
    version: int
    stage: str
    code: str
    reason: str
    attempts: int
    evidence: dict[str, Any]
    created_at: datetime
    closed_at: datetime | None
    closed_by: str | None


class DeadLetterSelection(Request):
    """Open dead letters, all that are named: of a collection, of a code, made from `since` on and before `until`, which
    are RFC 3339 dates or date-times."""

    collection: str | None = None
    code: str | None = Field(None, max_length=32)
    since: str | None = Field(None, max_length=64)
    until: str | None = Field(None, max_length=64)
    dry_run: bool = False


class DecidedLetters(Reply):
    """`matched`: how many there were. `accepted`: how many of them were decided; none by a dry run."""

    matched: int
    accepted: int


class DropFile(Reply):
    path: str
    collection: str
    document_id: str | None
    missing_since: datetime | None


class RefusedFile(Reply):
    path: str
    document_id: str | None
    reason: str


class DropFolder(Reply):
    last_scan: datetime | None
    held: list[DropFile]
    refused: list[RefusedFile]
    ignored: list[str]
    waiting: str | None = None


class Decided(Reply):
    files: int


class ProblemDetail(Reply):
    pointer: str
    detail: str


class Problem(Reply):
    """RFC 9457."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    request_id: str
    retryable: bool
    errors: list[ProblemDetail] | None = None


class Collections(Reply):
    data: list[Collection]
    next_cursor: str | None


class Documents(Reply):
    data: list[Document]
    next_cursor: str | None


class BatchReply(Reply):
    """One answer for each document sent, in order."""

    data: list[Document | Problem]


class Chunks(Reply):
    data: list[Chunk]
    next_cursor: str | None


class Elements(Reply):
    data: list[Element]
    next_cursor: str | None


class DeadLetters(Reply):
    data: list[DeadLetter]
    next_cursor: str | None


class Readiness(Reply):
    ready: bool
    dependencies: dict[str, Any]

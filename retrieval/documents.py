"""Documents, their collections, their versions and what is owed for them. Times are seconds since the epoch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from retrieval.filters import Condition, FilterFields, encode_fields
from retrieval.identity import IdentityKind
from retrieval.principal import Principal


class DocumentState(StrEnum):
    """The state of a document's newest version."""

    RECEIVED = "received"
    PARSING = "parsing"
    EMBEDDING = "embedding"
    SEARCHABLE = "searchable"
    PARTIAL = "partial"
    FAILED = "failed"
    DELETING = "deleting"
    DELETED = "deleted"

    @property
    def is_final(self) -> bool:
        return self in FINAL_STATES

    @property
    def is_gone(self) -> bool:
        return self in {DocumentState.DELETING, DocumentState.DELETED}


FINAL_STATES = frozenset({DocumentState.SEARCHABLE, DocumentState.PARTIAL, DocumentState.FAILED, DocumentState.DELETED})


class Lane(StrEnum):
    """Interactive work overtakes bulk work, never by more than a batch in progress."""

    INTERACTIVE = "interactive"
    BULK = "bulk"


class Stage(StrEnum):
    """A step that can be owed."""

    PARSE = "parse"
    EMBED = "embed"
    REPAINT = "repaint"
    ERASE = "erase"


class Outcome(StrEnum):
    """How an attempt ended."""

    DONE = "done"
    FAILED = "failed"  # reported by its worker
    INTERRUPTED = "interrupted"  # its process died
    RELEASED = "released"  # given back at shutdown


@dataclass(frozen=True, slots=True)
class Collection:
    """`default_readers` None: everybody in the tenant reads what names no readers."""

    id: str
    tenant: str
    name: str
    description: str | None
    default_readers: tuple[str, ...] | None
    metadata_schema: Mapping[str, Any] | None
    deleting: bool
    created_at: float


@dataclass(frozen=True, slots=True)
class CollectionStatistics:
    """`by_state` counts tombstones under deleted, `total` does not. Chunks and bytes are those of live versions."""

    total: int
    live: int
    by_state: Mapping[str, int]
    chunks: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Document:
    """A document as the catalogue knows it: its attributes, its newest version's state, its live version.

    `readers` is resolved: `("*",)` is everybody of the tenant, `()` nobody but its administrators. `rev` counts changes
    of what points carry. Of the live version, or of the newest while none is live, are: source, media type, language,
    bytes, sha256, pages, chunks, tokens, and the title unless it was given.
    """

    id: str
    tenant: str
    collection_id: str
    collection: str
    identity_kind: IdentityKind
    identity_value: str
    external_id: str | None
    title: str
    title_given: bool
    source: str | None
    media_type: str
    language: str | None
    bytes: int
    sha256: str
    version: int
    live_version: int | None
    live_attempt: int | None
    state: DocumentState
    code: str | None
    reason: str | None
    metadata: Mapping[str, Any]
    readers: tuple[str, ...]
    rev: int
    lane: Lane
    pages: int | None
    chunks: int | None
    tokens: int | None
    created_at: float
    updated_at: float

    def filter_fields(self) -> FilterFields:
        return encode_fields(
            title=self.title,
            external_id=self.external_id,
            source=self.source,
            media_type=self.media_type,
            language=self.language,
            created_at=self.created_at,
            pages=self.pages,
            metadata=self.metadata,
        )


@dataclass(frozen=True, slots=True)
class Content:
    """Where a version's bytes are: in the blob store under `sha256`, or, when small, inline in the catalogue."""

    sha256: str
    bytes: int
    media_type: str
    name: str
    inline_text: str | None = None


@dataclass(frozen=True, slots=True)
class Attributes:
    """What a caller may say about a document; None means it said nothing. `readers` () is nobody.

    `withdrawn` names attributes that the same caller gave before and gives no longer: they are again what they are of a
    document of which nobody said anything.
    """

    title: str | None = None
    external_id: str | None = None
    metadata: Mapping[str, Any] | None = None
    readers: tuple[str, ...] | None = None
    withdrawn: frozenset[str] = frozenset()

    @property
    def given(self) -> frozenset[str]:
        said = {
            "title": self.title,
            "external_id": self.external_id,
            "metadata": self.metadata,
            "readers": self.readers,
        }
        return frozenset(name for name, value in said.items() if value is not None)


@dataclass(frozen=True, slots=True)
class Submission:
    """What intake has made durable and now wants in the catalogue, for `submitter`: it makes new documents, and new
    versions of those that it may see.

    `refusal` is (code, reason) for a drop-folder file that intake would refuse: the version is born failed.
    """

    submitter: Principal
    collection_id: str
    identity_kind: IdentityKind
    identity_value: str
    content: Content
    attributes: Attributes
    default_title: str
    source: str | None
    lane: Lane
    fingerprint: str
    refusal: tuple[str, str] | None = None

    @property
    def tenant(self) -> str:
        return self.submitter.tenant


@dataclass(frozen=True, slots=True)
class TimelineEntry:
    """One attempt at one step. `counts` are the step's own: pages, chunks, reused, embedded, points, …"""

    version: int
    stage: Stage
    attempt: int
    outcome: Outcome | None
    started_at: float
    ended_at: float | None
    counts: Mapping[str, Any] = field(default_factory=dict)
    error: str | None = None
    document_id: str = ""


@dataclass(frozen=True, slots=True)
class LiveState:
    """What the check behind a search needs to know of a document."""

    tenant: str
    collection_id: str
    collection: str
    readers: tuple[str, ...]
    live_version: int | None
    live_attempt: int | None
    gone: bool
    external_id: str | None
    title: str
    metadata: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """Work put aside, with the evidence of why: attempts, the last error, its traceback, the content's digest.

    A closed one waits for nobody: `closed_by` is redriven, dropped, superseded (by a newer version), published or
    deleted.
    """

    id: str
    tenant: str
    collection_id: str
    collection: str
    document_id: str
    title: str
    version: int
    stage: Stage
    code: str
    reason: str
    sha256: str
    attempts: int
    evidence: Mapping[str, Any]
    created_at: float
    closed_at: float | None = None
    closed_by: str | None = None


@dataclass(frozen=True, slots=True)
class LetterSelection:
    """Open dead letters, all that are named: of a collection, of a code, made from `since` on and before `until`.
    `redrivable` leaves out the ones of files that intake refused, and so never stored."""

    collection_id: str | None = None
    code: str | None = None
    since: float | None = None
    until: float | None = None
    redrivable: bool = False


@dataclass(frozen=True, slots=True)
class DocumentSelection:
    """The documents of a collection that meet the condition, and are neither deleted nor being deleted; with `until`,
    those that were first sent before that moment."""

    collection_id: str
    condition: Condition | None = None
    until: float | None = None


@dataclass(frozen=True, slots=True)
class Portion:
    """What one transaction did of a selection: to how many documents, and where the next one starts, None at the
    end."""

    decided: int
    next: str | None

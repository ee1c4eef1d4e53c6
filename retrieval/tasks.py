"""Tasks: what is owed for a document version, who is at it, and what came of it.

A `Task` is owed from the transaction that makes it owed until it is done. A `Claim` is one worker's try at it, with a
fencing number (`attempt`) that every later commit checks: a claim that was lost commits nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from retrieval.documents import Content, Document, Lane, Stage


@dataclass(frozen=True, slots=True)
class TaskPointer:
    """What a queue carries: enough to claim the task, to be fair between tenants, and to run it alone if it must.

    `weight` is how much work it is, for a worker that takes no more than it can hold: the content's bytes for a parse,
    its tokens for an embedding, 0 for the rest. `traceparent` is the W3C trace it belongs to, if it is known.
    """

    task_id: int
    tenant: str
    document_id: str
    stage: Stage
    lane: Lane
    solitary: bool = False
    weight: int = 0
    traceparent: str | None = None


@dataclass(frozen=True, slots=True)
class Claim:
    """A held task. `document` is the row as it was when claimed; `content` and `chunk_file` are its version's. To a
    parse and an embedding, `document` reads as it will once their version is live.

    `subject` narrows an erase: an attempt's number, or "" for everything that the version replaced. `reuse_vectors`
    is false for a reprocessing, which embeds everything again. `content` is None for an erase of a version long gone.
    """

    task_id: int
    attempt: int
    worker: str
    stage: Stage
    version: int
    subject: str
    document: Document
    content: Content | None
    chunk_file: str | None
    reuse_vectors: bool
    failures: int


@dataclass(frozen=True, slots=True)
class ParseOutcome:
    """What the parse stage found. `code` and `reason` say why the document will be partial, if it will."""

    chunk_file: str
    title: str | None
    language: str | None
    pages: int | None
    chunks: int
    tokens: int
    code: str | None = None
    reason: str | None = None
    counts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Failure:
    """Why an attempt failed. `permanent` failures are parked at once, others after the allowed number of tries."""

    code: str
    reason: str
    permanent: bool
    evidence: Mapping[str, Any] = field(default_factory=dict)


class Switch(StrEnum):
    """What the commit that publishes found."""

    SWITCHED = "switched"
    ATTRIBUTES_MOVED = "attributes_moved"  # repaint and try again
    OVERTAKEN = "overtaken"  # a newer version or a delete: this attempt's points are owed an erase
    LOST = "lost"  # somebody else holds the task: likewise


@dataclass(frozen=True, slots=True)
class LiveAttempt:
    """What the index must hold of one document: exactly `chunks` points of this attempt, of revision `rev`."""

    tenant: str
    document_id: str
    attempt: int
    chunks: int
    rev: int

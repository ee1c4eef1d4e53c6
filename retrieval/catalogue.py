"""Catalogue: the one that decides. What it says is so; what the index says is only fast.

Words are those of `documents` and `tasks`. Promises, of every implementation:

- each method is one transaction, durable when it returns; readers never see half of one;
- every owed step is written in the transaction that makes it owed;
- a claim is by compare-and-set; a commit under a claim that was lost changes nothing and says so;
- what a principal may not see does not exist for it: such calls raise `NotFound`;
- failures of the engine or the way to it raise `CatalogueUnavailable`, a full disk `StorageFull`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from retrieval.api_keys import Keys
from retrieval.documents import (
    Attributes,
    Collection,
    CollectionStatistics,
    DeadLetter,
    Document,
    DocumentSelection,
    DocumentState,
    Lane,
    LetterSelection,
    LiveState,
    Portion,
    Stage,
    Submission,
    TimelineEntry,
)
from retrieval.filters import Condition
from retrieval.page import Page
from retrieval.principal import Principal
from retrieval.requests import Recording, Requests
from retrieval.tasks import Claim, Failure, LiveAttempt, ParseOutcome, Switch, TaskPointer

ALL: Final = 2**63 - 1
"""Where a count has a bound: none."""


@dataclass(frozen=True, slots=True)
class BoundModel:
    """What the install is built on: the facts of its embedding spec, and the sha256 of the archive in the blob store
    that processes load the model from; None where every process finds the model on its own machine."""

    spec: Mapping[str, Any]
    archive: str | None


class Unset:
    """The type of `UNSET`: a field that a PATCH does not name, where None is a value."""


UNSET = Unset()


class Collections(Protocol):
    def create(
        self,
        tenant: str,
        name: str,
        *,
        description: str | None = None,
        default_readers: tuple[str, ...] | None = None,
        metadata_schema: Mapping[str, Any] | None = None,
    ) -> Collection:
        """A new collection; `Conflict` while one of this name exists or is being deleted."""
        ...

    def by_name(self, tenant: str, name: str) -> Collection:
        """Raises `NotFound`; a collection being deleted is not found."""
        ...

    def readable(self, principal: Principal, names: Sequence[str] | None = None) -> list[Collection]:
        """All collections the principal may read, or the named ones; `NotFound` for a name that is not among them."""
        ...

    def ever_named(self, principal: Principal, name: str) -> list[Collection]:
        """Every collection that bears or bore this name, also those that are gone: whose tombstones one may ask for.
        `NotFound` where there was never one that the principal may read."""
        ...

    def page(self, principal: Principal, *, after: str | None, limit: int) -> Page[Collection]: ...

    def update(
        self,
        tenant: str,
        name: str,
        *,
        description: str | Unset | None = UNSET,
        default_readers: tuple[str, ...] | Unset | None = UNSET,
        metadata_schema: Mapping[str, Any] | Unset | None = UNSET,
    ) -> Collection: ...

    def delete(self, tenant: str, name: str) -> Collection:
        """Marks it: from now on it accepts nothing and is found by nobody. Its documents are taken in portions."""
        ...

    def take_deletions(self, *, limit: int) -> int:
        """Starts the deletion of up to `limit` documents of collections being deleted, frees the names of those that
        hold nothing but tombstones, and says how many documents it took."""
        ...

    def statistics(self, principal: Principal, collection: Collection) -> CollectionStatistics:
        """Of the documents that this principal may see."""
        ...


class Documents(Protocol):
    def accept(
        self, submissions: Sequence[Submission], *, recording: Recording | None = None
    ) -> list[Document | Exception]:
        """Writes versions and owes their parse, all in one transaction; one answer each, in order.

        The same content again, while that is live or on its way, only applies the attributes. `NotFound` where the
        collection is gone or being deleted, `Quarantined` where the same content is.
        """
        ...

    def get(self, principal: Principal, document_id: str) -> Document: ...

    def states(self, document_ids: Sequence[str]) -> dict[str, tuple[int, DocumentState]]:
        """Version and state of those that exist: what waiters watch."""
        ...

    def page(
        self,
        principal: Principal,
        *,
        collection_ids: Sequence[str] | None = None,
        state: DocumentState | None = None,
        external_id: str | None = None,
        condition: Condition | None = None,
        after: str | None = None,
        limit: int = 50,
    ) -> Page[Document]: ...

    def timelines(self, document_ids: Sequence[str]) -> dict[str, list[TimelineEntry]]: ...

    def chunk_file(self, document: Document) -> str | None:
        """The digest of the live version's chunk file; None while nothing is live."""
        ...

    def content_digest(self, document: Document) -> tuple[str, str | None]:
        """The sha256 of the live version's content (of the newest's while none is live), and the text itself where it
        lives inline. `NotFound` where it was refused at intake and never stored."""
        ...

    def patch(self, principal: Principal, document_id: str, attributes: Attributes, *, readers_reset: bool) -> Document:
        """Applies attributes at once and owes a repaint; a new title also owes a new version.

        `readers_reset` puts the collection's default readers back.
        """
        ...

    def reprocess(
        self, principal: Principal, document_id: str, *, fingerprint: str, recording: Recording | None = None
    ) -> Document:
        """A new version of the newest content that reuses no vector; `Conflict` where that was never stored."""
        ...

    def delete(self, principal: Principal, document_id: str) -> Document: ...

    def count(self, principal: Principal, which: DocumentSelection) -> tuple[int, float]:
        """How many the principal sees, and the moment of that: whoever decides on them says `until` it."""
        ...

    def reprocess_some(
        self, principal: Principal, which: DocumentSelection, *, fingerprint: str, after: str | None, limit: int
    ) -> Portion:
        """`reprocess` of each of the next `limit` at most; those that it would refuse are left."""
        ...

    def delete_some(
        self, principal: Principal, which: DocumentSelection, *, after: str | None, limit: int
    ) -> Portion: ...

    def live_states(self, document_ids: Sequence[str]) -> dict[str, LiveState]:
        """For the check behind every search; unknown ids are left out."""
        ...


class Tasks(Protocol):
    def due(
        self, stages: Sequence[Stage], *, lane: Lane | None = None, excluding: Sequence[int], limit: int
    ) -> list[TaskPointer]:
        """Owed tasks that nobody holds and whose time has come, of one lane or of both with interactive first,
        round-robin over tenants."""
        ...

    def claim(self, task_id: int, *, worker: str, lease_s: float) -> Claim | None:
        """The task, if it is still owed and free; None otherwise (the message is done with).

        Where a lease ran out, its worker died or stood still. That counts as a death of its own if another worker
        outlived it: one that had begun something before this one was last seen, and asks now or holds a live lease.
        Then the task may be parked, or rest before anybody gets it."""
        ...

    def heartbeat(self, worker: str, *, lease_s: float) -> None: ...

    def parsed(self, claim: Claim, outcome: ParseOutcome) -> bool:
        """Commits a parse and owes the embedding; False if the claim was lost or overtaken."""
        ...

    def switch(self, claim: Claim, *, rev: int, counts: Mapping[str, Any]) -> tuple[Switch, Document]:
        """The commit that makes this attempt's points the live ones, and its version's content the one that is shown.

        The version must be the newest, or the one that is live already."""
        ...

    def done(self, claim: Claim, *, counts: Mapping[str, Any]) -> None:
        """An erase or a repaint is done; a document being deleted whose erase this was is now deleted."""
        ...

    def blocking_leases(self, claim: Claim) -> bool:
        """Whether a worker still holds an older version of this document."""
        ...

    def failed(self, claim: Claim, failure: Failure) -> None:
        """Retries later, or parks as a dead letter."""
        ...

    def postpone(self, claim: Claim, *, delay_s: float, growing: bool = True) -> None:
        """Gives the task back for later, jittered; counts for nothing. `growing`: twice as long for each time in a row
        that it was postponed, up to half a minute; a wait that is sure to end soon is always the same."""
        ...

    def released(self, claim: Claim) -> None:
        """Gives the task back for now; counts for nothing."""
        ...

    def killed_alone(self, claim: Claim, *, reason: str) -> None:
        """The process that ran this task alone died of it."""
        ...

    def worker_died(self, worker: str) -> None:
        """A worker's process died and its supervisor outlived it: what it held is free at once, named leases too."""
        ...

    def worker_stopped(self, worker: str) -> None:
        """A worker ends and has not finished everything: what it holds is owed again, and counts for nothing."""
        ...

    def predecessors_died(self) -> int:
        """Every holder of every lease is known to be dead with its whole group: counts for nothing. How many held."""
        ...

    def open_count(self, *, at_most: int = ALL) -> int:
        """Tasks not done, of whatever stage: 0 is quiet. Counted up to `at_most` and no further."""
        ...

    def backlog(self, *, at_most: int) -> int:
        """Open parse and embed tasks of versions that are not live, counted up to `at_most` and no further. What is
        live and embedded again (a lost index, another model) is none of it."""
        ...

    def leased_attempts(self) -> set[int]:
        """Of every task that a worker holds: for one who asks whether its claim still stands."""
        ...

    def attempts_of_use(self, *, earlier: int) -> set[int]:
        """The attempts whose points somebody needs although they are not live: of each embedding that is owed and
        still leads anywhere the attempt that holds it, and the last `earlier` before, interrupted or released, whose
        vectors it (or the one that comes next) takes over. An attempt that is held is of use until it ends."""
        ...

    def live_attempts(self, *, after: str | None, limit: int) -> Page[LiveAttempt]:
        """Every document that is live, in order of id: what the index must hold."""
        ...

    def owe_embedding(self, document_id: str, *, attempt: int) -> bool:
        """Owes the live version's embedding again; False if that attempt is not the live one any more, or if a newer
        version is on its way and will replace it (one that failed will not)."""
        ...

    def owe_repaint(self, document_id: str) -> bool: ...


class DeadLetters(Protocol):
    def page(
        self, principal: Principal, *, collection_id: str | None, code: str | None, after: str | None, limit: int
    ) -> Page[DeadLetter]: ...

    def get(self, principal: Principal, letter_id: str) -> DeadLetter:
        """An open one or a closed one; lists hold the open ones."""
        ...

    def redrive(self, principal: Principal, letter_id: str, *, recording: Recording | None = None) -> Document:
        """The version starts again; `Conflict` when it is no longer the newest."""
        ...

    def drop(self, principal: Principal, letter_id: str) -> None:
        """Closes an open one. Of a closed one whose content is still refused, this ends; any other is `NotFound`."""
        ...

    def count(self, principal: Principal, which: LetterSelection) -> tuple[int, float]:
        """How many there are, and the moment of that: whoever decides on them says `until` it, for what is redriven may
        come back as a new one."""
        ...

    def redrive_some(self, principal: Principal, which: LetterSelection, *, limit: int) -> int:
        """The oldest of the redrivable ones among them start again; how many, 0 at the end."""
        ...

    def drop_some(self, principal: Principal, which: LetterSelection, *, limit: int) -> int:
        """The oldest of them are closed; how many, 0 at the end."""
        ...

    def unannounced(self, *, limit: int) -> list[DeadLetter]:
        """The oldest ones, open or closed, of every tenant, that nobody outside was told of."""
        ...

    def announced(self, letter_ids: Sequence[str]) -> None:
        """Whoever listens outside has these."""
        ...


CONFIRMED: Final = 0.0  # the `missing_since` of a file whose document is to be deleted as somebody decided


@dataclass(frozen=True, slots=True)
class DropFile:
    """What the watcher remembers of a file: enough never to submit it unchanged twice.

    `path` is relative to the drop folder. `missing_since` is set while the file is gone and its grace time runs;
    `sidecar` is the digest of its metadata file, "" without one, and `described` names the attributes that a sidecar
    gave the document: what a later one leaves out is taken back. `ctime_ns` 0 is not known: the content decides.
    """

    path: str
    collection: str
    size: int
    mtime_ns: int
    sha256: str
    sidecar: str
    document_id: str
    missing_since: float | None = None
    held: bool = False
    refused: str | None = None
    ctime_ns: int = 0
    described: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class DropReport:
    """What the last scan saw."""

    last_scan: float | None = None
    held: Sequence[DropFile] = field(default_factory=tuple)
    refused: Sequence[DropFile] = field(default_factory=tuple)
    ignored: Sequence[str] = field(default_factory=tuple)
    waiting: str = ""


class DropFiles(Protocol):
    def all(self) -> dict[str, DropFile]: ...

    def remember(self, files: Sequence[DropFile]) -> None: ...

    def forget(self, paths: Sequence[str]) -> None: ...

    def scanned(self, at: float, *, waiting: str = "") -> None:
        """`waiting` says why the scan left files for later, if it did."""
        ...

    def report(self) -> DropReport: ...

    def decide_held(self, *, delete: bool) -> int:
        """Confirms (the files' documents will be deleted) or discards (they stay, and the files are forgotten)."""
        ...


class Leases(Protocol):
    def hold(self, name: str, *, holder: str, seconds: float) -> bool:
        """Takes or renews a named lease; False while somebody else holds it."""
        ...

    def release(self, name: str, *, holder: str) -> None: ...


class BlobRecords(Protocol):
    def touch(self, tenant: str, digest: str) -> None:
        """Said before a blob is put, so that the janitor does not sweep it before it is referenced."""
        ...

    def sweep(self, remove: Callable[[str, str], None], *, untouched_since: float, limit: int) -> int:
        """Removes blobs that no version needs and nobody touched since: `remove(tenant, digest)` deletes the bytes
        while nobody can touch them. How many."""
        ...


class Catalogue(Protocol):
    @property
    def collections(self) -> Collections: ...

    @property
    def documents(self) -> Documents: ...

    @property
    def tasks(self) -> Tasks: ...

    @property
    def dead_letters(self) -> DeadLetters: ...

    @property
    def drop_files(self) -> DropFiles: ...

    @property
    def leases(self) -> Leases: ...

    @property
    def blobs(self) -> BlobRecords: ...

    @property
    def keys(self) -> Keys: ...

    @property
    def requests(self) -> Requests: ...

    def changes(self) -> int:
        """A number that moves when another connection may have committed: cheap to ask, for waiters."""
        ...

    def fenced(self, lease: str, *, holder: str) -> Catalogue:
        """The same catalogue for the holder of a named lease: what it writes after the lease was taken over, or given
        back, changes nothing and raises `CatalogueUnavailable`; who takes over waits for a write that has begun. Its
        `leases` are not fenced."""
        ...

    def bind_model(self, spec: Mapping[str, Any], *, archive: str | None = None) -> None:
        """Remembers the embedding spec this install is built on, and where its model is; `Conflict` with the remedy
        for another spec. Without `archive` the one that is known stays."""
        ...

    def bound_model(self) -> BoundModel | None:
        """None before the first `bind_model`."""
        ...

    def healthy(self) -> None:
        """Raises `CatalogueUnavailable`."""
        ...

    def close(self) -> None: ...

"""Named points on a document's way, at which a process of a test dies, stands still or fails, once.

A point is armed by a file `ACTION--POINT--EDGE--TOKEN`; the token is the document's id, or the sha256 of its content
where it has no id yet. The process that comes by moves the file away, so that it happens to nobody else, and then does
to itself what the action says. Only processes that `process_forge` starts have these points.
"""

from __future__ import annotations

import errno
import functools
import os
import signal
import threading
from collections.abc import Callable, Iterable
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ingest.embed_stage import EmbedStage
from ingest.folder_blobs import FolderBlobs
from ingest.intake import Intake
from ingest.kafka_queue.stage_consumer import StageConsumer
from ingest.kafka_queue.task_queue import KafkaQueue
from ingest.parse_stage import ParseStage
from ingest.parser_pool import ParserPool
from ingest.publication import Publisher
from ingest.upkeep import Upkeep
from retrieval.documents import Stage
from retrieval.errors import CatalogueUnavailable, IndexUnavailable, QueueUnavailable
from retrieval.socket_index import SocketIndex
from retrieval.sql_catalogue.documents import SqlDocuments
from retrieval.sql_catalogue.tasks import SqlTasks

POINTS = (
    *("accept", "blob", "row", "publish_parse", "consume_parse", "parse", "chunk_file", "publish_embed"),
    *("consume_embed", "embed", "upsert", "count", "probe", "set_live", "switch", "delete_old", "record", "commit"),
)
EDGES = ("before", "after")
KILL, STOP, FAIL = "kill", "stop", "fail"
BY_CONTENT = {"accept", "blob", "row"}

# What a step says when what it needs is not there; said after the step, it is an acknowledgement that was lost.
FAILURES: dict[str, Callable[[], Exception]] = {
    "blob": lambda: OSError(errno.ENOSPC, "No space left on device"),
    "row": CatalogueUnavailable,
    "publish_parse": QueueUnavailable,
    "parse": lambda: RuntimeError("a bug in a parser"),
    "chunk_file": lambda: OSError(errno.ENOSPC, "No space left on device"),
    "publish_embed": QueueUnavailable,
    "embed": lambda: RuntimeError("a bug in an embedder"),
    "upsert": IndexUnavailable,
    "count": IndexUnavailable,
    "probe": IndexUnavailable,
    "set_live": IndexUnavailable,
    "switch": CatalogueUnavailable,
    "delete_old": IndexUnavailable,
    "record": CatalogueUnavailable,
}

Tokens = Callable[..., Iterable[str]]


class FaultPoints:
    def __init__(self, folder: Path) -> None:
        self._armed, self._fired = folder / "armed", folder / "fired"
        self._current = threading.local()
        self._acknowledged: set[str] = set()

    def install(self) -> None:
        """Wraps the steps of this process."""
        self._step(Intake, "accept_file", "accept", lambda _principal, _collection, item, **_: [item.spooled.sha256])
        self._step(FolderBlobs, "put", "blob", lambda _tenant, digest, _source: [digest])
        self._step(SqlDocuments, "accept", "row", lambda submissions, **_: [one.content.sha256 for one in submissions])
        self._step(ParserPool, "parse", "parse", lambda *_, **__: self._here())
        self._step(FolderBlobs, "put_bytes", "chunk_file", lambda *_: self._here())
        self._step(SocketIndex, "upsert", "upsert", lambda _, points: {one.placement.document_id for one in points})
        self._step(SocketIndex, "count", "count", lambda *_: self._here())
        self._step(Publisher, "_probe", "probe", lambda _, where, __: [where.document_id])
        self._step(SocketIndex, "set_live", "set_live", lambda _, where: [where.document_id])
        self._step(SqlTasks, "switch", "switch", lambda claim, **_: [claim.document.id])
        self._step(Upkeep, "_delete", "delete_old", lambda claim, _: [claim.document.id])
        self._step(SqlTasks, "done", "record", lambda claim, **_: [claim.document.id])
        self._within(ParseStage, "run")
        self._within(Publisher, "publish")
        self._embedding()
        self._queue()

    def fire(self, point: str, edge: str, tokens: Iterable[str]) -> None:
        """What is armed for any of the documents that are at this step happens to all of them, the gravest of it."""
        known = list(tokens)
        for action in (KILL, STOP, FAIL):
            if [token for token in known if self._take(f"{action}--{point}--{edge}--{token}")]:
                self._do(action, point)

    def _take(self, name: str) -> bool:
        if not (self._armed / name).exists():
            return False
        try:
            (self._armed / name).rename(self._fired / f"{name}--{os.getpid()}")
        except FileNotFoundError:
            return False
        return True

    def _do(self, action: str, point: str) -> None:
        if action == FAIL:
            raise FAILURES[point]()
        os.kill(os.getpid(), signal.SIGKILL if action == KILL else signal.SIGSTOP)

    # --- how steps are wrapped

    def _step(self, owner: type, name: str, point: str, tokens: Tokens) -> None:
        step = getattr(owner, name)

        @functools.wraps(step)
        def wrapped(this: Any, *arguments: Any, **named: Any) -> Any:
            known = list(tokens(*arguments, **named))
            self.fire(point, "before", known)
            result = step(this, *arguments, **named)
            self.fire(point, "after", known)
            return result

        setattr(owner, name, wrapped)

    def _within(self, owner: type, name: str) -> None:
        """Steps inside it that know no document belong to the one of its claim."""
        outer = getattr(owner, name)

        @functools.wraps(outer)
        def wrapped(this: Any, claim: Any, *arguments: Any, **named: Any) -> Any:
            with self._working_on(claim.document.id):
                return outer(this, claim, *arguments, **named)

        setattr(owner, name, wrapped)

    @contextmanager
    def _working_on(self, document: str) -> Any:
        self._current.document = document
        try:
            yield
        finally:
            self._current.document = None

    def _embedding(self) -> None:
        """One call for the vectors of several documents, before any of them is written."""
        embed, vectors = EmbedStage._embed, EmbedStage._vectors
        current: list[str] = []  # a stage has one thread

        def embedding(stage: Any, portions: Any) -> None:
            current[:] = [one.document.claim.document.id for one in portions]
            embed(stage, portions)

        def computing(stage: Any, texts: Any) -> Any:
            known = list(current)
            self.fire("embed", "before", known)
            found = vectors(stage, texts)
            self.fire("embed", "after", known)
            return found

        EmbedStage._embed = embedding  # type: ignore[method-assign]
        EmbedStage._vectors = computing  # type: ignore[method-assign]

    def _here(self) -> list[str]:
        document = getattr(self._current, "document", None)
        return [] if document is None else [document]

    def _queue(self) -> None:
        publish, deliver = KafkaQueue.publish, StageConsumer._deliver
        acknowledge, commit = KafkaQueue.acknowledge, StageConsumer._commit
        committed = StageConsumer._committed

        def publishing(queue: Any, pointers: Any) -> None:
            for edge in EDGES:
                for stage in (Stage.PARSE, Stage.EMBED):
                    self.fire(f"publish_{stage}", edge, [one.document_id for one in pointers if one.stage is stage])
                if edge == "before":
                    publish(queue, pointers)

        def delivering(consumer: Any, record: Any, pointer: Any) -> None:
            self.fire(f"consume_{pointer.stage}", "before", [pointer.document_id])
            deliver(consumer, record, pointer)
            self.fire(f"consume_{pointer.stage}", "after", [pointer.document_id])

        def acknowledging(queue: Any, delivery: Any) -> None:
            acknowledge(queue, delivery)
            self._acknowledged.add(delivery.pointer.document_id)

        def committing(consumer: Any, client: Any) -> None:
            if consumer._committing is None and any(held.uncommitted for held in consumer._holdings().values()):
                self.fire("commit", "before", list(self._acknowledged))
            commit(consumer, client)

        def was_committed(consumer: Any, future: Any, positions: Any) -> None:
            committed(consumer, future, positions)
            if positions:
                self.fire("commit", "after", list(self._acknowledged))

        KafkaQueue.publish = publishing  # type: ignore[method-assign]
        KafkaQueue.acknowledge = acknowledging  # type: ignore[method-assign]
        StageConsumer._deliver = delivering  # type: ignore[method-assign]
        StageConsumer._commit = committing  # type: ignore[method-assign]
        StageConsumer._committed = was_committed  # type: ignore[method-assign]

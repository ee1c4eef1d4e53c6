"""Serves an index to other processes over a unix socket or a TCP port.

One thread (the one that calls `serve`) runs every call of the engine, one after the other, most urgent first: a search
waits for at most the one call that runs. Each connection has a thread that reads, decodes and answers.
"""

from __future__ import annotations

import contextlib
import logging
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path
from typing import Any, Final, Protocol

from retrieval.errors import IndexUnavailable
from retrieval.filters import FilterFields
from retrieval.index import Index, Selection, StoredPoint
from retrieval.index_wire import HELLO, Outcome, WireError, encode, parse_address, receive

logger = logging.getLogger(__name__)

# 0.2 s: a burst of writes has a pause this long only when it is over, and a flush may stand still for longer than that.
FLUSH_AFTER_S: Final = 0.2
# At most this many calls in a row go before an older, less urgent one: ingestion slows under load, but never stops.
OVERTAKEN: Final = 16
HELLO_S: Final = 5.0  # who connects and says nothing is hung up on
_BACKLOG: Final = 128
_TICK_S: Final = 0.05  # how soon a stop is noticed
_STOP_S: Final = 5.0  # how long requests already received may still be answered


class ServedIndex(Index, Protocol):
    """An index that can be served: it also reads and writes in portions (which say whether there is more), and
    writes to disk when told."""

    def page(
        self, tenant: str | None, where: Selection | None, *, vectors: bool, after: str | None
    ) -> tuple[list[StoredPoint], str | None]: ...

    def set_live_some(self, tenant: str, where: Selection) -> bool: ...

    def repaint_some(
        self, tenant: str, document_id: str, *, rev: int, readers: tuple[str, ...], fields: FilterFields
    ) -> bool: ...

    def delete_some(self, tenant: str, where: Selection) -> bool: ...

    def flush(self) -> None: ...


class Urgency(IntEnum):
    SEARCH = 0
    READ = 1
    WRITE = 2
    BULK = 3


METHODS: Final[Mapping[str, Urgency]] = {
    "search": Urgency.SEARCH,
    "search_selection": Urgency.READ,
    "retrieve": Urgency.READ,
    "chunk_points": Urgency.READ,
    "count": Urgency.READ,
    "health": Urgency.READ,
    "upsert": Urgency.WRITE,
    "set_live_some": Urgency.WRITE,
    "repaint_some": Urgency.WRITE,
    "delete_some": Urgency.WRITE,
    "page": Urgency.BULK,
}


@dataclass(slots=True)
class _Job:
    """One request. `reply` is set, then `done`."""

    method: str
    arguments: Mapping[str, Any]
    came: float = field(default_factory=time.monotonic)
    reply: tuple[Outcome, Any] = (Outcome.UNAVAILABLE, "The index is stopping.")
    done: threading.Event = field(default_factory=threading.Event)


class _Agenda:
    """What waits to be run, most urgent first; the oldest of all after `OVERTAKEN` that were taken before it."""

    def __init__(self) -> None:
        self._waiting: dict[Urgency, deque[_Job]] = {urgency: deque() for urgency in Urgency}
        self._changed = threading.Condition()
        self._overtaken = 0
        self._closed = False

    def put(self, job: _Job) -> None:
        with self._changed:
            if self._closed:
                job.done.set()
            else:
                self._waiting[METHODS[job.method]].append(job)
                self._changed.notify()

    def take(self, timeout: float) -> _Job | None:
        """The next job; None if there is none for `timeout` seconds."""
        with self._changed:
            self._changed.wait_for(self._any, timeout)
            return self._taken() if self._any() else None

    def close(self) -> None:
        """What comes from now on is answered "stopping"; what already waits can still be taken."""
        with self._changed:
            self._closed = True

    def drop(self) -> None:
        with self._changed:
            while self._any():
                self._taken().done.set()

    def _any(self) -> bool:
        return any(self._waiting.values())

    def _taken(self) -> _Job:
        queues = [jobs for jobs in self._waiting.values() if jobs]
        urgent, oldest = queues[0], min(queues, key=lambda jobs: jobs[0].came)
        self._overtaken = self._overtaken + 1 if urgent is not oldest else 0
        if self._overtaken > OVERTAKEN:
            self._overtaken = 0
            return oldest.popleft()
        return urgent.popleft()


def serve(index: ServedIndex, address: str, *, ready: Callable[[], None] | None = None, stop: threading.Event) -> None:
    """Answers until `stop` is set, then finishes what was received and flushes. Closing the index is the caller's.

    `address` is the path of a unix socket (made for this user alone) or `host:port`; a stale socket is replaced.
    Raises `IndexUnavailable` when somebody else listens there.
    """
    with contextlib.closing(_listen(address)) as listener:
        _Server(index, listener).run(ready, stop)
    if isinstance(where := parse_address(address), Path):
        where.unlink(missing_ok=True)


class _Server:
    def __init__(self, index: ServedIndex, listener: socket.socket) -> None:
        self._index = index
        self._listener = listener
        self._agenda = _Agenda()
        self._unflushed = False
        self._stopping = False
        self._connections: set[socket.socket] = set()
        self._lock = threading.Lock()

    def run(self, ready: Callable[[], None] | None, stop: threading.Event) -> None:
        threading.Thread(target=self._accept, name="index-accept", daemon=True).start()
        if ready is not None:
            ready()
        quiet_since = time.monotonic()
        while not stop.is_set():
            job = self._agenda.take(_TICK_S)
            if job is not None:
                self._run(job)
                quiet_since = time.monotonic()
            elif self._unflushed and time.monotonic() - quiet_since >= FLUSH_AFTER_S:
                self._flush()
        self._finish()

    def _finish(self) -> None:
        """Runs what had been received, writes it to disk, and hangs up."""
        deadline = time.monotonic() + _STOP_S
        self._stopping = True
        self._listener.shutdown(socket.SHUT_RDWR)  # ends `accept`, which closing would not
        self._agenda.close()
        while time.monotonic() < deadline and (job := self._agenda.take(0)) is not None:
            self._run(job)
        self._agenda.drop()
        self._flush()
        with self._lock:
            for connection in self._connections:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RD)  # replies on their way still leave
        while self._connections and time.monotonic() < deadline:
            time.sleep(_TICK_S / 10)

    def _flush(self) -> None:
        self._unflushed = False
        try:
            self._index.flush()
        except IndexUnavailable:
            logger.exception("the index could not be flushed")

    def _run(self, job: _Job) -> None:
        self._unflushed |= METHODS[job.method] is Urgency.WRITE
        try:
            job.reply = (Outcome.OK, getattr(self._index, job.method)(**job.arguments))
        except IndexUnavailable as error:
            job.reply = (Outcome.UNAVAILABLE, str(error))
        except ValueError as error:
            job.reply = (Outcome.INVALID, str(error))
        except Exception as error:
            logger.exception("index method %s failed", job.method)
            job.reply = (Outcome.BUG, f"{type(error).__name__} in {job.method}")
        finally:
            job.done.set()

    # --- connections

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError as error:
                if self._stopping:
                    return
                logger.warning("an index connection could not be accepted: %s", error)
                time.sleep(_TICK_S)  # out of file descriptors, most likely: some will be given back
                continue
            threading.Thread(target=self._serve, args=(connection,), name="index-connection", daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with self._lock:
            self._connections.add(connection)
        try:
            self._converse(connection)
        except (OSError, WireError) as error:
            logger.info("an index connection ended: %s", error)
        finally:
            with self._lock:
                self._connections.discard(connection)
            connection.close()

    def _converse(self, connection: socket.socket) -> None:
        if connection.family != socket.AF_UNIX:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.settimeout(HELLO_S)
        if (hello := receive(connection)) is not None:
            connection.sendall(encode(HELLO))
        if hello != HELLO:
            raise WireError(f"Not a client of this version: {str(hello)[:100]}")
        connection.settimeout(None)
        while (request := receive(connection)) is not None:
            connection.sendall(self._answered(request))

    def _answered(self, request: Any) -> bytes:
        match request:
            case (str(method), dict(arguments)) if method in METHODS:
                job = _Job(method, arguments)
                self._agenda.put(job)
                job.done.wait()
                return encode(_wire_reply(*job.reply))
            case _:
                raise WireError("Not a request.")


def _wire_reply(outcome: Outcome, value: Any) -> tuple[str, Any]:
    return outcome.value, dict(value) if isinstance(value, Mapping) else value


def _listen(address: str) -> socket.socket:
    match parse_address(address):
        case Path() as path:
            return _listen_unix(path)
        case host, port:
            listener = socket.create_server((host, port), backlog=_BACKLOG)
    return listener


def _listen_unix(path: Path) -> socket.socket:
    if _answers(path):
        raise IndexUnavailable(f"Another index process listens on {path}.")
    path.unlink(missing_ok=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(str(path))
    path.chmod(0o600)  # nobody can connect before the next line
    listener.listen(_BACKLOG)
    return listener


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(str(path))
        except OSError:
            return False
        return True

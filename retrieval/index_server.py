"""Serves an index to other processes over a unix socket or a TCP port.

Each connection has a thread that reads, decodes, runs the engine's call and answers. The calls take turns, most urgent
first: a search waits for at most the one call that runs. The thread that calls `serve` writes to disk in the pauses.
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
from retrieval.index_wire import HELLO, Outcome, WireError, columns_of, encode, parse_address, receive

logger = logging.getLogger(__name__)

# 0.2 s: a burst of writes has a pause this long only when it is over, and a flush may stand still for longer than that.
FLUSH_AFTER_S: Final = 0.2
# At most this many calls in a row go before an older, less urgent one: ingestion slows under load, but never stops.
OVERTAKEN: Final = 16
HELLO_S: Final = 5.0  # who connects and says nothing is hung up on
_BACKLOG: Final = 128
_TICK_S: Final = 0.05  # how soon it is noticed that a burst of writes is over
_IDLE_TICK_S: Final = 0.25  # how soon a stop is noticed
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

# What is not sent as it is.
_ON_THE_WIRE: Final[Mapping[str, Callable[[Any], Any]]] = {
    "search": lambda arms: [columns_of(found) for found in arms],
    "search_selection": columns_of,
    "health": dict,
}


@dataclass(slots=True)
class _Waiter:
    """Who waits for a turn. `admitted` is set before `called`, unless the turn will never come."""

    came: float
    admitted: bool = False
    called: threading.Event = field(default_factory=threading.Event)


class _Turns:
    """Whose turn at the engine it is. Who finds it free takes it at once, with nobody to wake; who gives it back hands
    it to the most urgent that waits, or to the oldest of all after `OVERTAKEN` that went before it."""

    def __init__(self) -> None:
        self._waiting: dict[Urgency, deque[_Waiter]] = {urgency: deque() for urgency in Urgency}
        self._lock = threading.Lock()
        self._given_back = threading.Condition(self._lock)
        self._taken = False
        self._closed = False
        self._overtaken = 0
        self._last = time.monotonic()

    def take(self, urgency: Urgency) -> bool:
        """Waits for a turn; False when there will be none."""
        with self._lock:
            if self._closed:
                return False
            if not self._taken:
                self._taken = True
                return True
            waiter = _Waiter(time.monotonic())
            self._waiting[urgency].append(waiter)
        waiter.called.wait()
        return waiter.admitted

    def take_after_a_pause(self, seconds: float) -> bool:
        """A turn, if nobody has had one for so long."""
        with self._lock:
            if self._taken or time.monotonic() - self._last < seconds:
                return False
            self._taken = True
            return True

    def give_back(self) -> None:
        with self._lock:
            self._last = time.monotonic()
            if (following := self._following()) is None:
                self._taken = False
                self._given_back.notify_all()
                return
            following.admitted = True
        following.called.set()

    def close(self, deadline: float) -> None:
        """Who comes from now on gets no turn, and who still waits at the deadline neither. Returns with the last turn
        given back."""
        with self._lock:
            self._closed = True
            self._given_back.wait_for(lambda: not self._taken, max(0.0, deadline - time.monotonic()))
            while (left := self._following()) is not None:
                left.called.set()
            self._given_back.wait_for(lambda: not self._taken)

    def _following(self) -> _Waiter | None:
        queues = [waiters for waiters in self._waiting.values() if waiters]
        if not queues:
            return None
        urgent, oldest = queues[0], min(queues, key=lambda waiters: waiters[0].came)
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
        self._turns = _Turns()
        self._unflushed = False
        self._stopping = False
        self._connections: set[socket.socket] = set()
        self._lock = threading.Lock()

    def run(self, ready: Callable[[], None] | None, stop: threading.Event) -> None:
        threading.Thread(target=self._accept, name="index-accept", daemon=True).start()
        if ready is not None:
            ready()
        while not stop.wait(_TICK_S):
            if self._unflushed and self._turns.take_after_a_pause(FLUSH_AFTER_S):
                self._flush()
                self._turns.give_back()
        self._finish()

    def _finish(self) -> None:
        """Lets what had been received run, writes it to disk, and hangs up."""
        deadline = time.monotonic() + _STOP_S
        self._stopping = True
        self._listener.shutdown(socket.SHUT_RDWR)  # ends `accept`, which closing would not
        self._turns.close(deadline)
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

    def _reply(self, method: str, arguments: Mapping[str, Any]) -> bytes:
        """Runs the call in its turn. The reply is encoded before the turn is given back: afterwards it would have to
        wait for the next call of the engine, which has Python's lock from its beginning to its end."""
        if not self._turns.take(METHODS[method]):
            return encode((Outcome.UNAVAILABLE.value, "The index is stopping."))
        try:
            return encode(self._called(method, arguments))
        finally:
            self._turns.give_back()

    def _called(self, method: str, arguments: Mapping[str, Any]) -> tuple[str, Any]:
        self._unflushed |= METHODS[method] is Urgency.WRITE
        try:
            answer = getattr(self._index, method)(**arguments)
            return Outcome.OK.value, _ON_THE_WIRE[method](answer) if method in _ON_THE_WIRE else answer
        except IndexUnavailable as error:
            return Outcome.UNAVAILABLE.value, str(error)
        except ValueError as error:
            return Outcome.INVALID.value, str(error)
        except Exception as error:
            logger.exception("index method %s failed", method)
            return Outcome.BUG.value, f"{type(error).__name__} in {method}"

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
                return self._reply(method, arguments)
            case _:
                raise WireError("Not a request.")


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

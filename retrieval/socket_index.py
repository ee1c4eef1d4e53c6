"""Index in another process, asked over a socket (`index_server` answers there)."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from retrieval.errors import IndexUnavailable
from retrieval.filters import FilterFields
from retrieval.index import RETRIEVING, Arm, Candidate, Point, SearchScope, Selection, StoredPoint
from retrieval.index_wire import HELLO, Outcome, WireError, candidates_of, encode, parse_address, receive

UPSERT: Final = 64  # points a call: about 5 ms of the engine, which is what a search may have to wait for
# Connections kept for the next call: two arms each of as many searches as have a permit. Who needs more opens more, and
# closes them.
_IDLE: Final = 32


class SocketIndex:
    """The index process at `address`: the path of a unix socket, or `host:port`. Safe to share between threads.

    A call fails with `IndexUnavailable` when the process cannot be reached within `connect_s`, does not answer within
    `timeout_s`, or says so. A connection that had gone stale (the process was restarted) is replaced once, silently:
    every method may be sent twice.
    """

    def __init__(self, address: str, *, connect_s: float = 2.0, timeout_s: float = 60.0) -> None:
        self._address = address
        self._where = parse_address(address)
        self._connect_s = connect_s
        self._timeout_s = timeout_s
        self._lock = threading.Lock()
        self._idle: list[socket.socket] = []
        self._closed = False

    # --- the port

    def upsert(self, tenant: str, points: Sequence[Point]) -> None:
        for start in range(0, len(points), UPSERT):
            self._ask("upsert", tenant=tenant, points=list(points[start : start + UPSERT]))

    def count(self, tenant: str, where: Selection) -> int:
        return int(self._ask("count", tenant=tenant, where=where))

    def retrieve(self, tenant: str, ids: Sequence[str], *, vectors: bool = False) -> list[StoredPoint]:
        found: list[StoredPoint] = []
        for start in range(0, len(ids), RETRIEVING):
            found += self._ask("retrieve", tenant=tenant, ids=list(ids[start : start + RETRIEVING]), vectors=vectors)
        return found

    @contextlib.contextmanager
    def retrieving(self, tenant: str, ids: Sequence[str]) -> Iterator[Callable[[], list[StoredPoint]]]:
        with self._asked("retrieve", tenant=tenant, ids=list(ids), vectors=False) as answer:
            yield lambda: list(answer())

    def search(self, scope: SearchScope, arms: Sequence[Arm], *, limit: int) -> list[list[Candidate]]:
        with self.searching(scope, arms, limit=limit) as answer:
            return answer()

    @contextlib.contextmanager
    def searching(
        self, scope: SearchScope, arms: Sequence[Arm], *, limit: int
    ) -> Iterator[Callable[[], list[list[Candidate]]]]:
        with self._asked("search", scope=scope, arms=list(arms), limit=limit) as answer:
            yield lambda: [candidates_of(columns) for columns in answer()]

    def search_selection(self, tenant: str, where: Selection, arm: Arm, *, limit: int) -> list[Candidate]:
        return candidates_of(self._ask("search_selection", tenant=tenant, where=where, arm=arm, limit=limit))

    def set_live(self, tenant: str, where: Selection) -> None:
        while self._ask("set_live_some", tenant=tenant, where=where):
            pass

    def repaint(
        self, tenant: str, document_id: str, *, rev: int, readers: tuple[str, ...], fields: FilterFields
    ) -> None:
        paint = {"rev": rev, "readers": readers, "fields": dict(fields)}
        while self._ask("repaint_some", tenant=tenant, document_id=document_id, **paint):
            pass

    def delete(self, tenant: str, where: Selection) -> None:
        while self._ask("delete_some", tenant=tenant, where=where):
            pass

    def points_of(self, tenant: str, where: Selection, *, vectors: bool = False) -> Iterator[StoredPoint]:
        return self._pages(tenant, where, vectors=vectors)

    def chunk_points(self, tenant: str, chunk_id: str) -> list[StoredPoint]:
        return list(self._ask("chunk_points", tenant=tenant, chunk_id=chunk_id))

    def scroll(self, *, tenant: str | None = None, vectors: bool = False) -> Iterator[StoredPoint]:
        return self._pages(tenant, None, vectors=vectors)

    def health(self) -> Mapping[str, Any]:
        return dict(self._ask("health"))

    def close(self) -> None:
        """Hangs up; calls after it raise `IndexUnavailable`."""
        with self._lock:
            self._closed = True
        self._hang_up()

    def _pages(self, tenant: str | None, where: Selection | None, *, vectors: bool) -> Iterator[StoredPoint]:
        after: str | None = None
        while True:
            points, after = self._ask("page", tenant=tenant, where=where, vectors=vectors, after=after)
            yield from points
            if after is None:
                return

    # --- the way there

    def _ask(self, method: str, **arguments: Any) -> Any:
        with self._asked(method, **arguments) as answer:
            return answer()

    @contextlib.contextmanager
    def _asked(self, method: str, **arguments: Any) -> Iterator[Callable[[], Any]]:
        """The request is sent; what is yielded waits for the reply. Left without that, the connection is closed."""
        request = encode((method, arguments))
        with self._translated(method):
            call = self._sent(request)

        def answer() -> Any:
            with self._translated(method):
                return _value_of(self._received(call))

        try:
            yield answer
        finally:
            if not call.answered:  # a late reply must not become the next caller's
                call.connection.close()

    @contextlib.contextmanager
    def _translated(self, method: str) -> Iterator[None]:
        try:
            yield
        except TimeoutError as error:
            raise IndexUnavailable(f"The index at {self._address} did not answer {method} in time.") from error
        except (OSError, WireError) as error:
            raise IndexUnavailable(f"The index at {self._address} cannot be reached: {error}") from error

    def _sent(self, request: bytes) -> _Call:
        """On a kept connection if that is still good, else on a new one."""
        if (kept := self._kept()) is not None:
            call = _Call(request, kept, replaceable=True)
            try:
                call.send()
            except TimeoutError:
                raise
            except OSError:
                self._replace(call)
            return call
        call = _Call(request, self._connected())
        call.send()
        return call

    def _received(self, call: _Call) -> tuple[str, Any]:
        try:
            reply = call.receive()
        except TimeoutError:
            raise
        except (OSError, WireError):
            if not call.replaceable:
                raise
            self._replace(call)
            reply = call.receive()
        self._keep(call.connection)
        return reply

    def _replace(self, call: _Call) -> None:
        """The process went away, and with it the other ends of all connections that were kept."""
        self._hang_up()
        call.connection, call.replaceable = self._connected(), False
        call.send()

    def _connected(self) -> socket.socket:
        match self._where:
            case Path() as path:
                connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
                target: Any = str(path)
            case host, port:
                connection = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
                target = (host, port)
        try:
            connection.settimeout(self._connect_s)
            connection.connect(target)
            if connection.family != socket.AF_UNIX:
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection.settimeout(self._timeout_s)  # the engine may be at work before it says hello
            connection.sendall(encode(HELLO))
            if (hello := receive(connection)) != HELLO:
                raise WireError(f"it speaks another version: {str(hello)[:100]}")
        except BaseException:
            connection.close()
            raise
        return connection

    def _kept(self) -> socket.socket | None:
        with self._lock:
            if self._closed:
                raise IndexUnavailable("This index connection is closed.")
            return self._idle.pop() if self._idle else None

    def _keep(self, connection: socket.socket) -> None:
        with self._lock:
            if not self._closed and len(self._idle) < _IDLE:
                self._idle.append(connection)
                return
        connection.close()

    def _hang_up(self) -> None:
        with self._lock:
            idle, self._idle = self._idle, []
        for connection in idle:
            with contextlib.suppress(OSError):
                connection.close()


@dataclass(slots=True)
class _Call:
    """A request on its way: until its reply has been read, nobody else has its connection. `replaceable`: that was a
    kept one, which may have gone stale."""

    request: bytes
    connection: socket.socket
    replaceable: bool = False
    answered: bool = False

    def send(self) -> None:
        with self._closed_if_it_fails():
            self.connection.sendall(self.request)

    def receive(self) -> tuple[str, Any]:
        with self._closed_if_it_fails():
            reply = receive(self.connection)
            if not (isinstance(reply, tuple) and len(reply) == 2):
                raise WireError("the connection was closed" if reply is None else "the reply is none of ours")
        self.answered = True
        return reply

    @contextlib.contextmanager
    def _closed_if_it_fails(self) -> Iterator[None]:
        try:
            yield
        except BaseException:
            self.connection.close()
            raise


def _value_of(reply: tuple[str, Any]) -> Any:
    outcome, value = reply
    match outcome:
        case Outcome.OK:
            return value
        case Outcome.INVALID:
            raise ValueError(value)
        case _:
            raise IndexUnavailable(f"The index failed: {value}")

"""Index in another process, asked over a socket (`index_server` answers there)."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from retrieval.errors import IndexUnavailable
from retrieval.filters import FilterFields
from retrieval.index import Arm, Candidate, Point, SearchScope, Selection, StoredPoint
from retrieval.index_wire import HELLO, Outcome, WireError, encode, parse_address, receive

UPSERT: Final = 64  # points a call: about 5 ms of the engine, which is what a search may have to wait for
RETRIEVE: Final = 256  # points a call, so that no reply outgrows a frame
_IDLE: Final = 8  # connections kept for the next call; more callers at once open more, and close them


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
        for start in range(0, len(ids), RETRIEVE):
            found += self._ask("retrieve", tenant=tenant, ids=list(ids[start : start + RETRIEVE]), vectors=vectors)
        return found

    def search(self, scope: SearchScope, arms: Sequence[Arm], *, limit: int) -> list[list[Candidate]]:
        answers = self._ask("search", scope=scope, arms=list(arms), limit=limit)
        return [list(answer) for answer in answers]

    def search_selection(self, tenant: str, where: Selection, arm: Arm, *, limit: int) -> list[Candidate]:
        return list(self._ask("search_selection", tenant=tenant, where=where, arm=arm, limit=limit))

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
        request = encode((method, arguments))
        try:
            outcome, value = self._exchanged(request)
        except TimeoutError as error:
            raise IndexUnavailable(f"The index at {self._address} did not answer {method} in time.") from error
        except (OSError, WireError) as error:
            raise IndexUnavailable(f"The index at {self._address} cannot be reached: {error}") from error
        match outcome:
            case Outcome.OK:
                return value
            case Outcome.INVALID:
                raise ValueError(value)
            case _:
                raise IndexUnavailable(f"The index failed: {value}")

    def _exchanged(self, request: bytes) -> tuple[str, Any]:
        """The reply, from a kept connection if that is still good, else from a new one."""
        if (kept := self._kept()) is not None:
            try:
                return self._exchange(kept, request)
            except TimeoutError:
                raise
            except (OSError, WireError):
                self._hang_up()  # the process went away, and with it the other ends of all that were kept
        return self._exchange(self._connected(), request)

    def _exchange(self, connection: socket.socket, request: bytes) -> tuple[str, Any]:
        try:
            connection.sendall(request)
            reply = receive(connection)
            if not (isinstance(reply, tuple) and len(reply) == 2):
                raise WireError("the connection was closed" if reply is None else "the reply is none of ours")
        except BaseException:  # whatever it was, a late reply must not become the next caller's
            connection.close()
            raise
        self._keep(connection)
        return reply

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

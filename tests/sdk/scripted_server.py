"""A server on a real socket that answers as it is told, for what a working one does not do: fail, refuse, hang up."""

from __future__ import annotations

import json
import socket
import struct
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True)
class Reply:
    """`hang_up` closes the connection where the answer would come; `body` that is no bytes goes as JSON."""

    status: int = 200
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    hang_up: bool = False
    after_s: float = 0.0


@dataclass(frozen=True)
class Asked:
    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    at: float


class ScriptedServer:
    """Answers with `replies` in turn, and then with the last one again. `asked` is what came."""

    def __init__(self) -> None:
        self.replies: list[Reply] = [Reply(404, problem(404, "not_found"))]
        self.asked: list[Asked] = []
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
        self._http.daemon_threads = True
        self._http.scripted = self  # type: ignore[attr-defined]
        self.url = f"http://127.0.0.1:{self._http.server_port}"
        threading.Thread(target=self._http.serve_forever, daemon=True).start()

    def next(self) -> Reply:
        return self.replies[min(len(self.asked), len(self.replies)) - 1]

    def close(self) -> None:
        self._http.shutdown()
        self._http.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def _answer(self) -> None:
        scripted: ScriptedServer = self.server.scripted  # type: ignore[attr-defined]
        body = self._body()
        scripted.asked.append(Asked(self.command, self.path, dict(self.headers), body, time.monotonic()))
        reply = scripted.next()
        time.sleep(reply.after_s)
        if reply.hang_up:
            # A reset and no orderly end, as of a process that was killed.
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.close_connection = True
            self.connection.close()
            return
        data = reply.body if isinstance(reply.body, bytes) else json.dumps(reply.body).encode()
        self.send_response(reply.status)
        for name, value in reply.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_POST = do_PATCH = do_DELETE = _answer  # noqa: N815

    def _body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def finish(self) -> None:
        if not self.wfile.closed and self.connection.fileno() >= 0:
            super().finish()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Tests say what came."""


def problem(status: int, code: str, *, retryable: bool = False) -> dict[str, Any]:
    return {
        "type": f"https://ragstone.dev/problems/{code}",
        "title": "No",
        "status": status,
        "detail": f"It is {code}.",
        "code": code,
        "request_id": "r-1",
        "retryable": retryable,
    }


HITS: Mapping[str, Any] = {"hits": [], "took_ms": 1.0}
DOCUMENT: dict[str, Any] = {
    "id": "d1",
    "collection": "notes",
    "external_id": None,
    "title": "A",
    "source": None,
    "media_type": "text/plain",
    "language": None,
    "bytes": 1,
    "sha256": "0",
    "version": 1,
    "live_version": None,
    "state": "received",
    "code": None,
    "reason": None,
    "metadata": {},
    "readers": None,
    "pages": None,
    "chunks": None,
    "tokens": None,
    "created_at": "2026-01-01T00:00:00Z",
    "updated_at": "2026-01-01T00:00:00Z",
    "timeline": [],
}


KEY = "an-administrators-key-for-the-tests-of-the-sdk"

"""What an orchestrator asks a process that answers no API: is it alive, is it ready?

`/healthz` depends on nothing; `/readyz` asks every dependency, and is 503 while the process still starts.
"""

from __future__ import annotations

import json
import logging
import socket
import threading
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from retrieval.errors import Unavailable

log = logging.getLogger(__name__)

Ready = Callable[[], Mapping[str, Any]]
"""Asks every dependency: name → what it says of itself. Raises `Unavailable` for one that is not there."""

# A kubelet that is gone holds a thread no longer than this.
_SILENT_S = 10.0


class NotStarted(Unavailable):
    """The process is starting."""

    code = "starting"


class Probes:
    """Answers on `listener` until it is closed; `ready` may be replaced when the process knows what it needs."""

    def __init__(self, listener: socket.socket) -> None:
        self._ready: Ready = _starting
        server = ThreadingHTTPServer(listener.getsockname()[:2], _Answers, bind_and_activate=False)
        server.socket.close()
        server.socket = listener
        server.daemon_threads = True
        server.probes = self  # type: ignore[attr-defined]
        self._server = server
        threading.Thread(target=server.serve_forever, name="probes", daemon=True).start()

    def started(self, ready: Ready) -> None:
        self._ready = ready

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def answer(self, path: str) -> tuple[int, Mapping[str, Any]]:
        if path == "/healthz":
            return 200, {"status": "alive"}
        if path != "/readyz":
            return 404, {"code": "not_found"}
        try:
            return 200, {"ready": True, "dependencies": dict(self._ready())}
        except Unavailable as error:
            return 503, {"ready": False, "dependencies": {error.code: str(error)}}
        except Exception as error:  # a bug, and no reason to hang up on who asks
            log.exception("readiness cannot be told")
            return 500, {"ready": False, "dependencies": {"internal": type(error).__name__}}


def _starting() -> Mapping[str, Any]:
    raise NotStarted


class _Answers(BaseHTTPRequestHandler):
    timeout = _SILENT_S

    def do_GET(self) -> None:
        status, body = self.server.probes.answer(self.path.partition("?")[0])  # type: ignore[attr-defined]
        data = json.dumps(body, default=str).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Probes come every few seconds and are not news."""

"""What a connection answers where there is no request, and how long it waits for one."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import anyio
import pytest
import uvicorn
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send

from services.http.connection import HEAD_BYTES, Connection
from services.http.envelope import Envelope
from tests.running import RunningServer

SILENCE_S = 0.4
POST = b"POST /echo HTTP/1.1\r\nHost: x\r\nX-Request-Id: mine\r\n"
SHORT = POST + b"Content-Length: 10\r\n\r\nhalf"
UPGRADE = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n"


@dataclass
class Echo:
    """An application that answers with the body it got; `/slow` takes longer than a client may be silent, `/early`
    answers before it has read anything."""

    left: list[str] = field(default_factory=list)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        try:
            body = b"" if scope["path"] == "/early" else await request.body()
        except ClientDisconnect:
            self.left.append(scope["path"])
            raise
        if scope["path"] == "/slow":
            await anyio.sleep(3 * SILENCE_S)
        await PlainTextResponse(scope["method"].encode() + b" " + body)(scope, receive, send)


@dataclass(frozen=True)
class Listening:
    port: int
    echo: Echo


@pytest.fixture(scope="module")
def listening() -> Iterator[Listening]:
    echo = Echo()
    app = Envelope(echo, file_bytes=1 << 20, json_bytes=1 << 20)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        config = uvicorn.Config(app, http=Connection.patient(SILENCE_S), ws="none", lifespan="off", log_level="error")
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        yield Listening(listener.getsockname()[1], echo)
        server.should_exit = True
        thread.join(10)
        assert not thread.is_alive()


@contextmanager
def _connected(port: int) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
        yield client


def _said(client: socket.socket) -> bytes:
    """Everything that comes until the other side closes."""
    said = b""
    while part := client.recv(1 << 16):
        said += part
    return said


def _ask(port: int, *sent: bytes, pause_s: float = 0.0) -> bytes:
    with _connected(port) as client:
        for part in sent:
            client.sendall(part)
            time.sleep(pause_s)
        return _said(client)


def _problem(reply: bytes, status: int, code: str) -> dict[str, Any]:
    head, _, body = reply.partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines[1:])}
    assert lines[0].startswith(f"HTTP/1.1 {status} "), reply
    assert headers["content-type"] == "application/problem+json"
    assert headers["connection"] == "close"
    assert int(headers["content-length"]) == len(body)
    problem: dict[str, Any] = json.loads(body)
    assert (problem["status"], problem["code"], problem["request_id"]) == (status, code, headers["x-request-id"])
    return problem


# --- upgrades ---


@pytest.mark.parametrize("pause_s", [0.0, 0.05])
@pytest.mark.parametrize(
    ("version", "body"),
    [
        (b"1.1", b"Content-Length: 5\r\n\r\notter"),
        (b"1.1", b"Transfer-Encoding: chunked\r\n\r\n5\r\notter\r\n0\r\n\r\n"),
        (b"1.0", b"Content-Length: 5\r\n\r\notter"),
    ],
)
def test_the_body_of_a_request_that_offers_an_upgrade_is_read(
    listening: Listening, version: bytes, pause_s: float, body: bytes
) -> None:
    whole = POST.replace(b"1.1", version) + UPGRADE + body
    bye = b"GET /bye HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n" if version == b"1.1" else b""
    for cut in (len(whole), len(whole) - 3, whole.index(b"\r\n\r\n") + 4, 30):
        reply = _ask(listening.port, whole[:cut], whole[cut:] + bye, pause_s=pause_s)
        assert b"POST otter" in reply, reply
        assert reply.count(b"HTTP/1.1 200 OK") == 1 + bool(bye)
        assert b"x-request-id: mine" in reply


def test_a_connection_through_us_is_refused(listening: Listening) -> None:
    reply = _ask(listening.port, b"CONNECT example.org:443 HTTP/1.1\r\nHost: example.org:443\r\n\r\n")
    assert "no proxy" in _problem(reply, 400, "invalid_request")["detail"]


# --- what is no HTTP ---


@pytest.mark.parametrize(
    "sent",
    [
        b"NONSENSE\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",  # somebody tries TLS
        b"GET http://[::1 HTTP/1.1\r\nHost: x\r\n\r\n",
        POST + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\notter",
        POST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        POST + b"Transfer-Encoding: chunked\r\n\r\nno size\r\n",
        POST + b"a b: c\r\n\r\n",
    ],
)
def test_what_is_no_http_is_a_problem_and_closes_the_connection(listening: Listening, sent: bytes) -> None:
    problem = _problem(_ask(listening.port, sent), 400, "invalid_request")
    assert len(problem["request_id"]) == 32 or problem["request_id"] == "mine"


def test_a_request_in_hand_is_answered_although_nonsense_comes_behind_it(listening: Listening) -> None:
    whole = POST.replace(b"echo", b"slow") + b"Content-Length: 5\r\n\r\notter"
    reply = _ask(listening.port, whole + b"NONSENSE\r\n\r\n")
    assert reply.startswith(b"HTTP/1.1 200 OK")
    assert reply.endswith(b"POST otter")


def test_a_request_in_hand_is_answered_before_one_with_a_broken_body(listening: Listening) -> None:
    whole = POST.replace(b"echo", b"slow") + b"Content-Length: 5\r\n\r\notter"
    first, _, second = _ask(listening.port, whole + POST + b"Transfer-Encoding: chunked\r\n\r\nno size\r\n").partition(
        b"otter"
    )
    assert first.startswith(b"HTTP/1.1 200 OK")
    _problem(second, 400, "invalid_request")


def test_a_head_that_does_not_end_is_a_431(listening: Listening) -> None:
    line = b"X-More: " + b"x" * 1_000 + b"\r\n"
    reply = _ask(listening.port, POST, *[line * 10] * (HEAD_BYTES // 10_000 + 1), pause_s=0.02)
    _problem(reply, 431, "too_large")


# --- silence ---


def test_a_body_that_stops_coming_is_a_408_and_its_request_ends(listening: Listening) -> None:
    listening.echo.left.clear()
    started = time.monotonic()
    problem = _problem(_ask(listening.port, SHORT), 408, "request_timeout")
    assert SILENCE_S <= time.monotonic() - started < 10 * SILENCE_S
    assert problem["request_id"] == "mine"
    assert listening.echo.left == ["/echo"]


def test_a_head_that_stops_coming_is_a_408(listening: Listening) -> None:
    _problem(_ask(listening.port, POST), 408, "request_timeout")


def test_a_connection_that_asks_nothing_is_closed(listening: Listening) -> None:
    assert _ask(listening.port) == b""


def test_a_body_that_comes_slowly_is_waited_for(listening: Listening) -> None:
    bye = b"GET /bye HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    body = [bytes([letter]) for letter in b"otter"]
    reply = _ask(listening.port, POST + b"Content-Length: 5\r\n\r\n", *body, bye, pause_s=SILENCE_S / 2)
    assert b"POST otter" in reply


def test_a_client_that_waits_for_its_answer_is_not_silent(listening: Listening) -> None:
    whole = POST.replace(b"echo", b"slow") + b"Connection: close\r\nContent-Length: 5\r\n\r\notter"
    assert _ask(listening.port, whole).endswith(b"POST otter")


def test_a_client_that_has_its_answer_and_owes_the_rest_of_its_body_is_not_kept(listening: Listening) -> None:
    early = SHORT.replace(b"echo", b"early")
    reply = _ask(listening.port, early, b"and", pause_s=SILENCE_S / 2)
    assert reply.endswith(b"POST ")
    assert reply.count(b"HTTP/1.1") == 1


# --- the server that people run ---


def test_the_server_itself_reads_bodies_behind_upgrades_and_says_what_is_no_http(server: RunningServer) -> None:
    port = urlsplit(server.url).port
    assert port is not None
    search = b"POST /v1/search HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nX-Request-Id: mine\r\n"
    body = b'{"query": "otter"}'
    reply = _ask(port, search + UPGRADE + b"Content-Length: %d\r\n\r\n" % len(body) + body + b"NONSENSE\r\n\r\n")
    assert reply.startswith(b"HTTP/1.1 200 OK"), reply
    _problem(_ask(port, b"NONSENSE\r\n\r\n"), 400, "invalid_request")

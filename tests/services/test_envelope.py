"""What is around every request: ids, limits, and an answer when something is broken."""

from __future__ import annotations

import json
import re
from typing import Any

import anyio
import pytest
from starlette.types import Message, Receive, Scope, Send

from services.http.envelope import Envelope
from tests.running import RunningServer
from tests.wire_checks import assert_problem


def test_a_well_formed_request_id_comes_back(server: RunningServer) -> None:
    for given in ("abc", "a.B-9_z", "x" * 128):
        for path in ("/healthz", "/v1/collections", "/v1/nowhere"):
            reply = server.http.get(path, headers={"X-Request-Id": given})
            assert reply.headers["x-request-id"] == given
    problem = assert_problem(server.http.get("/v1/nowhere", headers={"X-Request-Id": "mine"}), 404, "not_found")
    assert problem["request_id"] == "mine"


def test_a_request_id_is_made_where_none_or_a_malformed_one_came(server: RunningServer) -> None:
    made = [server.http.get("/healthz").headers["x-request-id"]]
    for given in ("", "a b", "x" * 129, "a;b", '"quoted"', "a\tb"):
        made.append(server.http.get("/healthz", headers={"X-Request-Id": given}).headers["x-request-id"])
    assert all(re.fullmatch("[0-9a-f]{32}", one) for one in made)
    assert len(set(made)) == len(made)


def test_every_kind_of_response_carries_one(server: RunningServer) -> None:
    replies = [
        server.http.get("/docs"),
        server.http.get("/openapi.json"),
        server.http.get("/readyz"),
        server.http.put("/v1/search"),
        server.http.post("/v1/search", json={}),
        server.http.post("/v1/answers", json={"question": "x", "stream": True}),
    ]
    assert all("x-request-id" in reply.headers for reply in replies)


def _answer(app: Any) -> tuple[int, dict[bytes, bytes], bytes]:
    """What a client gets of an application behind the envelope."""
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        sent.append(message)

    scope: dict[str, Any] = {"type": "http", "method": "GET", "path": "/", "headers": [(b"x-request-id", b"r-1")]}
    anyio.run(Envelope(app, file_bytes=10, json_bytes=10), scope, receive, send)
    return sent[0]["status"], dict(sent[0]["headers"]), b"".join(message.get("body", b"") for message in sent[1:])


async def _broken(scope: Scope, receive: Receive, send: Send) -> None:
    raise RuntimeError("the password is hunter2")


def test_a_bug_is_a_500_with_its_request_id_and_nothing_else_of_it() -> None:
    status, headers, body = _answer(_broken)
    assert status == 500
    assert headers[b"x-request-id"] == b"r-1"
    assert headers[b"content-type"] == b"application/problem+json"
    problem = json.loads(body)
    assert (problem["code"], problem["request_id"], problem["status"]) == ("internal", "r-1", 500)
    assert b"hunter2" not in body


def test_a_bug_in_the_middle_of_an_answer_closes_the_connection() -> None:
    async def half(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        raise RuntimeError("too late")

    # Swallowed, the caller would wait for the rest.
    with pytest.raises(RuntimeError, match="too late"):
        _answer(half)

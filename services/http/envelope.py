"""What is around every request: its id, the largest body that is read, and an answer when something is broken."""

from __future__ import annotations

import logging
import re
from typing import Final
from uuid import uuid4

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from retrieval.errors import TooLarge
from services.http.problems import problem_of, respond

log = logging.getLogger(__name__)

_REQUEST_ID: Final = re.compile(r"^[A-Za-z0-9._-]{1,128}$")
# What multipart puts around a file: boundaries and the other fields, metadata among them.
MULTIPART_SLACK = 1 << 20


def request_id_of(given: str) -> str:
    """The caller's, if it is well-formed; otherwise a new one."""
    return given if _REQUEST_ID.match(given) else uuid4().hex


class Envelope:
    """Gives every request an id (the caller's, if well-formed) and refuses a body over its limit, announced or not.

    What no handler knew is a bug: it is answered here with its request id, for outside of here nobody knows it.
    """

    def __init__(self, app: ASGIApp, *, file_bytes: int, json_bytes: int) -> None:
        self._app = app
        self._file_bytes = file_bytes
        self._json_bytes = json_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        request_id = request_id_of(headers.get("x-request-id", ""))
        scope.setdefault("state", {})["request_id"] = request_id
        multipart = headers.get("content-type", "").lower().startswith("multipart/")
        limit = self._file_bytes + MULTIPART_SLACK if multipart else self._json_bytes
        stamped = _Stamped(send, request_id)
        announced = headers.get("content-length", "")
        if announced.isdigit() and int(announced) > limit:
            problem = problem_of(TooLarge(f"The body has {announced} bytes; the limit is {limit}."), request_id)
            await respond(problem)(scope, receive, stamped)
            return
        try:
            await self._app(scope, _counted(receive, limit), stamped)
        except ClientDisconnect:
            return  # nobody is there to be answered, and nothing is wrong here
        except Exception as error:
            if stamped.started:
                raise  # half an answer is out: only closing the connection tells the caller
            log.error("request %s failed", request_id, exc_info=error)
            await respond(problem_of(error, request_id))(scope, receive, stamped)


class _Stamped:
    """A `Send` that adds the request id, and remembers whether the answer has begun."""

    def __init__(self, send: Send, request_id: str) -> None:
        self._send = send
        self._request_id = request_id
        self.started = False

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.started = True
            MutableHeaders(scope=message)["X-Request-Id"] = self._request_id
        await self._send(message)


def _counted(receive: Receive, limit: int) -> Receive:
    received = 0

    async def counted() -> Message:
        nonlocal received
        message = await receive()
        if message["type"] == "http.request":
            received += len(message.get("body", b""))
            if received > limit:
                raise HTTPException(413, f"The body is larger than {limit} bytes.")
        return message

    return counted

"""What one connection of a client goes through before there is a request, and when what it sends is none.

uvicorn's protocol on httptools, with four things mended: an `Upgrade` that nobody here speaks is no reason to lose the
request's body; what is no HTTP is answered with a problem like every other error; a client that owes bytes and is
silent is not waited for without end; nor is a head that never ends.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import ClassVar, Final

import httptools
from fastapi.responses import Response
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from services.http.envelope import request_id_of
from services.http.problems import protocol_problem, respond

# Long filters in a URL and long tokens fit many times over; what a client can make us keep before we know who it is.
HEAD_BYTES: Final = 64 << 10


class Connection(HttpToolsProtocol):
    """`silence_s` is how long a client may send nothing of a request that it has begun, or of its first one."""

    silence_s: ClassVar[float] = 30.0

    _in_head = False
    _head_bytes = 0
    _given_up = False

    @classmethod
    def patient(cls, silence_s: float) -> type[Connection]:
        """Connections of this patience: uvicorn makes them itself, and is given their type."""
        return type("PatientConnection", (cls,), {"silence_s": silence_s})

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        super().connection_made(transport)
        self.flow = _Flow(transport, self._hear)
        self._hear()
        self._watch = self.loop.call_later(self.silence_s, self._look)

    def connection_lost(self, exc: Exception | None) -> None:
        self._watch.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._given_up:
            return
        self._hear()
        self._unset_keepalive_if_required()
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._stay(data[upgrade.args[0] :])
        except httptools.HttpParserError:
            self._give_up(400, "This is no HTTP that could be understood.")
        if self._in_head:
            self._head_bytes += len(data)
            if self._head_bytes > HEAD_BYTES:
                self._give_up(431, f"The head of the request is larger than {HEAD_BYTES} bytes.")

    # --- what the parser says ---

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._in_head = True
        self._head_bytes = 0

    def on_headers_complete(self) -> None:
        self._in_head = False
        if self.parser.should_upgrade():
            self.scope["method"] = self.parser.get_method().decode("ascii")
            self.scope["http_version"] = self.parser.get_http_version()
            return  # the parser stops after this head; see `_stay`
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        if not self.parser.should_upgrade():
            super().on_message_complete()

    def _stay(self, rest: bytes) -> None:
        """Goes on in HTTP/1.1 as if no upgrade had been offered (RFC 9110, 7.8). The parser takes what follows such a
        head for another protocol; another parser reads the same head again, without the offer."""
        if self.scope["method"] == "CONNECT":
            self._give_up(400, "This server is no proxy.")
            return
        start = f"{self.scope['method']} ".encode() + self.url + f" HTTP/{self.scope['http_version']}\r\n".encode()
        lines = [name + b": " + value + b"\r\n" for name, value in self.headers if name != b"upgrade"]
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as the one before
        self.data_received(start + b"".join(lines) + b"\r\n" + rest)

    # --- a client that is silent ---

    def _hear(self) -> None:
        self._heard_at = self.loop.time()

    def _look(self) -> None:
        if self.transport.is_closing():
            return
        if not self._owes_bytes():
            self._hear()
        left = self._heard_at + self.silence_s - self.loop.time()
        if left > 0:
            self._watch = self.loop.call_later(left, self._look)
        elif self.cycle is None and not self._in_head:
            self.transport.close()  # it came and never asked for anything
        else:
            self._give_up(408, f"Nothing more of the request came for {self.silence_s:g} seconds.")

    def _owes_bytes(self) -> bool:
        """Whether it is the client's turn. Between two requests the keep-alive limit watches."""
        if self.flow.read_paused or self._given_up:
            return False
        if self._in_head or self.cycle is None:
            return True
        return self.cycle.more_body and not self.cycle.waiting_for_100_continue

    # --- a request that is none ---

    def _give_up(self, status: int, sentence: str) -> None:
        """Answers it, behind what is being answered before it, and closes."""
        self._given_up = True
        answer = self._problem(status, sentence)
        newest = self.cycle
        if newest is None or (newest.response_complete and not newest.more_body):
            self._answer(answer)
        elif not newest.more_body:
            newest.keep_alive = False  # the one in hand is whole; it gets its answer, and this one none
        elif self.pipeline:
            newest.keep_alive = False
            self.pipeline[0] = (newest, answer)  # type: ignore[assignment]  # an application, to Starlette
        elif newest.response_started:
            self.transport.close()  # it has its answer, or half of one
        else:
            newest.disconnected = True
            newest.message_event.set()
            self._answer(answer)

    def _problem(self, status: int, sentence: str) -> Response:
        """Under the id that the request has got by now, or the caller's, or a new one."""
        state = self.scope["state"] if self.scope else {}
        given = next((value for name, value in self.headers or () if name == b"x-request-id"), b"")
        request_id = str(state.get("request_id") or request_id_of(given.decode("latin-1")))
        problem = protocol_problem(status, sentence, request_id)
        return respond(problem, {"X-Request-Id": request_id, "Connection": "close"})

    def _answer(self, response: Response) -> None:
        headers = [*self.server_state.default_headers, *response.raw_headers]
        lines = [name + b": " + value + b"\r\n" for name, value in headers]
        self.transport.write(STATUS_LINE[response.status_code] + b"".join(lines) + b"\r\n" + bytes(response.body))
        self.transport.close()


class _Flow(FlowControl):
    """Says when reading goes on: until then it was not the client who was silent."""

    def __init__(self, transport: asyncio.Transport, resumed: Callable[[], None]) -> None:
        super().__init__(transport)
        self._resumed = resumed

    def resume_reading(self) -> None:
        if self.read_paused:
            self._resumed()
        super().resume_reading()

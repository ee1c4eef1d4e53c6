"""A server that speaks OpenAI's chat completions and behaves as it is told: well, badly, or not at all."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Mode(StrEnum):
    OK = "ok"
    NO_ANSWER = "no_answer"
    EMPTY = "empty"
    STALL = "stall"
    KEEP_ALIVES = "keep_alives"
    STATUS = "status"
    BROKEN_STREAM = "broken_stream"
    MALFORMED_JSON = "malformed_json"
    CUT_SHORT = "cut_short"
    EMPTY_CHOICES = "empty_choices"
    NULL_CHOICES = "null_choices"
    NEVER_ENDING = "never_ending"
    OBEDIENT = "obedient"
    QUOTING = "quoting"


@dataclass
class Script:
    """What the server does next, and what it saw. `text` is what it answers, cut in pieces of `piece` characters."""

    mode: Mode = Mode.OK
    text: str = "The warranty is 24 months [1]."
    status: int = 200
    piece: int = 7
    usage: tuple[int, int] | None = None
    requests: list[dict[str, Any]] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    hung_up: threading.Event = field(default_factory=threading.Event)
    released: threading.Event = field(default_factory=threading.Event)


@dataclass(frozen=True)
class ScriptedOpenAI:
    base_url: str
    script: Script


class _Handler(BaseHTTPRequestHandler):
    script: Script
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.script.requests.append(json.loads(body))
        self.script.paths.append(self.path)
        try:
            self._answer()
        except (BrokenPipeError, ConnectionResetError):
            self.script.hung_up.set()
        self.close_connection = True

    def _answer(self) -> None:
        if self.script.mode is Mode.STATUS:
            self._refuse()
            return
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        _BEHAVIOURS[self.script.mode](self)

    def _refuse(self) -> None:
        body = json.dumps({"error": {"message": "scripted", "type": "scripted"}}).encode()
        self.send_response(self.script.status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def raw(self, data: str) -> None:
        encoded = data.encode()
        self.wfile.write(f"{len(encoded):x}\r\n".encode() + encoded + b"\r\n")
        self.wfile.flush()

    def event(self, choices: Any, **more: Any) -> None:
        payload = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": choices}
        self.raw(f"data: {json.dumps({**payload, **more})}\n\n")

    def text(self, content: str) -> None:
        self.event([{"index": 0, "delta": {"role": "assistant", "content": content}, "finish_reason": None}])

    def whole(self, text: str) -> None:
        for at in range(0, len(text), self.script.piece):
            self.text(text[at : at + self.script.piece])
        self.end()

    def end(self) -> None:
        self.event([{"index": 0, "delta": {}, "finish_reason": "stop"}])
        if self.script.usage is not None:
            read, written = self.script.usage
            counts = {"prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written}
            self.event([], usage=counts)
        self.raw("data: [DONE]\n\n")
        self.wfile.write(b"0\r\n\r\n")

    def log_message(self, *_: object) -> None:
        """Silent."""


def _ok(handler: _Handler) -> None:
    handler.whole(handler.script.text)


def _no_answer(handler: _Handler) -> None:
    handler.whole("NO_ANSWER")


def _empty(handler: _Handler) -> None:
    handler.end()


def _stall(handler: _Handler) -> None:
    handler.text("The warranty is ")
    handler.script.released.wait(30)


def _keep_alives(handler: _Handler) -> None:
    handler.text("The warranty is ")
    while not handler.script.released.wait(0.05):
        handler.raw(": still here\n\n")


def _broken(handler: _Handler) -> None:
    handler.text("The warranty is ")
    handler.wfile.write(b"ffff\r\ndata: {")
    handler.wfile.flush()


def _malformed(handler: _Handler) -> None:
    handler.text("The warranty is ")
    handler.raw("data: {not json\n\n")
    handler.end()


def _cut_short(handler: _Handler) -> None:
    handler.text("The warranty is ")
    handler.wfile.write(b"0\r\n\r\n")


def _empty_choices(handler: _Handler) -> None:
    handler.event([])
    handler.raw("data: [DONE]\n\n")
    handler.wfile.write(b"0\r\n\r\n")


def _null_choices(handler: _Handler) -> None:
    handler.event(None)
    handler.raw("data: [DONE]\n\n")
    handler.wfile.write(b"0\r\n\r\n")


def _never_ending(handler: _Handler) -> None:
    while not handler.script.released.is_set():
        handler.text(handler.script.text + " ")
        time.sleep(0.002)


def _obedient(handler: _Handler) -> None:
    """Does what the last instruction in its prompt says, wherever it stands."""
    prompt = handler.script.requests[-1]["messages"][-1]["content"]
    orders = [line.partition("ORDER:")[2].strip() for line in prompt.splitlines() if "ORDER:" in line]
    handler.whole(orders[-1] if orders else handler.script.text)


def _quoting(handler: _Handler) -> None:
    """Says the first sentence of the first three passages, each with its number."""
    prompt = handler.script.requests[-1]["messages"][-1]["content"]
    passages = re.findall(r'<passage-\w+ number="(\d+)">\n.*\n([^.]*\.)', prompt)
    handler.whole(" ".join(f"{sentence} [{number}]" for number, sentence in passages[:3]))


_BEHAVIOURS: dict[Mode, Callable[[_Handler], None]] = {
    Mode.OK: _ok,
    Mode.NO_ANSWER: _no_answer,
    Mode.EMPTY: _empty,
    Mode.STALL: _stall,
    Mode.KEEP_ALIVES: _keep_alives,
    Mode.BROKEN_STREAM: _broken,
    Mode.MALFORMED_JSON: _malformed,
    Mode.CUT_SHORT: _cut_short,
    Mode.EMPTY_CHOICES: _empty_choices,
    Mode.NULL_CHOICES: _null_choices,
    Mode.NEVER_ENDING: _never_ending,
    Mode.OBEDIENT: _obedient,
    Mode.QUOTING: _quoting,
}


@contextmanager
def scripted_openai() -> Iterator[ScriptedOpenAI]:
    """Runs the server on a free port of the loopback interface until the block ends."""
    script = Script()
    handler = type("Handler", (_Handler,), {"script": script})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield ScriptedOpenAI(f"http://127.0.0.1:{server.server_address[1]}/v1", script)
    finally:
        script.released.set()
        server.shutdown()
        server.server_close()
        thread.join(5)

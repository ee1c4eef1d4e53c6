"""What a parser child answers: its side of the conversation with the pool, one request after another."""

from __future__ import annotations

import contextlib
import errno
import gc
import os
import resource
import time
import traceback
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import msgpack

from ingest import linux_calls, parsed_codec, sandbox
from ingest.parsed_codec import TooManyItems
from ingest.parser_channel import MESSAGE_BYTES, Channel
from ingest.parser_entry import PageReader, ParserEntry
from ingest.parser_limits import ParserLimits
from ingest.parsing import ParsedDocument
from retrieval.errors import Unparseable

TRACEBACK_CHARACTERS = 8_000
MAXRSS_UNIT = 1024 if linux_calls.IS_LINUX else 1  # getrusage(2): kilobytes, on macOS bytes

Reply = tuple[dict[str, Any], bytes | None]


class ResidentMemory:
    """This process's resident memory, by a file opened before the sandbox closes /proc."""

    def __init__(self) -> None:
        self._statm = os.open("/proc/self/statm", os.O_RDONLY | os.O_CLOEXEC) if linux_calls.IS_LINUX else None

    def bytes(self) -> int:
        if self._statm is None:
            return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * MAXRSS_UNIT
        return int(os.pread(self._statm, 200, 0).split()[1]) * resource.getpagesize()


class ParserAnswers:
    """Requests are "probe", "parse", "read" (a range of the document that the last "parse" opened) and "assemble".

    Every answer is a head, followed by a body where the head's kind has one; "read" gives one answer for each page and
    one at its end.
    """

    def __init__(self, channel: Channel, entry: ParserEntry, limits: ParserLimits, memory: ResidentMemory) -> None:
        self._channel = channel
        self._entry = entry
        self._limits = limits
        self._memory = memory
        self._at_start = memory.bytes()
        self._reader: PageReader | None = None

    def serve(self) -> None:
        """Until the channel is closed, which raises `ChannelClosed`."""
        self._send({"resident": self._at_start})
        while True:
            request = msgpack.unpackb(self._channel.receive(limit=MESSAGE_BYTES), unicode_errors="surrogatepass")
            match request["do"]:
                case "probe":
                    breaches = sandbox.breaches(port=request["port"], outside=Path(request["outside"]))
                    self._send({"breaches": breaches})
                case "parse":
                    self._close_reader()
                    self._finish(self._guarded(partial(self._parse, request), cpu_s=request["cpu_s"]))
                case "read":
                    self._read(request["first"], request["last"], cpu_s=request["cpu_s"])
                case "assemble":
                    self._assemble(request)

    def _parse(self, request: dict[str, Any]) -> Reply:
        path = Path(request["path"])
        os.chdir(path.parent)  # the document before may have gone elsewhere
        self._reader = self._entry.open_pages(path, request["media_type"])
        if self._reader is None:
            return self._encoded(self._entry.parse(path, request["media_type"], request["name"]))
        return {"kind": "paged", "pages": self._reader.pages}, self._reader.about()

    def _read(self, first: int, last: int, *, cpu_s: int) -> None:
        """`cpu_s` is for each page. What follows a page that fails is for another child to read."""
        for number in range(first, last + 1):
            before = time.process_time()
            head, body = self._guarded(partial(self._page, number), cpu_s=cpu_s)
            if head["kind"] != "page":
                self._finish((head, None))
                return
            head["cpu"] = time.process_time() - before
            self._send(head, body)
        self._finish(({"kind": "read"}, None))

    def _page(self, number: int) -> Reply:
        assert self._reader is not None
        return {"kind": "page"}, self._reader.page(number)

    def _assemble(self, request: dict[str, Any]) -> None:
        self._close_reader()
        frames = self._pages(request["pages"], dict(request["failed"]))

        def assembled() -> Reply:
            about = bytes(self._channel.receive(limit=self._limits.result_bytes))
            with _collector_paused():
                return self._encoded(self._entry.assemble_pages(about, frames, request["name"]))

        reply = self._guarded(assembled, cpu_s=request["cpu_s"])
        for _ in frames:  # the pool sends all of them before it listens
            pass
        self._finish(reply)

    def _pages(self, count: int, failed: dict[int, str]) -> Iterator[bytes | str]:
        for number in range(1, count + 1):
            frame = self._channel.receive(limit=self._limits.result_bytes)
            yield failed.get(number) or bytes(frame)

    def _encoded(self, document: ParsedDocument) -> Reply:
        return {"kind": "document"}, parsed_codec.encode(document)

    def _guarded(self, step: Callable[[], Reply], *, cpu_s: int) -> Reply:
        """What the step answers, or how it failed."""
        sandbox.allow_cpu(cpu_s)
        try:
            head, body = step()
        except Unparseable as error:
            return {"kind": "unparseable", "code": error.reason_code, "message": str(error)[:2_000]}, None
        except TooManyItems:
            return {"kind": "limit", "limit": "items"}, None
        except BaseException as error:
            sandbox.lift_memory_limit()
            limit = _limit_behind(error)
            if limit is not None:
                return {"kind": "limit", "limit": limit}, None
            return {"kind": "failed", "traceback": traceback.format_exc()[-TRACEBACK_CHARACTERS:]}, None
        if body is not None and len(body) > self._limits.result_bytes:
            return {"kind": "limit", "limit": "result"}, None
        return head, body

    def _finish(self, reply: Reply) -> None:
        head, body = reply
        head["grown"] = self._memory.bytes() - self._at_start
        self._send(head, body)

    def _send(self, head: dict[str, Any], body: bytes | None = None) -> None:
        self._channel.send(pack(head))
        if body is not None:
            self._channel.send(body)

    def _close_reader(self) -> None:
        if self._reader is not None:
            reader, self._reader = self._reader, None
            with contextlib.suppress(Exception):
                reader.close()


@contextlib.contextmanager
def _collector_paused() -> Iterator[None]:
    """A hundred thousand lines become objects at once and none is garbage yet: looking for it takes half the time."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def pack(message: dict[str, Any]) -> bytes:
    packed: bytes = msgpack.packb(message, unicode_errors="surrogatepass")
    return packed


def _limit_behind(error: BaseException) -> str | None:
    """The limit that this error, or one it was raised from, tells of."""
    for cause in _causes(error):
        if isinstance(cause, MemoryError):
            return "memory"
        if isinstance(cause, RecursionError):
            return "depth"
        if isinstance(cause, OSError) and cause.errno == errno.EFBIG:
            return "file"
        if isinstance(cause, OSError) and cause.errno == errno.ENOMEM:
            return "memory"
    return None


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__

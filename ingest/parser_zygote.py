"""The pool's side of its processes: a handle on the zygote and one on each child (see `ingest.parser_child`)."""

from __future__ import annotations

import dataclasses
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import msgpack

from ingest import parsed_codec
from ingest.codec_values import Malformed, a_number, a_positive
from ingest.parser_channel import MESSAGE_BYTES, Channel, ChannelClosed, ChannelTimeout, FrameTooLarge
from ingest.parser_limits import ParserLimits
from ingest.parsing import ParsedDocument
from ingest.sandbox import SandboxLevel, SandboxUnavailable
from ingest.scratch_folder import copy_in, empty, is_larger, plain_suffix, remove_tree

_IMPORT_S = 120.0  # the heaviest parsers import in 2 s on an idle machine, in many more on a starved one
_ANSWER_S = 10.0  # for what takes milliseconds
_CODE_ROOT = Path(__file__).resolve().parents[1]

_QUIET = {
    "LANG": "C.UTF-8",
    "DO_NOT_TRACK": "1",
    "SCARF_NO_ANALYTICS": "1",
    "UNSTRUCTURED_DISABLE_NOTICE": "1",
    "HF_HUB_OFFLINE": "1",
    "OMP_NUM_THREADS": "1",  # the zygote must have one thread to be forked
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "TOKENIZERS_PARALLELISM": "false",
}


class ZygoteLost(Exception):
    """The zygote is gone or does not answer."""


class LimitReached(Exception):
    """A document went past a limit; `limit` is its name in `ParserLimits.sentence`."""

    def __init__(self, limit: str) -> None:
        super().__init__(limit)
        self.limit = limit


class Misbehaved(Exception):
    """A child said something no honest child says."""


@dataclass(frozen=True, slots=True)
class Ending:
    """How a child ended: the signal that nobody of us sent, if one did, and its peak of resident memory in bytes."""

    signal: int | None
    peak: int


@dataclass(frozen=True, slots=True)
class Answer:
    """A child's word on one document: the document, or why there is none.

    Of a document that it opened for reading in page ranges: `pages`, and `about`, which only parsers look into.
    """

    kind: str
    detail: dict[str, Any]
    document: ParsedDocument | None = None
    pages: int = 0
    about: bytes = b""


class PageTaker(Protocol):
    """Who wants the pages that a child reads."""

    def patience_s(self) -> float:
        """How long the page that comes next may take."""
        ...

    def check(self) -> None:
        """Called now and then while a page is waited for. May raise."""
        ...

    def room(self) -> int:
        """How many bytes a page may have."""
        ...

    def take(self, data: bytes, *, cpu_s: float) -> None:
        """The next page."""
        ...


class Zygote:
    """A running zygote. Thread-safe: one order at a time."""

    def __init__(
        self, *, level: SandboxLevel, parsers: str, limits: ParserLimits, scratch: Path, keeper: ThreadPoolExecutor
    ) -> None:
        """Starts it and waits for its imports. Raises `SandboxUnavailable` with its reason when it gives up.

        `keeper` has the one thread that starts processes: a process whose parent's *thread* ends is killed.
        """
        self._limits = limits
        self._scratch = scratch
        self._lock = threading.Lock()
        self._next = 0
        ours, theirs = socket.socketpair()
        self._control = Channel(ours)
        with theirs:
            self._process = keeper.submit(_start, theirs.fileno(), scratch).result()
        orders = {"level": level.value, "parsers": parsers, "limits": dataclasses.asdict(limits)}
        try:
            reply = self._ask(orders, patience_s=_IMPORT_S)
        except ZygoteLost:
            reply = {"error": f"the process ended with status {self._process.poll()}"}
        if "error" in reply:
            self.close()
            raise SandboxUnavailable(f"No parser process at sandbox level {level}: {reply['error']}")

    def is_alive(self) -> bool:
        return self._process.poll() is None

    def start_child(self) -> Child:
        """Raises `ZygoteLost`, or `SandboxUnavailable` when the child could not be confined."""
        with self._lock:
            self._next += 1
            number = self._next
        folder = self._scratch / f"child-{number}-{os.urandom(4).hex()}"
        folder.mkdir(mode=0o700)
        ours, theirs = socket.socketpair()
        channel = Channel(ours)
        try:
            with theirs:
                order = {"do": "start", "child": number, "scratch": str(folder)}
                refusal = self._ask(order, descriptors=[theirs.fileno()]).get("error")
            if refusal is not None:
                raise Misbehaved(refusal)
            hello = _message(channel.receive(limit=MESSAGE_BYTES, deadline=time.monotonic() + _ANSWER_S))
        except (ChannelClosed, ChannelTimeout, FrameTooLarge, Misbehaved) as error:
            channel.close()
            self.end_child(number, at_once=True)
            remove_tree(folder)
            raise ZygoteLost("a child did not come up") from error
        except ZygoteLost:
            channel.close()
            remove_tree(folder)
            raise
        child = Child(zygote=self, number=number, channel=channel, folder=folder, limits=self._limits, hello=hello)
        if "error" in hello:
            child.end(at_once=True)
            raise SandboxUnavailable(f"A parser process could not be confined: {hello['error']}")
        return child

    def end_child(self, number: int, *, at_once: bool) -> Ending | None:
        """None when the zygote, and with it the child, is gone."""
        try:
            reply = self._ask({"do": "end", "child": number, "at_once": at_once})
            return Ending(signal=reply["signal"], peak=reply["peak"])
        except ZygoteLost:
            return None

    def close(self) -> None:
        """Kills it; its children die with it. Returns when it is reaped."""
        self._process.kill()
        self._process.wait()
        self._control.close()

    def _ask(
        self, message: dict[str, Any], *, patience_s: float = _ANSWER_S, descriptors: list[int] | None = None
    ) -> dict[str, Any]:
        deadline = time.monotonic() + patience_s
        with self._lock:
            try:
                self._control.send(msgpack.packb(message), deadline=deadline, descriptors=descriptors or ())
                return _message(self._control.receive(limit=MESSAGE_BYTES, deadline=deadline))
            except (ChannelClosed, ChannelTimeout, FrameTooLarge, Misbehaved) as error:
                self._process.kill()  # out of step with it, no later answer could be trusted
                raise ZygoteLost from error


class Child:
    """A confined child. Used by one thread at a time. `grown`: its resident growth in bytes, when it last answered."""

    def __init__(
        self,
        *,
        zygote: Zygote,
        number: int,
        channel: Channel,
        folder: Path,
        limits: ParserLimits,
        hello: dict[str, Any],
    ) -> None:
        self.zygote = zygote
        self.folder = folder
        self.documents = 0
        self._own_bytes = 0
        self._check: Callable[[], None] = lambda: None
        self.ended = False
        self.grown = 0
        self.resident_at_start = hello["resident"] if isinstance(hello.get("resident"), int) else 0
        self._number = number
        self._channel = channel
        self._limits = limits

    def is_ready(self) -> bool:
        return self.zygote.is_alive() and self._channel.is_quiet()

    def breaches(self, *, port: int, outside: Path) -> list[str]:
        """What the sandbox let this child do that it must not. Raises `ZygoteLost` if it does not answer."""
        try:
            deadline = time.monotonic() + _ANSWER_S
            self._send({"do": "probe", "port": port, "outside": str(outside)}, deadline)
            reply = _message(self._channel.receive(limit=MESSAGE_BYTES, deadline=deadline))
        except (ChannelClosed, ChannelTimeout, FrameTooLarge, Misbehaved) as error:
            raise ZygoteLost("the probe of the sandbox did not answer") from error
        return [str(breach) for breach in reply["breaches"]]

    def parse(self, path: Path, *, media_type: str, name: str, check: Callable[[], None]) -> Answer:
        """The document, or "paged": it is open and waits for `read`. `check` is called now and then and may raise.

        Raises `LimitReached` ("wall", "file", "result"), `ChannelClosed` when it died, and `Misbehaved`; so do `read`
        and `assemble`. After any of them the child must be ended. The document is a copy in the child's folder: it
        needs to read no other, and what it does to this one does no harm.
        """
        self.documents += 1
        self._check = check
        deadline = time.monotonic() + self._limits.wall_s
        document = self.folder / f"document{plain_suffix(name)}"
        self._own_bytes = copy_in(path, document)
        request = {"do": "parse", "path": str(document), "media_type": media_type, "name": name}
        with _past_limits():
            self._send(request | {"cpu_s": self._limits.cpu_s}, deadline)
            return self._answer(deadline)

    def read(self, first: int, last: int, *, cpu_s: int, taker: PageTaker) -> Answer:
        """Gives the pages from `first` to `last` of the open document to `taker`, then answers "read", or why not."""

        def look() -> None:
            taker.check()
            self._look()

        with _past_limits():
            deadline = time.monotonic() + taker.patience_s()
            self._send({"do": "read", "first": first, "last": last, "cpu_s": cpu_s}, deadline)
            for _ in range(first, last + 1):
                head = _message(self._channel.receive(limit=MESSAGE_BYTES, deadline=deadline, on_tick=look))
                if head.get("kind") != "page":
                    return self._noted(head)
                data = self._channel.receive(limit=taker.room(), deadline=deadline, on_tick=look)
                taker.take(bytes(data), cpu_s=_seconds(head.get("cpu")))
                deadline = time.monotonic() + taker.patience_s()
            self._look()
            return self._answer(deadline)

    def assemble(
        self,
        name: str,
        *,
        about: bytes,
        pages: Sequence[bytes | str],
        cpu_s: int,
        wall_s: float,
        check: Callable[[], None],
    ) -> Answer:
        """The document of these pages; a sentence stands for one that could not be read, and says why."""
        self._check = check
        deadline = time.monotonic() + wall_s
        failed = [[number, page] for number, page in enumerate(pages, start=1) if isinstance(page, str)]
        request = {"do": "assemble", "name": name, "pages": len(pages), "failed": failed, "cpu_s": cpu_s}
        with _past_limits():
            self._send(request, deadline)
            self._channel.send(about, deadline=deadline)
            for page in pages:
                self._channel.send(page if isinstance(page, bytes) else b"", deadline=deadline)
            return self._answer(deadline)

    def tidy(self) -> bool:
        """Empties its folder for the next document; False where that does not work."""
        try:
            empty(self.folder)
        except OSError:
            return False
        return True

    def end(self, *, at_once: bool) -> Ending | None:
        """Ends it and removes its folder; a second call does nothing."""
        if self.ended:
            return None
        self.ended = True
        self._channel.close()
        ending = self.zygote.end_child(self._number, at_once=at_once)
        remove_tree(self.folder)
        return ending

    def _answer(self, deadline: float) -> Answer:
        """The answer to what was asked, its body checked."""
        head = _message(self._channel.receive(limit=MESSAGE_BYTES, deadline=deadline, on_tick=self._look))
        answer = self._noted(head)
        if answer.kind not in ("document", "paged"):
            return answer
        data = self._channel.receive(limit=self._limits.result_bytes, deadline=deadline, on_tick=self._look)
        if answer.kind == "paged":
            return replace(answer, pages=a_positive(head.get("pages")), about=bytes(data))
        return replace(answer, document=parsed_codec.decode(data))

    def _noted(self, head: dict[str, Any]) -> Answer:
        kind, grown = head.get("kind"), head.get("grown")
        if not isinstance(kind, str) or type(grown) is not int:
            raise Misbehaved("a reply without its parts")
        self.grown = grown
        return Answer(kind=kind, detail=head)

    def _look(self) -> None:
        self._check()
        if is_larger(self.folder, self._own_bytes + self._limits.file_bytes):
            raise LimitReached("file")

    def _send(self, request: dict[str, Any], deadline: float) -> None:
        self._channel.send(msgpack.packb(request, unicode_errors="surrogatepass"), deadline=deadline)


@contextmanager
def _past_limits() -> Iterator[None]:
    """What the channel and the codec notice, in the words of this module."""
    try:
        yield
    except ChannelTimeout as error:
        raise LimitReached("wall") from error
    except FrameTooLarge as error:
        raise LimitReached("result") from error
    except Malformed as error:
        raise Misbehaved(str(error)) from error


def _seconds(value: object) -> float:
    seconds = a_number(value)
    if seconds < 0:
        raise Misbehaved("time that runs backwards")
    return seconds


def _start(descriptor: int, scratch: Path) -> subprocess.Popen[bytes]:
    environment = {
        **_QUIET,
        "PATH": os.defpath,
        "HOME": str(scratch),
        "TMPDIR": str(scratch),
        "PYTHONPATH": str(_CODE_ROOT),
    }
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "ingest.parser_child", str(descriptor), str(os.getpid())],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        cwd=scratch,
        env=environment,
        pass_fds=[descriptor],
        start_new_session=True,  # a terminal's Ctrl-C is for us to answer
    )


def _message(frame: bytearray) -> dict[str, Any]:
    try:
        message = msgpack.unpackb(frame, unicode_errors="surrogatepass")
    except (ValueError, TypeError, RecursionError, msgpack.UnpackException) as error:
        raise Misbehaved(str(error)) from error
    if not isinstance(message, dict):
        raise Misbehaved("not a message")
    return message

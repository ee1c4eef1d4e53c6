"""The pool's side of its processes: a handle on the zygote and one on each child (see `ingest.parser_child`)."""

from __future__ import annotations

import dataclasses
import os
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgpack

from ingest import parsed_codec
from ingest.parsed_codec import Malformed
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
    """A child's word on one document: the document, or why there is none. `grown`: its resident growth in bytes."""

    kind: str
    document: ParsedDocument | None
    detail: dict[str, Any]
    grown: int


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
    """A confined child. Used by one thread at a time."""

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
        self._ended = False
        self.resident_at_start = hello["resident"] if isinstance(hello.get("resident"), int) else 0
        self._number = number
        self._channel = channel
        self._limits = limits

    def is_ready(self) -> bool:
        return self.zygote.is_alive() and self._channel.is_quiet()

    def breaches(self, *, port: int, outside: Path) -> list[str]:
        """What the sandbox let this child do that it must not. Raises `ZygoteLost` if it does not answer."""
        try:
            reply = self._request({"port": port, "outside": str(outside)}, deadline=time.monotonic() + _ANSWER_S)
        except (ChannelClosed, ChannelTimeout, FrameTooLarge, Misbehaved) as error:
            raise ZygoteLost("the probe of the sandbox did not answer") from error
        return [str(breach) for breach in reply["breaches"]]

    def parse(self, path: Path, *, media_type: str, name: str) -> Answer:
        """Raises `LimitReached` ("wall", "file", "result"), `ChannelClosed` when it died, and `Misbehaved`.

        After any of them the child must be ended. The document is a copy in the child's folder: it needs to read no
        other, and what it does to this one does no harm.
        """
        self.documents += 1
        deadline = time.monotonic() + self._limits.wall_s
        document = self.folder / f"document{plain_suffix(name)}"
        size = copy_in(path, document)
        try:
            answer = self._answer({"path": str(document), "media_type": media_type, "name": name}, deadline, size)
        except ChannelTimeout as error:
            raise LimitReached("wall") from error
        return answer

    def tidy(self) -> bool:
        """Empties its folder for the next document; False where that does not work."""
        try:
            empty(self.folder)
        except OSError:
            return False
        return True

    def end(self, *, at_once: bool) -> Ending | None:
        """Ends it and removes its folder; a second call does nothing."""
        if self._ended:
            return None
        self._ended = True
        self._channel.close()
        ending = self.zygote.end_child(self._number, at_once=at_once)
        remove_tree(self.folder)
        return ending

    def _answer(self, request: dict[str, Any], deadline: float, own_bytes: int) -> Answer:
        def look() -> None:
            if is_larger(self.folder, own_bytes + self._limits.file_bytes):
                raise LimitReached("file")

        try:
            head = self._request(request, deadline=deadline, on_tick=look)
            document = None
            if head.get("kind") == "document":
                data = self._channel.receive(limit=self._limits.result_bytes, deadline=deadline, on_tick=look)
                document = parsed_codec.decode(data)
        except FrameTooLarge as error:
            raise LimitReached("result") from error
        except Malformed as error:
            raise Misbehaved(str(error)) from error
        kind, grown = head.get("kind"), head.get("grown")
        if not isinstance(kind, str) or type(grown) is not int:
            raise Misbehaved("a reply without its parts")
        return Answer(kind=kind, document=document, detail=head, grown=grown)

    def _request(self, request: dict[str, Any], *, deadline: float, on_tick: Any = None) -> dict[str, Any]:
        payload = msgpack.packb(request, unicode_errors="surrogatepass")
        self._channel.send(payload, deadline=deadline)
        return _message(self._channel.receive(limit=MESSAGE_BYTES, deadline=deadline, on_tick=on_tick))


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

"""The processes behind a ParserPool: `python -m ingest.parser_child <descriptor> <parent pid>`.

The process started is the *zygote*: it imports the parsers once, keeps a single thread, parses nothing, and forks a
*child* for each order. A child confines itself and parses one document after another. Children share the zygote's
memory, so they start in milliseconds. Zygote and children end when the pool's process does, however it ends.
"""

from __future__ import annotations

import contextlib
import errno
import gc
import importlib
import os
import resource
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import msgpack

from ingest import linux_calls, namespaces, parsed_codec, sandbox
from ingest.parsed_codec import TooManyItems
from ingest.parser_channel import MESSAGE_BYTES, Channel, ChannelClosed
from ingest.parser_limits import ParserLimits
from ingest.parsing import ParsedDocument
from ingest.sandbox import SandboxLevel
from retrieval.errors import Unparseable

_TRACEBACK_CHARACTERS = 8_000
# 0.2 s: a child whose channel closed is on its way out; one that only closed its channel is helped.
_EXIT_GRACE_S = 0.2

ParseFile = Callable[[Path, str, str], ParsedDocument]

# unstructured brings spaCy, whose base library loads every tensor library that is installed: 500 MB and seconds for
# what no parser uses.
_HEAVY = ("torch", "tensorflow", "cupy", "mxnet", "jax")


@dataclass(frozen=True, slots=True)
class Orders:
    """What the pool tells its zygote first."""

    level: SandboxLevel
    parsers: str
    limits: ParserLimits


def main(descriptor: int, parent: int) -> None:
    linux_calls.die_with_parent(parent)
    _offer_to_the_oom_killer()
    control = Channel(socket.socket(fileno=descriptor))
    orders = _orders(control.receive(limit=MESSAGE_BYTES))
    try:
        if orders.level is SandboxLevel.NAMESPACE:
            home = Path.cwd()  # imports may look for a folder to write in
            namespaces.enter(writable=home, in_outer=control.close)
            parse = _load(orders.parsers)
            namespaces.close_writable(home)
        else:
            parse = _load(orders.parsers)
    except Exception:
        control.send(_pack({"error": traceback.format_exc()[-_TRACEBACK_CHARACTERS:]}))
        return
    gc.collect()
    gc.freeze()  # a collection in a child would touch, and so copy, every page
    readable = sandbox.code_folders()
    control.send(_pack({"ready": True}))
    with contextlib.suppress(ChannelClosed):
        _serve(control, orders, parse, readable)


def _serve(control: Channel, orders: Orders, parse: ParseFile, readable: list[Path]) -> None:
    children: dict[int, int] = {}
    try:
        while True:
            frame, descriptor = control.receive_with_descriptor(limit=MESSAGE_BYTES)
            message = msgpack.unpackb(frame)
            if message["do"] == "start" and descriptor is not None:
                try:
                    scratch = Path(message["scratch"])
                    children[message["child"]] = _fork_child(control, descriptor, scratch, orders, parse, readable)
                    control.send(_pack({"started": True}))
                except OSError as error:  # the machine has no room for another process
                    control.send(_pack({"error": str(error)}))
                finally:
                    os.close(descriptor)
            else:
                control.send(_pack(_end(children.pop(message["child"], None), at_once=message["at_once"])))
    finally:
        for pid in children.values():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def _fork_child(
    control: Channel, descriptor: int, scratch: Path, orders: Orders, parse: ParseFile, readable: list[Path]
) -> int:
    zygote = os.getpid()
    pid = os.fork()
    if pid:
        return pid
    try:
        linux_calls.die_with_parent(zygote)
        control.close()
        _live(Channel(socket.socket(fileno=_keep_only(descriptor))), scratch, orders, parse, readable)
    except BaseException:
        os._exit(1)


def _end(pid: int | None, *, at_once: bool) -> dict[str, Any]:
    """Reaps a child, by force if it must be. `signal` is None after an ordinary exit or our own kill."""
    if pid is None:
        return {"signal": None, "peak": 0}
    patience = time.monotonic() + (0.0 if at_once else _EXIT_GRACE_S)
    ended, status, usage = os.wait4(pid, os.WNOHANG)
    while not ended and time.monotonic() < patience:
        time.sleep(0.002)
        ended, status, usage = os.wait4(pid, os.WNOHANG)
    forced = not ended
    if forced:
        os.kill(pid, signal.SIGKILL)
        _, status, usage = os.wait4(pid, 0)
    killed_by = os.WTERMSIG(status) if os.WIFSIGNALED(status) and not forced else None
    return {"signal": killed_by, "peak": usage.ru_maxrss * _MAXRSS_UNIT}


def _live(channel: Channel, scratch: Path, orders: Orders, parse: ParseFile, readable: list[Path]) -> NoReturn:
    os.setsid()
    memory = _ResidentMemory()
    try:
        sandbox.confine(orders.level, scratch=scratch, readable=readable, limits=orders.limits)
    except OSError:
        channel.send(_pack({"error": traceback.format_exc()[-_TRACEBACK_CHARACTERS:]}))
        os._exit(1)
    at_start = memory.bytes()
    channel.send(_pack({"resident": at_start}))
    with contextlib.suppress(ChannelClosed):
        while True:
            request = msgpack.unpackb(channel.receive(limit=MESSAGE_BYTES), unicode_errors="surrogatepass")
            if "port" in request:
                breaches = sandbox.breaches(port=request["port"], outside=Path(request["outside"]))
                channel.send(_pack({"breaches": breaches}))
                continue
            head, body = _answer(parse, request, orders.limits)
            head["grown"] = memory.bytes() - at_start
            channel.send(_pack(head))
            if body is not None:
                channel.send(body)
            del head, body
    os._exit(0)


def _answer(parse: ParseFile, request: dict[str, str], limits: ParserLimits) -> tuple[dict[str, Any], bytes | None]:
    sandbox.allow_cpu(limits.cpu_s)
    path = Path(request["path"])
    os.chdir(path.parent)  # the document before may have gone elsewhere
    try:
        encoded = parsed_codec.encode(parse(path, request["media_type"], request["name"]))
    except Unparseable as error:
        return {"kind": "unparseable", "code": error.reason_code, "message": str(error)[:2_000]}, None
    except TooManyItems:
        return {"kind": "limit", "limit": "items"}, None
    except BaseException as error:
        sandbox.lift_memory_limit()
        limit = _limit_behind(error)
        if limit is not None:
            return {"kind": "limit", "limit": limit}, None
        return {"kind": "failed", "traceback": traceback.format_exc()[-_TRACEBACK_CHARACTERS:]}, None
    if len(encoded) > limits.result_bytes:
        return {"kind": "limit", "limit": "result"}, None
    return {"kind": "document"}, encoded


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


class _ResidentMemory:
    """This process's resident memory, by a file opened before the sandbox closes /proc."""

    def __init__(self) -> None:
        self._statm = os.open("/proc/self/statm", os.O_RDONLY | os.O_CLOEXEC) if linux_calls.IS_LINUX else None

    def bytes(self) -> int:
        if self._statm is None:
            return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _MAXRSS_UNIT
        return int(os.pread(self._statm, 200, 0).split()[1]) * resource.getpagesize()


_MAXRSS_UNIT = 1024 if linux_calls.IS_LINUX else 1  # getrusage(2): kilobytes, on macOS bytes


def _keep_only(descriptor: int) -> int:
    """Closes every file but this one, which becomes number 3, and the standard three, which lead nowhere."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    for standard in range(3):
        os.dup2(nowhere, standard)
    kept = os.dup2(descriptor, 3, inheritable=False) if descriptor != 3 else 3
    os.closerange(4, os.sysconf("SC_OPEN_MAX"))
    return kept


def _load(parsers: str) -> ParseFile:
    """ "package.module:function"; a file's path in place of the module is how tests bring their own."""
    module, _, name = parsers.rpartition(":")
    if module.endswith(".py"):
        sys.path.append(str(Path(module).parent))
        module = Path(module).stem
    with _without(*_HEAVY):
        loaded: ParseFile = getattr(importlib.import_module(module), name)
    return loaded


@contextlib.contextmanager
def _without(*packages: str) -> Iterator[None]:
    """Makes importing these fail, as if they were not installed."""
    kept = {name: sys.modules.get(name) for name in packages}
    sys.modules.update(dict.fromkeys(packages))  # type: ignore[arg-type]
    try:
        yield
    finally:
        for name, module in kept.items():
            if module is None:
                del sys.modules[name]
            else:
                sys.modules[name] = module


def _orders(frame: bytes | bytearray) -> Orders:
    fields = msgpack.unpackb(frame)
    return Orders(SandboxLevel(fields["level"]), fields["parsers"], ParserLimits(**fields["limits"]))


def _pack(message: dict[str, Any]) -> bytes:
    packed: bytes = msgpack.packb(message, unicode_errors="surrogatepass")
    return packed


def _offer_to_the_oom_killer() -> None:
    """A machine out of memory takes a parser before its parent."""
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))

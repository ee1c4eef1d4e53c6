"""The processes behind a ParserPool: `python -m ingest.parser_child <descriptor> <parent pid>`.

The process started is the *zygote*: it imports the parsers once, keeps a single thread, parses nothing, and forks a
*child* for each order. A child confines itself and works for one document after another, see `ingest.parser_answers`.
Children share the zygote's memory, so they start in milliseconds. Zygote and children end when the pool's process does,
however it ends.
"""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import socket
import sys
import time
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import msgpack

from ingest import linux_calls, namespaces, sandbox
from ingest.parser_answers import MAXRSS_UNIT, TRACEBACK_CHARACTERS, ParserAnswers, ResidentMemory, pack
from ingest.parser_channel import MESSAGE_BYTES, Channel, ChannelClosed
from ingest.parser_entry import ParserEntry
from ingest.parser_limits import ParserLimits
from ingest.sandbox import SandboxLevel

# 0.2 s: a child whose channel closed is on its way out; one that only closed its channel is helped.
_EXIT_GRACE_S = 0.2


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
            entry = ParserEntry.load(orders.parsers)
            namespaces.close_writable(home)
        else:
            entry = ParserEntry.load(orders.parsers)
    except Exception:
        control.send(pack({"error": traceback.format_exc()[-TRACEBACK_CHARACTERS:]}))
        return
    gc.collect()
    gc.freeze()  # a collection in a child would touch, and so copy, every page
    readable = sandbox.code_folders()
    control.send(pack({"ready": True}))
    with contextlib.suppress(ChannelClosed):
        _serve(control, orders, entry, readable)


def _serve(control: Channel, orders: Orders, entry: ParserEntry, readable: list[Path]) -> None:
    children: dict[int, int] = {}
    try:
        while True:
            frame, descriptor = control.receive_with_descriptor(limit=MESSAGE_BYTES)
            message = msgpack.unpackb(frame)
            if message["do"] == "start" and descriptor is not None:
                try:
                    scratch = Path(message["scratch"])
                    children[message["child"]] = _fork_child(control, descriptor, scratch, orders, entry, readable)
                    control.send(pack({"started": True}))
                except OSError as error:  # the machine has no room for another process
                    control.send(pack({"error": str(error)}))
                finally:
                    os.close(descriptor)
            else:
                control.send(pack(_end(children.pop(message["child"], None), at_once=message["at_once"])))
    finally:
        for pid in children.values():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def _fork_child(
    control: Channel, descriptor: int, scratch: Path, orders: Orders, entry: ParserEntry, readable: list[Path]
) -> int:
    zygote = os.getpid()
    pid = os.fork()
    if pid:
        return pid
    try:
        linux_calls.die_with_parent(zygote)
        control.close()
        _live(Channel(socket.socket(fileno=_keep_only(descriptor))), scratch, orders, entry, readable)
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
    return {"signal": killed_by, "peak": usage.ru_maxrss * MAXRSS_UNIT}


def _live(channel: Channel, scratch: Path, orders: Orders, entry: ParserEntry, readable: list[Path]) -> NoReturn:
    os.setsid()
    memory = ResidentMemory()
    try:
        sandbox.confine(orders.level, scratch=scratch, readable=readable, limits=orders.limits)
    except OSError:
        channel.send(pack({"error": traceback.format_exc()[-TRACEBACK_CHARACTERS:]}))
        os._exit(1)
    with contextlib.suppress(ChannelClosed):
        ParserAnswers(channel, entry, orders.limits, memory).serve()
    os._exit(0)


def _keep_only(descriptor: int) -> int:
    """Closes every file but this one, which becomes number 3, and the standard three, which lead nowhere."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    for standard in range(3):
        os.dup2(nowhere, standard)
    kept = os.dup2(descriptor, 3, inheritable=False) if descriptor != 3 else 3
    os.closerange(4, os.sysconf("SC_OPEN_MAX"))
    return kept


def _orders(frame: bytes | bytearray) -> Orders:
    fields = msgpack.unpackb(frame)
    return Orders(SandboxLevel(fields["level"]), fields["parsers"], ParserLimits(**fields["limits"]))


def _offer_to_the_oom_killer() -> None:
    """A machine out of memory takes a parser before its parent."""
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))

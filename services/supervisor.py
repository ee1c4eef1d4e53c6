"""The supervisor of an embedded install: starts the processes, watches them, and ends with them.

It holds the data folder's lock and the listening socket. A process that dies is started again after a growing pause;
if it was the one that ingests, its death is recorded against what it was at, for its supervisor outlived it.
"""

from __future__ import annotations

import logging
import math
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from uuid import uuid4

from retrieval.errors import RagstoneError, Unavailable
from services import wiring
from services.access import read_bootstrap_key
from services.layout import DataLock, Layout
from services.lifeline import stop_on_signals
from services.listening import address_of, listen
from services.settings import Settings, child_environment
from services.standing import PATIENCE_S, REFUSED

log = logging.getLogger(__name__)

_START_S = 120.0  # a first start converts the model
_STEADY_S = 30.0  # a process that lived so long is started again at once
_LONGEST_PAUSE_S = 10.0
_LOOK_S = 5.0  # signals say what happens; this is for the one that said nothing


class ChildRefused(RagstoneError):
    """A process could not start."""


class _SaidWhy(Exception):
    """A process refused, and has said why in a line of its own."""


class _Stopped(Exception):
    """Somebody asked for the end while processes were still starting."""


@dataclass(slots=True)
class _Child:
    name: str
    arguments: list[str]
    descriptors: tuple[int, ...] = ()
    start_s: float = _START_S
    process: subprocess.Popen[bytes] | None = None
    line: socket.socket | None = None
    started: float = 0.0
    deaths: int = 0
    worker: str = ""
    ready: threading.Event = field(default_factory=threading.Event)


class Supervisor:
    """Runs until it is asked to stop. `run` returns the exit status."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._layout = Layout(settings.data)
        self._boot = uuid4().hex[:8]
        self._workers = 0
        self._ended_badly = False

    def run(self) -> int:
        stop = stop_on_signals()
        if self._settings.bootstrap_key_file is not None:
            read_bootstrap_key(self._settings.bootstrap_key_file)  # one that is none refuses before anything is made
        self._layout.prepare()
        lock = DataLock(self._layout, wait_s=PATIENCE_S)
        self._layout.secret(self._settings.secret_file)
        listener = listen(self._settings.host, self._settings.port, wait_s=PATIENCE_S)
        self._clean()
        self._open_data()
        self._ended_badly = self._layout.in_use.exists()
        self._layout.in_use.touch()
        children = self._children(listener)
        try:
            for group in _starting_order(children):
                for child in group:
                    self._start(child)
                for child in group:
                    self._await_ready(child, stop)
            print(f"ragstone is ready: {address_of(listener)} (API documentation at /docs)", flush=True)
            self._watch(children, stop)
            return 0
        except _Stopped:
            return 0
        except _SaidWhy:
            return REFUSED
        finally:
            ended_well = [self._end(child) for child in reversed(children)]  # all of them, before any judgement
            if all(ended_well):
                self._layout.in_use.unlink()
            lock.release()

    # --- before anything starts ---

    def _clean(self) -> None:
        """What a killed predecessor left: half-arrived files, parsers' scratch, its word on the sandbox."""
        for folder in (self._layout.spool, self._layout.scratch):
            subprocess.run(["rm", "-rf", "--", str(folder)], check=True)
            folder.mkdir(mode=0o700)
        self._layout.sandbox_level.unlink(missing_ok=True)

    def _open_data(self) -> None:
        """The lock is ours, so every process of the predecessor is dead: what it held is free."""
        # A database server may have other processes on it: when its schema changes is for its operator to say.
        embedded = self._settings.database.is_embedded
        catalogue = wiring.open_catalogue(self._settings, self._layout, migrate=embedded)
        catalogue.close()
        shared = wiring.share(self._settings)
        wiring.open_access(shared)
        wiring.keep_model(shared)
        if self._settings.kafka.bootstrap is None:  # otherwise others may work on the same
            shared.catalogue.tasks.predecessors_died()
        shared.close()

    def _children(self, listener: socket.socket) -> list[_Child]:
        # An index that optimises before it is ready takes a minute for 100,000 points: it is waited for while it lives.
        children = [] if self._settings.qdrant.url else [_Child("index", ["index"], start_s=math.inf)]
        children.append(_Child("work", ["watch,parse,embed,janitor"]))
        fd = listener.fileno()
        children.append(_Child("api", ["documents,search,summary", f"--listen-fd={fd}"], (fd,)))
        return children

    # --- a child's life ---

    def _start(self, child: _Child) -> None:
        ours, theirs = socket.socketpair()
        child.line, child.started = ours, time.monotonic()
        child.ready.clear()
        arguments = [*child.arguments, f"--lifeline-fd={theirs.fileno()}"]
        if child.name == "work":
            self._workers += 1
            child.worker = f"work-{self._boot}-{self._workers}"
            arguments.append(f"--worker={child.worker}")
            # After a power failure the index may lack what the catalogue calls live: looked at before anybody searches.
            arguments += ["--compare-first"] if self._ended_badly else []
        child.process = subprocess.Popen(
            [sys.executable, "-m", "services", *arguments],
            pass_fds=(theirs.fileno(), *child.descriptors),
            stdin=subprocess.DEVNULL,
            env=child_environment(),
        )
        theirs.close()
        threading.Thread(target=_listen_for_ready, args=(child, ours), daemon=True).start()

    def _await_ready(self, child: _Child, stop: threading.Event) -> None:
        deadline = time.monotonic() + child.start_s
        while not child.ready.wait(0.02):
            assert child.process is not None
            status = child.process.poll()
            if stop.is_set():
                raise _Stopped
            if status == REFUSED:
                raise _SaidWhy
            if status is not None:
                raise ChildRefused(f"The process {child.name} could not start (status {status}).")
            if time.monotonic() > deadline:
                raise ChildRefused(f"The process {child.name} was not ready within {child.start_s:.0f} seconds.")

    def _watch(self, children: list[_Child], stop: threading.Event) -> None:
        with _signals() as arrived:
            while not stop.is_set():
                for child in children:
                    if child.process is not None and child.process.poll() is not None:
                        self._restart(child, stop)
                arrived(_LOOK_S)

    def _restart(self, child: _Child, stop: threading.Event) -> None:
        assert child.process is not None
        log.error("process %s ended with status %s; starting it again", child.name, child.process.returncode)
        if child.name == "work":
            self._record_death(child.worker)
        steady = time.monotonic() - child.started > _STEADY_S
        child.deaths = 0 if steady else child.deaths + 1
        if stop.wait(min(_LONGEST_PAUSE_S, 0.1 * 2**child.deaths) if child.deaths else 0):
            return
        self._start(child)

    def _record_death(self, worker: str) -> None:
        try:
            catalogue = wiring.open_catalogue(self._settings, self._layout)
            catalogue.tasks.worker_died(worker)
            catalogue.close()
        except Unavailable as error:
            log.warning("the death of %s is not recorded, its leases will run out: %s", worker, error)

    def _end(self, child: _Child) -> bool:
        """Asks, waits, insists; whether it ended well."""
        if child.process is None:
            return True
        child.process.send_signal(signal.SIGTERM)
        try:
            child.process.wait(self._settings.work.drain_s + 5)
        except subprocess.TimeoutExpired:
            child.process.kill()
            child.process.wait()
        if child.line is not None:
            child.line.close()
        return child.process.returncode == 0


@contextmanager
def _signals() -> Iterator[Callable[[float], None]]:
    """What waits for a signal, so many seconds at most: a child that ended sends one, and so does whoever asks for the
    end. One that came before the waiting ends it at once."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.setblocking(False)
        before = signal.set_wakeup_fd(theirs.fileno(), warn_on_full_buffer=False)
        handled = signal.signal(signal.SIGCHLD, lambda _number, _frame: None)  # without a handler nothing is woken
        try:
            yield partial(_await_byte, ours)
        finally:
            signal.signal(signal.SIGCHLD, handled)
            signal.set_wakeup_fd(before)


def _await_byte(line: socket.socket, timeout_s: float) -> None:
    if select.select([line], [], [], timeout_s)[0]:
        line.recv(4096)


def _starting_order(children: list[_Child]) -> list[list[_Child]]:
    """The index before the ones that ask it; those side by side."""
    return [[child for child in children if child.name == "index"], [c for c in children if c.name != "index"]]


def _listen_for_ready(child: _Child, line: socket.socket) -> None:
    try:
        if line.recv(16):
            child.ready.set()
    except OSError:
        return

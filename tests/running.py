"""A real server for tests: `python -m services all` in a process group of its own, on a data folder of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import httpx2
import psutil

ROOT = Path(__file__).resolve().parents[1]
READY = "ragstone is ready: "
# A first start converts and measures the model, and the machine may be busy with other tests.
START_S = 180.0
# Longer than a process may take to finish what it is at, plus the supervisor's own patience.
STOP_S = 40.0
WAIT_S = 60

# Everything that waits on a clock is made short: tests are about what happens, not about how long users wait for it.
QUICK: Mapping[str, str] = {
    "RAGSTONE_WATCH__SCAN_S": "0.2",
    "RAGSTONE_WATCH__SETTLE_S": "0.2",
    "RAGSTONE_WATCH__GRACE_S": "0.5",
    "RAGSTONE_JANITOR__INTERVAL_S": "1",
    "RAGSTONE_WORK__POLL_S": "0.1",
    "RAGSTONE_WORK__REST_S": "0.2",
    "RAGSTONE_WORK__RETRY_BASE_S": "0.1",
    "RAGSTONE_EMBEDDER__THREADS": "2",
}
FINAL = ("searchable", "partial", "failed", "deleted")

Json = dict[str, Any]


class RunningServer:
    """One install. `start` after `stop` or `kill` is a restart on the same data.

    `environment` adds to (and takes precedence over) the quick settings; a value of None unsets one.
    """

    def __init__(self, data: Path, *, environment: Mapping[str, str | None] | None = None) -> None:
        self.data = data
        self.drop = data / "drop"
        self.environment = dict(environment or {})
        self.url = ""
        self.lines: list[str] = []
        self.process: subprocess.Popen[str] | None = None
        self.http = httpx2.Client()
        self._ready = threading.Event()
        self._seen: set[psutil.Process] = set()

    # --- its life ---

    def start(self) -> RunningServer:
        """Returns when it is ready; raises `AssertionError` with what it printed when it ends instead."""
        self.launch()
        assert self._ready.wait(START_S), f"not ready within {START_S:.0f} s:\n{self.printed}"
        assert self.url, f"it ended instead of starting:\n{self.printed}"
        self.reconnect()
        return self

    def reconnect(self) -> None:
        """With connections of its own: those to a process that died are dead."""
        self.http.close()
        self.http = httpx2.Client(base_url=self.url, timeout=90)

    def launch(self) -> subprocess.Popen[str]:
        """Starts it and does not wait."""
        self.url = ""
        self.lines = []
        self._ready = threading.Event()
        self._seen = set()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "services", "all"],
            cwd=ROOT,
            env=environment_of(self.data, self.environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        assert self.process.stdout is not None
        threading.Thread(target=self._read, args=(self.process.stdout, self._ready), daemon=True).start()
        return self.process

    def stop(self) -> int:
        """Asks it to end as a service manager does; its exit status. Nothing of its group may be left."""
        self.http.close()
        process = self._process
        self.processes()  # remembered, to be looked for afterwards
        process.send_signal(signal.SIGTERM)
        status = process.wait(STOP_S)
        assert self.left() == [], f"processes outlived their supervisor:\n{self.printed}"
        return status

    def kill(self) -> None:
        """The whole group at once, as a power failure does."""
        self.http.close()
        process = self._process
        self.processes()
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(STOP_S)
        assert self.left() == []

    def end(self) -> None:
        """Whatever state it is in: nothing of it is left afterwards."""
        self.http.close()
        if self.process is not None:
            with _gone_is_fine():
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait(STOP_S)

    def left(self, patience_s: float = 5.0) -> list[psutil.Process]:
        """Its processes that still run; one that its new parent has not reaped yet counts as gone."""
        deadline = time.monotonic() + patience_s
        while (left := self.processes()) and time.monotonic() < deadline:
            time.sleep(0.05)
        return left

    def processes(self) -> list[psutil.Process]:
        """Its live processes: those of its session, and the parsers' (in sessions of their own) seen below them."""
        session = self._process.pid
        for process in psutil.process_iter():
            if _session_of(process) == session:
                self._seen.add(process)
        for process in list(self._seen):
            with _gone_is_fine():
                self._seen.update(process.children(recursive=True))
        return [process for process in self._seen if _lives(process)]

    def process_of(self, role: str) -> psutil.Process:
        """The process that runs a role: "index", "parse" (all ingestion), or "search" (the API)."""
        for process in self.processes():
            with _gone_is_fine():
                words = process.cmdline()
                if words[1:3] == ["-m", "services"] and role in words[3].split(","):
                    return process
        raise AssertionError(f"no process runs {role}:\n{self.printed}")

    @property
    def printed(self) -> str:
        return "\n".join(self.lines[-200:])

    @property
    def _process(self) -> subprocess.Popen[str]:
        assert self.process is not None, "it was never started"
        return self.process

    def _read(self, output: IO[str], ready: threading.Event) -> None:
        with output:
            for line in output:
                self.lines.append(line.rstrip("\n"))
                if line.startswith(READY):
                    self.url = line.removeprefix(READY).split()[0]
                    ready.set()
        ready.set()  # it ended; whoever waits finds no URL

    # --- what tests do with it all the time ---

    def collection(self, name: str, **fields: Any) -> str:
        """A new collection; its name."""
        reply = self.http.post("/v1/collections", json={"name": name, **fields})
        assert reply.status_code == 201, reply.text
        return name

    def send_text(self, collection: str, text: str, **fields: Any) -> Json:
        """A JSON document, as the 202 shows it."""
        reply = self.http.post(f"/v1/collections/{collection}/documents", json={"text": text, **fields})
        assert reply.status_code == 202, reply.text
        return _object(reply)

    def send_file(self, collection: str, name: str, data: bytes, **fields: str) -> Json:
        """A file, as the 202 shows its document."""
        reply = self.post_file(collection, name, data, **fields)
        assert reply.status_code == 202, reply.text
        return _object(reply)

    def post_file(self, collection: str, name: str, data: bytes, **fields: str) -> httpx2.Response:
        return self.http.post(f"/v1/collections/{collection}/documents", files={"file": (name, data)}, data=fields)

    def finished(self, document: Json | str) -> Json:
        """The document once its state is final."""
        key = document if isinstance(document, str) else document["id"]
        shown = _object(self.http.get(f"/v1/documents/{key}", params={"wait": WAIT_S}))
        assert shown["state"] in FINAL, f"not final within {WAIT_S} s: {shown}\n{self.printed}"
        return shown

    def searchable(self, collection: str, text: str, **fields: Any) -> Json:
        """A JSON document that can be found."""
        shown = self.finished(self.send_text(collection, text, **fields))
        assert shown["state"] == "searchable", shown
        return shown

    def hits(self, query: str, **fields: Any) -> list[Json]:
        reply = self.http.post("/v1/search", json={"query": query, **fields})
        assert reply.status_code == 200, reply.text
        hits: list[Json] = reply.json()["hits"]
        return hits

    def documents(self, **parameters: Any) -> list[Json]:
        """All documents of a list, over its cursors."""
        found: list[Json] = []
        cursor: str | None = None
        while True:
            page = {**parameters, **({} if cursor is None else {"cursor": cursor})}
            reply = _object(self.http.get("/v1/documents", params=page))
            found += reply["data"]
            cursor = reply["next_cursor"]
            if cursor is None:
                return found


def environment_of(data: Path, changes: Mapping[str, str | None]) -> dict[str, str]:
    """The environment of a server on `data`: this one's without its settings, quick ones, a free port."""
    ours = {name: value for name, value in os.environ.items() if not name.upper().startswith("RAGSTONE_")}
    given = {**QUICK, "RAGSTONE_DATA": str(data), "RAGSTONE_PORT": "0", **changes}
    return ours | {name: value for name, value in given.items() if value is not None}


def refused(
    data: Path, environment: Mapping[str, str | None] | None = None, *, limit_s: float = 60.0
) -> tuple[int, str]:
    """Starts a server that must refuse; its exit status and what it said. Nothing of it may be left."""
    server = RunningServer(data, environment=environment)
    process = server.launch()
    try:
        status = process.wait(limit_s)
        assert server.left() == []
        time.sleep(0.1)  # what it printed last is still on its way through the pipe
        return status, server.printed
    finally:
        server.end()


@contextmanager
def serving(data: Path, *, environment: Mapping[str, str | None] | None = None) -> Iterator[RunningServer]:
    """A server that is ready; it ends as a service manager ends it, and leaves nothing."""
    running = RunningServer(data, environment=environment)
    try:
        yield running.start()
        assert running.stop() == 0, running.printed
    finally:
        running.end()


def eventually(claim: Any, *, within_s: float = 20.0) -> Any:
    """The first true value of `claim()`; fails with the last one when the time is over."""
    deadline = time.monotonic() + within_s
    while True:
        value = claim()
        if value or time.monotonic() > deadline:
            assert value, f"not within {within_s:.0f} s"
            return value
        time.sleep(0.05)


@contextmanager
def _gone_is_fine() -> Iterator[None]:
    try:
        yield
    except (ProcessLookupError, psutil.NoSuchProcess):
        return


def _session_of(process: psutil.Process) -> int | None:
    try:
        return os.getsid(process.pid)
    except (ProcessLookupError, PermissionError):
        return None


def _lives(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _object(reply: httpx2.Response) -> Json:
    assert reply.is_success, reply.text
    shown: Json = reply.json()
    return shown

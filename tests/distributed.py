"""ragstone as several processes, for tests: a real Kafka between them, a real PostgreSQL behind them.

Each process has a data folder of its own, as on a machine of its own; they share the folder of blobs, the index
process's address and the two servers.
"""

from __future__ import annotations

import contextlib
import random
import signal
import socket
import subprocess
import sys
import threading
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import IO

import httpx2
import psutil

from tests.running import ROOT, environment_of

START_S = 120.0
STOP_S = 40.0
_READY = " is ready: http://"
_IMPORT = "import time:"


class Process:
    """`python -m services ROLE`, in a session of its own. `imported`: top-level names, where asked for."""

    def __init__(
        self, role: str, folder: Path, environment: Mapping[str, str | None], arguments: tuple[str, ...]
    ) -> None:
        self.role = role
        self.lines: list[str] = []
        self.imported: set[str] = set()
        self.url = ""
        self._ready = threading.Event()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "services", role, *arguments],
            cwd=ROOT,
            env=environment_of(folder, environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        assert self.process.stdout is not None
        threading.Thread(target=self._read, args=(self.process.stdout,), daemon=True).start()

    def await_ready(self) -> Process:
        assert self._ready.wait(START_S), f"{self.role} is not ready within {START_S:.0f} s:\n{self.printed}"
        assert self.url, f"{self.role} ended instead of starting:\n{self.printed}"
        return self

    def get(self, path: str) -> httpx2.Response:
        return httpx2.get(f"{self.url}{path}", timeout=30)

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(STOP_S)

    def kill(self) -> None:
        """Without a word; its parsers die with it."""
        below = psutil.Process(self.process.pid).children(recursive=True)
        self.process.kill()
        self.process.wait(STOP_S)
        _, alive = psutil.wait_procs(below, timeout=10)
        assert alive == []

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(STOP_S)

    @property
    def printed(self) -> str:
        return "\n".join(self.lines[-100:])

    def _read(self, output: IO[str]) -> None:
        with output:
            for line in output:
                if line.startswith(_IMPORT):  # where PYTHONPROFILEIMPORTTIME asks for it
                    self.imported.add(line.rpartition("|")[2].strip().partition(".")[0])
                    continue
                self.lines.append(line.rstrip("\n"))
                if line.startswith("ragstone ") and _READY in line:
                    self.url = "http://" + line.split(_READY)[1].split()[0]
                    self._ready.set()
        self._ready.set()


class Distributed:
    """The processes of one install. `environment` is for all of them."""

    def __init__(
        self, folder: Path, *, database: str, bootstrap: str, environment: Mapping[str, str] | None = None
    ) -> None:
        self._folder = folder
        self.prefix = f"t{uuid.uuid4().hex[:8]}"
        self.environment: dict[str, str | None] = {
            "RAGSTONE_DATABASE__URL": database,
            "RAGSTONE_KAFKA__BOOTSTRAP": bootstrap,
            "RAGSTONE_KAFKA__PREFIX": self.prefix,
            "RAGSTONE_KAFKA__PARTITIONS": "2",
            "RAGSTONE_KAFKA__TIMEOUT_S": "5",
            "RAGSTONE_KAFKA__SESSION_TIMEOUT_S": "6",
            "RAGSTONE_BLOBS__URL": f"file://{folder / 'blobs'}",
            "RAGSTONE_DROP": str(folder / "drop"),
            "RAGSTONE_QDRANT__URL": f"127.0.0.1:{free_port()}",
            "RAGSTONE_WORK__LEASE_S": "6",
            "RAGSTONE_WORK__DRAIN_S": "5",
            **(environment or {}),
        }
        self.drop = folder / "drop"
        self.blobs = folder / "blobs"
        self.processes: list[Process] = []

    def launch(self, role: str, *, name: str | None = None) -> Process:
        """Starts it and does not wait. A `name` gives it a folder of its own where a role runs several times."""
        address = self.environment["RAGSTONE_QDRANT__URL"]
        arguments = (f"--address={address}",) if role == "index" and address is not None else ()
        environment = {**self.environment, **({"RAGSTONE_QDRANT__URL": None} if role == "index" else {})}
        started = Process(role, self._folder / (name or role), environment, arguments)
        self.processes.append(started)
        return started

    def start(self, *roles: str) -> list[Process]:
        return [one.await_ready() for one in [self.launch(role) for role in roles]]

    def end(self) -> None:
        for one in self.processes:
            one.end()

    @property
    def printed(self) -> str:
        return "\n\n".join(f"--- {one.role}\n{one.printed}" for one in self.processes)


def free_port() -> int:
    """One that nobody listens on and that no outgoing connection will take before it is used: below those."""
    while True:
        port = random.randrange(10_000, 32_000)
        with socket.socket() as listener, contextlib.suppress(OSError):
            listener.bind(("127.0.0.1", port))
            return port

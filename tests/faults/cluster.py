"""ragstone's processes over one Kafka and one PostgreSQL, started again whenever one dies, as an orchestrator does."""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ingest.kafka_queue.connection import KafkaConnection
from ingest.kafka_queue.messages import encode
from ingest.kafka_queue.sending import KafkaSender
from ingest.kafka_queue.topics import STAGES, Topics
from retrieval.documents import Lane, Stage
from retrieval.identity import IdentityKind, document_id
from retrieval.tasks import TaskPointer
from tests.distributed import free_port
from tests.faults.evidence import QUIET_S, Stored
from tests.faults.journal import insist
from tests.postgres_server import PostgresServer
from tests.running import ROOT, environment_of

PLANTED = Path(__file__).parent / "planted"
START_S = 90.0
# Short, for what a kill costs is mostly waiting for these.
LEASE_S = 3.0
SESSION_S = 3.0
# Of the process that takes documents; a client asks them in turn.
REPLICAS = 2


@dataclass(slots=True)
class Member:
    """One process; `pid` is None while there is none."""

    name: str
    role: str
    environment: dict[str, str]
    arguments: tuple[str, ...]
    output: Path
    pid: int | None = None


class Cluster:
    """`workers` is how many parse and embed processes there are of each, `planted` a bug that all processes have."""

    def __init__(
        self,
        folder: Path,
        *,
        postgres: PostgresServer,
        database: str,
        bootstrap: str,
        workers: int = 2,
        planted: str | None = None,
    ) -> None:
        self.folder = folder
        self.postgres = postgres
        self.database = database
        self.prefix = f"t{os.urandom(4).hex()}"
        self.index_address = f"127.0.0.1:{free_port()}"
        self.bootstrap = bootstrap
        self.deaths: Counter[str] = Counter()
        self.blobs = folder / "blobs"
        self._ports = {f"documents-{i}": free_port() for i in range(REPLICAS)}
        self._urls = itertools.cycle([f"http://127.0.0.1:{port}" for port in self._ports.values()])
        self._lock = threading.Lock()
        self._members: dict[str, Member] = {}
        self._closing = False
        for kind in ("armed", "fired"):
            (folder / "faults" / kind).mkdir(parents=True)
        names = [f"{role}-{i}" for role in ("embed", "parse") for i in range(workers)]
        for name in ("index", *names, "janitor", *self._ports):
            self._members[name] = self._member(name)
        with (folder / "forge").open("ab") as said:
            self._forge = subprocess.Popen(
                [sys.executable, "-m", "tests.faults.process_forge"],
                cwd=ROOT,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=said,
                env={
                    **os.environ,
                    "PYTHONPATH": f"{PLANTED}{os.pathsep}{ROOT}",
                    **({} if planted is None else {"PLANTED_BUG": planted}),
                },
            )
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    # --- processes

    def start(self) -> Cluster:
        for name in ("index", "embed-0"):
            self._start(self._members[name])
            self._await(self._members[name])
        for member in self._members.values():
            if member.pid is None:
                self._start(member)
        for member in self._members.values():
            self._await(member)
        return self

    def end(self) -> None:
        self._closing = True
        if self._forge.stdin is not None:
            self._forge.stdin.close()
        self._forge.wait(START_S)
        self._listener.join()
        if self._forge.stdout is not None:
            self._forge.stdout.close()

    def names(self, *roles: str) -> list[str]:
        return [name for name, member in self._members.items() if member.role in roles]

    def signal(self, name: str, number: signal.Signals) -> None:
        pid = self._members[name].pid
        if pid is not None:
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                return

    def wake(self, pid: int) -> None:
        try:
            os.kill(pid, signal.SIGCONT)
        except ProcessLookupError:
            return

    def stacks(self) -> str:
        """What the threads of every process are at, and what it printed before."""
        for name in self._members:
            self.signal(name, signal.SIGUSR1)
        time.sleep(1)
        return self._printed(12_000)

    @property
    def printed(self) -> str:
        return self._printed(1_500)

    def _printed(self, chars: int) -> str:
        return "\n".join(
            f"--- {name}\n" + member.output.read_text(errors="replace")[-chars:]
            for name, member in self._members.items()
            if member.output.exists()
        )

    def _member(self, name: str) -> Member:
        role = name.partition("-")[0]
        changes: dict[str, str | None] = {
            "RAGSTONE_DATABASE__URL": self.database,
            "RAGSTONE_KAFKA__BOOTSTRAP": self.bootstrap,
            "RAGSTONE_KAFKA__PREFIX": self.prefix,
            "RAGSTONE_KAFKA__PARTITIONS": "4",
            "RAGSTONE_KAFKA__TIMEOUT_S": "5",
            "RAGSTONE_KAFKA__SESSION_TIMEOUT_S": str(SESSION_S),
            "RAGSTONE_BLOBS__URL": f"file://{self.blobs}",
            "RAGSTONE_QDRANT__URL": self.index_address,
            "RAGSTONE_WORK__LEASE_S": str(LEASE_S),
            "RAGSTONE_WORK__RETRY_BASE_S": "0.1",
            "RAGSTONE_WORK__DRAIN_S": "3",
            "RAGSTONE_WORK__FUSE_S": "0.5",
            "RAGSTONE_PARSER__CHILDREN": "1",
            "RAGSTONE_EMBEDDER__THREADS": "1",
            "RAGSTONE_PORT": str(self._ports.get(name, 0)),
        }
        if role != "index":
            changes["FAULT_POINTS"] = str(self.folder / "faults")
        arguments = (role, f"--address={self.index_address}") if role == "index" else (role,)
        return Member(
            name, role, environment_of(self.folder / name, changes), arguments, self.folder / f"{name}.output"
        )

    def _start(self, member: Member) -> None:
        order = {
            "name": member.name,
            "argv": member.arguments,
            "environment": member.environment,
            "output": str(member.output),
        }
        with self._lock:
            assert self._forge.stdin is not None
            self._forge.stdin.write(json.dumps(order).encode() + b"\n")
            self._forge.stdin.flush()

    def _await(self, member: Member) -> None:
        deadline = time.monotonic() + START_S
        while not (member.output.exists() and " is ready: " in member.output.read_text(errors="replace")):
            assert time.monotonic() < deadline, f"{member.name} is not ready:\n{self.printed}"
            assert self._forge.poll() is None, (self.folder / "forge").read_text()
            time.sleep(0.05)

    def _listen(self) -> None:
        assert self._forge.stdout is not None
        for line in self._forge.stdout:
            said = json.loads(line)
            if "started" in said:
                self._members[said["started"]].pid = said["pid"]
                continue
            member = self._members[said["ended"]]
            member.pid = None
            self.deaths[member.role] += 1
            if not self._closing:
                self._start(member)

    # --- faults

    def arm(self, action: str, point: str, edge: str, token: str) -> str:
        name = f"{action}--{point}--{edge}--{token}"
        (self.folder / "faults" / "armed" / name).touch()
        return name

    def fired(self, name: str) -> int | None:
        """The pid of the process to which it happened."""
        found = next((self.folder / "faults" / "fired").glob(f"{name}--*"), None)
        return None if found is None else int(found.name.rpartition("--")[2])

    def repeat_messages(self, document: str) -> None:
        """Every message that there ever was about a document, once more, the oldest last."""
        topics = Topics(self.prefix)
        rows = self.postgres.rows(
            f"SELECT id, tenant, stage, lane FROM tasks WHERE document_id = '{document}' ORDER BY id DESC",
            self.database,
        )
        pointers = [
            TaskPointer(key, tenant, document, Stage(stage), Lane(lane))
            for key, tenant, stage, lane in rows
            if Stage(stage) in STAGES
        ]
        sender = KafkaSender(KafkaConnection((self.bootstrap,), timeout_s=10))
        try:
            sender.send([(topics.of(one.stage, one.lane), encode(one)) for one in pointers])
        finally:
            sender.close()

    # --- the client

    def send(self, method: str, path: str, *, accept: tuple[int, ...], **request: Any) -> Any:
        return insist(lambda: next(self._urls), lambda: self.printed, method, path, accept=accept, **request)

    def collection(self, name: str) -> str:
        """Its id."""
        self.send("POST", "/v1/collections", json={"name": name}, accept=(201, 409))
        ((found,),) = self.postgres.rows(f"SELECT id FROM collections WHERE name = '{name}'", self.database)
        return str(found)

    def submit(self, collection: str, key: str, text: str) -> str:
        """As a file, so that its bytes go through the blob store; the document's id."""
        reply = self.send(
            "POST",
            f"/v1/collections/{collection}/documents",
            files={"file": ("note.md", text.encode())},
            data={"external_id": key},
            accept=(202,),
        )
        found: str = reply["id"]
        return found

    def state(self, document: str, *, wait_s: int = 0) -> Mapping[str, Any]:
        found: Mapping[str, Any] = self.send("GET", f"/v1/documents/{document}", params={"wait": wait_s}, accept=(200,))
        return found

    def owed(self, document: str) -> list[tuple[Any, ...]]:
        """Its open tasks, as they are in the catalogue."""
        query = f"SELECT * FROM tasks WHERE document_id = '{document}' AND done_at IS NULL"
        return self.postgres.rows(query, self.database)

    def id_of(self, collection_id: str, key: str) -> str:
        return document_id("default", collection_id, IdentityKind.EXTERNAL_ID, key)

    def undisturbed(self, name: str, texts: Mapping[str, str]) -> dict[str, Counter[str]]:
        """The chunks of each text by its key: sent to a collection of their own, which is then deleted."""
        self.collection(name)
        for key, text in texts.items():
            self.submit(name, key, text)
        stored = self.stored()
        try:
            assert stored.quiet(within_s=QUIET_S), self.printed
            wanted: dict[str, Counter[str]] = {key: Counter() for key in texts}
            for (collection, key, text), number in stored.in_catalogue().items():
                if collection == name:
                    wanted[key][text] += number
            self.send("DELETE", f"/v1/collections/{name}", accept=(202,))
            assert stored.settled(), self.printed
            return wanted
        finally:
            stored.close()

    def stored(self) -> Stored:
        return Stored(catalogue=self.database, index=self.index_address, blobs=self.blobs)

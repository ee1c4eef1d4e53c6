"""A real Kafka broker for tests: Apache Kafka in one Java process, on ports and in a folder of its own.

Where Java or Kafka's jars are missing, every test that asks for it is skipped with a sentence that says what to do.
"""

from __future__ import annotations

import base64
import ctypes
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ingest.kafka_queue.connection import KafkaConnection
from ingest.kafka_queue.stage_consumer import Marks
from ingest.kafka_queue.task_queue import KafkaQueue
from ingest.kafka_queue.topics import STAGES, TopicPolicy, Topics, ensure_topics
from tools.fetch_tools import KAFKA, cache

_PR_SET_PDEATHSIG = 1
START_S = 60.0  # four seconds where nothing else runs


def jars() -> Path:
    return cache() / f"kafka-{KAFKA}" / "lib"


class KafkaBroker:
    """One node, broker and controller in one (KRaft). It keeps its port and its data from one start to the next."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._port, self._controller_port = _free_ports(2)
        self._process: subprocess.Popen[bytes] | None = None
        self._configuration = folder / "server.properties"
        self._configuration.write_text(self._properties(), encoding="utf-8")
        cluster = base64.b64encode(uuid.uuid4().bytes, altchars=b"AA").decode().rstrip("=")  # no dash in front
        formatting = ("kafka.tools.StorageTool", "format", "--standalone", "-t", cluster, "-c", self._configuration)
        subprocess.run([*_JAVA, *map(str, formatting)], check=True, capture_output=True, env=self._environment())

    @property
    def bootstrap(self) -> str:
        return f"127.0.0.1:{self._port}"

    def start(self) -> None:
        """Returns when it answers."""
        with (self._folder / "output").open("ab") as output:
            command = [*_JAVA, "kafka.Kafka", str(self._configuration)]
            self._process = subprocess.Popen(
                command,
                stdout=output,
                stderr=output,
                env=self._environment(),
                preexec_fn=_die_with_parent,  # noqa: PLW1509
            )
        deadline = time.monotonic() + START_S
        while not self._answers():
            assert self._process.poll() is None, f"Kafka ended:\n{self.printed}"
            assert time.monotonic() < deadline, f"Kafka did not start within {START_S:.0f} s:\n{self.printed}"
            time.sleep(0.1)

    def stop(self) -> None:
        """At once and without a farewell, as a machine goes away."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def hang(self) -> None:
        """It takes connections and answers nothing until `wake`."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def wake(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    @property
    def printed(self) -> str:
        return (self._folder / "output").read_text(errors="replace")[-3000:]

    def _answers(self) -> bool:
        with suppress(OSError), socket.create_connection(("127.0.0.1", self._port), timeout=1):
            return True
        return False

    def _environment(self) -> dict[str, str]:
        return {**os.environ, "LOG_DIR": str(self._folder / "logs")}

    def _properties(self) -> str:
        return f"""
process.roles=broker,controller
node.id=1
controller.quorum.bootstrap.servers=127.0.0.1:{self._controller_port}
listeners=PLAINTEXT://127.0.0.1:{self._port},CONTROLLER://127.0.0.1:{self._controller_port}
advertised.listeners=PLAINTEXT://127.0.0.1:{self._port}
controller.listener.names=CONTROLLER
log.dirs={self._folder / "data"}
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
auto.create.topics.enable=false
"""


_JAVA = (
    "java",
    "-Xmx384m",
    "-Xshare:auto",
    "-XX:TieredStopAtLevel=1",
    "-XX:+UseSerialGC",
    "-cp",
    f"{jars()}/*",
)


def _die_with_parent() -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _free_ports(number: int) -> list[int]:
    sockets = [socket.socket() for _ in range(number)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()


@pytest.fixture(scope="session")
def kafka_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaBroker]:
    with make_broker(tmp_path_factory.mktemp("kafka")) as broker:
        yield broker


@contextmanager
def make_broker(folder: Path) -> Iterator[KafkaBroker]:
    """A running broker; skips the test where there is nothing to run."""
    if shutil.which("java") is None:
        pytest.skip("there is no Java here to run Kafka: install a JRE (17 or later)")
    if not any(jars().glob("kafka_*.jar")):
        pytest.skip(f"Kafka's jars are not in {jars()}: `make tools` fetches them")
    broker = KafkaBroker(folder)
    broker.start()
    try:
        yield broker
    finally:
        broker.stop()


_NO_MARKS = Marks(count=100, weight=1 << 50)


class KafkaCorner:
    """Topics of one's own on the broker, and the queues on them; all of it is closed at the end."""

    def __init__(self, broker: KafkaBroker, *, partitions: int = 1) -> None:
        self.topics = Topics(f"t{uuid.uuid4().hex[:8]}")
        self.connection = KafkaConnection(
            (broker.bootstrap,), timeout_s=5, session_timeout_s=3, poll_interval_s=5, client_id="test"
        )
        self.policy = TopicPolicy(partitions=partitions)
        ensure_topics(self.connection, self.topics, self.policy)
        self._queues: list[KafkaQueue] = []

    def queue(self, *, window: int = 100, marks: Marks = _NO_MARKS, drain_s: float = 0.2, **changes: Any) -> KafkaQueue:
        """`changes` are to its connection."""
        made = KafkaQueue(
            replace(self.connection, **changes),
            self.topics,
            window=window,
            marks=dict.fromkeys(STAGES, marks),
            drain_s=drain_s,
        )
        self._queues.append(made)
        return made

    def __enter__(self) -> KafkaCorner:
        return self

    def __exit__(self, *_: object) -> None:
        for queue in self._queues:
            queue.close()

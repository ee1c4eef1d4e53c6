"""A campaign: a schedule of operations performed on a server that is killed again and again, and then looked at."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.faults.evidence import QUIET_S, Place, Stored, differences
from tests.faults.journal import COLLECTIONS, Client, Operation, expectation, insist, operations, portions
from tests.running import RunningServer

# A kill falls anywhere between the middle of a start and some batches of work after it.
LONGEST_LIFE_S = 2.5
KILLED_WHILE_STARTING = 0.15


class Campaign:
    """`environment` adds to the server's quick settings; a planted bug comes that way."""

    def __init__(self, data: Path, *, environment: Mapping[str, str | None] | None = None) -> None:
        self.server = RunningServer(data, environment=environment)
        self.kills = 0
        self._failure: BaseException | None = None

    def run(self, order: list[Operation], *, kills: int, seed: int) -> None:
        """Performs all operations while the whole group is killed `kills` times; ends with a running, quiet server."""
        chance = random.Random(seed)
        self.server.start()
        self._create_collections()
        work = list(portions(order, max(1, kills)))
        for number in range(kills):
            performing = threading.Thread(target=self._perform, args=(work[number] if number < len(work) else [],))
            performing.start()
            time.sleep(chance.uniform(0.05, LONGEST_LIFE_S))
            self.server.kill()
            self.kills += 1
            if chance.random() < KILLED_WHILE_STARTING and self.kills < kills:
                self.server.launch()
                time.sleep(chance.uniform(0.1, 2.0))
                self.server.kill()
            self.server.start()
            performing.join(QUIET_S)
            if self._failure is not None:
                raise self._failure
        for portion in work[kills:]:
            self._perform(portion)

    def look(self, order: list[Operation], reference: Counter[Place]) -> list[str]:
        stored = Stored.in_folder(self.server.data)
        try:
            if not stored.settled():
                return ["it never became quiet"]
            return differences(stored, expectation(order), reference)
        finally:
            stored.close()

    def _create_collections(self) -> None:
        for name in COLLECTIONS:
            self._send("POST", "/v1/collections", json={"name": name}, accept=(201, 409))

    def _perform(self, order: list[Operation]) -> None:
        try:
            for operation in order:
                self._client.perform(operation)
        except BaseException as error:  # handed to the main thread, which raises it
            self._failure = error

    @property
    def _client(self) -> Client:
        if not hasattr(self, "_made"):
            self._made = Client(self._send)
        return self._made

    def _send(self, method: str, path: str, *, accept: tuple[int, ...], **request: Any) -> Any:
        return insist(lambda: self.server.url, lambda: self.server.printed, method, path, accept=accept, **request)


def reference_run(data: Path, seed: int, documents: int) -> tuple[list[Operation], Counter[Place]]:
    """The schedule, and what an undisturbed server makes of it."""
    order = operations(seed, documents)
    campaign = Campaign(data)
    try:
        campaign.run(order, kills=0, seed=seed)
        stored = Stored.in_folder(data)
        assert stored.quiet(within_s=QUIET_S), campaign.server.printed
        there = stored.in_index()
        assert there == stored.in_catalogue()
        stored.close()
        assert campaign.server.stop() == 0, campaign.server.printed
        return order, there
    finally:
        campaign.server.end()

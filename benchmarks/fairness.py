"""How long documents wait while one tenant has ten thousand: `python -m benchmarks.fairness [--picture FILE]`.

The catalogue (SQLite), the dispatcher and the queue are real. The workers are not: they compute nothing, twenty parses
and ten embeddings a second. So time is counted and not measured, and the result is the same on every machine.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.plot import Axis, Plot, Series
from ingest.dispatcher import Dispatcher
from ingest.leasing import NamedLease
from ingest.memory_queue import MemoryQueue
from ingest.socket_doorbell import SocketDoorbell
from ingest.task_queue import Delivery
from retrieval.catalogue import Catalogue
from retrieval.documents import Attributes, Content, Document, Lane, Stage, Submission
from retrieval.errors import NotFound
from retrieval.identity import IdentityKind
from retrieval.principal import Principal, Scope
from retrieval.sql_catalogue.catalogue import SqlCatalogue
from retrieval.tasks import Claim, ParseOutcome, Switch

STAGES = (Stage.PARSE, Stage.EMBED)
# The settings' defaults: RAGSTONE_WORK__WINDOW, and what a worker takes at once of each stage.
WINDOW = 128
BATCH = {Stage.PARSE: 2, Stage.EMBED: 16}
# Documents that a stage does in a tick. Embedding is the slower one, so the windows of both are full.
PACE = {Stage.PARSE: 2, Stage.EMBED: 1}
# Ticks between two looks of the dispatcher: half a second, RAGSTONE_WORK__POLL_S, as if nobody ever rang.
LOOK = 5

LARGE, SMALL, OTHER = "large", "small", "other"
DOCUMENTS = 10_000
FEW = 10
TICKS = 2_000  # the first 200 s tell it: what comes later is the same again
RATE = 10  # ticks a second; it only gives the picture its unit
_PORTION = 1_000


def bound(few: int, *, tenants: int, window: int = WINDOW) -> float:
    """The longest that the last of a few bulk documents waits, in ticks, among tenants with a backlog: in each stage
    for a look, the window it found full, its turns, and two batches, the one being worked on and its own."""
    return sum(LOOK + (window + tenants * few + 2 * BATCH[stage]) / PACE[stage] for stage in STAGES)


def interactive_bound() -> float:
    """In each stage a look, and two batches, the one being worked on and its own."""
    return sum(LOOK + 2 * BATCH[stage] / PACE[stage] for stage in STAGES)


@dataclass(slots=True)
class Waiting:
    """A document from its acceptance to its end, in ticks."""

    tenant: str
    lane: Lane
    since: int
    until: int | None = None

    @property
    def waited(self) -> int:
        assert self.until is not None
        return self.until - self.since


@dataclass(slots=True)
class Bench:
    """The worker of a stage: it ends a batch as a whole, when there was time for all of it."""

    stage: Stage
    batch: list[tuple[Delivery, Claim]] = field(default_factory=list)
    worked: int = 0


class Simulation:
    """`now` counts ticks, in each of which every stage's worker does its pace."""

    def __init__(self, catalogue: Catalogue, doorbell: SocketDoorbell, *, window: int = WINDOW) -> None:
        self._catalogue = catalogue
        self._queue = MemoryQueue(window=window)
        self._dispatcher = Dispatcher(
            catalogue=catalogue,
            queue=self._queue,
            doorbell=doorbell,
            lease=NamedLease(catalogue.leases, "dispatcher", holder="simulation", seconds=600),
            stages=STAGES,
            poll_s=1.0,
        )
        self._benches = [Bench(stage) for stage in STAGES]
        self._names = 0
        self.now = 0
        self.waiting: dict[str, Waiting] = {}

    def submit(self, tenant: str, count: int, lane: Lane) -> list[Waiting]:
        """Accepted now."""
        try:
            collection = self._catalogue.collections.by_name(tenant, "docs")
        except NotFound:
            collection = self._catalogue.collections.create(tenant, "docs")
        made = []
        for start in range(0, count, _PORTION):
            portion = range(start, min(count, start + _PORTION))
            for answer in self._catalogue.documents.accept(
                [self._submission(collection.id, tenant, lane) for _ in portion]
            ):
                assert isinstance(answer, Document), answer
                made.append(Waiting(tenant, lane, self.now))
                self.waiting[answer.id] = made[-1]
        return made

    def run_until(self, now: int) -> None:
        while self.now < now:
            self._tick()

    def finish(self, documents: Sequence[Waiting]) -> None:
        """Works until these are done."""
        while any(one.until is None for one in documents):
            self._tick()

    @property
    def finished(self) -> int:
        return sum(one.until is not None for one in self.waiting.values())

    def unfinished(self, tenant: str) -> int:
        return sum(one.until is None for one in self.waiting.values() if one.tenant == tenant)

    def _tick(self) -> None:
        if self.now % LOOK == 0:
            self._dispatcher.round()
        for bench in self._benches:
            self._turn(bench)
        self.now += 1

    def _turn(self, bench: Bench) -> None:
        if not bench.batch:
            bench.batch = self._taken(bench.stage)
        bench.worked += PACE[bench.stage]
        if bench.worked >= len(bench.batch):
            for delivery, claim in bench.batch:
                self._finish(claim)
                self._queue.acknowledge(delivery)
            bench.batch, bench.worked = [], 0

    def _taken(self, stage: Stage) -> list[tuple[Delivery, Claim]]:
        taken = []
        for delivery in self._queue.take([stage], limit=BATCH[stage], timeout_s=0):
            claim = self._catalogue.tasks.claim(delivery.pointer.task_id, worker="simulation", lease_s=600)
            assert claim is not None
            taken.append((delivery, claim))
        return taken

    def _finish(self, claim: Claim) -> None:
        tasks = self._catalogue.tasks
        if claim.stage is Stage.PARSE:
            assert tasks.parsed(claim, ParseOutcome("c" * 64, None, None, None, chunks=1, tokens=100))
            return
        switch, _ = tasks.switch(claim, rev=claim.document.rev, counts={})
        assert switch is Switch.SWITCHED
        self.waiting[claim.document.id].until = self.now + 1

    def _submission(self, collection: str, tenant: str, lane: Lane) -> Submission:
        self._names += 1
        name = f"{self._names}.txt"
        return Submission(
            submitter=Principal(tenant, frozenset(), frozenset(Scope)),
            collection_id=collection,
            identity_kind=IdentityKind.EXTERNAL_ID,
            identity_value=name,
            content=Content(hashlib.sha256(name.encode()).hexdigest(), len(name), "text/plain", name, name),
            attributes=Attributes(external_id=name),
            default_title=name,
            source=name,
            lane=lane,
            fingerprint="f" * 64,
        )


def measure(folder: Path, ticks: int) -> dict[str, list[Waiting]]:
    """One tenant has sent thousands; another sends ten in the middle of them, and a third single urgent ones."""
    catalogue = SqlCatalogue(f"sqlite:///{folder / 'catalogue.db'}", migrate=True)
    doorbell = SocketDoorbell(folder / "doorbell")
    try:
        simulation = Simulation(catalogue, doorbell)
        large = simulation.submit(LARGE, DOCUMENTS, Lane.BULK)
        urgent: list[Waiting] = []
        small: list[Waiting] = []
        for twentieth in range(1, 20):
            simulation.run_until(twentieth * ticks // 20)
            urgent += simulation.submit(OTHER, 1, Lane.INTERACTIVE)
            if twentieth == 6:
                small = simulation.submit(SMALL, FEW, Lane.BULK)
        simulation.run_until(ticks)
        simulation.finish([*small, *urgent])
        return {LARGE: [one for one in large if one.until is not None], SMALL: small, OTHER: urgent}
    finally:
        doorbell.close()
        catalogue.close()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--picture", type=Path, help="draws the waiting times (SVG)")
    picture = parser.parse_args().picture
    with tempfile.TemporaryDirectory(prefix="fair") as folder:
        found = measure(Path(folder), TICKS)
    small = max(one.waited for one in found[SMALL])
    urgent = max(one.waited for one in found[OTHER])
    most = bound(FEW, tenants=2)
    print(f"in the time of one embedding, beside {DOCUMENTS} bulk documents of somebody else:")
    print(f"the last of {FEW} bulk documents waits {small}, at most {most:.0f}: {small / most:.2f} of the limit")
    print(f"the slowest interactive document waits {urgent}, at most {interactive_bound():.0f}")
    if picture:
        picture.write_text(_picture(found), encoding="utf-8")
    return 0 if small <= most and urgent <= interactive_bound() else 1


def _picture(found: dict[str, list[Waiting]]) -> str:
    def dots(name: str) -> list[tuple[float, float]]:
        return [(one.until / RATE, one.waited / RATE) for one in found[name] if one.until is not None]

    small, urgent = (max(one.waited for one in found[name]) / RATE for name in (SMALL, OTHER))
    return Plot(
        title="Waiting times beside a backlog of ten thousand documents",
        description=(
            f"A tenant sends {DOCUMENTS:,} bulk documents at once; each of them waits longer than the one before. "
            f"Another tenant sends {FEW} bulk documents meanwhile, and the last of them waits {small:.0f} seconds. "
            f"Single interactive documents wait {urgent:.0f} seconds at most. In order of arrival, all "
            f"would wait about {DOCUMENTS // RATE:,} seconds."
        ),
        across=Axis(0, TICKS / RATE, 50, "seconds since they were sent; each dot is a document that became searchable"),
        up=Axis(1, 2_000, 10, "seconds it had waited"),
        series=[
            Series(f"one tenant's {DOCUMENTS:,} bulk documents", "#7a8a96", dots(LARGE)[::10], radius=2),
            Series(f"another's {FEW} bulk documents: {small:.0f} s", "#1d5f8a", dots(SMALL), radius=4),
            Series(f"single interactive documents: {urgent:.0f} s", "#b5832a", dots(OTHER), radius=4),
        ],
        level=(DOCUMENTS / RATE, "about what all would wait in order of arrival"),
    ).svg()


if __name__ == "__main__":
    sys.exit(main())

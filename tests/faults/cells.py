"""Cells of the fault matrix: what happens, where on the document's way, and what the client does meanwhile.

What is expected comes from what the client did, and which chunks that makes from the same text sent undisturbed.
"""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import sha256

from retrieval.documents import DocumentState
from tests.faults.cluster import LEASE_S, SESSION_S, Cluster
from tests.faults.evidence import QUIET_S
from tests.faults.fault_points import BY_CONTENT, EDGES, FAIL, FAILURES, KILL, POINTS, STOP
from tests.faults.journal import text_of

SCENARIOS = ("new", "changed", "deleted", "duplicate", "reordered")
REACHED_S = 90.0
# Longer than a lease and a session: by then others have taken over what the one who stands still was at.
STANDSTILL_S = LEASE_S + SESSION_S + 1


@dataclass(frozen=True, slots=True)
class Cell:
    """`new`: nothing of the document was there before, `changed`: something was. `deleted`: it is deleted once the
    fault has happened; `duplicate`: sent again then, and all its messages repeated; `reordered`: a newer version is
    sent then, and the messages of the older ones come after it. `deleting`: the fault falls into the deletion."""

    action: str
    point: str
    edge: str
    scenario: str

    @property
    def name(self) -> str:
        return f"{self.action}-{self.edge}-{self.point}-{self.scenario}".replace("_", "-")


def matrix(seed: int) -> list[Cell]:
    """All cells: every point and edge by every scenario for a kill, by one for a standstill, by one for a failure."""
    steps = [(point, edge) for point in POINTS for edge in EDGES]
    cells = [Cell(KILL, point, edge, scenario) for point, edge in steps for scenario in SCENARIOS]
    cells += [Cell(KILL, point, edge, "deleting") for point in ("delete_old", "record") for edge in EDGES]
    cells += [Cell(STOP, point, edge, SCENARIOS[1 + i % 4]) for i, (point, edge) in enumerate(steps)]
    cells += [Cell(FAIL, point, edge, SCENARIOS[i % 5]) for i, point in enumerate(FAILURES) for edge in EDGES]
    random.Random(seed).shuffle(cells)
    return cells


def some(seed: int) -> list[Cell]:
    """Every point and edge once for a kill, a third of the points for a standstill, all failures at one edge."""
    chance = random.Random(seed)
    steps = [(point, edge) for point in POINTS for edge in EDGES]
    cells = [Cell(KILL, point, edge, chance.choice(SCENARIOS)) for point, edge in steps]
    cells += [Cell(STOP, point, chance.choice(EDGES), chance.choice(SCENARIOS[1:])) for point in POINTS[::3]]
    cells += [Cell(FAIL, point, chance.choice(EDGES), chance.choice(SCENARIOS)) for point in FAILURES]
    chance.shuffle(cells)
    return cells


@dataclass(slots=True)
class Outcome:
    """What a cell's client did: the text that must be there in the end (None: none, it is deleted)."""

    cell: Cell
    document: str = ""
    text: str | None = None
    problems: list[str] = field(default_factory=list)


def perform(cluster: Cluster, cells: Sequence[Cell], *, seed: int, batch: int) -> list[str]:
    """All cells, `batch` at a time; everything in which the install differs from what was asked of it."""
    found: list[str] = []
    for start in range(0, len(cells), batch):
        found += _together(cluster, cells[start : start + batch], name=f"batch-{start}", seed=seed + start)
    return found


def _together(cluster: Cluster, cells: Sequence[Cell], *, name: str, seed: int) -> list[str]:
    collection = cluster.collection(name)
    outcomes = [Outcome(cell) for cell in cells]
    threads = [
        threading.Thread(target=_recorded, args=(cluster, name, collection, outcome, random.Random(seed + number)))
        for number, outcome in enumerate(outcomes)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    problems = [f"{outcome.cell.name}: {problem}" for outcome in outcomes for problem in outcome.problems]
    return problems or _differences(cluster, name, outcomes)


def _recorded(cluster: Cluster, name: str, collection: str, outcome: Outcome, chance: random.Random) -> None:
    try:
        _play(cluster, name, collection, outcome, chance)
    except AssertionError as error:
        outcome.problems.append(str(error))


def _play(cluster: Cluster, name: str, collection: str, outcome: Outcome, chance: random.Random) -> None:
    cell, key = outcome.cell, outcome.cell.name
    outcome.document = cluster.id_of(collection, key)
    text = text_of(chance)
    if cell.scenario != "new":
        before = text_of(chance)
        cluster.submit(name, key, before)
        _arrived(cluster, outcome.document)
    token = sha256(text.encode()).hexdigest() if cell.point in BY_CONTENT else outcome.document
    armed = cluster.arm(cell.action, cell.point, cell.edge, token)
    path = f"/v1/documents/{outcome.document}"
    if cell.scenario == "deleting":
        doing = threading.Thread(target=cluster.send, args=("DELETE", path), kwargs={"accept": (202,)})
    else:
        doing = threading.Thread(target=cluster.submit, args=(name, key, text))
    doing.start()
    pid = _reached(cluster, armed, outcome.document)
    if cell.action == STOP:
        time.sleep(STANDSTILL_S)
        cluster.wake(pid)
    doing.join()
    outcome.text = text
    match cell.scenario:
        case "deleted":
            cluster.send("DELETE", path, accept=(202,))
            outcome.text = None
        case "deleting":
            outcome.text = None
        case "duplicate":
            cluster.submit(name, key, text)
            cluster.repeat_messages(outcome.document)
        case "reordered":
            outcome.text = text_of(chance)
            cluster.submit(name, key, outcome.text)
            cluster.repeat_messages(outcome.document)


def _arrived(cluster: Cluster, document: str) -> None:
    deadline = time.monotonic() + QUIET_S
    while cluster.state(document, wait_s=5)["state"] != "searchable":
        assert time.monotonic() < deadline, f"never searchable: {cluster.state(document)}"


def _reached(cluster: Cluster, armed: str, document: str) -> int:
    deadline = time.monotonic() + REACHED_S
    while (pid := cluster.fired(armed)) is None:
        assert time.monotonic() < deadline, f"never reached: {cluster.owed(document)}\n{cluster.stacks()}"
        time.sleep(0.02)
    return pid


def _differences(cluster: Cluster, name: str, outcomes: Sequence[Outcome]) -> list[str]:
    stored = cluster.stored()
    try:
        if not stored.settled():
            return [f"{name} never became quiet"]
        live = {outcome.cell.name: outcome.text for outcome in outcomes if outcome.text is not None}
        wanted = cluster.undisturbed(f"{name}-reference", live)
        found: list[str] = []
        index, catalogue = stored.in_index(), stored.in_catalogue()
        for outcome in outcomes:
            key = outcome.cell.name
            for what, there in (("index", index), ("catalogue", catalogue)):
                mine = Counter({text: n for (at, of, text), n in there.items() if (at, of) == (name, key)})
                if mine != wanted.get(key, Counter()):
                    found.append(f"{key}: the {what} has {mine}, not {wanted.get(key)}")
            state = cluster.state(outcome.document)["state"]
            if state != (DocumentState.DELETED if outcome.text is None else DocumentState.SEARCHABLE):
                found.append(f"{key}: it is {state}")
        if stored.dead_points():
            found.append(f"{name}: {stored.dead_points()} points are not live")
        return found
    finally:
        stored.close()

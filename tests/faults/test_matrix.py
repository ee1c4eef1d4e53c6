"""The fault matrix: processes that die, stand still or fail before and after every step, over real servers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.cells import Cell, matrix, perform, some
from tests.faults.cluster import Cluster
from tests.faults.conftest import SEED, SHORT
from tests.faults.fault_points import EDGES, KILL, POINTS
from tests.kafka_broker import KafkaBroker
from tests.postgres_server import PostgresServer

# So many documents are under way at once: each crash then also hits some neighbours, as in life.
BATCH = 20


@pytest.fixture(scope="module")
def cluster(
    kafka_broker: KafkaBroker, postgres: PostgresServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Cluster]:
    with postgres.database() as url:
        made = Cluster(
            tmp_path_factory.mktemp("cluster"), postgres=postgres, database=url, bootstrap=kafka_broker.bootstrap
        )
        try:
            yield made.start()
        finally:
            made.end()


def test_whatever_step_a_process_dies_at_nothing_is_lost_or_doubled(
    cluster: Cluster, request: pytest.FixtureRequest
) -> None:
    seed: int = request.config.getoption("--seed", default=SEED)
    long: bool = request.config.getoption("--kills", default=SHORT) > SHORT
    cells = matrix(seed) if long else some(seed)
    assert {(cell.point, cell.edge) for cell in cells if cell.action == KILL} == {
        (point, edge) for point in POINTS for edge in EDGES
    }
    print(f"\nseed {seed}, {len(cells)} cells")
    found = perform(cluster, cells, seed=seed, batch=BATCH)
    assert found == [], "\n".join([f"seed {seed}", *found, cluster.printed])
    print(f"deaths {dict(cluster.deaths)}")


def test_a_planted_bug_turns_the_matrix_red(
    kafka_broker: KafkaBroker, postgres: PostgresServer, tmp_path: Path
) -> None:
    """Old points stay, in all processes; the rest of them is as it should be."""
    with postgres.database() as url:
        broken = Cluster(
            tmp_path / "cluster",
            postgres=postgres,
            database=url,
            bootstrap=kafka_broker.bootstrap,
            workers=1,
            planted="old_points_kept",
        )
        try:
            broken.start()
            cells = [Cell(KILL, point, "after", "changed") for point in ("row", "switch")]
            found = perform(broken, cells, seed=SEED, batch=BATCH)
        finally:
            broken.end()
    assert len(found) == len(cells), found
    assert all("the index has" in one for one in found)

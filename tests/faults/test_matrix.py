"""The fault matrix: processes that die, stand still or fail before and after every step, over real servers."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.faults.cells import matrix, perform, some
from tests.faults.cluster import Cluster
from tests.faults.conftest import SEED
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
    long: bool = request.config.getoption("--kills", default=20) > 20
    cells = matrix(seed) if long else some(seed)
    assert {(cell.point, cell.edge) for cell in cells if cell.action == KILL} == {
        (point, edge) for point in POINTS for edge in EDGES
    }
    print(f"\nseed {seed}, {len(cells)} cells")
    found = perform(cluster, cells, seed=seed, batch=BATCH)
    assert found == [], "\n".join([f"seed {seed}", *found, cluster.printed])
    print(f"deaths {dict(cluster.deaths)}")

"""Who has little to do does not wait for who has much: the real catalogue, dispatcher and queue, ten thousand tasks."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.fairness import FEW, PACE, Simulation, bound, interactive_bound
from ingest.socket_doorbell import SocketDoorbell
from retrieval.documents import Lane, Stage
from retrieval.sql_catalogue.catalogue import SqlCatalogue

# A smaller window than the default is full sooner; the bounds are of any window.
WINDOW = 24
LARGE = 10_000


@pytest.fixture(scope="module")
def crowded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulation]:
    """A tenant has sent ten thousand bulk documents, and every window is full of them."""
    catalogue = SqlCatalogue(f"sqlite:///{tmp_path_factory.mktemp('fair') / 'catalogue.db'}", migrate=True)
    with tempfile.TemporaryDirectory(prefix="bell") as folder:
        doorbell = SocketDoorbell(Path(folder) / "bell")
        simulation = Simulation(catalogue, doorbell, window=WINDOW)
        simulation.submit("large", LARGE, Lane.BULK)
        simulation.run_until(3 * WINDOW)
        yield simulation
        doorbell.close()
        catalogue.close()


def test_a_tenant_with_ten_documents_does_not_wait_for_one_with_ten_thousand(crowded: Simulation) -> None:
    small = crowded.submit("small", FEW, Lane.BULK)
    crowded.finish(small)
    waited = max(one.waited for one in small)
    most = bound(FEW, tenants=2, window=WINDOW)
    assert waited <= most < 150
    assert crowded.unfinished("large") > LARGE - 300


def test_an_interactive_document_waits_for_the_batch_that_is_worked_on_and_no_longer(crowded: Simulation) -> None:
    for _ in range(3):
        crowded.run_until(crowded.now + 3)
        urgent = crowded.submit("urgent", 1, Lane.INTERACTIVE)
        crowded.finish(urgent)
        assert urgent[0].waited <= interactive_bound()


def test_the_large_tenant_s_own_interactive_document_overtakes_its_bulk(crowded: Simulation) -> None:
    urgent = crowded.submit("large", 1, Lane.INTERACTIVE)
    crowded.finish(urgent)
    assert urgent[0].waited <= interactive_bound()


def test_work_goes_on_at_its_pace_whoever_it_is_for(crowded: Simulation) -> None:
    """Fairness costs nothing: no tick is idle while something waits."""
    done, now = crowded.finished, crowded.now
    crowded.submit("another", 3, Lane.BULK)
    crowded.run_until(now + 48)
    assert crowded.finished - done >= 32 * PACE[Stage.EMBED]

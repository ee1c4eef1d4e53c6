"""Processes that no supervisor started: they share a data folder with each other, and with nobody else."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from retrieval.errors import Conflict
from services.layout import DataLock, Layout
from services.settings import Settings
from services.standing import Alone
from tests.distributed import Process
from tests.running import ROOT, RunningServer, environment_of, eventually


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data=tmp_path / "data", port=0)


def left_in(settings: Settings) -> list[str]:
    layout = Layout(settings.data)
    return sorted(path.name for folder in (layout.spool, layout.scratch) for path in folder.iterdir())


def leave_something(settings: Settings) -> None:
    layout = Layout(settings.data)
    layout.prepare()
    (layout.spool / "arriving").write_text("half")
    (layout.scratch / "parsing").mkdir()


def end(*standings: Alone) -> None:
    for one in standings:
        one.listener.close()
        one.leave()


def test_two_share_a_folder_and_listen_each_on_its_own_port(settings: Settings) -> None:
    first, second = Alone(settings, "watch", probes=False), Alone(settings, "documents", probes=False)
    assert first.listener.getsockname() != second.listener.getsockname()
    end(first, second)


def test_only_whoever_is_alone_sweeps_what_dead_processes_left(settings: Settings) -> None:
    leave_something(settings)
    first = Alone(settings, "watch", probes=False)
    assert left_in(settings) == []
    leave_something(settings)
    second = Alone(settings, "documents", probes=False)
    assert left_in(settings) == ["arriving", "parsing"]
    end(first)
    third = Alone(settings, "search", probes=False)
    assert left_in(settings) == ["arriving", "parsing"]
    end(second, third)
    end(Alone(settings, "watch", probes=False))
    assert left_in(settings) == []


def test_what_is_swept_is_made_again_private(settings: Settings) -> None:
    end(Alone(settings, "watch", probes=False))
    layout = Layout(settings.data)
    assert [folder.stat().st_mode & 0o777 for folder in (layout.spool, layout.scratch)] == [0o700, 0o700]


def test_once_it_left_the_folder_is_free_for_a_supervisor(settings: Settings) -> None:
    standing = Alone(settings, "watch", probes=False)
    with pytest.raises(Conflict, match="in use"):
        DataLock(Layout(settings.data), wait_s=0)
    end(standing)
    DataLock(Layout(settings.data), wait_s=0).release()


def test_a_taken_port_is_refused_with_the_remedy(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.standing.PATIENCE_S", 0.2)
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        taken = settings.model_copy(update={"port": other.getsockname()[1]})
        with pytest.raises(Conflict, match="RAGSTONE_PORT"):
            Alone(taken, "watch", probes=False)


# --- as processes ---


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with a catalogue."""
    folder = tmp_path_factory.mktemp("standing") / "data"
    environment = environment_of(folder, {})
    subprocess.run([sys.executable, "-m", "services", "migrate"], cwd=ROOT, env=environment, check=True, timeout=60)
    return folder


@pytest.fixture(scope="module")
def sharing(data: Path) -> Iterator[list[Process]]:
    running = [Process(role, data, {}, ()) for role in ("documents", "watch")]
    try:
        yield [one.await_ready() for one in running]
    finally:
        for one in running:
            one.end()


@pytest.mark.slow
def test_all_is_refused_beside_processes_of_their_own_and_they_beside_all(
    data: Path, sharing: list[Process], tmp_path: Path
) -> None:
    """Both at once, for each waits a while for a dying predecessor. The lock is what `all` holds while it lives."""
    supervised = Layout(tmp_path / "data")
    supervised.prepare()
    lock = DataLock(supervised, wait_s=0)
    all_in_one, alone = RunningServer(data), Process("watch", supervised.data, {}, ())
    try:
        assert all_in_one.launch().wait(60) == 78
        assert alone.process.wait(60) == 78
        assert f"{data} is in use by another ragstone" in eventually(lambda: all_in_one.printed)
        assert f"{supervised.data} is in use by another ragstone" in eventually(lambda: alone.printed)
    finally:
        all_in_one.end()
        alone.end()
        lock.release()
    assert [one.get("/healthz").status_code for one in sharing] == [200, 200]


def test_they_end_well_and_what_one_leaves_does_not_end_the_other(data: Path, sharing: list[Process]) -> None:
    documents, watch = sharing
    assert documents.stop() == 0
    assert watch.get("/healthz").status_code == 200
    assert watch.stop() == 0


def test_one_that_was_killed_holds_nothing(data: Path) -> None:
    killed = Process("watch", data, {}, ()).await_ready()
    killed.process.send_signal(signal.SIGKILL)
    killed.process.wait(10)
    DataLock(Layout(data), wait_s=5).release()

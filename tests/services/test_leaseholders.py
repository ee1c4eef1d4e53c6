"""Who must not run twice takes its lease, and works: dispatcher, watcher and janitor of a running server."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import create_engine, text

from services.layout import Layout
from tests.running import RunningServer, eventually

NAMES = {"dispatcher", "watcher", "janitor"}


def test_dispatcher_watcher_and_janitor_hold_their_leases_while_they_run_and_give_them_back(tmp_path: Path) -> None:
    running = RunningServer(tmp_path / "data")
    engine = create_engine(Layout(tmp_path / "data").catalogue_url)

    def held() -> set[str]:
        with engine.connect() as connection:
            return set(connection.execute(text("select name from leases")).scalars())

    try:
        running.start()
        eventually(lambda: held() == NAMES)
        assert running.stop() == 0, running.printed
        assert held() == set()
    finally:
        running.end()
        engine.dispose()

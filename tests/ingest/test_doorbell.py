"""The doorbell: a ring is heard at once, and a lost one costs nothing."""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from ingest.socket_doorbell import SocketDoorbell, SocketDoorbellButton


@pytest.fixture
def path() -> Iterator[Path]:
    """Short: the name of a socket has 107 characters at most."""
    with tempfile.TemporaryDirectory(prefix="bell") as folder:
        yield Path(folder) / "doorbell"


def test_a_ring_is_heard_at_once(path: Path) -> None:
    with closing(SocketDoorbell(path)) as bell, closing(SocketDoorbellButton(path)) as button:
        threading.Timer(0.05, button.ring).start()
        started = time.monotonic()
        assert bell.wait(10)
        assert time.monotonic() - started < 5


def test_without_a_ring_it_waits_its_time(path: Path) -> None:
    with closing(SocketDoorbell(path)) as bell:
        started = time.monotonic()
        assert not bell.wait(0.1)
        assert time.monotonic() - started >= 0.09


def test_many_rings_are_one(path: Path) -> None:
    with closing(SocketDoorbell(path)) as bell, closing(SocketDoorbellButton(path)) as button:
        for _ in range(1_000):
            button.ring()
        assert bell.wait(0)
        assert not bell.wait(0)


def test_ringing_where_nobody_listens_is_no_error(path: Path) -> None:
    with closing(SocketDoorbellButton(path)) as button:
        button.ring()
        with closing(SocketDoorbell(path)) as bell:
            assert not bell.wait(0)
            button.ring()
            assert bell.wait(1)
        button.ring()


def test_the_latest_listener_hears(path: Path) -> None:
    with (
        closing(SocketDoorbell(path)) as old,
        closing(SocketDoorbell(path)) as new,
        closing(SocketDoorbellButton(path)) as button,
    ):
        button.ring()
        assert new.wait(1)
        assert not old.wait(0)

"""The doorbell between machines: heard at once, never waited for, and back when the server is."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import pytest

from retrieval.sql_catalogue.postgres_doorbell import PostgresDoorbell, PostgresDoorbellButton
from tests.postgres_server import PostgresServer
from tests.running import ROOT, eventually

# What a test waits for at most; a ring that is heard comes within milliseconds.
PATIENCE_S = 10.0
POLL_S = 0.3


@pytest.fixture(scope="module")
def url(postgres: PostgresServer) -> Iterator[str]:
    with postgres.database() as found:
        yield found


@pytest.fixture
def doorbell(url: str) -> Iterator[PostgresDoorbell]:
    """One that listens by now."""
    made = PostgresDoorbell(url)
    assert made.wait(PATIENCE_S)  # it has just begun to listen: what was rung before counts as heard
    while made.wait(0.1):  # a ring of the test before
        pass
    yield made
    made.close()


@pytest.fixture
def button(url: str) -> Iterator[PostgresDoorbellButton]:
    made = PostgresDoorbellButton(url)
    yield made
    made.close()


def rang_within(doorbell: PostgresDoorbell, button: PostgresDoorbellButton) -> float:
    started = time.monotonic()
    button.ring()
    assert doorbell.wait(PATIENCE_S)
    return time.monotonic() - started


def test_a_ring_is_heard_within_milliseconds(doorbell: PostgresDoorbell, button: PostgresDoorbellButton) -> None:
    rang_within(doorbell, button)  # the first one connects
    assert min(rang_within(doorbell, button) for _ in range(10)) < 0.05


def test_a_ring_of_another_process_is_heard(doorbell: PostgresDoorbell, url: str) -> None:
    code = (
        "import sys, time; from retrieval.sql_catalogue.postgres_doorbell import PostgresDoorbellButton; "
        "button = PostgresDoorbellButton(sys.argv[1]); button.ring(); time.sleep(2); button.close()"
    )
    ringing = subprocess.Popen([sys.executable, "-c", code, url], cwd=ROOT)
    try:
        assert doorbell.wait(60)
    finally:
        assert ringing.wait(60) == 0


def test_every_listener_hears(doorbell: PostgresDoorbell, button: PostgresDoorbellButton, url: str) -> None:
    second = PostgresDoorbell(url)
    assert second.wait(PATIENCE_S)
    button.ring()
    assert doorbell.wait(PATIENCE_S)
    assert second.wait(PATIENCE_S)
    second.close()


def test_many_rings_are_few(doorbell: PostgresDoorbell, button: PostgresDoorbellButton) -> None:
    for _ in range(1_000):
        button.ring()
    heard = 0
    while doorbell.wait(0.5):
        heard += 1
    assert 1 <= heard < 50


def test_without_a_ring_it_waits_as_long_as_it_may(doorbell: PostgresDoorbell) -> None:
    started = time.monotonic()
    assert not doorbell.wait(POLL_S)
    assert POLL_S - 0.01 <= time.monotonic() - started < POLL_S + PATIENCE_S


def test_a_ring_while_nobody_waited_is_heard_by_the_next_wait(
    doorbell: PostgresDoorbell, button: PostgresDoorbellButton
) -> None:
    button.ring()
    time.sleep(0.3)
    assert doorbell.wait(PATIENCE_S)


def test_whoever_begins_to_listen_looks_at_once(url: str) -> None:
    late = PostgresDoorbell(url)
    assert late.wait(PATIENCE_S)
    late.close()


def test_ringing_never_waits_and_never_raises_while_the_server_is_away(
    postgres: PostgresServer, url: str, doorbell: PostgresDoorbell, button: PostgresDoorbellButton
) -> None:
    rang_within(doorbell, button)
    postgres.stop()
    try:
        started = time.monotonic()
        for _ in range(1_000):
            button.ring()
        fresh = PostgresDoorbellButton(url)
        fresh.ring()
        assert time.monotonic() - started < 1
        fresh.close()
        # The poll is what is left: it lasts as long as it should, neither busy nor stuck.
        for _ in range(2):
            started = time.monotonic()
            assert not doorbell.wait(POLL_S)
            assert POLL_S - 0.01 <= time.monotonic() - started < POLL_S + PATIENCE_S
    finally:
        postgres.start()
    eventually(lambda: doorbell.wait(POLL_S))  # it listens again
    while doorbell.wait(0.1):
        pass
    rang_within(doorbell, button)
    assert rang_within(doorbell, button) < PATIENCE_S / 2


def test_a_restart_that_nobody_noticed_loses_no_ring_for_good(
    postgres: PostgresServer, doorbell: PostgresDoorbell, button: PostgresDoorbellButton
) -> None:
    """Both ends hold dead connections; within a few polls a ring is heard at once again."""
    rang_within(doorbell, button)
    postgres.kill()
    postgres.start()

    def is_heard() -> bool:
        button.ring()
        return doorbell.wait(POLL_S)

    eventually(is_heard)
    while doorbell.wait(0.1):
        pass
    rang_within(doorbell, button)


def test_closing_ends_the_thread_and_a_ring_after_it_starts_none(url: str) -> None:
    def threads() -> int:
        return sum(thread.name == "doorbell" for thread in threading.enumerate())

    before = threads()
    button = PostgresDoorbellButton(url)
    assert threads() == before
    button.ring()
    assert threads() == before + 1
    button.close()
    button.ring()
    button.close()
    assert threads() == before
    unused = PostgresDoorbellButton(url)
    unused.close()
    unused.ring()
    assert threads() == before


def test_closing_right_after_a_ring_ends_too(url: str) -> None:
    for pause in (0.0, 0.001, 0.002, 0.003, 0.01):
        button = PostgresDoorbellButton(url)
        button.ring()
        time.sleep(pause)
        closing = threading.Thread(target=button.close, daemon=True)
        closing.start()
        closing.join(PATIENCE_S)
        assert not closing.is_alive()

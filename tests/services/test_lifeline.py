"""A child of ours dies with its parent, and a process of ours never lives half."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from services.lifeline import Crew

ROOT = Path(__file__).resolve().parents[2]
CHILD = """
import sys, time
from services.lifeline import Lifeline
line = Lifeline(int(sys.argv[1]))
line.ready()
time.sleep(60)
"""
STOPPING = """
import os, signal
from services.lifeline import stop_on_signals
stop = stop_on_signals()
print("ready", flush=True)
stop.wait()
for _ in range(20):
    os.kill(os.getpid(), signal.SIGTERM)
print("stopped", flush=True)
"""


def test_a_child_says_that_it_is_ready_and_dies_when_its_end_closes() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        command = [sys.executable, "-c", CHILD, str(theirs.fileno())]
        child = subprocess.Popen(command, cwd=ROOT, pass_fds=[theirs.fileno()])
        theirs.close()
        ours.settimeout(30)
        assert ours.recv(16) == b"ready"
        assert child.poll() is None
        ours.close()
        assert child.wait(10) == -signal.SIGKILL


@pytest.mark.parametrize("first", [signal.SIGTERM, signal.SIGINT])
def test_a_repeated_signal_changes_nothing(first: signal.Signals) -> None:
    with subprocess.Popen([sys.executable, "-c", STOPPING], cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(first)
        assert process.stdout.readline() == "stopped\n"
        assert process.wait(10) == 0


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_thread_that_fails_stops_all_of_them() -> None:
    stop = threading.Event()
    crew = Crew(stop)

    def fail(_stop: threading.Event) -> None:
        raise ValueError("a bug")

    crew.start("waiting", lambda stop: stop.wait(30))
    crew.start("failing", fail)
    assert crew.join(10)
    assert stop.is_set()
    assert isinstance(crew.failed, ValueError)


def test_threads_that_end_well_are_joined_and_one_that_lingers_is_told() -> None:
    stop = threading.Event()
    crew = Crew(stop)
    release = threading.Event()
    crew.start("quick", lambda stop: stop.wait(30))
    crew.start("slow", lambda _stop: release.wait(30))
    stop.set()
    started = time.monotonic()
    assert not crew.join(0.1)
    assert time.monotonic() - started < 5
    release.set()
    assert crew.join(10)
    assert crew.failed is None

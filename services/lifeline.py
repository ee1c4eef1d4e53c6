"""What ties a process of ours to the one that started it, and how it is asked to stop.

A child dies with its parent: by the kernel's parent-death signal where there is one, and everywhere by its end of a
socket pair, which closes when the parent dies. Over the same pair the child says that it is ready.
"""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import sys
import threading
import time
from types import FrameType

_PR_SET_PDEATHSIG = 1
_READY = b"ready"


class Lifeline:
    """The child's end."""

    def __init__(self, descriptor: int) -> None:
        self._socket = socket.socket(fileno=descriptor)
        if sys.platform == "linux":
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        threading.Thread(target=self._watch, name="lifeline", daemon=True).start()

    def ready(self) -> None:
        self._socket.sendall(_READY)

    def _watch(self) -> None:
        """The parent sends nothing: whatever ends the reading is its death."""
        try:
            while self._socket.recv(16):
                pass
        except OSError:
            pass
        os.kill(os.getpid(), signal.SIGKILL)


def stop_on_signals() -> threading.Event:
    """An event that SIGTERM and SIGINT set; a repeated one changes nothing."""
    stop = threading.Event()

    def handle(_number: int, _frame: FrameType | None) -> None:
        stop.set()

    signal.signal(signal.SIGTERM, handle)
    signal.signal(signal.SIGINT, handle)
    return stop


class Crew:
    """The threads a process is made of. One that ends by an error stops them all: nothing lingers half alive."""

    def __init__(self, stop: threading.Event) -> None:
        self._stop = stop
        self._threads: list[threading.Thread] = []
        self.failed: BaseException | None = None

    def start(self, name: str, run: object) -> None:
        thread = threading.Thread(target=self._guarded, args=(run,), name=name, daemon=True)
        self._threads.append(thread)
        thread.start()

    def join(self, timeout_s: float) -> bool:
        """Waits for all of them, no longer than that in all; whether all ended in time."""
        deadline = time.monotonic() + timeout_s
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        return not any(thread.is_alive() for thread in self._threads)

    def _guarded(self, run: object) -> None:
        try:
            run(self._stop)  # type: ignore[operator]
        except BaseException as error:
            self.failed = error
            self._stop.set()
            raise

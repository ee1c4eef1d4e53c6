"""A doorbell: whoever wrote an owed task rings it, and the dispatcher looks at once.

A lost ring costs one poll interval, never a task: what is owed is in the catalogue. The bell is a datagram socket
beside the data, so that it works between the processes of one machine.
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
from pathlib import Path


class Doorbell:
    """The dispatcher's side. `path` is a socket file; the latest listener takes it over."""

    def __init__(self, path: Path) -> None:
        path.unlink(missing_ok=True)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        self._socket.bind(os.fspath(path))

    def wait(self, timeout_s: float) -> bool:
        """Whether it rang within the time; takes all rings that are there."""
        rang, _, _ = select.select([self._socket], [], [], timeout_s)
        with contextlib.suppress(BlockingIOError):
            while rang:
                self._socket.recv(16)
        return bool(rang)

    def close(self) -> None:
        self._socket.close()


class DoorbellButton:
    """The ringing side; there may be nobody to hear it."""

    def __init__(self, path: Path) -> None:
        self._path = os.fspath(path)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)

    def ring(self) -> None:
        with contextlib.suppress(OSError):
            self._socket.sendto(b"!", self._path)

    def close(self) -> None:
        self._socket.close()

"""The doorbell between the processes of one machine: a datagram socket beside the data."""

from __future__ import annotations

import contextlib
import os
import select
import socket
from pathlib import Path


class SocketDoorbell:
    """`path` is a socket file; the latest listener takes it over."""

    def __init__(self, path: Path) -> None:
        path.unlink(missing_ok=True)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        self._socket.bind(os.fspath(path))

    def wait(self, timeout_s: float) -> bool:
        rang, _, _ = select.select([self._socket], [], [], timeout_s)
        with contextlib.suppress(BlockingIOError):
            while rang:
                self._socket.recv(16)
        return bool(rang)

    def close(self) -> None:
        self._socket.close()


class SocketDoorbellButton:
    def __init__(self, path: Path) -> None:
        self._path = os.fspath(path)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)

    def ring(self) -> None:
        with contextlib.suppress(OSError):
            self._socket.sendto(b"!", self._path)

    def close(self) -> None:
        self._socket.close()

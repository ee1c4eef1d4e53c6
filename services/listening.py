"""The socket that a process answers on."""

from __future__ import annotations

import errno
import os
import socket
import time

from retrieval.errors import Conflict


def listen(host: str, port: int, *, wait_s: float) -> socket.socket:
    """A listening socket that children may inherit; a port that a dying predecessor still holds is waited for."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    deadline = time.monotonic() + wait_s
    while True:
        listener = socket.socket(family, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, port))
            listener.listen(512)
            os.set_inheritable(listener.fileno(), True)
            return listener
        except OSError as error:
            listener.close()
            if time.monotonic() > deadline or error.errno != errno.EADDRINUSE:
                raise Conflict(
                    f"Cannot listen on {host}:{port} ({error.strerror}): stop what does, or set RAGSTONE_PORT."
                ) from error
            time.sleep(0.1)


def address_of(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

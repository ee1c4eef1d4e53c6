"""The process that answers HTTP: on its own socket, or on one that its supervisor holds over restarts."""

from __future__ import annotations

import gc
import socket
from collections.abc import Callable
from types import FrameType

import uvicorn

from services import api_wiring, wiring
from services.http.connection import Connection
from services.lifeline import Lifeline
from services.settings import Settings
from services.standing import Alone, Supervised


def run_api(
    settings: Settings, lifeline: Lifeline | None, *, roles: tuple[str, ...], listener: socket.socket | None
) -> None:
    """`listener` is the supervisor's, with its lifeline: so a restart refuses nobody."""
    standing: Supervised | Alone
    if lifeline is not None and listener is not None:
        standing = Supervised(lifeline)
    else:
        standing = Alone(settings, ",".join(roles), probes=False)
        listener = standing.listener
    shared = wiring.share(settings)
    app = api_wiring.make_app(shared, roles=roles, supervised=lifeline is not None)
    config = uvicorn.Config(
        app,
        http=Connection.patient(settings.intake.silence_s),
        log_level=settings.log_level,
        access_log=False,
        timeout_graceful_shutdown=int(settings.work.drain_s),
        server_header=False,
        lifespan="on",
        ws="none",
    )
    # What is here by now stays: looking through it for garbage would hold up searches.
    gc.collect()
    gc.freeze()
    _Server(config, lambda: standing.started(dict)).run(sockets=[listener])  # its own routes tell how it is
    shared.close()
    standing.leave()


class _Server(uvicorn.Server):
    """Says when it listens, and is not hurried by a repeated signal."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._ready()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self.should_exit = True

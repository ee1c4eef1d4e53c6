"""What each process does from its start to its end."""

from __future__ import annotations

import gc
import logging
import os
import signal
import socket
import sys
import threading
from types import FrameType

import uvicorn

from retrieval.index_server import serve
from services import wiring
from services.layout import Layout
from services.lifeline import Crew, Lifeline, stop_on_signals
from services.settings import Settings

log = logging.getLogger(__name__)

# Long enough for a predecessor that was killed to let go of its locks, short enough to be believed.
PATIENCE_S = 15.0


def run_index(settings: Settings, lifeline: Lifeline | None, *, address: str | None) -> None:
    """Holds the edge engine and serves it to the other processes."""
    stop = stop_on_signals()
    layout = Layout(settings.data)
    layout.prepare()
    prepared = wiring.open_model(settings)
    index = wiring.open_edge_index(settings, layout, prepared, wait_s=PATIENCE_S)
    index.optimise(above=settings.search.optimise_above)
    try:
        serve(index, address or str(layout.index_socket), ready=None if lifeline is None else lifeline.ready, stop=stop)
    finally:
        index.close()


def run_api(settings: Settings, lifeline: Lifeline, *, roles: tuple[str, ...], listener: socket.socket) -> None:
    """Answers HTTP on a socket that the supervisor holds, so that a restart refuses nobody."""
    shared = wiring.share(settings)
    app = wiring.make_app(shared, roles=roles)
    config = uvicorn.Config(
        app,
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
    server = _Server(config, lifeline)
    server.run(sockets=[listener])
    shared.index.close()
    shared.catalogue.close()


class _Server(uvicorn.Server):
    """Says when it listens, and is not hurried by a repeated signal."""

    def __init__(self, config: uvicorn.Config, lifeline: Lifeline) -> None:
        super().__init__(config)
        self._lifeline = lifeline

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._lifeline.ready()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self.should_exit = True


def run_work(settings: Settings, lifeline: Lifeline, *, worker: str, compare_first: bool) -> None:
    """Ingests: watcher, dispatcher, parse and embed stages, upkeep, janitor."""
    stop = stop_on_signals()
    shared = wiring.share(settings)
    work = wiring.make_work(shared, worker=worker)
    if compare_first:
        log.info("the last end was no clean one; index compared with catalogue: %s", work.first_look.round())
    crew = Crew(stop)
    for name, run in work.threads.items():
        crew.start(name, run)
    lifeline.ready()
    stop.wait()
    threading.Thread(target=work.place.queue.close, name="closing").start()
    drained = crew.join(settings.work.drain_s / max(1, len(work.threads)))
    work.close()
    shared.index.close()
    if crew.failed is not None:
        sys.exit(70)
    if not drained:
        # What is not finished is leased to a worker that is gone: the next start, or the lease's end, frees it.
        log.info("some work was not finished in time and will be done again")
        os.kill(os.getpid(), signal.SIGKILL)

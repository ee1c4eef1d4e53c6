"""The process that ingests: the threads of its roles, until it is asked to stop."""

from __future__ import annotations

import logging
import os
import socket
import sys
import threading
from collections.abc import Sequence
from uuid import uuid4

from services import wiring, work_wiring
from services.lifeline import Crew, Lifeline, stop_on_signals
from services.settings import Settings
from services.standing import stand

log = logging.getLogger(__name__)


def run_work(
    settings: Settings,
    lifeline: Lifeline | None,
    *,
    roles: Sequence[str],
    worker: str | None,
    compare_first: bool = False,
) -> None:
    """Under a supervisor, `worker` is the name it gave."""
    work_wiring.check_roles(settings, roles)
    stop = stop_on_signals()
    name = ",".join(roles)
    standing = stand(settings, lifeline, name)
    shared = wiring.share(settings)
    worker = worker or f"{name}-{socket.gethostname()}-{uuid4().hex[:8]}"
    work = work_wiring.make_work(shared, roles=roles, worker=worker, supervised=lifeline is not None, stop=stop)
    if compare_first:
        log.info("the last end was no clean one; index compared with catalogue: %s", work.first_look.round())
    crew = Crew(stop)
    for thread, run in work.threads.items():
        crew.start(thread, run)
    standing.started(work.ready)
    stop.wait()
    closing = threading.Thread(target=work.queue.close, name="closing")
    closing.start()
    drained = crew.join(settings.work.drain_s)
    if drained:
        closing.join(settings.work.drain_s)
        work.close()
    if crew.failed is None:
        # What was not finished in time is owed to whoever comes next, at once, and counts for nothing.
        shared.catalogue.tasks.worker_stopped(worker)
    shared.close()
    standing.leave()
    if crew.failed is not None:
        sys.exit(70)
    if not drained:
        log.info("some work was not finished in time and will be done again")
        os._exit(0)  # a thread may stand in an engine's call; parsers die with us

"""How a process stands in the world: under a supervisor, or alone with its share of the data folder and its port."""

from __future__ import annotations

import shutil
import socket

from retrieval.errors import Conflict
from services.layout import DataLock, Layout
from services.lifeline import Lifeline
from services.listening import address_of, listen
from services.probes import Probes, Ready
from services.settings import Settings

# Long enough for a predecessor that was killed to let go of its locks, short enough to be believed.
PATIENCE_S = 15.0
REFUSED = 78  # a process that refuses its settings, data or machine: starting it again would refuse again


class Supervised:
    """The supervisor has the folder and the port; it is told when we are ready."""

    def __init__(self, lifeline: Lifeline) -> None:
        self._lifeline = lifeline

    def started(self, _ready: Ready) -> None:
        self._lifeline.ready()

    def leave(self) -> None:
        """Nothing is ours to give back."""


class Alone:
    """Taken at the start, given back by `leave`. What answers an API on `listener` needs no `probes` there."""

    def __init__(self, settings: Settings, name: str, *, probes: bool) -> None:
        self._name = name
        self._layout = Layout(settings.data)
        self._layout.prepare()
        self._sweep()
        self._lock = DataLock(self._layout, wait_s=PATIENCE_S, shared=True)
        self.listener: socket.socket = listen(settings.host, settings.port, wait_s=PATIENCE_S)
        self._probes = Probes(self.listener) if probes else None

    def _sweep(self) -> None:
        """What dead processes left lying; only whoever is alone in the folder knows that it is theirs."""
        try:
            alone = DataLock(self._layout, wait_s=0)
        except Conflict:
            return
        for folder in (self._layout.spool, self._layout.scratch):
            shutil.rmtree(folder)
            folder.mkdir(mode=0o700)
        alone.release()

    def started(self, ready: Ready) -> None:
        if self._probes is not None:
            self._probes.started(ready)
        print(f"ragstone {self._name} is ready: {address_of(self.listener)}", flush=True)

    def leave(self) -> None:
        if self._probes is not None:
            self._probes.close()
        self._lock.release()


def stand(settings: Settings, lifeline: Lifeline | None, name: str) -> Supervised | Alone:
    """Of a process that answers no API."""
    return Supervised(lifeline) if lifeline is not None else Alone(settings, name, probes=True)

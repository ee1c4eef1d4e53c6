"""How a process that no supervisor started stands in the world: its share of the data folder, and its port."""

from __future__ import annotations

import shutil

from retrieval.errors import Conflict
from services.layout import DataLock, Layout
from services.listening import address_of, listen
from services.settings import Settings

# Long enough for a predecessor that was killed to let go of its locks, short enough to be believed.
PATIENCE_S = 15.0
REFUSED = 78  # a process that refuses its settings, data or machine: starting it again would refuse again


class Standing:
    """Taken at the start, given back by `leave`. `listener` is for the API, or for probes."""

    def __init__(self, settings: Settings, name: str) -> None:
        self._name = name
        self._layout = Layout(settings.data)
        self._layout.prepare()
        self._sweep()
        self._lock = DataLock(self._layout, wait_s=PATIENCE_S, shared=True)
        self.listener = listen(settings.host, settings.port, wait_s=PATIENCE_S)

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

    def say_ready(self) -> None:
        print(f"ragstone {self._name} is ready: {address_of(self.listener)}", flush=True)

    def leave(self) -> None:
        self._lock.release()

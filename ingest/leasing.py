"""Holding a named lease without asking for it every time."""

from __future__ import annotations

import logging
import time

from retrieval.catalogue import Leases
from retrieval.errors import Unavailable

log = logging.getLogger(__name__)


class NamedLease:
    """A lease of `seconds`, renewed after a third of them: two renewals may fail before somebody else takes over."""

    def __init__(self, leases: Leases, name: str, *, holder: str, seconds: float) -> None:
        self._leases = leases
        self._name = name
        self._holder = holder
        self._seconds = seconds
        self._renew_at = 0.0

    def held(self) -> bool:
        now = time.monotonic()
        if now < self._renew_at:
            return True
        held = self._leases.hold(self._name, holder=self._holder, seconds=self._seconds)
        self._renew_at = now + self._seconds / 3 if held else 0.0
        return held

    def release(self) -> None:
        """Gives it back; while the catalogue is away that is left to the lease's end."""
        self._renew_at = 0.0
        try:
            self._leases.release(self._name, holder=self._holder)
        except Unavailable as error:
            log.warning("lease %s: %s", self._name, error)

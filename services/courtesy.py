"""Courtesy: ingestion takes smaller bites while people search.

The process that searches touches a file at every query; the one that ingests looks at its time.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

# 10 s after the last query somebody is probably still reading and will search again.
_POLITE_S = 10.0


class Courtesy:
    def __init__(self, path: Path) -> None:
        self._path = path
        path.touch(mode=0o600)
        self._noted = 0.0

    def note_query(self) -> None:
        now = time.monotonic()
        if now - self._noted > 0.2:  # the file is looked at in seconds
            self._noted = now
            os.utime(self._path)

    def somebody_searches(self) -> bool:
        return time.time() - self._path.stat().st_mtime < _POLITE_S

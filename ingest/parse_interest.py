"""Parse interest: whether somebody still wants the document that is being parsed."""

from __future__ import annotations

import time
from collections.abc import Callable

from ingest.parsing import NotJudged

# 2 s: a child works for nobody no longer than that, and the catalogue is asked a few times for a large document.
_ASK_EVERY_S = 2.0


class ParseInterest:
    """Asks `wanted`, but not often. Several threads may share it."""

    def __init__(self, wanted: Callable[[], bool] | None) -> None:
        self._wanted = wanted
        self._next = time.monotonic() + _ASK_EVERY_S

    def check(self) -> None:
        """Raises `NotJudged` once nobody wants the document."""
        now = time.monotonic()
        if self._wanted is None or now < self._next:
            return
        self._next = now + _ASK_EVERY_S
        if not self._wanted():
            raise NotJudged("Nobody wants this document parsed any more.")

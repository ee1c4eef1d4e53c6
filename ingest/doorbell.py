"""A doorbell: whoever wrote an owed task rings it, and the dispatcher looks at once.

A lost ring costs one poll interval, never a task: what is owed is in the catalogue. Ringing never waits and never
raises; there may be nobody to hear it.
"""

from __future__ import annotations

from typing import Protocol


class Doorbell(Protocol):
    """The dispatcher's side."""

    def wait(self, timeout_s: float) -> bool:
        """Whether it rang within the time; takes all rings that are there."""
        ...

    def close(self) -> None: ...


class DoorbellButton(Protocol):
    """The ringing side."""

    def ring(self) -> None: ...

    def close(self) -> None: ...

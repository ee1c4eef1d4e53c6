"""The roles that processes have, one or several each. `index` is no role: it stands alone."""

from __future__ import annotations

from typing import Final

API: Final = ("documents", "search", "summary")
WORK: Final = ("watch", "parse", "embed", "janitor")
JOINED: Final = frozenset({"parse", "embed", "janitor"})  # by the queue

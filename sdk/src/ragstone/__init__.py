"""ragstone's client. A call goes through, in order: `client` (who asks) → `nouns` and `documents` (what is asked, a
`calls.Call`) → `performing` → `transport`, with `retrying` → `errors`, or `models` (what goes over the wire), which
`notebook` and `tables` show; `listing`, `events`, `uploads` and `sending` are for what is more than one call.

`from ragstone import Client, AsyncClient, Retrying` loads them when they are asked for: a server that only speaks
`ragstone.models` loads no client.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ragstone.client import AsyncClient, Client
    from ragstone.retrying import Retrying

__all__ = ["AsyncClient", "Client", "Retrying"]

_HOMES = {"AsyncClient": "ragstone.client", "Client": "ragstone.client", "Retrying": "ragstone.retrying"}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'ragstone' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)

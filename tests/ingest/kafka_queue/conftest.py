"""The client leaves sockets of connections that failed to the garbage collector: it finds them where they were made."""

from __future__ import annotations

import gc
import logging
import warnings
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def failed_connections() -> Iterator[None]:
    client = logging.getLogger("kafka")
    level = client.level
    client.setLevel(logging.CRITICAL)  # a captured record holds its error, the error its frames, they the socket
    yield
    client.setLevel(level)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()

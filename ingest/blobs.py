"""Blobs: bytes under their digest, per tenant.

Promises: what `put` returned from is durable, also over power loss, and a half-written blob is never seen. `put` of a
blob that exists changes nothing. `local` verifies the bytes against the digest before anybody reads them. A full
store raises `StorageFull`, an unreachable one `Unavailable`.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol


class Blobs(Protocol):
    def put(self, tenant: str, digest: str, source: Path) -> None:
        """Stores the file, which may be moved away."""
        ...

    def put_bytes(self, tenant: str, digest: str, data: bytes) -> None: ...

    def read(self, tenant: str, digest: str) -> bytes:
        """The bytes; raises `NotFound`."""
        ...

    def local(self, tenant: str, digest: str) -> AbstractContextManager[Path]:
        """A local file with the bytes, not to be written to, while the context lasts. Raises `NotFound`, or
        `Unparseable` of code damaged when the bytes are not the digest's any more."""
        ...

    def delete(self, tenant: str, digest: str) -> None: ...

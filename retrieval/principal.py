"""Who asks: a tenant, the reader labels held, the scopes granted. Never optional, never built from a request body."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

EVERYBODY = "*"  # the reader label that every principal of the tenant holds; callers cannot set it, `null` means it


class Scope(StrEnum):
    SEARCH = "search"
    READ = "read"
    WRITE = "write"
    DELETE = "delete"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class Principal:
    """One caller. `collections` restricts it to collections by id; None means all of the tenant's. `key` is the id of
    the API key that it called with; empty for the administrator who has none."""

    tenant: str
    labels: frozenset[str]
    scopes: frozenset[Scope]
    collections: frozenset[str] | None = None
    key: str = ""

    @property
    def administers(self) -> bool:
        return Scope.ADMIN in self.scopes

    @property
    def readable_labels(self) -> frozenset[str] | None:
        """The labels of which a document must carry at least one to be seen; None means it sees every document."""
        return None if self.administers else self.labels | {EVERYBODY}

    def may_see(self, *, tenant: str, collection_id: str, readers: tuple[str, ...]) -> bool:
        """Whether this principal sees a document with these readers (already resolved: `("*",)` is everybody)."""
        if tenant != self.tenant or (self.collections is not None and collection_id not in self.collections):
            return False
        held = self.readable_labels
        return held is None or not held.isdisjoint(readers)

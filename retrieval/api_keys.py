"""API keys: who may call. The catalogue keeps digests; a key itself is shown once, to whoever made it.

A key is `rs_`, 43 characters drawn at random (256 bits) and 6 that check them, so that a mistyped one is told without a
look at the catalogue, and a scanner of sources knows one when it sees it.
"""

from __future__ import annotations

import hashlib
import secrets
import string
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from retrieval.page import Page
from retrieval.principal import Principal, Scope

PREFIX: Final = "rs_"
_ALPHABET: Final = string.digits + string.ascii_uppercase + string.ascii_lowercase
_RANDOM_BYTES: Final = 32
_RANDOM_CHARS: Final = 43
_CHECK_CHARS: Final = 6
_HINT_CHARS: Final = 8


@dataclass(frozen=True, slots=True)
class KeyGrant:
    """What a key allows. `collections` maps names to ids and restricts the key to them; None means all of the tenant's.
    `expires_at` is in seconds since the epoch."""

    tenant: str
    name: str
    scopes: frozenset[Scope]
    labels: frozenset[str] = frozenset()
    collections: Mapping[str, str] | None = None
    expires_at: float | None = None


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key that was made; `hint` is how it begins. Times are seconds since the epoch."""

    id: str
    hint: str
    grant: KeyGrant
    created_at: float
    revoked_at: float | None

    def principal(self) -> Principal:
        of = self.grant
        within = None if of.collections is None else frozenset(of.collections.values())
        return Principal(of.tenant, of.labels, of.scopes, within, key=self.id)


class Keys(Protocol):
    def create(self, grant: KeyGrant, secret: str) -> ApiKey: ...

    def any(self) -> bool:
        """Whether a key was ever made, of whatever tenant: one that is revoked or expired counts."""
        ...

    def by_secret(self, secret: str) -> ApiKey | None:
        """The key, in force or not."""
        ...

    def page(self, tenant: str, *, after: str | None, limit: int) -> Page[ApiKey]:
        """Newest first."""
        ...

    def rotate(self, tenant: str, key_id: str, secret: str, *, overlap_s: float) -> ApiKey:
        """Another key with the same grant; the old one ends `overlap_s` from now, or when it would have. Raises
        `NotFound`, or `Conflict` if it is no longer in force."""
        ...

    def revoke(self, tenant: str, key_id: str) -> None:
        """Ends it now, for good; again is nothing new. Raises `NotFound`."""
        ...


def make_secret() -> str:
    body = _base62(int.from_bytes(secrets.token_bytes(_RANDOM_BYTES)), _RANDOM_CHARS)
    return PREFIX + body + _check(body)


def is_well_formed(secret: str) -> bool:
    body, check = secret[len(PREFIX) : -_CHECK_CHARS], secret[-_CHECK_CHARS:]
    return secret.startswith(PREFIX) and len(body) == _RANDOM_CHARS and body.isascii() and check == _check(body)


def digest_of(secret: str) -> str:
    """What is kept of it. Nothing slow is needed: nobody guesses 256 bits."""
    return hashlib.sha256(secret.encode()).hexdigest()


def hint_of(secret: str) -> str:
    return secret[:_HINT_CHARS]


def _check(body: str) -> str:
    return _base62(zlib.crc32(body.encode()), _CHECK_CHARS)


def _base62(number: int, width: int) -> str:
    digits = []
    for _ in range(width):
        number, digit = divmod(number, len(_ALPHABET))
        digits.append(_ALPHABET[digit])
    return "".join(reversed(digits))

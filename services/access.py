"""Who is calling: from a request's key to a principal."""

from __future__ import annotations

import hmac
import time
from pathlib import Path
from typing import Final

from retrieval.api_keys import ApiKey, Keys, digest_of, is_well_formed
from retrieval.errors import Conflict, Forbidden, Unauthorized
from retrieval.principal import Principal, Scope

DEFAULT_TENANT: Final = "default"
_BOOTSTRAP_LENGTHS = range(32, 201)
# What the catalogue said of a key is believed so long: a key that is revoked ends within it, in every process.
_BELIEVED_S: Final = 2.0
_KEYS_KNOWN: Final = 10_000


class Access:
    """Whether keys are asked for is decided here, once: with a bootstrap key, or where a key was ever made.

    Without one every caller is the principal of tenant `default` with all scopes, which `on_loopback` must be. The
    bootstrap key is that principal's; any other key is what the catalogue says. Safe to share between threads.
    """

    def __init__(
        self, keys: Keys, bootstrap_key_file: Path | None, *, on_loopback: bool, believed_s: float = _BELIEVED_S
    ) -> None:
        self._keys = keys
        self._bootstrap = None if bootstrap_key_file is None else read_bootstrap_key(bootstrap_key_file)
        self._administrator = Principal(DEFAULT_TENANT, frozenset(), frozenset(Scope))
        self._believed_s = believed_s
        self._known: dict[str, tuple[ApiKey | None, float]] = {}
        self.needs_key = self._bootstrap is not None or keys.any()
        if not self.needs_key and not on_loopback:
            raise Conflict(
                "RAGSTONE_HOST is not loopback, and without a key everybody would be an administrator: set "
                "RAGSTONE_BOOTSTRAP_KEY_FILE, make a key with `python -m services keys create`, or listen on 127.0.0.1."
            )

    def recognised(self, authorization: str | None) -> Principal | None:
        """Without asking the catalogue: None means that it must be asked. Raises `Unauthorized`."""
        if not self.needs_key:
            return self._administrator
        secret = _secret_of(authorization)
        if self._bootstrap is not None and hmac.compare_digest(secret.encode(), self._bootstrap.encode()):
            return self._administrator
        if not is_well_formed(secret):
            raise Unauthorized("This is no key of ragstone's: it begins with rs_, and 49 letters and digits follow.")
        found, until = self._known.get(digest_of(secret), (None, 0.0))
        return _principal(found) if time.monotonic() < until else None

    def principal(self, authorization: str | None) -> Principal:
        """Asks the catalogue where it must. Raises `Unauthorized`, `CatalogueUnavailable`."""
        recognised = self.recognised(authorization)
        if recognised is not None:
            return recognised
        secret = _secret_of(authorization)
        found = self._keys.by_secret(secret)
        if len(self._known) >= _KEYS_KNOWN:
            self._known.clear()
        self._known[digest_of(secret)] = (found, time.monotonic() + self._believed_s)
        return _principal(found)


def require(principal: Principal, scope: Scope) -> None:
    if scope not in principal.scopes and Scope.ADMIN not in principal.scopes:
        raise Forbidden(f"This call needs the scope {scope}.")


def _secret_of(authorization: str | None) -> str:
    scheme, _, secret = (authorization or "").partition(" ")
    if scheme.lower() != "bearer" or not secret.strip():
        raise Unauthorized("Send an API key: Authorization: Bearer <key>.")
    return secret.strip()


def _principal(key: ApiKey | None) -> Principal:
    if key is None:
        raise Unauthorized("There is no such key.")
    if key.revoked_at is not None:
        raise Unauthorized(f"The key {key.hint}… was revoked: ask an administrator for another.")
    if key.grant.expires_at is not None and key.grant.expires_at <= time.time():
        raise Unauthorized(f"The key {key.hint}… has expired: ask an administrator for another.")
    return key.principal()


def read_bootstrap_key(path: Path) -> str:
    """Raises `Conflict` where there is none."""
    try:
        key = path.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise Conflict(f"RAGSTONE_BOOTSTRAP_KEY_FILE {path} cannot be read: {error.strerror}.") from error
    if len(key) not in _BOOTSTRAP_LENGTHS or not key.isascii() or not key.isprintable():
        raise Conflict(f"RAGSTONE_BOOTSTRAP_KEY_FILE {path} must hold 32 to 200 printable characters.")
    return key

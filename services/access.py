"""Who is calling: from a request's key to a principal."""

from __future__ import annotations

import hmac
from pathlib import Path
from typing import Final

from retrieval.errors import Conflict, Forbidden, Unauthorized
from retrieval.principal import Principal, Scope

DEFAULT_TENANT: Final = "default"
_KEY_LENGTHS = range(32, 201)


class Access:
    """Without a key file every caller is the principal of tenant `default` with all scopes (and the server listens on
    loopback only, which the settings see to). With one, its key is that principal's and everybody else is refused."""

    def __init__(self, bootstrap_key_file: Path | None) -> None:
        self._key = None if bootstrap_key_file is None else _read_key(bootstrap_key_file)
        self._everybody = Principal(DEFAULT_TENANT, frozenset(), frozenset(Scope))

    @property
    def needs_key(self) -> bool:
        return self._key is not None

    def principal(self, authorization: str | None) -> Principal:
        if self._key is None:
            return self._everybody
        scheme, _, token = (authorization or "").partition(" ")
        if scheme.lower() != "bearer" or not hmac.compare_digest(token.strip().encode(), self._key.encode()):
            raise Unauthorized
        return self._everybody


def require(principal: Principal, scope: Scope) -> None:
    if scope not in principal.scopes and Scope.ADMIN not in principal.scopes:
        raise Forbidden(f"This call needs the scope {scope}.")


def _read_key(path: Path) -> str:
    try:
        key = path.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise Conflict(f"RAGSTONE_BOOTSTRAP_KEY_FILE {path} cannot be read: {error.strerror}.") from error
    if len(key) not in _KEY_LENGTHS or not key.isascii() or not key.isprintable():
        raise Conflict(f"RAGSTONE_BOOTSTRAP_KEY_FILE {path} must hold 32 to 200 printable characters.")
    return key

"""Making keys: what the API and the command both see to."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from typing import Final

from ingest.intake import check_readers
from retrieval.api_keys import ApiKey, KeyGrant, make_secret
from retrieval.catalogue import Catalogue
from retrieval.errors import InvalidRequest, NotFound
from retrieval.filters import parse_time
from retrieval.principal import Scope

LABELS: Final = 2_000
_TENANT: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_NAME_CHARS: Final = 200


def make_key(
    catalogue: Catalogue,
    tenant: str,
    *,
    name: str,
    scopes: Sequence[str],
    labels: Sequence[str] = (),
    collections: Sequence[str] | None = None,
    expires_at: str | None = None,
) -> tuple[ApiKey, str]:
    """A new key and its secret, which nobody can be told again. `expires_at` is RFC 3339. Raises `InvalidRequest`."""
    if not _TENANT.fullmatch(tenant):
        raise InvalidRequest(
            "A tenant is named by 1 to 64 letters, digits, dots, dashes and underscores, and begins with a letter or "
            "digit.",
            pointer="/tenant",
        )
    if not name.strip() or len(name) > _NAME_CHARS or not name.isprintable():
        raise InvalidRequest(f"A key's name is one line of 1 to {_NAME_CHARS} characters.", pointer="/name")
    check_readers(labels, limit=LABELS, pointer="/labels")
    grant = KeyGrant(
        tenant,
        name,
        _scopes(scopes),
        frozenset(labels),
        None if collections is None else _ids(catalogue, tenant, collections),
        None if expires_at is None else _later(expires_at),
    )
    secret = make_secret()
    return catalogue.keys.create(grant, secret), secret


def _scopes(names: Sequence[str]) -> frozenset[Scope]:
    if not names:
        raise InvalidRequest(f"A key needs a scope: {', '.join(Scope)}.", pointer="/scopes")
    found = set()
    for i, name in enumerate(names):
        if name not in set(Scope):
            raise InvalidRequest(f"{name} is no scope: there are {', '.join(Scope)}.", pointer=f"/scopes/{i}")
        found.add(Scope(name))
    return frozenset(found)


def _ids(catalogue: Catalogue, tenant: str, names: Sequence[str]) -> dict[str, str]:
    if not names:
        raise InvalidRequest("Leave collections out for all of them.", pointer="/collections")
    ids = {}
    for i, name in enumerate(names):
        try:
            ids[name] = catalogue.collections.by_name(tenant, name).id
        except NotFound as error:
            raise InvalidRequest(str(error), pointer=f"/collections/{i}") from error
    return ids


def _later(moment: str) -> float:
    found = parse_time(moment)
    if found is None or found <= time.time():
        raise InvalidRequest("Give a time to come, such as 2027-01-31T00:00:00Z.", pointer="/expires_at")
    return found

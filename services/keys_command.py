"""`python -m services keys create|list|revoke`: keys without a server, or beside one that runs."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from retrieval.api_keys import ApiKey
from retrieval.catalogue import Catalogue
from services import wiring
from services.access import DEFAULT_TENANT
from services.http import shown
from services.key_making import make_key
from services.layout import Layout
from services.settings import Settings

_PAGE = 200


def keys_command(given: Sequence[str]) -> Callable[[Settings], int]:
    """What these arguments ask for."""
    return partial(_run, _arguments().parse_args(given))


def _run(arguments: argparse.Namespace, settings: Settings) -> int:
    layout = Layout(settings.data)
    first = settings.database.is_embedded and not layout.catalogue.exists()
    if first:
        layout.prepare()
    catalogue = wiring.open_catalogue(settings, layout, migrate=first)
    try:
        match arguments.action:
            case "create":
                _create(catalogue, arguments)
            case "list":
                _list(catalogue, arguments)
            case "revoke":
                catalogue.keys.revoke(arguments.tenant, arguments.id)
                _say(arguments, {"id": arguments.id, "revoked": True}, f"{arguments.id} is revoked.")
    finally:
        catalogue.close()
    return 0


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m services keys",
        description="Keys without a server, or beside one that runs: that takes a new one at once, and forgets a "
        "revoked one within 5 seconds.",
    )
    actions = parser.add_subparsers(dest="action", required=True)
    create = actions.add_parser("create", help="makes a key and shows it, once; a tenant comes to be by its first key")
    create.add_argument("--name", default="command", help="what it is for")
    create.add_argument("--scopes", type=_words, required=True, help="of search,read,write,delete,admin")
    create.add_argument("--labels", type=_words, default=[], help="reader labels that it holds")
    create.add_argument("--collections", type=_words, help="the only collections it reaches; they must exist")
    create.add_argument("--expires-at", help="RFC 3339")
    listing = actions.add_parser("list", help="shows a tenant's keys")
    revoke = actions.add_parser("revoke", help="ends a key for good")
    revoke.add_argument("id")
    for action in (create, listing, revoke):
        action.add_argument("--tenant", default=DEFAULT_TENANT)
        action.add_argument("--json", action="store_true", help="for programs")
    return parser


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]


def _create(catalogue: Catalogue, arguments: argparse.Namespace) -> None:
    key, secret = make_key(
        catalogue,
        arguments.tenant,
        name=arguments.name,
        scopes=arguments.scopes,
        labels=arguments.labels,
        collections=arguments.collections,
        expires_at=arguments.expires_at,
    )
    _say(arguments, {"tenant": arguments.tenant, **shown.new_key(key, secret).model_dump(mode="json")}, secret)
    if not arguments.json:
        print(f"Key {key.id} of tenant {key.grant.tenant}. It is not shown again.", file=sys.stderr)


def _list(catalogue: Catalogue, arguments: argparse.Namespace) -> None:
    after, found = None, list[ApiKey]()
    while True:
        page = catalogue.keys.page(arguments.tenant, after=after, limit=_PAGE)
        found += page.items
        after = page.next
        if after is None:
            break
    if arguments.json:
        print(json.dumps([shown.key(key).model_dump(mode="json") for key in found]))
        return
    for one in map(shown.key, found):
        ended = "revoked" if one.revoked_at else one.expires_at or "no end"
        print(f"{one.id}  {one.hint}…  {','.join(one.scopes)}  {ended}  {one.name}")


def _say(arguments: argparse.Namespace, fields: Mapping[str, Any], sentence: str) -> None:
    print(json.dumps(fields) if arguments.json else sentence)

"""Commands of API keys, for administrators."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import click

from ragstone.cli.output import Output
from ragstone.cli.session import EXIT_CODES, Session, connected
from ragstone.models import NewKey

_SCOPES = ("search", "read", "write", "delete", "admin")


@click.group(epilog=EXIT_CODES)
def keys() -> None:
    """Who may ask the server for what."""


@keys.command(epilog=EXIT_CODES)
@click.argument("name")
@click.option("--scope", "scopes", multiple=True, required=True, type=click.Choice(_SCOPES), help="may be repeated")
@click.option("--label", "labels", multiple=True, help="a reader label that it holds; may be repeated")
@click.option("-c", "--collection", "collections", multiple=True, help="only for this one; may be repeated")
@click.option("--expires", type=click.DateTime(), help="when it ends, in UTC")
@connected
def create(
    session: Session,
    name: str,
    scopes: Sequence[str],
    labels: Sequence[str],
    collections: Sequence[str],
    expires: datetime | None,
) -> None:
    """Makes a key and shows it, this once."""
    with session.client() as client:
        made = client.keys.create(
            name,
            scopes=list(scopes),
            labels=list(labels) or None,
            collections=list(collections) or None,
            expires_at=None if expires is None else expires.replace(tzinfo=UTC),
        )
    _show_new(session.out, made)


@keys.command(name="list", epilog=EXIT_CODES)
@connected
def list_(session: Session) -> None:
    """Lists the keys; never what is secret of them."""
    out = session.out
    with session.client() as client:
        found = list(client.keys.list())
    if out.as_json:
        for key in found:
            out.json(key)
        return
    out.table(
        ("id", "name", "begins", "scopes", "labels", "collections", "ends"),
        (
            (
                key.id,
                key.name,
                key.hint,
                " ".join(key.scopes),
                " ".join(key.labels),
                "all" if key.collections is None else " ".join(key.collections),
                "revoked" if key.revoked_at else key.expires_at or "never",
            )
            for key in found
        ),
    )


@keys.command(epilog=EXIT_CODES)
@click.argument("key_id")
@click.option("--overlap-s", type=click.IntRange(0), help="seconds that the old one still works; a day unless said")
@connected
def rotate(session: Session, key_id: str, overlap_s: int | None) -> None:
    """Makes another key with the same rights and shows it, this once."""
    with session.client() as client:
        _show_new(session.out, client.keys.rotate(key_id, overlap_s=overlap_s))


@keys.command(epilog=EXIT_CODES)
@click.argument("key_ids", nargs=-1, required=True, metavar="KEY_ID...")
@connected
def revoke(session: Session, key_ids: Sequence[str]) -> None:
    """Ends keys."""
    with session.client() as client:
        for key_id in key_ids:
            client.keys.revoke(key_id)
    if not session.out.as_json:
        session.out.text(f"{len(key_ids)} revoked")


def _show_new(out: Output, made: NewKey) -> None:
    if out.as_json:
        out.json(made)
        return
    out.text(made.key, "bold")
    out.text(f"This is {made.name} ({made.id}). Keep it now: it is not shown again.", "dim")

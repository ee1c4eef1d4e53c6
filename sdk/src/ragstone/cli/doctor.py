"""The command `doctor`: what is wrong between here and the server, each with its remedy."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import click
from pydantic import BaseModel

from ragstone.cli.output import Output
from ragstone.cli.session import EXIT_CODES, NOT_ALL, Session, connected
from ragstone.client import Client
from ragstone.errors import ApiError, Forbidden, RagstoneError, TimedOut, Unauthorized, UnexpectedReply
from ragstone.retrying import Retrying

_ONCE = Retrying(attempts=1)  # what is wrong now is what is asked
_PATIENCE_S = 15.0  # longer than a busy server takes to say that it is


class Check(BaseModel):
    """`remedy` is None where nothing is wrong."""

    name: str
    found: str
    remedy: str | None = None


@click.command(epilog=EXIT_CODES)
@connected
def doctor(session: Session) -> int:
    """Checks the connection, the key, the server's readiness, and that it finds."""
    bad = False
    with session.client(retrying=_ONCE, timeout_s=_PATIENCE_S) as client:
        for check in checks(session, client):
            bad = bad or check.remedy is not None
            if session.out.as_json:
                session.out.json(check)
            else:
                _show(session.out, check)
    return NOT_ALL if bad else 0


def checks(session: Session, client: Client) -> Iterator[Check]:
    """In order; one that fails so that the next cannot work is the last."""
    connection = _connection(session, client)
    yield connection
    if connection.remedy is not None:
        return
    key = _key(session, client)
    yield key
    yield _readiness(client)
    if key.remedy is None:
        yield _asked("search", lambda: client.search("anything", top_k=1), "works", "search")


def _connection(session: Session, client: Client) -> Check:
    try:
        client.health.alive()
    except ApiError as error:
        return Check(
            name="connection", found=str(error), remedy=f"What listens at {session.url} is no ragstone server."
        )
    except TimedOut as error:
        return Check(name="connection", found=str(error), remedy="It hangs, or a firewall swallows it; see its log.")
    except RagstoneError as error:
        remedy = (
            "Start it (`make run`), or set RAGSTONE_URL or --url to where it listens; it prints that when it is ready."
        )
        return Check(name="connection", found=str(error), remedy=remedy)
    return Check(name="connection", found=f"{session.url} answers")


def _key(session: Session, client: Client) -> Check:
    given = "the key is known" if session.key else "no key is asked for"
    return _asked("key", lambda: next(iter(client.collections.list()), None), given, "read")


def _readiness(client: Client) -> Check:
    try:
        readiness = client.health.ready()
    except RagstoneError as error:
        return Check(name="readiness", found=str(error), remedy="See the server's log.")
    said = ", ".join(f"{name}: {value}" for name, value in readiness.dependencies.items())
    if readiness.ready:
        return Check(name="readiness", found=f"ready ({said})")
    remedy = (
        "The server needs it and goes on by itself when it is back; docs/reference/errors.md says what the code means."
    )
    return Check(name="readiness", found=f"not ready: {said}", remedy=remedy)


def _asked(name: str, ask: Callable[[], object], fine: str, scope: str) -> Check:
    try:
        ask()
    except Unauthorized as error:
        remedy = "Set RAGSTONE_API_KEY to a key of this server, or say --key; its administrator makes them."
        return Check(name=name, found=str(error), remedy=remedy)
    except Forbidden as error:
        return Check(name=name, found=str(error), remedy=f"Ask its administrator for a key with the scope {scope}.")
    except UnexpectedReply as error:
        return Check(name=name, found=str(error), remedy="Another program listens there: set RAGSTONE_URL or --url.")
    except RagstoneError as error:
        return Check(name=name, found=str(error), remedy="Try again; if it stays, see the server's log.")
    return Check(name=name, found=fine)


def _show(out: Output, check: Check) -> None:
    good = check.remedy is None
    out.text("ok    " if good else "WRONG ", "green" if good else "red", end="")
    out.text(f"{check.name}: {check.found}")
    if check.remedy is not None:
        out.text(f"      {check.remedy}", "yellow")

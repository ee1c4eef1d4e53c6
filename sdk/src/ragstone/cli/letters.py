"""Commands of dead letters: what failed, and what becomes of it."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice

import click

from ragstone.cli.output import Output
from ragstone.cli.session import EXIT_CODES, NOT_ALL, Session, connected
from ragstone.models import DeadLetter

_collection = click.option("-c", "--collection", help="only of this one")
_code = click.option("--code", help="only of this code, such as needs_program")


@click.group(name="dead-letters", epilog=EXIT_CODES)
def dead_letters() -> None:
    """What failed and waits for your decision."""


@dead_letters.command(name="list", epilog=EXIT_CODES)
@_collection
@_code
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True, help="how many at most")
@connected
def list_(session: Session, collection: str | None, code: str | None, limit: int) -> None:
    """Lists the open ones, newest first."""
    with session.client() as client:
        show_letters(session.out, list(islice(client.dead_letters.list(collection=collection, code=code), limit)))


@dead_letters.command(epilog=EXIT_CODES)
@click.argument("letter_id")
@connected
def show(session: Session, letter_id: str) -> None:
    """Shows one with its evidence."""
    out = session.out
    with session.client() as client:
        letter = client.dead_letters.get(letter_id)
    if out.as_json:
        out.json(letter)
        return
    out.title(f"{letter.title}: {letter.reason}")
    out.table(("", ""), letter.model_dump(exclude={"title", "reason"}, exclude_none=True).items())


_letter_ids = click.argument("letter_ids", nargs=-1, metavar="[LETTER_ID]...")
_every = click.option("--all", "every", is_flag=True, help="all that --collection and --code name")


@dead_letters.command(epilog=EXIT_CODES)
@_letter_ids
@_every
@_collection
@_code
@connected
def redrive(session: Session, letter_ids: Sequence[str], every: bool, collection: str | None, code: str | None) -> int:
    """Tries again, with a clean record."""
    _expect_which(letter_ids, every=every)
    with session.client() as client:
        letters = client.dead_letters
        for letter_id in letter_ids:
            letters.redrive(letter_id)
        matching = letters.redrive_matching(collection=collection, code=code).accepted if every else 0
    return _said(session.out, len(letter_ids) + matching, "tried again")


@dead_letters.command(epilog=EXIT_CODES)
@_letter_ids
@_every
@_collection
@_code
@connected
def drop(session: Session, letter_ids: Sequence[str], every: bool, collection: str | None, code: str | None) -> int:
    """Puts away; the documents stay failed."""
    _expect_which(letter_ids, every=every)
    with session.client() as client:
        letters = client.dead_letters
        for letter_id in letter_ids:
            letters.drop(letter_id)
        matching = letters.drop_matching(collection=collection, code=code).accepted if every else 0
    return _said(session.out, len(letter_ids) + matching, "put away")


def show_letters(out: Output, letters: Sequence[DeadLetter]) -> None:
    if out.as_json:
        for letter in letters:
            out.json(letter)
    elif letters:
        out.table(
            ("id", "collection", "title", "code", "why"),
            ((one.id, one.collection, one.title, one.code, one.reason) for one in letters),
        )


def _expect_which(letter_ids: Sequence[str], *, every: bool) -> None:
    if every == bool(letter_ids):
        raise click.UsageError("Say which: ids of dead letters, or --all.")


def _said(out: Output, done: int, what: str) -> int:
    if not out.as_json:
        out.text(f"{done} {what}")
    return 0 if done else NOT_ALL

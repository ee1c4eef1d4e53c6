"""The command `status`: is everything that was dropped searchable, and if not, why; on one screen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

import click
from pydantic import BaseModel

from ragstone.cli.letters import show_letters
from ragstone.cli.output import Output, styled
from ragstone.cli.session import EXIT_CODES, NOT_ALL, Session, connected
from ragstone.client import Client
from ragstone.errors import Forbidden
from ragstone.models import Collection, DeadLetter, DropFolder

_LETTERS = 20  # a screen
_FILES = 10  # of each kind


@dataclass(frozen=True, slots=True)
class _Kind:
    """`why` is what it is called as a reason why not everything is searchable; "" for what is."""

    name: str
    states: tuple[str, ...]
    style: str
    why: str


_KINDS = (
    _Kind("searchable", ("searchable",), "green", ""),
    _Kind("on their way", ("received", "parsing", "embedding"), "cyan", "on their way"),
    _Kind("partial", ("partial",), "yellow", "searchable in part"),
    _Kind("failed", ("failed",), "red", "failed"),
)


class Standing(BaseModel):
    """What is known of everything. `drop_folder` is None where the key may not see it; of `dead_letters` these are the
    newest, and `more_letters` says that there are others."""

    collections: list[Collection]
    drop_folder: DropFolder | None
    dead_letters: list[DeadLetter]
    more_letters: bool

    @property
    def reasons(self) -> list[str]:
        """Why not everything is searchable; nothing if it is."""
        folder = self.drop_folder
        unseen = [] if folder is None else [one for one in folder.refused if one.document_id is None]
        found = [(_count(self.collections, kind.states), kind.why) for kind in _KINDS if kind.why]
        found.append((len(unseen), "refused in the drop folder"))
        waiting = [] if folder is None or folder.waiting is None else [f"new files wait: {folder.waiting}"]
        return [f"{count} {why}" for count, why in found if count] + waiting


@click.command(epilog=EXIT_CODES)
@connected
def status(session: Session) -> int:
    """Says whether everything is searchable, and what is not, why.

    It exits with 1 while something is not: `until ragstone status; do sleep 5; done` waits for it.
    """
    out = session.out
    with session.client() as client:
        standing = standing_of(client)
    if out.as_json:
        out.json(standing)
    else:
        _show(out, standing)
    return NOT_ALL if standing.reasons else 0


def standing_of(client: Client) -> Standing:
    try:
        folder = client.drop_folder.get()
    except Forbidden:
        folder = None
    letters = list(islice(client.dead_letters.list(), _LETTERS + 1))
    return Standing(
        collections=list(client.collections.list()),
        drop_folder=folder,
        dead_letters=letters[:_LETTERS],
        more_letters=len(letters) > _LETTERS,
    )


def _show(out: Output, standing: Standing) -> None:
    out.title("Collections")
    if standing.collections:
        out.table(
            ("name", "documents", *(kind.name for kind in _KINDS), "chunks"),
            (
                (
                    one.name,
                    one.documents.total,
                    *(styled(_count([one], kind.states) or "", kind.style) for kind in _KINDS),
                    one.chunks,
                )
                for one in standing.collections
            ),
        )
    else:
        out.text("There are none yet. `ragstone upload --create -c notes FILE` makes one.", "dim")
    _show_folder(out, standing.drop_folder)
    if standing.dead_letters:
        out.title("\nDead letters")
        show_letters(out, standing.dead_letters)
        if standing.more_letters:
            out.text("… and more: ragstone dead-letters list", "dim")
    reasons = standing.reasons
    if reasons:
        out.text(f"\nNot everything is searchable: {', '.join(reasons)}.", "yellow")
    else:
        out.text("\nEverything is searchable.", "green")


def _count(collections: Sequence[Collection], states: Sequence[str]) -> int:
    return sum(one.documents.by_state.get(state, 0) for one in collections for state in states)


def _show_folder(out: Output, folder: DropFolder | None) -> None:
    out.title("\nDrop folder")
    if folder is None:
        out.text("Not shown: the key does not hold the scope admin.", "dim")
        return
    if folder.last_scan is None:
        out.text("Not looked at yet.", "dim")
    else:
        out.text(f"Last looked at {folder.last_scan:%F %T} UTC; what came since is not counted here.", "dim")
    if folder.waiting is not None:
        out.text(f"New files wait: {folder.waiting}", "yellow")
    rows = [("refused", one.path, one.reason) for one in folder.refused[:_FILES]]
    rows += [
        ("held", one.path, "gone from the folder, with many others; confirm or discard the deletion")
        for one in folder.held[:_FILES]
    ]
    rows += [
        ("ignored", path, "its document was deleted; change the file to have it back")
        for path in folder.ignored[:_FILES]
    ]
    if rows:
        out.table(("", "file", "why"), rows)
    left = sum(max(0, len(some) - _FILES) for some in (folder.refused, folder.held, folder.ignored))
    if left:
        out.text(f"… and {left} more: ragstone status --json", "dim")

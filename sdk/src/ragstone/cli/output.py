"""Output: tables and texts for people, JSON for programs.

What a document or a user wrote is shown as text: no markup of it is obeyed, no control character reaches the terminal.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Sequence
from typing import Final

from pydantic import BaseModel
from rich.console import Console
from rich.table import Table
from rich.text import Text

# C0 and C1 but line break and tab: a title must not move the cursor or retitle the window.
_CONTROL: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_COLOURS: Final = {
    "searchable": "green",
    "partial": "yellow",
    "failed": "red",
    "deleted": "dim",
    "deleting": "dim",
}


def plain(value: object) -> str:
    """A value as text without control characters; "" for None."""
    return "" if value is None else _CONTROL.sub("\N{REPLACEMENT CHARACTER}", str(value))


def styled(value: object, style: str = "") -> Text:
    return Text(plain(value), style=style)


def state(value: str) -> Text:
    return styled(value, _COLOURS.get(value, "cyan"))


class Output:
    """Where it goes: to standard output, coloured on a terminal only; what is wrong to standard error."""

    def __init__(self, *, as_json: bool) -> None:
        self.as_json = as_json
        self._out = Console(file=sys.stdout, highlight=False, soft_wrap=True)
        self._error = Console(file=sys.stderr, highlight=False, soft_wrap=True)

    @property
    def on_terminal(self) -> bool:
        return self._error.is_terminal

    def json(self, reply: BaseModel) -> None:
        """One line."""
        sys.stdout.write(reply.model_dump_json() + "\n")

    def text(self, value: object = "", style: str = "", *, end: str = "\n") -> None:
        self._out.print(styled(value, style), end=end)

    def title(self, value: object) -> None:
        self.text(value, "bold")

    def table(self, names: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
        table = Table(box=None, pad_edge=False, header_style="dim")
        for name in names:
            table.add_column(name, overflow="fold")
        for row in rows:
            table.add_row(*(value if isinstance(value, Text) else styled(value) for value in row))
        self._out.print(table, soft_wrap=False)

    def wrong(self, value: object) -> None:
        self._error.print(styled(value, "red"))

"""Sending many files: what became of each, and a bar that shows it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from ragstone import notebook, tables
from ragstone.calls import Call
from ragstone.models import Document

if TYPE_CHECKING:
    from rich.progress import Progress


@dataclass(frozen=True, slots=True)
class Sent:
    """What became of one file: a document, or the error that kept it from being one. `done` of `total` have ended."""

    name: str
    document: Document | None
    error: Exception | None
    done: int
    total: int


@dataclass(slots=True)
class Uploads:
    """`documents` are accepted and not final yet; `failed` are those that are no documents."""

    documents: list[Document] = field(default_factory=list)
    failed: list[Sent] = field(default_factory=list)

    def to_pandas(self) -> Any:
        """A DataFrame of the documents. Needs `pip install 'ragstone[pandas]'`."""
        return tables.frame(self.documents)

    def _repr_html_(self) -> str:
        return notebook.uploads(self)


Report = Callable[[Sent], None] | Literal["bar"] | None
"""Who is told of each file as it ends, in the thread or event loop that waits for all: nobody, a function, or a bar on
the terminal or in the notebook."""


class Sending:
    """Files to be sent, each made a call when its turn comes, `at_once` of them at a time."""

    def __init__(
        self, files: Sequence[tuple[str, Callable[[], Call[Document]]]], *, at_once: int, report: Report
    ) -> None:
        if at_once < 1:
            raise ValueError(f"at_once is {at_once}; it must be at least 1.")
        self.files = files
        self.at_once = at_once
        self.uploads = Uploads()
        self._bar = _Bar(len(files)) if report == "bar" else None
        self._report = self._bar if report == "bar" else report

    def ended(self, name: str, outcome: Document | Exception) -> None:
        done = len(self.uploads.documents) + len(self.uploads.failed) + 1
        if isinstance(outcome, Exception):
            sent = Sent(name, None, outcome, done, len(self.files))
            self.uploads.failed.append(sent)
        else:
            sent = Sent(name, outcome, None, done, len(self.files))
            self.uploads.documents.append(outcome)
        if self._report is not None:
            self._report(sent)

    def __enter__(self) -> Sending:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()


class _Bar:
    def __init__(self, total: int) -> None:
        self._total = total
        self._progress: Progress | None = None

    def start(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

        columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}", markup=False))
        self._progress = Progress(*columns, console=Console(stderr=True))
        self._task = self._progress.add_task("", total=self._total)
        self._progress.start()

    def __call__(self, sent: Sent) -> None:
        if self._progress is not None:
            self._progress.update(self._task, completed=sent.done, description=sent.name)

    def stop(self) -> None:
        if self._progress is not None:
            self._progress.stop()

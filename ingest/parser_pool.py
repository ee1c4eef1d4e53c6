"""The Parser port over sandboxed child processes.

`parse` → a child (an idle one, or one the zygote forks) → a copy of the document in its folder → the parser, confined →
the answer, checked → the next document, or a fresh child. What a document does to its child it does to nobody else.

A document that can be read in page ranges (a PDF) is: see `ingest.paged_parse`.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from ingest.document_budget import DocumentBudget
from ingest.page_ranges import PageRanges
from ingest.paged_parse import PagedFile, PagedParse
from ingest.parse_interest import ParseInterest
from ingest.parser_limits import ParserLimits
from ingest.parser_staff import ParserStaff
from ingest.parser_turns import Turns
from ingest.parser_verdicts import document_of
from ingest.parsing import ParsedDocument
from ingest.sandbox import SandboxLevel


class ParserPool:
    """Parses in `size` confined children: as many documents at once, fewer when large ones have several. Thread-safe.

    `parsers` is "package.module:function" of what children run, see `ParserEntry`. `level` asks for one sandbox level;
    left out, the strongest that a probe finds working is taken, and it is told by the property of that name. `scratch`
    is a folder of ours to work in.
    """

    def __init__(
        self,
        *,
        parsers: str = "ingest.format_parsers:parse_file",
        limits: ParserLimits,
        size: int,
        scratch: Path,
        level: SandboxLevel | None = None,
        allow_none: bool = False,
    ) -> None:
        """Starts the zygote and proves the level. Raises `SandboxUnavailable`."""
        self._limits = limits
        self._size = size
        self._staff = ParserStaff(parsers=parsers, limits=limits, scratch=scratch, level=level, allow_none=allow_none)
        self._turns = Turns(size)
        self._helpers = ThreadPoolExecutor(max_workers=max(1, size - 1), thread_name_prefix="parser-helper")

    @property
    def level(self) -> SandboxLevel:
        """The sandbox level reached."""
        return self._staff.level

    def parse(
        self, path: Path, *, media_type: str, name: str, wanted: Callable[[], bool] | None = None
    ) -> ParsedDocument:
        """See `Parser`. Also raises `ParserFailed` for a bug in a parser.

        Waits while others parse; that waiting does not count against the document's limits.
        """
        check = ParseInterest(wanted).check
        budget = DocumentBudget(self._limits, children=self._size)
        with self._turns.turn():
            child = self._staff.take()
            with budget.clock():
                answer = self._staff.ask(
                    child, lambda: child.parse(path, media_type=media_type, name=name, check=check)
                )
            if answer.kind != "paged":
                self._staff.give_back(child)
                return document_of(answer, self._limits)
            ranges = PageRanges(answer.pages, limits=self._limits, budget=budget)
            file = PagedFile(path, media_type, name, pages=answer.pages, about=answer.about, check=check)
            parse = PagedParse(file, ranges, staff=self._staff, turns=self._turns, limits=self._limits)
            return parse.lead(child, helpers=self._helpers, most_helpers=self._size - 1)

    def close(self) -> None:
        """Ends every process and removes the scratch folder; a parse under way raises `ParserClosed`."""
        self._staff.close()
        self._helpers.shutdown()

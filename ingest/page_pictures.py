"""Page pictures: pages of a PDF, drawn where documents are parsed: in a confined child, within the limits of a parser.

page → a turn → a fresh child → a copy of the document in its folder → PDFium, confined → pixels, checked → the child
ends. One child draws one page, so that no document reaches the next one's, which may be another tenant's.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from ingest import media_types as types
from ingest import pictures
from ingest.parser_limits import ParserLimits
from ingest.parser_staff import ParserStaff
from ingest.parser_turns import Turns
from ingest.parser_verdicts import ParserClosed, document_of
from ingest.parser_zygote import Child
from ingest.parsing import ParserFailed, ParserKilled
from ingest.pictures import Picture
from ingest.sandbox import SandboxLevel, SandboxUnavailable
from retrieval.errors import Unavailable, Unparseable

log = logging.getLogger(__name__)

# Somebody waits for the page: what takes longer than this is no page that people read.
_CPU_S = 20
_WALL_S = 30.0


class PagePictures:
    """Draws up to `size` pages at once; more wait for their turn. Thread-safe. Nothing runs before the first page."""

    def __init__(
        self,
        *,
        parsers: str = "ingest.pdfium_pictures:read_whole",
        limits: ParserLimits,
        size: int,
        scratch: Path,
        level: SandboxLevel | None = None,
        allow_none: bool = False,
    ) -> None:
        """See `ParserPool`. Time is bounded more tightly than a parser's, where `limits` does not do so itself.

        The pages of what `parsers` runs are encoded pictures.
        """
        self._parsers = parsers
        self._limits = replace(
            limits,
            cpu_s=min(limits.cpu_s, _CPU_S),
            wall_s=min(limits.wall_s, _WALL_S),
            result_bytes=pictures.most_bytes(),
        )
        self._scratch = scratch
        self._level = level
        self._allow_none = allow_none
        self._turns = Turns(size)
        self._lock = threading.Lock()
        self._made: ParserStaff | None = None
        self._closed = False

    def draw(self, path: Path, *, page: int) -> Picture:
        """The page of that number, counted from 1, of the PDF at `path`.

        Raises `Unparseable` where it cannot be drawn, and `Unavailable` where no page can be drawn here now.
        """
        with self._turns.turn(), _told(page):
            staff = self._staff()
            child = _fresh(staff)
            try:
                return self._drawn(staff, child, path, page)
            finally:
                child.end(at_once=True)

    def close(self) -> None:
        """Ends every process; a page that is being drawn ends as `Unavailable`."""
        with self._lock:
            self._closed = True
            staff, self._made = self._made, None
        if staff is not None:
            staff.close()

    def _drawn(self, staff: ParserStaff, child: Child, path: Path, page: int) -> Picture:
        limits = self._limits
        taker = _OnePicture(time.monotonic() + limits.wall_s)
        opened = staff.ask(child, lambda: child.parse(path, media_type=types.PDF, name="page.pdf", check=_nothing))
        if opened.kind == "paged":
            opened = staff.ask(child, lambda: child.read(page, page, cpu_s=limits.cpu_s, taker=taker))
        if taker.picture is None:
            document_of(opened, limits)  # it says why there is none, and raises it
            raise ParserKilled("The process answered with what draws no page.")
        return taker.picture

    def _staff(self) -> ParserStaff:
        with self._lock:
            if self._closed:
                raise ParserClosed
            if self._made is None:
                self._made = ParserStaff(
                    parsers=self._parsers,
                    limits=self._limits,
                    scratch=self._scratch,
                    level=self._level,
                    allow_none=self._allow_none,
                )
            return self._made


class _OnePicture:
    """A `PageTaker` of a single page."""

    def __init__(self, deadline: float) -> None:
        self._deadline = deadline
        self.picture: Picture | None = None

    def patience_s(self) -> float:
        return max(self._deadline - time.monotonic(), 0.0)

    def check(self) -> None:
        """It is wanted to the end."""

    def room(self) -> int:
        return pictures.most_bytes()

    def take(self, data: bytes, *, cpu_s: float) -> None:
        self.picture = pictures.decode(data)


def _fresh(staff: ParserStaff) -> Child:
    try:
        return staff.take(fresh=True)
    except ParserFailed as error:
        raise Unavailable(f"No process that draws pages can be started: {error}") from error


@contextmanager
def _told(page: int) -> Iterator[None]:
    """What happened to the child, as whoever asked for the page is told it."""
    try:
        yield
    except SandboxUnavailable as error:
        raise Unavailable(f"Pages are not drawn here: {error}") from error
    except ParserClosed as error:
        raise Unavailable("This process is ending.") from error
    except ParserKilled as error:
        log.warning("a process ended over a page that it drew: %s", error)
        raise Unparseable(
            "kills_worker", f"Page {page} cannot be drawn: the process that drew it died of it."
        ) from error
    except Unparseable as error:
        if error.reason_code != "parse_limit":
            raise
        sentence = f"Page {page} cannot be drawn within the time and memory that a page may take."
        raise Unparseable("parse_limit", sentence) from error


def _nothing() -> None:
    """Nobody loses interest in a page."""

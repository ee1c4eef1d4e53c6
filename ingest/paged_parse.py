"""Paged parse: one document read in page ranges by as many children as are free, and assembled in one of them.

What travels from the children that read to the one that assembles is not looked into here: everything a document says
about itself is decoded inside a sandbox, and the pool decodes only the finished document, as it does for any other.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from pathlib import Path

from ingest import parser_verdicts as verdicts
from ingest.page_ranges import PageRange, PageRanges, ReadingOver
from ingest.parser_channel import ChannelClosed
from ingest.parser_limits import ParserLimits
from ingest.parser_staff import ParserStaff
from ingest.parser_turns import Turns
from ingest.parser_verdicts import PageFailure
from ingest.parser_zygote import Answer, Child, LimitReached, Misbehaved
from ingest.parsing import ParsedDocument
from retrieval.errors import Unparseable


@dataclass(frozen=True, slots=True)
class PagedFile:
    """The file, and what the child that opened it first says about it. `check` raises when nobody wants it any more."""

    path: Path
    media_type: str
    name: str
    pages: int
    about: bytes
    check: Callable[[], None]


class PagedParse:
    """One child leads: its document has it whatever the others do, so no document ever waits for another's children.
    Helpers take what is spare, range by range. Both let others pass after each range.
    """

    def __init__(
        self, file: PagedFile, ranges: PageRanges, *, staff: ParserStaff, turns: Turns, limits: ParserLimits
    ) -> None:
        self._file = file
        self._ranges = ranges
        self._staff = staff
        self._turns = turns
        self._limits = limits

    def lead(self, child: Child, *, helpers: Executor, most_helpers: int) -> ParsedDocument:
        """The document. Called in a turn, with a child that has it open and is given back here."""
        calls: list[Future[None]] = []
        hand: Child | None = child
        try:
            wanted = min(most_helpers, len(self._ranges) - 1)
            with contextlib.suppress(RuntimeError):  # being closed; the children say so
                calls.extend(helpers.submit(self._help) for _ in range(wanted))
            hand = self._work(hand)
            while not self._ranges.are_decided():
                self._let_go(hand)
                hand = None
                with self._turns.pause():
                    self._ranges.wait()
                hand = self._work(None)
            hand = hand or self._staff.take()
            return self._assembled(hand)
        finally:
            self._let_go(hand)
            self._ranges.judge(ReadingOver())
            self._turns.stir()
            for call in calls:
                call.cancel()
            self._ranges.wait_for_hands()

    def _help(self) -> None:
        while True:
            with self._turns.spare_turn(wanted=self._ranges.is_open) as granted:
                if not granted:
                    return
                self._let_go(self._work(None))

    def _let_go(self, child: Child | None) -> None:
        if child is not None:
            self._staff.give_back(child)

    def _work(self, child: Child | None) -> Child | None:
        """Reads range after range, until there is none to take or somebody waits. Gives the child that is in hand.

        What goes wrong becomes the verdict on the document.
        """
        while (pages := self._ranges.take()) is not None:
            try:
                if child is None or pages.fresh:
                    self._let_go(child)
                    child = None
                    child = self._opened(fresh=pages.fresh)
                child = child if self._read(child, pages) else None
            except Exception as error:
                self._ranges.judge(error)
                child = None
            finally:
                self._ranges.returned()
                self._turns.stir()
            if self._turns.somebody_waits():
                break
        return child

    def _opened(self, *, fresh: bool) -> Child:
        """Another child with the document open."""
        file = self._file
        child = self._staff.take(fresh=fresh)
        with self._ranges.budget.clock():
            answer = self._staff.ask(
                child,
                lambda: child.parse(file.path, media_type=file.media_type, name=file.name, check=file.check),
            )
        if answer.kind == "paged" and answer.pages == file.pages:
            return child
        child.end(at_once=True)
        verdicts.document_of(answer, self._limits)
        raise verdicts.misbehaved("a document that is another one now")

    def _read(self, child: Child, pages: PageRange) -> bool:
        """Whether the child can go on. Raises what ends the whole document."""
        taker = _Taker(self._ranges, pages.first)
        budget = self._ranges.budget
        cpu_s = budget.page_cpu_s(self._ranges.left())
        answer: Answer | None = None
        try:
            with budget.clock():
                answer = child.read(pages.first, pages.last, cpu_s=cpu_s, taker=taker)
            if answer.kind == "read":
                return True
            failure = self._failure(answer)
        except LimitReached as reached:
            failure = self._over(reached.limit)
        except ChannelClosed:
            failure = self._death(child)
        except Misbehaved as error:
            raise verdicts.misbehaved(error) from error
        finally:
            if answer is None or answer.kind != "read":
                child.end(at_once=True)
        if taker.number <= pages.last:
            budget.charge(cpu_s=taker.since_last_s())  # an upper bound: what a dead child used nobody can ask
            self._ranges.failed_at(taker.number, pages.last, failure)
        return False

    def _failure(self, answer: Answer) -> PageFailure:
        if answer.kind == "limit":
            return self._over(str(answer.detail.get("limit")))
        verdicts.document_of(answer, self._limits)
        raise verdicts.misbehaved("an answer to another question")

    def _over(self, limit: str) -> PageFailure:
        if limit == "result":  # of all pages together
            raise verdicts.over(limit, self._limits)
        return verdicts.page_over(limit, self._limits)

    def _death(self, child: Child) -> PageFailure:
        ending = self._staff.ending_of(child)
        limit = verdicts.limit_behind(ending, self._limits, resident_at_start=child.resident_at_start)
        return verdicts.page_over(limit, self._limits) if limit else verdicts.page_killed(ending)

    def _assembled(self, child: Child) -> ParsedDocument:
        budget, file = self._ranges.budget, self._file
        answer = self._staff.ask(
            child,
            lambda: child.assemble(
                file.name,
                about=file.about,
                pages=self._ranges.pages(),
                cpu_s=budget.cpu_s(),
                wall_s=budget.wall_s(),
                check=file.check,
            ),
        )
        try:
            return verdicts.document_of(answer, self._limits)
        except Unparseable as nothing_left:
            failure = self._ranges.first_failure()
            if failure is None or nothing_left.reason_code == "parse_limit":
                raise
            raise failure from nothing_left


class _Taker:
    """Takes the pages of one range from its child."""

    def __init__(self, ranges: PageRanges, first: int) -> None:
        self.number = first
        self._ranges = ranges
        self._since = time.monotonic()

    def patience_s(self) -> float:
        self._since = time.monotonic()
        return self._ranges.budget.page_wall_s(self._ranges.left())

    def check(self) -> None:
        self._ranges.check()

    def room(self) -> int:
        return self._ranges.budget.room()

    def take(self, data: bytes, *, cpu_s: float) -> None:
        self._ranges.keep(self.number, data, cpu_s=cpu_s)
        self.number += 1
        self._ranges.check()

    def since_last_s(self) -> float:
        return time.monotonic() - self._since

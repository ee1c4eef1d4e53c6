"""Parser staff: the zygote and the children that wait for work. Takes, questions, keeps and replaces them."""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from ingest import parser_verdicts as verdicts
from ingest.parser_channel import ChannelClosed
from ingest.parser_limits import ParserLimits
from ingest.parser_verdicts import ParserClosed
from ingest.parser_zygote import Answer, Child, Ending, LimitReached, Misbehaved, Zygote, ZygoteLost
from ingest.parsing import ParserFailed
from ingest.sandbox import SandboxLevel, SandboxUnavailable, candidates, no_sandbox_sentence
from ingest.scratch_folder import ScratchFolder

log = logging.getLogger(__name__)

_START_TRIES = 3


class ParserStaff:
    """Thread-safe; a child that is taken is in the hands of one thread until it is given back."""

    def __init__(
        self, *, parsers: str, limits: ParserLimits, scratch: Path, level: SandboxLevel | None, allow_none: bool
    ) -> None:
        """Starts the zygote and proves the level. Raises `SandboxUnavailable`."""
        levels = candidates(level, allow_none=allow_none)
        self._parsers = parsers
        self._limits = limits
        self._scratch = ScratchFolder(scratch)
        self._lock = threading.Lock()
        self._idle: list[Child] = []
        self._closed = False
        self._keeper = ThreadPoolExecutor(max_workers=1, thread_name_prefix="parser-keeper")
        try:
            self.level, self._zygote = self._strongest(levels, allow_none=allow_none)
        except BaseException:
            self._keeper.shutdown()
            self._scratch.close()
            raise

    def take(self, *, fresh: bool = False) -> Child:
        """An idle child that still lives, or a new one; a `fresh` one has had no document.

        Raises `ParserClosed`, and `ParserFailed` when none can be started: a sandbox that fails by now is not the
        document's fault.
        """
        try:
            return self._living_child(fresh=fresh)
        except SandboxUnavailable as error:
            raise ParserFailed(f"No parser process could be started: {error}") from error

    def ask(self, child: Child, question: Callable[[], Answer]) -> Answer:
        """The child's answer. Where the child did not survive it, raises what that means for the document."""
        try:
            with verdicts.full_disk_told():
                answer = question()
        except LimitReached as reached:
            child.end(at_once=True)
            raise verdicts.over(reached.limit, self._limits) from reached
        except ChannelClosed as closed:
            ending = self.ending_of(child)
            limit = verdicts.limit_behind(ending, self._limits, resident_at_start=child.resident_at_start)
            raise (verdicts.over(limit, self._limits) if limit else verdicts.killed(ending)) from closed
        except Misbehaved as error:
            child.end(at_once=True)
            raise verdicts.misbehaved(error) from error
        except BaseException:
            child.end(at_once=True)
            raise
        if answer.kind in ("limit", "failed"):
            child.end(at_once=True)
        return answer

    def ending_of(self, child: Child) -> Ending:
        """How a child ended that closed its channel. Raises `ParserClosed` or `ParserKilled` where it tells nothing."""
        ending = child.end(at_once=False)
        if self._closed:
            raise ParserClosed(ParserClosed.__doc__)
        if ending is None:
            raise verdicts.zygote_killed()
        return ending

    def give_back(self, child: Child) -> None:
        """Keeps it for the next document, unless it had enough of them or left something behind."""
        fit = (
            not child.ended
            and child.documents < self._limits.documents_per_child
            and child.grown < self._limits.recycle_bytes
            and child.tidy()
        )
        with self._lock:
            kept = fit and not self._closed
            if kept:
                self._idle.append(child)
        if not kept:
            child.end(at_once=True)

    def close(self) -> None:
        """Ends every process and removes the scratch folder."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
            self._zygote.close()
        for child in idle:
            child.end(at_once=True)
        self._keeper.shutdown()
        self._scratch.close()

    def _strongest(self, levels: list[SandboxLevel], *, allow_none: bool) -> tuple[SandboxLevel, Zygote]:
        reasons = []
        for level in levels:
            try:
                zygote = self._start_zygote(level)
                try:
                    self._prove(zygote, level)
                except BaseException:
                    zygote.close()
                    raise
                return level, zygote
            except (SandboxUnavailable, ZygoteLost) as error:
                reasons.append(f"{level}: {error}")
                log.warning("sandbox level not reached", extra={"level": level.value, "reason": str(error)})
        why = "no level works here: " + "; ".join(reasons)
        raise SandboxUnavailable(why if allow_none or len(levels) == 1 else no_sandbox_sentence(why))

    def _start_zygote(self, level: SandboxLevel) -> Zygote:
        return Zygote(
            level=level, parsers=self._parsers, limits=self._limits, scratch=self._scratch.path, keeper=self._keeper
        )

    def _prove(self, zygote: Zygote, level: SandboxLevel) -> None:
        """A first child tries what its level must refuse; at `none` there is nothing to prove."""
        child = zygote.start_child()
        outside = self._scratch.path / "outside"
        try:
            if level is SandboxLevel.NONE:
                return
            with socket.create_server(("127.0.0.1", 0)) as listener:
                breaches = child.breaches(port=listener.getsockname()[1], outside=outside)
            if breaches or outside.exists():
                raise SandboxUnavailable(f"the sandbox let a child do what it must not: {', '.join(breaches)}")
        finally:
            outside.unlink(missing_ok=True)
            child.end(at_once=True)

    def _living_child(self, *, fresh: bool) -> Child:
        """A zygote that died is replaced first."""
        for _ in range(_START_TRIES):
            with self._lock:
                if self._closed:
                    raise ParserClosed(ParserClosed.__doc__)
                if not self._zygote.is_alive():
                    log.warning("the parser zygote died; starting another")
                    self._zygote.close()
                    self._zygote = self._start_zygote(self.level)
                zygote = self._zygote
                child = self._idle.pop() if self._idle else None
            if child is not None:
                if child.is_ready() and not fresh:
                    return child
                child.end(at_once=True)  # also for a fresh one, so that there are never more than were taken at once
                if not fresh:
                    continue
            try:
                return zygote.start_child()
            except ZygoteLost:
                continue
        raise ParserFailed("No parser process could be started.")

"""The Parser port over sandboxed child processes.

`parse` → a child (an idle one, or one the zygote forks) → a copy of the document in its folder → the parser, confined →
the answer, checked → the next document, or a fresh child. What a document does to its child it does to nobody else.
"""

from __future__ import annotations

import errno
import logging
import signal
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from ingest.parser_channel import ChannelClosed
from ingest.parser_limits import ParserLimits
from ingest.parser_zygote import (
    Answer,
    Child,
    Ending,
    LimitReached,
    Misbehaved,
    Zygote,
    ZygoteLost,
)
from ingest.parsing import ParsedDocument, ParserFailed, ParserKilled
from ingest.sandbox import SandboxLevel, SandboxUnavailable, candidates, no_sandbox_sentence
from ingest.scratch_folder import ScratchFolder
from retrieval.errors import StorageFull, Unparseable

log = logging.getLogger(__name__)

# A parser itself may say these; parse_limit and kills_worker are ours to say.
_CODES_OF_A_PARSER = frozenset({"encrypted", "damaged", "no_text", "needs_program", "parse_limit"})
# Died this close to its memory limit, a child is taken to have died of it.
_NEARLY_ALL_MEMORY = 0.9
_START_TRIES = 3


class ParserClosed(RuntimeError):
    """The parser pool was closed; this document was not judged."""


class ParserPool:
    """Parses up to `size` documents at once, each in a confined child. Thread-safe.

    `parsers` is "package.module:function" of what children run: `function(path, media_type, name) -> ParsedDocument`.
    `level` asks for one sandbox level; left out, the strongest that a probe finds working is taken, and it is told by
    the property of that name. `scratch` is a folder of ours to work in.
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
        levels = candidates(level, allow_none=allow_none)
        self._parsers = parsers
        self._limits = limits
        self._scratch = ScratchFolder(scratch)
        self._permits = threading.BoundedSemaphore(size)
        self._lock = threading.Lock()
        self._idle: list[Child] = []
        self._closed = False
        self._keeper = ThreadPoolExecutor(max_workers=1, thread_name_prefix="parser-keeper")
        try:
            self._level, self._zygote = self._strongest(levels, allow_none=allow_none)
        except BaseException:
            self._keeper.shutdown()
            self._scratch.close()
            raise

    @property
    def level(self) -> SandboxLevel:
        """The sandbox level reached."""
        return self._level

    def parse(self, path: Path, *, media_type: str, name: str) -> ParsedDocument:
        """See `Parser`. Also raises `ParserFailed` for a bug in a parser and `ParserClosed` after `close`.

        Waits while `size` others parse; that waiting does not count against the document's limits.
        """
        with self._permits:
            child = self._take()
            keep = False
            try:
                answer = child.parse(path, media_type=media_type, name=name)
                keep = self._is_fit(child, answer)
                return self._judge(answer)
            except LimitReached as reached:
                raise self._over(reached.limit) from reached
            except ChannelClosed as closed:
                raise self._judge_death(child, child.end(at_once=False)) from closed
            except Misbehaved as error:
                raise ParserKilled(f"The parser's process answered with what no parser says: {error}.") from error
            except OSError as error:
                if error.errno in (errno.ENOSPC, errno.EDQUOT):
                    raise StorageFull from error
                raise
            finally:
                self._give_back(child, keep=keep)

    def close(self) -> None:
        """Ends every process and removes the scratch folder; a parse under way raises `ParserClosed`."""
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

    def _take(self) -> Child:
        """An idle child that still lives, or a new one. A sandbox that fails by now is not the document's fault."""
        try:
            return self._living_child()
        except SandboxUnavailable as error:
            raise ParserFailed(f"No parser process could be started: {error}") from error

    def _living_child(self) -> Child:
        """A zygote that died is replaced first."""
        for _ in range(_START_TRIES):
            with self._lock:
                if self._closed:
                    raise ParserClosed(ParserClosed.__doc__)
                if not self._zygote.is_alive():
                    log.warning("the parser zygote died; starting another")
                    self._zygote.close()
                    self._zygote = self._start_zygote(self._level)
                zygote = self._zygote
                child = self._idle.pop() if self._idle else None
            if child is not None:
                if child.is_ready():
                    return child
                child.end(at_once=True)
                continue
            try:
                return zygote.start_child()
            except ZygoteLost:
                continue
        raise ParserFailed("No parser process could be started.")

    def _give_back(self, child: Child, *, keep: bool) -> None:
        with self._lock:
            keep = keep and not self._closed
            if keep:
                self._idle.append(child)
        if not keep:
            child.end(at_once=True)

    def _is_fit(self, child: Child, answer: Answer) -> bool:
        """Whether the child takes another document: one that went to a limit, or had enough of them, does not."""
        return (
            answer.kind in ("document", "unparseable")
            and child.documents < self._limits.documents_per_child
            and answer.grown < self._limits.recycle_bytes
            and child.tidy()
        )

    def _judge(self, answer: Answer) -> ParsedDocument:
        if answer.kind == "document" and answer.document is not None:
            return answer.document
        if answer.kind == "unparseable":
            code = str(answer.detail.get("code"))
            message = str(answer.detail.get("message"))
            raise Unparseable(code if code in _CODES_OF_A_PARSER else "damaged", message)
        if answer.kind == "limit":
            raise self._over(str(answer.detail.get("limit")))
        raise ParserFailed(str(answer.detail.get("traceback")))

    def _judge_death(self, child: Child, ending: Ending | None) -> Exception:
        if self._closed:
            return ParserClosed(ParserClosed.__doc__)
        if ending is None:
            return ParserKilled("The process that all parser processes come from was killed.")
        if ending.signal == signal.SIGXCPU:
            return self._over("cpu")
        grown = ending.peak - child.resident_at_start
        if grown >= _NEARLY_ALL_MEMORY * self._limits.memory_bytes:
            return self._over("memory")
        how = f"by {signal.Signals(ending.signal).name}" if ending.signal else "by its own hand"
        return ParserKilled(f"The parser's process was ended {how} while it parsed this document.")

    def _over(self, limit: str) -> Unparseable:
        return Unparseable("parse_limit", self._limits.sentence(limit))

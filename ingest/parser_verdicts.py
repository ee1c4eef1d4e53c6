"""Verdicts: what the end of a child, or what it said, means for its document and for a page of it."""

from __future__ import annotations

import errno
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from ingest.parser_limits import ParserLimits
from ingest.parser_zygote import Answer, Ending
from ingest.parsing import NotJudged, ParsedDocument, ParserFailed, ParserKilled
from retrieval.errors import StorageFull, Unparseable

# A parser itself may say these; parse_limit and kills_worker are ours to say.
_CODES_OF_A_PARSER = frozenset({"encrypted", "damaged", "no_text", "needs_program", "parse_limit"})
# Died this close to its memory limit, a child is taken to have died of it.
_NEARLY_ALL_MEMORY = 0.9


class ParserClosed(NotJudged):
    """The parser pool was closed; this document was not judged."""


@dataclass(frozen=True, slots=True)
class PageFailure:
    """`why` the page could not be read, and what its document ends as if nothing else of it can be.

    `by_time`: it was too slow, which a second try would be too; a crash may have been another page's doing.
    """

    why: str
    error: Exception
    by_time: bool = False


def document_of(answer: Answer, limits: ParserLimits) -> ParsedDocument:
    """The document; or raises what the answer says instead."""
    if answer.kind == "document" and answer.document is not None:
        return answer.document
    if answer.kind == "unparseable":
        code = str(answer.detail.get("code"))
        message = str(answer.detail.get("message"))
        raise Unparseable(code if code in _CODES_OF_A_PARSER else "damaged", message)
    if answer.kind == "limit":
        raise over(str(answer.detail.get("limit")), limits)
    if answer.kind == "failed":
        raise ParserFailed(str(answer.detail.get("traceback")))
    raise misbehaved("an answer to another question")


def over(limit: str, limits: ParserLimits) -> Unparseable:
    return Unparseable("parse_limit", limits.sentence(limit))


def misbehaved(what: object) -> ParserKilled:
    return ParserKilled(f"The parser's process answered with what no parser says: {what}.")


def limit_behind(ending: Ending, limits: ParserLimits, *, resident_at_start: int) -> str | None:
    """The name of the limit that a child died of."""
    if ending.signal == signal.SIGXCPU:
        return "cpu"
    grown = ending.peak - resident_at_start
    return "memory" if grown >= _NEARLY_ALL_MEMORY * limits.memory_bytes else None


def zygote_killed() -> ParserKilled:
    return ParserKilled("The process that all parser processes come from was killed.")


def killed(ending: Ending) -> ParserKilled:
    return ParserKilled(f"The parser's process was ended {_how(ending)} while it parsed this document.")


def page_over(limit: str, limits: ParserLimits) -> PageFailure:
    return PageFailure(limits.page_sentence(limit), over(limit, limits), by_time=limit in ("cpu", "wall"))


def page_killed(ending: Ending) -> PageFailure:
    return PageFailure(f"The parser's process was ended {_how(ending)} while it read the page.", killed(ending))


@contextmanager
def full_disk_told() -> Iterator[None]:
    """A disk too full for the copy of a document is not the document's fault."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StorageFull from error
        raise


def _how(ending: Ending) -> str:
    return f"by {signal.Signals(ending.signal).name}" if ending.signal else "by its own hand"

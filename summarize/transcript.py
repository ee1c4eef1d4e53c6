"""Transcript: one generation, read through verification, as it happens and as it ends."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from summarize.citations import Citation, CitationResolver, Dropped, ResolverEvent, Verified
from summarize.generation import Generation, GenerationUsage, Passage

# 40,000 characters: five times the longest text that is ever asked for. A generator that goes on is stopped.
LONGEST_TEXT = 40_000
# What was dropped is evidence for a person; more of it than this is noise.
DROPPED_KEPT = 100
DROPPED_CHARACTERS = 500


@dataclass(frozen=True, slots=True)
class Delta:
    """More of the text, verified."""

    text: str


@dataclass(frozen=True, slots=True)
class Cited:
    """A citation whose marker stood in the delta before it for the first time."""

    citation: Citation


class Transcript:
    """Reads one generation. `text`, `citations`, `dropped` and `evidence` are complete when `read` has ended."""

    def __init__(self, passages: Sequence[Passage]) -> None:
        self._resolver = CitationResolver(passages)
        self.text = ""
        self.citations: list[Citation] = []
        self.dropped: list[Dropped] = []
        self.evidence: list[tuple[int, str]] = []

    def read(self, generation: Generation) -> Iterator[Delta | Cited]:
        """Runs the generation to its end and closes it, also when the reader goes away in the middle."""
        length = 0
        try:
            for delta in generation:
                length += len(delta)
                yield from self._taken(self._resolver.feed(delta))
                if length > LONGEST_TEXT:
                    break
        finally:
            generation.close()
        yield from self._taken(self._resolver.finish())

    def _taken(self, events: Sequence[ResolverEvent]) -> Iterator[Delta | Cited]:
        for event in events:
            if isinstance(event, Verified):
                self.text += event.text
                self.citations += event.citations
                self.evidence += event.evidence
                yield Delta(event.text)
                yield from map(Cited, event.citations)
            elif len(self.dropped) < DROPPED_KEPT:
                self.dropped.append(Dropped(event.reason, event.text[:DROPPED_CHARACTERS]))


def total(usages: Sequence[GenerationUsage]) -> GenerationUsage:
    """The sum; a count that one call did not report is unknown in the sum."""
    prompts = [usage.prompt_tokens for usage in usages]
    completions = [usage.completion_tokens for usage in usages]
    return GenerationUsage(
        sum(p for p in prompts if p is not None) if None not in prompts else None,
        sum(c for c in completions if c is not None) if None not in completions else None,
        sum(usage.calls for usage in usages),
    )

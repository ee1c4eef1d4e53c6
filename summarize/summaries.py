"""Summaries: from the chunks of some documents to a text in which every sentence is cited and verified.

What does not fit into one call of the generator is mapped and reduced: each part is summarised, what its sentences
rest on is kept as notes (verbatim sentences of the chunk, under the chunk's own marker), and the notes are summarised
in turn. So citations point at chunks however many rounds there were, and nobody's paraphrase is paraphrased.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from retrieval.embedding import Tokenizer
from summarize.citations import Citation, Dropped
from summarize.generation import GenerationRequest, GenerationUsage, Generator, Length, Passage
from summarize.material import Material
from summarize.packing import pack_documents, pack_relevant
from summarize.transcript import Cited, Delta, Transcript, total

# 24,000 word pieces are about 120 passages or 60 pages, read in full in seconds on a CPU. Longer material is read
# evenly spread, and the coverage says how much of it.
MATERIAL_TOKENS = 24_000
# Each round of notes is several times shorter than what it notes; a generator that does not shorten ends here.
ROUNDS = 4


@dataclass(frozen=True, slots=True)
class Coverage:
    """Of what the summary was made: documents and chunks that were read, and the chunks there were."""

    documents: int
    chunks_used: int
    chunks_total: int


@dataclass(frozen=True, slots=True)
class Summary:
    """`text` is empty when nothing could be said that survives verification."""

    text: str
    citations: tuple[Citation, ...]
    coverage: Coverage
    dropped: tuple[Dropped, ...]
    generator: str
    usage: GenerationUsage


@dataclass(frozen=True, slots=True)
class SummaryDone:
    """The last event: the whole summary. The deltas before it, joined, are its text."""

    summary: Summary


SummaryEvent = Delta | Cited | SummaryDone


class Summarizer:
    """Summarises with one generator. Safe for several threads at once if the generator is."""

    def __init__(self, generator: Generator, tokenizer: Tokenizer, *, material_tokens: int = MATERIAL_TOKENS) -> None:
        self._generator = generator
        self._tokenizer = tokenizer
        self._budget = material_tokens

    def summarize(
        self, material_by_document: Mapping[str, Sequence[Material]], question: str | None, length: Length
    ) -> Iterator[SummaryEvent]:
        """Events of one summary; each document's material is in document order.

        With a question, the summary is of what the documents say about it. Deltas come in the last round only. Raises
        `GeneratorUnavailable`, also between events.
        """
        packed = (
            pack_relevant(material_by_document, question, self._tokenizer, budget=self._budget)
            if question
            else pack_documents(material_by_document, self._tokenizer, budget=self._budget)
        )
        usages: list[GenerationUsage] = []
        dropped: list[Dropped] = []
        notes: Sequence[Passage] = packed.passages
        for _ in range(ROUNDS):
            parts = self._parts(notes)
            if len(parts) <= 1:
                break
            notes = [note for part in parts for note in self._noted(part, question, usages, dropped)]
        # The notes are read, the chunks are quoted.
        offered = self._parts(notes)[:1]
        numbers = {passage.marker for part in offered for passage in part}
        transcript = Transcript([passage for passage in packed.passages if passage.marker in numbers])
        for part in offered:
            generation = self._generator.generate(GenerationRequest("summary", question, part, length))
            yield from transcript.read(generation)
            usages.append(generation.usage)
        yield SummaryDone(
            Summary(
                text=transcript.text,
                citations=tuple(transcript.citations),
                coverage=Coverage(packed.documents, packed.chunks, sum(map(len, material_by_document.values()))),
                dropped=(*dropped, *transcript.dropped),
                generator=self._generator.name,
                usage=total(usages),
            )
        )

    def _noted(
        self, part: Sequence[Passage], question: str | None, usages: list[GenerationUsage], dropped: list[Dropped]
    ) -> list[Passage]:
        """The part's passages that its summary rests on, each cut down to the sentences used."""
        generation = self._generator.generate(GenerationRequest("summary", question, part, Length.MEDIUM))
        transcript = Transcript(part)
        for _ in transcript.read(generation):
            pass
        usages.append(generation.usage)
        dropped += transcript.dropped
        return [
            replace(passage, text=" ".join(quotes))
            for passage in part
            if (quotes := _in_order(passage.text, [q for marker, q in transcript.evidence if marker == passage.marker]))
        ]

    def _parts(self, passages: Sequence[Passage]) -> list[list[Passage]]:
        """Runs of passages that fit into one call. A passage that alone does not fit is a part of its own."""
        parts: list[list[Passage]] = []
        room = 0
        counts = self._tokenizer.count([passage.text for passage in passages])
        for passage, tokens in zip(passages, counts, strict=True):
            if not parts or tokens > room:
                parts.append([])
                room = self._generator.context_tokens
            parts[-1].append(passage)
            room -= tokens
        return parts


def _in_order(text: str, quotes: Sequence[str]) -> list[str]:
    """The quotes once each, in the order in which they stand in the text; one inside another is left out."""
    once = [q for q in dict.fromkeys(quotes) if not any(q != other and q in other for other in quotes)]
    return sorted(once, key=text.find)

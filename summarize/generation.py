"""Generator: numbered passages in, a text with markers out.

Words
-----
*Passage*  one chunk offered to the generator under a number, its marker; only these numbers may be cited.
*Marker*   `[3]` in the generated text: what stands before it, back to the previous marker or sentence start, rests on
           passage 3.

Promises: text comes as deltas, in order; their concatenation is the whole text. A generator that cannot answer from
the passages says so by yielding nothing. It never sees a passage its caller may not read, has no tools and no network
but its own model endpoint. Failures of that endpoint raise `GeneratorUnavailable`, also in the middle of a stream.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from retrieval.chunks import Locator


class Length(StrEnum):
    SHORT = "short"
    MEDIUM = "medium"
    LONG = "long"


@dataclass(frozen=True, slots=True)
class Passage:
    """A chunk under its marker. `relevance` is in [0, 1], comparable within one request."""

    marker: int
    chunk_id: str
    document_id: str
    title: str
    text: str
    locator: Locator
    relevance: float


@dataclass(frozen=True, slots=True)
class GenerationRequest:
    """What to write: an answer to `question`, or a summary (of all passages, or of what they say on `question`)."""

    task: str  # "answer" or "summary"
    question: str | None
    passages: Sequence[Passage]
    length: Length


@dataclass(frozen=True, slots=True)
class GenerationUsage:
    """Tokens the model reported, None where it did not."""

    prompt_tokens: int | None
    completion_tokens: int | None
    calls: int


class Generation(Protocol):
    """One running generation: iterate it for text deltas; `usage` is complete after the last one."""

    def __iter__(self) -> Iterator[str]: ...

    @property
    def usage(self) -> GenerationUsage: ...

    def close(self) -> None:
        """Stops early: called when the client goes."""
        ...


class Generator(Protocol):
    @property
    def name(self) -> str:
        """Such as "extractive" or "openai:qwen3": shown in every reply."""
        ...

    @property
    def context_tokens(self) -> int:
        """How many tokens of passages fit into one call; more are mapped and reduced by the generator's caller."""
        ...

    def generate(self, request: GenerationRequest) -> Generation: ...

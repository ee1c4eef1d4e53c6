"""Parse stage: a version's bytes become chunks, and the embedding is owed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from tempfile import NamedTemporaryFile

from ingest import chunk_file
from ingest.blobs import Blobs
from ingest.chunk_file import ChunkFile
from ingest.folder_blobs import full_means_storage_full
from ingest.parsing import Defect, NotJudged, ParsedDocument, Parser
from retrieval.catalogue import Catalogue
from retrieval.chunks import Chunk
from retrieval.errors import Unavailable, Unparseable
from retrieval.tasks import Claim, ParseOutcome

_NAMED = 20  # places with one reason that a sentence names before it only counts them

Chunker = Callable[[ParsedDocument, str, str], Iterable[Chunk]]
"""(parsed document, document id, title) → chunks in order; asked for no more than are kept, and one."""


@dataclass(frozen=True, slots=True)
class _Cut:
    """A document's first chunks. `left_out` counts the characters of its text that come after them."""

    chunks: Sequence[Chunk]
    defects: tuple[Defect, ...]
    left_out: int


class ParseStage:
    """Of a document of more than `most_chunks` chunks the first so many are kept: it is partial, and says so."""

    def __init__(
        self,
        *,
        catalogue: Catalogue,
        blobs: Blobs,
        parser: Parser,
        chunker: Chunker,
        scratch: Path,
        most_chunks: int,
    ) -> None:
        self._catalogue = catalogue
        self._blobs = blobs
        self._parser = parser
        self._chunker = chunker
        self._scratch = scratch
        self._most_chunks = most_chunks

    def run(self, claim: Claim) -> None:
        content, document = claim.content, claim.document
        assert content is not None  # the version is the newest, or the live one, so its row is there
        try:
            with self._source(claim) as path:
                parsed = self._parser.parse(
                    path, media_type=content.media_type, name=content.name, wanted=lambda: self._is_wanted(claim)
                )
        except NotJudged:
            self._catalogue.tasks.released(claim)
            return
        title = document.title if document.title_given or not parsed.title else parsed.title
        cut = self._cut(parsed, self._chunker(parsed, document.id, title))
        if not cut.chunks:
            raise Unparseable("no_text", "The document holds no text that could be searched.")
        parsed = replace(parsed, defects=cut.defects)
        digest, data = chunk_file.pack(ChunkFile.of(parsed, cut.chunks))
        self._catalogue.blobs.touch(document.tenant, digest)
        self._blobs.put_bytes(document.tenant, digest, data)
        self._catalogue.tasks.parsed(claim, _outcome(parsed, cut, digest))

    def _cut(self, parsed: ParsedDocument, chunks: Iterable[Chunk]) -> _Cut:
        """What is missing at the end is said first: it may be most of the document."""
        found = list(islice(chunks, self._most_chunks + 1))
        if len(found) <= self._most_chunks:
            return _Cut(found, parsed.defects, left_out=0)
        next_one = found.pop().locator
        place = f"page {next_one.pages[0]}" if next_one.pages else f"character {next_one.char_start}"
        why = f"The document makes more than {self._most_chunks} chunks, which is the limit."
        truncated = Defect("truncated", f"all from {place} on", why)
        return _Cut(found, (truncated, *parsed.defects), left_out=len(parsed.text()) - next_one.char_start)

    def _is_wanted(self, claim: Claim) -> bool:
        """Whether its version is still one to parse: the newest, or the one that was live when this was claimed. A
        catalogue that does not answer takes nothing back."""
        try:
            states = self._catalogue.documents.states([claim.document.id])
        except Unavailable:
            return True
        if claim.document.id not in states:
            return False
        newest, state = states[claim.document.id]
        return claim.version in (newest, claim.document.live_version) and not state.is_gone

    @contextmanager
    def _source(self, claim: Claim) -> Iterator[Path]:
        """A file with the version's bytes for the parser to read."""
        content = claim.content
        assert content is not None
        if content.inline_text is None:
            with self._blobs.local(claim.document.tenant, content.sha256) as path:
                yield path
            return
        with full_means_storage_full(), NamedTemporaryFile(dir=self._scratch, suffix=".inline") as file:
            file.write(content.inline_text.encode("utf-8"))
            file.flush()
            yield Path(file.name)


def _outcome(parsed: ParsedDocument, cut: _Cut, digest: str) -> ParseOutcome:
    chunks = cut.chunks
    tokens = sum(chunk.tokens for chunk in chunks)
    counts = {"pages": parsed.pages, "elements": len(parsed.elements), "chunks": len(chunks), "tokens": tokens}
    if cut.left_out:
        counts["left_out_characters"] = cut.left_out
    return ParseOutcome(
        chunk_file=digest,
        title=parsed.title,
        language=parsed.language,
        pages=parsed.pages,
        chunks=len(chunks),
        tokens=tokens,
        code=parsed.defects[0].code if parsed.defects else None,
        reason=_reason(parsed.defects),
        counts=counts,
    )


def _reason(defects: Sequence[Defect]) -> str | None:
    """One sentence that names what is missing."""
    if not defects:
        return None
    where: defaultdict[str, list[str]] = defaultdict(list)
    for defect in defects:
        where[defect.why.rstrip(".")].append(defect.where)
    named = "; ".join(f"{_listed(places)}: {why}" for why, places in list(where.items())[:5])
    more = f"; and for {len(where) - 5} more reasons" if len(where) > 5 else ""
    return f"Not everything could be read: {named}{more}."


def _listed(places: Sequence[str]) -> str:
    more = f" and {len(places) - _NAMED} more" if len(places) > _NAMED else ""
    return ", ".join(places[:_NAMED]) + more

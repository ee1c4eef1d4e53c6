"""An open document: one that is on its way to the index, some slices at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from retrieval.chunks import Chunk
from retrieval.documents import Lane
from retrieval.index import Point
from retrieval.tasks import Claim

# Chunks held in memory ahead of the embedder: 3 MB of a document of any length. Its chunk file is read again for each
# of them, which took 25 ms a thousand chunks where embedding those took ten seconds.
READ_AHEAD = 1_024


class OpenDocument:
    """A claim, how far its chunks are written, and the next of them.

    `read` gives all chunks of the version in order. `sources` are attempts whose points may carry vectors of its texts.
    """

    def __init__(self, claim: Claim, read: Callable[[], Sequence[Chunk]]) -> None:
        self.claim = claim
        self.sources: Sequence[int] = ()
        self.sample: Point | None = None
        self.written = 0
        self.counts = {"points": 0, "embedded": 0, "reused": 0, "tokens": 0}
        self._read = read
        chunks = read()
        if not chunks:
            raise ValueError("a chunk file without chunks")
        self.total = len(chunks)
        self._ahead = list(chunks[:READ_AHEAD])

    @property
    def attempt(self) -> int:
        return self.claim.attempt

    @property
    def tenant(self) -> str:
        return self.claim.document.tenant

    @property
    def lane(self) -> Lane:
        return self.claim.document.lane

    @property
    def remaining(self) -> int:
        return self.total - self.written

    def next(self, count: int) -> Sequence[Chunk]:
        """The next chunks that are not written."""
        if len(self._ahead) < min(count, self.remaining):
            self._ahead = list(self._read()[self.written : self.written + max(count, READ_AHEAD)])
        return self._ahead[:count]

    def wrote(self, points: Sequence[Point]) -> None:
        """The next ones are in the index."""
        self.sample = self.sample or points[0]
        self.written += len(points)
        self.counts["points"] = self.written
        del self._ahead[: len(points)]

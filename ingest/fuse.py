"""Fuse: a stage that fails document after document is not the documents' fault, and takes no more of them.

It counts, of one stage in one process, the different documents in a row that failed by a bug or because something was
unavailable; a refusal is an answer and counts for nothing. At the limit it opens: the stage takes nothing, its process
is not ready, and after a delay one document is let through for a trial. A success closes it, a failure doubles the
delay. What fails meanwhile is not counted against its document.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from enum import Enum, auto

from retrieval.documents import Stage
from retrieval.errors import Unavailable

log = logging.getLogger(__name__)

# Twenty: what a few bad documents do in a row by chance does not stop a stage.
LIMIT = 20
# Five seconds outlast an engine's restart; five minutes are the longest that anybody waits after a repair.
FIRST_DELAY_S = 5.0
LONGEST_DELAY_S = 300.0


class FuseOpen(Unavailable):
    """A stage failed too many documents in a row and is paused."""

    code = "fuse_open"


class Admission(Enum):
    """How many documents may begin."""

    ALL = auto()
    ONE = auto()  # the trial; it belongs to the thread that was admitted
    NONE = auto()


class Fuse:
    """Of one stage. `limit`: different documents in a row."""

    def __init__(
        self,
        stage: Stage,
        *,
        limit: int = LIMIT,
        first_delay_s: float = FIRST_DELAY_S,
        longest_delay_s: float = LONGEST_DELAY_S,
    ) -> None:
        self._stage = stage
        self._limit = limit
        self._first_delay_s = first_delay_s
        self._longest_delay_s = max(first_delay_s, longest_delay_s)
        self._lock = threading.Lock()
        self._failed: set[int] = set()
        self._why = ""
        self._delay_s = first_delay_s
        self._trial_at: float | None = None  # None while it is closed
        self._trying: int | None = None

    @property
    def is_open(self) -> bool:
        return self._trial_at is not None

    @property
    def sentence(self) -> str:
        """Why it is open."""
        return f"The {self._stage} stage is paused: {self._limit} documents in a row failed, lastly with {self._why}."

    @contextmanager
    def admission(self) -> Iterator[Admission]:
        """For a thread that is about to take documents, until what it took has ended. A trial that comes to no verdict
        is left to the next one who asks."""
        admission = self._admitted()
        try:
            yield admission
        finally:
            if admission is Admission.ONE:
                with self._lock:
                    self._trying = None

    def _admitted(self) -> Admission:
        with self._lock:
            if self._trial_at is None:
                return Admission.ALL
            if self._trying is not None or time.monotonic() < self._trial_at:
                return Admission.NONE
            self._trying = threading.get_ident()
            return Admission.ONE

    def succeeded(self) -> None:
        """A document came through."""
        with self._lock:
            if self._trial_at is not None:
                log.warning("the %s stage works again", self._stage)
            self._failed.clear()
            self._trial_at = None
            self._delay_s = self._first_delay_s

    def failed(self, task_id: int, error: Exception) -> bool:
        """Counts it, said by the thread that tried; whether the fuse is open: then the document is not to blame."""
        with self._lock:
            if self._trial_at is None:
                self._failed.add(task_id)  # one document's tries count once
                if len(self._failed) < self._limit:
                    return False
                self._why = type(error).__name__
                self._trial_at = time.monotonic() + self._delay_s
                log.error("%s One is tried in %.0f s.", self.sentence, self._delay_s)
            elif self._trying == threading.get_ident():
                self._why = type(error).__name__
                self._delay_s = min(self._longest_delay_s, 2 * self._delay_s)
                self._trial_at = time.monotonic() + self._delay_s
            return True


@dataclass(frozen=True, slots=True)
class Admitted:
    """What a worker may take now: of these stages, so many."""

    stages: Sequence[Stage]
    limit: int


class Fuses:
    """A process's fuses, one for each stage."""

    def __init__(
        self,
        *,
        limit: int = LIMIT,
        first_delay_s: float = FIRST_DELAY_S,
        longest_delay_s: float = LONGEST_DELAY_S,
    ) -> None:
        self._fuses = {
            stage: Fuse(stage, limit=limit, first_delay_s=first_delay_s, longest_delay_s=longest_delay_s)
            for stage in Stage
        }

    def of(self, stage: Stage) -> Fuse:
        return self._fuses[stage]

    @contextmanager
    def admission(self, stages: Sequence[Stage], *, limit: int) -> Iterator[Admitted]:
        """The same as a fuse's, of several at once; while one of them tries, nothing else is taken beside it."""
        with ExitStack() as held:
            admissions = [held.enter_context(self._fuses[stage].admission()) for stage in stages]
            admitted = [stage for stage, one in zip(stages, admissions, strict=True) if one is not Admission.NONE]
            yield Admitted(admitted, 1 if Admission.ONE in admissions else limit)

    def check(self) -> None:
        """Raises `FuseOpen` with the sentence of each one that is open: such a process is not ready."""
        sentences = [fuse.sentence for fuse in self._fuses.values() if fuse.is_open]
        if sentences:
            raise FuseOpen(" ".join(sentences))

"""A meter in the processes that embed: the processor time that embedding took, told to whoever measures from outside.

Python starts whatever `sitecustomize` is on its path, so a process of ours gets the meter without knowing of it. Two
things are embedding: what the calling thread spends within `embed_passages` (the tokenizer, the packing), and all of
the threads that are not Python's, which in these processes are the engine's. The first is counted here, the second
from outside, for which the numbers of Python's threads are told.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from retrieval.embedding import Embedder, EmbeddingSpec, Provenance, Tokenizer
from services import wiring

ROOT = Path(__file__).resolve().parents[1]
TICKS_PER_S = os.sysconf("SC_CLK_TCK")


def planted(folder: Path) -> dict[str, str]:
    """The environment in which processes have the meter; it reports to `folder`."""
    reports = folder / "reports"
    reports.mkdir()
    (folder / "sitecustomize.py").write_text(
        "import sys\n"
        "from pathlib import Path\n"
        "if sys.orig_argv[1:3] == ['-m', 'services'] and 'embed' in sys.orig_argv[3].split(','):\n"
        "    from benchmarks.embedding_meter import install\n"
        f"    install(Path({str(reports)!r}))\n"
    )
    return {"PYTHONPATH": f"{folder}{os.pathsep}{ROOT}"}


def install(reports: Path) -> None:
    """Every embedder that this process opens is metered."""
    opened = wiring.open_embedder

    def open_metered(*arguments: Any, **named: Any) -> Embedder:
        return MeteredEmbedder(opened(*arguments, **named), reports / str(os.getpid()))

    wiring.open_embedder = open_metered


class MeteredEmbedder:
    """Reports after each call; a report takes some fifty microseconds, which count as embedding."""

    def __init__(self, embedder: Embedder, report: Path) -> None:
        self._embedder = embedder
        self._report = report
        self._spent_s = 0.0

    @property
    def spec(self) -> EmbeddingSpec:
        return self._embedder.spec

    @property
    def provenance(self) -> Provenance:
        return self._embedder.provenance

    @property
    def tokenizer(self) -> Tokenizer:
        return self._embedder.tokenizer

    def embed_passages(self, texts: Sequence[str]) -> NDArray[np.float32]:
        began = time.thread_time()
        try:
            return self._embedder.embed_passages(texts)
        finally:
            threads = [thread.native_id for thread in threading.enumerate()]
            text = json.dumps({"spent_s": self._spent_s + time.thread_time() - began, "threads": threads})
            written = self._report.with_suffix(".new")
            written.write_text(text)
            written.rename(self._report)
            self._spent_s += time.thread_time() - began

    def embed_query(self, text: str) -> NDArray[np.float32]:
        return self._embedder.embed_query(text)

    def close(self) -> None:
        self._embedder.close()


@dataclass(frozen=True, slots=True)
class Spent:
    """Processor seconds up to a moment: of the processes by what they run, and of embedding within them."""

    processes: Mapping[str, float]
    embedding: float

    def since(self, earlier: Spent) -> Spent:
        processes = {name: seconds - earlier.processes.get(name, 0.0) for name, seconds in self.processes.items()}
        return Spent(processes, self.embedding - earlier.embedding)

    @property
    def own(self) -> float:
        """Outside embedding."""
        return sum(self.processes.values()) - self.embedding


def spent(processes: Sequence[int], folder: Path) -> Spent:
    """Of those among `processes` that are ours and no parser."""
    own: dict[str, float] = {}
    embedding = 0.0
    for process in processes:
        words = Path(f"/proc/{process}/cmdline").read_bytes().decode().split("\0")
        if words[1:3] != ["-m", "services"]:
            continue
        own[words[3]] = _processor_s(Path(f"/proc/{process}/stat"))
        report = folder / "reports" / str(process)
        if report.is_file():
            embedding += _embedding_s(process, json.loads(report.read_text()))
    return Spent(own, embedding)


def _embedding_s(process: int, report: Mapping[str, Any]) -> float:
    threads = Path(f"/proc/{process}/task").iterdir()
    engine = [thread / "stat" for thread in threads if int(thread.name) not in report["threads"]]
    spent_s: float = report["spent_s"]
    return spent_s + sum(map(_processor_s, engine))


def _processor_s(stat: Path) -> float:
    """User and system time, fields 14 and 15 of proc(5)."""
    fields = stat.read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_S

"""Measures the candidates: `python -m retrieval.embedder_measurement FOLDER CONVERTED|- THREADS TARGET`.

A process of its own, started by `model_preparation`, because it loads every engine. A few seconds a candidate on two
cores; rounds are interleaved and the best one counts, so that a busy neighbour does not choose the engine.
"""

from __future__ import annotations

import random
import sys
from pathlib import Path
from time import perf_counter

import numpy as np
import torch
from numpy.typing import NDArray

from retrieval.embedder_choice import Engine, Measured, candidates, cpu_flags, open_engine, write_measured
from retrieval.embedding import Embedder
from retrieval.model_folder import find_model_folder

# 24 passages of 40 to 200 words are half a second of work on two cores: enough for batches of the usual size.
PASSAGES = 24
ROUNDS = 3


def sample_passages(vocabulary: Path, *, count: int, seed: int = 0) -> list[str]:
    """Passages of 40 to 200 common words out of the model's own vocabulary, the same ones for the same seed."""
    words = [word for word in vocabulary.read_text(encoding="utf-8").split() if word.isalpha() and len(word) > 2]
    chooser = random.Random(seed)
    return [" ".join(chooser.choices(words, k=chooser.randint(40, 200))) for _ in range(count)]


def measure(embedders: dict[Engine, Embedder], texts: list[str]) -> list[Measured]:
    reference = next(one for engine, one in embedders.items() if engine.precision == "f32").embed_passages(texts)
    vectors: dict[Engine, NDArray[np.float32]] = {}
    seconds = dict.fromkeys(embedders, float("inf"))
    for embedder in embedders.values():
        embedder.embed_passages(texts[:4])
    for _ in range(ROUNDS):
        for engine, embedder in embedders.items():
            start = perf_counter()
            vectors[engine] = embedder.embed_passages(texts)
            seconds[engine] = min(seconds[engine], perf_counter() - start)
    tokens = sum(next(iter(embedders.values())).tokenizer.count(texts))
    cosines = {engine: float(np.mean(np.sum(found * reference, axis=1))) for engine, found in vectors.items()}
    return [Measured(engine, tokens / seconds[engine], cosines[engine]) for engine in embedders]


def main(folder: Path, converted: Path | None, threads: int, target: Path) -> None:
    spec = find_model_folder(str(folder)).spec("")
    found = candidates(flags=cpu_flags(), gpu=torch.cuda.is_available(), converted=converted is not None)
    embedders = {
        engine: open_engine(engine, model_folder=folder, converted=converted, spec=spec, threads=threads)
        for engine in found
    }
    write_measured(target, measure(embedders, sample_passages(folder / "vocab.txt", count=PASSAGES)))


if __name__ == "__main__":
    main(Path(sys.argv[1]), None if sys.argv[2] == "-" else Path(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4]))

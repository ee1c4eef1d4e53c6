"""Measures the candidates: `python -m retrieval.embedder_measurement FOLDER CONVERTED|- THREADS TARGET`.

A process of its own, started by `model_preparation`, because it loads every engine. A few seconds a candidate on two
cores; rounds are interleaved and the best one counts, so that a busy neighbour does not choose the engine.
"""

from __future__ import annotations

import json
import random
import sys
from pathlib import Path
from time import perf_counter
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from retrieval.embedder_choice import Engine, Measured, candidates, cpu_flags, write_measured
from retrieval.embedding import Embedder, EmbeddingSpec
from retrieval.model_folder import find_model_folder
from retrieval.openvino_embedder import OpenVinoEmbedder
from retrieval.torch_embedder import TorchEmbedder
from retrieval.wordpiece_tokenizer import WordPieceTokenizer

# 16 passages are a fifth of a second of work on two idle cores: enough for batches of the usual size.
PASSAGES = 16
ROUNDS = 3


def sample_passages(model_folder: Path, *, count: int, seed: int = 0) -> list[str]:
    """Passages of 60 to 130 words out of the model's own vocabulary, the same ones for the same seed.

    Words are a vocabulary's whole words and, one in three, two of its pieces joined: about 160 word pieces a passage.
    """
    vocabulary = json.loads((model_folder / "tokenizer.json").read_text(encoding="utf-8"))["model"]["vocab"]
    pieces = [piece for entry in vocabulary if len(piece := _piece(entry)) > 2 and piece.isalpha()]
    chooser = random.Random(seed)

    def word() -> str:
        return "".join(chooser.choices(pieces, k=1 if chooser.random() < 2 / 3 else 2))

    return [" ".join(word() for _ in range(chooser.randint(60, 130))) for _ in range(count)]


def _piece(entry: object) -> str:
    """An entry of a vocabulary is a piece, or a piece with its score; marks of word starts and ends are not text."""
    return str(entry[0] if isinstance(entry, list) else entry).strip("#▁Ġ")


def measure(embedders: dict[Engine, Embedder], texts: list[str], *, threads: int) -> list[Measured]:
    """Torch in fp32 is always among the candidates: the others' cosines are to its vectors."""
    reference = next(
        one for engine, one in embedders.items() if engine.name == "torch" and engine.precision == "f32"
    ).embed_passages(texts)
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
    return [
        Measured(engine, tokens / seconds[engine], cosines[engine], threads if engine.name == "openvino" else 1)
        for engine in embedders
    ]


def open_engine(
    engine: Engine, *, model_folder: Path, converted: Path | None, spec: EmbeddingSpec, threads: int
) -> Embedder:
    """Any of the candidates. Processes that serve open the one chosen, by the wiring, and load no other."""
    tokenizer = WordPieceTokenizer(model_folder)
    if engine.name == "openvino" and converted is not None:
        precision: Literal["f32", "bf16"] = "bf16" if engine.precision == "bf16" else "f32"
        return OpenVinoEmbedder(converted, spec, tokenizer, precision=precision, threads=threads)
    return TorchEmbedder(
        model_folder, spec, tokenizer, device=engine.device, precision=engine.precision, threads=threads
    )


def main(folder: Path, converted: Path | None, threads: int, target: Path) -> None:
    spec = find_model_folder(str(folder)).spec("")
    found = candidates(flags=cpu_flags(), gpu=torch.cuda.is_available(), converted=converted is not None)
    embedders = {
        engine: open_engine(engine, model_folder=folder, converted=converted, spec=spec, threads=threads)
        for engine in found
    }
    write_measured(target, measure(embedders, sample_passages(folder, count=PASSAGES), threads=threads))


if __name__ == "__main__":
    main(Path(sys.argv[1]), None if sys.argv[2] == "-" else Path(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4]))

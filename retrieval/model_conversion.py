"""Converts a model for OpenVINO, and computes its canaries: `python -m retrieval.model_conversion FOLDER TARGET`.

A process of its own, started by `model_preparation`, because it loads torch (500 MB) and is needed once. It writes
into TARGET: `model.xml` and `model.bin`, or `unconvertible.txt` with the reason; and `canaries.json`.
"""

from __future__ import annotations

import sys
import traceback
from pathlib import Path
from typing import Any

# The converter reports its use to its vendor; without this package it goes on silently.
sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]

import openvino  # noqa: E402
import torch  # noqa: E402
from sentence_transformers import SentenceTransformer  # noqa: E402

from retrieval.canaries import TEXTS, Canary, write_canaries  # noqa: E402
from retrieval.embedding import EmbeddingSpec  # noqa: E402
from retrieval.model_folder import find_model_folder  # noqa: E402


class _Pooled(torch.nn.Module):  # type: ignore[misc]
    """Every module of the folder as one function of ids and mask: encoder, pooling, dense layers, normalisation."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: Any, attention_mask: Any) -> Any:
        return self.model({"input_ids": input_ids, "attention_mask": attention_mask})["sentence_embedding"]


def convert(model: Any, target: Path) -> None:
    """Weights are kept in 16 bits, half the memory: 1 - cosine to fp32 stays below 1e-6."""
    example = {name: torch.ones(2, 16, dtype=torch.int64) for name in ("input_ids", "attention_mask")}
    converted = openvino.convert_model(_Pooled(model), example_input=example)
    openvino.save_model(converted, str(target / "model.xml"), compress_to_fp16=True)


def canaries(model: Any, spec: EmbeddingSpec) -> list[Canary]:
    prompts = {"query": spec.query_prompt, "passage": spec.passage_prompt}
    vectors = model.encode([prompts[role] + text for role, text in TEXTS], prompt="", normalize_embeddings=True)
    return [Canary(role, text, tuple(map(float, row))) for (role, text), row in zip(TEXTS, vectors, strict=True)]


def main(folder: Path, target: Path) -> None:
    model = SentenceTransformer(str(folder), device="cpu", model_kwargs={"dtype": torch.float32}).eval()
    write_canaries(target / "canaries.json", canaries(model, find_model_folder(str(folder)).spec("")))
    try:
        with torch.no_grad():
            convert(model, target)
    except Exception:
        # Whatever the converter cannot do with this model, torch still can: the choice is then without OpenVINO.
        (target / "unconvertible.txt").write_text(traceback.format_exc(), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))

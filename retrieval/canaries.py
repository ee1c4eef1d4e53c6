"""Known answers: texts whose vectors the reference implementation computed in fp32 when the model was prepared.

A model that computes wrong vectors (a damaged file, faulty memory) raises nothing: checks of norms and finiteness catch
half of such faults, known answers caught all that were tried. They are checked before a process is ready.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np

from retrieval.embedding import Embedder
from retrieval.errors import Unavailable

Role = Literal["query", "passage"]

# bf16 differs from fp32 by 5e-5 at most on these texts; a single harmful bit flip by more than 1e-2.
TOLERANCE = 1e-3

TEXTS: tuple[tuple[Role, str], ...] = (
    ("query", "When does the lease of the warehouse end?"),
    ("query", "net revenue 2023"),
    ("passage", "The tenant may end this lease with six months' notice to the end of a quarter."),
    ("passage", "Ω = 42 °C; naïve café, Zürich, 東京, Привет, مرحبا."),
    ("passage", " ".join(f"Line {n}: {n * n} units were delivered at a price of {n / 7:.2f} euro." for n in range(24))),
)


class CanariesFailed(Unavailable):
    """The embedder computes wrong vectors on this machine: its model files or its hardware are damaged."""

    code = "embedder_wrong"
    retry_after_s: ClassVar[float] = 30.0


@dataclass(frozen=True, slots=True)
class Canary:
    """`vector` is the reference's, of unit norm, of `text` embedded in its role, prompt included."""

    role: Role
    text: str
    vector: tuple[float, ...]


def check_canaries(
    embedder: Embedder, canaries: Sequence[Canary], *, roles: Sequence[Role] = ("query", "passage")
) -> None:
    """Raises `CanariesFailed` when a vector is off by more than `TOLERANCE` (1 - cosine), or not finite.

    A process that only searches asks for `roles=("query",)`, and loads nothing for passages.
    """
    for canary in canaries:
        if canary.role not in roles:
            continue
        embed = embedder.embed_query if canary.role == "query" else lambda text: embedder.embed_passages([text])[0]
        distance = 1 - float(np.dot(embed(canary.text), np.asarray(canary.vector, dtype=np.float32)))
        if not abs(distance) <= TOLERANCE:
            raise CanariesFailed(
                f"The embedder ({embedder.provenance}) is {distance:.2g} away from the known vector of a test text; "
                f"at most {TOLERANCE} is allowed. Remove the model's cache folder to prepare it anew; if that does not "
                "help, check the machine's memory."
            )


def write_canaries(path: Path, canaries: Sequence[Canary]) -> None:
    path.write_text(json.dumps([asdict(canary) for canary in canaries], ensure_ascii=False), encoding="utf-8")


def read_canaries(path: Path) -> tuple[Canary, ...]:
    stored = json.loads(path.read_text(encoding="utf-8"))
    return tuple(Canary(item["role"], item["text"], tuple(item["vector"])) for item in stored)

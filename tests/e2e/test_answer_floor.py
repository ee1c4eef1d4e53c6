"""How often the extractive answers are right, and how often they keep silent, over every question of samples/.

A question is answered right if a document that holds the answer is among those cited. The questions without an answer
are of four classes: off topic, about a thing that the documents do not know, about a detail that they leave out, and
near misses, written to share most of their words with a sentence that does not answer them. Each class has its own
floor, so that no mix hides the hard one: a sentence embedder hardly tells a near miss from an answer in other words.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.running import Json, RunningServer

SAMPLES = Path(__file__).resolve().parents[2] / "samples"
FOLDERS = ("engineering", "finance", "handbook")
# What a reader should be able to rely on, and what each class reaches without a model that reads.
GOAL = 0.8
SILENT_FLOORS = {"off topic": 0.9, "absent thing": 0.9, "absent detail": 0.7, "near miss": 0.33}
HARD = "near miss"


@dataclass(frozen=True, slots=True)
class Tally:
    """Shares of the questions. `silent`: of those without an answer that were not written to be hard."""

    right: float
    silent: float
    silent_by_class: Mapping[str, float]


def sample_files() -> list[Path]:
    return [
        path
        for folder in FOLDERS
        for path in sorted((SAMPLES / folder).iterdir())
        if not path.name.endswith(".metadata.json")
    ]


def sent(server: RunningServer) -> dict[str, str]:
    """The samples in collections of their own: document id to path below samples/."""
    for folder in FOLDERS:
        server.collection(f"samples-{folder}")
    queued = {
        str(server.send_file(f"samples-{path.parent.name}", path.name, path.read_bytes())["id"]): path
        for path in sample_files()
    }
    for key, path in queued.items():
        assert server.finished(key)["state"] == "searchable", path
    return {key: path.relative_to(SAMPLES).as_posix() for key, path in queued.items()}


@pytest.fixture(scope="module")
def tally(server: RunningServer) -> Tally:
    sources = sent(server)
    questions = [json.loads(line) for line in (SAMPLES / "questions.jsonl").read_text(encoding="utf-8").splitlines()]
    outcomes: dict[str, list[bool]] = {}
    for question in questions:
        body = {"question": question["question"], "collections": [f"samples-{folder}" for folder in FOLDERS]}
        reply = server.http.post("/v1/answers", json=body)
        assert reply.status_code == 200, reply.text
        good = is_good(question, reply.json(), sources)
        outcomes.setdefault(question["class"], []).append(good)
        if not good:
            print(f"missed {question['id']}: {question['question']} -> {reply.json()['answer'][:160]!r}")
    right = outcomes.pop("answer")
    silent = [good for name, goods in outcomes.items() if name != HARD for good in goods]
    for name, goods in {"right": right, "silent": silent, **outcomes}.items():
        print(f"{name}: {sum(goods)} of {len(goods)}")
    return Tally(_rate(right), _rate(silent), {name: _rate(goods) for name, goods in outcomes.items()})


def _rate(goods: Sequence[bool]) -> float:
    return sum(goods) / len(goods)


def is_good(question: Mapping[str, object], answer: Json, sources: Mapping[str, str]) -> bool:
    """Cites a document that holds the answer; abstains where none does."""
    if not question["answerable"]:
        return bool(answer["abstained"])
    wanted = question["documents"]
    assert isinstance(wanted, list)
    return not {sources[one["document_id"]] for one in answer["citations"]}.isdisjoint(wanted)


def test_most_questions_with_an_answer_cite_a_document_that_holds_it(tally: Tally) -> None:
    assert tally.right >= GOAL


def test_most_questions_without_an_answer_are_met_with_silence(tally: Tally) -> None:
    assert tally.silent >= GOAL


@pytest.mark.parametrize("name", SILENT_FLOORS)
def test_no_class_of_questions_without_an_answer_is_met_with_silence_less_often(tally: Tally, name: str) -> None:
    assert tally.silent_by_class[name] >= SILENT_FLOORS[name]


@pytest.mark.xfail(reason="needs a model that reads the passage: similarity cannot tell a near miss from an answer")
def test_most_near_misses_are_met_with_silence(tally: Tally) -> None:
    assert tally.silent_by_class[HARD] >= GOAL

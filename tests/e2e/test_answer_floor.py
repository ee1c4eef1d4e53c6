"""How often the extractive answers are right, and how often they keep silent, over every question of samples/.

The questions without an answer are near misses: they name what the documents speak of and ask for a detail that none
gives. A sentence embedder sees no difference between the two kinds (each signal alone separates them little better
than chance), so the goal stands beside the floor that is held today and is reported, not hidden.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.running import Json, RunningServer

SAMPLES = Path(__file__).resolve().parents[2] / "samples"
FOLDERS = ("engineering", "finance", "handbook")
# What a reader should be able to rely on, and what is reached without a model that reads.
GOAL = 0.8
RIGHT_FLOOR = 0.65
SILENT_FLOOR = 0.45


@dataclass(frozen=True, slots=True)
class Tally:
    right: float
    silent: float


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
    outcomes: dict[bool, list[bool]] = {True: [], False: []}
    for question in questions:
        body = {"question": question["question"], "collections": [f"samples-{folder}" for folder in FOLDERS]}
        reply = server.http.post("/v1/answers", json=body)
        assert reply.status_code == 200, reply.text
        good = is_good(question, reply.json(), sources)
        outcomes[question["answerable"]].append(good)
        if not good:
            print(f"missed {question['id']}: {question['question']} -> {reply.json()['answer'][:160]!r}")
    right, silent = (sum(outcomes[kind]) / len(outcomes[kind]) for kind in (True, False))
    print(f"right {right:.1%} of {len(outcomes[True])}, silent {silent:.1%} of {len(outcomes[False])}")
    return Tally(right, silent)


def is_good(question: Mapping[str, object], answer: Json, sources: Mapping[str, str]) -> bool:
    """Cites a document that holds the answer; abstains where none does."""
    if not question["answerable"]:
        return bool(answer["abstained"])
    wanted = question["documents"]
    assert isinstance(wanted, list)
    return not {sources[one["document_id"]] for one in answer["citations"]}.isdisjoint(wanted)


def test_most_questions_with_an_answer_cite_a_document_that_holds_it(tally: Tally) -> None:
    assert tally.right >= RIGHT_FLOOR


def test_questions_without_an_answer_are_met_with_silence_as_often_as_today(tally: Tally) -> None:
    assert tally.silent >= SILENT_FLOOR


@pytest.mark.xfail(reason="needs a model that reads the passage: similarity cannot tell a near miss from an answer")
def test_both_rates_reach_the_goal(tally: Tally) -> None:
    assert min(tally.right, tally.silent) >= GOAL

from __future__ import annotations

from dataclasses import replace

from retrieval.fixed_embedder import WordTokenizer
from summarize.packing import pack, pack_documents, pack_relevant
from tests.summarize.passages import material

COUNT = WordTokenizer()


def words(start: int, count: int) -> str:
    return " ".join(f"w{n}" for n in range(start, start + count))


def test_passages_are_numbered_in_the_order_given_and_fit_the_budget() -> None:
    packed = pack([material(n, words(100 * n, 40)) for n in range(1, 6)], COUNT, budget=100)
    assert [(p.marker, p.chunk_id) for p in packed] == [(1, "chunk-1"), (2, "chunk-2")]


def test_a_shorter_one_takes_the_room_that_a_long_one_left() -> None:
    packed = pack(
        [material(1, words(0, 60)), material(2, words(100, 60)), material(3, words(200, 30))], COUNT, budget=100
    )
    assert [p.chunk_id for p in packed] == ["chunk-1", "chunk-3"]


def test_the_best_is_taken_however_long() -> None:
    assert len(pack([material(1, words(0, 500))], COUNT, budget=10)) == 1


def test_near_duplicates_are_left_out_and_different_facts_are_not() -> None:
    same = [material(1, words(0, 30)), material(2, words(0, 30) + " w0"), material(3, words(0, 20))]
    assert [p.chunk_id for p in pack(same, COUNT, budget=1000)] == ["chunk-1", "chunk-3"]


def test_relevance_is_between_0_and_1_and_keeps_the_order() -> None:
    relevances = [p.relevance for p in pack([material(n, words(50 * n, 5)) for n in range(1, 5)], COUNT, budget=1000)]
    assert relevances == sorted(relevances, reverse=True)
    assert relevances[0] == 1.0
    assert 0 < relevances[-1] <= 0.1 + 1e-9


def test_nothing_packs_to_nothing() -> None:
    assert pack([], COUNT, budget=10) == []
    assert pack_documents({}, COUNT, budget=10).passages == ()


def test_a_long_document_does_not_silence_a_short_one() -> None:
    long = [material(n, words(100 * n, 20), document="long") for n in range(1, 51)]
    short = [material(99, words(9000, 20), document="short")]
    packed = pack_documents({"long": long, "short": short}, COUNT, budget=200)
    assert {p.document_id for p in packed.passages} == {"long", "short"}
    assert packed.documents == 2
    assert packed.chunks == len(packed.passages) == 10


def test_the_chunks_of_a_document_are_spread_over_it_and_come_in_its_order() -> None:
    chunks = [material(n, words(100 * n, 20), document="d") for n in range(16)]
    places = [int(p.chunk_id.removeprefix("chunk-")) for p in pack_documents({"d": chunks}, COUNT, budget=80).passages]
    assert places == [0, 4, 8, 12]


def test_everything_is_taken_when_it_fits() -> None:
    chunks = {
        f"d{d}": [material(10 * d + n, words(1000 * d + 100 * n, 20), document=f"d{d}") for n in range(7)]
        for d in range(3)
    }
    packed = pack_documents(chunks, COUNT, budget=10_000)
    assert (len(packed.passages), packed.chunks, packed.documents) == (21, 21, 3)
    assert [p.marker for p in packed.passages] == list(range(1, 22))


def test_with_a_question_the_budget_goes_to_what_is_relevant() -> None:
    long = [material(n, words(100 * n, 20), document="long") for n in range(1, 51)]
    about = [material(99, f"sluice gate {words(9000, 18)}", document="about")]
    quiet = [replace(one, score=0.0) for one in long]
    packed = pack_relevant({"long": quiet, "about": [replace(about[0], score=0.0)]}, "sluice gate", COUNT, budget=20)
    assert [p.document_id for p in packed.passages] == ["about"]
    found = [replace(one, score=5.0 if place == 30 else 0.0) for place, one in enumerate(long)]
    packed = pack_relevant({"long": found}, "sluice gate", COUNT, budget=20)
    assert [p.chunk_id for p in packed.passages] == ["chunk-31"]
    assert packed.chunks == packed.documents == 1


def test_relevant_passages_come_grouped_and_in_document_order() -> None:
    chunks = [replace(material(n, words(100 * n, 20), document="d"), score=float(n)) for n in range(8)]
    packed = pack_relevant({"d": chunks}, "anything", COUNT, budget=60)
    assert [p.chunk_id for p in packed.passages] == ["chunk-5", "chunk-6", "chunk-7"]
    assert pack_relevant({}, "anything", COUNT, budget=60).passages == ()

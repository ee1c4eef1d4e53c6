from ingest.outline_parser import parse_org, parse_rst
from ingest.parsing import ParsedDocument


def outline(document: ParsedDocument) -> list[tuple[int | None, str, tuple[str, ...] | None]]:
    return [(element.level, element.text, element.heading_path) for element in document.elements]


def test_stars_are_org_headings() -> None:
    document = parse_org(b"Before\n* One\ntext *bold*\n** Two\nmore\n\nstill\n* Three\n")
    assert outline(document) == [
        (None, "Before", ()),
        (1, "One", ()),
        (None, "text *bold*", ("One",)),
        (2, "Two", ("One",)),
        (None, "more", ("One", "Two")),
        (None, "still", ("One", "Two")),
        (1, "Three", ()),
    ]


def test_underlines_are_rst_headings_by_order_of_appearance() -> None:
    document = parse_rst(b"=====\nTitle\n=====\n\nText.\n\nPart\n----\nbody\n\nDeep\n~~~~\n\nx\n\nNext\n----\n\ny\n")
    assert outline(document) == [
        (1, "Title", ()),
        (None, "Text.", ("Title",)),
        (2, "Part", ("Title",)),
        (None, "body", ("Title", "Part")),
        (3, "Deep", ("Title", "Part")),
        (None, "x", ("Title", "Part", "Deep")),
        (2, "Next", ("Title",)),
        (None, "y", ("Title", "Next")),
    ]


def test_what_only_looks_like_a_heading_stays_text() -> None:
    table = "=====  =====\nA      B\n=====  =====\n1      2\n=====  ====="
    assert parse_rst(table.encode()).text() == table
    for text in ("a long line\n---", "----", "one\ntwo\n---", "*not a heading*", "**bold** text"):
        assert [element.level for element in parse_rst(text.encode()).elements] == [None]
        assert [element.level for element in parse_org(text.encode()).elements] == [None]

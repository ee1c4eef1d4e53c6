from ingest.heading_paths import with_heading_paths
from ingest.parsing import Element, ElementKind


def heading(text: str, level: int) -> Element:
    return Element(ElementKind.TITLE, text, level=level)


def paths(*elements: Element) -> list[tuple[str, ...] | None]:
    return [element.heading_path for element in with_heading_paths(elements)]


def test_a_path_holds_the_headings_above_without_the_element_itself() -> None:
    body = Element(ElementKind.PARAGRAPH, "text")
    assert paths(body, heading("A", 1), heading("B", 2), body) == [(), (), ("A",), ("A", "B")]


def test_a_heading_ends_those_of_its_own_and_of_deeper_levels() -> None:
    body = Element(ElementKind.PARAGRAPH, "text")
    found = paths(heading("A", 1), heading("B", 3), heading("C", 2), body, heading("D", 1), body)
    assert found == [(), ("A",), ("A",), ("A", "C"), (), ("D",)]

import codecs

import pytest

from ingest.parsing import ElementKind
from ingest.text_parser import clean, decode, parse_structured, parse_text

WORDS = "Grüße, naïve café — 50 €\nzweite Zeile"


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(WORDS.encode("utf-8"), id="utf-8"),
        pytest.param(codecs.BOM_UTF8 + WORDS.encode("utf-8"), id="utf-8 with mark"),
        pytest.param(WORDS.encode("utf-16"), id="utf-16 with mark"),
        pytest.param(WORDS.encode("utf-16-le"), id="utf-16 little endian"),
        pytest.param(WORDS.encode("utf-16-be"), id="utf-16 big endian"),
        pytest.param(WORDS.encode("utf-32"), id="utf-32 with mark"),
        pytest.param(WORDS.encode("utf-32-le"), id="utf-32 little endian"),
        pytest.param(WORDS.encode("utf-32-be"), id="utf-32 big endian"),
        pytest.param(WORDS.encode("cp1252"), id="windows-1252"),
        pytest.param(WORDS.replace("\n", "\r\n").encode("utf-8"), id="windows line ends"),
        pytest.param(WORDS.replace("\n", "\r").encode("utf-8"), id="old mac line ends"),
    ],
)
def test_every_encoding_gives_the_same_text(data: bytes) -> None:
    assert decode(data) == WORDS


def test_what_is_declared_is_used_where_utf_8_does_not_read() -> None:
    assert decode("Привет, мир".encode("koi8-r"), declared="koi8-r") == "Привет, мир"
    assert decode("日本語".encode("iso-2022-jp"), declared="ISO-2022-JP") == "日本語"


def test_a_wrong_or_unknown_declaration_does_no_harm() -> None:
    assert decode("naïve".encode(), declared="iso-8859-1") == "naïve"
    assert decode("naïve".encode("cp1252"), declared="no-such-encoding") == "naïve"
    assert decode("5 €".encode("cp1252"), declared="iso-8859-1") == "5 €"


def test_control_characters_and_lone_surrogates_never_reach_the_text() -> None:
    assert clean("a\x00b\x1bc\td\ud800e\ufefff") == "abc\td\N{REPLACEMENT CHARACTER}ef"


def test_blank_lines_divide_paragraphs_and_line_breaks_stay() -> None:
    document = parse_text(b"one\ntwo\n \n\n  three\n\n\n")
    assert [element.text for element in document.elements] == ["one\ntwo", "three"]
    assert all(element.kind is ElementKind.PARAGRAPH and element.heading_path is None for element in document.elements)


def test_blank_text_has_no_elements() -> None:
    assert parse_text(b" \n\n\t\n").elements == ()


def test_json_is_written_with_its_characters_unescaped() -> None:
    document = parse_structured(b'{"name": "Gr\\u00fc\\u00dfe", "half": "\\ud800"}')
    assert '"name": "Grüße"' in document.text()
    assert '"half": "\N{REPLACEMENT CHARACTER}"' in document.text()


def test_json_that_is_none_or_too_deep_is_kept_as_it_is() -> None:
    assert parse_structured(b'{"a": 1}\n{"a": 2}').text() == '{"a": 1}\n{"a": 2}'
    deep = "[" * 200_000
    assert parse_structured(deep.encode()).text() == deep

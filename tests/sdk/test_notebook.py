"""What a notebook shows: sources, marked quotes, and no markup but ours."""

from __future__ import annotations

from html.parser import HTMLParser
from typing import Any

from ragstone import Client, notebook
from ragstone.models import Answer, Coverage, DeadLetter, Document, Hit, Locator, SearchReply, Summary, Usage
from ragstone.sending import Sent, Uploads
from tests.sdk.scripted_server import DOCUMENT

HOSTILE = "</blockquote><script>alert(1)</script><img src=x onerror='alert(2)'>&lt;b&gt;\" autofocus"
OURS = {"div", "b", "small", "blockquote", "p", "br", "mark", "sup", "table", "tr", "th", "td", "thead", "tbody"}
OURS |= {"ul", "li"}


class Tags(HTMLParser):
    def __init__(self, html: str) -> None:
        super().__init__()
        self.names: set[str] = set()
        self.attributes: set[str] = set()
        self.text = ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.add(tag)
        self.attributes |= {name for name, _ in attrs}

    def handle_data(self, data: str) -> None:
        self.text += data


def shown(reply: Any) -> Tags:
    return Tags(reply._repr_html_())


def locator(**known: Any) -> Locator:
    return Locator.model_validate(dict.fromkeys(Locator.model_fields) | known)


def hit(text: str) -> Hit:
    return Hit(
        rank=1,
        score=0.5,
        chunk_id="c",
        document_id="d",
        collection=text,
        external_id=None,
        title=text,
        text=text,
        locator=locator(pages=[3], heading_path=[text]),
        metadata={},
    )


def cited(text: str) -> dict[str, Any]:
    citation = {
        "marker": 1,
        "chunk_id": "c",
        "document_id": "d",
        "title": text,
        "locator": locator(sheet=text),
        "quote": text,
    }
    return {
        "citations": [citation],
        "dropped": [],
        "generator": "g",
        "usage": Usage(calls=1, prompt_tokens=None, completion_tokens=None),
    }


def everything(text: str) -> list[Any]:
    document = Document.model_validate(
        DOCUMENT | {"title": text, "reason": text, "metadata": {text: text}, "source": text, "readers": [text]}
    )
    letter = DeadLetter.model_validate(
        dict.fromkeys(DeadLetter.model_fields, text)
        | {"version": 1, "attempts": 1, "evidence": {}, "created_at": "2026-01-01T00:00:00Z", "closed_at": None}
    )
    return [
        hit(text),
        SearchReply(hits=[hit(text)], took_ms=3),
        Answer.model_validate({"answer": f"{text} [1]", "abstained": False} | cited(text)),
        Summary.model_validate(
            {"summary": f"{text} [1]", "coverage": Coverage(documents=1, chunks_used=1, chunks_total=2)} | cited(text)
        ),
        document,
        letter,
        Uploads([document], [Sent(text, None, ValueError(text), 1, 1)]),
    ]


def test_a_hostile_text_is_shown_and_never_obeyed() -> None:
    for reply in everything(HOSTILE):
        tags = shown(reply)
        assert tags.names <= OURS, type(reply)
        assert tags.attributes <= {"style"}, type(reply)
        assert HOSTILE in tags.text, type(reply)


def test_a_list_is_as_careful() -> None:
    tags = Tags(notebook.listing([everything(HOSTILE)[4]], more=True))
    assert tags.names <= OURS
    assert HOSTILE in tags.text
    assert "to_pandas" in tags.text


def test_a_hit_is_shown_with_its_source() -> None:
    assert "notes" in shown(hit("notes")).text
    assert "page 3" in shown(hit("notes")).text
    assert shown(SearchReply(hits=[], took_ms=1)).text == "No hits."


def test_an_answer_marks_its_quotes_and_raises_its_markers() -> None:
    answer = everything("The lamp is lit.")[2]
    assert "<sup>[1]</sup>" in answer._repr_html_()
    assert "<mark>The lamp is lit.</mark>" in answer._repr_html_()
    assert "sheet The lamp is lit." in shown(answer).text
    assert "read 1 of 2 chunks of 1 documents" in shown(everything("x")[3]).text


def test_a_list_of_a_server_shows_its_first_page(client: Client) -> None:
    client.collections.create("sdk-shown")
    assert "sdk-shown" in shown(client.collections.list()).text
    assert shown(client.documents.list(collection="sdk-shown")).text == "None."

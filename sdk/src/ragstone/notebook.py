"""How replies look in a notebook: HTML with sources and highlighted quotes.

Every text that comes from a document or a user is escaped: a title is shown, never obeyed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from html import escape
from typing import TYPE_CHECKING, Any, Final

from pydantic import BaseModel

from ragstone.places import place_of

if TYPE_CHECKING:
    from ragstone.models import Answer, Citation, Document, Hit, SearchReply, Summary
    from ragstone.sending import Uploads

_MARKER = re.compile(r"\[(\d+)\]")
_NESTED = (dict, list, BaseModel)
_LONGEST_CELL = 300  # characters: a row of a table is a line or two


class Shown:
    """What a notebook shows as HTML; what has no form of its own is a table of one row."""

    def _repr_html_(self) -> str:
        form = _FORMS.get(type(self).__name__)
        return listing([self], more=False) if form is None else form(self)


def hit(shown: Hit) -> str:
    return (
        f"<div><b>{shown.rank}. {escape(shown.title)}</b> "
        f"<small>{_source(shown.collection, place_of(shown.locator))} · score {shown.score:.3f}</small>"
        f"{_quote(shown.text)}</div>"
    )


def search_reply(shown: SearchReply) -> str:
    if not shown.hits:
        return "<p>No hits.</p>"
    return "".join(map(hit, shown.hits)) + f"<p><small>{len(shown.hits)} hits in {shown.took_ms:.0f} ms</small></p>"


def answer(shown: Answer) -> str:
    abstained = "<p><small>The documents do not answer this.</small></p>" if shown.abstained else ""
    return _cited(shown.answer, shown.citations) + abstained


def summary(shown: Summary) -> str:
    coverage = shown.coverage
    read = f"read {coverage.chunks_used} of {coverage.chunks_total} chunks of {coverage.documents} documents"
    return _cited(shown.summary, shown.citations) + f"<p><small>{read}</small></p>"


def document(shown: Document) -> str:
    rows = {
        "collection": shown.collection,
        "source": shown.source,
        "state": shown.state,
        "why": shown.reason,
        "live version": shown.live_version,
        "type": shown.media_type,
        "pages": shown.pages,
        "chunks": shown.chunks,
        "readers": "everybody" if shown.readers is None else ", ".join(shown.readers) or "nobody",
        "metadata": ", ".join(f"{name} = {value}" for name, value in shown.metadata.items()) or None,
        "id": shown.id,
    }
    cells = (
        f"<tr><th style='text-align:left'>{name}</th><td style='text-align:left'>{escape(str(value))}</td></tr>"
        for name, value in rows.items()
        if value is not None
    )
    return f"<div><b>{escape(shown.title)}</b><table>{''.join(cells)}</table></div>"


def listing(rows: Sequence[Any], *, more: bool) -> str:
    """A table of the fields that are no objects or lists."""
    if not rows:
        return "<p>None.</p>"
    shown = [{name: value for name, value in row if not isinstance(value, _NESTED)} for row in rows]
    names = list(shown[0])
    head = "".join(f"<th>{escape(name)}</th>" for name in names)
    body = "".join(f"<tr>{_cells(row.get(name) for name in names)}</tr>" for row in shown)
    tail = "<p><small>… and more: iterate over it, or use to_pandas().</small></p>" if more else ""
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{tail}"


def citation(shown: Citation) -> str:
    return (
        f"<div><b>[{shown.marker}] {escape(shown.title)}</b> <small>{escape(place_of(shown.locator))}</small>"
        f"{_quote(shown.quote, marked=True)}</div>"
    )


def _cited(text: str, citations: Sequence[Citation]) -> str:
    """The text with its markers raised, and below it what they stand for."""
    lines = _MARKER.sub(r"<sup>[\1]</sup>", escape(text)).replace("\n", "<br>")
    return f"<p>{lines}</p>" + "".join(map(citation, citations))


def _quote(text: str, *, marked: bool = False) -> str:
    inner = escape(text).replace("\n", "<br>")
    if marked:
        inner = f"<mark>{inner}</mark>"
    return f"<blockquote>{inner}</blockquote>"


def _source(collection: str, place: str) -> str:
    return " · ".join(escape(part) for part in (collection, place) if part)


def _cells(values: Iterable[Any]) -> str:
    return "".join(f"<td>{escape(_short(value))}</td>" for value in values)


def _short(value: object) -> str:
    text = "" if value is None else str(value)
    return text if len(text) <= _LONGEST_CELL else text[: _LONGEST_CELL - 1] + "…"


def uploads(shown: Uploads) -> str:
    failed = "".join(f"<li>{escape(sent.name)}: {escape(str(sent.error))}</li>" for sent in shown.failed)
    refused = f"<p>{len(shown.failed)} failed:</p><ul>{failed}</ul>" if failed else ""
    return f"<p>{len(shown.documents)} accepted.</p>{refused}"


# By name, for these modules would import each other.
_FORMS: Final[dict[str, Callable[[Any], str]]] = {
    "Hit": hit,
    "SearchReply": search_reply,
    "Answer": answer,
    "Summary": summary,
    "Document": document,
    "Citation": citation,
}

"""Blocks and tables set as Word, PowerPoint and Excel files whose bytes do not depend on the hour they are made."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime

import docx
import pptx
import xlsxwriter  # type: ignore[import-untyped]
from docx.document import Document
from pptx.slide import Slide
from pptx.util import Inches, Pt

from tools.sample_markup import Block, Heading, Items, Note, PageBreak, Paragraph, Table

MADE = datetime(2026, 1, 15, 9, 0)  # what every file calls the time it was made, so that two runs agree
ZIP_EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest date a zip entry can carry
COVER, BULLETS, TITLE_ONLY = 0, 1, 5  # layouts of python-pptx's own template

Cell = str | int | float | date | None


def word(blocks: Iterable[Block], *, title: str) -> bytes:
    """A Word document with Word's own heading, list and table styles."""
    document = docx.Document()
    document.core_properties.title = title
    document.core_properties.author = "Harrow & Finch Instruments"
    document.core_properties.created = document.core_properties.modified = MADE
    for block in blocks:
        _write(block, document)
    into = io.BytesIO()
    document.save(into)
    return _settled(into.getvalue())


def _write(block: Block, document: Document) -> None:
    match block:
        case Heading(level, text):
            document.add_heading(text, level)
        case Paragraph(text):
            document.add_paragraph(text)
        case Items(texts, numbered):
            for text in texts:
                document.add_paragraph(text, style="List Number" if numbered else "List Bullet")
        case Note(text):
            document.add_paragraph(text, style="Intense Quote")
        case Table(rows):
            grid = document.add_table(len(rows), len(rows[0]), style="Light Grid Accent 1")
            for row, texts in zip(grid.rows, rows, strict=True):
                for cell, text in zip(row.cells, texts, strict=True):
                    cell.text = text
            document.add_paragraph()
        case PageBreak():
            document.add_page_break()


def slides(blocks: Iterable[Block], *, title: str) -> bytes:
    """A slide for each level-1 heading, with its bullets or its table below and its notes in the speaker's pane."""
    deck = pptx.Presentation()
    deck.core_properties.title = title
    deck.core_properties.author = "Harrow & Finch Instruments"
    deck.core_properties.created = deck.core_properties.modified = MADE
    for title_line, parts in _by_slide(blocks):
        layout = COVER if not deck.slides else BULLETS if any(isinstance(p, Items) for p in parts) else TITLE_ONLY
        slide = deck.slides.add_slide(deck.slide_layouts[layout])
        slide.shapes.title.text = title_line
        for part in parts:
            _fill(slide, part)
    into = io.BytesIO()
    deck.save(into)
    return _settled(into.getvalue())


def _by_slide(blocks: Iterable[Block]) -> list[tuple[str, list[Block]]]:
    grouped: list[tuple[str, list[Block]]] = []
    for block in blocks:
        if isinstance(block, Heading):
            grouped.append((block.text, []))
        else:
            grouped[-1][1].append(block)
    return grouped


def _fill(slide: Slide, block: Block) -> None:
    match block:
        case Paragraph(text):
            slide.placeholders[1].text = text
        case Items(texts):
            _bullets(slide, texts)
        case Table(rows):
            _table(slide, rows)
        case Note(text):
            slide.notes_slide.notes_text_frame.text = text
        case _:
            raise ValueError(f"a slide has no place for {block}")


def _bullets(slide: Slide, texts: Iterable[str]) -> None:
    frame = slide.placeholders[1].text_frame
    for at, text in enumerate(texts):
        line = frame.paragraphs[0] if at == 0 else frame.add_paragraph()
        line.text = text
        line.font.size = Pt(22)
        line.space_after = Pt(8)


def _table(slide: Slide, rows: Sequence[Sequence[str]]) -> None:
    shape = slide.shapes.add_table(
        len(rows), len(rows[0]), Inches(0.5), Inches(1.6), Inches(9), Inches(0.45) * len(rows)
    )
    for at, texts in enumerate(rows):
        for column, text in enumerate(texts):
            cell = shape.table.cell(at, column)
            cell.text = text
            cell.text_frame.paragraphs[0].font.size = Pt(14)


def workbook(sheets: Mapping[str, Sequence[Sequence[Cell]]], *, title: str) -> bytes:
    """One sheet for each entry; its first row is the header."""
    into = io.BytesIO()
    book = xlsxwriter.Workbook(into, {"in_memory": True})
    book.set_properties({"title": title, "author": "Harrow & Finch Instruments", "created": MADE})
    bold, day = book.add_format({"bold": True, "bg_color": "#e9f1f5"}), book.add_format({"num_format": "yyyy-mm-dd"})
    for name, rows in sheets.items():
        sheet = book.add_worksheet(name)
        sheet.freeze_panes(1, 0)
        sheet.set_column(0, len(rows[0]) - 1, 18)
        for at, row in enumerate(rows):
            for column, cell in enumerate(row):
                if isinstance(cell, date):
                    sheet.write_datetime(at, column, datetime(cell.year, cell.month, cell.day), day)
                else:
                    sheet.write(at, column, cell, bold if at == 0 else None)
    book.close()
    return into.getvalue()


def _settled(package: bytes) -> bytes:
    """The same zip with every entry dated alike."""
    into = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(package)) as old, zipfile.ZipFile(into, "w", zipfile.ZIP_DEFLATED) as new:
        for entry in old.infolist():
            new.writestr(zipfile.ZipInfo(entry.filename, ZIP_EPOCH), old.read(entry), zipfile.ZIP_DEFLATED)
    return into.getvalue()

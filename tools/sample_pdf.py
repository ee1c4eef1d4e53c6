"""Blocks set as a PDF, byte for byte the same each time (ReportLab's `invariant`)."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Sequence
from enum import StrEnum
from xml.sax.saxutils import escape

from reportlab.lib import colors
from reportlab.lib.enums import TA_JUSTIFY
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import mm
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import (
    BaseDocTemplate,
    Flowable,
    Frame,
    FrameBreak,
    ListFlowable,
    ListItem,
    NextPageTemplate,
    PageTemplate,
    Spacer,
    TableStyle,
)
from reportlab.platypus import PageBreak as NewPage
from reportlab.platypus import Paragraph as Text
from reportlab.platypus import Table as Grid

from tools.sample_markup import Block, Heading, Items, Note, PageBreak, Paragraph, Table

WIDTH, HEIGHT = A4
MARGIN = 24 * mm
GUTTER = 7 * mm
SEA = colors.HexColor("#12405c")
FOAM = colors.HexColor("#e9f1f5")
RULE = colors.HexColor("#9db4c0")
WIDEST_CELL = 46  # characters: a longer cell counts as this long, so one sentence does not starve the other columns


class Layout(StrEnum):
    REPORT = "report"
    TWO_COLUMNS = "two columns"


def pdf(blocks: Sequence[Block], *, title: str, header: str, footer: str, layout: Layout = Layout.REPORT) -> bytes:
    """The blocks as an A4 document with `header` and `footer` on every page, the footer followed by the page number."""
    into = io.BytesIO()
    document = BaseDocTemplate(into, pagesize=A4, title=title, author="Harrow & Finch Instruments", invariant=1)
    columns = layout is Layout.TWO_COLUMNS
    document.addPageTemplates(_column_pages(header, footer) if columns else _report_pages(header, footer))
    width = (WIDTH - 2 * MARGIN - GUTTER) / 2 if columns else WIDTH - 2 * MARGIN
    story = _column_story(blocks, width) if columns else _report_story(blocks, width)
    document.build(story)
    return into.getvalue()


def _report_pages(header: str, footer: str) -> list[PageTemplate]:
    upright = Frame(MARGIN, MARGIN, WIDTH - 2 * MARGIN, HEIGHT - 2 * MARGIN, 0, 0, 0, 0)
    turned = Frame(MARGIN, MARGIN, HEIGHT - 2 * MARGIN, WIDTH - 2 * MARGIN, 0, 0, 0, 0)
    sideways = PageTemplate(
        "turned", [turned], onPage=_furniture(header, footer, turned=True), pagesize=(HEIGHT, WIDTH)
    )
    sideways.rotation = 90  # ReportLab writes it as /Rotate and swaps the sides of the page's box back to portrait
    return [
        PageTemplate("upright", [upright], onPage=_furniture(header, footer, turned=False), pagesize=A4),
        sideways,
    ]


def _column_pages(header: str, footer: str) -> list[PageTemplate]:
    head = 70 * mm
    column = (WIDTH - 2 * MARGIN - GUTTER) / 2
    right = MARGIN + column + GUTTER
    full, short = HEIGHT - 2 * MARGIN, HEIGHT - 2 * MARGIN - head
    top = Frame(MARGIN, MARGIN + short, WIDTH - 2 * MARGIN, head, 0, 0, 0, 0)
    first = [top, *(Frame(x, MARGIN, column, short, 0, 0, 0, 0) for x in (MARGIN, right))]
    later = [Frame(x, MARGIN, column, full, 0, 0, 0, 0) for x in (MARGIN, right)]
    draw = _furniture(header, footer, turned=False)
    return [PageTemplate("first", first, onPage=draw), PageTemplate("later", later, onPage=draw)]


def _furniture(header: str, footer: str, *, turned: bool) -> Callable[[Canvas, BaseDocTemplate], None]:
    """Draws header and footer; a turned page is a portrait page with /Rotate 90 whose content stands sideways."""

    def draw(canvas: Canvas, document: BaseDocTemplate) -> None:
        width, height = (HEIGHT, WIDTH) if turned else (WIDTH, HEIGHT)
        if turned:
            canvas.translate(WIDTH, 0)
            canvas.rotate(90)
        canvas.setFont("Helvetica", 8)
        canvas.setFillColor(SEA)
        canvas.drawString(MARGIN, height - 13 * mm, header)
        canvas.drawString(MARGIN, 12 * mm, footer)
        canvas.drawRightString(width - MARGIN, 12 * mm, f"Page {document.page}")
        canvas.setStrokeColor(RULE)
        canvas.setLineWidth(0.5)
        canvas.line(MARGIN, height - 15 * mm, width - MARGIN, height - 15 * mm)

    return draw


def _report_story(blocks: Iterable[Block], width: float) -> list[Flowable]:
    story: list[Flowable] = []
    wide = False
    for block in blocks:
        if isinstance(block, PageBreak):
            wide = block.turned
            story += [NextPageTemplate("turned" if wide else "upright"), NewPage()]
        else:
            story += _flowables(block, HEIGHT - 2 * MARGIN if wide else width, _style(size=11))
    return story


def _column_story(blocks: Sequence[Block], width: float) -> list[Flowable]:
    """Title, authors and abstract (all before the first level-2 heading) go across the page, the rest in columns."""
    start = next(i for i, block in enumerate(blocks) if isinstance(block, Heading) and block.level == 2)
    head = [part for block in blocks[:start] for part in _flowables(block, WIDTH - 2 * MARGIN, _style(size=10.5))]
    body = [part for block in blocks[start:] for part in _flowables(block, width, _style(size=10, justified=True))]
    return [*head, NextPageTemplate("later"), FrameBreak(), *body]


def _style(*, size: float, justified: bool = False) -> ParagraphStyle:
    style = ParagraphStyle("body", fontName="Times-Roman", fontSize=size, leading=size * 1.4, spaceAfter=size * 0.6)
    if justified:
        style.alignment = TA_JUSTIFY
    return style


def _flowables(block: Block, width: float, body: ParagraphStyle) -> list[Flowable]:
    match block:
        case Heading(level, text):
            return [Text(escape(text), _heading_style(level, body))]
        case Paragraph(text):
            return [Text(escape(text), body)]
        case Items(texts, numbered):
            return [_list(texts, body, numbered=numbered), Spacer(1, body.spaceAfter)]
        case Table(rows):
            return [_grid(rows, width, body), Spacer(1, 3.5 * mm)]
        case Note(text):
            return [_callout(text, width, body), Spacer(1, 3 * mm)]
        case PageBreak():
            return [NewPage()]


def _heading_style(level: int, body: ParagraphStyle) -> ParagraphStyle:
    size = {1: 24.0, 2: 15.0, 3: 12.0}.get(level, 11.0) * (0.88 if body.fontSize < 10.8 else 1)
    return ParagraphStyle(
        f"h{level}",
        fontName="Helvetica-Bold",
        fontSize=size,
        leading=size * 1.25,
        textColor=SEA,
        spaceBefore=size * 0.7,
        spaceAfter=size * 0.4,
        keepWithNext=1,
    )


def _list(texts: Iterable[str], body: ParagraphStyle, *, numbered: bool) -> ListFlowable:
    tight = ParagraphStyle("item", parent=body, spaceAfter=body.fontSize * 0.25)
    return ListFlowable(
        [ListItem(Text(escape(text), tight)) for text in texts],
        bulletType="1" if numbered else "bullet",
        bulletFormat="%s." if numbered else None,
        start=1 if numbered else "•",
        bulletFontName="Times-Roman",
        bulletFontSize=body.fontSize,
        leftIndent=6 * mm,
    )


def _grid(rows: Sequence[Sequence[str]], width: float, body: ParagraphStyle) -> Grid:
    cell = ParagraphStyle("cell", fontName="Helvetica", fontSize=body.fontSize - 1.5, leading=body.fontSize * 1.15)
    head = ParagraphStyle("head", parent=cell, fontName="Helvetica-Bold", textColor=colors.white)
    texts = [[Text(escape(text), cell if at else head) for text in row] for at, row in enumerate(rows)]
    style = TableStyle(
        [
            ("BACKGROUND", (0, 0), (-1, 0), SEA),
            ("ROWBACKGROUNDS", (0, 1), (-1, -1), [colors.white, FOAM]),
            ("LINEBELOW", (0, 0), (-1, -1), 0.4, RULE),
            ("VALIGN", (0, 0), (-1, -1), "TOP"),
            ("TOPPADDING", (0, 0), (-1, -1), 3.5),
            ("BOTTOMPADDING", (0, 0), (-1, -1), 4),
            ("LEFTPADDING", (0, 0), (-1, -1), 4),
            ("RIGHTPADDING", (0, 0), (-1, -1), 4),
        ]
    )
    return Grid(texts, colWidths=_column_widths(rows, width), style=style, repeatRows=1)


def _column_widths(rows: Sequence[Sequence[str]], width: float) -> list[float]:
    """Shares of `width` by the longest cell of each column, at least what its longest word needs."""
    weights = [
        max(
            2 + min(WIDEST_CELL, max(map(len, column))),
            2 + 1.5 * max(len(word) for text in column for word in text.split() or [""]),
        )
        for column in zip(*rows, strict=True)
    ]
    return [width * weight / sum(weights) for weight in weights]


def _callout(text: str, width: float, body: ParagraphStyle) -> Grid:
    inner = ParagraphStyle("callout", parent=body, fontName="Times-Italic", spaceAfter=0)
    style = TableStyle(
        [
            ("BACKGROUND", (0, 0), (-1, -1), FOAM),
            ("LINEBEFORE", (0, 0), (0, -1), 2.5, SEA),
            ("TOPPADDING", (0, 0), (-1, -1), 5),
            ("BOTTOMPADDING", (0, 0), (-1, -1), 6),
            ("LEFTPADDING", (0, 0), (-1, -1), 8),
        ]
    )
    return Grid([[Text(escape(text), inner)]], colWidths=[width], style=style)

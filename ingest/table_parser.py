"""Tables: workbooks by calamine, CSV and TSV by the csv module. A row is a line, its cells joined by " | "."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Sequence
from datetime import date, datetime, time, timedelta
from functools import partial
from pathlib import Path
from typing import TypeVar

import python_calamine

from ingest.parsing import Defect, Element, ElementKind, ParsedDocument
from ingest.text_parser import clean, decode
from retrieval.errors import Unparseable

_T = TypeVar("_T")

CELL_SEPARATOR = " | "
_DELIMITERS = ",;\t|"
_SNIFFED_ROWS = 50  # enough rows to tell a delimiter by how evenly it divides them
_FIELD_LIMIT = 1 << 24  # characters in one cell; the module's own 128 KiB refuses honest exports


def parse_delimited(data: bytes, *, tab: bool = False) -> ParsedDocument:
    """CSV or, with `tab`, TSV, in whatever encoding and with whatever delimiter it was written. Rows are records."""
    text = decode(data)
    csv.field_size_limit(_FIELD_LIMIT)
    try:
        reader = csv.reader(io.StringIO(text, newline=""), delimiter="\t" if tab else delimiter(text))
        table = table_element(enumerate(reader, start=1))
    except csv.Error as error:
        raise Unparseable("parse_limit", f"A cell is longer than {_FIELD_LIMIT} characters ({error}).") from error
    return ParsedDocument(elements=(table,) if table else ())


def delimiter(text: str) -> str:
    """The delimiter that divides the first rows into the most fields while giving most of them the same number."""
    best, best_score = ",", 0.0
    for candidate in _DELIMITERS:
        reader = csv.reader(io.StringIO(text[: 1 << 16], newline=""), delimiter=candidate)
        widths = [len(row) for _, row in zip(range(_SNIFFED_ROWS), reader, strict=False) if row]
        common = max(set(widths), key=widths.count, default=1)
        score = widths.count(common) / len(widths) * min(common, 3) if common > 1 else 0.0
        if score > best_score:
            best, best_score = candidate, score
    return best


def parse_workbook(source: Path | bytes) -> ParsedDocument:
    """Every sheet that has cells, hidden ones too. Rows count from 1 as the program shows them."""
    opened = io.BytesIO(source) if isinstance(source, bytes) else source
    elements: list[Element] = []
    defects: list[Defect] = []
    with _calamine(lambda: python_calamine.CalamineWorkbook.from_object(opened)) as workbook:
        for name in workbook.sheet_names:
            try:
                table = _calamine(partial(_sheet, workbook, name))
            except Unparseable as error:
                defects.append(Defect("parts_failed", f"sheet {name}", str(error)))
                continue
            if table:
                elements.append(table)
    if defects and not elements:
        raise Unparseable("damaged", f"No sheet of the workbook can be read: {defects[0].why}")
    return ParsedDocument(elements=tuple(elements), defects=tuple(defects))


def _sheet(workbook: python_calamine.CalamineWorkbook, name: str) -> Element | None:
    sheet = workbook.get_sheet_by_name(name)
    first = sheet.start[0] + 1 if sheet.start else 1
    return table_element(enumerate(sheet.to_python(), start=first), sheet=name)


def _calamine(read: Callable[[], _T]) -> _T:
    """What `read` returns; calamine's errors and panics, which are no `Exception`, as `Unparseable`."""
    try:
        return read()
    except BaseException as error:
        panicked = type(error).__name__ == "PanicException"
        if not panicked and not isinstance(error, (python_calamine.CalamineError, OSError)):
            raise
        if isinstance(error, python_calamine.PasswordError) or "password" in str(error).lower():
            raise Unparseable("encrypted", "The workbook is protected by a password.") from error
        raise Unparseable("damaged", f"The workbook cannot be read: {error}.") from error


def table_element(rows: Iterable[tuple[int, Sequence[object]]], *, sheet: str | None = None) -> Element | None:
    """A table of numbered rows; empty rows and empty columns are left out. None if nothing is left."""
    kept = [(number, written) for number, row in rows if any(written := [_cell(cell) for cell in row])]
    if not kept:
        return None
    width = max(len(row) for _, row in kept)
    used = [at for at in range(width) if any(at < len(row) and row[at] for _, row in kept)]
    lines = [CELL_SEPARATOR.join(row[at] if at < len(row) else "" for at in used).rstrip(" |") for _, row in kept]
    return Element(ElementKind.TABLE, "\n".join(lines), sheet=sheet, row_numbers=tuple(number for number, _ in kept))


def _cell(value: object) -> str:
    """A cell as one line. Whole numbers lose their ".0": workbooks store every number as a float."""
    match value:
        case None:
            return ""
        case bool():
            return "TRUE" if value else "FALSE"
        case float() if value.is_integer() and abs(value) < 1e15:
            return str(int(value))
        case datetime() if value.time() == time():
            return value.date().isoformat()
        case datetime():
            return value.isoformat(sep=" ")
        case date() | time():
            return value.isoformat()
        case timedelta():
            return str(value)
        case _:
            return " ".join(clean(str(value)).split())

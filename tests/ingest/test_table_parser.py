import io
import zipfile
from pathlib import Path

import pytest

from ingest.parsing import ElementKind
from ingest.table_parser import delimiter, parse_delimited, parse_workbook
from retrieval.errors import Unparseable


def workbook(sheets: dict[str, dict[int, list[str | float]]]) -> bytes:
    """A workbook of inline cells: sheet name → row number → cells."""
    names = list(sheets)
    listed = "".join(f'<sheet name="{name}" sheetId="{i}" r:id="r{i}"/>' for i, name in enumerate(names, 1))
    office = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
    package = "http://schemas.openxmlformats.org/package/2006"
    main = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
    related = "".join(
        f'<Relationship Id="r{i}" Type="{office}/worksheet" Target="worksheets/sheet{i}.xml"/>'
        for i in range(1, len(names) + 1)
    )
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr(
            "[Content_Types].xml",
            f'<Types xmlns="{package}/content-types"><Default Extension="xml" ContentType="application/xml"/></Types>',
        )
        archive.writestr(
            "_rels/.rels",
            f'<Relationships xmlns="{package}/relationships">'
            f'<Relationship Id="r1" Type="{office}/officeDocument" Target="xl/workbook.xml"/></Relationships>',
        )
        archive.writestr(
            "xl/workbook.xml", f'<workbook xmlns="{main}" xmlns:r="{office}"><sheets>{listed}</sheets></workbook>'
        )
        archive.writestr(
            "xl/_rels/workbook.xml.rels", f'<Relationships xmlns="{package}/relationships">{related}</Relationships>'
        )
        for i, name in enumerate(names, 1):
            rows = "".join(
                f'<row r="{number}">'
                + "".join(
                    f"<c><v>{cell}</v></c>"
                    if isinstance(cell, float)
                    else f'<c t="inlineStr"><is><t>{cell}</t></is></c>'
                    for cell in cells
                )
                + "</row>"
                for number, cells in sheets[name].items()
            )
            archive.writestr(
                f"xl/worksheets/sheet{i}.xml", f'<worksheet xmlns="{main}"><sheetData>{rows}</sheetData></worksheet>'
            )
    return stream.getvalue()


def test_each_sheet_is_a_table_whose_rows_carry_the_numbers_the_program_shows() -> None:
    document = parse_workbook(
        workbook({"People": {3: ["Name", "Age"], 7: ["Ann", 41.0]}, "Empty": {}, "More": {1: ["x"]}})
    )
    people, more = document.elements
    assert people.kind is ElementKind.TABLE
    assert (people.sheet, people.text, people.row_numbers) == ("People", "Name | Age\nAnn | 41", (3, 7))
    assert (more.sheet, more.text, more.row_numbers) == ("More", "x", (1,))


def test_a_workbook_is_read_from_a_path_as_from_bytes(tmp_path: Path) -> None:
    path = tmp_path / "book.xlsx"
    path.write_bytes(workbook({"S": {1: ["a", "b"]}}))
    assert parse_workbook(path).text() == "a | b"


def test_a_broken_workbook_is_damaged() -> None:
    with pytest.raises(Unparseable) as caught:
        parse_workbook(workbook({"S": {1: ["a"]}})[:300])
    assert caught.value.reason_code == "damaged"


@pytest.mark.parametrize("mark", [",", ";", "\t", "|"])
def test_the_delimiter_is_found_though_others_stand_in_the_cells(mark: str) -> None:
    text = "\n".join(mark.join(("a, b" if mark != "," else "a; b", f"{i}", "x")) for i in range(5))
    assert delimiter(text) == mark


def test_one_column_is_a_table_too() -> None:
    assert parse_delimited(b"name\nAnn\nBob\n").text() == "name\nAnn\nBob"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "cp1252"])
def test_csv_reads_in_any_encoding(encoding: str) -> None:
    assert parse_delimited("Straße;Nr\nMühlweg;4\n".encode(encoding)).text() == "Straße | Nr\nMühlweg | 4"


def test_a_cell_of_several_lines_is_one_line_and_rows_are_records() -> None:
    (table,) = parse_delimited(b'a,b\n"1\n2",3\n\nx,y\n').elements
    assert table.text == "a | b\n1 2 | 3\nx | y"
    assert table.row_numbers == (1, 2, 4)
    assert table.sheet is None


def test_tabs_divide_tsv_whatever_else_stands_in_it() -> None:
    assert parse_delimited(b"a,b\tc\nd,e\tf\n", tab=True).text() == "a,b | c\nd,e | f"


def test_an_unfinished_quote_loses_nothing() -> None:
    assert "never closed" in parse_delimited(b'a,b\n"never closed,c\nd,e\n').text()


def test_only_empty_cells_are_no_table() -> None:
    assert parse_delimited(b",,\n , \n").elements == ()

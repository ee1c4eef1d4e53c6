"""What a drawing child may be made to do by the file that it draws. The file says what."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from ingest.parsing import ParsedDocument
from ingest.pictures import Picture, encode, most_bytes
from retrieval.errors import Unparseable


def read_whole(_path: Path, _media_type: str, _name: str) -> ParsedDocument:
    raise Unparseable("damaged", "It has no pages.")


def open_pages(path: Path, _media_type: str) -> Drawing:
    return Drawing(path.read_text())


class Drawing:
    pages = 1

    def __init__(self, does: str) -> None:
        self._does = does

    def about(self) -> bytes:
        return b""

    def page(self, _number: int) -> bytes:
        match self._does:
            case "lies":
                return encode(Picture(100, 100, (50.0, 50.0), b"\xff"))
            case "talks":
                return b"<script>alert('no picture')</script>"
            case "dies":
                os.kill(os.getpid(), signal.SIGSEGV)
            case "hangs":
                time.sleep(600)
            case "is too large":
                return bytes(most_bytes() + 1)
        return encode(Picture(1, 1, (1.0, 1.0), b"\x00\x00\x00"))

    def close(self) -> None:
        pass

"""What parser children run in these tests: the real text parser, but some names are slow and some kill."""

from __future__ import annotations

import ctypes
import time
from pathlib import Path

from ingest.parsing import ParsedDocument
from ingest.text_parser import parse_text

SLOW_S = 4.0


def parse_file(path: Path, _media_type: str, name: str) -> ParsedDocument:
    if name.startswith("slow"):
        time.sleep(SLOW_S)
    if name.startswith("killer"):
        ctypes.string_at(0)
    return parse_text(path.read_bytes())

"""What parser children run in these tests: the real parsers, but some names are slow and some kill."""

from __future__ import annotations

import ctypes
import time
from pathlib import Path

from ingest.format_parsers import parse_file as parse_for_real
from ingest.parsing import ParsedDocument

SLOW_S = 6.0


def parse_file(path: Path, media_type: str, name: str) -> ParsedDocument:
    if name.startswith("slow"):
        time.sleep(SLOW_S)
    if name.startswith("killer"):
        ctypes.string_at(0)
    return parse_for_real(path, media_type, name)

"""Document titles: what a file calls itself, unless that is a program's filler; else its first heading."""

from __future__ import annotations

import re
from collections.abc import Sequence

from ingest.parsing import Element
from ingest.text_parser import clean

_FILLER = re.compile(
    r"untitled|microsoft word|powerpoint|presentation\d*$|document\d*$|slide \d"
    r"|.*\.(docx?|pptx?|pdf|indd|qxd|tex|dvi)$",
    re.IGNORECASE,
)
_CONTENTS = re.compile(r"(?:table of )?contents", re.IGNORECASE)
_NEAR_START = 5  # elements: a heading further down is of a part, not of the whole


def title_of(declared: str | None, elements: Sequence[Element]) -> str | None:
    """One line, or None when neither the file nor its first headings give one."""
    words = " ".join(clean(declared or "").split())
    if words and not _FILLER.match(words):
        return words
    for element in elements[:_NEAR_START]:
        if element.level == 1 and not _CONTENTS.fullmatch(element.text):
            return " ".join(element.text.split())
    return None

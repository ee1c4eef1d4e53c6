"""Texts of one page, 300 words in paragraphs, of real sentences in an order of each one's own."""

from __future__ import annotations

import json
import random
import re
from pathlib import Path

WORDS = 300
_PARAGRAPH = 5  # sentences
_WRITTEN = Path(__file__).parent / "written" / "documents.jsonl"


def one_page_texts(count: int, *, seed: int) -> list[str]:
    chance, sentences = random.Random(seed), _sentences()
    return [_page(chance, sentences) for _ in range(count)]


def _page(chance: random.Random, sentences: list[str]) -> str:
    chosen: list[str] = []
    while sum(len(sentence.split()) for sentence in chosen) < WORDS:
        chosen.append(chance.choice(sentences))
    paragraphs = [chosen[start : start + _PARAGRAPH] for start in range(0, len(chosen), _PARAGRAPH)]
    return "\n\n".join(" ".join(paragraph) for paragraph in paragraphs)


def _sentences() -> list[str]:
    documents = [json.loads(line) for line in _WRITTEN.read_text(encoding="utf-8").splitlines()]
    texts = (text for document in documents for text in document["chunks"])
    found = (part.strip() for text in texts for part in re.split(r"(?<=\.)\s+", text))
    return [sentence for sentence in found if sentence.endswith(".") and len(sentence.split()) > 4]

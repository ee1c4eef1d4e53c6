"""The only door to langdetect: which language a text is in."""

from __future__ import annotations

from langdetect import DetectorFactory, LangDetectException, detect, detector_factory

DetectorFactory.seed = 0  # the same text always gets the same answer
detector_factory.init_factory()  # reads its profiles now, once for all that is forked from here

_SAMPLE = 5_000  # characters; more changes no answer and costs time
_LEAST_LETTERS = 20  # fewer letters give guesses, not answers


def language_of(text: str) -> str | None:
    """The language as ISO 639-1 ("en", "zh" whatever its script), None when the text is too short to tell."""
    sample = text[:_SAMPLE]
    if sum(character.isalpha() for character in sample) < _LEAST_LETTERS:
        return None
    try:
        return str(detect(sample)).partition("-")[0]
    except LangDetectException:
        return None

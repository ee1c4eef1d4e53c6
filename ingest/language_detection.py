"""The only door to langdetect: which language a text is in."""

from __future__ import annotations

from langdetect import DetectorFactory, LangDetectException, detect_langs, detector_factory  # type: ignore[import-untyped]

DetectorFactory.seed = 0  # the same text always gets the same answer
detector_factory.init_factory()  # reads its profiles now, once for all that is forked from here

_SAMPLE = 5_000  # characters; more changes no answer and costs time
_SURE = 0.9  # numbers and names get several languages, each with some probability
_LEAST_LETTERS = 20  # fewer letters give guesses, not answers


def language_of(text: str) -> str | None:
    """The language as ISO 639-1 ("en", "zh" whatever its script), None when the text is too short or mixed."""
    sample = text[:_SAMPLE]
    if sum(character.isalpha() for character in sample) < _LEAST_LETTERS:
        return None
    try:
        best = detect_langs(sample)[0]
    except LangDetectException:
        return None
    return str(best.lang).partition("-")[0] if best.prob >= _SURE else None

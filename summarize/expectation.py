"""Expectation: what kind of thing a question asks for, and whether a sentence holds one.

"How much compensation did each passenger receive?" wants an amount of money. A sentence about the passengers' three
hours is as near to it as can be and holds none. What kind is wanted is read from the question's own words; where they
do not say, nothing is expected.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from summarize.sentences import is_row
from summarize.terms import is_stop_word, offered_numbers, term, word_set, words

_ANY_NUMBER = (
    r"\d|\b(?:one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|twenty|half|once|twice|dozen|hundred|"
    r"every|each|daily|weekly|monthly|yearly)\b"
)
_SPAN = r"\b(?:second|minute|hour|day|night|week|month|quarter|year|decade)s?\b|\d\s*(?:min|h|s|ms)\b"
_MONEY = r"[€$£¥]|\b(?:eur|usd|gbp|chf|euros?|cents?|dollars?|pounds?|crowns?|francs?|yen|free|pence|k|m)\b"
_WEIGHT = r"\d[\s\-]*(?:kg|g|mg|t|lb|kilos?|kilograms?|grams?|tonnes?|tons?|pounds?)\b"
_DISTANCE = r"\b(?:\d[\d.,]*[\s\-]*(?:m|km|cm|mm|µm|nm|(?:kilo|centi|milli)?(?:metres?|meters?)|feet|miles?|inch\w*))\b"
_DATE = (
    r"\b(?:january|february|march|april|may|june|july|august|september|october|november|december|(?:mon|tues|wednes|"
    r"thurs|fri|satur|sun)days?|spring|summer|autumn|winter|noon|midnight|morning|evening|daily|weekly|monthly|"
    r"today|tomorrow|yesterday|(?:1[5-9]|20)\d\d|\d{1,2}:\d\d|before|after|until|when|while|as soon as)\b"
)
_SPELLED = re.compile(r"[\w’'&-]+")
_FOR_MONEY = (
    r"\b(?:price|cost|costs|salary|wage|fee|rent|compensation|revenue|turnover|profit(?! margin)|dividend|deposit|"
    r"budget|allowance|bonus|fine|annual value)\b|"
    r"\bhow much (?:money|is|are|was|were|did .* (?:pay|receive|earn))\b"
)
_FOR_A_NAME = re.compile(
    r"^(?:who|whose)\b|\bname of\b|\bwhich (?:bank|brand|company|person|city|country)\b", re.IGNORECASE
)
# Not "EUR" or "IP68": what is written in capitals alone names a unit or a kind more often than somebody.
_NAMED = re.compile(r"\b[A-Z][\w’'&-]*[a-z][\w’'&-]*")
# "…, and what has been changed since?": a second question under the first one's mark.
_AND_ALSO = re.compile(r",?\s+and\s+(?=(?:what|how|who|when|where|why|which)\b)", re.IGNORECASE)
_HEAD = re.compile(
    r"\b(?:how (?:much|many)|(?:what|which)(?: (?:is|are|was|were|does|did|will|do))? (?:the|its|their|our|your)?)\s*"
    r"(?P<rest>[^?]*)",
    re.IGNORECASE,
)
_HEAD_ENDS = word_set(
    "of did does do is was are were has have had in for on at to from by can may will must that which who"
)


def _found_in(pattern: str, *, exact: bool = False) -> Callable[[str], bool]:
    compiled = re.compile(pattern, 0 if exact else re.IGNORECASE)
    return lambda text: compiled.search(text) is not None


_holds_number = _found_in(_ANY_NUMBER)
# The first that fits the question decides.
_EXPECTED: tuple[tuple[re.Pattern[str], Callable[[str], bool]], ...] = tuple(
    (re.compile(asked, re.IGNORECASE), held)
    for asked, held in (
        (r"\b(?:tele)?phone numbers?\b|^what (?:is|are)\b.*\b(?:tele)?phone\b", _found_in(r"\d{3}")),
        (r"\bhow (?:heavy|much .*\bweigh)|\b(?:weight|mass) of\b", _found_in(_WEIGHT)),
        (r"\bhow long (?:does|do|must|should|may|can)\b.*\bbe\?", _holds_number),
        (r"\bhow long (?:is|are|was|were)\b", _found_in(rf"{_DISTANCE}|{_SPAN}")),
        (r"\bhow (?:long|old)\b|\bfor how many (?:days|weeks|months|years|hours)|\bnotice period", _found_in(_SPAN)),
        (r"\bhow (?:far|high|deep|wide|tall|thick|broad)\b", _found_in(rf"{_DISTANCE}|\d")),
        (
            _FOR_MONEY,
            lambda text: _found_in(_MONEY)(text) or (is_row(text) and _holds_number(text)),
        ),
        (r"\bhow (?:many|much|often|fast|soon|late|large|big|hot|cold|loud)\b", _holds_number),
        (r"^(?:since |until |from |by )?when\b|\b(?:what|which) (?:date|day|year)\b", _found_in(rf"{_DATE}|\d")),
    )
)  # fmt: skip


def lacks_kind(question: str, text: str) -> bool:
    """Whether the question asks for a kind of thing that the text holds none of, beside what the question gives."""
    for asked, held in _EXPECTED:
        if asked.search(question):
            return not held(text) or (held is _holds_number and not _new_numbers(question, text))
    if _FOR_A_NAME.search(question):
        return not _new_names(question, text)
    return False


def parts(question: str) -> list[str]:
    """The questions asked in one breath, each with what it is about; mostly one.

    A second part rarely repeats its subject, so the content words of the first part stand behind it.
    """
    first, *others = _AND_ALSO.split(question.strip())
    about = " ".join(word for word in _SPELLED.findall(first.partition(" ")[2]) if not is_stop_word(word))
    return [first, *(f"{other.rstrip('?').strip()} ({about})?" for other in others)]


def heads(question: str) -> list[str]:
    """The terms that name what is asked for ("compensation" of "How much compensation did …"), at most three."""
    found = _HEAD.search(question)
    if found is None:
        return []
    head: list[str] = []
    for word in words(found["rest"]):
        if word in _HEAD_ENDS or len(head) == 3:
            break
        if not is_stop_word(word):
            head.append(term(word))
    return head


def _new_numbers(question: str, text: str) -> bool:
    return bool(offered_numbers(text) - offered_numbers(question)) or _holds_number(re.sub(r"\d", "", text))


def _new_names(question: str, text: str) -> bool:
    """Whether the text names somebody or something else; the first word of a sentence is no sign of a name."""
    asked = set(words(question))
    inner = text if is_row(text) else text.partition(" ")[2]
    return any(set(words(name)).isdisjoint(asked) for name in _NAMED.findall(inner))

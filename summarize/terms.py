"""Terms of a text: its content words, numbers and names, in the form in which two texts can be compared.

A *term* is a content word, case-folded and stripped of its inflection, or a bigram of Chinese, Japanese or Korean
characters. A *number* is canonical ("1,200" and "1200" are one, "two" is 2, "1.2 million" is also 1200000). A *name*
is a word with a capital or a digit inside that does not start its sentence.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from itertools import pairwise


def word_set(words: str) -> frozenset[str]:
    """The words of a list written as one text: a table that reads like one."""
    return frozenset(words.split())


_WORD = re.compile(r"\d+(?:[.,]\d+)+|[^\W_]+(?:[’'][^\W_]+)?")
_CJK = re.compile(r"[぀-ヿ㐀-䶿一-鿿가-힯]+")
_NUMBER = re.compile(
    r"(?<![A-Za-z0-9_.])(?:[A-Za-z]{0,2}[-.]?)?(\d+(?:[.,]\d+)*)(?:[^\S\n]*(thousand|million|billion|trillion|bn|m|k)\b)?",
    re.I,
)
_ISO_DATE = re.compile(r"\b\d{4}-(\d{2})-\d{2}\b")
_SCALE = {"thousand": 3, "k": 3, "million": 6, "m": 6, "billion": 9, "bn": 9, "trillion": 12}
_TWO_TO_TWENTY = (
    "two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen "
    "nineteen twenty"
)
_SPELLED = {word: str(value) for value, word in enumerate(_TWO_TO_TWENTY.split(), start=2)}
_MONTHS = {
    name: str(number)
    for number, names in enumerate(
        (
            "january jan", "february feb", "march", "april apr", "may", "june jun", "july jul", "august aug",
            "september sep sept", "october oct", "november nov", "december dec",
        ),
        start=1,
    )
    for name in names.split()
}  # fmt: skip
_WEEKDAYS = word_set("monday tuesday wednesday thursday friday saturday sunday")
_STOP_WORDS = word_set(
    "a about above after again against all also am an and any are aren't as at be because been before being below "
    "between both but by can cannot can't could did didn't do does doesn't doing don't down during each either else "
    "ever every few for from further get gets give given gives got had has have having he her here hers herself him "
    "himself his how however i if in into is isn't it it's its itself just kind let like made make makes many may "
    "me might more most much must my neither no nor not of off on once one only or other our ours out over own per "
    "please same shall she should so some such than that the their theirs them themselves then there these they "
    "this those through to too under until up upon us use used uses using very via was wasn't we were what whatever "
    "when where whether which while who whom whose why will with within without would yes yet you your yours"
)
# Words by which a question asks and which its answer need not repeat.
_ASKING = word_set(
    "according answer describe described describes detail details discuss discussed document documents explain "
    "explained file find happen happened happens information list mean means mention mentioned name named paper "
    "passage passages report say says show state stated tell text what's who's"
)
_GERMAN = word_set("der die das den dem des und ist sind ein eine einen nicht mit von im zu auf für wird durch")
_NEGATORS = re.compile(r"\b(?:no|not|never|none|neither|nor|without|cannot|\w+n[’']t)\b", re.IGNORECASE)


def stem(word: str) -> str:
    """The word without its English inflection: enough to match "warranties" with "warranty". Others pass unchanged."""
    if len(word) <= 3 or not word.isascii() or word[0].isdigit():
        return word
    for suffix, rest in (("ies", "y"), ("sses", "ss"), ("xes", "x"), ("ches", "ch"), ("shes", "sh")):
        if word.endswith(suffix) and len(word) > len(suffix) + 1:
            return word[: -len(suffix)] + rest
    if word.endswith("s") and not word.endswith(("ss", "us", "is")):
        word = word[:-1]
    for suffix in ("ing", "ed", "ly"):
        if word.endswith(suffix) and len(word) >= len(suffix) + 4:
            word = word[: -len(suffix)]
            if len(word) > 3 and word[-1] == word[-2] and word[-1] not in "lsz":
                word = word[:-1]
            break
    return word[:-1] if word.endswith("e") and len(word) > 4 else word


def words(text: str) -> Iterator[str]:
    """Case-folded words in order, possessives dropped; runs of CJK characters as bigrams."""
    for match in _WORD.finditer(unicodedata.normalize("NFKC", text)):
        word = match.group().casefold().replace("’", "'").removesuffix("'s")
        run = _CJK.search(word)
        if run is None or len(word) == 1:
            yield word
        else:
            yield from (a + b for a, b in pairwise(word))


def terms(text: str) -> list[str]:
    """The content words of a text as terms, in order, repeated as often as they stand there."""
    return [term(w) for w in words(text) if w not in _STOP_WORDS]


def content_words(text: str) -> list[str]:
    """The distinct words that say something of their own, in order, with their inflection."""
    return list(dict.fromkeys(word for word in words(text) if word not in _STOP_WORDS))


def question_words(text: str) -> dict[str, str]:
    """The words that evidence for an answer should hold, by their terms, in order."""
    found: dict[str, str] = {}
    for word in content_words(text):
        if word not in _ASKING:
            found.setdefault(term(word), word)
    return found


def question_terms(text: str) -> list[str]:
    """The distinct terms that evidence for an answer should hold, in order."""
    return list(question_words(text))


def is_stop_word(word: str) -> bool:
    """Whether the word joins others and says nothing of its own."""
    return word.casefold() in _STOP_WORDS


def term(word: str) -> str:
    """A case-folded word in the form in which words are compared."""
    return canonical(word) if word[0].isdigit() else stem(word)


def canonical(number: str) -> str:
    """One spelling for one number: no group separators, no leading zeros, no empty fraction."""
    if re.fullmatch(r"\d{1,3}(?:,\d{3})+(?:\.\d+)?", number):
        number = number.replace(",", "")
    elif (re.fullmatch(r"\d{1,3}(?:\.\d{3})+(?:,\d+)?", number) and number.count(".") > 1) or re.fullmatch(
        r"\d+,\d{1,2}", number
    ):
        number = number.replace(".", "").replace(",", ".")
    whole, dot, fraction = number.partition(".")
    if "." in fraction:
        return number
    fraction = fraction.rstrip("0")
    return (whole.lstrip("0") or "0") + (dot + fraction if fraction else "")


def claimed_numbers(text: str) -> list[frozenset[str]]:
    """Each number a statement claims, as the spellings that would prove it. "one" and month names claim nothing."""
    text = unicodedata.normalize("NFKC", text)
    months = {match.start(1) for match in _ISO_DATE.finditer(text)}
    claims = [
        _spellings(match) | ({f"month {canonical(match.group(1))}"} if match.start(1) in months else set())
        for match in _NUMBER.finditer(text)
    ]
    return claims + [frozenset({_SPELLED[w]}) for w in words(text) if w in _SPELLED]


def offered_numbers(text: str) -> frozenset[str]:
    """Every number a passage can prove: written in digits, spelled out, or ("month 3") meant by a month's name."""
    text = unicodedata.normalize("NFKC", text)
    found = {spelling for match in _NUMBER.finditer(text) for spelling in _spellings(match)}
    found |= {canonical(digits) for digits in re.findall(r"\d+", text)}
    for word in words(text):
        if word in _SPELLED:
            found.add(_SPELLED[word])
        elif word in _MONTHS:
            found.add(f"month {_MONTHS[word]}")
    return frozenset(found)


def _spellings(match: re.Match[str]) -> frozenset[str]:
    number = canonical(match.group(1))
    scale = _SCALE.get((match.group(2) or "").casefold())
    if scale is None or number.count(".") > 1:
        return frozenset({number})
    whole, _, fraction = number.partition(".")
    if len(fraction) > scale:
        return frozenset({number})
    return frozenset({number, canonical(whole + fraction.ljust(scale, "0"))})


def names(text: str) -> list[str]:
    """Words that look like names, case-folded: with a capital or a digit, and not the first of the text.

    In titles and in German, capitals name nothing and only words with more of them, or with digits, count.
    """
    found = [m.group() for m in _WORD.finditer(unicodedata.normalize("NFKC", text))][1:]
    capitalised = [w for w in found if w[0].isupper()]
    title_case = (len(found) >= 4 and len(capitalised) * 2 > len(found)) or sum(w in _GERMAN for w in found) > 1
    return [
        w.casefold().replace("’", "'").removesuffix("'s")
        for w in found
        if w.casefold() not in _STOP_WORDS and _is_name(w, title_case=title_case)
    ]


def _is_name(word: str, *, title_case: bool) -> bool:
    if not any(c.isalpha() for c in word) or len(word) < 2:
        return False
    if any(c.isdigit() for c in word) or any(c.isupper() for c in word[1:]):
        return True
    return word[0].isupper() and not title_case


def month_number(word: str) -> str | None:
    """The number of the month this word names, in its canonical form."""
    return _MONTHS.get(word)


def is_of_calendar(word: str) -> bool:
    """Whether this case-folded word names a month or a day of the week."""
    return word in _MONTHS or word.removesuffix("s") in _WEEKDAYS


def is_negated(text: str) -> bool:
    """Whether the text carries a word that turns a claim around."""
    return _NEGATORS.search(text) is not None


def collapsed(text: str) -> str:
    """The text with every run of white space as one space and typographic quotes as plain ones: for comparison."""
    return " ".join(text.translate(_PLAIN_QUOTES).split())


_PLAIN_QUOTES = str.maketrans({"“": '"', "”": '"', "„": '"', "«": '"', "»": '"', "‘": "'", "’": "'"})


def holds(text: str, wanted: str) -> bool:
    """Whether `wanted` stands in `text` as whole words ("it was 5" does not stand in "it was 50")."""
    at = text.find(wanted) if wanted else -1
    while at >= 0:
        end = at + len(wanted)
        if not (_joined(text[at - 1 : at], wanted[0]) or _joined(wanted[-1], text[end : end + 1])):
            return True
        at = text.find(wanted, at + 1)
    return False


def _joined(left: str, right: str) -> bool:
    """Whether a word goes on from one character to the next. CJK writes no spaces, so nothing is joined there."""
    return left.isalnum() and right.isalnum() and not _CJK.match(left) and not _CJK.match(right)

"""Reads one answer, of any kind, from a short piece of text; and the canonical form in which answers compare."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from itertools import islice

from tutelage.records import AnswerKind, Question
from tutelage.tasks.claims import is_denial, main_clause, undenied
from tutelage.tasks.quantities import number_text, numbers_in, whole_number

YES_NO = r"(?:(?:\bnot|\bcannot|n['’]t)\s+(?:be\s+)?(?:\w+ly\s+|quite\s+|always\s+)?)?\b(?:yes|true|no|false)\b"
"""A yes or no, with the negation that turns it round."""

_YES_NO = re.compile(YES_NO, re.IGNORECASE)
_EITHER = re.compile(r"\s*(?:or|and|/)\s*", re.IGNORECASE)
_LETTER_IN_BRACKETS = re.compile(r"[(\[]\s*([A-Za-z])\s*[)\]]")
_LETTER_ALONE = re.compile(r"[\W_]*([A-Za-z])(?:[.):,;*\]}\s$]*$|[.):,;*\]}]+\s)")
_LEAD = re.compile(  # "clearly", "most likely option": what may stand before a bare letter
    r"\W*(?:(?:\w+ly|most|then|just|also|indeed)\W+)*(?P<label>(?:the\s+)?(?:choice|option|letter|alternative|answer)\W+)?",
    re.IGNORECASE,
)
_LETTER_AFTER_LABEL = re.compile(r"([AB-Zb-z])\b(?!['’-])(?!\s+(?:or|and)\b)")  # "option a ladder" may be an article
_ARTICLE = re.compile(r"(?:a|an|the) ")
_OPENING, _CLOSING = "\"'“”‘’`*", "\"'“”‘’`*.,;:!?"


def canonical(text: str, kind: AnswerKind) -> str | None:
    """The canonical form of an answer that stands by itself, such as a gold answer; None if it cannot be read.

    "number" and "percentage": an exact integer or decimal, or "p/q" ("1,000" is "1000", "1/2" is "0.5");
    "choice": an upper-case letter ("(e)" is "E"); "yes/no": "Yes" or "No"; "text": without outer quotes,
    closing punctuation and repeated white space. The canonical form of a canonical form is itself.
    """
    if kind in ("number", "percentage"):
        value = whole_number(text, percent_is_share=kind == "percentage")
        return None if value is None else number_text(value)
    if kind == "choice":
        match = _LETTER_IN_BRACKETS.fullmatch(text.strip()) or _LETTER_ALONE.fullmatch(text)
        return match[1].upper() if match else None
    if kind == "yes/no":
        found = {_is_yes(match[0]) for match in _YES_NO.finditer(text)}
        return ("Yes" if found.pop() else "No") if len(found) == 1 else None
    return _plain_words(text)


def read_first(segment: str, question: Question) -> str | None:
    """The first valid answer in a piece of text that is known to state one, in canonical form, or None."""
    if question.kind in ("number", "percentage"):
        value = next(numbers_in(undenied(segment), percent_is_share=question.kind == "percentage"), None)
        return None if value is None else number_text(value)
    if question.kind == "choice":
        return read_choice(segment, question.choices)
    if question.kind == "yes/no":
        return _first_yes_no(segment)
    return _plain_words(segment)


def _first_yes_no(segment: str) -> str | None:
    """The first yes or no; None where it is one side of "yes or no"."""
    found = list(islice(_YES_NO.finditer(segment), 2))
    values = [_is_yes(match[0]) for match in found]
    if not found or (len(set(values)) == 2 and _EITHER.fullmatch(segment, found[0].end(), found[1].start())):
        return None
    return "Yes" if values[0] else "No"


def _is_yes(stated: str) -> bool:
    """Whether a match of YES_NO comes to yes: "true" does, and so does "not false"."""
    *negation, word = stated.casefold().split()
    return (word in ("yes", "true")) != bool(negation)


def read_choice(segment: str, choices: Sequence[str]) -> str | None:
    """The letter of the choice that a piece of text names: "(e)", "e", "option E", "blotter (e)", "E. blotter",
    "the blotter", "E because (a) is dry", "not (a) but (e)".

    A letter wins over the words beside it. Words that two choices share name neither.
    """
    texts = [words_of(choice) for choice in choices]
    words = words_of(segment)
    if is_denial(segment) and not any(text and f"{words} ".startswith(f"{text} ") for text in texts):
        segment = undenied(segment)
        words = words_of(segment)
    if texts.count(words) == 1 and _letter_in(segment) is None:  # before it is cut: a choice may say "not" or "as"
        return _letter(texts.index(words))
    for part in dict.fromkeys((main_clause(segment), segment)):
        letter = _letter_in(part)
        found = _in_range(letter, choices) if letter else _by_words(words_of(part), texts)
        if found or letter:
            return found
    return None


def _letter_in(segment: str) -> str | None:
    """The letter that a piece of text gives: in brackets, alone, or after "option" and its like."""
    found = _LETTER_IN_BRACKETS.search(segment) or _LETTER_ALONE.match(segment)
    if found is None and (lead := _LEAD.match(segment)):
        found = _LETTER_ALONE.match(segment, lead.end())
        if found is None and lead["label"]:
            found = _LETTER_AFTER_LABEL.match(segment, lead.end())
    return found[1] if found else None


def _by_words(words: str, texts: Sequence[str]) -> str | None:
    """The choice with these words, but for an article or its letter before them; or the only one named in them."""
    bare = _ARTICLE.sub("", words, count=1)
    bare_texts = [_ARTICLE.sub("", text, count=1) for text in texts]
    for candidate, known in ((words, texts), (bare, texts), (bare, bare_texts)):
        if candidate and known.count(candidate) == 1:
            return _letter(known.index(candidate))
    first, _, rest = words.partition(" ")
    if len(first) == 1 and rest and texts.count(rest) == 1 and _in_range(first, texts) == _letter(texts.index(rest)):
        return first.upper()
    return _only_named(words, texts)


def _only_named(words: str, texts: Sequence[str]) -> str | None:
    """The choice whose words stand in the text, if there is just one; "fruit" inside "fruit basket" does not count."""
    named = [place for place, text in enumerate(texts) if text and f" {text} " in f" {words} "]
    longest = [
        place
        for place in named
        if not any(f" {texts[place]} " in f" {texts[other]} " and texts[other] != texts[place] for other in named)
    ]
    return _letter(longest[0]) if len(longest) == 1 else None


def _letter(place: int) -> str:
    return chr(ord("A") + place)


def _in_range(letter: str, choices: Sequence[str]) -> str | None:
    return letter.upper() if ord(letter.upper()) - ord("A") < len(choices) else None


def words_of(text: str) -> str:
    """The words of a text, casefolded, one space apart, without punctuation."""
    return " ".join(re.findall(r"[^\W_]+", text.casefold().replace("'", "").replace("’", "")))


def _plain_words(text: str) -> str | None:
    words = " ".join(unicodedata.normalize("NFC", text).split())
    while True:
        inner = words.lstrip(_OPENING).rstrip(_CLOSING).strip()
        if inner == words:
            return words or None
        words = inner

"""Reads one answer, of any kind, from a short piece of text; and the canonical form in which answers compare."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

from tutelage.records import AnswerKind, Question
from tutelage.tasks.quantities import number_text, numbers_in, whole_number

_YES_NO = re.compile(r"\b(yes|true|no|false)\b", re.IGNORECASE)
_LETTER_IN_BRACKETS = re.compile(r"[(\[]\s*([A-Za-z])\s*[)\]]")
_LETTER_ALONE = re.compile(r"[\W_]*([A-Za-z])(?:[.):,;*\]}\s$]*$|[.):,;*\]}]+\s)")
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
        found = {match[1].lower() in ("yes", "true") for match in _YES_NO.finditer(text)}
        return ("Yes" if found.pop() else "No") if len(found) == 1 else None
    return _plain_words(text)


def read_first(segment: str, question: Question) -> str | None:
    """The first valid answer in a piece of text that is known to state one, in canonical form, or None."""
    if question.kind in ("number", "percentage"):
        value = next(numbers_in(segment, percent_is_share=question.kind == "percentage"), None)
        return None if value is None else number_text(value)
    if question.kind == "choice":
        return read_choice(segment, question.choices)
    if question.kind == "yes/no":
        match = _YES_NO.search(segment)
        return None if match is None else ("Yes" if match[1].lower() in ("yes", "true") else "No")
    return _plain_words(segment)


def read_choice(segment: str, choices: Sequence[str]) -> str | None:
    """The letter of the choice that a piece of text names: "(e)", "e", "blotter (e)", "E. blotter", "the blotter".

    A letter wins over the words beside it. Words that two choices share name neither.
    """
    letter = _LETTER_IN_BRACKETS.search(segment) or _LETTER_ALONE.match(segment)
    if letter:
        return _in_range(letter[1], choices)
    words = words_of(segment)
    texts = [words_of(choice) for choice in choices]
    for candidate in (words, _ARTICLE.sub("", words, count=1), words.partition(" ")[2]):
        if texts.count(candidate) == 1 and candidate:
            place = texts.index(candidate)
            led_by_letter = candidate == words.partition(" ")[2] and len(words.partition(" ")[0]) == 1
            if candidate in (words, _ARTICLE.sub("", words, count=1)) or (
                led_by_letter and _in_range(words[0], choices) == _letter(place)
            ):
                return _letter(place)
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

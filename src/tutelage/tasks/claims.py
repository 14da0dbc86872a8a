"""What a short statement claims, apart from what it denies and from the reasons it gives."""

from __future__ import annotations

import re

from tutelage.records import Question

CONTRAST = r"\b(?:but|rather|instead|it\s+is|it['’]s)\b"
"""What leads from a denied answer over to the right one: "not 7 but 8"."""

SENTENCE_END = r"(?<=[^\W\d_]{2}|.[\d)*%$\"])[.!?](?=\s|$)"
"""A pattern: not the point of "3.5", "e.g." or "1."."""

_DENIAL = re.compile(r"\W*(?:\w+ly\s+)?(?:not|neither)\b", re.IGNORECASE)
_CONTRAST = re.compile(CONTRAST, re.IGNORECASE)
_REASON = re.compile(r"\b(?:because|since|as|not|rather\s+than|instead\s+of|whereas|while)\b", re.IGNORECASE)
# Up to another answer in the sentence, or to its end. Bounded, so that no text takes quadratic time.
_CLAUSE = rf"(?:(?!{SENTENCE_END}|{CONTRAST})[^\n]){{0,300}}+"
_IS = r"\banswer\s+(?:is|was|must\s+be|should\s+be|would\s+be)\s+(?:\w+ly\s+)?"
_DENIED = re.compile(rf"{_IS}not\b{_CLAUSE}(?={SENTENCE_END}|\n|\Z)", re.IGNORECASE)
_OF_OTHERS = re.compile(
    r"\b(?:(?:student|learner|pupil)(?:['’]?s)?['’]?|wrong|incorrect|previous|earlier|original)\s+(?:\w+\s+)?"
    rf"answer[*_]*(?:\s+(?:is|was)\b|\s*[=:]){_CLAUSE}",
    re.IGNORECASE,
)
_CALLED_WRONG = re.compile(
    rf"\banswer\s+(?:is|was)\b(?:(?!{SENTENCE_END}|\b(?:which|that)\s)[^\n]){{0,300}}+"
    rf"\b(?:which|that)\s+(?:is|was)\s+(?:wrong|incorrect|not\s+(?:right|correct)){_CLAUSE}",
    re.IGNORECASE,
)
_COMPARED = re.compile(
    rf"{_IS}(?:(?:more|less|greater|larger|bigger|smaller|fewer|higher|lower)\s+than|at\s+(?:least|most)|between"
    rf"|divisible|a\s+multiple)\b{_CLAUSE}",
    re.IGNORECASE,
)


def is_denial(segment: str) -> bool:
    """Whether a statement begins by saying what the answer is not."""
    return _DENIAL.match(segment) is not None


def undenied(segment: str) -> str:
    """The statement without what it denies first: "8" of "not 7 but 8", nothing of "not 7"."""
    denial = _DENIAL.match(segment)
    if denial is None:
        return segment
    contrast = _CONTRAST.search(segment, denial.end())
    return segment[contrast.end() :] if contrast else ""


def main_clause(segment: str) -> str:
    """The statement up to its reasons and to what it rejects: "B" of "B, since it is not A"; whole if none is left."""
    reason = _REASON.search(segment)
    head = segment[: reason.start()].rstrip(" \t\n,;([-–—") if reason else segment
    return head or segment


def without_disclaimed(text: str, question: Question) -> str:
    """A reply without the sentences on what the answer is not, on others' answers, and on its mere bounds."""
    for pattern in (_OF_OTHERS, _CALLED_WRONG):
        text = pattern.sub("", text)
    if question.kind in ("number", "percentage"):
        text = _COMPARED.sub("", text)
    # A yes or no is itself denied, "not true"; and "not happy" may be one of the choices.
    if question.kind != "yes/no" and not any(is_denial(choice) for choice in question.choices):
        text = _DENIED.sub("", text)
    return text

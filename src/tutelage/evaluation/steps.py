"""The first wrong step of a rationale, where arithmetic can tell: the first of its equations that does not hold.

Equations are read as the offline tutor reads them (`teacher.tutor.arithmetic`), and with words between their sides as
well: "12 * 5 is 50". Nothing is judged that cannot be read for certain, so a step that is not marked may be wrong, too.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from tutelage.teacher.tutor.arithmetic import Equation, read_equations, show

LONGEST = 20_000
"""Characters of a rationale beyond which it is not read."""


@dataclass(frozen=True, slots=True)
class WrongStep:
    """An equation that does not hold: where it stands in the text, as a slice, and what its left side really is."""

    start: int
    end: int
    right_value: str


@dataclass(frozen=True, slots=True)
class Arithmetic:
    """What a rationale's equations say. equations: how many could be read; wrong: the first that does not hold."""

    equations: int
    wrong: WrongStep | None


_MARK = re.compile(r"<<[^<>]*>>")
_SENTENCE = re.compile(r"\S(?:[^\n.!?;]|[.!?;](?!\s))*")
_ANSWER = re.compile(r"####|\banswer\s*:", re.IGNORECASE)
# "5 * 3 is 10 more than 5" is no equation, nor is "5 + 5 is 10 of them".
_IS = re.compile(
    r"(?<=[\d)%])\s+(?:is|equals|makes|gives)(?=\s+[$€£]?\s?\d)"
    r"(?!\s+[$€£]?\s?[\d.,]*\d\s*%?\s*(?:more|less|fewer|times|percent|per\s+cent|of|out|to)\b)",
    re.IGNORECASE,
)


@lru_cache(maxsize=256)  # a question's attempts are judged for several tables
def check_arithmetic(text: str) -> Arithmetic:
    """Reads the equations of a rationale, in order. A whole number that a fraction was rounded to, up or down, holds.

    Never raises, on any text.
    """
    if len(text) > LONGEST:
        return Arithmetic(0, None)
    # Blanks of the same length take the place of what is not read, so that places in it are places in the text.
    answer = _ANSWER.search(text)
    read = text[: answer.start()] if answer else text
    read = _IS.sub(lambda found: "=".rjust(len(found[0])), _MARK.sub(lambda found: " " * len(found[0]), read))
    if "=" not in read:
        return Arithmetic(0, None)
    equations = 0
    for equation, start in _placed(read):
        equations += 1
        if not _holds(equation):
            return Arithmetic(equations, WrongStep(start, start + len(equation.text), show(equation.value)))
    return Arithmetic(equations, None)


def _placed(text: str) -> Iterator[tuple[Equation, int]]:
    """The equations of a text with their places, sentence by sentence."""
    for sentence in _SENTENCE.finditer(text):
        if "=" not in sentence[0]:
            continue
        place = sentence.start()
        for equation in read_equations(sentence[0]):
            found = text.find(equation.text, place, sentence.end())
            while found > 0 and text[found - 1] in "0123456789.,":  # "3 + 4" is no part of "13 + 4"
                found = text.find(equation.text, found + 1, sentence.end())
            if found >= 0:
                yield equation, found
                place = found + 1  # the next one may begin within it: "3 + 4 = 7 + 2 = 9"


def _holds(equation: Equation) -> bool:
    if equation.right:
        return True
    rounded = equation.claimed.denominator == 1 and equation.value.denominator != 1
    return rounded and abs(equation.value - equation.claimed) < 1

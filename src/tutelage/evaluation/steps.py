"""The first wrong step of a rationale, where arithmetic can tell: the first of its equations that does not hold.

Equations are read as the offline tutor reads them (`teacher.tutor.arithmetic`), and with words between their sides as
well: "12 * 5 is 50". Nothing is judged that cannot be read for certain, so a step that is not marked may be wrong, too.
Of what does not hold, most that is no mistake is algebra: "3A + 6 = 18" says something of A.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

from tutelage.teacher.tutor.arithmetic import SENTENCE, Equation, read_equations, show

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
_ANSWER = re.compile(r"####|\banswer\s*:", re.IGNORECASE)
# "5 * 3 is 10 more than 5" is no equation, nor is "5 + 5 is 10 of them".
_IS = re.compile(
    r"(?<=[\d)%])\s+(?:is|equals|makes|gives)(?=\s+[$€£]?\s?\d)"
    r"(?!\s+[$€£]?\s?[\d.,]*\d\s*%?\s*(?:more|less|fewer|times|percent|per\s+cent|of|out|to)\b)",
    re.IGNORECASE,
)
_UNKNOWN = re.compile(
    r"""[\d)][A-Z]                            # "3A", "5Total", "(1/2)A"
    |[\d)][a-z]\b                           # "4x"
    |[A-Za-z][_\d]|_[A-Za-z]                # "S1", "total_cost"
    |[*×·÷+]\s*[($€£]*(?!x\s)[A-Za-z]       # "5 * apples"
    |\s[-−–/]\s+\(?[A-Za-z]                 # "60 / boxes"; "miles/hour" is a unit
    |[/^][A-Za-z]\b|\^""",
    re.VERBOSE,
)
"""A quantity that is not known; or a power, which is not read."""
_OTHER_MEASURE = re.compile(
    r"\b(?:hundred|thousand|[mbtr]illion|dozen|minus|plus|times|twice|half|double|ago|squared?|cubed?|[ap]\.?m)\b"
    r"|\d\s?(?:[ap]\.?m)\b",
    re.IGNORECASE,
)
"""Words that count, and clocks: "10 pm - 10 am = 12" holds."""
_BEFORE = re.compile(
    r"""[*×·÷/+^]\s*\Z|\d:\Z|\w\Z|\S[^\S\n]*[-−–]\s*\Z
    |\d\s+(?:(?:hours?|minutes?|days?|weeks?|months?|years?|feet|pounds?)\s+)?and\s+\Z""",
    re.VERBOSE,
)
"""An expression that begins earlier: "cost + 2 - 4 = 14", "2 and 1/3 * 3 = 7"."""
_LABEL = re.compile(r"\b(?:day|week|month|year|group|step|part|case|round|class|bus|box|team)\s\Z", re.IGNORECASE)
_LABELLED = re.compile(r"\d+\s[-−–]\s")
"""A heading with its number: "Day 1 - 5 * 2 = 10"."""
_WORD = re.compile(r"[^\W\d_]\s*\Z")
_GOES_ON = re.compile(r"\s*[*×·÷/+−–-]\s*[($€£\d]")
_TAIL = re.compile(r"(?:[^=,;.\n]|\.(?=\S)){0,80}")
_FIRST_WORD = re.compile(r"\s?[^\W\d_]*")
_ROUGHLY = re.compile(r"≈|\b(?:about|approximately|approx|around|roughly|nearly|almost)\b", re.IGNORECASE)


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
    read = with_equals_signs(_MARK.sub(lambda found: " " * len(found[0]), read))
    if "=" not in read:
        return Arithmetic(0, None)
    equations = 0
    for equation, start in _placed(read):
        holds = _holds(equation)
        if not holds and not _is_certain(equation, read, start):
            continue
        equations += 1
        if not holds:
            return Arithmetic(equations, WrongStep(start, start + len(equation.text), show(equation.value)))
    return Arithmetic(equations, None)


def with_equals_signs(text: str) -> str:
    """The text with signs for the words between the sides of "12 * 5 is 50"; places in it stay what they are."""
    return _IS.sub(lambda found: "=".rjust(len(found[0])), text)


def _placed(text: str) -> Iterator[tuple[Equation, int]]:
    """The equations of a text with their places, sentence by sentence."""
    for sentence in SENTENCE.finditer(text):
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


def _is_certain(equation: Equation, text: str, start: int) -> bool:
    """Whether an equation that does not hold is one: all of it was read, and all that it speaks of are numbers.

    text: that it stands in; start: where.
    """
    end = start + len(equation.text)
    before, rest = text[max(0, start - 40) : start], _matched(_TAIL, text[end : end + 80])
    return not (
        _UNKNOWN.search(equation.text + rest)
        or _OTHER_MEASURE.search(equation.text + _matched(_FIRST_WORD, rest))
        or equation.text.count("(") != equation.text.count(")")
        or (equation.text[0] == "(" and _GOES_ON.match(rest) and _WORD.search(before))  # "half (0.5 * 4) = 2 + 2"
        or re.match(r"[(:]|-\w", text[end : end + 2])  # "= 3(3 + 6)", "= 3:31", "= 10-year-olds"
        or _BEFORE.search(before)
        or (_LABEL.search(before) and _LABELLED.match(equation.text))
        or re.match(r"[-−–]\s", equation.text)  # what it is taken from stands before it
    )


def _matched(pattern: re.Pattern[str], text: str) -> str:
    """What of a text's beginning fits a pattern that fits the empty text, too."""
    found = pattern.match(text)
    return found[0] if found else ""


_ROUNDED = Fraction(1, 500)
"""The share by which a product or a quotient may be off whose factors were rounded before."""
_ROUGH = Fraction(1, 20)
_DECIMALS = re.compile(r"[ %]*\d*\.|")  # read backwards
_PRODUCT = re.compile(r"[*/×·÷%]|\d\s*[xX]")


def _holds(equation: Equation) -> bool:
    if equation.right:
        return True
    value, claimed = equation.value, equation.claimed
    if equation.text.endswith("%") and abs(value - claimed) > abs(value - 100 * claimed):
        claimed *= 100  # "9 / 27 * 100 = 33.3%"
    off = abs(value - claimed)
    if "cent" in equation.text.casefold() and value == 100 * claimed:  # of dollars
        return True
    if _ROUGHLY.search(equation.text):
        return off <= _ROUGH * abs(value)
    decimals = len(_matched(_DECIMALS, equation.text[::-1]).rpartition(".")[0].strip(" %"))
    if claimed.denominator == 1 and decimals < 2:  # not "$32.00"
        return value.denominator != 1 and off < 1
    if value.denominator == 1 and all(one.denominator == 1 for one in equation.operands):
        return False
    if off * 10**decimals < 1:
        return True
    if any(one.denominator > 100 for one in equation.operands):  # "0.5 + 0.6667 = 1.1666", of a half and two thirds
        return off <= _ROUNDED * abs(value)
    return bool(_PRODUCT.search(equation.text)) and off <= _ROUNDED * abs(value)

"""A question and its rationale with other numbers, the arithmetic worked out anew.

    template = read_template(question, "12 hens lay 12 * 3 = 36 eggs. Of 36, 20 are sold: 36 - 20 = 16.")
    template.fill(draw)     # "17 hens lay 17 * 4 = 68 eggs. Of 68, 50 are sold: 68 - 50 = 18.", the question alike

It is what Mirzadeh et al. 2024 (GSM-Symbolic, arXiv 2410.05229) do by templates that people wrote; here one is read
from a rationale, and there is none wherever a number could stand for two things. A number of the rationale is one of
the question, or what an equation comes to; all else must be a quantity that words of the two texts bring with them,
such as the 7 of a week, and then stays as it is.
"""

from __future__ import annotations

import itertools
import random
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

from tutelage.records import Question
from tutelage.rounds.renumbering.words import ALWAYS, bound_numbers, brought_by_words, is_choice
from tutelage.teacher.tutor.arithmetic import Token, evaluate, read_tokens, sides_in

TRIES = 200
"""Draws of numbers before a template is given up: a division that comes out even is rare."""
LONGEST = 2_000
"""Characters of a question or a rationale beyond which it is not read."""

_DIGITS = re.compile(r"\d[\d,]*")
_WHOLE = re.compile(r"\d{1,7}|\d{1,3},\d{3}")
_BULLET = re.compile(r"^[ \t]*(?:\(?\d{1,2}[.)]|step\s+\d+)(?=\s|:)", re.IGNORECASE | re.MULTILINE)
_BESIDE = re.compile(r"[\w:/^%.,°#'’]")


@dataclass(frozen=True, slots=True)
class Renumbered:
    """A question's text, a rationale, and the answer in canonical form. numbers: the new ones by the question's own."""

    text: str
    rationale: str
    answer: str
    numbers: Mapping[int, int]


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a number stands: the slice of its digits. commas: whether thousands are set apart."""

    start: int
    end: int
    value: int
    commas: bool


@dataclass(frozen=True, slots=True)
class _Equation:
    """left: its tokens. result: what they come to with the numbers as they stand."""

    left: tuple[Token, ...]
    result: int


@dataclass(frozen=True, slots=True)
class Template:
    """What can be given other numbers. varied: the question's numbers that are drawn, each once; equations in order.

    in_text, in_rationale: all places where a varied number or a result stands. fixed: numbers that are never drawn;
    kept: those of them that the question has.
    """

    text: str
    rationale: str
    answer: int
    varied: tuple[int, ...]
    equations: tuple[_Equation, ...]
    in_text: tuple[_Place, ...]
    in_rationale: tuple[_Place, ...]
    fixed: frozenset[int]
    kept: frozenset[int]

    def fill(self, draw: random.Random, tries: int = TRIES) -> Renumbered | None:
        """Numbers of as many digits and in the same order, results whole, positive, no longer; None if no draw fits."""
        alike = self._alike()
        for _ in range(tries):
            numbers = self._drawn(draw, alike)
            if numbers is not None and self._work_out(worked := dict(numbers)):
                return Renumbered(
                    _with(self.text, self.in_text, worked),
                    _with(self.rationale, self.in_rationale, worked),
                    str(worked[self.answer]),
                    numbers,
                )
        return None

    def answer_for(self, numbers: Mapping[int, int]) -> str | None:
        """The answer with these numbers for the question's own, as far as it has them; None if it cannot be told."""
        worked = {old: numbers.get(old, old) for old in self.varied}
        return str(worked[self.answer]) if self._work_out(worked) else None

    def _drawn(self, draw: random.Random, alike: Sequence[Sequence[int]]) -> dict[int, int] | None:
        """A number for each varied one; None if the order changes, one is that of a word, or none is new.

        What is a part stays smaller than the whole, and an age on the same side of a limit.
        """
        numbers: dict[int, int] = {}
        for group in alike:
            numbers |= zip(group, sorted(_like(old, draw) for old in group), strict=True)
        in_order = [numbers.get(old, old) for old in sorted({*self.varied, *self.kept})]
        if any(low >= high for low, high in itertools.pairwise(in_order)):
            return None
        if self.fixed & set(numbers.values()) or all(old == new for old, new in numbers.items()):
            return None
        return numbers

    def _alike(self) -> list[list[int]]:
        """The varied numbers by what `_like` keeps of them: one draw in many would have them in order, so they are."""
        groups: dict[tuple[int, int], list[int]] = {}
        for old in sorted(self.varied):
            groups.setdefault(_shape(old), []).append(old)
        return list(groups.values())

    def _work_out(self, numbers: dict[int, int]) -> bool:
        """Adds each equation's result to the numbers; False where one does not come out as it should."""
        for equation in self.equations:
            left = [_filled(token, numbers) for token in equation.left]
            value = evaluate(left)
            if value is None or value.denominator != 1 or value < 1 or value in self.fixed:
                return False
            result = value.numerator
            # Larger numbers than the task has would be another lesson.
            if len(str(result)) > len(str(equation.result)) or numbers.get(equation.result, result) != result:
                return False
            numbers[equation.result] = result
        return True


def read_template(question: Question, rationale: str) -> Template | None:
    """What of a question and a right rationale can be given other numbers; None where anything is in doubt.

    rationale: without its answer line. The gold answer must be a whole number that one of its equations comes to.
    """
    text = question.text
    if question.kind != "number" or question.choices or max(len(text), len(rationale)) > LONGEST:
        return None
    if not question.answer.isascii() or not question.answer.isdigit():
        return None
    answer = int(question.answer)
    if is_choice(rationale):
        return None
    fixed = brought_by_words(text) | brought_by_words(rationale) | bound_numbers(text)
    asked = list(_numbers(text))
    sources = brought_by_words(text) | brought_by_words(rationale, counting=False)
    sources.update(int(value) for _, value in asked if value.denominator == 1)
    fixed |= {int(value) for place, value in asked if place is None and value.denominator == 1}
    if any(place is None and value.denominator != 1 for place, value in asked):
        return None  # decimals, fractions, percentages
    own = {place.value for place, _ in asked if place is not None}
    equations = _read_equations(rationale, own - fixed, fixed)
    results = [equation.result for equation in equations]
    used = {value for equation in equations for value in _operands(equation.left)}
    if not used <= sources.union(results):
        return None
    # What no equation has may still decide something: an age, a limit. Or it is that of a wrong reading.
    varied = own & used - fixed
    fixed |= own - varied
    if not varied or answer not in results or answer in varied or fixed & set(results):
        return None
    known = varied.union(results)
    in_rationale = []
    for place, value in _numbers(rationale):
        if place is not None and place.value in known:
            in_rationale.append(place)
        elif value not in fixed or (place is None and value in known):
            return None  # a number from nowhere, or one that is written in a way that is not read
    in_text = [place for place, _ in asked if place is not None and place.value in varied]
    return Template(
        text,
        rationale,
        answer,
        tuple(sorted(varied)),
        equations,
        tuple(in_text),
        tuple(in_rationale),
        frozenset(fixed),
        frozenset(int(value) for _, value in asked if value not in varied),
    )


def _read_equations(rationale: str, varied: set[int], fixed: set[int]) -> tuple[_Equation, ...]:
    """All equations of a rationale; none if one of them does not hold, or has a number that is from nowhere."""
    known = set(varied)
    found: list[_Equation] = []
    for left, right in sides_in(_without_bullets(rationale)):
        value = evaluate(left)
        claim = [token for token in right if token.kind in ("number", "operator", "(")]
        if value is None or len(claim) != 1 or claim[0].kind != "number" or claim[0].percent:
            return ()  # "3 + 4 = 7 + 2 = 9" among them
        operands = _operands(left)
        if not operands or not operands <= known | fixed or any(token.percent for token in left):
            return ()
        if not any(token.kind == "operator" for token in left):
            return ()
        if value.denominator != 1 or value != claim[0].value or value in fixed:
            return ()
        known.add(value.numerator)
        found.append(_Equation(tuple(left), value.numerator))
    return tuple(found) if len(found) == rationale.count("=") else ()


def _operands(tokens: Sequence[Token]) -> set[int | Fraction]:
    values = (token.value for token in tokens if token.kind == "number")
    return {value.numerator if value.denominator == 1 else value for value in values}


def _numbers(text: str) -> Iterator[tuple[_Place | None, Fraction]]:
    """Every number of a text; without a place where it is no plain whole one: "2.5", "50%", "3rd", "1/2", "10:30"."""
    bare = _without_bullets(text)
    for token in read_tokens(bare):
        if token.kind != "number":
            if any(map(str.isdigit, token.text)):  # "3rd", "x2": part of a word
                yield None, Fraction(int("".join(re.findall(r"[0-9]", token.text)) or 0))
            continue
        digits = _DIGITS.search(bare, token.start, token.end)
        if digits is None:
            yield None, token.value
            continue
        start, end = digits.span()
        plain = _WHOLE.fullmatch(bare[start:end]) and not token.percent and token.value == int(_bare(digits[0]))
        if plain and not _is_attached(bare, start, end) and token.value not in ALWAYS:
            yield _Place(start, end, int(_bare(digits[0])), "," in digits[0]), token.value
        else:
            yield None, token.value


def _is_attached(text: str, start: int, end: int) -> bool:
    """Whether a number is part of something else. A sentence's end, and the sign of an equation, are not."""
    before = text[start - 1 : start]
    after = text[end : end + 2]
    if before and _BESIDE.match(before):
        return True
    if not after or not _BESIDE.match(after[0]):
        return False
    return not (after[0] in ".,:'’" and (len(after) == 1 or not after[1].isalnum()))


def _without_bullets(text: str) -> str:
    """The numbers of a list's points are blanked, so that places stay what they are."""
    return _BULLET.sub(lambda found: " " * len(found[0]), text)


def _bare(digits: str) -> str:
    return digits.replace(",", "")


def _shape(number: int) -> tuple[int, int]:
    """How many digits it has, and how many zeros at the end."""
    digits = str(number)
    return len(digits), len(digits) - len(digits.rstrip("0"))


def _like(old: int, draw: random.Random) -> int:
    """A number of as many digits and at least as many zeros at the end."""
    length, zeros = _shape(old)
    step = int(10**zeros)
    low = max(2, int(10 ** (length - 1)))
    return draw.randrange(-(-low // step), int(10**length) // step) * step


def _filled(token: Token, numbers: Mapping[int, int]) -> Token:
    if token.kind != "number" or token.value.denominator != 1:
        return token
    number = token.value.numerator
    return token._replace(text=str(numbers.get(number, number)))


def _with(text: str, places: Sequence[_Place], numbers: Mapping[int, int]) -> str:
    parts, end = [], 0
    for place in places:
        new = numbers[place.value]
        parts += [text[end : place.start], f"{new:,}" if place.commas else str(new)]
        end = place.end
    return "".join([*parts, text[end:]])

"""Whether a rationale's answer comes from its question's numbers by its own equations.

A teacher that is told the answer can write it behind any reasoning: "9 - 7 = 2 birds. So the answer is 5." Its answer
is right, and so are its equations; a student that learns from it learns to guess. Rules that go by the answer alone, as
those of Zelikman et al. 2022 (STaR, arXiv 2203.14465) and Ho et al. 2023 (arXiv 2212.10071), let it through.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from fractions import Fraction

from tutelage.evaluation.steps import LONGEST, with_equals_signs
from tutelage.records import Question
from tutelage.rounds.renumbering import brought_by_words
from tutelage.teacher.tutor.arithmetic import SENTENCE, Token, clean, evaluate, read_sides, read_tokens

_DIGITS = re.compile(r"[0-9]{1,20}")
_HUNDRED = Fraction(100)
_CENTS = re.compile(r"\bcents?\b|¢", re.IGNORECASE)


def is_founded(rationale: str, question: Question) -> bool:
    """False where an equation computes with a number from nowhere, or where no equation comes to the answer.

    A number may be one of the question, what its words or those of the rationale bring with them ("half", "a week"), or
    what an equation before came to. What was worked out in the head is from nowhere: a small student cannot do that.
    True for all that is no question for a number, and for what is too long to be read. Never raises, on any text.
    """
    if question.kind != "number" or question.choices or max(len(rationale), len(question.text)) > LONGEST:
        return True
    answer = _number(question.answer)
    if answer is None:
        return True
    known = {*_numbers(question.text), *map(Fraction, brought_by_words(rationale, counting=False))}
    reached, before, algebra = False, None, False
    for left, right, counts in _equations(with_equals_signs(clean(rationale))):
        if not any(token.kind == "operator" for token in left):
            # "Eggs left = 16" comes to nothing; "2x + 3 = 9, so x = 3" and "4(5) = 20" do, but cannot be read.
            algebra = algebra or counts
            if not algebra:
                continue
        # The 7 of "2 * (3 + 4) = 2 * 7 = 14" was said to be what the side before comes to.
        if left != before and not known.issuperset(value for token in left for value in _operand(token, known)):
            return False
        results = set(_results(left, right))
        reached = reached or not results.isdisjoint((answer, -answer))
        known |= results
        before = right
    return reached


def _equations(text: str) -> Iterator[tuple[list[Token], list[Token], bool]]:
    """The sides of each equals sign, as `sides_in` has them, and whether something is computed before it at all."""
    for sentence in SENTENCE.finditer(text):
        tokens = read_tokens(sentence[0])
        signs = [place for place, token in enumerate(tokens) if token.kind == "="]
        for (left, right), start, end in zip(read_sides(tokens), [-1, *signs], signs, strict=False):
            before = tokens[start + 1 : end]
            yield left, right, len(before) > 1 and any(token.kind == "number" for token in before)


def _numbers(text: str) -> Iterator[Fraction]:
    """All that a question's numbers and words say: a half is 0.5 as well, 50 cents are $0.50; 20% leave 80%."""
    for quantity in brought_by_words(text):
        yield Fraction(quantity)
        if quantity:
            yield Fraction(1, quantity)
    cents = _CENTS.search(text) is not None
    for token in read_tokens(text):
        if token.kind == "number":
            yield token.value
            if cents:
                yield token.value / 100
            if token.percent:
                yield from (_HUNDRED, token.value * 100, 1 - token.value, 100 - token.value * 100, 1 + token.value)
        elif token.kind == "word":
            yield from map(Fraction, _DIGITS.findall(token.text))


def _operand(token: Token, known: set[Fraction]) -> Iterator[Fraction]:
    """The number of a token, if it is one; a percentage may be known by its number alone."""
    if token.kind == "number":
        yield token.value * 100 if token.percent and token.value * 100 in known else token.value


def _results(left: Sequence[Token], right: Sequence[Token]) -> Iterator[Fraction]:
    """What an equation comes to: as it says, and really, which may be another number where it is rounded or wrong."""
    said = next((token for token in right if token.kind == "number"), None)
    if said is not None:
        yield from (said.value, -said.value)
        if said.percent:
            yield said.value * 100
    yield from (value for side in (left, right) if (value := evaluate(side)) is not None)


def _number(answer: str) -> Fraction | None:
    try:
        return Fraction(answer)
    except (ValueError, ZeroDivisionError):
        return None

"""A rationale's answer if each of its equations had been worked out exactly: does it reason right and compute wrong?

Source: Wei et al. 2022 (arXiv 2201.11903), who put an external calculator behind finished chains of thought. As there,
nothing is generated anew: the equations are worked out in their order, and what one comes to takes the place of what
the rationale says of it wherever that number stands later on, in equations and as the answer.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from fractions import Fraction

from tutelage.evaluation.steps import LONGEST
from tutelage.teacher.tutor.arithmetic import DIGITS, Token, clean, evaluate, is_negative, show, sides_in

_NUMBER = re.compile(rf"-?[0-9]{{1,{DIGITS}}}(?:\.[0-9]{{1,{DIGITS}}})?")


def calculated_answer(rationale: str, answer: str | None) -> str | None:
    """The answer, or what an exact calculator makes of it; the answer as it is where it is no equation's result.

    answer: in canonical form, None where none could be read. Never raises, on any text.
    """
    if answer is None or not _NUMBER.fullmatch(answer):
        return answer
    number = Fraction(answer)
    result = exact_results(rationale).get(number)
    return answer if result is None or _is_rounded(result, number) else show(result)


def exact_results(rationale: str) -> dict[Fraction, Fraction]:
    """What the equations of a rationale really come to, by what they are said to come to; the last of the same ones."""
    results: dict[Fraction, Fraction] = {}
    if len(rationale) > LONGEST:
        return results
    for left, right in sides_in(clean(rationale)):
        claim = _claim(left, right)
        if claim is None or not any(token.kind == "operator" for token in left[1:]):
            continue
        value = evaluate([part for token in left for part in _exact(token, results)])
        # "1 hour - 20 minutes = 40 minutes" is no slip of computing.
        if value is not None and not value < 0 < claim and _is_written(value):
            results[claim] = value
    return results


def _claim(left: Sequence[Token], right: Sequence[Token]) -> Fraction | None:
    """What the right side says of the left one; None if that is not clear.

    In "2 * (3 + 4) = 2 * 7 = 14" the 2 says nothing, in "3 + 4 = 7 + 2 = 9" the 7 does.
    """
    number = next((token for token in right if token.kind == "number"), None)
    if number is None:
        return None
    claim = -number.value if is_negative(right) else number.value
    whole = evaluate(right)
    if whole in (None, claim):
        return claim
    value = evaluate(left)
    return whole if value == whole else claim if value == claim else None


def _exact(token: Token, results: Mapping[Fraction, Fraction]) -> Sequence[Token]:
    """With the result in a number's place; a whole number stays that no number can be put for: a third, or a debt."""
    found = results.get(token.value) if token.kind == "number" and not token.percent else None
    if found is None:
        return [token]
    if re.fullmatch(r"[\d.]+", text := show(found)):
        return [token._replace(text=text)]
    if token.value.denominator == 1 or found < 0:
        return [token]
    above, below = (token._replace(text=str(part)) for part in (found.numerator, found.denominator))
    opened, over, closed = (Token(kind, sign, 0, 0) for kind, sign in (("(", "("), ("operator", "/"), (")", ")")))
    return [opened, above, over, below, closed]


def _is_rounded(result: Fraction, number: Fraction) -> bool:
    """Whether a number with decimals is the result but for those that it leaves out."""
    decimals = len(show(number).partition(".")[2])
    return decimals > 0 and abs(result - number) * int(10**decimals) < 1


def _is_written(number: Fraction) -> bool:
    """Whether its digits are few enough to be read again."""
    return max(abs(number.numerator), number.denominator) < int(10**DIGITS)

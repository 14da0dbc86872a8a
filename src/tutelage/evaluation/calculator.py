"""A rationale's answer if each of its equations had been worked out exactly: does it reason right and compute wrong?

Source: Wei et al. 2022 (arXiv 2201.11903), who put an external calculator behind finished chains of thought. As there,
nothing is generated anew: the equations are worked out in their order, and what one comes to takes the place of what
the rationale says of it wherever that number stands later on, in equations and as the answer.
"""

from __future__ import annotations

import re
from fractions import Fraction

from tutelage.teacher.tutor.arithmetic import Token, clean, evaluate, read_sides, read_tokens, show

LONGEST = 20_000
"""Characters of a rationale beyond which it is not read."""
_SENTENCE = re.compile(r"\S(?:[^\n.!?;]|[.!?;](?!\s))*")


def calculated_answer(rationale: str, answer: str | None) -> str | None:
    """The answer, or what an exact calculator makes of it; the answer as it is where it is no equation's result.

    answer: in canonical form, None where none could be read. Never raises, on any text.
    """
    try:
        number = Fraction(answer or "")
    except (ValueError, ZeroDivisionError):  # none, or a percentage
        return answer
    results = exact_results(rationale)
    return show(results[number]) if number in results else answer


def exact_results(rationale: str) -> dict[Fraction, Fraction]:
    """What the equations of a rationale really come to, by what they are said to come to; the last of the same ones."""
    results: dict[Fraction, Fraction] = {}
    if len(rationale) > LONGEST:
        return results
    for sentence in _SENTENCE.finditer(clean(rationale)):
        for left, right in read_sides(read_tokens(sentence[0])):
            claim = next((token for token in right if token.kind == "number"), None)
            if claim is None or not any(token.kind == "operator" for token in left[1:]):
                continue
            value = evaluate([_exact(token, results) for token in left])
            if value is not None:
                results[claim.value] = value
    return results


def _exact(token: Token, results: dict[Fraction, Fraction]) -> Token:
    """With the result in a number's place; what no token can say, a third or less than nothing, stays as it is."""
    found = results.get(token.value) if token.kind == "number" and not token.percent else None
    text = "" if found is None else show(found)
    return token._replace(text=text) if re.fullmatch(r"[\d.]+", text) else token

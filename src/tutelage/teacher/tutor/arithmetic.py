"""Reads the steps of a written solution: its sentences, the numbers in them, and its equations.

An equation is an expression over numbers with + - * / (also × x · ÷ and "30% of 160"), an equals sign and a
number: "3 cows * 4 legs = 12 legs", "$1,000 - 12.5 x 8 = $900", "48/2 = <<48/2=24>>24". Values are exact fractions.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from typing import NamedTuple

LONGEST = 60
"""Tokens of an expression beyond which it is not read, so that odd text cannot cost time."""
DIGITS = 100
"""Digits of a number beyond which it is not read: the interpreter refuses to convert more than 4300."""
UNIT = 3
"""Words that may stand between a number and a sign: "2 meters per plant"."""


@dataclass(frozen=True, slots=True)
class Equation:
    """`text` as it stands in the solution. operands: as written, signs dropped. value: what the left side is.

    claimed: what the solution says it is. right: whether that is so, a rounded decimal included.
    """

    text: str
    operands: tuple[Fraction, ...]
    value: Fraction
    claimed: Fraction
    right: bool


@dataclass(frozen=True, slots=True)
class Step:
    """One sentence or line. numbers: all in it, without signs, results of its equations included."""

    text: str
    equations: tuple[Equation, ...]
    numbers: frozenset[Fraction]


class Token(NamedTuple):
    """kind: "number", "operator", "(", ")", "=", "word" or "break" (ends an expression). start, end: its slice.

    text: as it stands there, signs for computing alike; a number's with its currency. A tuple, since a report makes
    millions of them, and a dataclass takes three times as long.
    """

    kind: str
    text: str
    start: int
    end: int
    percent: bool = False

    @property
    def value(self) -> Fraction:
        return _fraction(self.text) / 100 if self.percent else _fraction(self.text)


SENTENCE = re.compile(r"\S(?:[^\n.!?;]|[.!?;](?!\s))*")
"""One sentence, or the rest of a line, with its place in a text. `read_steps` keeps no places."""

_NUMBER = r"\d{1,3}(?:,\d{3})+(?!\d)(?:\.\d+)?|\d+(?:\.\d+)?|\.\d+"
_WORD = r"[^\W\d_][\w'’]*(?:-[^\W\d_][\w'’]*)*"  # "t-shirt" subtracts nothing
# Most of a text is words and the blanks before them, so those that are no sign come first.
_TOKEN = re.compile(
    rf"\s?(?P<plain>(?!(?:[xX]|of)\b){_WORD})|(?P<number>[$€£]?\s?(?:{_NUMBER}))(?P<percent>\s?%)?"
    r"|(?P<operator>[+*×·÷/−–-]|\b[xX]\b(?=\s*[($€£\d])|\bof\b)"
    r"|(?P<open>\()|(?P<close>\))|(?P<equals>=)"
    rf"|(?P<word>{_WORD})"
    r"|(?P<break>[^\s])"
)
_KINDS = {"percent": "number", "open": "(", "close": ")", "equals": "="}
"""Of a token, by the group that matched last, where they are not called the same."""
_SIGNS = {"×": "*", "·": "*", "x": "*", "X": "*", "of": "*", "÷": "/", "−": "-", "–": "-"}
_BULLET = re.compile(r"^\s*(?:[-•*]\s+|\(?\d{1,2}[.)]\s+|step\s+\d+\s*[:.)]\s*)", re.IGNORECASE)
_SENTENCE_END = re.compile(r"(?<=[.!?;])\s+(?=\S)")


def clean(text: str) -> str:
    """The text without calculator marks "<<48/2=24>>", and up to its answer line ("#### 24", "Answer: 24")."""
    before = re.split(r"####|\banswer\s*:", text, maxsplit=1, flags=re.IGNORECASE)[0]
    return re.sub(r"<<[^<>]*>>", "", before).strip()


def read_steps(text: str) -> list[Step]:
    """The sentences and lines of a solution, in order; lines are split first, then sentences within them."""
    steps = []
    for line in clean(text).splitlines():
        bullet = _BULLET.match(line)
        start = bullet.end() if bullet else 0
        first, *others = _SENTENCE_END.split(line[start:].strip())
        steps += [read_step(sentence) for sentence in (line[:start] + first, *others) if sentence.strip()]
    return steps


def read_step(sentence: str) -> Step:
    """One sentence with its equations and the numbers in it; a bullet's or a step's own number does not count."""
    bare = _BULLET.sub("", sentence)
    tokens = read_tokens(bare)
    numbers = frozenset(_fraction(token.text) for token in tokens if token.kind == "number")
    return Step(sentence.strip(), tuple(_equations(bare, tokens)), numbers)


@lru_cache(maxsize=4096)  # what a student samples several times has many sentences twice
def read_equations(sentence: str) -> tuple[Equation, ...]:
    """The equations of one sentence alone, in order."""
    bare = _BULLET.sub("", sentence)
    return tuple(_equations(bare, read_tokens(bare)))


def read_numbers(text: str) -> frozenset[Fraction]:
    """All numbers in a text, without their signs."""
    return frozenset(_fraction(token.text) for token in read_tokens(text) if token.kind == "number")


def show(number: Fraction) -> str:
    """A number as people write it: "12", "2.5", or "10/3" where no short decimal is exact."""
    if number.denominator == 1:
        return str(number.numerator)
    scaled = number * 10_000
    if scaled.denominator != 1:
        return str(number)
    whole, part = divmod(abs(scaled.numerator), 10_000)  # exact, where a float rounds or overflows
    return f"{'-' if number < 0 else ''}{whole}.{part:04}".rstrip("0")


@lru_cache(maxsize=4096)  # making one takes longer than reading the rest of a step
def _fraction(text: str) -> Fraction:
    return Fraction(re.sub(r"[^\d.]", "", text))


def read_tokens(text: str) -> list[Token]:
    """What a text is made of, as far as it can belong to an expression or end one."""
    tokens = []
    for match in _TOKEN.finditer(text):
        if (group := match.lastgroup or "break") == "plain":
            tokens.append(Token("word", match["plain"], *match.span("plain")))
            continue
        found = match[0]
        kind, percent = _KINDS.get(group, group), group == "percent"
        if kind == "number":
            found = match["number"]
            if len(found) > DIGITS and sum(map(str.isdecimal, found)) > DIGITS:
                kind = "break"
        tokens.append(Token(kind, _SIGNS.get(found, found), *match.span(), percent))
    return tokens


def _equations(text: str, tokens: Sequence[Token]) -> list[Equation]:
    """Each "expression = number" of a sentence. "3 + 4 = 7 + 2 = 9", as children write it, is two."""
    found = []
    for left, right in read_sides(tokens):
        value, claim = evaluate(left), next((token for token in right if token.kind == "number"), None)
        if value is None or claim is None or not any(token.kind == "operator" for token in left[1:]):
            continue
        claimed = -claim.value if is_negative(right) else claim.value
        whole = evaluate(right)
        if whole is not None and whole == value:  # "2 * 6 = 3 * 4", "5 * 3 / 10 = 15/10 = 1.5"
            claimed = whole
        operands = tuple(_fraction(token.text) for token in left if token.kind == "number")
        span = text[left[0].start : claim.end].strip()
        found.append(Equation(span, operands, value, claimed, _agrees(value, claimed, claim)))
    return found


def sides_in(text: str) -> Iterator[tuple[list[Token], list[Token]]]:
    """`read_sides` of a text, sentence by sentence."""
    for sentence in SENTENCE.finditer(text):
        yield from read_sides(read_tokens(sentence[0]))


def read_sides(tokens: Sequence[Token]) -> Iterator[tuple[list[Token], list[Token]]]:
    """The tokens on the left and on the right of each equals sign; of "3 + 4 = 7 + 2 = 9" the middle ones twice.

    A side can be empty, or no expression.
    """
    for (left, linked), (right, _) in itertools.pairwise(_sides(tokens)):
        if linked and len(left) <= LONGEST:
            yield left, right


def _sides(tokens: Sequence[Token]) -> list[tuple[list[Token], bool]]:
    """The runs of tokens that can be expressions, each with whether an equals sign links it to the next one.

    One with a variable in it, as in "3 * t + 6 = 48", is empty: it cannot be judged.
    """
    sides: list[tuple[list[Token], bool]] = []
    side: list[Token] = []
    words, unread = 0, False
    for place, token in enumerate(tokens):
        before = side[-1].kind if side else None
        if token.kind == "=":
            sides.append(([] if unread else _opened(side), True))
            side, words, unread = [], 0, False
        elif token.kind == "word" and _is_variable(token.text):
            sides.append((_opened(side), False))
            side, unread = [], True
        elif token.kind == "word" or (token.kind == "operator" and not _is_operator(tokens, place, bool(side))):
            words += 1
        elif token.kind == "break" or (before in ("number", ")") and token.kind in ("number", "(")):
            sides.append((_opened(side), False))
            # "1 1/2" and "66(1/3)" are one number each, and not read.
            unread = unread or (before == "number" and words == 0 and token.kind != "break")
            side, words = ([token] if token.kind in ("number", "(") else []), 0
        else:
            if words > UNIT and token.kind != ")":  # this is prose between two numbers
                sides.append((_opened(side), False))
                side = []
            side.append(token)
            words = 0
    return [*sides, (_opened(side), False)]


def _is_variable(word: str) -> bool:
    return word not in ("a", "A", "I") and all(len(part) == 1 for part in word.split("-"))  # "x", "x-x"


def _is_operator(tokens: Sequence[Token], place: int, started: bool) -> bool:
    """Whether a sign between tokens computes: "4 legs/cow" and "12-year-old" do not."""
    after = list(tokens[place + 1 : place + 3])
    if len(after) == 2 and after[0].text == "-":  # "2 - -3"
        after.pop(0)
    if not after or after[0].kind not in ("number", "("):
        return False
    if tokens[place].end - tokens[place].start == 2:  # "of" computes after "30%" and after "1/2" only
        before = tokens[max(0, place - 2) : place]
        return bool(before) and before[-1].kind == "number" and (before[-1].percent or before[0].text == "/")
    return started or tokens[place].text == "-"


def _opened(side: Sequence[Token]) -> list[Token]:
    """Without parentheses that belong to the prose around the expression."""
    kinds = [token.kind for token in side]
    start, unclosed = 0, kinds.count("(") - kinds.count(")")
    while start < len(kinds) and (kinds[start] == ")" or unclosed > 0):
        unclosed -= {"(": 1, ")": -1}.get(kinds[start], 0)
        start += 1
    return list(side[start:])


def is_negative(side: Sequence[Token]) -> bool:
    """Whether a side of an equation begins with a number below zero."""
    return len(side) > 1 and side[0].text == "-" and side[1].kind == "number"


def _agrees(value: Fraction, claimed: Fraction, claim: Token) -> bool:
    if value == claimed or (claim.percent and value == claimed * 100):
        return True
    decimals = len(claim.text.partition(".")[2])
    return decimals > 0 and abs(value - claimed) * (10**decimals) * (100 if claim.percent else 1) < 1


def evaluate(tokens: Sequence[Token]) -> Fraction | None:
    """What an expression is; None if it is none. Precedence climbing over a list that is used up."""
    rest = list(reversed(tokens))
    try:
        value = _sum(rest)
    except (ValueError, IndexError, ZeroDivisionError):
        return None
    return value if not rest else None


def _sum(rest: list[Token]) -> Fraction:
    value = _product(rest)
    while rest and rest[-1].text in ("+", "-"):
        sign = 1 if rest.pop().text == "+" else -1
        value += sign * _product(rest)
    return value


def _product(rest: list[Token]) -> Fraction:
    value = _atom(rest)
    while rest and rest[-1].text in ("*", "/"):
        if rest.pop().text == "*":
            value *= _atom(rest)
        else:
            value /= _atom(rest)
    return value


def _atom(rest: list[Token]) -> Fraction:
    token = rest.pop()
    if token.text == "-":
        return -_atom(rest)
    if token.kind == "number":
        return token.value
    if token.kind != "(":
        raise ValueError(token.text)
    value = _sum(rest)
    if rest.pop().kind != ")":
        raise ValueError("unclosed")
    return value

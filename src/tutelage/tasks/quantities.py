"""Numbers as people and models write them, read exactly: "1,000", "$18.00", "-5", "1/2", "3 1/2", "50%", "1e3", LaTeX.

Every value is a `fractions.Fraction`; nothing is rounded, so 0.33 is not 1/3. Length and exponents are
bounded, so that no text can make the reader hang; nothing here raises on any text.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from fractions import Fraction

from tutelage.tasks.expressions import evaluate

_DIGITS = 100  # longest run of digits that is still a number; the interpreter refuses to convert beyond 4300
_DECIMALS = 12  # longest decimal fraction in canonical form; a longer one stays p/q

_NUMBER = re.compile(
    r"""
    (?P<currency>[$€£¥₹]\s?(?P<inner>-)?)?
    (?<![^\W_])(?<!\^)                                   # not inside a word, not an exponent
    (?P<digits>(?:\d{1,3}(?:,\d{3})++(?!\d)|\d++)(?:\.\d++)?|(?<![\w.])\.\d++)
    (?!(?:st|nd|rd|th)\b)                                # "3rd" counts nothing
    (?:[eE](?P<e>[-+]?\d{1,2})(?!\w)|\s?[x×*]\s?10\s?\^\s?\{?(?P<power>-?\d{1,2})\}?(?!\d))?
    (?:(?:\s+and)?\s+(?P<over>\d++)\s?/\s?(?P<under>\d++)(?![\w/]))?
    (?:\s?/\s?(?P<divisor>\d++(?:,\d{3})*+(?:\.\d++)?)(?!\s?/\s?\d))?
    (?![eE][-+]?\d)(?!\s?\.?[\^√π])                                      # part of an expression that this cannot read
    \s?(?P<percent>%|per\s?cent\b)?
    """,
    re.VERBOSE | re.IGNORECASE,
)
_MINUS = dict.fromkeys("−–﹣-", "-")
_SEPARATORS = {"٫": ".", "٬": ",", "\u2009": " ", "\u202f": " ", "\u00a0": " "}
_LATEX = [
    (re.compile(pattern), replacement)
    for pattern, replacement in [
        (r"\\(?:text|textbf|textit|mathrm|mathbf|mathit|boldsymbol|mbox)\s*\{([^{}]*)\}", r"\1"),
        (r"(?<=\d)(?:\\,|\{,\})(?=\d{3})", ","),
        (r"\\!", ""),
        (r"\\[,;: ]|\\q?quad\b|~|\\left\b|\\right\b", " "),
        (r"\\([%$])", r"\1"),
        (r"\\times\b|\\cdot\b", "×"),
        (r"\\div\b", "÷"),
        (r"\\(?:pi)\b", "π"),
        (r"[\d.]*\\(?:overline|bar|dot)\s*\{[^{}]*\}", "√"),  # a repeating decimal is no finite one
        (r"\\sqrt\s*(?:\[[^\[\]]*\])?\s*\{[^{}]*\}", "√"),
        (r"\^\s*\{?\s*\\circ\s*\}?", "°"),
        (r"(?<=[^\W\d_])\^\s*\{?\s*\d+\s*\}?", ""),  # the square of a unit
    ]
]
_FRACTION = re.compile(r"\\[dtc]?frac\s*(?:\{\s*([\d.,]+)\s*\}\s*\{\s*([\d.,]+)\s*\}|(\d)\s*(\d))")


def plain(text: str) -> str:
    """The text with its digits, minus signs and LaTeX in plain characters; words stay as they are."""
    if not text.isascii():
        text = "".join(_plain_character(text, place) if mark > "\x7f" else mark for place, mark in enumerate(text))
    if "\\" in text or "^" in text or "{," in text:
        text = _FRACTION.sub(_plain_fraction, text)
        for pattern, replacement in _LATEX:
            text = pattern.sub(replacement, text)
    return text


def _plain_character(text: str, place: int) -> str:
    mark = text[place]
    if mark in _MINUS or mark in _SEPARATORS:
        return _MINUS.get(mark) or _SEPARATORS[mark]
    digit = unicodedata.decimal(mark, None)
    if digit is not None:
        return str(digit)
    over, slash, under = unicodedata.normalize("NFKC", mark).partition("⁄")
    if slash and over.isdecimal() and under.isdecimal():  # "3½" is "3 1/2", never 31/2
        return f"{_gap(text, place)}{over}/{under}"
    return mark


def _plain_fraction(match: re.Match[str]) -> str:
    over, under = match[1] or match[3], match[2] or match[4]
    return f"{_gap(match.string, match.start())}{over}/{under}"


def _gap(text: str, place: int) -> str:
    return " " if place and text[place - 1].isdecimal() else ""


def numbers_in(text: str, percent_is_share: bool = False) -> Iterator[Fraction]:
    """The numbers in a text, in order; exponents, ordinals, and digits inside a word are none.

    percent_is_share: 50% is one half; otherwise it is 50.
    """
    text = plain(text)
    place = 0
    while match := _NUMBER.search(text, place):
        place = match.end()
        value, used = _value(match)
        if used is not None:
            place = used
        if value is None:
            continue
        if match["percent"] and percent_is_share and used is None:
            value /= 100
        if match["inner"] or _has_minus(text, match.start()):
            value = -value
        if _is_small(value):
            yield value


def _value(match: re.Match[str]) -> tuple[Fraction | None, int | None]:
    """The value without its sign, and where to read on if only the first part of the match is one number."""
    parts = [match[name] for name in ("digits", "over", "under", "divisor") if match[name]]
    if any(len(part) > _DIGITS for part in parts):
        return None, None
    value = Fraction(match["digits"].replace(",", ""))
    if exponent := match["e"] or match["power"]:
        value *= Fraction(10) ** int(exponent)
    if match["over"]:
        over, under = int(match["over"]), int(match["under"])
        if value.denominator == 1 and 0 < over < under and not exponent:
            return value + Fraction(over, under), None
        return value, match.start("over")  # "2 10/5" is two numbers, "3 1/2" one
    if match["divisor"]:
        divisor = Fraction(match["divisor"].replace(",", ""))
        return (value / divisor if divisor else None), None
    return value, None


def _has_minus(text: str, start: int) -> bool:
    """Whether the number at `start` carries a minus sign: not the hyphen of "3-5", not the operator of "25 - 5"."""
    if not start or text[start - 1] != "-":
        return False
    before = start - 2
    if before >= 0 and (text[before].isalnum() or text[before] in ")]}%-"):
        return False
    while before >= 0 and text[before] in " \t":
        before -= 1
    return before < 0 or (text[before] not in ")%" and not text[before].isdecimal())


def _is_small(value: Fraction) -> bool:
    limit: int = 10**_DIGITS
    return abs(value.numerator) < limit and value.denominator < limit


def whole_number(text: str, percent_is_share: bool = False) -> Fraction | None:
    """The one number that a text states, units allowed ("8 apples"), or the value of an expression in LaTeX.

    None when there is none, or when it is not clear which one is meant ("25 - 5", "5-8").
    """
    found: list[Fraction] = []
    for value in numbers_in(text, percent_is_share):
        found.append(value)
        if len(found) > 1:
            break
    if len(found) == 1 and "√" not in plain(text):
        return found[0]
    value_of_expression = evaluate(text)
    if value_of_expression is not None and _is_small(value_of_expression):
        return value_of_expression
    return None


def number_text(value: Fraction) -> str:
    """The canonical text: an integer, a decimal of up to 12 places where that is exact, or else "p/q"."""
    if value.denominator == 1:
        return str(value.numerator)
    scaled = value * 10**_DECIMALS
    if scaled.denominator != 1:
        return f"{value.numerator}/{value.denominator}"
    digits = str(abs(scaled.numerator)).rjust(_DECIMALS + 1, "0")
    sign = "-" if value < 0 else ""
    return f"{sign}{digits[:-_DECIMALS]}.{digits[-_DECIMALS:].rstrip('0')}"

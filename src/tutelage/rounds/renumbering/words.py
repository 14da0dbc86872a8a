"""What words say of numbers: which quantities they bring with them, and which numbers they bind."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

_BRINGS: Mapping[tuple[int, ...], str] = {
    (2,): "two twice double doubles doubled half halves halved pair couple both second another average mean twins "
    "either",
    (3,): "three third thirds triple triples tripled thrice triplets",
    (4,): "four fourth fourths quadruple quadruples quadrupled",
    (5,): "five fifth nickel nickels",
    (6,): "six sixth",
    (7,): "seven seventh",
    (8,): "eight eighth",
    (9,): "nine ninth",
    (10,): "ten tenth decade dime dimes centimeter centimeters cm",
    (11,): "eleven",
    (12,): "twelve dozen dozens",
    **{(number,): word for number, word in enumerate(("thirteen", "fourteen", "fifteen", "sixteen"), 13)},
    **{(number,): word for number, word in enumerate(("seventeen", "eighteen", "nineteen"), 17)},
    (20,): "twenty score",
    **{(10 * number,): word for number, word in enumerate(("thirty", "forty", "fifty", "sixty"), 3)},
    **{(10 * number,): word for number, word in enumerate(("seventy", "eighty", "ninety"), 7)},
    (100,): "hundred century percent percentage cent cents penny pennies meter meters",
    (1000,): "thousand kilometer kilometers km kilogram kilograms kg gram grams liter liters",
    (5280,): "mile miles",
    (1_000_000,): "million",
    (3, 4, 15, 25): "quarter quarters",
    (12, 24, 30, 60, 3600): "second seconds minute minutes hour hours hourly",
    (7, 24): "day days daily",
    (2, 5): "weekday weekdays weekend weekends",
    (4, 5, 7, 52): "week weeks weekly",
    (4, 12, 28, 30, 31): "month months monthly",
    (12, 52, 365, 366): "year years yearly annual annually",
    (3, 12, 36): "inch inches foot feet yard yards",
    (2, 4, 8, 16): "ounce ounces pound pounds gallon gallons pint pints quart quarts cup cups",
    (2, 3, 4): "square squares rectangle rectangular perimeter triangle",
}
"""Quantities by the words for them, or by those where people compute with them: they stay as they are."""
_BROUGHT_BY: dict[str, set[int]] = {}
for _quantities, _words in _BRINGS.items():
    for _word in _words.split():
        _BROUGHT_BY.setdefault(_word, set()).update(_quantities)
_TENS = "twenty|thirty|forty|fifty|sixty|seventy|eighty|ninety"
_ONES = "one|two|three|four|five|six|seven|eight|nine"
_COMPOUND = re.compile(rf"\b(?:({_TENS})[-\s]({_ONES})|({_ONES}|ten|eleven|twelve)[-\s](hundred|thousand))\b")
ALWAYS = (0, 1)
"""A number of one or none changes the words around it, so it stays, too."""
_PLAIN = frozenset(
    f"{_ONES.replace('|', ' ')} ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen "
    f"{_TENS.replace('|', ' ')} hundred thousand".split()
)
"""Words that only count. Of a rationale's own they may stand for a result: "7 others and this one are eight"."""
_CHOICE = re.compile(
    r"[<>≥≤≈]|\b(?:at\s(?:least|most)|the\s(?:most|least)|round(?:s|ed|ing)?\s(?:up|down|to|off)|rounded|rounding"
    r"|(?:is|are|was|were)\s(?:more|less|greater|higher|lower|fewer|smaller|larger|bigger)\sthan"
    r"|cheap(?:er|est)|(?:larg|small|great|high|low|long|short|fast|bigg)est|best|maximum|exceeds?)\b",
    re.IGNORECASE,
)
"""What other numbers could turn round: the dearer of two, or packs rounded up."""
_SPAN = r"(?:minute|hour|day|morning|afternoon|evening|night|week|month)s?"
_BOUND = re.compile(
    rf"\b(\d+)[-\s]{_SPAN}\s(?:[a-z]+\s)?(?:an?|per|each|every|of\s(?:the|each|every))\s(?:hour|day|week|month|year)\b"
    r"|\b(\d+)-hour\s(?:day|shift|week)\b"
    r"|\b(\d+)\s?(?:[ap]\.?m\b|o['’]clock)"
    r"|\b(?:january|february|march|april|may|june|july|august|september|october|november|december)\s(\d+)"
    r"|\b(\d+)\s(?:january|february|march|april|may|june|july|august|september|october|november|december)\b"
    r"|(?<![$€£,.\d])\b((?:1[5-9]|20)\d\d)\b(?![,.]\d)"
)
"""Hours of a day, days of a week, times of day, dates and years: few other numbers make sense there, so these stay."""


def brought_by_words(text: str, counting: bool = True) -> set[int]:
    """The quantities that a text's words bring with them. counting: whether words count that do nothing else."""
    words = [word for word in re.findall(r"[a-z]+", text.lower()) if counting or word not in _PLAIN]
    found = {*ALWAYS, *(value for word in words for value in _BROUGHT_BY.get(word, ()))}
    return found.union(_compounds(text)) if counting else found


def _compounds(text: str) -> Iterator[int]:
    """The 25 of "twenty-five", the 300 of "three hundred"."""
    for tens, ones, count, scale in _COMPOUND.findall(text.lower()):
        yield _named(tens) + _named(ones) if tens else _named(count) * _named(scale)


def _named(word: str) -> int:
    return 1 if word == "one" else max(_BROUGHT_BY[word])


def bound_numbers(text: str) -> set[int]:
    """The numbers of a text that are hours of a day, days of a week, times of day, dates or years."""
    return {int(number) for groups in _BOUND.findall(text.lower()) for number in groups if number}


def is_choice(rationale: str) -> bool:
    """Whether a rationale compares, picks or rounds: other numbers could turn that round."""
    return _CHOICE.search(rationale) is not None

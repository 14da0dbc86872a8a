"""Whether one student is better than another: paired tests on the same questions, and the spread over seeds."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from tutelage.errors import DataError

Z = 1.959963984540054
"""Of a two-sided 95 % interval: the normal distribution's 97.5 % point."""
ALPHA = 0.05
"""The chance of calling a difference significant where there is none."""


@dataclass(frozen=True, slots=True)
class Paired:
    """Two students' answers to the same questions, compared.

    only_first, only_second: questions that one alone has right; both, neither: the others.
    p_value: of the exact McNemar test, two-sided. difference: second's accuracy minus first's, a fraction of 1;
    interval: its 95 % interval.
    """

    only_first: int
    only_second: int
    both: int
    neither: int
    p_value: float
    difference: float
    interval: tuple[float, float]


@dataclass(frozen=True, slots=True)
class Spread:
    """Mean and sample standard deviation (over count - 1) of one value a seed; a single one has no deviation."""

    mean: float
    deviation: float | None
    count: int


def mcnemar(first: Mapping[str, bool], second: Mapping[str, bool]) -> Paired:
    """Compares two students question by question. Each maps a question's id to whether it is right.

    Source: McNemar 1947 in its exact form: of the questions that one student alone has right, each is the first's or
    the second's with the same chance. The interval is Tango's score interval (Statistics in Medicine 17, 1998, 891).
    Without any question the p-value is 1 and the interval [-1, 1].
    Raises: DataError if the two did not answer the same questions.
    """
    from scipy.stats import binomtest  # takes half a second to import

    _check_same(first, second)
    outcomes = [(first[question], second[question]) for question in first]
    counts = {pair: outcomes.count(pair) for pair in ((True, False), (False, True), (True, True), (False, False))}
    only_first, only_second = counts[True, False], counts[False, True]
    apart, total = only_first + only_second, len(outcomes)
    return Paired(
        only_first,
        only_second,
        both=counts[True, True],
        neither=counts[False, False],
        p_value=float(binomtest(only_second, apart).pvalue) if apart else 1.0,
        difference=(only_second - only_first) / total if total else 0.0,
        interval=paired_interval(only_first, only_second, total),
    )


def sign_flip(differences: Sequence[int]) -> float:
    """The exact two-sided p-value of a sum of differences, one a question, each as likely to be its opposite.

    A question's difference: in how many seeds the second student has it right, less in how many the first has. With one
    seed this is the exact McNemar test. The seeds' answers to one question stay together, however alike they are, so
    that several seeds are no further questions. Without any difference it is 1.
    Source: Fisher, The Design of Experiments, 1935, section 21; for the unit, Miller 2024 (arXiv 2411.00640), sec. 3.
    """
    import numpy as np

    sizes = [abs(one) for one in differences if one]
    reach = sum(sizes)
    chances = np.zeros(2 * reach + 1)  # of each sum from -reach to reach
    chances[reach] = 1.0
    for size in sizes:
        chances = (np.roll(chances, size) + np.roll(chances, -size)) / 2  # nothing ever leaves an end
    seen = abs(sum(differences))
    return min(1.0, float(math.fsum(chances[: reach - seen + 1]) + math.fsum(chances[reach + seen :]))) if seen else 1.0


def _check_same(first: Mapping[str, bool], second: Mapping[str, bool]) -> None:
    apart = sorted(first.keys() ^ second.keys())
    if apart:
        raise DataError(
            f"{len(apart)} of the questions to compare on were answered by one student only, such as {apart[0]!r}. "
            "A paired test needs the same questions on both sides: compare runs with the same task, data and seed of "
            "the split, or only the questions that both have."
        )


def paired_interval(only_first: float, only_second: float, total: float) -> tuple[float, float]:
    """The 95 % score interval for the difference (second minus first) of two accuracies on `total` same questions.

    Source: Tango 1998. It holds the differences that the score test keeps; that test of no difference is McNemar's
    without its continuity correction, so the interval and the test agree. Where the two agree on every question it is
    what Wilson's interval is for 0 of `total`. The counts may be means, and `total` an effective size: any numbers.
    """
    if total == 0:
        return -1.0, 1.0
    middle = (only_second - only_first) / total

    def score(difference: float) -> float:
        return _score(only_first, only_second, total, difference)

    low = _crossing(lambda difference: score(difference) > Z, -1.0, middle)
    high = _crossing(lambda difference: score(difference) >= -Z, middle, 1.0)
    return low, high


def _score(only_first: float, only_second: float, total: float, difference: float) -> float:
    """Tango's statistic: how many standard errors the counts lie above a difference; falls as that rises."""
    above = only_second - only_first - total * difference
    # The chance of "only the first is right" that is likeliest at this difference: a root of a x² + b x + c.
    a = 2 * total
    b = (2 * total - only_second + only_first) * difference - only_second - only_first
    c = -only_first * difference * (1 - difference)
    likeliest = (math.sqrt(max(b * b - 4 * a * c, 0.0)) - b) / (2 * a)
    variance = total * (2 * likeliest + difference * (1 - difference))
    if variance <= 0 or above == 0:
        return math.copysign(math.inf, above) if above else 0.0
    return above / math.sqrt(variance)


def _crossing(holds: Callable[[float], bool], low: float, high: float) -> float:
    """Where a condition that holds on the left of [low, high] ends, to the last digit; an end if it never changes."""
    if holds(high):
        return high
    while low < (middle := (low + high) / 2) < high:
        low, high = (middle, high) if holds(middle) else (low, middle)
    return high


def spread(values: Sequence[float]) -> Spread:
    """The mean of one value a seed, and how far the seeds lie apart. Raises: DataError without any."""
    if not values:
        raise DataError("There is no value to take a mean of: no seed has finished. Finish one, then compare.")
    mean = math.fsum(values) / len(values)
    squares = math.fsum((value - mean) ** 2 for value in values)
    return Spread(mean, math.sqrt(squares / (len(values) - 1)) if len(values) > 1 else None, len(values))


def holm(p_values: Sequence[float]) -> list[float]:
    """The p-values of several tests, adjusted so that the chance of any false gain stays below alpha; same order.

    Source: Holm 1979, the step-down form of Bonferroni's correction.
    """
    adjusted, highest = [0.0] * len(p_values), 0.0
    for done, place in enumerate(sorted(range(len(p_values)), key=lambda place: p_values[place])):
        highest = max(highest, min(1.0, (len(p_values) - done) * p_values[place]))
        adjusted[place] = highest
    return adjusted


def is_gain(paired: Paired, alpha: float = ALPHA) -> bool:
    """Whether the second student is better than the first beyond chance. Of many comparisons, adjust by `holm` first.

    Being better in these answers alone is not enough, and neither is a large difference on a few questions.
    """
    return paired.difference > 0 and paired.p_value <= alpha

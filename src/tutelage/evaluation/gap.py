"""How much of the way from the untrained student to its teacher a student has come."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import fmean

from tutelage.evaluation.significance import Z


@dataclass(frozen=True, slots=True)
class GapClosed:
    """share: 0 where the student is as good as the untrained one, 1 where it is as good as the teacher.

    interval: its 95 % interval on other questions of the kind, for the students as they are; None where these questions
    cannot tell the teacher from the untrained student, and so any share would do.
    """

    share: float
    interval: tuple[float, float] | None


def share_of_gap(untrained: float | None, reached: float | None, teacher: float | None) -> float | None:
    """The share by accuracies alone; None where there is no way to go."""
    if untrained is None or reached is None or teacher is None or teacher <= untrained:
        return None
    return (reached - untrained) / (teacher - untrained)


def gap_closed(
    untrained: Mapping[str, float], reached: Mapping[str, float], teacher: Mapping[str, float]
) -> GapClosed | None:
    """The share with its interval, from how each of three did at a question: 1 right, 0 wrong, or a mean over seeds.

    Only questions that all three were asked count. None where the teacher is no better than the untrained student.

    The interval is Fieller's for the ratio of two means that vary together (Fieller 1954, J. R. Stat. Soc. B 16, 175),
    over questions: each share s for which (reached - untrained) - s (teacher - untrained) may be 0 on average.
    """
    common = [one for one in untrained if one in reached and one in teacher]
    gained = [reached[one] - untrained[one] for one in common]
    lacked = [teacher[one] - untrained[one] for one in common]
    if not common or (share := share_of_gap(0.0, fmean(gained), fmean(lacked))) is None:
        return None
    return GapClosed(share, _fieller(gained, lacked))


def _fieller(above: list[float], below: list[float]) -> tuple[float, float] | None:
    """The interval of mean(above) / mean(below): the roots of a s² - 2 b s + c, where that is negative between them."""
    x, y, count = fmean(above), fmean(below), len(above)
    if count < 2:
        return None

    def covariance(one: list[float], mean: float, other: list[float], other_mean: float) -> float:
        products = [(a - mean) * (b - other_mean) for a, b in zip(one, other, strict=True)]
        return math.fsum(products) / (count - 1) / count

    square = Z * Z
    a = y * y - square * covariance(below, y, below, y)
    b = x * y - square * covariance(above, x, below, y)
    c = x * x - square * covariance(above, x, above, x)
    if a <= 0:
        return None
    half = math.sqrt(max(b * b - a * c, 0.0))
    return (b - half) / a, (b + half) / a

"""Accuracy with its confidence interval (Eq. 5)."""

from __future__ import annotations

from collections.abc import Iterable

from tutelage.records import Attempt, Score


def accuracy(attempts: Iterable[Attempt]) -> Score:
    """The share of right attempts, one a question, with the 95 % Wilson score interval.

    Source: Wilson 1927, as in scipy.stats. An empty set scores 0 with the interval [0, 1].
    """
    from scipy.stats import binomtest  # takes half a second to import

    outcomes = [attempt.correct for attempt in attempts]
    correct, total = sum(outcomes), len(outcomes)
    if total == 0:
        return Score(0.0, 0, 0, (0.0, 1.0))
    interval = binomtest(correct, total).proportion_ci(confidence_level=0.95, method="wilson")
    return Score(correct / total, correct, total, (float(interval.low), float(interval.high)))

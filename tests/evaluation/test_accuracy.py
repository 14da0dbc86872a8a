"""Accuracy and its interval."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tutelage.evaluation.accuracy import accuracy
from tutelage.records import Attempt


def attempts(correct: int, wrong: int) -> list[Attempt]:
    outcomes = [True] * correct + [False] * wrong
    return [Attempt(f"q{place}", 0, "", "", None, right, 1, True) for place, right in enumerate(outcomes)]


def test_the_wilson_interval_of_ten_in_a_hundred() -> None:
    # By hand: centre (0.1 + z²/200) / (1 + z²/100), half width z·√(0.09/100 + z²/40000) / (1 + z²/100), z = 1.959964.
    score = accuracy(attempts(10, 90))
    assert (score.accuracy, score.correct, score.total) == (0.1, 10, 100)
    assert score.interval == pytest.approx((0.05523, 0.17437), abs=1e-5)


@given(st.integers(0, 300), st.integers(0, 300))
def test_the_interval_holds_the_accuracy(correct: int, wrong: int) -> None:
    score = accuracy(attempts(correct, wrong))
    low, high = score.interval
    assert 0 <= low <= score.accuracy + 1e-12
    assert score.accuracy - 1e-12 <= high <= 1

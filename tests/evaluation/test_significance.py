"""Paired tests, their intervals, spreads and Holm's correction, against other derivations of the same numbers."""

from __future__ import annotations

import math
from itertools import pairwise, product
from statistics import mean, stdev

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import brentq, minimize_scalar
from scipy.stats import binom, binomtest, norm

from tutelage.errors import DataError
from tutelage.evaluation.significance import Paired, holm, is_gain, mcnemar, paired_interval, sign_flip, spread

COUNTS = st.tuples(*(st.integers(0, 40) for _ in range(4))).filter(any)


def answers(only_first: int, only_second: int, both: int, neither: int) -> tuple[dict[str, bool], dict[str, bool]]:
    """Two students' answers with these counts; the second's in another order."""
    kinds = [(True, False)] * only_first + [(False, True)] * only_second + [(True, True)] * both
    pairs = {f"q/{place}": pair for place, pair in enumerate(kinds + [(False, False)] * neither)}
    first = {question: pair[0] for question, pair in pairs.items()}
    return first, {question: pair[1] for question, pair in reversed(pairs.items())}


def by_likelihood(only_first: int, only_second: int, total: int) -> tuple[float, float]:
    """The score interval found numerically: the likelihood's maximum, its variance, the roots of z = ±1.96."""

    def z(difference: float) -> float:
        def minus_log_likelihood(first: float) -> float:
            cells = (first, first + difference, 1 - 2 * first - difference)
            counts = (only_first, only_second, total - only_first - only_second)
            return -sum(n * math.log(p) if p > 0 else math.inf for n, p in zip(counts, cells, strict=True) if n)

        bounds = (max(0.0, -difference), (1 - difference) / 2)
        first = minimize_scalar(minus_log_likelihood, bounds=bounds, method="bounded", options={"xatol": 1e-12}).x
        variance = (2 * first + difference - difference**2) / total
        return float(((only_second - only_first) / total - difference) / math.sqrt(variance))

    point, middle = norm.ppf(0.975), (only_second - only_first) / total
    low = brentq(lambda difference: z(difference) - point, -1 + 1e-9, middle)
    return low, brentq(lambda difference: z(difference) + point, middle, 1 - 1e-9)


@given(COUNTS)
def test_the_counts_and_the_p_value_are_what_they_are_called(counts: tuple[int, int, int, int]) -> None:
    paired = mcnemar(*answers(*counts))
    assert (paired.only_first, paired.only_second, paired.both, paired.neither) == counts
    only_first, only_second = counts[:2]
    assert paired.difference == pytest.approx((only_second - only_first) / sum(counts))
    # Two-sided and exact: all splits of the questions in dispute that are at most as likely as this one.
    chances = binom.pmf(range(only_first + only_second + 1), only_first + only_second, 0.5)
    assert paired.p_value == pytest.approx(min(1.0, chances[chances <= chances[only_second] * (1 + 1e-9)].sum()))
    assert paired.interval[0] <= paired.difference <= paired.interval[1]


@given(COUNTS)
def test_exchanging_the_students_turns_the_comparison_round(counts: tuple[int, int, int, int]) -> None:
    first, second = answers(*counts)
    there, back = mcnemar(first, second), mcnemar(second, first)
    assert back.p_value == there.p_value
    assert back.difference == -there.difference
    assert back.interval == pytest.approx((-there.interval[1], -there.interval[0]), abs=1e-12)
    assert not (is_gain(there) and is_gain(back))


@given(COUNTS)
def test_the_interval_leaves_out_zero_where_mcnemars_score_test_does(counts: tuple[int, int, int, int]) -> None:
    only_first, only_second = counts[:2]
    low, high = paired_interval(only_first, only_second, sum(counts))
    z = (only_second - only_first) / math.sqrt(max(only_first + only_second, 1))
    assert (low > 0, high < 0) == (z > norm.ppf(0.975), z < -norm.ppf(0.975))
    if is_gain(mcnemar(*answers(*counts))):
        assert low > 0  # the exact test is the stricter of the two


@settings(max_examples=40)
@given(st.integers(1, 30), st.integers(1, 30), st.integers(1, 60))
def test_the_interval_is_that_of_the_likelihood(only_first: int, only_second: int, same: int) -> None:
    total = only_first + only_second + same
    expected = by_likelihood(only_first, only_second, total)
    assert paired_interval(only_first, only_second, total) == pytest.approx(expected, abs=1e-5)


def test_published_values() -> None:
    # Fagerland, Lydersen and Laake (Statistics in Medicine 33, 2014): airway responsiveness, 7 against 1 of 21.
    assert paired_interval(7, 1, 21) == pytest.approx((-0.517, -0.026), abs=5e-4)
    # statsmodels.stats.contingency_tables.mcnemar([[36, 12], [2, 0]], exact=True)
    assert mcnemar(*answers(12, 2, 36, 0)).p_value == pytest.approx(0.012939453125)


@pytest.mark.parametrize("total", [1, 7, 200])
def test_students_that_agree_everywhere_differ_as_little_as_wilson_says(total: int) -> None:
    high = binomtest(0, total).proportion_ci(method="wilson").high
    assert paired_interval(0, 0, total) == pytest.approx((-high, high))
    assert mcnemar(*answers(0, 0, total, 0)).p_value == 1.0


def test_the_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    truth, draw = (0.10, 0.22), np.random.default_rng(7)  # chances of "only first" and "only second"
    drawn = draw.multinomial(120, [*truth, 1 - sum(truth)], size=1000)
    covered = sum(low <= 0.12 <= high for low, high in (paired_interval(a, b, 120) for a, b, _ in drawn))
    assert 930 <= covered <= 970


def test_none_or_other_questions() -> None:
    assert mcnemar({}, {}) == Paired(0, 0, 0, 0, 1.0, 0.0, (-1.0, 1.0))
    with pytest.raises(DataError, match=r"2 of the questions .* such as 'a'"):
        mcnemar({"a": True, "b": True}, {"b": True, "c": True})


def test_only_what_is_beyond_chance_is_a_gain() -> None:
    assert not is_gain(mcnemar(*answers(0, 5, 10, 10)))  # 5 to 0 is 1 in 16
    assert is_gain(mcnemar(*answers(0, 6, 10, 10)))  # 6 to 0 is 1 in 32
    assert not is_gain(mcnemar(*answers(6, 0, 10, 10)))
    assert not is_gain(mcnemar(*answers(0, 6, 10, 10)), alpha=0.01)


@given(st.lists(st.integers(-3, 3), max_size=9))
def test_the_sign_flip_test_counts_all_ways_to_change_sides(differences: list[int]) -> None:
    ways = [
        abs(sum(sign * one for sign, one in zip(signs, differences, strict=True)))
        for signs in product((1, -1), repeat=len(differences))
    ]
    assert sign_flip(differences) == pytest.approx(mean(way >= abs(sum(differences)) for way in ways))


@given(st.integers(0, 300), st.integers(0, 300))
def test_the_sign_flip_test_of_one_seed_is_mcnemars(only_first: int, only_second: int) -> None:
    one_way = [-1] * only_first + [0] * 5 + [1] * only_second
    expected = binomtest(only_second, only_first + only_second).pvalue if only_first + only_second else 1.0
    assert sign_flip(one_way) == pytest.approx(expected)


def test_spread() -> None:
    values = [0.31, 0.29, 0.36]
    assert spread(values).mean == pytest.approx(mean(values))
    assert spread(values).deviation == pytest.approx(stdev(values))
    assert (spread([0.5]).deviation, spread([0.5]).count) == (None, 1)
    with pytest.raises(DataError, match="no seed has finished"):
        spread([])


@given(st.lists(st.floats(0, 1), max_size=12))
def test_holm_rejects_as_the_step_down_rule_does(p_values: list[float]) -> None:
    adjusted = holm(p_values)
    order = sorted(range(len(p_values)), key=lambda place: p_values[place])
    going = True  # Holm's own words: test the smallest at alpha / m, the next at alpha / (m - 1), stop at a failure
    for done, place in enumerate(order):
        going = going and p_values[place] * (len(p_values) - done) <= 0.05
        assert (adjusted[place] <= 0.05) == going
    assert all(adjusted[place] >= p_values[place] for place in order)
    assert all(adjusted[one] <= adjusted[other] for one, other in pairwise(order))


def test_holm_keeps_the_order() -> None:
    assert holm([0.04, 0.01, 0.03]) == pytest.approx([0.06, 0.03, 0.06])

"""The share of the way to the teacher."""

from __future__ import annotations

import random
from statistics import fmean

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tutelage.evaluation.gap import gap_closed, share_of_gap


def test_the_share_by_accuracies() -> None:
    assert share_of_gap(0.044, 0.55, 0.872) == pytest.approx(0.6111, abs=1e-4)
    assert share_of_gap(0.5, 0.4, 0.6) == pytest.approx(-1)
    assert [share_of_gap(0.5, 0.6, 0.5), share_of_gap(None, 0.6, 0.7), share_of_gap(0.5, 0.6, None)] == [None] * 3


def answers(right: int, total: int, start: int = 0) -> dict[str, float]:
    return {str(place): float(start <= place < start + right) for place in range(total)}


def test_the_interval_narrows_with_the_questions_and_holds_the_share() -> None:
    widths = []
    for scale in (1, 10):
        found = gap_closed(
            answers(2 * scale, 40 * scale), answers(14 * scale, 40 * scale), answers(26 * scale, 40 * scale)
        )
        assert found is not None
        assert found.interval is not None
        assert found.share == pytest.approx(0.5)
        assert found.interval[0] < 0.5 < found.interval[1]
        widths.append(found.interval[1] - found.interval[0])
    assert widths[1] == pytest.approx(widths[0] / 10**0.5, rel=0.15)


def test_the_interval_covers_the_truth_as_often_as_it_says() -> None:
    draw = random.Random(1)
    inside, times, questions = 0, 400, 150
    for _ in range(times):
        # The teacher is right at 8 of 10; half of what it is right at the student has learned, so half of the gap.
        hard = [draw.random() for _ in range(questions)]
        untrained = {str(n): 0.0 for n in range(questions)}
        teacher = {str(n): float(one < 0.8) for n, one in enumerate(hard)}
        reached = {str(n): float(one < 0.8 and draw.random() < 0.5) for n, one in enumerate(hard)}
        found = gap_closed(untrained, reached, teacher)
        assert found is not None
        assert found.interval is not None
        inside += found.interval[0] <= 0.5 <= found.interval[1]
    assert 0.92 <= inside / times <= 0.98


def test_a_teacher_that_these_questions_cannot_tell_from_the_student_leaves_the_share_open() -> None:
    found = gap_closed(answers(4, 10), answers(5, 10, start=2), answers(5, 10, start=5))
    assert found is not None
    assert found.share == pytest.approx(1)
    assert found.interval is None
    assert gap_closed(answers(5, 10), answers(6, 10), answers(5, 10)) is None
    assert gap_closed({}, {}, {}) is None
    one = gap_closed({"a": 0.0}, {"a": 1.0}, {"a": 1.0})
    assert one is not None
    assert one.interval is None


def test_only_what_all_were_asked_counts() -> None:
    found = gap_closed({"a": 0.0, "b": 0.0, "c": 1.0}, {"a": 1.0, "b": 0.0}, {"a": 1.0, "b": 1.0, "d": 0.0})
    assert found is not None
    assert found.share == 0.5


chances = st.lists(st.tuples(*[st.sampled_from([0.0, 1 / 3, 2 / 3, 1.0])] * 3), min_size=2, max_size=60)


@given(chances)
def test_of_any_answers_the_interval_holds_the_share(found: list[tuple[float, float, float]]) -> None:
    untrained, reached, teacher = ({str(n): one[place] for n, one in enumerate(found)} for place in range(3))
    closed = gap_closed(untrained, reached, teacher)
    expected = share_of_gap(*(fmean(one.values()) for one in (untrained, reached, teacher)))
    assert (closed is None) == (fmean(b - a for a, _, b in found) <= 0)
    if closed is not None and closed.interval is not None:
        assert closed.interval[0] - 1e-9 <= closed.share <= closed.interval[1] + 1e-9
        assert expected is not None
        assert closed.share == pytest.approx(expected)

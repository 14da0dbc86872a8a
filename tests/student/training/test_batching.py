"""Batches that hold no question twice."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from tutelage.student.training.batching import plan_epoch

QUESTIONS = st.lists(st.sampled_from([f"q{number}" for number in range(12)]), max_size=60)


@given(QUESTIONS, st.integers(1, 20), st.integers(0, 2**62))
def test_every_sample_once_and_no_question_twice_in_a_batch(questions: list[str], size: int, seed: int) -> None:
    batches = plan_epoch(questions, size, seed)
    assert sorted(index for batch in batches for index in batch) == list(range(len(questions)))
    for batch in batches:
        assert len(batch) <= size
        assert len({questions[index] for index in batch}) == len(batch)


@given(QUESTIONS.filter(bool), st.integers(1, 20), st.integers(0, 2**62))
def test_batches_are_as_few_and_as_even_as_can_be(questions: list[str], size: int, seed: int) -> None:
    batches = plan_epoch(questions, size, seed)
    assert len(batches) == max(-(-len(questions) // size), max(Counter(questions).values()))
    lengths = [len(batch) for batch in batches]
    assert max(lengths) - min(lengths) <= 1


def test_the_seed_alone_decides_the_order() -> None:
    questions = [f"q{number // 3}" for number in range(60)]
    assert plan_epoch(questions, 16, 7) == plan_epoch(questions, 16, 7)
    assert plan_epoch(questions, 16, 7) != plan_epoch(questions, 16, 8)


def test_an_empty_lesson_has_no_batches() -> None:
    assert plan_epoch([], 16, 0) == []

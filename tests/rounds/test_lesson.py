"""From corrections and mistakes to triplets."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tutelage.records import Correction, Mistake, Verdict
from tutelage.rounds.lesson import make_triplets


def correction(question: str, rationale: str, verdict: Verdict = "kept", number: int = 1) -> Correction:
    return Correction(question, number, "teacher", None, rationale, rationale, "4", verdict)


def test_a_triplet_has_another_rationale_and_a_mistake_of_its_question() -> None:
    corrections = [correction("a", "r1"), correction("a", "r2"), correction("b", "r3")]
    made = [Mistake("a", "w1", "5"), Mistake("b", "w2", None), Mistake("c", "w3", "6")]
    first, second, third = make_triplets(corrections, made, seed=1)
    assert (first.question_id, first.anchor, first.positive, first.negative) == ("a", "r1", "r2", made[0])
    assert (second.anchor, second.positive) == ("r2", "r1")
    assert (third.question_id, third.positive, third.negative) == ("b", None, made[1])


def test_a_question_without_mistakes_still_trains_the_language_model() -> None:
    [triplet] = make_triplets([correction("a", "r1")], [], seed=1)
    assert (triplet.anchor, triplet.positive, triplet.negative) == ("r1", None, None)


def test_only_kept_replies_are_studied_and_the_same_words_once() -> None:
    corrections = [
        correction("a", "r1"),
        correction("a", "no", "wrong answer"),
        correction("a", "long", "too long"),
        correction("a", "r1", number=2),  # again in a later round
    ]
    assert [triplet.anchor for triplet in make_triplets(corrections, [], seed=1)] == ["r1"]


@given(st.integers(1, 6), st.integers(0, 6), st.integers(0, 2**62))
def test_every_rationale_once_and_mistakes_evenly(rationales: int, mistakes: int, seed: int) -> None:
    made = [Mistake("a", f"w{number}", None) for number in range(mistakes)]
    triplets = make_triplets([correction("a", f"r{number}") for number in range(rationales)], made, seed)
    assert [triplet.anchor for triplet in triplets] == [f"r{number}" for number in range(rationales)]
    assert all(triplet.positive != triplet.anchor for triplet in triplets)
    assert all((triplet.positive is None) == (rationales == 1) for triplet in triplets)
    used = [triplet.negative for triplet in triplets if triplet.negative is not None]
    assert len(used) == (rationales if mistakes else 0)
    assert len(set(used)) == min(rationales, mistakes)

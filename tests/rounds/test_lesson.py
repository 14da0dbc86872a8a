"""From corrections and mistakes to triplets."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from tutelage.records import Attempt, Correction, Mistake, Question, Triplet, Variant, Verdict, from_json, to_json
from tutelage.rounds.lesson import make_triplets
from tutelage.workspace import read_records


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


def test_the_students_own_rationales_are_anchors_and_positives_like_any_other() -> None:
    own = [Attempt("a", 0, "r2", "r2", "4", True, 9, True), Attempt("b", 0, "r3", "r3", "4", True, 9, True)]
    made = [Mistake("a", "w1", "5")]
    first, second, third = make_triplets([correction("a", "r1")], made, seed=1, own=own)
    assert (first.anchor, first.positive, first.negative, first.own) == ("r1", "r2", made[0], False)
    assert (second.anchor, second.positive, second.negative, second.own) == ("r2", "r1", made[0], True)
    assert (third.question_id, third.anchor, third.positive, third.own) == ("b", "r3", None, True)


def test_a_lesson_of_an_older_version_reads(tmp_path: Path) -> None:
    (tmp_path / "lesson.jsonl").write_text('{"question_id": "a", "anchor": "r1", "positive": null, "negative": null}\n')
    assert read_records(tmp_path / "lesson.jsonl", Triplet) == [Triplet("a", "r1", None, None, own=False)]


def test_a_sample_asks_its_question_or_the_variant_of_it() -> None:
    question = Question("a", "Ann has 3 pens and gets 4. How many?", "7", "number", (), "3 + 4 = 7.")
    assert Triplet("a", "3 + 4 = 7.", None, None).asked(question) == question
    other = Triplet("a", "5 + 9 = 14.", None, None, False, Variant("Ann has 5 pens and gets 9. How many?", "14"))
    asked = other.asked(question)
    assert (asked.id, asked.text, asked.answer, asked.rationale) == ("a", other.variant.text, "14", None)  # type: ignore[union-attr]
    assert from_json(Triplet, to_json(other)) == other


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

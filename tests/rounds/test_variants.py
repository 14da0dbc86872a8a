"""A lesson's rationales with other numbers."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.rounds.small import finished_exam
from tutelage.records import Question, Triplet
from tutelage.rounds import lesson
from tutelage.rounds.study import encode_lesson
from tutelage.rounds.variants import make_variants

PENS = Question("own/1", "Ann has 3 boxes with 4 pens each. How many pens are that?", "12", "number")
TWOS = Question("own/2", "Bo has 2 bags with 2 nuts each. How many nuts are that?", "4", "number")
LOAVES = Question("own/3", "Cy and 3 helpers bake 2 trays of 30 loaves, and 30 more. How many?", "90", "number")
QUESTIONS = {one.id: one for one in (PENS, TWOS, LOAVES)}


def studied(question: Question, *rationales: str) -> list[Triplet]:
    return [Triplet(question.id, rationale, None, None) for rationale in rationales]


def test_each_rationale_is_followed_by_its_variants() -> None:
    triplets = studied(PENS, "3 * 4 = 12 pens.", "It is many.", "4 * 3 = 12.")
    made = make_variants(triplets, QUESTIONS, [], 3, seed=1)
    assert [one.variant is not None for one in made] == [False, *[True] * 3, False, False, *[True] * 3]
    assert [one for one in made if one.variant is None] == triplets
    texts = [one.variant.text for one in made if one.variant is not None]
    assert all(len(set(part)) == 3 for part in (texts[:3], texts[3:]))
    for one in made:
        if one.variant is not None:
            boxes, each = map(int, re.findall(r"\d+", one.variant.text))
            assert one.variant.answer == str(boxes * each)
            assert (one.question_id, one.positive, one.negative, one.own) == ("own/1", None, None, False)
            assert one.anchor in (f"{boxes} * {each} = {boxes * each} pens.", f"{each} * {boxes} = {boxes * each}.")
    assert make_variants(triplets, QUESTIONS, [], 3, seed=1) == made
    assert make_variants(triplets, QUESTIONS, [], 3, seed=2) != made


def test_one_that_is_right_for_its_own_numbers_alone_is_left_as_it_is() -> None:
    right = ("2 * 30 = 60, and 60 + 30 = 90.", "30 * 2 = 60 and 30 + 60 = 90.")
    by_chance = "3 * 30 = 90 loaves."
    made = make_variants(studied(LOAVES, *right, by_chance), QUESTIONS, [], 2, seed=1)
    assert [one.variant is not None for one in made] == [False, True, True, False, True, True, False]
    assert made[-1].anchor == by_chance
    # Nobody can tell where there is but one.
    assert len(make_variants(studied(LOAVES, by_chance), QUESTIONS, [], 2, seed=1)) == 3


def test_none_reads_like_a_question_that_is_not_to_be_studied() -> None:
    def text(boxes: int, each: int) -> str:
        return f"ann has {boxes} boxes with {each} pens each; how many pens are that"

    others = [Question("own/9", text(3, each), "1", "number") for each in range(2, 10)]
    others += [Question("own/9", text(boxes, 4), "1", "number") for boxes in range(2, 10)]
    made = make_variants(studied(PENS, "3 * 4 = 12 pens."), QUESTIONS, others, 40, seed=1)
    texts = [one.variant.text for one in made if one.variant is not None]
    assert 5 < len(texts) <= 8 * 7 - 14
    assert not any(" 3 boxes" in text or " 4 pens" in text for text in texts)


@pytest.mark.parametrize("count", [0, 2])
def test_a_round_studies_them_as_they_are_asked(
    recipe: Path, tmp_path: Path, count: int, capsys: pytest.CaptureFixture[str]
) -> None:
    run = finished_exam(recipe, tmp_path, 1, f"rounds.number_variants={count}")
    triplets = lesson(run, 1)
    variants = [one for one in triplets if one.variant is not None]
    student = run.student(0)
    samples = encode_lesson(run, student, triplets)
    run.workspace.release()
    assert bool(variants) == bool(count)
    said = capsys.readouterr().err
    assert (f"and {len(variants)} with other numbers" in said) == bool(count)
    for triplet, sample in zip(triplets, samples, strict=True):
        text = student.tokenizer.decode(list(sample.anchor.token_ids))
        if triplet.variant is not None:
            assert triplet.variant.text in text
            assert f"Answer: {triplet.variant.answer}" in text
    assert lesson(run, 1) == triplets

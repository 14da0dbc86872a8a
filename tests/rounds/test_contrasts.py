"""Pairs of right and wrong solutions from a run's files, as tokens."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.encoder_decoder import save_seq2seq
from tests.rounds.finished import attempt, begun_run, write_evaluation, write_exam
from tutelage.errors import DataError
from tutelage.evaluation.representation import read_contrasts
from tutelage.records import Attempt
from tutelage.rounds.contrasts import contrasts, lesson_pairs, pick_pairs, represent, unseen_pairs
from tutelage.workspace import read_json, read_records, write_records


def test_of_training_questions_the_lesson_pairs_what_was_kept_with_the_mistakes(recipe: Path, tmp_path: Path) -> None:
    run = begun_run(recipe, tmp_path, 1)
    write_exam(run, 1, lambda place, _sample: place % 3 != 0)
    pairs = lesson_pairs(run, 1)
    wrong = {question.id for place, question in enumerate(run.questions["train"]) if place % 3 == 0}
    assert {pair.question_id for pair in pairs} == wrong
    assert all(pair.negative is not None and pair.negative.answer == "999" for pair in pairs)


def test_of_unseen_questions_the_worked_solution_is_the_right_one(recipe: Path, tmp_path: Path) -> None:
    run = begun_run(recipe, tmp_path, 1)
    write_evaluation(run, 0, lambda place: place < 2)
    write_evaluation(run, 1, lambda place: place != 3)
    pairs = unseen_pairs(run, "test")
    assert [pair.question_id for pair in pairs] == [question.id for question in run.questions["test"][2:]]
    assert [pair.anchor for pair in pairs] == [question.rationale for question in run.questions["test"][2:]]
    both = unseen_pairs(run, "test", (0, 1))
    assert len(both) == len(pairs)  # the same mistake twice is one


def test_without_a_worked_solution_the_students_right_answers_are_taken(
    recipe: Path, questions: Path, tmp_path: Path
) -> None:
    questions.write_text(questions.read_text().replace('"rationale"', '"note"'))
    run = begun_run(recipe, tmp_path, 1)
    write_evaluation(run, 0, lambda place: place < 2)
    assert unseen_pairs(run, "test") == []
    write_evaluation(run, 1, lambda place: place >= 1)
    pairs = unseen_pairs(run, "test", (0, 1))
    assert len(pairs) == 7  # the first is right in one and wrong in the other, and so are the six behind the second
    assert pairs[0].anchor == attempt(run.questions["test"][0], right=True).rationale
    others = read_records(run.round(1).answers, Attempt)  # the untrained student's mistakes alone, six of eight
    assert unseen_pairs(run, "test", others=others) == [
        pair for pair in pairs if pair.question_id != pairs[0].question_id
    ]


def test_a_solution_begins_where_the_prompt_ends(recipe: Path, tmp_path: Path) -> None:
    run = begun_run(recipe, tmp_path, 0, "prompt.count=1")
    write_evaluation(run, 0, lambda _place: False)
    student = run.student(0)
    decode: Any = student.tokenizer.decode
    found = contrasts(run, student, unseen_pairs(run, "test"), "test")
    for one, question in zip(found, run.questions["test"], strict=True):
        for sample, solution in ((one.right, question.rationale), (one.wrong, "It is 999, I think (0).")):
            answer = question.answer if sample is one.right else "999"
            assert decode(sample.token_ids[one.start : -1]) == f" {solution}\nAnswer: {answer}"
            assert decode(sample.token_ids[: one.start]).endswith("\nReasoning:")


def test_one_pair_of_each_question_is_picked_and_others_do_not_change_which(recipe: Path, tmp_path: Path) -> None:
    run = begun_run(recipe, tmp_path, 1)
    write_exam(run, 1, lambda _place, _sample: False)
    pairs = [*lesson_pairs(run, 1), *lesson_pairs(run, 1)]
    few = pick_pairs(pairs, 5)
    assert len({pair.question_id for pair in few}) == 5
    fewer = pick_pairs([pair for pair in pairs if pair.question_id != few[0].question_id], 4)
    assert fewer == few[1:]


def test_all_of_it_is_written(recipe: Path, tmp_path: Path) -> None:
    run = begun_run(recipe, tmp_path, 0)
    write_evaluation(run, 0, lambda _place: False)
    pairs = unseen_pairs(run, "held-out")
    readings, result = represent(run, 0, pairs, tmp_path / "table-4", "held-out")
    assert readings.pairs == read_contrasts(run.student(0), contrasts(run, run.student(0), pairs, "held-out")).pairs
    assert read_json(tmp_path / "table-4" / "representation.json")["distance"]["value"] == result["distance"]["value"]
    assert len((tmp_path / "table-4" / "pairs.jsonl").read_text().splitlines()) == len(pairs) == 6
    assert (tmp_path / "table-4" / "states.safetensors").is_file()
    write_records(run.round(0).answers, [one for one in read_records(run.round(0).answers, Attempt) if one.correct])
    with pytest.raises(DataError, match="No question of the held-out split"):
        represent(run, 0, unseen_pairs(run, "held-out"), tmp_path / "none", "held-out")


def test_of_an_encoder_decoder_student_the_decoder_writes_the_solution_alone(recipe: Path, tmp_path: Path) -> None:
    run = begun_run(recipe, tmp_path, 0, f"student.model={save_seq2seq(tmp_path / 'T5')}")
    write_evaluation(run, 0, lambda _place: False)
    student = run.student(0)
    found = contrasts(run, student, unseen_pairs(run, "test"), "test")
    assert {one.start for one in found} == {len(student.decoder_start)} == {1}
    assert all(pair.tokens_wrong < 40 for pair in read_contrasts(student, found).pairs)

"""Questions that turned, from a run's files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.rounds.finished import begun_run, write_evaluation, write_exam
from tutelage.rounds import cases as module
from tutelage.rounds.cases import corrected_cases, evaluated_cases
from tutelage.student.answering.stopping import Completion


def test_what_turned_after_feedback_is_asked_of_the_student_that_studied_it(
    recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = begun_run(recipe, tmp_path, 2)
    # A third of the questions: never right; a third: once; a third: always.
    write_exam(run, 2, lambda place, sample: place % 3 == 2 or (place % 3 == 1 and sample == 0))
    students: list[Any] = []

    def answered(student: Any, prompts: Sequence[str], *_: object) -> list[Completion]:
        students.append(student)
        return [Completion(f" So.\nAnswer: {answers[prompt]}", 4, True) for prompt in prompts]

    train = run.questions["train"]
    answers = {f"Question: {q.text}\nReasoning:": q.answer if place % 6 < 3 else "0" for place, q in enumerate(train)}
    monkeypatch.setattr(module, "greedy_batch", answered)
    right, wrong = corrected_cases(run, 2, count=2, candidates=100)
    assert students == [run.student(2)]
    assert (right.looked_at, right.turned, len(right.cases)) == (10, 5, 2)
    assert (wrong.looked_at, wrong.turned, len(wrong.cases)) == (10, 5, 2)
    assert all(train.index(case.question) % 6 == 0 and case.after.correct for case in right.cases)
    assert all(train.index(case.question) % 6 == 5 and not case.after.correct for case in wrong.cases)
    assert all(case.correction is not None and case.correction.mistake is not None for case in right.cases)
    assert all(case.correction is None and len(case.before) == 2 for case in wrong.cases)
    few, _ = corrected_cases(run, 2, count=2, candidates=4)
    assert few.looked_at == 4
    write_exam(run, 1, lambda _place, _sample: False)
    first, _ = corrected_cases(run, 1, candidates=100)  # the teacher was shown no mistake there, and corrected all
    assert (first.looked_at, first.turned) == (30, 15)


def test_test_questions_turn_between_two_evaluations(recipe: Path, tmp_path: Path) -> None:
    run = begun_run(recipe, tmp_path, 1)
    write_evaluation(run, 0, lambda place: place < 3)
    write_evaluation(run, 1, lambda place: 1 <= place < 5)
    right, wrong = evaluated_cases(run, 0, 1)
    test = run.questions["test"]
    assert {case.question.id for case in right.cases} == {test[3].id, test[4].id}
    assert {case.question.id for case in wrong.cases} == {test[0].id}
    assert (right.looked_at, wrong.looked_at) == (5, 3)
    assert all(case.correction is None for case in (*right.cases, *wrong.cases))

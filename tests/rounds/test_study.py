"""A round's study: what of the lesson becomes tokens. The loop: tests/student/training; runs: test_learn.py."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.rounds.small import finished_exam
from tutelage.records import Triplet
from tutelage.rounds import Run, lesson
from tutelage.rounds.study import encode_lesson, train_student
from tutelage.student.loss.separate import LessonSample
from tutelage.student.model.student import Student


@pytest.mark.parametrize("weight", [0.0, 0.5])
def test_what_no_loss_reads_is_not_tokenised(recipe: Path, tmp_path: Path, weight: float) -> None:
    seen: list[Triplet] = []

    def encode(run: Run, student: Student, triplets: Sequence[Triplet]) -> list[LessonSample]:
        seen.extend(triplets)
        return encode_lesson(run, student, triplets)

    run = finished_exam(recipe, tmp_path, 1, f"study.lambda={weight}", "study.steps=1")
    triplets = lesson(run, 1)
    train_student(run, 1, encode)
    run.workspace.release()
    assert any(one.positive is not None and one.negative is not None for one in triplets)
    assert [one.anchor for one in seen] == [one.anchor for one in triplets]
    assert any(one.positive is not None or one.negative is not None for one in seen) == bool(weight)


def test_a_text_that_is_in_the_lesson_often_is_tokenised_once(recipe: Path, tmp_path: Path) -> None:
    run = finished_exam(recipe, tmp_path, 1)
    [first, *_] = lesson(run, 1)
    student = run.student(0)
    repeated = [Triplet(first.question_id, first.anchor, first.anchor, None) for _ in range(3)]
    samples = encode_lesson(run, student, repeated)
    run.workspace.release()
    assert len(samples) == 3
    assert all(one.anchor is samples[0].anchor and one.positive is samples[0].anchor for one in samples)

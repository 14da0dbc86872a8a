"""What the ranks of tests/student/test_ranks.py do."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from tests.student.packed.architectures import PACKED, SEPARATE, make_lesson, make_student
from tutelage import distributed
from tutelage.config import StudySettings
from tutelage.student.model import Student
from tutelage.student.separate import LessonSample
from tutelage.student.sharding import whole
from tutelage.student.training import Step, study


def lesson_for(student: Student) -> list[LessonSample]:
    """Twelve samples of five questions, some of them no whole triplets, of different lengths."""
    samples = make_lesson(student)
    later = [LessonSample(f"{sample.question_id} again", sample.anchor, None, sample.negative) for sample in samples]
    return [*samples, *later, *samples[:2]]


def settings_of(changes: dict[str, Any]) -> StudySettings:
    values = {"epochs": 2, "batch_size": 5, "warmup_steps": 2, "checkpoint_steps": 2}
    return StudySettings.model_validate(values | changes)


def weights(student: Student) -> list[float]:
    return [value for weight in student.model.parameters() for value in whole(weight.detach()).flatten().tolist()]


def train(model: str, changes: dict[str, Any], checkpoint: str = "", stop_after: int | None = None) -> dict[str, Any]:
    """The steps of a study and the weights after it. stop_after: so many, as if killed then."""
    student = make_student((PACKED | SEPARATE)[model])
    steps: list[dict[str, Any]] = []

    def on_step(step: Step) -> None:
        steps.append(asdict(step))
        if step.step == stop_after:
            raise KeyboardInterrupt

    path = Path(checkpoint or f"/nonexistent/{distributed.rank()}")
    try:
        study(student, lesson_for(student), settings_of(changes), 1e-3, 7, path, on_step)
    except KeyboardInterrupt:
        assert stop_after is not None
    return {"steps": steps, "weights": weights(student), "shards": _shards(student)}


def _shards(student: Student) -> int:
    return sum(type(weight.data).__name__ == "DTensor" for weight in student.model.parameters())

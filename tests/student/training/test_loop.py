"""The training loop: it learns, it is the same twice, and it resumes bit for bit."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import get_scheduler

from tutelage.config import StudySettings
from tutelage.errors import StudentError
from tutelage.student.loss.separate import LessonSample
from tutelage.student.model.student import Student, load_student
from tutelage.student.text.encoding import encode_sample
from tutelage.student.training.loop import Step, count_steps, learning_rates, study

Load = Callable[[], Student]


@pytest.fixture
def load(tiny_folder: Path) -> Load:
    return lambda: load_student(str(tiny_folder), revision=None, device="cpu")


def settings(**changes: object) -> StudySettings:
    values = {"epochs": 2, "batch_size": 4, "warmup_steps": 2, "checkpoint_steps": 3, **changes}
    return StudySettings.model_validate(values)


def make_lesson(student: Student) -> list[LessonSample]:
    def encode(question: str, solution: str):  # type: ignore[no-untyped-def]
        return encode_sample(student, "", f"Question: {question}\nReasoning:", f" {solution}", 0.1)

    lesson = []
    for number in range(12):
        question = f"{number % 7} and one?"
        right, other, wrong = (f"{number % 7} + 1 = {r}.\nAnswer: {r}" for r in (number % 7 + 1, number % 7 + 1, 0))
        positive = encode(question, "So " + other) if number % 3 else None
        lesson.append(LessonSample(question, encode(question, right), positive, encode(question, wrong)))
    return lesson


def train(load: Load, path: Path, stop_after: int | None = None, **changes: object) -> tuple[Student, list[Step]]:
    """A whole study, or one that is cut off after a step as a kill would."""
    student = load()
    steps: list[Step] = []

    def on_step(step: Step) -> None:
        steps.append(step)
        if step.step == stop_after:
            raise KeyboardInterrupt

    try:
        study(student, make_lesson(student), settings(**changes), 3e-3, 7, path, on_step)
    except KeyboardInterrupt:
        assert stop_after is not None
    return student, steps


def weights(student: Student) -> dict[str, torch.Tensor]:
    return dict(student.model.named_parameters())


def test_the_losses_fall(load: Load, tmp_path: Path) -> None:
    student, steps = train(load, tmp_path / "c", epochs=25)
    assert len(steps) == count_steps(make_lesson(student), settings(epochs=25)) == 25 * 3
    assert steps[-1].lm_loss < 0.5 * steps[0].lm_loss
    assert steps[-1].triplet_loss < steps[0].triplet_loss
    assert not student.model.training


def test_the_same_seed_gives_the_same_weights(load: Load, tmp_path: Path) -> None:
    first, _ = train(load, tmp_path / "a")
    second, _ = train(load, tmp_path / "b")
    assert all(torch.equal(weight, weights(second)[name]) for name, weight in weights(first).items())


@pytest.mark.parametrize("stop_after", [1, 3, 4, 5])
def test_a_resumed_study_ends_bit_for_bit_as_one_that_was_not_cut(load: Load, tmp_path: Path, stop_after: int) -> None:
    whole, steps = train(load, tmp_path / "whole")
    _, before = train(load, tmp_path / "cut", stop_after=stop_after)
    resumed, after = train(load, tmp_path / "cut")
    assert all(torch.equal(weight, weights(resumed)[name]) for name, weight in weights(whole).items())
    assert [*before[: after[0].step - 1], *after] == steps
    assert after[0].step == (4 if stop_after >= 4 else 1)  # a checkpoint stands after step 3, once 4 has begun


def test_a_checkpoint_of_another_study_is_not_taken_up(load: Load, tmp_path: Path) -> None:
    train(load, tmp_path / "c", stop_after=5)
    _, steps = train(load, tmp_path / "c", margin=0.7)
    assert steps[0].step == 1


def test_a_damaged_checkpoint_is_not_taken_up(load: Load, tmp_path: Path) -> None:
    train(load, tmp_path / "c", stop_after=5)
    [file] = (tmp_path / "c").rglob("*.safetensors")
    file.write_bytes(file.read_bytes()[:100])
    _, steps = train(load, tmp_path / "c")
    assert steps[0].step == 1


def test_micro_batches_change_nothing_but_rounding(load: Load, tmp_path: Path) -> None:
    _whole, steps = train(load, tmp_path / "a")
    _split, small = train(load, tmp_path / "b", micro_batch_size=1)
    for one, other in zip(steps, small, strict=True):
        assert other.loss == pytest.approx(one.loss, rel=1e-4)
        assert other.gradient_norm == pytest.approx(one.gradient_norm, rel=1e-3)


def test_lambda_zero_leaves_the_triplet_out(load: Load, tmp_path: Path) -> None:
    _, steps = train(load, tmp_path / "c", lambda_=0.0)
    assert all(step.triplets == 0 and step.triplet_loss == 0 and step.loss == step.lm_loss for step in steps)


def test_the_learning_rate_warms_up_and_decays(load: Load, tmp_path: Path) -> None:
    _, steps = train(load, tmp_path / "c", schedule="linear")
    assert [step.learning_rate for step in steps] == pytest.approx([0, 1.5e-3, 3e-3, 2.25e-3, 1.5e-3, 7.5e-4])


@pytest.mark.parametrize("schedule", ["constant", "linear", "cosine"])
@pytest.mark.parametrize("warmup", [0, 3, 12])
def test_the_schedules_are_those_of_transformers(schedule: str, warmup: int) -> None:
    optimizer = torch.optim.AdamW([torch.nn.Parameter(torch.zeros(1))], lr=3e-3)
    name = "constant_with_warmup" if schedule == "constant" else schedule
    theirs: Any = get_scheduler(name, optimizer, num_warmup_steps=warmup, num_training_steps=10)
    ours = learning_rates(settings(schedule=schedule, warmup_steps=warmup), 3e-3, 10)
    factor = theirs.lr_lambdas[0]
    assert [ours(step) for step in range(1, 11)] == pytest.approx([3e-3 * factor(step) for step in range(10)])


def test_steps_may_be_given_instead_of_epochs(load: Load, tmp_path: Path) -> None:
    _, steps = train(load, tmp_path / "c", steps=5)
    assert [(step.step, step.epoch) for step in steps] == [(1, 1), (2, 1), (3, 1), (4, 2), (5, 2)]


def test_a_loss_that_is_no_number_ends_the_study(load: Load, tmp_path: Path) -> None:
    student = load()
    with torch.no_grad():
        next(student.model.parameters()).fill_(float("nan"))
    with pytest.raises(StudentError, match=r"study\.learning_rate"):
        study(student, make_lesson(student), settings(), 1e-3, 7, tmp_path / "c", lambda step: None)

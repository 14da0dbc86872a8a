"""A task, a recipe and a student small enough for whole runs in seconds."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tutelage.config import read_recipe
from tutelage.rounds import Run, mistakes, start_run, study

NAMES = ("Ann", "Bo", "Cy", "Di", "Ed", "Flo")


@pytest.fixture
def questions(tmp_path: Path) -> Path:
    """An own task: 36 training and 8 test questions with worked solutions."""
    path = tmp_path / "questions.jsonl"
    with path.open("w") as file:
        for number in range(44):
            name, have, get = NAMES[number % 6], number % 9 + 1, number // 9 + 2
            row = {
                "question": f"{name} has {have} pens and gets {get} more. How many pens are there?",
                "answer": str(have + get),
                "rationale": f"{name} has {have} + {get} = {have + get} pens.",
                "split": "test" if number >= 36 else "train",
            }
            file.write(json.dumps(row) + "\n")
    return path


@pytest.fixture
def recipe(tmp_path: Path, questions: Path, tiny_folder: Path) -> Path:
    """Two rounds on the own task with the offline tutor."""
    path = tmp_path / "small.toml"
    path.write_text(
        f"""
[task]
name = "own"
file = "{questions}"
kind = "number"
held_out_minimum = 6
[student]
model = "{tiny_folder}"
device = "cpu"
[prompt]
count = 0
[teacher]
kind = "tutor"
[exam]
attempts = 2
max_new_tokens = 40
batch_size = 8
[study]
learning_rate = 3e-3
epochs = 1
warmup_steps = 2
checkpoint_steps = 2
[rounds]
limit = 2
patience = 5
[evaluation]
max_new_tokens = 40
batch_size = 5
"""
    )
    return path


def tutor_run(recipe: Path, folder: Path, *overrides: str) -> Run:
    """A run that has just been started."""
    return start_run(read_recipe(recipe, overrides), folder / "run")


def finished_exam(recipe: Path, folder: Path, number: int, *overrides: str) -> Run:
    """A run up to the exam of a round."""
    run = tutor_run(recipe, folder, *overrides)
    for earlier in range(1, number):
        study(run, earlier)
    mistakes(run, number)
    return run

"""An exam's prompts: GSM8K's where a real model reads them, or random tokens of the same lengths."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from measuring.lengths import draw_lengths
from measuring.models import FIRST_WORD, is_random, words
from tutelage.config import TaskSettings
from tutelage.demonstrations import load_demonstrations
from tutelage.prompts import student_prompt
from tutelage.student.model.student import Student
from tutelage.tasks import load_task


def make_prompts(
    student: Student, model: str, count: int, demonstrations: int, seed: int, data: Path | None
) -> list[str]:
    """`count` prompts behind the same demonstrations.

    demonstrations: their tokens, for a model with random weights. data: the public data sets' folder, for a real one,
    which gets GSM8K's training questions and the demonstrations that the package ships for it.
    Raises: ValueError for a real model without data.
    """
    if not is_random(model):
        if data is None:
            raise ValueError(f"{model} is a real model: name the folder of the data sets with --data")
        return real_prompts(data, count)
    vocabulary = int(student.model.config.get_text_config().vocab_size)
    draw = np.random.default_rng(seed)
    shown = draw.integers(FIRST_WORD, vocabulary, demonstrations).tolist()
    lengths = draw_lengths(count, seed)
    return [words([*shown, *draw.integers(FIRST_WORD, vocabulary, sizes.question).tolist()]) for sizes in lengths]


def real_prompts(data: Path, count: int) -> list[str]:
    """What a student is asked in an exam on GSM8K, its first `count` training questions."""
    task = load_task(TaskSettings(name="gsm8k", data=data), seed=0)
    demonstrations = load_demonstrations("gsm8k", task.kind, None)
    return [student_prompt(question, demonstrations) for question in task.train[:count]]

"""Chain sums: a row of numbers to add and subtract.

Source: reasoning-gym, task chain_sum (https://github.com/open-thought/reasoning-gym). Licence: Apache-2.0.

    Question: What is 40 + 7 - 12?
    Reasoning: 40 + 7 = 47. 47 - 12 = 35.
    Answer: 35

Options (task.options): min_terms, max_terms (default 2 to 4), min_digits, max_digits (default 1 to 2),
allow_negation. The worked solution is written here, one step a sign.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tutelage.config import TaskSettings
from tutelage.tasks.task import Task, TaskInfo
from tutelage.tasks.word_problems import LICENCE, SOURCE, generate

INFO = TaskInfo(
    name="chain_sum",
    title="Chain sums",
    kind="number",
    source=SOURCE,
    licence=LICENCE,
    description="numbers to add and subtract in a row, with a worked solution",
    generated=True,
)
DEFAULTS = {"min_terms": 2, "max_terms": 4, "min_digits": 1, "max_digits": 2}


def make(settings: TaskSettings, seed: int) -> Task:
    """A task of generated problems; see `generate`."""
    return generate(INFO, settings, seed, DEFAULTS, read)


def read(item: Mapping[str, Any]) -> tuple[str, str, str]:
    """The question, the answer and a worked solution of an item of reasoning-gym."""
    expression = str(item["metadata"]["expression"])
    first, *rest = expression.split()
    total, steps = int(first), []
    for sign, term in zip(rest[::2], rest[1::2], strict=True):
        result = total + int(term) if sign == "+" else total - int(term)
        steps.append(f"{total} {sign} {term} = {result}.")
        total = result
    return f"What is {expression}?", str(item["answer"]), " ".join(steps) or f"It is just {total}."

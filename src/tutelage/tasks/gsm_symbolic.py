"""GSM-Symbolic: GSM8K problems from 85 templates, with other names and numbers each time (Mirzadeh et al., 2024).

Source: reasoning-gym, task gsm_symbolic (https://github.com/open-thought/reasoning-gym). Licence: Apache-2.0.

    Question: Noor has 8 crates of 12 plums. She gives a quarter of them away. How many plums are left?
    Reasoning: Noor has 8 * 12 = 96 plums. She gives 96 / 4 = 24 away. 96 - 24 = 72 plums are left.
    Answer: 72

Its worked solution is metadata["answer_cot"], without the line "#### 72". The words that reasoning-gym adds to
each question, on the form of the answer, are left out: the demonstrations show the form.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tutelage.config import TaskSettings
from tutelage.tasks.task import Task, TaskInfo
from tutelage.tasks.word_problems import LICENCE, SOURCE, generate

INFO = TaskInfo(
    name="gsm_symbolic",
    title="GSM-Symbolic",
    kind="number",
    source=SOURCE,
    licence=LICENCE,
    description="GSM8K problems from templates, with a worked solution",
    generated=True,
)
_ADDED = " Give the result as your final answer. Do not include units."


def make(settings: TaskSettings, seed: int) -> Task:
    """A task of generated problems; see `generate`."""
    return generate(INFO, settings, seed, {}, read)


def read(item: Mapping[str, Any]) -> tuple[str, str, str]:
    """The question, the answer and the worked solution of an item of reasoning-gym."""
    solution, _, _ = str(item["metadata"]["answer_cot"]).rpartition("####")
    return str(item["question"]).removesuffix(_ADDED).strip(), str(item["answer"]), solution.strip()

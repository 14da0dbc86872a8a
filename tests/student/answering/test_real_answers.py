"""The real student on real questions: the engine's greedy answers are those of the library's `generate`.

Four questions by default. All of them, which takes half an hour on a CPU:
    TUTELAGE_ALL_QUESTIONS=1 pytest -s tests/student/answering/test_real_answers.py
"""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from tutelage.demonstrations import load_demonstrations, load_feedback_demonstrations
from tutelage.prompts import student_prompt
from tutelage.recipes import read_recipe
from tutelage.student.answering.answerer import Answerer
from tutelage.student.answering.generating import generate
from tutelage.student.answering.prompts import encode_prompts
from tutelage.student.answering.stopping import Completion, EndRule
from tutelage.student.engine.drawing import Greedy
from tutelage.student.engine.scheduler import Request
from tutelage.student.model.student import Student
from tutelage.tasks import load_task
from tutelage.tasks.split import split_task

CONFIGS = Path(__file__).parents[3] / "configs"


def evaluation_prompts(name: str, data: Path) -> list[str]:
    """As an evaluation with the task's own recipe gives them to the student."""
    recipe = read_recipe(CONFIGS / f"{name}.toml", [f"task.data={data}"])
    task = load_task(recipe.task, recipe.seed)
    demonstrations = load_demonstrations(name, task.kind)
    both = (*demonstrations, *load_feedback_demonstrations(name, task.kind))
    questions = split_task(task, recipe.task, both, recipe.seed).test
    return [student_prompt(question, demonstrations) for question in questions]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "total"), [("svamp", 300), ("multiarith", 180)])
def test_greedy_answers_are_those_of_generate(packaged_student: Student, data: Path, name: str, total: int) -> None:
    prompts = evaluation_prompts(name, data)
    assert len(prompts) == total
    prompts = prompts if os.environ.get("TUTELAGE_ALL_QUESTIONS") else prompts[:: total // 2]
    answerer = Answerer(packaged_student, prompts, Greedy(128))
    start = time.monotonic()
    answers = [one for sitting in answerer.sittings for [one] in answerer.answer(sitting)]
    middle = time.monotonic()
    expected = plain_answers(packaged_student, prompts)
    end = time.monotonic()
    assert answerer.engine is not None
    order = [number for sitting in answerer.sittings for number in sitting]
    same = sum(answer == expected[number] for number, answer in zip(order, answers, strict=True))
    tokens = sum(answer.tokens for answer in answers)
    print(  # noqa: T201 - what the long run is for
        f"{name}: {same} of {len(prompts)} the same; {answerer.engine.shared} tokens shared, {tokens} new ones; "
        f"engine {tokens / (middle - start):.0f} a second, generate {tokens / (end - middle):.0f}"
    )
    assert same == len(prompts)


def plain_answers(student: Student, prompts: list[str], batch: int = 32) -> list[Completion]:
    """By the library, prompts of similar length together."""
    encoded = encode_prompts(student, prompts)
    rule = EndRule(student.tokenizer, student.stop_ids)
    order = sorted(range(len(prompts)), key=lambda number: len(encoded[number]))
    made: dict[int, Completion] = {}
    requests = [Request(number, 0) for number in order]
    generate(
        student, encoded, (), Greedy(128), rule, batch, requests,
        lambda request, new: made.update({request.prompt: rule.completion(new)}),
    )  # fmt: skip
    return [made[number] for number in range(len(prompts))]

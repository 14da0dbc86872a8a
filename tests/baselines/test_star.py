"""STaR: own rationales that are right, rationalisation of the rest, and a fresh start each round."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from tutelage.baselines import METHODS, star
from tutelage.baselines.star import HINTED, OWN, hinted_prompt
from tutelage.demonstrations import load_demonstrations
from tutelage.recipes import read_recipe
from tutelage.records import Correction, Question, Triplet
from tutelage.rounds import Run, start_run
from tutelage.rounds.study import read_training
from tutelage.student.answering.answers import Finished, Further
from tutelage.student.answering.stopping import Completion
from tutelage.workspace import read_json, read_records


class Scripted:
    """Answers by a function of the prompt, in one sitting."""

    def __init__(self, prompts: Sequence[str], write: Callable[[str], str]) -> None:
        self._texts = [write(prompt) for prompt in prompts]

    @property
    def sittings(self) -> list[list[int]]:
        return [list(range(len(self._texts)))]

    def answer(
        self, sitting: Sequence[int], finished: Finished | None = None, further: Further | None = None
    ) -> list[list[Completion]]:
        for place in sitting:
            if finished is not None:
                finished(place, [Completion(self._texts[place], 5, finished=True)])
        return [[Completion(self._texts[place], 5, finished=True)] for place in sitting]

    def release(self) -> None:
        """There is nothing to release."""


def test_a_round_keeps_what_ends_right_and_starts_anew(
    recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    overrides = [
        "task.train_questions=4",
        "task.test_questions=1",
        "task.held_out_questions=1",
        "rounds.limit=2",
        "evaluation.max_new_tokens=8",
    ]
    overrides += ["study.steps=1", "study.later_learning_rate=0.5", "study.warmup_steps=0", *METHODS["star"].decides]
    run = start_run(read_recipe(recipe, overrides), tmp_path / "run")
    by_text = {question.text: question for question in run.questions["train"]}
    first, second, third, _ = run.questions["train"]
    asked: list[str] = []

    def write(prompt: str) -> str:
        question = next(one for text, one in by_text.items() if text in prompt)
        asked.append(prompt)
        right = f" It is {question.answer}.\nAnswer: {question.answer}"
        if question is first:  # right at once
            return right
        if question is second and "Hint:" in prompt:  # right when it is told
            return right
        if question is third and "Hint:" in prompt:  # right, but it speaks of the hint
            return f" The hint says {question.answer}.\nAnswer: {question.answer}"
        return " It is less.\nAnswer: 0"

    monkeypatch.setattr(star, "answers_of", lambda run, number, prompts, drawing, **more: Scripted(prompts, write))
    trained: list[int] = []
    load = Run.student
    monkeypatch.setattr(Run, "student", lambda self, number: trained.append(number) or load(self, number))  # type: ignore[func-returns-value]
    METHODS["star"].play(run)

    corrections = read_records(run.round(1).feedback, Correction)
    assert [(one.teacher, one.verdict) for one in corrections] == [
        (OWN, "kept"),
        (HINTED, "kept"),
        (HINTED, "tells of the prompt"),
        (HINTED, "wrong answer"),
    ]
    lesson = read_records(run.round(1).lesson, Triplet)
    assert {one.question_id for one in lesson} == {first.id, second.id}
    assert all(one.negative is None and "int" not in one.anchor for one in lesson)
    assert sum("Hint:" in prompt for prompt in asked) == 2 * 3
    assert trained[-3:] == [0, 2, 2]  # round 2 teaches the untrained student, and tests what became of it
    rates = [step.learning_rate for number in (1, 2) for step in read_training(run.round(number).training)]
    assert rates == [run.recipe.study.learning_rate] * 2  # of a study that begins anew
    assert all(one.own for one in lesson)
    assert read_json(run.workspace.outcome)["last_round"] == 2
    run.workspace.release()


def test_a_student_without_any_right_rationale_learns_nothing(
    recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    overrides = [
        "task.train_questions=2",
        "task.test_questions=1",
        "task.held_out_questions=1",
        "evaluation.max_new_tokens=8",
    ]
    run = start_run(read_recipe(recipe, overrides), tmp_path / "run")
    wrong = " It is less.\nAnswer: 0"
    monkeypatch.setattr(
        star, "answers_of", lambda run, number, prompts, drawing, **more: Scripted(prompts, lambda _: wrong)
    )
    METHODS["star"].play(run)
    outcome = read_json(run.workspace.outcome)
    assert (outcome["best_round"], outcome["reason"].split(":")[0]) == (0, "no lesson")
    run.workspace.release()


def test_the_hint_stands_in_every_part_of_the_prompt() -> None:
    question = Question("q", "Which?", "B", "choice", ("a cat", "a dog"))
    prompt = hinted_prompt(question, load_demonstrations("commonsense_qa", "choice")[:1])
    assert prompt.count("Hint: The right answer is ") == prompt.count("Question:") == 2
    assert prompt.endswith("\n(b) a dog\nHint: The right answer is B (a dog).\nReasoning:")

"""Runs whose stages' files are written by hand, so that a test knows what is in them and waits for no training."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from tests.rounds.small import tutor_run
from tutelage.records import Attempt, Correction, Mistake, Question
from tutelage.rounds import Run
from tutelage.workspace import write_records


def begun_run(recipe: Path, folder: Path, rounds: int, *overrides: str) -> Run:
    """A run whose later students are copies of the untrained one."""
    run = tutor_run(recipe, folder, *overrides)
    for number in range(1, rounds + 1):
        shutil.copytree(run.round(0).student, run.round(number).student)
    return run


def attempt(question: Question, right: bool, sample: int = 0, said: str = "") -> Attempt:
    """A right or a wrong attempt; said: its rationale."""
    answer = question.answer if right else "999"
    rationale = said or f"It is {answer}, I think ({sample})."
    return Attempt(question.id, sample, f" {rationale}\nAnswer: {answer}", rationale, answer, right, 9, True)


def write_evaluation(run: Run, number: int, right: Callable[[int], bool]) -> None:
    """Answers to the test and the held-out questions. right: whether that to the question at a place is."""
    asked = [*run.questions["test"], *run.questions["held-out"]]
    answers = [attempt(question, right(place)) for place, question in enumerate(asked)]
    write_records(run.round(number).answers, answers)


def write_exam(run: Run, number: int, right: Callable[[int, int], bool]) -> None:
    """Two attempts at each training question, their mistakes, and a kept correction of each question with one.

    right: whether the attempt at a question's place is right, by its number. From round 2 on corrections are shown the
    question's first mistake.
    """
    attempts, mistakes, corrections = [], [], []
    for place, question in enumerate(run.questions["train"]):
        tried = [attempt(question, right(place, sample), sample) for sample in (0, 1)]
        made = [Mistake(question.id, one.rationale, one.answer) for one in tried if not one.correct]
        attempts += tried
        mistakes += made
        if made:
            shown = made[0] if number > 1 else None
            text = f"Count: {question.answer}."
            corrections.append(Correction(question.id, number, "teacher", shown, text, text, question.answer, "kept"))
    files = run.round(number)
    write_records(files.exam, attempts)
    write_records(files.mistakes, mistakes)
    write_records(files.feedback, corrections)

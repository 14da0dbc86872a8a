"""Evaluation of a round's student: greedy answers to the test and the held-out questions (Eq. 5, A.2)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from tutelage.evaluation.accuracy import accuracy
from tutelage.records import Attempt
from tutelage.rounds.answering import answer_all, answers_of, finished_answers, prompts_for
from tutelage.rounds.orders import call
from tutelage.rounds.run import Run
from tutelage.student.engine.drawing import Greedy
from tutelage.workspace import read_json, write_json


def evaluate(run: Run, number: int) -> dict[str, Any]:
    """How far a round's student got, as evaluation.json holds it; round 0 is the untrained one.

    The top level is the score on the test split, "held_out" that on the held-out part; fractions of 1.
    Writes evaluation.jsonl (every answer) and evaluation.json. Done already: reads it.
    """
    place = run.round(number)
    if place.evaluation.is_file():
        return dict(read_json(place.evaluation))
    attempts = finished_answers(place.answers)
    if attempts is None:
        call(run, "evaluation", number)
        attempts = take_test(run, number)
    return keep_score(run, number, attempts)


def keep_score(run: Run, number: int, attempts: Sequence[Attempt]) -> dict[str, Any]:
    """Writes evaluation.json, the score of a round's attempts at the test and the held-out questions."""
    test = {question.id for question in run.questions["test"]}
    result = {
        **asdict(accuracy(attempt for attempt in attempts if attempt.question_id in test)),
        "unreadable": sum(attempt.answer is None for attempt in attempts if attempt.question_id in test),
        "split": "test",
        "held_out": asdict(accuracy(attempt for attempt in attempts if attempt.question_id not in test)),
    }
    write_json(run.round(number).evaluation, result)
    return result


def take_test(run: Run, number: int) -> list[Attempt]:
    """What all ranks do of it together: answers to the test and the held-out questions, the leader's to have."""
    settings = run.recipe.evaluation
    questions = [*run.questions["test"], *run.questions["held-out"]]
    prompts, drawing = prompts_for(run, run.student(number), questions), Greedy(settings.max_new_tokens)
    answers = answers_of(run, number, prompts, drawing, batch_size=settings.batch_size)
    return answer_all(run.round(number).answers, f"Round {number}  evaluation", questions, 1, answers)

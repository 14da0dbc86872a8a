"""A round's answers before the judge (Table 6)."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

from tutelage.config import AnyTeacherSettings, SampledTeacherSettings
from tutelage.errors import TeacherError
from tutelage.evaluation.judge import Judged, judge, summarize_scores
from tutelage.evaluation.picking import RULE, pick
from tutelage.records import Attempt
from tutelage.rounds.cast import build_spending, build_teacher
from tutelage.rounds.run import Run
from tutelage.teacher.books.ledger import Ledger
from tutelage.workspace import read_json, read_records, write_json, write_records

_SCORE_TOKENS = 16
"""Enough for "Score: 5"."""


def judge_settings(teacher: AnyTeacherSettings) -> SampledTeacherSettings:
    """A teacher's settings for judging: the likeliest reply, and no longer than a score takes.

    Raises: TeacherError for a teacher that does not read a prompt.
    """
    if not isinstance(teacher, SampledTeacherSettings):
        raise TeacherError(
            f'The teacher of this run (teacher.kind = "{teacher.kind}") cannot judge: it reads no prompt. '
            'Name a judge of the kind "openai" or "local".'
        )
    return teacher.model_copy(update={"temperature": 0.0, "top_p": 1.0, "max_new_tokens": _SCORE_TOKENS})


def judge_round(
    run: Run,
    number: int,
    settings: SampledTeacherSettings | None = None,
    count: int = 50,
    split: Literal["test", "held-out"] = "test",
    books: Path | None = None,
) -> dict[str, Any]:
    """Scores of up to `count` right and as many wrong answers of a round's evaluation, as judgement.json has them.

    settings: the judge; None takes the run's teacher, as `judge_settings` has it. books: a ledger that several runs'
    judgements share, whose caps hold for all of them together; None: the run's own, of which all that the run has spent
    counts towards the cap. Writes judgement.jsonl and judgement.json. Done already with the same judge and sizes:
    reads it.
    Raises: TeacherError, BudgetError.
    """
    settings = settings or judge_settings(run.recipe.teacher)
    recipe = run.recipe.model_copy(update={"teacher": settings})
    teacher = build_teacher(recipe)
    asked = {"judge": teacher.name, "identity": teacher.identity, "count": count, "split": split, "picked": RULE}
    path = run.round(number).folder / "judgement.json"
    if path.is_file():
        done = dict(read_json(path))
        if all(done.get(key) == value for key, value in asked.items()):
            return done
    judged = _judged(run, number, count, split)
    spending = build_spending(recipe, "teacher" if books is None else "judge")
    with Ledger(books or run.workspace.ledger) as ledger:
        judgements = judge(teacher, judged, ledger, settings.endpoint, spending)
    result = {
        **asked,
        "round": number,
        "right": asdict(summarize_scores(one for one in judgements if one.right)),
        "wrong": asdict(summarize_scores(one for one in judgements if not one.right)),
    }
    write_records(path.with_suffix(".jsonl"), judgements)
    write_json(path, result)
    return result


def _judged(run: Run, number: int, count: int, split: Literal["test", "held-out"]) -> list[Judged]:
    questions = {question.id: question for question in run.questions[split]}
    answers = [one for one in read_records(run.round(number).answers, Attempt) if one.question_id in questions]
    picked = [
        attempt
        for right in (True, False)
        for attempt in pick((one for one in answers if one.correct == right), count, lambda one: one.question_id)
    ]
    return [Judged(questions[attempt.question_id], attempt, number) for attempt in picked]

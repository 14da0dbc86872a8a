"""The teacher itself at the test questions, few-shot: what there is to distil.

It sees the student's demonstrations and no hint, answers once at the temperature 0, and is read like any reply. The
test questions go to it in a run of their own that trains nothing, or, for a run that does train, by a ledger of their
own that no stage reads. A teacher that replays recordings, or is told the answers, has no accuracy of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tutelage.baselines.method import Method
from tutelage.config import AnyTeacherSettings, SampledTeacherSettings
from tutelage.errors import TeacherError
from tutelage.evaluation.accuracy import accuracy
from tutelage.progress import progress
from tutelage.prompts import solving_prompt
from tutelage.records import Attempt, Question
from tutelage.rounds.cast import build_spending, build_teacher
from tutelage.rounds.feedback import check_outage
from tutelage.rounds.learn import timed
from tutelage.rounds.run import Run
from tutelage.tasks.answers import is_right, read_reply, reply_rationale
from tutelage.teacher.asking import ask
from tutelage.teacher.books.ledger import Ledger
from tutelage.teacher.protocol import Reply, Request
from tutelage.workspace import read_json, write_json, write_records

_ROUND = 0
"""Of its calls in the ledger, where no round of a student's has any."""


def score_path(folder: Path) -> Path:
    """Where a run's folder has the teacher's score; its answers are beside it, in JSON lines."""
    return folder / "teacher.json"


def ledger_path(folder: Path) -> Path:
    """Where a run that trains has the calls of its teacher's evaluation, apart from those that it learns by."""
    return folder / "teacher-evaluation.sqlite"


def teacher_line(run: Run) -> dict[str, Any]:
    """The accuracy of a run's teacher on the run's test questions: the line for its student to reach.

    Writes teacher.json and teacher.jsonl, and keeps its calls in a ledger of its own, whose caps are the recipe's once
    more. Done already: reads it. Raises: as `feedback`; TeacherError if the teacher has no accuracy of its own.
    """
    path = score_path(run.workspace.folder)
    if not path.is_file():
        if (reason := _why_none(run.recipe.teacher)) is not None:
            raise TeacherError(
                f"The teacher of {run.workspace.folder} has no accuracy of its own: {reason}. A teacher of the kind "
                '"openai" or "local" has one.'
            )
        evaluate_teacher(run, ledger_path(run.workspace.folder))
    return dict(read_json(path))


def _why_none(settings: AnyTeacherSettings) -> str | None:
    if isinstance(settings, SampledTeacherSettings):
        return None
    told = "replays recordings" if settings.kind == "recorded" else "is told the answers"
    return f'a teacher of the kind "{settings.kind}" {told}'


def _play(run: Run) -> None:
    timed(run, _ROUND, "evaluation", lambda: evaluate_teacher(run, run.workspace.ledger))


def evaluate_teacher(run: Run, ledger_file: Path) -> None:
    """Asks the run's teacher every test question; writes teacher.jsonl and teacher.json, which says why if it has no
    accuracy of its own.

    Raises: as `feedback`.
    """
    settings, path = run.recipe.teacher, score_path(run.workspace.folder)
    if not isinstance(settings, SampledTeacherSettings):
        write_json(path, {"accuracy": None, "reason": _why_none(settings)})
        return
    settings = settings.model_copy(update={"temperature": 0.0, "replies": 1})
    recipe = run.recipe.model_copy(update={"teacher": settings})
    questions = run.questions["test"]
    requests = [
        Request(question, None, solving_prompt(question, run.demonstrations, settings.endpoint), 1, _ROUND)
        for question in questions
    ]
    teacher = build_teacher(recipe)
    without: list[str] = []
    with Ledger(ledger_file) as ledger, progress("Teacher  evaluation", len(requests), "requests") as bar:

        def settled(_request: Request, reason: str | None) -> None:
            if reason is not None:
                without.append(reason)
            bar(1)

        ask(teacher, requests, ledger, build_spending(recipe), settled)
        replies = [ledger.reply(teacher, request) for request in requests]
    if without:
        check_outage(without, len(requests))
    attempts = [_attempt(question, reply) for question, reply in zip(questions, replies, strict=True)]
    write_records(path.with_suffix(".jsonl"), attempts)
    write_json(path, _score(attempts, replies, teacher.name))


def _attempt(question: Question, reply: Reply) -> Attempt:
    text = reply.texts[0] if reply.texts else ""
    answer = read_reply(text, question)
    finished = bool(reply.texts) and reply.finish_reasons[0] != "length"
    rationale = reply_rationale(text, question)
    return Attempt(question.id, 0, text, rationale, answer, is_right(answer, question), 0, finished)


def _score(attempts: Sequence[Attempt], replies: Sequence[Reply], name: str) -> dict[str, Any]:
    return {
        **asdict(accuracy(attempts)),
        "teacher": name,
        "unanswered": sum(reply.error is not None for reply in replies),
        "unreadable": sum(attempt.answer is None for attempt in attempts),
    }


METHOD = Method("teacher", "arXiv 2310.13332, few-shot", _play, own=frozenset(("evaluation",)), trains=False)

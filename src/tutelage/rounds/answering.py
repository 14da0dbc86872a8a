"""The student answers many questions, batch by batch, each batch kept as soon as it is done."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from pydantic import ValidationError

from tutelage.progress import progress
from tutelage.prompts import student_prompt
from tutelage.records import Attempt, Question, from_json, to_json
from tutelage.rounds.run import Run
from tutelage.student.sampling import Completion
from tutelage.tasks.answers import is_right, read_answer, student_rationale
from tutelage.workspace import disk_errors, read_records, remove, unfinished, write_records


def prompts_for(run: Run, questions: Iterable[Question]) -> list[str]:
    """What the student is given for each question, demonstrations included."""
    return [student_prompt(question, run.demonstrations) for question in questions]


def grade(question: Question, sample: int, completion: Completion) -> Attempt:
    """The attempt that a completion is."""
    answer = read_answer(completion.text, question)
    rationale = student_rationale(completion.text)
    return Attempt(
        question.id,
        sample,
        completion.text,
        rationale,
        answer,
        is_right(answer, question),
        completion.tokens,
        completion.finished,
    )


AnswerBatch = Callable[[Sequence[int]], Sequence[Sequence[Completion]]]
"""Indices of questions in; for each question its completions out."""


def finished_answers(path: Path) -> list[Attempt] | None:
    """The attempts in `path`, None if they are not all there yet."""
    if not path.is_file():
        return None
    remove(unfinished(path))  # a kill between the last two steps leaves it
    return read_records(path, Attempt)


def answer_all(
    path: Path,
    description: str,
    questions: Sequence[Question],
    batches: Sequence[Sequence[int]],
    samples: int,
    answer_batch: AnswerBatch,
) -> list[Attempt]:
    """Every question's attempts in the questions' order, written to `path`; `samples` of each question.

    Finished batches are appended to an unfinished file beside it and are not done again after a restart. The
    batches have to be the same then, which they are: they follow from the questions and the recipe.
    Raises: WorkspaceError on a full disk.
    """
    growing = unfinished(path)
    attempts, finished = _finished(growing, batches, samples)
    write_records(growing, attempts)  # without the torn line, before the next one comes after it
    with progress(description, len(questions) * samples, "answers", len(attempts)) as advance:
        for batch in batches[finished:]:
            new = [
                grade(questions[index], sample, completion)
                for index, completions in zip(batch, answer_batch(batch), strict=True)
                for sample, completion in enumerate(completions)
            ]
            with disk_errors(path), growing.open("a", encoding="utf-8") as file:
                file.write("".join(to_json(attempt) + "\n" for attempt in new))
            attempts += new
            advance(len(new), note=f"{sum(attempt.correct for attempt in attempts) / len(attempts):.1%} right")
    place = {question.id: index for index, question in enumerate(questions)}
    attempts.sort(key=lambda attempt: (place[attempt.question_id], attempt.sample))
    write_records(path, attempts)
    remove(growing)
    return attempts


def _finished(growing: Path, batches: Sequence[Sequence[int]], samples: int) -> tuple[list[Attempt], int]:
    """The attempts of all whole batches in an unfinished file, and how many batches those are."""
    attempts: list[Attempt] = []
    if growing.is_file():
        with contextlib.suppress(ValidationError):  # a kill can leave half a line, with nothing after it
            for line in growing.read_bytes().splitlines():
                attempts.append(from_json(Attempt, line))
    whole = finished = 0
    for batch in batches:
        if whole + len(batch) * samples > len(attempts):
            break
        whole, finished = whole + len(batch) * samples, finished + 1
    return attempts[:whole], finished

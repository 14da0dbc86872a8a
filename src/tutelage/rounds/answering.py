"""The student answers many questions, sitting by sitting, each kept as soon as it is done."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from tutelage.progress import progress
from tutelage.records import Attempt, Question, from_json, to_json
from tutelage.rounds.run import Run
from tutelage.student.drawing import Drawing
from tutelage.student.model import Student
from tutelage.student.prompting import prompting_for
from tutelage.student.sampling import Answerer, Answers
from tutelage.student.stopping import Completion
from tutelage.student.vllm import VllmAnswerer
from tutelage.tasks.answers import is_right, read_answer, student_rationale
from tutelage.workspace import disk_errors, read_records, remove, unfinished, write_records


def prompts_for(run: Run, student: Student, questions: Iterable[Question]) -> list[str]:
    """What the student is given for each question, demonstrations included."""
    prompting = prompting_for(student, run.recipe.prompt, run.demonstrations)
    return [prompting.prompt(question).text for question in questions]


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


def answers_of(run: Run, number: int, prompts: Sequence[str], drawing: Drawing, **settings: Any) -> Answers:
    """Who answers for a round's student, by the engine that the recipe names. settings: as for `Answerer`."""
    engine = VllmAnswerer if run.recipe.student.engine == "vllm" else Answerer
    return engine(run.student(number), prompts, drawing, **settings)


def finished_answers(path: Path) -> list[Attempt] | None:
    """The attempts in `path`, None if they are not all there yet."""
    if not path.is_file():
        return None
    remove(unfinished(path))  # a kill between the last two steps leaves it
    return read_records(path, Attempt)


def answer_all(
    path: Path, description: str, questions: Sequence[Question], samples: int, answers: Answers
) -> list[Attempt]:
    """Every question's attempts in the questions' order, written to `path`; `samples` of each question.

    Finished sittings are appended to an unfinished file beside it. What they answered is not asked again after a
    restart, as far as the questions come in the same order, which follows from the prompts alone.
    Raises: WorkspaceError on a full disk.
    """
    growing = unfinished(path)
    order = [questions[index].id for sitting in answers.sittings for index in sitting]
    attempts = _kept(growing, order, samples)
    write_records(growing, attempts)  # without the torn line, before the next one comes after it
    with progress(description, len(questions) * samples, "answers", len(attempts)) as advance:
        grading = _Grading(questions, attempts, advance)
        for sitting in _rests(answers.sittings, len(attempts) // samples):
            answers.answer(sitting, grading)
            new = [attempt for index in sitting for attempt in grading.graded.pop(index)]
            with disk_errors(path), growing.open("a", encoding="utf-8") as file:
                file.write("".join(to_json(attempt) + "\n" for attempt in new))
            attempts += new
    answers.release()
    place = {question.id: index for index, question in enumerate(questions)}
    attempts.sort(key=lambda attempt: (place[attempt.question_id], attempt.sample))
    write_records(path, attempts)
    remove(growing)
    return attempts


class _Grading:
    """Grades a question's answers as soon as they are there, and shows how it goes. graded: by the question's place."""

    def __init__(self, questions: Sequence[Question], before: Sequence[Attempt], advance: Callable[..., None]) -> None:
        self._questions = questions
        self._right, self._total = sum(attempt.correct for attempt in before), len(before)
        self._advance = advance
        self.graded: dict[int, list[Attempt]] = {}

    def __call__(self, index: int, completions: Sequence[Completion]) -> None:
        new = [grade(self._questions[index], sample, one) for sample, one in enumerate(completions)]
        self.graded[index] = new
        self._right += sum(attempt.correct for attempt in new)
        self._total += len(new)
        self._advance(len(new), note=f"{self._right / self._total:.1%} right")


def _kept(growing: Path, order: Sequence[str], samples: int) -> list[Attempt]:
    """The attempts in an unfinished file at the leading questions of `order`, their ids, that have all their samples.

    What stands behind the first attempt of another question or sample comes from another plan, and is dropped.
    """
    attempts: list[Attempt] = []
    if growing.is_file():
        with contextlib.suppress(ValidationError):  # a kill can leave half a line, with nothing after it
            for line in growing.read_bytes().splitlines():
                attempts.append(from_json(Attempt, line))
    planned = [(question, sample) for question in order for sample in range(samples)]
    same = 0
    for attempt, expected in zip(attempts, planned, strict=False):
        if (attempt.question_id, attempt.sample) != expected:
            break
        same += 1
    return attempts[: same // samples * samples]


def _rests(sittings: Sequence[Sequence[int]], answered: int) -> Iterator[Sequence[int]]:
    """What is left of the sittings behind so many questions.

    Sittings are appended whole: so one is cut only if the file comes from other sittings, of another batch size.
    """
    for sitting in sittings:
        if answered < len(sitting):
            yield sitting[answered:]
        answered = max(0, answered - len(sitting))

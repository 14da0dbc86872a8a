"""Fine-tuning on answers only: the student learns "Question: x\\nAnswer: y" and is tested in the same form.

It is asked in plain text and without any reasoning, behind demonstrations that have none either. Table 1 calls it
"Student (w/ Fine-tuning)".
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from tutelage.baselines.method import Method
from tutelage.baselines.one_pass import one_pass
from tutelage.errors import DataError
from tutelage.prompts import ANSWER, SEPARATOR, question_text
from tutelage.records import Demonstration, Question, Triplet
from tutelage.rounds.answering import answer_all, answers_of, finished_answers
from tutelage.rounds.evaluate import keep_score
from tutelage.rounds.run import Run
from tutelage.student.answering.answers import Answers, Finished, Further
from tutelage.student.answering.stopping import Completion
from tutelage.student.engine.drawing import Greedy
from tutelage.student.loss.separate import LessonSample
from tutelage.student.model.student import Student
from tutelage.student.text.encoding import encode_sample
from tutelage.workspace import read_json

_FIRST_LINE = re.compile(r"\s*\S[^\n]*(?=\n)")


def answer_prompt(question: Question, demonstrations: Sequence[Demonstration]) -> str:
    """What the student continues with an answer: ends in "Answer:"."""
    return _before(demonstrations) + _asked(question)


def _before(demonstrations: Sequence[Demonstration]) -> str:
    return "".join(
        f"{question_text(demo.question, demo.choices)}\n{ANSWER} {demo.answer}{SEPARATOR}" for demo in demonstrations
    )


def _asked(question: Question) -> str:
    return f"{question_text(question.text, question.choices)}\n{ANSWER}"


def encode_answers(run: Run, student: Student, triplets: Sequence[Triplet]) -> list[LessonSample]:
    """The questions of a lesson with their gold answers, as tokens; without those too long for the student."""
    questions = {question.id: question for question in run.questions["train"]}
    before, weight = _before(run.demonstrations), run.recipe.study.demonstration_weight
    samples = []
    for triplet in triplets:
        question = questions[triplet.question_id]
        sample = encode_sample(student, before, _asked(question), f" {question.answer}", weight)
        if student.context is None or len(sample.token_ids) <= student.context:
            samples.append(LessonSample(question.id, sample, None, None))
    if not samples:
        raise DataError(f"Every question is longer than the student's context of {student.context} tokens.")
    return samples


def evaluate_answers(run: Run, number: int) -> dict[str, Any]:
    """As `evaluate`, asked for answers alone."""
    place, settings = run.round(number), run.recipe.evaluation
    if place.evaluation.is_file():
        return dict(read_json(place.evaluation))
    questions = [*run.questions["test"], *run.questions["held-out"]]
    attempts = finished_answers(place.answers)
    if attempts is None:
        prompts = [answer_prompt(question, run.demonstrations) for question in questions]
        drawing = Greedy(settings.max_new_tokens)
        answers = answers_of(run, number, prompts, drawing, batch_size=settings.batch_size, complete=_first_line)
        attempts = answer_all(place.answers, f"Round {number}  evaluation", questions, 1, _Marked(answers))
    return keep_score(run, number, attempts)


def _first_line(text: str) -> int | None:
    found = _FIRST_LINE.match(text)
    return None if found is None else found.end()


class _Marked:
    """Answers with the mark put back that ended their prompts, so that they read like any other."""

    def __init__(self, answers: Answers) -> None:
        self._answers = answers

    @property
    def sittings(self) -> Sequence[Sequence[int]]:
        return self._answers.sittings

    def answer(
        self, sitting: Sequence[int], finished: Finished | None = None, further: Further | None = None
    ) -> list[list[Completion]]:
        def tell(index: int, completions: Sequence[Completion]) -> None:
            if finished is not None:
                finished(index, _marked(completions))

        return [_marked(completions) for completions in self._answers.answer(sitting, tell, further)]

    def release(self) -> None:
        self._answers.release()


def _marked(completions: Sequence[Completion]) -> list[Completion]:
    return [replace(one, text=f"{ANSWER}{one.text}") for one in completions]


def _lesson(run: Run) -> list[Triplet]:
    return [Triplet(question.id, "", None, None) for question in run.questions["train"]]


def _play(run: Run) -> None:
    one_pass(run, _lesson, encode_answers, evaluate_answers)


METHOD = Method(
    "answers",
    "gold answers of the training split",
    _play,
    decides=("rounds.limit=1", "study.lambda=0.0"),
    stages=frozenset(("lesson", "study", "evaluation")),
    own=frozenset(("lesson", "study", "evaluation")),
    asks=False,
    one_pass=True,
)

"""Study: the lesson as tokens, the training loop, the round's student (3.3, Eqs. 2-4)."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import NamedTuple

from tutelage.distributed import is_leader
from tutelage.errors import DataError
from tutelage.progress import progress, say
from tutelage.records import Question, SplitName, Triplet
from tutelage.rounds.lesson import lesson
from tutelage.rounds.orders import call
from tutelage.rounds.run import Run
from tutelage.rounds.students import check_not_deleted
from tutelage.seeds import derive_seed
from tutelage.student.loss.separate import LessonSample
from tutelage.student.model.student import Student
from tutelage.student.ranks.sharding import gather_weights
from tutelage.student.text.encoding import Sample, Text, encode_samples
from tutelage.student.text.prompting import prompting_for
from tutelage.student.training.loop import Step, count_steps
from tutelage.student.training.loop import study as train
from tutelage.workspace import disk_errors, read_records, remove, unfinished, write_atomically, write_text

Encode = Callable[[Run, Student, Sequence[Triplet]], list[LessonSample]]
"""Makes a lesson's tokens."""


def study(run: Run, number: int, encode: Encode | None = None) -> None:
    """Trains the student that rounds.start names on a round's lesson; writes training.jsonl and student/.

    encode: makes the lesson's tokens; None: `encode_lesson`.
    Goes on from its checkpoint after a restart. Done already: does nothing.
    Raises: DataError if the lesson is empty, WorkspaceError if the student was deleted since (rounds.keep).
    """
    place = run.round(number)
    if not place.student.is_dir():
        if run.recipe.rounds.keep == "needed":
            check_not_deleted(run.workspace, number)
        if not lesson(run, number):
            raise DataError(f"Round {number} has no lesson: the teacher gave no right rationale; see {place.feedback}.")
        call(run, "study", number)
        train_student(run, number, encode)
    remove(place.checkpoint)  # a kill between the last steps leaves them
    remove(unfinished(place.training))


def train_student(run: Run, number: int, encode: Encode | None = None) -> None:
    """What all ranks do of it together; the leader writes. encode: as for `study`, and of one rank alone."""
    place, settings = run.round(number), run.recipe.study
    log = _Log(unfinished(place.training))
    start = run.recipe.rounds.begins_with(number)
    student = run.learner(start)
    # The file, and nothing that might make it: on a disk that lags a rank must not come to ask the teacher.
    triplets = read_records(place.lesson, Triplet)
    if not settings.lambda_:  # without a triplet loss nothing reads them
        triplets = [replace(triplet, positive=None, negative=None) for triplet in triplets]
    samples = (encode or encode_lesson)(run, student, triplets)
    total = count_steps(samples, settings)
    if settings.warmup_steps >= total:
        say(f"Note: the {total} steps of this study all lie in its warm-up of {settings.warmup_steps} steps.")
    with progress(f"Round {number}  study", total, "steps") as advance:
        began = time.monotonic()
        tokens = 0

        def on_step(step: Step) -> None:
            nonlocal tokens
            if is_leader():
                log.add(step)
            tokens += step.tokens
            speed = tokens / (time.monotonic() - began)
            advance(step.step - advance_to[0], note=f"loss {step.loss:.3f}, {speed:.0f} tokens/s")
            advance_to[0] = step.step
            if run.on_step is not None:
                run.on_step(number, step, speed)

        advance_to = [0]
        seed = derive_seed(run.recipe.seed, "study", number)
        train(student, samples, settings, settings.rate(start), seed, place.checkpoint, on_step)
    weights = gather_weights(student.model)
    if is_leader():
        write_atomically(place.training, log.finish)
        run.keep_student(student, number, weights)


class _Log:
    """training.jsonl while it grows: a step that is done again after a restart replaces its earlier line."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._begun = False

    def add(self, step: Step) -> None:
        with disk_errors(self.path):
            if not self._begun:
                self._keep_before(step.step)
                self._begun = True
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(asdict(step)) + "\n")

    def _keep_before(self, step: int) -> None:
        lines = self.path.read_text(encoding="utf-8").splitlines() if self.path.is_file() else []
        write_text(self.path, "".join(line + "\n" for line in lines[: step - 1]))

    def finish(self, path: Path) -> None:
        path.write_bytes(self.path.read_bytes())


def read_training(path: Path) -> list[Step]:
    """The steps of a finished or unfinished training.jsonl."""
    return read_records(path, Step)


class _Solved(NamedTuple):
    """A question with a rationale and what it comes to; None: it comes to no answer."""

    question: Question
    rationale: str
    answer: str | None


def _solutions(question: Question, triplet: Triplet) -> tuple[_Solved, _Solved | None, _Solved | None]:
    """A sample's anchor, positive and negative. question: as the sample asks it."""
    positive, negative = triplet.positive, triplet.negative
    return (
        _Solved(question, triplet.anchor, question.answer),
        None if positive is None else _Solved(question, positive, question.answer),
        None if negative is None else _Solved(question, negative.rationale, negative.answer),
    )


def encode_lesson(
    run: Run, student: Student, triplets: Sequence[Triplet], asked_of: SplitName = "train"
) -> list[LessonSample]:
    """A lesson as tokens. A sample longer than the student's context is left out, and the user told.

    asked_of: whose questions they are; another split's are read by the student, and never trained on.
    """
    questions = {question.id: question for question in run.questions[asked_of]}
    prompting = prompting_for(student, run.recipe.prompt, run.demonstrations)
    weight, limit = run.recipe.study.demonstration_weight, student.context

    # A positive is another sample's anchor, and a mistake may be several samples' negative: each text once.
    asked = [triplet.asked(questions[triplet.question_id]) for triplet in triplets]
    wanted: dict[_Solved, None] = {}
    for question, triplet in zip(asked, triplets, strict=True):
        wanted.update(dict.fromkeys(one for one in _solutions(question, triplet) if one is not None))
    texts = []
    for one in wanted:
        prompt = prompting.prompt(one.question)
        texts.append(Text(prompt.before, prompt.asked, prompting.solution(one.rationale, one.answer)))
    encoded = dict(zip(wanted, encode_samples(student, texts, weight, prompting.end_id), strict=True))

    def fitting(solved: _Solved | None) -> Sample | None:
        sample = None if solved is None else encoded[solved]
        if sample is None or limit is None:
            return sample
        return sample if max(len(sample.token_ids), len(sample.source_ids)) <= limit else None

    samples = []
    for question, triplet in zip(asked, triplets, strict=True):
        anchor, positive, negative = map(fitting, _solutions(question, triplet))
        if anchor is not None:
            samples.append(LessonSample(question.id, anchor, positive, negative))
    if len(samples) < len(triplets):
        say(f"Left out {len(triplets) - len(samples)} samples longer than the student's context of {limit} tokens.")
    if not samples:
        raise DataError(
            f"Every sample of the lesson is longer than the student's context of {limit} tokens. "
            "Use fewer demonstrations (prompt.count) or a student with a longer context."
        )
    return samples

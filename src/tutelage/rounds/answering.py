"""The student answers many questions, and what is answered is kept.

One rank answers sitting by sitting. Of several each takes parts of the work whenever it has slots free, and appends
what is finished to a file of its own; the leader puts all files together in the end.
"""

from __future__ import annotations

import contextlib
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError

from tutelage.distributed import Claims, barrier, broadcast, is_leader, rank, world_size
from tutelage.errors import StudentError, WorkspaceError
from tutelage.progress import progress
from tutelage.records import Attempt, Question, from_json, to_json
from tutelage.rounds.run import Run
from tutelage.student.answering.answerer import Answerer
from tutelage.student.answering.answers import Answers
from tutelage.student.answering.stopping import Completion
from tutelage.student.answering.vllm import VllmAnswerer
from tutelage.student.engine.drawing import Drawing
from tutelage.student.model.memory import automatic_slots
from tutelage.student.model.student import Student
from tutelage.student.text.prompting import prompting_for
from tutelage.tasks.answers import is_right, read_answer, student_rationale
from tutelage.workspace import PARTIAL, disk_errors, read_records, remove, unfinished, write_records

_PARTS = 32
"""Of a sitting: as much as a rank takes at a time. A sitting is some times the slots, so it takes some of them."""

_TELL_SECONDS = 0.2
"""Between two times that a rank tells the others how far it is."""


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
    """Who answers for a round's student, by the engine that the recipe names. settings: as for `Answerer`.

    Raises: StudentError for vLLM on several ranks.
    """
    student, ranks = run.student(number), world_size()
    if run.recipe.student.engine == "vllm":
        if ranks > 1:
            raise StudentError(
                f'student.engine is "vllm", which answers in one process, and there are {ranks}. '
                'Leave out --gpus, or take student.engine="built-in".'
            )
        return VllmAnswerer(student, prompts, drawing, **settings)
    if ranks > 1:
        sequences = len(prompts) * settings.get("samples", 1)
        settings["batch_size"] = slots_of_rank(sequences, settings["batch_size"], student.device)
    return Answerer(student, prompts, drawing, **settings)


def slots_of_rank(sequences: int, batch_size: int | None, device: torch.device) -> int:
    """Of several ranks: no more than a rank's share of the sequences fills, since empty slots cost time as well."""
    return max(1, min(batch_size or automatic_slots(device), -(-sequences // world_size())))


def parts_for_ranks(order: Sequence[int], sittings: Sequence[Sequence[int]]) -> list[Sequence[int]]:
    """What several ranks take one after the other. order: questions; sittings: those of a rank that has all to itself.

    Parts are small, so that ranks end together; slots stay full all the same, since a part enters where others leave.
    """
    return _parts(order, max(1, max(map(len, sittings), default=1) // _PARTS))


def finished_answers(path: Path) -> list[Attempt] | None:
    """The attempts in `path`, None if they are not all there yet."""
    if not path.is_file():
        return None
    for file in _unfinished_files(path):  # a kill between the last two steps leaves them
        remove(file)
    return read_records(path, Attempt)


def answer_all(
    path: Path, description: str, questions: Sequence[Question], samples: int, answers: Answers
) -> list[Attempt]:
    """Every question's attempts in the questions' order, written to `path`; `samples` of each question.

    All ranks call it together; on those that do not lead it gives nothing. What is finished is appended to unfinished
    files beside `path`, one a rank, and not asked again after a restart, on whatever number of ranks.
    Raises: WorkspaceError on a full disk, or if the ranks do not see each other's files.
    """
    before = _take_up(path, questions, samples) if is_leader() else []
    done = set(broadcast([attempt.question_id for attempt in before[::samples]]))
    rest = [index for sitting in answers.sittings for index in sitting if questions[index].id not in done]
    with progress(description, len(questions) * samples, "answers", len(before)) as advance:
        grading = _Grading(questions, _own_file(path), advance, before)
        if world_size() == 1:
            for sitting in _parts(rest, max(map(len, answers.sittings), default=1)):
                answers.answer(sitting, grading)
                grading.keep()
        else:
            grading.share(answers, parts_for_ranks(rest, answers.sittings))
            grading.wait_for(len(questions) * samples)
        grading.tell()
    answers.release()
    barrier()
    return _put_together(path, questions, samples) if is_leader() else []


def _parts(order: Sequence[int], size: int) -> list[Sequence[int]]:
    return [order[start : start + size] for start in range(0, len(order), size)]


class _Grading:
    """Grades a question's answers as soon as they are there, keeps them, and shows how all ranks get on.

    file: where `keep` appends them. before: those of an earlier process; the leader knows of them.
    """

    def __init__(
        self, questions: Sequence[Question], file: Path, advance: Callable[..., None], before: Sequence[Attempt]
    ) -> None:
        self._questions, self._file, self._advance = questions, file, advance
        self._before = sum(attempt.correct for attempt in before), len(before)
        self._shown = len(before)
        self._new: list[Attempt] = []  # not kept yet
        self._right = self._total = 0  # not told yet
        self._told = 0.0
        self._claims = Claims()

    def __call__(self, index: int, completions: Sequence[Completion]) -> None:
        new = [grade(self._questions[index], sample, one) for sample, one in enumerate(completions)]
        self._new += new
        self._right += sum(attempt.correct for attempt in new)
        self._total += len(new)
        if time.monotonic() - self._told > _TELL_SECONDS:
            self.tell()

    def keep(self) -> None:
        """Appends what is new to the file."""
        with disk_errors(self._file), self._file.open("a", encoding="utf-8") as file:
            file.write("".join(to_json(attempt) + "\n" for attempt in self._new))
        self._new = []

    def tell(self) -> None:
        """Adds what this rank has done to what all have, and shows that."""
        right = self._before[0] + self._claims.add("right", self._right)
        total = self._before[1] + self._claims.add("total", self._total)
        self._right = self._total = 0
        self._told = time.monotonic()
        self._advance(total - self._shown, note=f"{right / total:.1%} right" if total else None)
        self._shown = total

    def share(self, answers: Answers, parts: Sequence[Sequence[int]]) -> None:
        """Answers one part after the other that no other rank has taken, each as soon as there are slots for it."""

        def further() -> Sequence[int]:
            self.keep()
            number = self._claims.next()
            return parts[number] if number < len(parts) else ()

        answers.answer((), self, further)
        self.keep()

    def wait_for(self, total: int) -> None:
        """Has the leader show how the others get on until they are done."""
        self.tell()
        while is_leader() and self._shown < total:
            time.sleep(_TELL_SECONDS)
            self.tell()


def _own_file(path: Path) -> Path:
    growing = unfinished(path)
    return growing if is_leader() else growing.with_name(f"{growing.name}-{rank()}")


def _unfinished_files(path: Path) -> list[Path]:
    """Those of all ranks, whatever their number was."""
    found = path.parent.glob(f"{unfinished(path).name}*")
    return sorted(file for file in found if not file.name.endswith(PARTIAL))


def _take_up(path: Path, questions: Sequence[Question], samples: int) -> list[Attempt]:
    """What earlier processes have answered, put into the leader's file alone."""
    attempts = _whole(path, questions, samples)
    own = _own_file(path)
    write_records(own, attempts)  # without a torn line, before the next one comes after it
    for file in _unfinished_files(path):
        if file != own:
            remove(file)
    return attempts


def _whole(path: Path, questions: Sequence[Question], samples: int) -> list[Attempt]:
    """The attempts in all unfinished files at those questions that have all their samples, in the questions' order."""
    found: dict[str, dict[int, Attempt]] = defaultdict(dict)
    for file in _unfinished_files(path):
        with contextlib.suppress(ValidationError):  # a kill can leave half a line, with nothing after it
            for line in file.read_bytes().splitlines():
                attempt = from_json(Attempt, line)
                found[attempt.question_id].setdefault(attempt.sample, attempt)
    wanted = range(samples)
    whole = [question.id for question in questions if all(sample in found[question.id] for sample in wanted)]
    return [found[question][sample] for question in whole for sample in wanted]


def _put_together(path: Path, questions: Sequence[Question], samples: int) -> list[Attempt]:
    attempts = _whole(path, questions, samples)
    if missing := len(questions) * samples - len(attempts):
        raise WorkspaceError(
            f"{missing} answers that other processes wrote are not in {path.parent}. Every machine must see the run "
            "folder on one disk, under the same name; then `tutelage resume`."
        )
    write_records(path, attempts)
    for file in _unfinished_files(path):
        remove(file)
    return attempts

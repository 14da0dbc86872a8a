"""A run: its folder with what every stage reads from it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path

import torch

from tutelage.config import Recipe
from tutelage.errors import WorkspaceError
from tutelage.evaluation.provenance import environment
from tutelage.progress import say
from tutelage.recipes import read_recipe, recipe_to_toml, with_absolute_paths
from tutelage.records import Demonstration, Question, SplitName, StoredQuestion, from_json
from tutelage.rounds.leakage import write_question_leakage
from tutelage.rounds.questions import choose_questions
from tutelage.rounds.status import StatusFile
from tutelage.rounds.students import load_learner, load_whole, studies_in_shards, write_learner
from tutelage.student.model.lora import check_adapter, check_packages
from tutelage.student.model.student import Student, load_student, save_student
from tutelage.student.text.prompting import prompting_for
from tutelage.student.training.loop import Step
from tutelage.tasks.split import describe, question_key
from tutelage.workspace import (
    Round,
    Workspace,
    check_free,
    read_json,
    read_records,
    write_atomically,
    write_json,
    write_records,
    write_text,
)

AroundStage = Callable[[int, str], contextlib.AbstractContextManager[None]]


def _nothing_around(_number: int, _stage: str) -> contextlib.AbstractContextManager[None]:
    return contextlib.nullcontext()


@dataclass
class Run:
    """An open run folder, locked by this process. The student is loaded when a stage first asks for it.

    around_stage: called with a round and the name of each of its stages; what it gives is entered before that is done,
        or skipped, and left when it is done, or has failed.
    on_step: called with a round, each step of its study, and the tokens a second so far.
    """

    workspace: Workspace
    recipe: Recipe
    around_stage: AroundStage = field(default=_nothing_around, repr=False)
    on_step: Callable[[int, Step, float], None] | None = field(default=None, repr=False)
    _student: tuple[int, Student] | None = field(default=None, repr=False)

    @cached_property
    def status(self) -> StatusFile:
        """Where the process that leads this run says how far it is."""
        return StatusFile(self.workspace.status)

    def round(self, number: int) -> Round:
        return self.workspace.round(number)

    @cached_property
    def questions(self) -> dict[SplitName, list[Question]]:
        """The questions of each split, as the run was started with."""
        splits: dict[SplitName, list[Question]] = {"train": [], "held-out": [], "test": []}
        for stored in read_records(self.workspace.questions, StoredQuestion):
            splits[stored.split].append(stored.question)
        _check_apart(self.workspace.questions, splits)
        return splits

    @cached_property
    def demonstrations(self) -> tuple[Demonstration, ...]:
        """Those before every question the student is asked."""
        return self._stored_demonstrations("student")

    @cached_property
    def feedback_demonstrations(self) -> tuple[Demonstration, ...]:
        """Those before every request to the teacher."""
        return self._stored_demonstrations("teacher")

    def _stored_demonstrations(self, whose: str) -> tuple[Demonstration, ...]:
        stored = read_json(self.workspace.demonstrations)[whose]
        return tuple(from_json(Demonstration, demonstration) for demonstration in stored)

    def student(self, number: int) -> Student:
        """The student as it stands after a round, always as it was saved, so that resuming changes nothing."""
        if self._student is None or self._student[0] != number:
            self._student = None  # frees the memory first
            self._student = (number, load_whole(self.workspace, self.recipe, number))
        return self._student[1]

    def learner(self, number: int) -> Student:
        """The student as it stands after a round, for training to change: with LoRA, as its base and an adapter."""
        if self.recipe.lora is None and not studies_in_shards(self.recipe):
            student = self.student(number)
            self.forget_student()  # it changes now; the next stage loads what is kept of it
            return student
        self.forget_student()  # frees the memory first
        return load_learner(self.workspace, self.recipe, number)

    def keep_student(self, student: Student, number: int, weights: dict[str, torch.Tensor] | None = None) -> None:
        """Saves the student as it stands after a round. Raises: WorkspaceError on a full disk.

        weights: as `save_student` takes them.
        """
        lora = self.recipe.lora

        def write(partial: Path) -> None:
            if lora is None or number == 0:
                save_student(student, partial, weights)
            else:
                write_learner(self.workspace, self.recipe, lora, student, number, partial, weights)

        write_atomically(self.round(number).student, write)

    def forget_student(self) -> None:
        """Drops the loaded student; the next stage loads what was saved."""
        self._student = None


def start_run(recipe: Recipe, folder: Path, untrained: Path | None = None) -> Run:
    """Makes a run folder: the recipe, the split, the demonstrations, and the untrained student as round 0.

    untrained: where another run keeps the recipe's untrained student, which is read faster than most files of models.

    Raises: TutelageError of the kind that fits, before anything is written: all that a run needs is read first.
    """
    check_free(folder)
    recipe = with_absolute_paths(recipe)
    chosen = choose_questions(recipe)
    split = chosen.split
    student = _untrained_student(recipe, untrained)
    prompting_for(student, recipe.prompt, chosen.demonstrations)
    run = Run(Workspace.create(folder), recipe)
    named: tuple[tuple[SplitName, Sequence[Question]], ...] = (
        ("train", split.train),
        ("held-out", split.held_out),
        ("test", split.test),
    )
    write_records(
        run.workspace.questions,
        [StoredQuestion(name, question) for name, questions in named for question in questions],
    )
    write_json(run.workspace.split, describe(split))
    write_json(
        run.workspace.demonstrations,
        {
            "student": [asdict(demonstration) for demonstration in chosen.demonstrations],
            "teacher": [asdict(demonstration) for demonstration in chosen.feedback_demonstrations],
        },
    )
    write_question_leakage(run.workspace, run.questions, run.demonstrations, run.feedback_demonstrations)
    write_json(run.workspace.environment, asdict(environment()))
    # Last but for the student, which open_run can make again: a folder with a recipe is a run that resumes.
    write_text(run.workspace.recipe, recipe_to_toml(recipe))
    run.keep_student(student, 0)
    return run


def open_run(folder: Path, overrides: Sequence[str] = (), lock: bool = True) -> Run:
    """An existing run. overrides: `key=value` for keys that leave what is done as it is, such as rounds.limit.

    Raises: WorkspaceError, RecipeError.
    """
    workspace = Workspace.open_run(folder, lock=lock)
    recipe = read_recipe(workspace.recipe, overrides)
    if overrides:
        _check_overrides(overrides)
        recipe = with_absolute_paths(recipe)
        write_text(workspace.recipe, recipe_to_toml(recipe))
    run = Run(workspace, recipe)
    if lock and not run.round(0).student.is_dir():
        run.keep_student(_untrained_student(recipe), 0)
    return run


CHANGEABLE = (
    "rounds.limit",
    "rounds.patience",
    "rounds.smallest_gain",
    "rounds.keep",
    "student.device",
    "exam.batch_size",
    "evaluation.batch_size",
    "study.checkpoint_steps",
    "study.micro_batch_size",
    "study.gradient_checkpointing",
    "study.sharding",
    "teacher.base_url",
    "teacher.api_key_env",
    "teacher.api_key_file",
    "teacher.road",
    "teacher.concurrency",
    "teacher.requests_per_minute",
    "teacher.tokens_per_minute",
    "teacher.connect_seconds",
    "teacher.timeout_seconds",
    "teacher.retries",
    "teacher.budget.money",
    "teacher.budget.tokens",
    "teacher.budget.requests",
    "teacher.price.input",
    "teacher.price.output",
    "teacher.price.cached_input",
    "teacher.price.batch_input",
    "teacher.price.batch_output",
    "teacher.cache",
    "teacher.tokenizer",
    "teacher.device",
    "teacher.batch_size",
    "teacher.files",
    "first_teacher.device",
    "first_teacher.batch_size",
    "first_teacher.files",
    "task.data",
    "report_to",
    "project",
    "run_name",
)


def _check_overrides(overrides: Sequence[str]) -> None:
    for override in overrides:
        key = override.partition("=")[0]
        if key not in CHANGEABLE:
            raise WorkspaceError(
                f"{key} cannot change in a run that has begun: what is done was done otherwise. "
                f"These can: {', '.join(CHANGEABLE)}. For the rest start a new run by `tutelage learn`."
            )


def _check_apart(path: Path, splits: Mapping[SplitName, Sequence[Question]]) -> None:
    """By what is asked and not by id: whatever happened to the file, no test question is trained on.

    Raises: WorkspaceError if a question of the test stands in another part, too.
    """
    tested = {question_key(question.text, question.choices) for question in splits["test"]}
    both = [q.id for q in (*splits["train"], *splits["held-out"]) if question_key(q.text, q.choices) in tested]
    if both:
        raise WorkspaceError(
            f"{len(both)} questions of the training split in {path} stand in the test split too, such as {both[0]!r}. "
            "The file has changed since the run began: put back a copy, or start a new run."
        )


def _untrained_student(recipe: Recipe, folder: Path | None = None) -> Student:
    settings = recipe.student
    if recipe.lora is not None:
        check_packages(recipe.lora)
    say(f"Loading the student {settings.model}")
    if folder is not None:
        student = load_student(str(folder), device=settings.device)
    else:
        student = load_student(settings.model, revision=settings.revision, device=settings.device)
    if recipe.lora is not None:
        check_adapter(student, recipe.lora)
    return student

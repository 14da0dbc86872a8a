"""The recipe as a whole."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, PositiveInt, model_validator

from tutelage.config.section import Count, Section, Share
from tutelage.config.student import EvaluationSettings, ExamSettings, PromptSettings, StudentSettings
from tutelage.config.study import LoraSettings, StudySettings
from tutelage.config.task import TaskSettings
from tutelage.config.teacher import AnyTeacherSettings, FreeTeacherSettings


class RoundsSettings(Section):
    """When to stop (Algorithm 1) and what a round studies.

    patience: rounds in a row without a gain of at least `smallest_gain` (a fraction of 1) in held-out
    accuracy before the run stops; a round must be better than the best one before it in any case.
    start: the student that a round's study begins with: the "last round"'s (Algorithm 1), or the "untrained" one, anew
        in each round, as STaR does; best with data = "all rounds". Exams are sat by the last round's either way.
    data: "this round" studies that round's rationales (Table 5), "all rounds" merges those of all so far.
    number_variants: copies of each right rationale that a round studies beside it, with other numbers in question and
        rationale and the arithmetic worked out anew (rounds/renumbering); only of what can be read without a doubt.
    keep: whose students stay on the disk: "all" rounds', or those "needed": the untrained one, the best and the last.
    """

    limit: PositiveInt = 4
    patience: PositiveInt = 1
    smallest_gain: Share = 0.0
    start: Literal["last round", "untrained"] = "last round"
    data: Literal["this round", "all rounds"] = "this round"
    number_variants: Count = 0
    keep: Literal["all", "needed"] = "all"

    def begins_with(self, number: int) -> int:
        """The round whose student a round's study begins with, 0 for the untrained one."""
        return 0 if self.start == "untrained" else number - 1


TrackerName = Literal["tensorboard", "wandb", "trackio"]


class Recipe(Section):
    """Everything that decides what a run does.

    first_teacher: who writes round 1's rationales, for which no mistake is shown, such as the recorded replies of a
        stronger model. None: the teacher. It is none that costs money: caps count one teacher's calls.
    report_to: the trackers that are told of each study step and round, one or several; named as in transformers.
    project, run_name: how they file the run there; None: the run folder's name. Keys to them never stand in a recipe.
    """

    task: TaskSettings
    student: StudentSettings
    teacher: AnyTeacherSettings
    first_teacher: Annotated[FreeTeacherSettings, Field(discriminator="kind")] | None = None
    prompt: PromptSettings = PromptSettings()
    exam: ExamSettings = ExamSettings()
    study: StudySettings = StudySettings()
    lora: LoraSettings | None = None
    rounds: RoundsSettings = RoundsSettings()
    evaluation: EvaluationSettings = EvaluationSettings()
    seed: int = 42
    report_to: TrackerName | Literal["none"] | tuple[TrackerName, ...] = "none"
    project: str = "tutelage"
    run_name: str | None = None

    @property
    def trackers(self) -> tuple[TrackerName, ...]:
        """Those of `report_to`, each once."""
        if self.report_to == "none":
            return ()
        return tuple(dict.fromkeys([self.report_to] if isinstance(self.report_to, str) else self.report_to))

    def for_round(self, number: int) -> Recipe:
        """The recipe with the teacher of a round as its teacher, which then is the very `first_teacher`."""
        if self.first_teacher is None or number != 1:
            return self
        return self.model_copy(update={"teacher": self.first_teacher})

    @model_validator(mode="after")
    def _check_own_task(self) -> Recipe:
        if (self.task.name == "own") != (self.task.file is not None):
            raise ValueError('task.file goes with task.name = "own", and "own" needs it')
        if self.task.name == "own" and self.task.kind is None:
            raise ValueError('task.name = "own" needs task.kind: "number", "percentage", "choice", "yes/no" or "text"')
        return self

    @model_validator(mode="after")
    def _check_start(self) -> Recipe:
        if self.rounds.start == "untrained" and self.lora is not None and self.lora.next_round == "merged":
            raise ValueError(
                'rounds.start = "untrained" (as STaR does) trains each round anew: there is no adapter to merge; take '
                'lora.next_round = "same adapter"'
            )
        return self

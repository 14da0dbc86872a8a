"""What is asked."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, PositiveInt

from tutelage.config.section import Count, Section, Share
from tutelage.records import AnswerKind


class TaskSettings(Section):
    """What is asked. `tutelage tasks` lists the names.

    data: folder of a public data set's original files; None loads it from the Hugging Face hub.
    file, kind: the user's own task (name "own"): a JSONL file and how its answers compare.
    train_rows, test_rows, options: sizes and difficulty of a generated task (reasoning-gym).
    held_out, held_out_minimum: share and least number of training questions set aside for the plateau.
    *_questions: use only so many questions of a split, drawn with the recipe's seed.
    """

    name: str
    data: Path | None = None
    file: Path | None = None
    kind: AnswerKind | None = None
    train_rows: PositiveInt | None = None
    test_rows: PositiveInt | None = None
    options: dict[str, int | float | bool | str] = Field({})
    held_out: Share = 0.1
    held_out_minimum: Count = 50
    train_questions: PositiveInt | None = None
    held_out_questions: PositiveInt | None = None
    test_questions: PositiveInt | None = None

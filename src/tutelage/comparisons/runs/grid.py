"""The grid of a comparison's runs: which there are, in what order, and with what recipes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tutelage.baselines import METHODS
from tutelage.comparisons.results import RunResult, is_finished, read_result
from tutelage.comparisons.runs.fairness import fair_overrides
from tutelage.comparisons.settings import ColumnSettings, ComparisonSettings, RowSettings, run_folder
from tutelage.config import OpenAITeacherSettings, Recipe
from tutelage.errors import RecipeError
from tutelage.recipes import read_recipe, with_absolute_paths


@dataclass(frozen=True, slots=True)
class Job:
    """One run of the grid."""

    row: RowSettings
    column: ColumnSettings
    seed: int
    folder: Path

    @property
    def name(self) -> str:
        """As people are told of it."""
        return f"{self.row.name}{', ' + self.column.name if self.column.name else ''}, seed {self.seed}"

    def is_finished(self) -> bool:
        return is_finished(self.folder, self.row.method)

    def result(self) -> RunResult:
        """Raises: WorkspaceError if it is damaged."""
        return read_result(self.folder, self.row.name, self.column.name, self.seed, self.row.method)


@dataclass(frozen=True, slots=True)
class Given:
    """What the user gave beside the file: values for keys that may change on resuming, and the data's folder."""

    changeable: tuple[str, ...] = ()
    data: Path | None = None


def plan(settings: ComparisonSettings, folder: Path) -> list[Job]:
    """All runs, in the order in which they are made: the reference row's before those that go by it."""
    reference = settings.reference_row() if settings.fair else None
    rows = sorted(settings.rows, key=lambda row: row != reference)
    jobs = []
    for column in settings.columns:
        for seed in settings.seeds:
            for row in rows:
                jobs.append(Job(row, column, seed, run_folder(folder, row.name, column.name, seed)))
    return jobs


def recipe_of(
    settings: ComparisonSettings, job: Job, given: Given, folder: Path, reference: RunResult | None
) -> Recipe:
    """The recipe of a run: the common one, then what all, the column and the row override, then what is decided.

    Raises: RecipeError if it cannot be, or if the row overrides what its method or `fair` decides.
    """
    method = METHODS[job.row.method]
    decided = {one.partition("=")[0] for one in method.decides} | {"seed"}
    if wrong := [one for one in job.row.overrides if one.partition("=")[0] in decided]:
        raise RecipeError(
            f"The row {job.row.name!r} sets {wrong[0]}, which the method {method.name!r} or `seeds` decides. "
            "Leave it out."
        )
    overrides = [*settings.overrides, *job.column.overrides, *given.changeable, *job.row.overrides]
    overrides += [*method.decides, f"seed={job.seed}"]
    extra: dict[str, Any] = {} if given.data is None else {"task.data": str(given.data)}
    recipe = read_recipe(settings.recipe, overrides, extra)
    if isinstance(recipe.teacher, OpenAITeacherSettings) and recipe.teacher.cache is None:
        extra["teacher.cache"] = str((folder / "replies.sqlite").resolve())
    overrides += fair_overrides(settings, job.row, recipe, reference)
    return with_absolute_paths(read_recipe(settings.recipe, overrides, extra))


def reference_of(settings: ComparisonSettings, job: Job, results: Mapping[Job, RunResult]) -> RunResult | None:
    """What the reference row's run of the same column and seed came to; None before it has been run."""
    row = settings.reference_row()
    same = ((job.column, job.seed) == (other.column, other.seed) and other.row == row for other in results)
    return next((result for result, is_it in zip(results.values(), same, strict=True) if is_it), None)

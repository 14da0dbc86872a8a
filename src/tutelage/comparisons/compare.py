"""A comparison: a grid of runs, what they share done once, and the tables that they come to.

    COMPARISON/comparison.toml  comparison.json  journal.jsonl
    COMPARISON/runs/ROW/seed-1/      run folders as ever; with several columns runs/ROW/COLUMN/seed-1/
    COMPARISON/results.json  table.md  table.csv  table.json  cost.md  cost.json  judge.sqlite

It resumes: the same call goes on, and runs that are finished are left as they are.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tutelage.baselines import METHODS
from tutelage.comparisons.analyses import ANALYSES
from tutelage.comparisons.begun import begin, changes_nothing, check_same_recipe
from tutelage.comparisons.compared import Compared
from tutelage.comparisons.costs import write_costs
from tutelage.comparisons.fairness import fair_overrides
from tutelage.comparisons.paper import Paper
from tutelage.comparisons.results import RunResult, is_finished, read_result
from tutelage.comparisons.settings import ColumnSettings, ComparisonSettings, RowSettings, run_folder
from tutelage.comparisons.sharing import find_untrained, share
from tutelage.comparisons.table import Table, write_tables
from tutelage.config import OpenAITeacherSettings, Recipe
from tutelage.errors import RecipeError
from tutelage.progress import say
from tutelage.recipes import read_recipe, with_absolute_paths
from tutelage.rounds.cast import build_spending, build_teacher
from tutelage.rounds.costs import RunCost, run_cost
from tutelage.rounds.provenance import run_provenance
from tutelage.rounds.run import open_run, start_run
from tutelage.student.model.lora import check_packages
from tutelage.workspace import KEYS, Workspace, read_json, write_text


@dataclass(frozen=True, slots=True)
class Job:
    """One run of the grid."""

    row: RowSettings
    column: ColumnSettings
    seed: int
    folder: Path


@dataclass(frozen=True, slots=True)
class Given:
    """What the user gave beside the file: values for keys that may change on resuming, and the data's folder."""

    changeable: tuple[str, ...] = ()
    data: Path | None = None


def compare(
    settings: ComparisonSettings,
    source: Path,
    folder: Path,
    overrides: Sequence[str] = (),
    data: Path | None = None,
    paper: Paper | None = None,
) -> list[Table]:
    """Runs what is not finished yet, and writes results and tables. source: the comparison's file.

    overrides: of all rows' recipes. Raises: TutelageError; what was finished stays, and the same call goes on.
    """
    free = tuple(one for one in overrides if changes_nothing(one))
    settings = settings.model_copy(
        update={"overrides": (*settings.overrides, *(one for one in overrides if one not in free))}
    )
    given = Given(free, data)
    jobs = plan(settings, folder)
    _check_all(settings, jobs, given, folder)
    begin(settings, source, folder)
    results: dict[Job, RunResult] = {}
    journal = Workspace(folder)
    for job in jobs:
        name = f"{job.row.name}{', ' + job.column.name if job.column.name else ''}, seed {job.seed}"
        if not is_finished(job.folder, job.row.method):
            say(f"{settings.title}: {name}")
            journal.note("begin", row=job.row.name, column=job.column.name, seed=job.seed)
            _play(settings, job, given, folder, _reference(settings, job, results))
            journal.note("end", row=job.row.name, column=job.column.name, seed=job.seed)
        results[job] = read_result(job.folder, job.row.name, job.column.name, job.seed, job.row.method)
    return _conclude(settings, folder, [results[job] for job in jobs], paper)


def _check_all(settings: ComparisonSettings, jobs: Sequence[Job], given: Given, folder: Path) -> None:
    """Has what is wrong with a recipe, a teacher or the judge show now, and not after hours of the rows before."""
    checked: list[object] = []
    if settings.table == "judge":
        _check_judge(settings, recipe_of(settings, jobs[0], given, folder, None))
    for job in jobs:
        recipe = recipe_of(settings, job, given, folder, None)
        METHODS[job.row.method].check(recipe)
        if recipe.lora is not None:
            check_packages(recipe.lora)
        asks = METHODS[job.row.method].asks and not is_finished(job.folder, job.row.method)
        if asks and recipe.teacher not in checked:
            build_teacher(recipe)
            build_spending(recipe)
            checked.append(recipe.teacher)


def _check_judge(settings: ComparisonSettings, recipe: Recipe) -> None:
    if settings.judge is None:
        raise RecipeError(
            'A comparison with table = "judge" needs a [judge] section, with the keys of a recipe\'s [teacher]: kind '
            '"openai" or "local", and a model.'
        )
    recipe = recipe.model_copy(update={"teacher": settings.judge})
    build_teacher(recipe)
    build_spending(recipe, "judge")


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


def _reference(settings: ComparisonSettings, job: Job, results: dict[Job, RunResult]) -> RunResult | None:
    row = settings.reference_row()
    same = ((job.column, job.seed) == (other.column, other.seed) and other.row == row for other in results)
    return next((result for result, is_it in zip(results.values(), same, strict=True) if is_it), None)


def _play(settings: ComparisonSettings, job: Job, given: Given, folder: Path, reference: RunResult | None) -> None:
    """Makes one run, from what its neighbours have and it may take over."""
    method = METHODS[job.row.method]
    recipe = recipe_of(settings, job, given, folder, reference)
    neighbours = find_neighbours(folder)
    if Workspace(job.folder).recipe.is_file():
        run = open_run(job.folder, given.changeable)
        check_same_recipe(run, recipe)
    else:
        run = start_run(recipe, job.folder, find_untrained(recipe, neighbours))
    try:
        share(run, method, neighbours)
        method.play(run)
    finally:
        run.workspace.release()


def find_neighbours(folder: Path) -> list[Path]:
    """The runs of this comparison and of those in folders beside it."""
    return sorted(path.parent for path in folder.resolve().parent.glob(f"*/runs/**/seed-*/{KEYS}"))


def _conclude(
    settings: ComparisonSettings, folder: Path, results: Sequence[RunResult], paper: Paper | None
) -> list[Table]:
    order = {row.name: place for place, row in enumerate(settings.rows)}
    results = sorted(results, key=lambda one: order[one.row])
    found = [{**asdict(one), "folder": str(one.folder.relative_to(folder))} for one in results]
    costs: list[tuple[RunResult, RunCost]] = []
    for one, result in zip(found, results, strict=True):
        run = open_run(result.folder, lock=False)
        one["provenance"] = asdict(run_provenance(run))
        one["split"] = read_json(run.workspace.split)["sha256_of_ids"]
        if run.workspace.outcome.is_file():
            cost = run_cost(run)
            one["cost"] = asdict(cost)
            costs += [(result, cost)] if METHODS[result.method].trains else []
    if costs and settings.table != "tuning":  # a point that is paid for is one of the test's
        write_costs(folder, settings.title, costs)
    write_text(folder / "results.json", json.dumps(found, indent=1, ensure_ascii=False, default=str) + "\n")
    tables = list(ANALYSES[settings.table](Compared(settings, folder, tuple(results)), paper))
    write_tables(folder, tables)
    return tables

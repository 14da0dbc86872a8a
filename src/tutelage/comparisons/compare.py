"""A comparison: a grid of runs, what they share done once, and the tables that they come to.

    COMPARISON/comparison.toml  comparison.json  journal.jsonl
    COMPARISON/runs/ROW/seed-1/      run folders as ever; with several columns runs/ROW/COLUMN/seed-1/
    COMPARISON/jobs/ROW-seed-1.log   what the run's process said, where several run at a time
    COMPARISON/results.json  table.md  table.csv  table.json  cost.md  cost.json  judge.sqlite

It resumes: the same call goes on, and runs that are finished are left as they are.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from tutelage.baselines import METHODS
from tutelage.comparisons.analyses import ANALYSES
from tutelage.comparisons.begun import begin, changes_nothing
from tutelage.comparisons.results import RunResult
from tutelage.comparisons.runs.crew import Crew
from tutelage.comparisons.runs.grid import Given, Job, plan, recipe_of, reference_of
from tutelage.comparisons.runs.play import play
from tutelage.comparisons.settings import ComparisonSettings
from tutelage.comparisons.shared.claims import drop_claims
from tutelage.comparisons.tables.compared import Compared
from tutelage.comparisons.tables.costs import write_costs
from tutelage.comparisons.tables.paper import Paper
from tutelage.comparisons.tables.table import Table, write_tables
from tutelage.config import Recipe
from tutelage.distributed import world_size
from tutelage.errors import RecipeError
from tutelage.progress import say
from tutelage.rounds.cast import build_spending, build_teacher
from tutelage.rounds.costs import RunCost, run_cost
from tutelage.rounds.provenance import run_provenance
from tutelage.rounds.run import open_run
from tutelage.student.model.lora import check_packages
from tutelage.workspace import Workspace, read_json, write_text


def compare(
    settings: ComparisonSettings,
    source: Path,
    folder: Path,
    overrides: Sequence[str] = (),
    data: Path | None = None,
    paper: Paper | None = None,
    jobs: int = 1,
) -> list[Table]:
    """Runs what is not finished yet, and writes results and tables. source: the comparison's file.

    overrides: of all rows' recipes. jobs: how many runs at a time, each in a process of its own if it is several.
    Raises: TutelageError; what was finished stays, and the same call goes on.
    """
    _check_jobs(jobs)
    free = tuple(one for one in overrides if changes_nothing(one))
    settings = settings.model_copy(
        update={"overrides": (*settings.overrides, *(one for one in overrides if one not in free))}
    )
    given = Given(free, data)
    grid = plan(settings, folder)
    _check_all(settings, grid, given, folder)
    begin(settings, source, folder)
    results = {job: job.result() for job in grid if job.is_finished()}
    waiting = [job for job in grid if job not in results]
    if jobs == 1:
        _play_in_turn(settings, waiting, given, folder, results)
    else:
        Crew(settings, given, folder, jobs, results).play(waiting)
    drop_claims(folder)
    return _conclude(settings, folder, [results[job] for job in grid], paper)


def _check_jobs(jobs: int) -> None:
    if jobs < 1:
        raise RecipeError(f"--jobs {jobs}: so many runs cannot be made at a time. Take 1 or more.")
    if jobs > 1 and (ranks := world_size()) > 1:
        raise RecipeError(
            f"--jobs {jobs}, but a launcher has started {ranks} processes, which work on one run together. Leave out "
            "--jobs, or start the command without the launcher: --jobs spreads the runs over the GPUs by itself."
        )


def _play_in_turn(
    settings: ComparisonSettings, jobs: Sequence[Job], given: Given, folder: Path, results: dict[Job, RunResult]
) -> None:
    """Makes one run after the other in this process, and adds what each came to."""
    journal = Workspace(folder)
    for job in jobs:
        say(f"{settings.title}: {job.name}")
        journal.note("begin", row=job.row.name, column=job.column.name, seed=job.seed)
        play(settings, job, given, folder, reference_of(settings, job, results))
        journal.note("end", row=job.row.name, column=job.column.name, seed=job.seed)
        results[job] = job.result()


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
        if not METHODS[job.row.method].asks or job.is_finished():
            continue
        for taught in (recipe.for_round(1), recipe):
            if taught.teacher not in checked:
                build_teacher(taught)
                build_spending(taught)
                checked.append(taught.teacher)


def _check_judge(settings: ComparisonSettings, recipe: Recipe) -> None:
    if settings.judge is None:
        raise RecipeError(
            'A comparison with table = "judge" needs a [judge] section, with the keys of a recipe\'s [teacher]: kind '
            '"openai" or "local", and a model.'
        )
    recipe = recipe.model_copy(update={"teacher": settings.judge})
    build_teacher(recipe)
    build_spending(recipe, "judge")


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

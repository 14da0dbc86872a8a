"""One run of a comparison, from its beginning, or from where it was stopped, to its end."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from pathlib import Path

from tutelage.baselines import METHODS
from tutelage.baselines.method import Method
from tutelage.comparisons.begun import check_same_recipe
from tutelage.comparisons.results import RunResult
from tutelage.comparisons.runs.grid import Given, Job, recipe_of
from tutelage.comparisons.settings import ComparisonSettings
from tutelage.comparisons.shared.taking import find_neighbours, find_untrained, share
from tutelage.recipes import dotted, read_recipe, recipe_to_toml
from tutelage.rounds.run import Run, open_run, start_run
from tutelage.workspace import Workspace, write_text


def play(settings: ComparisonSettings, job: Job, given: Given, folder: Path, reference: RunResult | None) -> None:
    """Makes one run, from what its neighbours have and it may take over."""
    method = METHODS[job.row.method]
    recipe = recipe_of(settings, job, given, folder, reference)
    if Workspace(job.folder).recipe.is_file():
        run = begun_run(job.folder, method, given.changeable)
        check_same_recipe(run, recipe)
    else:
        run = start_run(recipe, job.folder, find_untrained(recipe, find_neighbours(folder)))
    try:
        share(run, method, folder)
        method.play(run)
    finally:
        run.workspace.release()


def begun_run(folder: Path, method: Method, overrides: Sequence[str]) -> Run:
    """A run to go on with. Where it is older than a key that its method decides, it did as the method does, too.

    Raises: WorkspaceError, RecipeError.
    """
    path = Workspace(folder).recipe
    read_recipe(path)  # raises where it is damaged
    written = dict(dotted(tomllib.loads(path.read_text(encoding="utf-8"))))  # before open_run adds what it lacks
    run = open_run(folder, overrides)
    if lacking := [one for one in method.decides if one.partition("=")[0] not in written]:
        run.recipe = read_recipe(path, lacking)
        write_text(path, recipe_to_toml(run.recipe))  # other processes read it there
    return run

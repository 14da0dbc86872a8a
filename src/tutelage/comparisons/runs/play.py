"""One run of a comparison, from its beginning, or from where it was stopped, to its end."""

from __future__ import annotations

from pathlib import Path

from tutelage.baselines import METHODS
from tutelage.comparisons.begun import check_same_recipe
from tutelage.comparisons.results import RunResult
from tutelage.comparisons.runs.grid import Given, Job, recipe_of
from tutelage.comparisons.settings import ComparisonSettings
from tutelage.comparisons.shared.taking import find_neighbours, find_untrained, share
from tutelage.rounds.run import open_run, start_run
from tutelage.workspace import Workspace


def play(settings: ComparisonSettings, job: Job, given: Given, folder: Path, reference: RunResult | None) -> None:
    """Makes one run, from what its neighbours have and it may take over."""
    method = METHODS[job.row.method]
    recipe = recipe_of(settings, job, given, folder, reference)
    if Workspace(job.folder).recipe.is_file():
        run = open_run(job.folder, given.changeable)
        check_same_recipe(run, recipe)
    else:
        run = start_run(recipe, job.folder, find_untrained(recipe, find_neighbours(folder)))
    try:
        share(run, method, folder)
        method.play(run)
    finally:
        run.workspace.release()

"""Small runs, as far as a test needs them."""

from __future__ import annotations

from pathlib import Path

from tutelage.recipes import read_recipe
from tutelage.rounds import Run, mistakes, start_run, study


def tutor_run(recipe: Path, folder: Path, *overrides: str) -> Run:
    """A run that has just been started."""
    return start_run(read_recipe(recipe, overrides), folder / "run")


def finished_exam(recipe: Path, folder: Path, number: int, *overrides: str) -> Run:
    """A run up to the exam of a round."""
    run = tutor_run(recipe, folder, *overrides)
    for earlier in range(1, number):
        study(run, earlier)
    mistakes(run, number)
    return run

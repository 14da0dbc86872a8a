"""A run of a comparison that is gone on with."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tutelage.baselines import METHODS
from tutelage.comparisons.begun import check_same_recipe
from tutelage.comparisons.runs.play import begun_run
from tutelage.errors import RecipeError
from tutelage.recipes import read_recipe
from tutelage.rounds import start_run


@pytest.mark.parametrize("overrides", [[], ["exam.batch_size=3"]])
def test_star_goes_on_where_its_recipe_is_from_before_a_round_could_begin_anew(
    recipe: Path, tmp_path: Path, overrides: list[str]
) -> None:
    star = METHODS["star"]
    run = start_run(read_recipe(recipe), tmp_path / "run")
    run.workspace.release()
    path = run.workspace.recipe
    path.write_text(re.sub("^start = .*\n", "", path.read_text(), flags=re.MULTILINE))
    again = begun_run(tmp_path / "run", star, overrides)
    check_same_recipe(again, read_recipe(recipe, [*overrides, *star.decides]))
    assert again.recipe.rounds.begins_with(2) == read_recipe(path).rounds.begins_with(2) == 0
    again.workspace.release()


def test_a_damaged_recipe_is_told_of(recipe: Path, tmp_path: Path) -> None:
    run = start_run(read_recipe(recipe), tmp_path / "run")
    run.workspace.release()
    run.workspace.recipe.write_text("[task")
    with pytest.raises(RecipeError, match="not valid TOML"):
        begun_run(tmp_path / "run", METHODS["star"], [])

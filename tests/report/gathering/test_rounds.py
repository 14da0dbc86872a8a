"""Rounds as the page shows them."""

from __future__ import annotations

from pathlib import Path

from tests.report.written import write_run
from tutelage.report.gathering.rounds import learning_rate
from tutelage.report.reading import Reading


def test_a_round_that_begins_anew_has_the_rate_of_a_first_one(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    assert [learning_rate(Reading(run), number) for number in (0, 1, 2)] == [None, 0.002, 0.0005]
    recipe = run / "recipe.toml"
    recipe.write_text(recipe.read_text() + '[rounds]\nstart = "untrained"\n')
    assert [learning_rate(Reading(run), number) for number in (0, 1, 2)] == [None, 0.002, 0.002]

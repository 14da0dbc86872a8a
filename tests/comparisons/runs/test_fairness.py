"""What is made equal between rows."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.comparisons.conftest import Write
from tutelage.baselines import METHODS
from tutelage.comparisons.results import RoundResult, RunResult, TeacherUse
from tutelage.comparisons.runs.fairness import fair_overrides
from tutelage.comparisons.settings import ComparisonSettings, RowSettings
from tutelage.config import Recipe
from tutelage.errors import RecipeError
from tutelage.recipes import read_recipe

ROWS: list[tuple[str, str, list[str]]] = [
    ("plain", "untrained", []),
    ("answers", "answers", []),
    ("star", "star", []),
    ("cot", "cot", []),
    ("one", "distillation", ["rounds.limit=1"]),
    ("multi", "distillation", ["study.lambda=0"]),
    ("ours", "distillation", []),
]


def reference() -> RunResult:
    """Two rounds of 30 and 20 steps, 40 and 25 requests of 2 replies."""
    rounds = tuple(
        RoundResult(number, None, None, None, requests, None, None, steps, None, None)
        for number, requests, steps in ((0, None, 0), (1, 40, 30), (2, 25, 20))
    )
    use = TeacherUse(requests=65, replies=130)
    return RunResult("ours", "", 1, "distillation", Path(), 2, None, "", rounds, 50, 50, use, 0.0, ())


def recipe_of_row(settings: ComparisonSettings, row: RowSettings) -> Recipe:
    return read_recipe(settings.recipe, [*row.overrides, *METHODS[row.method].decides])


def overrides_of(settings: ComparisonSettings) -> dict[str, list[str]]:
    return {row.name: fair_overrides(settings, row, recipe_of_row(settings, row), reference()) for row in settings.rows}


def test_every_student_takes_as_many_steps(write: Write) -> None:
    settings, _ = write(ROWS, head='fair = "steps"\n')
    assert overrides_of(settings) == {
        "plain": [],
        "answers": ["study.steps=50"],
        "star": ["study.steps=50"],  # in each round, since each begins anew
        "cot": ["study.steps=50"],
        "one": ["study.steps=50"],
        "multi": ["study.steps=25"],
        "ours": [],
    }


def test_steps_are_those_behind_the_last_student(write: Write) -> None:
    anew = ("multi", "distillation", ["study.lambda=0", "rounds.start=untrained"])
    settings, _ = write([ROWS[1], anew, ROWS[-1]], head='fair = "steps"\n')
    assert overrides_of(settings)["multi"] == ["study.steps=50"]  # in each round
    one_round_of_two = replace(reference(), begins_anew=True)
    row = settings.rows[0]
    assert fair_overrides(settings, row, recipe_of_row(settings, row), one_round_of_two) == ["study.steps=20"]


def test_one_round_asks_no_more_about_hard_questions(write: Write) -> None:
    anew = ("multi", "distillation", ["rounds.start=untrained"])
    settings, _ = write([ROWS[4], anew, ROWS[-1]], head='fair = "teacher"\n')
    assert overrides_of(settings)["multi"] == []  # it asks in several rounds
    row = settings.rows[0]
    hard = read_recipe(settings.recipe, [*row.overrides, "teacher.hard_replies=8"])  # as all rows' recipe has it
    assert fair_overrides(settings, row, hard, reference()) == [
        "teacher.replies=3",
        "teacher.rationales=3",
        "teacher.hard_replies=3",
    ]


def test_one_round_asks_for_as_many_replies(write: Write) -> None:
    settings, _ = write(ROWS, head='fair = "teacher"\n')
    more = ["teacher.replies=3", "teacher.rationales=3"]  # 130 replies to 40 questions
    expected = {"plain": [], "answers": [], "star": [], "cot": more, "one": more, "multi": [], "ours": []}
    assert overrides_of(settings) == expected


@pytest.mark.parametrize(("fair", "key"), [("steps", "study.epochs"), ("teacher", "teacher.replies")])
def test_a_row_cannot_say_otherwise(write: Write, fair: str, key: str) -> None:
    settings, _ = write([("cot", "cot", [f"{key}=7"]), ROWS[-1]], head=f'fair = "{fair}"\n')
    with pytest.raises(RecipeError, match=f"'cot' sets {key}=7, which `fair` decides"):
        fair_overrides(settings, settings.rows[0], read_recipe(settings.recipe), None)  # before the reference has run

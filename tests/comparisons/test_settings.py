"""Comparison files: what is refused, in which words, and those that come with the package."""

from __future__ import annotations

from pathlib import Path

import pytest

from tutelage.comparisons.analyses import ANALYSES
from tutelage.comparisons.runs.grid import Given, plan, recipe_of
from tutelage.comparisons.settings import folder_name, read_comparison
from tutelage.errors import RecipeError

CONFIGS = Path(__file__).parents[2] / "configs"
SHIPPED = sorted(path for folder in ("comparisons", "results") for path in (CONFIGS / folder).glob("*.toml"))
ROW = '[[rows]]\nname = "a"\nmethod = "distillation"\n'


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('title = "T"\ntabel = "methods"\nrecipe = "r"\n' + ROW, "tabel: there is no such key; did you mean 'table'"),
        ('title = "T"\ntable = "method"\nrecipe = "r"\n' + ROW, "there is no table 'method'; known are methods,"),
        ('title = "T"\ntable = "methods"\nrecipe = "r"\n', "rows: is missing"),
        ('title = "T"\ntable = "methods"\nrecipe = "r"\n' + ROW + "sed = 3\n", "rows.0.sed: there is no such key"),
        (
            'title = "T"\ntable = "methods"\nrecipe = "r"\n' + ROW.replace("dist", "Dist"),
            "known are teacher, untrained",
        ),
        (
            'title = "T"\ntable = "methods"\nrecipe = "r"\n' + ROW + ROW.replace('"a"', '"+ A"'),
            "two rows have the same",
        ),
        ('title = "T"\ntable = "methods"\nrecipe = "r"\nseeds = [1, 1]\n' + ROW, "a seed stands twice"),
        ('title = "T"\ntable = "methods"\nrecipe = "r"\nreference = "b"\n' + ROW, "reference names no row: 'b'"),
        (
            'title = "T"\ntable = "methods"\nrecipe = "r"\nfair = "steps"\n' + ROW.replace("distillation", "cot"),
            "fair needs a reference",
        ),
        (
            'title = "T"\ntable = "methods"\nrecipe = "r"\nfair = "steps"\nreference = "a"\n'
            + ROW.replace("distillation", "untrained"),
            "the reference row 'a' trains no student",
        ),
        (
            'title = "T"\ntable = "methods"\nrecipe = "r"\nfair = "teacher"\nreference = "a"\n'
            + ROW.replace("distillation", "star"),
            "the reference row 'a' learns from no teacher",
        ),
        *(
            (
                f'title = "T"\ntable = "{table}"\nrecipe = "r"\n' + ROW.replace("distillation", "teacher"),
                f"the row 'a' has the method \"teacher\", which has accuracy and price alone: no student, round or "
                f'lesson for table = "{table}". Leave the row out; a table that shows it is methods or students',
            )
            for table in ("reflection", "transfer", "rounds")
        ),
        ("title = ", "not valid TOML"),
    ],
)
def test_a_wrong_comparison_is_one_clear_error(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "c.toml"
    path.write_text(text)
    with pytest.raises(RecipeError) as error:
        read_comparison(path, list(ANALYSES))
    assert words in str(error.value)


def test_a_missing_comparison_is_named(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"absent\.toml cannot be read"):
        read_comparison(tmp_path / "absent.toml", list(ANALYSES))


def test_names_become_folders() -> None:
    assert [folder_name(name) for name in ("+ Multi-round", "λ = 0.5", "../../etc", "+")] == [
        "multi-round",
        "λ-=-0.5",
        "etc",
        "-",
    ]


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_every_shipped_comparison_makes_recipes(path: Path, tmp_path: Path) -> None:
    settings = read_comparison(path, list(ANALYSES))
    jobs = plan(settings, tmp_path)
    recipes = [recipe_of(settings, job, Given(), tmp_path, None) for job in jobs]
    assert len({recipe.student.model for recipe in recipes}) == 1
    if settings.fair:
        assert jobs[0].row == settings.reference_row()

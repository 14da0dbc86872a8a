"""A comparison that is made in seconds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tutelage.comparisons.analyses import ANALYSES
from tutelage.comparisons.settings import ComparisonSettings, read_comparison

SMALL = [
    "task.train_questions=4",
    "task.held_out_questions=2",
    "task.test_questions=4",
    "exam.max_new_tokens=40",
    "evaluation.max_new_tokens=40",
    "study.batch_size=3",
]
"""Overrides of the root conftest's recipe."""

PAPER = {"one": "One-Round", "alone": "no feedback"}
"""What the paper calls rows."""

Written = tuple[ComparisonSettings, Path]
Write = Callable[..., Written]


@pytest.fixture
def write(recipe: Path, tmp_path: Path) -> Write:
    """Writes a comparison file beside the small recipe; the settings read from it, and its path.

    rows: (name, method, overrides).
    """

    def write(
        rows: list[tuple[str, str, list[str]]], *overrides: str, table: str = "methods", head: str = ""
    ) -> Written:
        path = tmp_path / f"{table}.toml"
        lines = [
            f'title = "Small"\ntable = "{table}"\nrecipe = "{recipe.name}"\nseeds = [1]\n{head}',
            f"overrides = {[*SMALL, *overrides]!r}",
            *(
                f"[[rows]]\nname = {name!r}\nmethod = {method!r}\noverrides = {own!r}\n"
                f"paper = {PAPER.get(name, name)!r}"
                for name, method, own in rows
            ),
        ]
        path.write_text("\n".join(lines))
        return read_comparison(path, list(ANALYSES)), path

    return write

"""A comparison file: typed and frozen, and closed to unknown keys.

title = "Table 1"                    # of the tables it makes
table = "methods"                    # which analysis: one of ANALYSES
recipe = "../svamp.toml"             # what all rows have in common; the path is relative to this file
overrides = ["rounds.patience=9"]    # of the recipe, for all rows
seeds = [1, 2, 3]
fair = "steps"                       # what is made equal between rows

[[rows]]
name = "+ Self-Reflection"
method = "distillation"              # one of METHODS
overrides = ["study.lambda=0.5"]
paper = "+ Self-Reflection"          # the paper's row to put beside it
"""

from __future__ import annotations

import difflib
import json
import re
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, field_validator, model_validator

from tutelage.baselines import METHODS
from tutelage.config import LocalTeacherSettings, OpenAITeacherSettings, Section
from tutelage.errors import RecipeError

_WITH_TEACHER = ("methods", "students")
"""Tables that have room for the teacher itself, of which there is nothing but how it does at the test questions."""


class RowSettings(Section):
    """A row: a method with overrides of the recipe.

    paper: as the paper's table calls what stands beside it. over: the row that a table of methods or of students
    compares it with; None: the one before it.
    """

    name: str = Field(min_length=1)
    method: str
    overrides: tuple[str, ...] = ()
    paper: str | None = None
    over: str | None = None

    @field_validator("method")
    @classmethod
    def _check_method(cls, method: str) -> str:
        if method not in METHODS:
            raise ValueError(f"there is no such method; known are {', '.join(METHODS)}")
        return method


class ColumnSettings(Section):
    """A column: every row once more with other overrides, such as another student or task.

    paper: as the paper's table calls the column, such as "svamp" or "1.3B".
    """

    name: str = ""
    overrides: tuple[str, ...] = ()
    paper: str | None = None


class ComparisonSettings(Section):
    """What is compared.

    recipe: what all rows have in common. overrides: of it, for all rows. seeds: every row is run with each.
    fair: "steps": a row's student takes as many optimizer steps as the reference row's. "teacher": a row that asks
        the teacher in one round asks for as many replies as the reference row. None: as each row's recipe says.
    reference: the row that `fair` goes by; None: the last one with the method "distillation".
    paper: as the paper's tables call the task that comes nearest, such as "svamp".
    judge: who scores answers for the table "judge"; keys as in a recipe's [teacher], of the kind "openai" or "local".
        Its caps (judge.budget) hold for all rows, columns and seeds together.
    """

    title: str = Field(min_length=1)
    table: str
    recipe: Path
    overrides: tuple[str, ...] = ()
    seeds: tuple[int, ...] = Field((42,), min_length=1)
    fair: Literal["steps", "teacher"] | None = None
    reference: str | None = None
    paper: str | None = None
    judge: Annotated[OpenAITeacherSettings | LocalTeacherSettings, Field(discriminator="kind")] | None = None
    rows: tuple[RowSettings, ...] = Field(min_length=1)
    columns: tuple[ColumnSettings, ...] = Field((ColumnSettings(),), min_length=1)

    @model_validator(mode="after")
    def _check_names(self) -> ComparisonSettings:
        for what, names in (("rows", [row.name for row in self.rows]), ("columns", [one.name for one in self.columns])):
            folders = [folder_name(name) for name in names]
            if len(set(folders)) < len(folders):
                raise ValueError(f"two {what} have the same name, or names that differ in signs alone: {names}")
        teachers = [row.name for row in self.rows if row.method == "teacher"]
        if teachers and self.table not in _WITH_TEACHER:
            raise ValueError(
                f'the row {teachers[0]!r} has the method "teacher", which has accuracy and price alone: no student, '
                f'round or lesson for table = "{self.table}". Leave the row out; a table that shows it is '
                f"{' or '.join(_WITH_TEACHER)}"
            )
        students = [row.name for row in self.rows if row.method != "teacher"]
        for one in self.rows:
            if one.over is not None and (one.over not in students or one.over == one.name or one.name not in students):
                raise ValueError(f"over = {one.over!r} of the row {one.name!r} names no other row with a student")
        if len(set(self.seeds)) < len(self.seeds):
            raise ValueError(f"a seed stands twice in {list(self.seeds)}")
        if self.reference is not None and self.reference not in [row.name for row in self.rows]:
            raise ValueError(f"reference names no row: {self.reference!r}")
        if self.fair is not None and self.reference_row() is None:
            raise ValueError('fair needs a reference: a row with the method "distillation", or reference = NAME')
        if self.fair is not None and (row := self.reference_row()) is not None:
            method = METHODS[row.method]
            if not (method.trains and (method.asks or self.fair == "steps")):
                what = "trains no student" if self.fair == "steps" else "learns from no teacher"
                raise ValueError(f'the reference row {row.name!r} {what}, and so fair = "{self.fair}" cannot go by it')
        return self

    def reference_row(self) -> RowSettings | None:
        """The row that `fair` goes by, if there is one."""
        if self.reference is not None:
            return next(row for row in self.rows if row.name == self.reference)
        return next((row for row in reversed(self.rows) if row.method == "distillation"), None)


def folder_name(name: str) -> str:
    """A row's or a column's name as a folder's: "+ Self-Reflection" is "self-reflection"."""
    return re.sub(r"[^\w.=]+", "-", name.casefold()).strip("-.") or "-"


def run_folder(comparison: Path, row: str, column: str, seed: int) -> Path:
    """Where a comparison's folder has the run of a row and a column with a seed."""
    place = comparison / "runs" / folder_name(row)
    return (place / folder_name(column) if column else place) / f"seed-{seed}"


def read_comparison(path: Path, tables: Sequence[str]) -> ComparisonSettings:
    """The comparison in a file, its recipe's path made absolute. tables: what `table` may be.

    Raises: RecipeError if the file is missing or no TOML, or if a key or a value is wrong.
    """
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(f"The comparison {path} cannot be read: {error}. See configs/comparisons/.") from None
    except tomllib.TOMLDecodeError as error:
        raise RecipeError(f"The comparison {path} is not valid TOML: {error}.") from None
    try:
        settings = ComparisonSettings.model_validate_json(json.dumps(table, default=str), strict=True)
    except ValidationError as error:
        lines = [_explain(detail) for detail in error.errors()]
        raise RecipeError(f"{path}:\n" + "\n".join(f"  {line}" for line in lines)) from None
    if settings.table not in tables:
        raise RecipeError(f"{path}: there is no table {settings.table!r}; known are {', '.join(tables)}.")
    return settings.model_copy(update={"recipe": (path.parent / settings.recipe.expanduser()).resolve()})


_KNOWN: dict[str, type[Section]] = {"rows": RowSettings, "columns": ColumnSettings}


def _explain(detail: Any) -> str:
    """One validation error as a line that names the key, the value seen and the way out."""
    place = [str(part) for part in detail["loc"]]
    key = ".".join(place) or "the comparison"
    if detail["type"] == "extra_forbidden":
        known = list(_KNOWN.get(place[0], ComparisonSettings).model_fields)
        near = difflib.get_close_matches(place[-1], known, n=1)
        return f"{key}: there is no such key; " + (f"did you mean {near[0]!r}?" if near else f"known: {known}.")
    if detail["type"] == "missing":
        return f"{key}: is missing."
    message = detail["msg"].removeprefix("Value error, ")
    seen = detail["input"]
    return f"{key}: {message}" + ("." if isinstance(seen, dict | list) else f"; the value is {seen!r}.")

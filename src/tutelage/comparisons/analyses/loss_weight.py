"""Figures 5 and 6: the weight λ of the self-reflection loss, by accuracy and by loss curves."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from tutelage.comparisons.results import RunResult
from tutelage.comparisons.settings import ColumnSettings
from tutelage.comparisons.tables.compared import Compared, table_of
from tutelage.comparisons.tables.effects import accuracy_cell, effect, effect_cells, legend, round_cell
from tutelage.comparisons.tables.paper import Paper
from tutelage.comparisons.tables.table import Cell, Table
from tutelage.recipes import read_recipe
from tutelage.rounds.study import read_training
from tutelage.student.training.loop import Step
from tutelage.workspace import Workspace

_PARTS = 5
"""Of a study, in the table of its course."""


def analyse(compared: Compared, paper: Paper | None) -> Sequence[Table]:
    """Accuracy after round 1 by λ, with the losses at its end; and the curves, for drawing."""
    tables = [_accuracies(compared, column, paper) for column in compared.settings.columns]
    return [*tables, _curves(compared)]


def analyse_curves(compared: Compared, paper: Paper | None) -> Sequence[Table]:
    """The course of both losses in round 1 by λ; and every step, for drawing. The paper prints no numbers of it."""
    return [_course(compared), _curves(compared)]


def _lambda(result: RunResult) -> float:
    return read_recipe(Workspace(result.folder).recipe).study.lambda_


def _accuracies(compared: Compared, column: ColumnSettings, paper: Paper | None) -> Table:
    settings = compared.settings
    rows = [compared.of(row.name, column) for row in settings.rows]
    right = [[one.right(1) for one in results] for results in rows]
    columns = {
        "λ": [Cell(_lambda(results[0]), digits=2) for results in rows],
        "accuracy": [accuracy_cell(results, 1) for results in rows],
        "over the first row": effect_cells([None, *(effect(right[0], other) for other in right[1:])]),
        "final loss of the language model": [round_cell(results, 1, lambda one: one.lm_loss, 3) for results in rows],
        "final triplet loss": [round_cell(results, 1, lambda one: one.triplet_loss, 3) for results in rows],
    }
    if paper is not None:
        task = column.paper or settings.paper
        figure: dict[str, Any] = paper.tables.get("figure_5", {})
        theirs = dict(zip(figure.get("lambda", []), figure.get("accuracy", {}).get(task, []), strict=False))
        columns[f"the paper's {task}"] = [Cell(theirs.get(_lambda(results[0]))) for results in rows]
    notes = (
        *legend(len(settings.seeds), "after round 1"),
        "Final losses are means over the last tenth of the steps; at λ = 0 the triplet loss is not computed.",
    )
    return table_of(compared, column, "lambda", columns, notes)


def _steps(result: RunResult) -> list[Step]:
    path = Workspace(result.folder).round(1).training
    return read_training(path) if path.is_file() else []


def _course(compared: Compared) -> Table:
    """Both losses in equal parts of round 1's study."""
    lines = []
    for result in compared.results:
        steps = _steps(result)
        places = [part * len(steps) // _PARTS for part in range(_PARTS + 1)]
        parts = [steps[start:end] for start, end in pairwise(places)]
        for name, values in (
            ("language model", [[step.lm_loss for step in part] for part in parts]),
            ("triplet", [[step.triplet_loss for step in part if step.triplets] for part in parts]),
        ):
            means = [Cell(sum(part) / len(part) if part else None, digits=3) for part in values]
            who = ", ".join(part for part in (result.row, result.column) if part)
            lines.append((Cell(who), Cell(str(result.seed)), Cell(name), *means))
    shares = [f"{100 * part // _PARTS} to {100 * (part + 1) // _PARTS} %" for part in range(_PARTS)]
    notes = ("Means over equal parts of the steps of round 1. At λ = 0 the triplet loss is not computed.",)
    return Table("course", compared.settings.title, ("row", "seed", "loss", *shares), tuple(lines), notes)


def _curves(compared: Compared) -> Table:
    lines = [
        (
            Cell(result.row),
            Cell(result.column),
            Cell(str(result.seed)),
            Cell(step.step),
            *(Cell(value, digits=4) for value in (step.loss, step.lm_loss, step.triplet_loss)),
        )
        for result in compared.results
        for step in _steps(result)
    ]
    heading = ("row", "column", "seed", "step", "loss", "language-model loss", "triplet loss")
    return Table("curves", "Loss curves of round 1", heading, tuple(lines))

"""Table 5: data, error rate and gain, round by round."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from tutelage.comparisons.compared import Compared
from tutelage.comparisons.effects import accuracy_cell, effect, effect_cells, legend, round_cell
from tutelage.comparisons.paper import Paper
from tutelage.comparisons.results import RunResult
from tutelage.comparisons.table import Cell, Table

_NAMES = ("initial", "1st", "2nd", "3rd")


def analyse(compared: Compared, paper: Paper | None) -> Sequence[Table]:
    """One line a round of each row: its samples, the exam that followed it, its accuracy, and its gain."""
    settings = compared.settings
    lines: list[tuple[Cell, ...]] = []
    for column in settings.columns:
        for row in settings.rows:
            results = compared.of(row.name, column)
            name = ", ".join(part for part in (row.name, column.name) if part)
            theirs = None if paper is None else paper.row("table_5", task=column.paper or settings.paper)
            lines += [(Cell(name), *line) for line in _lines(results, paper is not None, theirs)]
    heading = ["row", "round", "training samples", "exam's error rate after it", "accuracy", "over the round before"]
    if paper is not None:
        heading += [f"the paper's {what}" for what in ("training samples", "error rate", "change in accuracy")]
    notes = (
        *legend(len(settings.seeds), "after each round, whichever was kept"),
        "The error rate is of sampled attempts at the training questions, in the exam that the round's student sat; "
        "the last one sat none.",
    )
    return [Table("rounds", settings.title, tuple(heading), tuple(lines), notes)]


def _lines(results: Sequence[RunResult], with_paper: bool, theirs: Any) -> list[tuple[Cell, ...]]:
    last = min(one.rounds[-1].number for one in results)
    right = [[one.right(number) for one in results] for number in range(last + 1)]
    gains = [Cell(), *effect_cells([effect(before, after) for before, after in pairwise(right)])]
    return [
        (
            Cell(_NAMES[number] if number < len(_NAMES) else f"{number}th"),
            round_cell(results, number, lambda one: one.samples),
            round_cell(results, number + 1, lambda one: one.error_rate, 1, scale=100),
            accuracy_cell(results, number),
            gains[number],
            *(_their_cells(theirs, number) if with_paper else ()),
        )
        for number in range(last + 1)
    ]


def _their_cells(row: Any, number: int) -> list[Cell]:
    """The paper's samples, error rate and change of accuracy; its changes have none for the initial round."""
    lists = [(row or {}).get(name, []) for name in ("training_samples", "train_error_rate")]
    lists.append([None, *(row or {}).get("accuracy_change", [])])
    return [Cell(one[number] if number < len(one) else None) for one in lists]

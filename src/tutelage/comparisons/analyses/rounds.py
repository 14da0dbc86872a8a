"""Table 5: data, error rate and gain, round by round."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

from tutelage.comparisons.results import RunResult
from tutelage.comparisons.tables.compared import Compared
from tutelage.comparisons.tables.effects import Effect, accuracy_cell, effect, effect_cells, legend, round_cell
from tutelage.comparisons.tables.paper import Paper
from tutelage.comparisons.tables.table import Cell, Table

_NAMES = ("initial", "1st", "2nd", "3rd")


def analyse(compared: Compared, paper: Paper | None) -> Sequence[Table]:
    """One line a round of each row: its samples, the exam that followed it, its accuracy, and its gain."""
    settings = compared.settings
    grid = [(column, row, compared.of(row.name, column)) for column in settings.columns for row in settings.rows]
    gains = iter(effect_cells([gain for _, _, results in grid for gain in _gains(results)]))
    lines: list[tuple[Cell, ...]] = []
    for column, row, results in grid:
        name = ", ".join(part for part in (row.name, column.name) if part)
        theirs = None if paper is None else paper.row("table_5", task=column.paper or settings.paper)
        lines += [(Cell(name), *line) for line in _lines(results, gains, paper is not None, theirs)]
    heading = ["row", "round", "training samples", "exam's error rate after it", "accuracy", "over the round before"]
    if paper is not None:
        heading += [f"the paper's {what}" for what in ("training samples", "error rate", "change in accuracy")]
    notes = (
        *legend(len(settings.seeds), "after each round, whichever was kept"),
        "The error rate is of sampled attempts at the training questions, in the exam that the round's student sat; "
        "the last one sat none.",
    )
    return [Table("rounds", settings.title, tuple(heading), tuple(lines), notes)]


def _last(results: Sequence[RunResult]) -> int:
    return min(one.rounds[-1].number for one in results)


def _gains(results: Sequence[RunResult]) -> list[Effect | None]:
    """Of each round over the one before; the first has none."""
    right = [[one.right(number) for one in results] for number in range(_last(results) + 1)]
    return [None, *(effect(before, after) for before, after in pairwise(right))]


def _lines(
    results: Sequence[RunResult], gains: Iterator[Cell], with_paper: bool, theirs: Any
) -> list[tuple[Cell, ...]]:
    """gains: all rows', in order, since they are corrected together; this row's are taken from it."""
    return [
        (
            Cell(_NAMES[number] if number < len(_NAMES) else f"{number}th"),
            round_cell(results, number, lambda one: one.samples),
            round_cell(results, number + 1, lambda one: one.error_rate, 1, scale=100),
            accuracy_cell(results, number),
            next(gains),
            *(_their_cells(theirs, number) if with_paper else ()),
        )
        for number in range(_last(results) + 1)
    ]


def _their_cells(row: Any, number: int) -> list[Cell]:
    """The paper's samples, error rate and change of accuracy; its changes have none for the initial round."""
    lists = [(row or {}).get(name, []) for name in ("training_samples", "train_error_rate")]
    lists.append([None, *(row or {}).get("accuracy_change", [])])
    return [Cell(one[number] if number < len(one) else None) for one in lists]

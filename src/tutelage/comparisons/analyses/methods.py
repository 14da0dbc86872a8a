"""Table 1: methods by accuracy, with what each took."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from tutelage.baselines import METHODS
from tutelage.comparisons.compared import Compared, table_of
from tutelage.comparisons.effects import (
    Effect,
    Right,
    accuracy_cell,
    effect,
    effect_cells,
    legend,
    mean_cell,
    over_the_row_before,
)
from tutelage.comparisons.paper import Paper
from tutelage.comparisons.results import RunResult
from tutelage.comparisons.settings import ColumnSettings, ComparisonSettings
from tutelage.comparisons.table import Cell, Table


def analyse(compared: Compared, paper: Paper | None) -> Sequence[Table]:
    """Accuracy, gain over the row before and over the untrained student, and costs; one table a column of the grid."""
    return [_table(compared, column, paper) for column in compared.settings.columns]


def _table(compared: Compared, column: ColumnSettings, paper: Paper | None) -> Table:
    settings = compared.settings
    rows = [compared.of(row.name, column) for row in settings.rows]
    columns: dict[str, list[Cell]] = {
        "method": [Cell(row.name) for row in settings.rows],
        "accuracy": [accuracy_cell(results) for results in rows],
        "over the row before": effect_cells(over_the_row_before(rows)),
        "over the untrained": effect_cells(_over_the_untrained(rows)),
        "round kept": [_kept(results) for results in rows],
        "steps": [mean_cell([one.steps for one in results], 0) for results in rows],
        "steps of the kept": [mean_cell([one.kept_steps for one in results], 0) for results in rows],
        **_costs(rows),
    }
    if paper is not None:
        task = column.paper or settings.paper
        columns[f"the paper's {task}"] = [
            Cell(None if row.paper is None else paper.accuracy("table_1", task, method=row.paper))
            for row in settings.rows
        ]
    return table_of(compared, column, "methods", columns, _notes(settings, rows))


Rows = Sequence[Sequence[RunResult]]


def _right(results: Sequence[RunResult]) -> list[Right | None]:
    return [one.right() for one in results]


def _over_the_untrained(rows: Rows) -> list[Effect | None]:
    """Over the last row of an untrained student; without one, over the row's own student before its first round."""
    untrained = next((results for results in reversed(rows) if results[0].method == "untrained"), None)
    found: list[Effect | None] = [None] * len(rows)
    for place, results in enumerate(rows):
        if METHODS[results[0].method].trains:
            before = [one.right(0) for one in results] if untrained is None else _right(untrained)
            found[place] = effect(before, _right(results))
    return found


def _kept(results: Sequence[RunResult]) -> Cell:
    rounds = [f"{one.kept} of {one.rounds[-1].number}" for one in results if one.kept is not None]
    return Cell(", ".join(rounds) or None)


def _costs(rows: Rows) -> dict[str, list[Cell]]:
    def cells(values: Callable[[RunResult], float | None], digits: int = 0) -> list[Cell]:
        return [mean_cell([values(one) for one in results], digits) for results in rows]

    return {
        "requests": cells(lambda one: one.teacher.requests),
        "replies": cells(lambda one: one.teacher.replies),
        "teacher's tokens": _paid(rows, cells(lambda one: one.teacher.tokens)),
        "teacher's price": _paid(
            rows, cells(lambda one: None if one.teacher.cost is None else float(one.teacher.cost), 4)
        ),
        "seconds": cells(lambda one: one.seconds),
    }


def _paid(rows: Rows, cells: Sequence[Cell]) -> list[Cell]:
    """What a row had from the cache cost it nothing here, and would have alone: its cells say so."""
    cached = [sum(one.teacher.from_cache for one in results) for results in rows]
    return [
        replace(cell, note=f"without {count:,} cached replies") if count else cell
        for cell, count in zip(cells, cached, strict=True)
    ]


_FAIR = {
    None: "Each row takes as many steps, and asks for as many replies, as its recipe says.",
    "steps": "Fair by steps: all rounds of a row together take as many optimizer steps as those of {!r}; where each "
    "round begins with the untrained student, each does.",
    "teacher": "Fair by the teacher: a row that asks in one round asks for as many replies as {!r} in all rounds.",
}


def _notes(settings: ComparisonSettings, rows: Rows) -> list[str]:
    reference = settings.reference_row()
    notes = [*legend(len(settings.seeds)), _FAIR[settings.fair].format("" if reference is None else reference.name)]
    notes.append("The untrained is the last row of one, or else a row's own student before its first round.")
    notes.append(
        "Requests, replies, tokens, price and seconds are those that a row would have taken alone, but for tokens and "
        "price of cached replies; what rows share was done and paid once. Rows of STaR, of "
        "answers only and of the untrained student ask no teacher."
    )
    sources = {f"{row.name}: {METHODS[row.method].source}" for row in settings.rows}
    notes.append("Sources: " + "; ".join(sorted(sources)) + ".")
    if cached := sum(one.teacher.from_cache for results in rows for one in results):
        notes.append(
            f"{cached:,} replies came from the comparison's cache; their tokens and price stand where first paid."
        )
    return notes

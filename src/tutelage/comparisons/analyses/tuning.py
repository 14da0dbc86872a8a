"""Settings by held-out accuracy, to choose among them before the test is looked at."""

from __future__ import annotations

from collections.abc import Sequence

from tutelage.comparisons.results import RunResult
from tutelage.comparisons.settings import ColumnSettings
from tutelage.comparisons.tables.compared import Compared, table_of
from tutelage.comparisons.tables.effects import effect, effect_cells, legend, mean_cell, score_cell
from tutelage.comparisons.tables.paper import Paper
from tutelage.comparisons.tables.table import Cell, Table
from tutelage.records import Score

_NOTES = (
    "Test accuracies are left out on purpose: chosen by them, a setting would make them worthless.",
    "The best of several on the same held-out questions looks better than it is; what it is worth the test says.",
    "By round: the mean of the seeds that came to it.",
)


def analyse(compared: Compared, _paper: Paper | None) -> Sequence[Table]:
    """Held-out accuracy of each row, with its change against the first row; one table a column of the grid."""
    return [_table(compared, column) for column in compared.settings.columns]


def _table(compared: Compared, column: ColumnSettings) -> Table:
    settings = compared.settings
    rows = [compared.of(row.name, column) for row in settings.rows]
    right = [[one.right(split="held-out") for one in results] for results in rows]
    columns = {
        "setting": [Cell(row.name) for row in settings.rows],
        "held-out accuracy": [score_cell([_held_out(one, one.kept) for one in results]) for results in rows],
        "over the first row": effect_cells([None, *(effect(right[0], other) for other in right[1:])]),
        "by round": [Cell(_by_round(results)) for results in rows],
        "steps": [mean_cell([one.steps for one in results], 0) for results in rows],
        "seconds": [mean_cell([one.seconds for one in results], 0) for results in rows],
    }
    notes = (*legend(len(settings.seeds), split="the held-out part of the training split"), *_NOTES)
    return table_of(compared, column, "tuning", columns, notes)


def _held_out(result: RunResult, number: int | None) -> Score | None:
    found = None if number is None else result.round(number)
    return None if found is None or found.held_out is None or not found.held_out.total else found.held_out


def _by_round(results: Sequence[RunResult]) -> str | None:
    """Such as "4.4, 55.0, 60.1"."""
    last = max(one.rounds[-1].number for one in results)
    scores = [[_held_out(one, number) for one in results] for number in range(last + 1)]
    known = [[100 * score.accuracy for score in some if score is not None] for some in scores]
    return ", ".join(f"{sum(some) / len(some):.1f}" if some else "-" for some in known) or None

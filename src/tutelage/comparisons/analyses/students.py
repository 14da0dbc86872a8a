"""Table 7: methods by students, or by whatever else the columns are."""

from __future__ import annotations

from collections.abc import Sequence

from tutelage.comparisons.tables.compared import Compared
from tutelage.comparisons.tables.effects import (
    accuracy_cell,
    effect_cells,
    legend,
    others_than_before,
    over_the_row_before,
)
from tutelage.comparisons.tables.paper import Paper
from tutelage.comparisons.tables.table import Cell, Table


def analyse(compared: Compared, paper: Paper | None) -> Sequence[Table]:
    """Accuracy of each row in each column, with what it has over the row before it."""
    settings = compared.settings
    columns: dict[str, list[Cell]] = {}
    for column in settings.columns:
        name = column.name or "accuracy"
        rows = [compared.of(row.name, column) for row in settings.rows]
        columns[name] = [accuracy_cell(results) for results in rows]
        columns[f"{name}, over the row before"] = effect_cells(over_the_row_before(settings, rows))
        if paper is not None and column.paper is not None:
            columns[f"the paper's {column.paper}"] = [
                Cell(paper.accuracy("table_7", column.paper, task=settings.paper, method=row.paper))
                for row in settings.rows
            ]
    cells = [[Cell(row.name) for row in settings.rows], *columns.values()]
    heading = ("method", *columns)
    notes = (*legend(len(settings.seeds)), *others_than_before(settings))
    return [Table("students", settings.title, heading, tuple(zip(*cells, strict=True)), notes)]

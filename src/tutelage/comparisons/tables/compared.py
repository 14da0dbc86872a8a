"""What an analysis is given, and what it is."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tutelage.comparisons.results import RunResult
from tutelage.comparisons.settings import ColumnSettings, ComparisonSettings, folder_name
from tutelage.comparisons.tables.paper import Paper
from tutelage.comparisons.tables.table import Cell, Table


@dataclass(frozen=True, slots=True)
class Compared:
    """A comparison whose runs are finished; results in the order of the file's rows."""

    settings: ComparisonSettings
    folder: Path
    results: tuple[RunResult, ...]

    def of(self, row: str, column: ColumnSettings) -> list[RunResult]:
        """The runs of a row in a column, one a seed, in the seeds' order."""
        found = [one for one in self.results if (one.row, one.column) == (row, column.name)]
        return sorted(found, key=lambda one: self.settings.seeds.index(one.seed))


def table_of(
    compared: Compared, column: ColumnSettings, name: str, columns: Mapping[str, Sequence[Cell]], notes: Sequence[str]
) -> Table:
    """A table of a comparison's column, from its own columns; where there are several, with the column's name."""
    title = compared.settings.title
    if column.name:
        name, title = f"{name}-{folder_name(column.name)}", f"{title}: {column.name}"
    return Table(name, title, tuple(columns), tuple(zip(*columns.values(), strict=True)), tuple(notes))


Analysis = Callable[[Compared, Paper | None], Sequence[Table]]
"""Makes the tables of a comparison, the main one first. It may open the runs' folders, and add to them."""

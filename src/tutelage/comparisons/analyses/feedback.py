"""Table 3: what the student's mistakes in the request are worth to the teacher, in the second round."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from tutelage.comparisons.results import RunResult, successes
from tutelage.comparisons.settings import ColumnSettings
from tutelage.comparisons.tables.compared import Compared, table_of
from tutelage.comparisons.tables.effects import Effect, Right, accuracy_cell, effect, effect_cells, legend, round_cell
from tutelage.comparisons.tables.paper import Paper
from tutelage.comparisons.tables.table import Cell, Table
from tutelage.records import Correction
from tutelage.workspace import KEYS, Workspace, read_json, read_records

ROUND = 2
"""The first round in which the teacher can be shown a mistake."""


def analyse(compared: Compared, paper: Paper | None) -> Sequence[Table]:
    """Requests, successes and accuracy of the second round, row by row, and each row's change against the first row."""
    return [_table(compared, column, paper) for column in compared.settings.columns]


def _table(compared: Compared, column: ColumnSettings, paper: Paper | None) -> Table:
    settings = compared.settings
    rows = [compared.of(row.name, column) for row in settings.rows]
    columns = {
        "teacher is shown": [Cell(row.name) for row in settings.rows],
        "requests": [round_cell(results, ROUND, lambda one: one.requests) for results in rows],
        "successes": [round_cell(results, ROUND, lambda one: one.successes) for results in rows],
        "successes, change": effect_cells(_changes(rows, _succeeded)),
        "accuracy": [accuracy_cell(results, ROUND) for results in rows],
        "accuracy, change": effect_cells(_changes(rows, partial(RunResult.right, number=ROUND))),
    }
    if paper is not None:
        task = column.paper or settings.paper
        theirs = [_of_paper(paper, task, row.paper) for row in settings.rows]
        for name in ("requests", "success", "accuracy"):
            columns[f"the paper's {task}: {name}"] = [Cell(one.get(name)) for one in theirs]
    return table_of(compared, column, "feedback", columns, _notes(compared, rows))


_PAPERS = {"feedback": True, "no feedback": False}
"""What a row's `paper` may be."""


def _of_paper(paper: Paper, task: str | None, row: str | None) -> Mapping[str, Any]:
    found = paper.row("table_3", task=task, feedback=_PAPERS[row]) if row in _PAPERS else None
    return found or {}


def _changes(rows: Sequence[Sequence[RunResult]], right: Callable[[RunResult], Right | None]) -> list[Effect | None]:
    first = [right(one) for one in rows[0]]
    return [None, *(effect(first, [right(one) for one in results]) for results in rows[1:])]


def _succeeded(result: RunResult) -> Right | None:
    """By question, whether its request of the second round brought a rationale."""
    path = Workspace(result.folder).round(ROUND).feedback
    if not path.is_file():
        return None
    corrections = read_records(path, Correction)
    kept = successes(corrections)
    return {one.question_id: one.question_id in kept for one in corrections}


def _notes(compared: Compared, rows: Sequence[Sequence[RunResult]]) -> tuple[str, ...]:
    students = {(one.seed, read_json(one.folder / KEYS).get("1 study")) for results in rows for one in results}
    same = len(students) == len(compared.settings.seeds)
    return (
        *legend(len(compared.settings.seeds), "after round 2, whichever was kept"),
        "Requests and successes are of round 2; a change is against the first row.",
        "All rows have the same first round." if same else "CAUTION: the rows do not have the same first round.",
    )

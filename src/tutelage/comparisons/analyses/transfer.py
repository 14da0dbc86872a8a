"""Table 11: trained on one task, evaluated on every other one. The comparison's columns are the tasks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tutelage.comparisons.results import RunResult
from tutelage.comparisons.tables.compared import Compared
from tutelage.comparisons.tables.paper import Paper
from tutelage.comparisons.tables.table import NOT_SIGNIFICANT, Cell, Table
from tutelage.config import TaskSettings
from tutelage.evaluation.significance import ALPHA, Paired, holm
from tutelage.recipes import read_recipe
from tutelage.rounds.run import Run, open_run
from tutelage.rounds.transfer import forgetting, transfer
from tutelage.workspace import Workspace


def analyse(compared: Compared, paper: Paper | None) -> Sequence[Table]:
    """One line a run and round, one column a task; after training, each change is tested against the untrained one."""
    settings = compared.settings
    tasks = {column.name: _task(compared.of(settings.rows[0].name, column)[0]) for column in settings.columns}
    lines: list[tuple[list[Cell], dict[str, dict[str, Any]], list[Paired | None], Any]] = []
    for row in settings.rows:
        for column in settings.columns:
            for result in compared.of(row.name, column):
                run = open_run(result.folder)
                try:
                    for number in rounds_of(result):
                        theirs = _of_paper(paper, column.paper, number, result.rounds[-1].number)
                        cells = [Cell(row.name), Cell(column.name), Cell(str(result.seed)), Cell(str(number))]
                        lines.append((cells, *_evaluate(run, number, tasks), theirs))
                finally:
                    run.workspace.release()
    adjusted = iter(holm([pair.p_value for _, _, pairs, _ in lines for pair in pairs if pair is not None]))
    rows = []
    for head, scores, pairs, theirs in lines:
        cells = [
            _cell(scores[name], pair, None if pair is None else next(adjusted))
            for name, pair in zip(tasks, pairs, strict=True)
        ]
        beside = [] if paper is None else [Cell(theirs.get(column.paper)) for column in settings.columns]
        rows.append((*head, *cells, *beside))
    heading = ["row", "trained on", "seed", "round", *tasks]
    heading += [] if paper is None else [f"the paper's {column.paper}" for column in settings.columns]
    return [Table("transfer", settings.title, tuple(heading), tuple(rows), _NOTES)]


_NOTES = (
    "Accuracies are on each task's test questions, in percent, behind that task's own demonstrations; in parentheses "
    "Wilson's 95 % interval. Round 0 is the untrained student. In-domain: answers of the same kind as of the task "
    "trained on.",
    f"{NOT_SIGNIFICANT}: no significant change at {ALPHA} against the untrained student on the same questions, by "
    "the exact McNemar test with Holm's correction over the table. What is significantly worse is forgotten.",
)


def _task(result: RunResult) -> TaskSettings:
    return read_recipe(Workspace(result.folder).recipe).task


def rounds_of(result: RunResult) -> list[int]:
    """The untrained student, the first round's if rounds.keep has left it, and the last one's."""
    last = result.rounds[-1].number
    workspace = Workspace(result.folder)
    return [number for number in sorted({0, min(1, last), last}) if workspace.round(number).student.is_dir()]


def _evaluate(
    run: Run, number: int, tasks: dict[str, TaskSettings]
) -> tuple[dict[str, dict[str, Any]], list[Paired | None]]:
    """Each task's score after a round, and how it changed against round 0."""
    scores = {name: transfer(run, number, task, name) for name, task in tasks.items()}
    changes = [forgetting(run, number, task, name).paired if number else None for name, task in tasks.items()]
    return scores, changes


def _cell(score: dict[str, Any], change: Paired | None, p_value: float | None) -> Cell:
    low, high = score["interval"]
    mark = NOT_SIGNIFICANT if p_value is not None and p_value > ALPHA else ""
    told = "" if change is None else f"{100 * change.difference:+.1f}"
    note = ", ".join(part for part in (told, "" if score["place"] == "trained" else score["place"]) if part)
    return Cell(100 * score["accuracy"], (100 * low, 100 * high), mark, note)


def _of_paper(paper: Paper | None, task: str | None, number: int, last: int) -> Any:
    if paper is None:
        return {}
    if number == 0:
        found = paper.row("table_11", train_on=None)
    else:
        found = paper.row("table_11", train_on=task, round="last" if number == last > 1 else "1st")
    return (found or {}).get("accuracy", {})

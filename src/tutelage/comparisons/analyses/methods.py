"""Table 1: methods by accuracy, with what each took."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from statistics import fmean

from tutelage.baselines import METHODS
from tutelage.comparisons.results import TEACHER, RunResult
from tutelage.comparisons.settings import ColumnSettings, ComparisonSettings
from tutelage.comparisons.tables.compared import Compared, table_of
from tutelage.comparisons.tables.effects import (
    Effect,
    Right,
    accuracy_cell,
    effect,
    effect_cells,
    legend,
    mean_cell,
    others_than_before,
    over_the_row_before,
    score_cell,
)
from tutelage.comparisons.tables.paper import Paper
from tutelage.comparisons.tables.table import Cell, Table
from tutelage.evaluation.gap import GapClosed, gap_closed, share_of_gap


def analyse(compared: Compared, paper: Paper | None) -> Sequence[Table]:
    """Accuracy, gain over the row before and over the untrained student, and costs; one table a column of the grid."""
    return [_table(compared, column, paper) for column in compared.settings.columns]


def _table(compared: Compared, column: ColumnSettings, paper: Paper | None) -> Table:
    settings = compared.settings
    rows = [compared.of(row.name, column) for row in settings.rows]
    columns: dict[str, list[Cell]] = {
        "method": [Cell(row.name) for row in settings.rows],
        "accuracy": [accuracy_cell(results) for results in rows],
        **_calculated(rows),
        "over the row before": effect_cells(over_the_row_before(settings, rows)),
        "over the untrained": effect_cells(_over_the_untrained(rows)),
        **_gaps(rows),
        "round kept": [_kept(results) for results in rows],
        "steps": [mean_cell([one.steps for one in results], 0) for results in rows],
        "steps of the kept": [mean_cell([one.kept_steps for one in results], 0) for results in rows],
        **_costs(rows),
    }
    if paper is not None:
        task = column.paper or settings.paper
        theirs = [
            None if row.paper is None else paper.accuracy("table_1", task, method=row.paper) for row in settings.rows
        ]
        columns[f"the paper's {task}"] = [Cell(one) for one in theirs]
        if _GAP in columns:
            columns[f"the paper's {task}: {_GAP}"] = _papers_gaps(rows, theirs)
    return table_of(compared, column, "methods", columns, _notes(settings, rows))


Rows = Sequence[Sequence[RunResult]]


def _right(results: Sequence[RunResult]) -> list[Right | None]:
    return [one.right() for one in results]


def _untrained(rows: Rows) -> Sequence[RunResult] | None:
    """The last row of an untrained student."""
    return next((results for results in reversed(rows) if results[0].method == "untrained"), None)


def _teacher(rows: Rows) -> int | None:
    """The place of the first row that is a teacher with answers of its own."""
    places = (place for place, results in enumerate(rows) if results[0].method == TEACHER and _by_question(results))
    return next(places, None)


def _over_the_untrained(rows: Rows) -> list[Effect | None]:
    """Over the last row of an untrained student; without one, over the row's own student before its first round."""
    untrained = _untrained(rows)
    found: list[Effect | None] = [None] * len(rows)
    for place, results in enumerate(rows):
        if METHODS[results[0].method].trains:
            before = [one.right(0) for one in results] if untrained is None else _right(untrained)
            found[place] = effect(before, _right(results))
    return found


_CALCULATOR = "with a calculator"


def _calculated(rows: Rows) -> dict[str, list[Cell]]:
    """What rows would score if they computed exactly; no column where no row's rationales compute."""
    cells = [score_cell([one.calculated() for one in results]) for results in rows]
    return {_CALCULATOR: cells} if any(cell != Cell() for cell in cells) else {}


_GAP = "share of the gap closed"


def _gaps(rows: Rows) -> dict[str, list[Cell]]:
    """How much of the way to the teacher each trained student has come; no column where no row is the teacher."""
    place = _teacher(rows)
    teacher = None if place is None else _by_question(rows[place])
    if teacher is None:
        return {}
    untrained = _untrained(rows)
    cells = []
    for results in rows:
        before = _by_question(results, 0) if untrained is None else _by_question(untrained)
        reached = _by_question(results) if METHODS[results[0].method].trains else None
        found = gap_closed(before, reached, teacher) if before and reached else None
        cells.append(Cell() if found is None else _gap_cell(found))
    return {_GAP: cells}


def _gap_cell(found: GapClosed) -> Cell:
    interval = None if found.interval is None else (100 * found.interval[0], 100 * found.interval[1])
    return Cell(100 * found.share, interval)


def _by_question(results: Sequence[RunResult], number: int | None = None) -> dict[str, float] | None:
    """By test question, which share of a row's seeds has it right; None where a seed has no answers."""
    found = [one.right(number) for one in results]
    whole = [one for one in found if one is not None]
    if len(whole) < len(found):
        return None
    common = [one for one in whole[0] if all(one in other for other in whole)]
    return {one: fmean(right[one] for right in whole) for one in common}


def _papers_gaps(rows: Rows, accuracies: Sequence[float | None]) -> list[Cell]:
    """The same shares by the paper's accuracies, which stand beside our rows."""
    methods = [results[0].method for results in rows]
    named = dict(zip(methods, accuracies, strict=True))  # of several untrained rows the last, as for ours
    untrained, place = named.get("untrained"), _teacher(rows)
    teacher = None if place is None else accuracies[place]
    shares = [
        share_of_gap(untrained, reached, teacher) if METHODS[method].trains else None
        for method, reached in zip(methods, accuracies, strict=True)
    ]
    return [Cell(None if share is None else 100 * share) for share in shares]


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
    notes = [
        *legend(len(settings.seeds)),
        *others_than_before(settings),
        _FAIR[settings.fair].format("" if reference is None else reference.name),
    ]
    notes.append("The untrained is the last row of one, or else a row's own student before its first round.")
    if (place := _teacher(rows)) is not None:
        name = settings.rows[place].name
        notes.append(
            f"The share of the gap closed is 0 % for the untrained student and 100 % for {name!r}, with Fieller's 95 % "
            "interval over the questions."
        )
    if _calculated(rows):
        notes.append(
            "With a calculator: the accuracy if each equation of a rationale were worked out exactly afterwards, and "
            "what follows from it (Wei et al. 2022, arXiv 2201.11903). What lies between is lost in computing."
        )
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

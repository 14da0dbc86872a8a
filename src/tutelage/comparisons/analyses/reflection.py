"""Table 4 and Figure 4: how far apart right and wrong reasoning lie for each row's student, and which it prefers.

All rows' students read the same pairs: of test questions, the worked solution and a wrong answer of the untrained
student. Where a task has no worked solutions, right answers that any row's student gave stand in. The pairs are read
once; the readings stay in the runs' folders.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec

from safetensors.torch import load_file

from tutelage.comparisons.results import RunResult
from tutelage.comparisons.settings import ColumnSettings
from tutelage.comparisons.tables.compared import Compared, table_of
from tutelage.comparisons.tables.paper import Paper
from tutelage.comparisons.tables.table import NOT_SIGNIFICANT, Cell, Table
from tutelage.evaluation.projection import picture
from tutelage.evaluation.representation import Estimate, PairReading, Readings, separation, separation_gained
from tutelage.records import Attempt, Triplet
from tutelage.rounds.contrasts import pick_pairs, represent, unseen_pairs
from tutelage.rounds.run import open_run
from tutelage.workspace import Workspace, read_records

_PAIRS = 100
"""Questions at most, one pair of each."""
_FEWEST = 5
"""States that a picture takes."""


def analyse(compared: Compared, paper: Paper | None) -> Sequence[Table]:
    """One line a row and seed, each against the row before; and the pictures' points, for drawing."""
    tables, points = [], []
    for column in compared.settings.columns:
        runs = _of(compared, column)
        read = {(one.row, one.seed): _read(one, [other for other in runs if other.seed == one.seed]) for one in runs}
        tables.append(_table(compared, column, read, paper))
        points += [(column.name, *key, readings) for key, readings in read.items()]
    return [*tables, _picture(points)]


def _of(compared: Compared, column: ColumnSettings) -> list[RunResult]:
    return [one for row in compared.settings.rows for one in compared.of(row.name, column)]


def _read(result: RunResult, same_seed: Sequence[RunResult]) -> Readings:
    """What a run's last student makes of the pairs; same_seed: the runs that share them, the first row's first."""
    folder = result.folder / "representation"
    if (folder / "representation.json").is_file():
        states = load_file(folder / "states.safetensors")
        return Readings(tuple(read_records(folder / "pairs.jsonl", PairReading)), states["right"], states["wrong"])
    first = open_run(same_seed[0].folder, lock=False)
    pairs: list[Triplet] = pick_pairs(unseen_pairs(first, "test", others=_answers(same_seed)), _PAIRS)
    run = open_run(result.folder, lock=False)
    last = max(one.number for one in result.rounds if run.round(one.number).student.is_dir())
    return represent(run, last, pairs, folder, "test")[0]


def _answers(results: Sequence[RunResult]) -> list[Attempt]:
    files = (Workspace(one.folder).round(each.number).answers for one in results for each in one.rounds)
    return [attempt for path in files if path.is_file() for attempt in read_records(path, Attempt)]


def _table(
    compared: Compared, column: ColumnSettings, read: dict[tuple[str, int], Readings], paper: Paper | None
) -> Table:
    lines = []
    before: dict[int, Readings] = {}
    for (row, seed), readings in read.items():
        found = separation(readings, seed)
        gained = separation_gained(before[seed], readings, seed) if seed in before else None
        lines.append(
            (
                Cell(row),
                Cell(str(seed)),
                Cell(found.pairs),
                _cell(found.distance, digits=2),
                Cell() if gained is None else _cell(gained.distance, digits=2, difference=True),
                _cell(found.preference, 100),
                Cell() if gained is None else _cell(gained.preference, 100, difference=True),
                _cell(found.preference_per_token, 100),
            )
        )
        before[seed] = readings
    heading = ("method", "seed", "pairs", "distance", "distance, over the row before", "preference")
    columns = dict(
        zip(
            (*heading, "preference, over the row before", "preference per token"), zip(*lines, strict=True), strict=True
        )
    )
    if paper is not None:
        task = column.paper or compared.settings.paper
        names = {row.name: row.paper for row in compared.settings.rows}
        for measure in ("distance", "preference"):
            theirs = [paper.row("table_4", task=task, method=names[row]) or {} for row, _ in read]
            columns[f"the paper's {task}: {measure}"] = tuple(Cell(one.get(measure)) for one in theirs)
    notes = (
        "Distance: Euclidean, between the last hidden states at the answer's last token. Preference: the share of "
        "pairs, in percent, whose right solution is likelier as a whole; per token, by the mean over its tokens.",
        f"In parentheses bootstrap 95 % intervals over the questions; {NOT_SIGNIFICANT}: that of a difference holds 0.",
        "All students are those of the last round, and read the same pairs, of test questions: the worked solution, or "
        "where there is none a right answer of any of these students, and a wrong answer of the untrained one.",
    )
    return table_of(compared, column, "reflection", columns, notes)


def _cell(estimate: Estimate, scale: float = 1.0, digits: int = 1, difference: bool = False) -> Cell:
    low, high = estimate.interval
    mark = NOT_SIGNIFICANT if difference and low <= 0 <= high else ""
    return Cell(scale * estimate.value, (scale * low, scale * high), mark, digits=digits)


def _picture(points: Sequence[tuple[str, str, int, Readings]]) -> Table:
    """Two dimensions of each student's states, by t-SNE, where scikit-learn is there and there are enough of them."""
    lines = [
        (Cell(row), Cell(column), Cell(str(seed)), Cell(one.question_id), Cell(one.label), Cell(one.x), Cell(one.y))
        for column, row, seed, readings in points
        if find_spec("sklearn") is not None and len(readings.pairs) >= _FEWEST
        for one in picture(readings, seed)
    ]
    notes = (
        () if lines else ("There is no picture: it takes scikit-learn (`pip install 'tutelage[analysis]'`) and pairs.",)
    )
    heading = ("row", "column", "seed", "question", "solution", "x", "y")
    return Table("points", "Hidden states in two dimensions (t-SNE)", heading, tuple(lines), notes)

"""What each run of a comparison cost, and what a point of accuracy over its untrained student came to."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tutelage.comparisons.results import RunResult
from tutelage.comparisons.tables.table import NOT_SIGNIFICANT, Cell, Table, to_json, to_markdown
from tutelage.evaluation.significance import ALPHA, holm
from tutelage.rounds.costs import RunCost
from tutelage.workspace import write_text

_HEADING = (
    *("row", "column", "seed", "teacher's requests", "teacher's tokens", "teacher's price", "device's seconds"),
    *("points over its untrained student", "tokens a point", "price a point", "seconds a point"),
)


def write_costs(folder: Path, title: str, costs: Sequence[tuple[RunResult, RunCost]]) -> None:
    """Writes cost.md and cost.json into a comparison's folder."""
    table = cost_table(title, costs)
    write_text(folder / "cost.md", to_markdown(table))
    write_text(folder / "cost.json", to_json([table]))


def cost_table(title: str, costs: Sequence[tuple[RunResult, RunCost]]) -> Table:
    """One line a run. A point has a price only where there is a gain that the data supports."""
    gains = [one.whole.gained for _, one in costs]
    adjusted = iter(holm([gain.p_value for gain in gains if gain is not None]))
    p_values = [1.0 if gain is None else next(adjusted) for gain in gains]
    lines = tuple(_line(result, cost, p) for (result, cost), p in zip(costs, p_values, strict=True))
    notes = (
        "Everything that a run took counts, later rounds than the kept one's and what it took over from other runs "
        "included. Seconds are those in which the student's device worked, times the devices: "
        f"{', '.join(sorted({f'{one.devices} x {one.device}' for _, one in costs}))}.",
        "Points: accuracy on the test split of the student kept, less that of the same run's untrained one, with "
        f"Tango's 95 % interval. {NOT_SIGNIFICANT}: not significant at {ALPHA} by the exact McNemar test with Holm's "
        "correction over the table; no gain, and no price.",
        "Where another run of the cache paid for replies, their tokens and price stand there, and a point has none.",
    )
    return Table("cost", f"{title}: what a point cost", _HEADING, lines, notes)


def _line(result: RunResult, cost: RunCost, p_value: float) -> tuple[Cell, ...]:
    whole = cost.whole
    supported = whole.supported and p_value <= ALPHA
    points = Cell()
    if whole.gained is not None:
        low, high = whole.gained.interval
        mark = "" if p_value <= ALPHA else NOT_SIGNIFICANT
        points = Cell(100 * whole.gained.difference, (100 * low, 100 * high), mark)
    money = None if whole.teacher.money is None else float(whole.teacher.money)
    each = (whole.tokens_per_point, whole.money_per_point, whole.seconds_per_point)
    return (
        *(Cell(result.row), Cell(result.column), Cell(str(result.seed)), Cell(whole.teacher.requests)),
        *(Cell(whole.teacher.tokens), Cell(money, digits=4), Cell(whole.time.device), points),
        *(Cell(value if supported else None, digits=d) for value, d in zip(each, (0, 6, 1), strict=True)),
    )

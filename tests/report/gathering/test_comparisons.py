"""What `tutelage compare` wrote, as the page gets it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.report.made_runs import write_comparison
from tutelage.comparisons.tables.table import Cell, Table, to_json
from tutelage.report.gathering.comparison_charts import POINTS, Chart, table_charts
from tutelage.report.gathering.comparisons import find_comparisons, gather, runs_of

METHODS = Table(
    "methods",
    "Small",
    ("method", "accuracy", "over the row before", "steps", "the paper's svamp"),
    (
        (Cell("Student"), Cell(4.75, (1.5, 12.25)), Cell(), Cell(1200), Cell(5.0)),
        (
            Cell("+ Distillation"),
            Cell(43.04, (33.71, 52.8)),
            Cell(38.29, (1.0, 2.0), "n.s.", "p = 0.2"),
            Cell(0),
            Cell(),
        ),
    ),
    ("One note.",),
)


def curves(steps: int) -> Table:
    rows = [
        (Cell(f"λ = {weight}"), Cell(""), Cell("1"), Cell(step), Cell(2.0), Cell(1.5), Cell(0.5 * weight))
        for weight in (0, 1)
        for step in range(1, steps + 1)
    ]
    heading = ("row", "column", "seed", "step", "loss", "language-model loss", "triplet loss")
    return Table("curves", "Loss curves of round 1", heading, tuple(rows))


def found(folder: Path) -> Any:
    return gather(folder, folder).data


def test_cells_read_as_in_the_markdown_and_keep_their_numbers(tmp_path: Path) -> None:
    data = found(write_comparison(tmp_path, "methods", [METHODS], ["Student", "+ Distillation"]))
    [table] = data["tables"]
    assert table["rows"][1] == [
        {"text": "+ Distillation"},
        {"text": "43.0", "between": "(33.7 to 52.8)", "number": 43.04, "interval": (33.71, 52.8)},
        {
            "text": "38.3",
            "between": "(1.0 to 2.0)",
            "mark": "n.s.",
            "note": "p = 0.2",
            "number": 38.29,
            "interval": (1.0, 2.0),
        },
        {"text": "0", "number": 0},
        {"text": "-"},
    ]
    assert table["rows"][0][3] == {"text": "1,200", "number": 1200}
    assert [run["state"] for run in data["runs"]] == ["finished", "finished"]
    [chart] = data["charts"]
    assert [(row["row"], row["whose"], row["accuracy"], row["low"]) for row in chart["rows"]] == [
        ("Student", "accuracy", 4.75, 1.5),
        ("Student", "the paper's svamp", 5.0, None),
        ("+ Distillation", "accuracy", 43.04, 33.71),
    ]
    assert chart["caption"] == "Accuracy, with 95 % intervals"


def test_the_share_of_the_gap_is_told_and_not_drawn_among_accuracies() -> None:
    gap = "share of the gap closed"
    heading = ("method", "accuracy", gap, "the paper's svamp", f"the paper's svamp: {gap}")
    line = (Cell("A"), Cell(40.0, (30.0, 50.0)), Cell(140.0, (90.0, 190.0)), Cell(55.0), Cell(60.0))
    [chart] = table_charts("methods", "Small", [json.loads(to_json([Table("methods", "Small", heading, (line,))]))[0]])
    assert [(row["whose"], row["accuracy"]) for row in chart["rows"]] == [
        ("accuracy", 40.0),
        ("the paper's svamp", 55.0),
    ]


def test_settings_to_choose_from_are_drawn() -> None:
    heading = ("setting", "held-out accuracy", "over the first row", "by round", "steps", "seconds")
    lines = [
        (Cell(name), Cell(value, (1.0, 60.0)), Cell(1.0, (-2.0, 4.0)), Cell("1.0"), Cell(5), Cell(2.0))
        for name, value in (("a", 20.0), ("b", 30.0))
    ]
    [chart] = table_charts("tuning", "Small", json.loads(to_json([Table("tuning", "Small", heading, tuple(lines))])))
    assert [(row["row"], row["whose"], row["accuracy"]) for row in chart["rows"]] == [
        ("a", "held-out accuracy", 20.0),
        ("b", "held-out accuracy", 30.0),
    ]


def test_a_long_curve_is_thinned_and_one_that_was_never_computed_is_not_drawn(tmp_path: Path) -> None:
    data = found(write_comparison(tmp_path, "curves", [curves(3 * POINTS)], ["λ = 0", "λ = 1"]))
    assert data["tables"] == []
    lm, triplet = data["charts"]
    assert [row["of"] for row in lm["rows"]] == ["λ = 0"] * POINTS + ["λ = 1"] * POINTS
    assert [row["step"] for row in lm["rows"][:3]] == [1, 4, 7]
    assert [(row["of"], row["value"]) for row in triplet["rows"]] == [("λ = 0", None), *[("λ = 1", 0.5)] * POINTS]


def test_what_is_not_there_yet_or_damaged_is_told(tmp_path: Path) -> None:
    begun = write_comparison(tmp_path / "begun", "methods", [], ["Student", "+ Distillation"])
    (begun / "runs" / "distillation" / "seed-1" / "outcome.json").unlink()
    toml = begun / "comparison.toml"
    toml.write_text(toml.read_text().replace("seeds = [1]", "seeds = [1, 2]"))
    data = found(begun)
    assert [run["state"] for run in data["runs"]] == ["finished", "not begun", "begun", "not begun"]
    assert [note["file"] for note in data["notes"]] == ["table.json"]
    assert [run.parent.name for run in runs_of(begun)] == ["student", "distillation"]

    damaged = write_comparison(tmp_path / "damaged", "lambda", [METHODS], ["Student", "+ Distillation"])
    [note] = found(damaged)["notes"]  # a table of methods has no λ to draw by
    assert "λ" in note["why"]
    (damaged / "table.json").write_text(json.dumps([{"name": "x"}]))
    (damaged / "comparison.toml").write_text("title = ")
    data = found(damaged)
    assert (data["title"], data["tables"], data["runs"]) == ("damaged", [], [])
    assert [note["file"] for note in data["notes"]] == ["comparison.toml", "table.json"]
    assert [one.name for one in find_comparisons(tmp_path)] == ["begun", "damaged"]
    assert find_comparisons(begun) == [begun]


def drawn(kind: str, columns: Sequence[str], *rows: Sequence[Any]) -> list[Chart]:
    """A cell: its value, or (value, low, high)."""
    cells = [
        [{"value": one[0], "interval": one[1:]} if isinstance(one, tuple) else {"value": one} for one in row]
        for row in rows
    ]
    return table_charts(kind, "T", [{"name": kind, "title": "T", "columns": columns, "rows": cells}])


def test_a_transfer_is_drawn_by_student_and_task() -> None:
    heading = ("row", "trained on", "seed", "round", "sums", "legs", "the paper's svamp")
    rows = [("ours", "sums", "1", str(number), (5.0, 1.0, 9.0), (2.0, 0.0, 4.0), None) for number in (0, 1)]
    [chart] = drawn("transfer", heading, *rows)
    assert [(one["row"], one["whose"]) for one in chart["rows"]] == [
        ("round 0", "sums"), ("round 0", "legs"), ("round 1", "sums"), ("round 1", "legs"),
    ]  # fmt: skip
    assert chart["rows"][1] == {"row": "round 0", "whose": "legs", "accuracy": 2.0, "low": 0.0, "high": 4.0}


def test_distances_and_preferences_are_drawn_beside_the_papers() -> None:
    heading = ("method", "seed", "distance", "preference", "the paper's svamp: distance")
    distance, preference = drawn("reflection", heading, ("ours", "1", (5.0, 1.0, 9.0), (50.0, 40.0, 60.0), 7.5))
    assert [(one["whose"], one["distance"], one["high"]) for one in distance["rows"]] == [
        ("here", 5.0, 9.0), ("the paper's svamp: distance", 7.5, None),
    ]  # fmt: skip
    assert preference["rows"] == [{"row": "ours", "whose": "here", "preference": 50.0, "low": 40.0, "high": 60.0}]


def test_a_judges_scores_are_drawn_by_round_with_their_deviations() -> None:
    measures = ("{} answers", "score of {} ones", "deviation of {} ones", "unreadable of {} ones")
    heading = ("row", "seed", "round", *(one.format(kind) for kind in ("right", "wrong") for one in measures))
    one, other = drawn(
        "judge", heading,
        ("a", "1", "0", 0, None, None, 0, 9, 2.0, 0.5, 0), ("a", "1", "1", 1, 4.0, None, 0, 8, 2.5, 0.5, 0),
        ("b", "1", "0", 0, None, None, 0, 9, 2.0, 0.5, 0),
    )  # fmt: skip
    assert one["rows"] == [
        {"answers": "wrong answers", "round": "0", "score": 2.0, "low": 1.5, "high": 2.5},
        {"answers": "right answers", "round": "1", "score": 4.0, "low": None, "high": None},
        {"answers": "wrong answers", "round": "1", "score": 2.5, "low": 2.0, "high": 3.0},
    ]
    assert other["caption"] == "b, seed 1: the judge's scores, each with a deviation"


def test_a_column_of_changes_is_no_accuracy_and_columns_have_their_names() -> None:
    columns = ("teacher is shown", "requests", "accuracy", "accuracy, change", "the paper's svamp: requests")
    cells = [
        {"value": "mistakes"},
        {"value": 4},
        {"value": 5.0, "interval": (1.0, 9.0)},
        {"interval": (0.0, 1.0)},
        {"value": 168},
    ]
    table = {"name": "feedback-x", "title": "Table 3: X", "columns": columns, "rows": [cells]}
    [chart] = table_charts("feedback", "Table 3", [table])
    assert [row["whose"] for row in chart["rows"]] == ["accuracy"]
    assert chart["caption"] == "X: accuracy, with 95 % intervals"

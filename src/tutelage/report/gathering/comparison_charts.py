"""What to draw of several runs, or of a comparison's tables: rows for the charts of `page.comparison_charts`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

Chart = dict[str, Any]
"""spec: by its name. rows: the data. caption, label: above it, and for whoever does not see it. file: of downloads."""
Table = Mapping[str, Any]
"""As table.json has it."""

POINTS = 500
"""Of a curve, at most: every second or third step, and so on, of a longer one; the CSV file has them all."""


def _chart(spec: str, rows: Sequence[Mapping[str, Any]], caption: str, file: str) -> Chart:
    return {"spec": spec, "rows": rows, "caption": caption, "label": caption, "file": file}


def run_charts(runs: Sequence[Mapping[str, Any]]) -> list[Chart]:
    """Accuracy by round; by the teacher's money where that says something; and by its tokens where it does not."""
    by_round = [{"run": run["name"], "round": one["round"], **_scored(one)} for run in runs for one in run["rounds"]]
    charts = [_chart("runs", by_round, "Test accuracy by round, with 95 % intervals", "accuracy-by-round")]
    scored = [run for run in runs if run["score"] is not None]
    for what, which in (("money", _paid(scored)), ("tokens", _counted(scored))):
        rows = [{"run": run["name"], what: run[what], **_scored(run["score"])} for run in which]
        caption = f"Test accuracy of the kept round by the teacher's {what}, with 95 % intervals"
        charts += [_chart(what, rows, caption, f"accuracy-by-{what}")] if rows else []
    return charts


def _scored(score: Mapping[str, Any]) -> dict[str, Any]:
    low, high = score["interval"]
    return {"accuracy": score["accuracy"], "low": low, "high": high}


def _paid(runs: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Those whose price is known, if any of them paid; a teacher that costs nothing is compared by tokens."""
    return [run for run in runs if run["money"] is not None] if any(run["money"] for run in runs) else []


def _counted(runs: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Those whose tokens are known, unless money tells of all."""
    return [run for run in runs if run["tokens"] is not None] if not all(run["money"] for run in runs) else []


def table_charts(kind: str, title: str, tables: Sequence[Table]) -> list[Chart]:
    """The charts of a comparison whose table is of a kind, such as "lambda"; none of a kind without a picture.

    title: the comparison's, which its charts need not say again; what a table's title has behind it is its column.
    """
    draw = _DRAWN.get(kind, _nothing)
    named = [{**table, "column": table["title"].removeprefix(title).removeprefix(": ")} for table in tables]
    return [chart for table in named for chart in draw(table) if chart["rows"]]


def _captioned(table: Table, what: str) -> str:
    return f"{table['column']}: {what}" if table["column"] else what[0].upper() + what[1:]


def _nothing(_table: Table) -> Iterator[Chart]:
    yield from ()


def values(table: Table) -> list[dict[str, Any]]:
    """A table's rows by their columns, values alone."""
    return [{name: cell.get("value") for name, cell in one.items()} for one in _cells(table)]


def _cells(table: Table) -> list[dict[str, Mapping[str, Any]]]:
    return [dict(zip(table["columns"], row, strict=False)) for row in table["rows"]]


def _of_cell(cell: Mapping[str, Any], measure: str = "accuracy") -> dict[str, Any]:
    low, high = cell.get("interval") or (None, None)
    return {measure: cell.get("value"), "low": low, "high": high}


def _by_lambda(table: Table) -> Iterator[Chart]:
    """Figure 5, and the curves."""
    if table["name"] == "curves":
        yield from _curves(table)
        return
    ours = [{"whose": "here", "λ": one["λ"].get("value"), **_of_cell(one["accuracy"])} for one in _cells(table)]
    theirs = [
        {"whose": name, "λ": one["λ"].get("value"), **_of_cell(cell)}
        for name in _papers(table)
        for one in _cells(table)
        if (cell := one[name]).get("value") is not None
    ]
    yield _chart("lambda", ours + theirs, _captioned(table, "accuracy by λ, with 95 % intervals"), table["name"])
    losses = [
        {"loss": loss, "λ": one["λ"].get("value"), "value": one[column].get("value")}
        for loss, column in _FINAL.items()
        for one in _cells(table)
        if one[column].get("value") is not None
    ]
    yield _chart("lambda-loss", losses, _captioned(table, "losses at the end of round 1 by λ"), f"{table['name']}-loss")


_FINAL = {"language model": "final loss of the language model", "triplet": "final triplet loss"}


def _papers(table: Table) -> list[str]:
    return [name for name in table["columns"] if name.startswith("the paper's ")]


def _curves(table: Table) -> Iterator[Chart]:
    """Figure 6: each part of the loss over the steps, a line a run.

    A triplet loss of zero throughout was never computed, as with a weight of 0: it has no line, and keeps its colour.
    """
    if table["name"] != "curves":
        return
    rows = values(table)
    several = len({one["seed"] for one in rows}) > 1
    for loss in ("language-model loss", "triplet loss"):
        drawn = []
        for (row, column, seed), curve in groupby(rows, lambda one: (one["row"], one["column"], one["seed"])):
            steps = list(curve)
            was_computed = any(one[loss] for one in steps)
            name = ", ".join(part for part in (row, column, f"seed {seed}" if several else "") if part)
            shown = _thinned(steps) if was_computed else steps[:1]
            drawn += [{"of": name, "step": one["step"], "value": one[loss] if was_computed else None} for one in shown]
        yield _chart("loss", drawn, f"Round 1: {loss}", loss.replace(" ", "-"))


def _thinned(curve: Sequence[Any]) -> Sequence[Any]:
    step = max(1, -(-len(curve) // POINTS))
    return curve[::step]


def _points(table: Table) -> Iterator[Chart]:
    """Table 4's measures, and Figure 4: the hidden states of right and wrong solutions, a picture a student."""
    if table["name"] != "points":
        yield from _measures(table)
        return
    for (row, column, seed), points in groupby(values(table), lambda one: (one["row"], one["column"], one["seed"])):
        name = ", ".join(part for part in (row, column, f"seed {seed}") if part)
        rows = [{"question": one["question"], "label": one["solution"], "x": one["x"], "y": one["y"]} for one in points]
        yield _chart("states", rows, f"{name}: hidden states in two dimensions (t-SNE)", f"states-{name}")


def _measures(table: Table) -> Iterator[Chart]:
    several = len({one["seed"] for one in values(table)}) > 1
    for measure in ("distance", "preference"):
        columns = {"here": measure, **{name: name for name in _papers(table) if name.endswith(f": {measure}")}}
        rows = [
            {"row": _named(one["method"], one["seed"] if several else None), "whose": whose, **_of_cell(cell, measure)}
            for one in _cells(table)
            for whose, column in columns.items()
            if (cell := one[column]).get("value") is not None
        ]
        caption = _captioned(table, f"{measure}, with bootstrap 95 % intervals")
        yield _chart(measure, rows, caption, f"{table['name']}-{measure}")


def _named(name: Mapping[str, Any], seed: Mapping[str, Any] | None) -> str:
    return str(name.get("value")) + ("" if seed is None else f", seed {seed.get('value')}")


def _by_task(table: Table) -> Iterator[Chart]:
    """Table 11: a line a student, a colour a task of the test."""
    cells = _cells(table)
    whole = ("row", "trained on", "seed", "round")
    apart = [name for name in whole if len({one[name].get("value") for one in cells}) > 1]
    rows = [
        {"row": ", ".join(_part(name, one[name].get("value")) for name in apart), "whose": task, **_of_cell(cell)}
        for one in cells
        for task, cell in one.items()
        if task not in whole and cell.get("value") is not None
    ]
    caption = _captioned(table, "accuracy on each task by student, with 95 % intervals")
    yield _chart("rows", rows, caption, f"{table['name']}-accuracy")


def _part(name: str, value: object) -> str:
    return f"{name} {value}" if name in ("seed", "round") else str(value)


def _scores(table: Table) -> Iterator[Chart]:
    """Table 6: a picture a run. The deviation stands behind the score, whatever it is called."""
    places = {kind: table["columns"].index(f"score of {kind} ones") for kind in ("right", "wrong")}
    for name, lines in groupby(table["rows"], lambda row: ", seed ".join(str(cell.get("value")) for cell in row[:2])):
        rows = []
        for cells in lines:
            for kind, place in places.items():
                score, off = (cell.get("value") for cell in cells[place : place + 2])
                if score is not None:
                    low, high = (None, None) if off is None else (score - off, score + off)
                    told = {"answers": f"{kind} answers", "round": cells[2].get("value"), "score": score}
                    rows.append({**told, "low": low, "high": high})
        yield _chart("scores", rows, f"{name}: the judge's scores, each with a deviation", f"scores-{name}")


def _by_row(table: Table) -> Iterator[Chart]:
    """Tables 1, 3 and 7, and settings to choose from: a line a row, with all columns of accuracies, and the paper's."""
    columns = [
        name
        for place, name in enumerate(table["columns"])
        if not name.endswith(_GAP)
        and (
            (name in _papers(table) and _is_accuracy(table, name))
            or (any(row[place].get("interval") for row in table["rows"]) and not _is_difference(name))
        )
    ]
    rows = [
        {"row": one[table["columns"][0]].get("value"), "whose": name, **_of_cell(one[name])}
        for one in _cells(table)
        for name in columns
        if one[name].get("value") is not None
    ]
    yield _chart("rows", rows, _captioned(table, "accuracy, with 95 % intervals"), f"{table['name']}-accuracy")


_GAP = "share of the gap closed"
"""Beside Table 1's accuracies; it may be of any size, and so it has no place on their scale."""


def _is_difference(column: str) -> bool:
    return column.startswith("over the ") or "over the row before" in column or column.endswith(", change")


def _is_accuracy(table: Table, column: str) -> bool:
    return table["name"].split("-")[0] != "feedback" or column.endswith(": accuracy")


def _by_round(table: Table) -> Iterator[Chart]:
    """Table 5: accuracy round by round, a line a row."""
    rows = []
    for _, lines in groupby(_cells(table), lambda one: one["row"].get("value")):
        rows += [
            {"row": one["row"].get("value"), "round": number, **_of_cell(one["accuracy"])}
            for number, one in enumerate(lines)
        ]
    yield _chart("by-round", rows, _captioned(table, "accuracy by round, with 95 % intervals"), "accuracy-by-round")


_DRAWN: Mapping[str, Callable[[Table], Iterable[Chart]]] = {
    "lambda": _by_lambda,
    "curves": _curves,
    "reflection": _points,
    "methods": _by_row,
    "students": _by_row,
    "feedback": _by_row,
    "tuning": _by_row,
    "rounds": _by_round,
    "transfer": _by_task,
    "judge": _scores,
}

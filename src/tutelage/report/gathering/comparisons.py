"""What `tutelage compare` came to: the tables that it wrote, what to draw beside them, and cases as they happened."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pydantic import ConfigDict, with_config
from typing_extensions import TypedDict

from tutelage.comparisons.settings import run_folder
from tutelage.comparisons.tables.table import Cell, cell_parts
from tutelage.report.gathering import Section
from tutelage.report.gathering.comparison import link
from tutelage.report.gathering.comparison_charts import Chart, table_charts
from tutelage.report.reading import Reading

_DRAWN = ("curves", "points")
"""Tables with a row a point, which are for drawing from alone."""
_MORE = ConfigDict(extra="allow")


@with_config(_MORE)
class CellShape(TypedDict, total=False):
    """A cell as table.json has it."""

    value: int | float | str | None
    interval: tuple[float, float] | None
    mark: str
    note: str
    digits: int


@with_config(_MORE)
class TableShape(TypedDict):
    """A table as table.json and cost.json have it."""

    name: str
    title: str
    columns: list[str]
    rows: list[list[CellShape]]
    notes: list[str]


def is_comparison(folder: Path) -> bool:
    """Whether `tutelage compare` began a comparison there."""
    return (folder / "comparison.json").is_file()


def find_comparisons(folder: Path) -> list[Path]:
    """The comparison in a folder, or those in the folders right below it, by their names."""
    return [folder] if is_comparison(folder) else sorted(path.parent for path in folder.glob("*/comparison.json"))


def gather(folder: Path, place: Path) -> Section:
    """The section of a comparison. place: the folder of the report, which links start from."""
    return Section(_comparison(folder, place))


def runs_of(folder: Path) -> list[Path]:
    """The folders of a comparison's runs that have begun, in the order of its rows."""
    found = _runs(_settings(Reading(folder)), folder, folder)
    return [Path(one["folder"]) for one in found if one["state"] != "not begun"]


def _comparison(folder: Path, place: Path) -> dict[str, Any]:
    reading = Reading(folder)
    settings = _settings(reading)
    tables = reading.value(folder / "table.json", list[TableShape])
    costs = reading.value(folder / "cost.json", list[TableShape])
    runs = _runs(settings, folder, place)
    if tables is None and not reading.notes:
        reading.note(folder / "table.json", "missing", "The tables are written when all runs have finished.")
    return {
        "name": folder.resolve().name,
        "folder": str(folder),
        "title": settings.get("title") or folder.resolve().name,
        "kind": settings.get("table"),
        "tables": [_shown(table) for table in tables or [] if table["name"] not in _DRAWN],
        "costs": [_shown(table) for table in costs or []],
        "charts": _charts(settings, tables or [], reading),
        "runs": runs,
        "cases": [found for run in runs if (found := _cases(reading, run)) is not None],
        "notes": [asdict(note) for note in reading.notes],
    }


def _settings(reading: Reading) -> Mapping[str, Any]:
    path = reading.folder / "comparison.toml"
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        reading.note(path, "missing", "What was to be compared is not known.")
    except (OSError, ValueError) as error:
        reading.note(path, "damaged", f"What was to be compared cannot be read: {error}")
    return {}


def _runs(settings: Mapping[str, Any], folder: Path, place: Path) -> list[dict[str, Any]]:
    """All runs that the comparison has, in the order of its rows; finished or not."""
    runs = []
    for row in _names(settings, "rows", []):
        for column in _names(settings, "columns", [""]):
            for seed in settings.get("seeds", [42]):
                run = run_folder(folder, row, column, seed)
                state = "finished" if _is_finished(run) else "begun" if run.is_dir() else "not begun"
                label = ", ".join(part for part in (row, column) if part)
                named = {"row": row, "column": column, "label": label, "seed": seed}
                runs.append({**named, "folder": str(run), "state": state, "report": link(run, place)})
    return runs


def _charts(settings: Mapping[str, Any], tables: Sequence[TableShape], reading: Reading) -> list[Chart]:
    try:
        return table_charts(str(settings.get("table")), str(settings.get("title", "")), tables)
    except KeyError as error:  # another version's table, with other columns: it is shown, and not drawn
        reading.note(reading.folder / "table.json", "damaged", f"It cannot be drawn: there is no column {error}.")
        return []


def _is_finished(run: Path) -> bool:
    return (run / "outcome.json").is_file() or (run / "teacher.json").is_file()


def _names(settings: Mapping[str, Any], what: str, default: list[str]) -> list[str]:
    return [str(one.get("name", "")) for one in settings.get(what, []) if isinstance(one, Mapping)] or default


def _shown(table: TableShape) -> dict[str, Any]:
    """A table with its cells as they read in table.md, and their numbers as they are."""
    return {**table, "rows": [[_cell(cell) for cell in row] for row in table["rows"]]}


def _cell(cell: CellShape) -> dict[str, Any]:
    """Without what is empty: most cells have a value and nothing else."""
    whole = Cell(
        cell.get("value"), cell.get("interval"), cell.get("mark", ""), cell.get("note", ""), cell.get("digits", 1)
    )
    parts = dict(zip(("text", "between", "mark", "note"), cell_parts(whole), strict=True))
    number = None if isinstance(whole.value, str) else whole.value
    found = {**parts, "number": number, "interval": whole.interval}
    return {name: value for name, value in found.items() if value not in ("", None)}


def _cases(reading: Reading, run: Mapping[str, Any]) -> dict[str, Any] | None:
    """Case studies of a run, as the analysis wrote them; of an older version's comparison their text alone."""
    folder = Path(run["folder"])
    studies = reading.value(folder / "cases.json", list[dict[str, Any]])
    if studies is not None:
        return {"label": run["label"], "seed": run["seed"], "studies": studies}
    try:
        text = (folder / "cases.md").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    return {"label": run["label"], "seed": run["seed"], "text": text}

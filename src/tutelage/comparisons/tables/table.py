"""Tables as plain values, and how they are written: Markdown to read, CSV to draw from, JSON for both."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from pydantic import TypeAdapter

from tutelage.errors import DataError
from tutelage.workspace import write_text

NOT_SIGNIFICANT = "n.s."
"""The mark of a difference that the data cannot tell from none."""

_LONGEST = 60
"""Rows that a table has at most in Markdown; a longer one is for drawing from, and stands in its CSV file alone."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One value. interval: its 95 % interval, in the same unit. mark: such as "n.s.". note: said of this value alone.

    digits: shown behind the point of a number that is not whole; the files for machines have all of them.
    """

    value: int | float | str | None = None
    interval: tuple[float, float] | None = None
    mark: str = ""
    note: str = ""
    digits: int = 1


@dataclass(frozen=True, slots=True)
class Table:
    """name: of its file. title, notes: above and below it. Every row has one cell a column."""

    name: str
    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    notes: tuple[str, ...] = ()


def to_markdown(table: Table) -> str:
    """A heading, the table and its notes. What stands in a cell can be no part of the table's own form."""
    if len(table.rows) > _LONGEST:
        body = [f"{len(table.rows)} rows, in `{table.name}.csv`."]
    else:
        numbers = [
            all(isinstance(row[place].value, int | float | None) for row in table.rows)
            for place in range(len(table.columns))
        ]
        lines = [table.columns, *([cell_text(cell) for cell in row] for row in table.rows)]
        body = ["| " + " | ".join(_escaped(text) for text in line) + " |" for line in lines]
        body.insert(1, "| " + " | ".join("---:" if number else "---" for number in numbers) + " |")
    notes = [f"- {' '.join(note.split())}" for note in table.notes]
    return "\n".join([f"## {' '.join(table.title.split())}", "", *body, *(["", *notes] if notes else [])]) + "\n"


def cell_text(cell: Cell) -> str:
    """A cell as it is read: "43.0 (33.7 to 52.8) n.s."; a dash where there is no value."""
    return " ".join(part for part in cell_parts(cell) if part)


def cell_parts(cell: Cell) -> tuple[str, str, str, str]:
    """A cell's value, interval, mark and note as they are read; empty where there is none but for the value."""
    low_high = (
        "" if cell.interval is None else "({} to {})".format(*(_number(end, cell.digits) for end in cell.interval))
    )
    value = (
        "-" if cell.value is None else cell.value if isinstance(cell.value, str) else _number(cell.value, cell.digits)
    )
    return value, low_high, cell.mark, cell.note


def _number(value: float, digits: int) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:,.{digits}f}"


def _escaped(text: str) -> str:
    for sign in "\\|<`*_":
        text = text.replace(sign, f"\\{sign}")
    return " ".join(text.split())


def to_csv(table: Table) -> str:
    """One line a row; behind a column with intervals, marks or notes there are columns for these."""
    headings: list[str] = []
    lines: list[list[object]] = [[] for _ in table.rows]
    for place, heading in enumerate(table.columns):
        cells = [row[place] for row in table.rows]
        parts: list[tuple[str, list[object]]] = [(heading, [cell.value for cell in cells])]
        if any(cell.interval for cell in cells):
            parts.append((f"{heading}, low", [cell.interval and cell.interval[0] for cell in cells]))
            parts.append((f"{heading}, high", [cell.interval and cell.interval[1] for cell in cells]))
        for what in ("mark", "note"):
            if any(getattr(cell, what) for cell in cells):
                parts.append((f"{heading}, {what}", [getattr(cell, what) for cell in cells]))
        for name, values in parts:
            headings.append(name)
            for line, value in zip(lines, values, strict=True):
                line.append("" if value is None else value)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(headings)
    writer.writerows(lines)
    return text.getvalue()


def to_json(tables: Sequence[Table]) -> str:
    """All of it: what `Table` and `Cell` say, in lists."""
    return json.dumps([asdict(table) for table in tables], indent=1, ensure_ascii=False)


def read_tables(path: Path) -> list[Table]:
    """The tables that `to_json` wrote. Raises: DataError if the file is missing or damaged."""
    try:
        return _TABLES.validate_json(path.read_bytes())
    except (OSError, ValueError) as error:
        raise DataError(f"The tables in {path} cannot be read: {error}.") from None


_TABLES = TypeAdapter(list[Table])


def write_tables(folder: Path, tables: Sequence[Table]) -> None:
    """table.md and table.json with all tables, table.csv with the first one, and NAME.csv with each other one."""
    write_text(folder / "table.md", "\n".join(to_markdown(table) for table in tables))
    write_text(folder / "table.json", to_json(tables))
    for number, table in enumerate(tables):
        write_text(folder / ("table.csv" if number == 0 else f"{table.name}.csv"), to_csv(table))

"""Tables as files: nothing that stands in a cell can break them."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest

from tutelage.comparisons.tables.table import Cell, Table, read_tables, to_csv, to_markdown, write_tables
from tutelage.errors import DataError

TABLE = Table(
    "small",
    "A title",
    ("method", "accuracy", "tokens"),
    (
        (Cell("a | b\nc <x> *"), Cell(43.04, (33.71, 52.8), "n.s.", "p = 0.2"), Cell(12345)),
        (Cell("d"), Cell(), Cell(0)),
    ),
    ("One note.",),
)


def test_markdown_is_one_line_a_row() -> None:
    assert to_markdown(TABLE).splitlines() == [
        "## A title",
        "",
        "| method | accuracy | tokens |",
        "| --- | ---: | ---: |",
        "| a \\| b c \\<x> \\* | 43.0 (33.7 to 52.8) n.s. p = 0.2 | 12,345 |",
        "| d | - | 0 |",
        "",
        "- One note.",
    ]


def test_csv_has_everything_apart() -> None:
    first, second = csv.DictReader(io.StringIO(to_csv(TABLE)))
    assert first == {
        "method": "a | b\nc <x> *",
        "accuracy": "43.04",
        "accuracy, low": "33.71",
        "accuracy, high": "52.8",
        "accuracy, mark": "n.s.",
        "accuracy, note": "p = 0.2",
        "tokens": "12345",
    }
    assert (second["accuracy"], second["tokens"]) == ("", "0")


def test_a_long_table_stands_in_its_own_file_alone(tmp_path: Path) -> None:
    long = Table("curves", "Curves", ("step",), tuple((Cell(step),) for step in range(100)))
    write_tables(tmp_path, [TABLE, long])
    text = (tmp_path / "table.md").read_text()
    assert text.startswith("## A title\n")
    assert "100 rows, in `curves.csv`." in text
    assert (tmp_path / "curves.csv").read_text().splitlines() == ["step", *map(str, range(100))]
    assert [one["name"] for one in json.loads((tmp_path / "table.json").read_text())] == ["small", "curves"]


def test_what_was_written_as_json_is_read_again(tmp_path: Path) -> None:
    write_tables(tmp_path, [TABLE, TABLE])
    again = read_tables(tmp_path / "table.json")
    assert again == [TABLE, TABLE]
    assert to_markdown(again[0]) == to_markdown(TABLE)  # a whole number stays one
    (tmp_path / "table.json").write_text('[{"name": 1}]')
    for path in (tmp_path / "table.json", tmp_path / "none.json"):
        with pytest.raises(DataError, match="cannot be read"):
            read_tables(path)

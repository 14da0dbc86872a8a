"""Settings are chosen by what was held out, and the test stays unseen."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.comparisons.conftest import Write
from tutelage.comparisons.compare import compare
from tutelage.comparisons.tables.table import to_markdown
from tutelage.errors import RecipeError
from tutelage.workspace import read_json


def test_settings_stand_by_their_held_out_accuracy_and_no_word_is_said_of_the_test(
    write: Write, tmp_path: Path
) -> None:
    rows = [("untrained", "untrained", []), ("one step", "distillation", ["study.steps=1"]), ("answers", "answers", [])]
    settings, path = write(rows, "rounds.limit=1", table="tuning")
    [table] = compare(settings, path, tmp_path / "out")
    results = {one["row"]: one for one in read_json(tmp_path / "out" / "results.json")}
    for row, line in zip(rows, table.rows, strict=True):
        name, accuracy, change, by_round, steps, _ = line
        rounds = results[row[0]]["rounds"]
        kept = rounds[results[row[0]]["kept"]]["held_out"]
        assert (name.value, accuracy.value) == (row[0], 100 * kept["accuracy"])
        assert accuracy.interval == pytest.approx([100 * end for end in kept["interval"]])
        assert by_round.value == ", ".join(f"{100 * one['held_out']['accuracy']:.1f}" for one in rounds)
        assert steps.value == results[row[0]]["steps"]
        assert (change.value is None) == (name.value == "untrained")
    assert len(str(table.rows[1][3].value).split(", ")) == 2
    assert any("left out on purpose" in note for note in table.notes)
    assert "test split" not in to_markdown(table)
    assert not (tmp_path / "out" / "cost.md").exists()


def test_the_teacher_has_no_held_out_accuracy(write: Write, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="no student, round or lesson"):
        write([("Large", "teacher", [])], table="tuning")


def test_where_nothing_is_held_out_there_is_nothing_to_choose_by(write: Write, tmp_path: Path) -> None:
    rows = [("plain", "untrained", []), ("other", "untrained", ["prompt.count=0"])]
    settings, path = write(
        rows, "task.held_out=0", "task.held_out_minimum=0", "task.held_out_questions=1", table="tuning"
    )
    [table] = compare(settings, path, tmp_path / "out")
    assert [[cell.value for cell in line[1:4]] for line in table.rows] == [[None, None, "-"]] * 2

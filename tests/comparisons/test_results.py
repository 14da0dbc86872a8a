"""What a run came to, read from its folder."""

from __future__ import annotations

import shutil
from pathlib import Path

from tutelage.comparisons.results import is_finished, read_result
from tutelage.workspace import write_json

SCORE = {"accuracy": 0.25, "correct": 2, "total": 8, "interval": [0.1, 0.6]}


def test_a_students_result_is_its_own_beside_its_teachers(recipe: Path, tmp_path: Path) -> None:
    shutil.copy(recipe, tmp_path / "recipe.toml")
    write_json(tmp_path / "teacher.json", {**SCORE, "accuracy": 1.0, "correct": 8, "teacher": "m", "unanswered": 0})
    assert is_finished(tmp_path, "teacher")
    assert not is_finished(tmp_path, "distillation")
    write_json(tmp_path / "outcome.json", {"best_round": 1, "test": SCORE})
    (tmp_path / "journal.jsonl").touch()
    assert is_finished(tmp_path, "distillation")
    result = read_result(tmp_path, "row", "", 1, "distillation")
    assert result.kept == 1
    assert result.score is not None
    assert result.score.accuracy == 0.25

"""The made-up run that the report's benchmark writes."""

from __future__ import annotations

from pathlib import Path

from measuring.runs import make_run
from tutelage.report.gathering.questions import gather
from tutelage.report.reading import Reading


def test_a_made_up_run_reads_like_one_of_a_teacher(tmp_path: Path) -> None:
    make_run(tmp_path / "run", questions=30, rounds=2, attempts=3)
    reading = Reading(tmp_path / "run")
    section = gather(reading)
    assert section is not None
    assert reading.notes == []
    assert len(section.data["rows"]) == 30
    assert section.data["students"] == [0, 1, 2]
    assert section.data["left_out"] == 0
    assert len(section.data["shared"]) > 4  # the teacher's demonstrations
    names = [status["id"] for status in section.data["statuses"]]
    assert any(names[place] == "wrong-step" for row in section.data["rows"] for place in row[6])

"""status.json: what a run says of itself while it goes, and how it ended."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import pytest

from tests.rounds.small import tutor_run
from tutelage.errors import TeacherError
from tutelage.progress import progress
from tutelage.recipes import read_recipe
from tutelage.rounds import learn
from tutelage.rounds.status import StatusFile


def read(path: Path) -> dict[str, Any]:
    return dict(json.loads(path.read_text()))


def test_a_run_tells_its_stages_in_order_and_its_end(
    recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[tuple[str, int, str]] = []
    write = StatusFile._write

    def noted(file: StatusFile, error: str | None = None) -> None:
        write(file, error)
        found = read(tmp_path / "run" / "status.json")
        told.append((found["state"], found["round"], found["stage"]))

    monkeypatch.setattr(StatusFile, "_write", noted)
    learn(read_recipe(recipe, ["rounds.limit=1"]), tmp_path / "run").workspace.release()
    stages = ["exam", "mistakes", "feedback", "lesson", "study", "evaluation"]
    order = [(0, "evaluation"), *((1, stage) for stage in stages)]
    assert list(dict.fromkeys((number, stage) for _, number, stage in told)) == order
    assert [one[1:] for one in told if one[0] == "done"] == order
    assert told[-1] == ("finished", 1, "evaluation")


def test_how_far_a_stage_is_and_how_long_it_still_takes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, clock = tmp_path / "status.json", 0.0
    monkeypatch.setattr("tutelage.rounds.status.time.monotonic", lambda: clock)
    file = StatusFile(path)
    with file.during(2, "study"):
        with progress("Round 1  exam", 8, "answers", done=7) as advance:
            advance(1)
        with progress("Round 2  study", 100, "steps", done=20) as advance:
            for _ in range(5):
                clock += 2
                advance(4, note="loss 0.5")
            file._write()
            found = read(path)
    assert (found["state"], found["round"], found["stage"]) == ("running", 2, "study")
    assert (found["done"], found["total"], found["unit"], found["note"]) == (40, 100, "steps", "loss 0.5")
    assert (found["rate"], found["seconds_left"]) == (2, 30)
    assert read(path)["state"] == "done"
    assert not list(tmp_path.glob("*.partial"))


def test_what_comes_in_a_burst_counts_for_the_rate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, clock = tmp_path / "status.json", 0.0
    monkeypatch.setattr("tutelage.rounds.status.time.monotonic", lambda: clock)
    file = StatusFile(path)
    with file.during(1, "feedback"), progress("Round 1  feedback", 300, "requests") as advance:
        clock = 30
        for _ in range(150):  # a teacher that answers so many at a time
            advance(1)
            clock += 0.001
        file._write()
        found = read(path)
    assert found["rate"] == pytest.approx(5, rel=0.01)
    assert found["seconds_left"] == pytest.approx(30, rel=0.01)


@pytest.mark.parametrize(
    ("raised", "state", "error"),
    [(KeyboardInterrupt(), "stopped", None), (TeacherError("No key.\nSet one."), "failed", "No key. Set one.")],
)
def test_how_a_stage_ended_instead(tmp_path: Path, raised: BaseException, state: str, error: str | None) -> None:
    file = StatusFile(tmp_path / "status.json")
    with pytest.raises(type(raised)), file.during(1, "feedback"):
        raise raised
    found = read(tmp_path / "status.json")
    assert (found["state"], found["round"], found["stage"], found["error"]) == (state, 1, "feedback", error)


def test_a_disk_that_cannot_be_written_ends_nothing(tmp_path: Path) -> None:
    done = []
    with StatusFile(tmp_path / "absent" / "status.json").during(1, "exam"):
        done.append(1)
    assert done


def test_nothing_outlasts_a_stage(recipe: Path, tmp_path: Path) -> None:
    run = tutor_run(recipe, tmp_path)
    with run.status.during(1, "exam"):
        assert any(thread.name == "status" for thread in threading.enumerate())
    assert not any(thread.name == "status" for thread in threading.enumerate())
    run.workspace.release()

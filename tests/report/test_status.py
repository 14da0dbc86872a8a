"""Where a run stands, by its files: hand-written ones, as a process leaves them however it ends."""

from __future__ import annotations

import fcntl
import json
import os
import socket
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tutelage.report.gathering.status import STAGES, gather
from tutelage.report.reading import Reading
from tutelage.workspace import write_json

NOBODY = 2**22 + 1
"""Above the highest process id of Linux."""
RESUME = "; `tutelage resume RUN` goes on."


def status(run: Path, **changes: Any) -> None:
    told: dict[str, Any] = {
        "state": "running",
        "round": 2,
        "stage": "study",
        "done": 40,
        "total": 1200,
        "unit": "steps",
        "rate": 2.0,
        "seconds_left": 580.0,
        "pid": NOBODY,
        "host": socket.gethostname(),
        "written": datetime.now(UTC).isoformat(),
    }
    write_json(run / "status.json", told | changes)


def sentence(run: Path) -> str:
    return str(gather(Reading(run)).data["sentence"]).replace(str(run), "RUN")


def lock(run: Path) -> Any:
    """As the process that works on it holds it; until the file is closed."""
    file = (run / ".lock").open("w")
    fcntl.flock(file, fcntl.LOCK_EX)
    return file


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """Of three rounds at most, with the journal of the first: its stages took 1, 2, ... 6 seconds."""
    (tmp_path / "recipe.toml").write_text("[rounds]\nlimit = 3\n")
    events: list[dict[str, Any]] = [
        {"event": event, "round": 1, "stage": stage, "seconds": float(place)}
        for place, stage in enumerate(STAGES, start=1)
        for event in ("begin", "end")
    ]
    lines: list[dict[str, Any]] = [
        {"time": ""} | event for event in [*events, {"event": "begin", "round": 2, "stage": "study"}]
    ]
    (tmp_path / "journal.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return tmp_path


def test_a_run_that_goes_on_says_how_long_it_still_takes(run: Path) -> None:
    status(run)
    with lock(run):
        assert sentence(run) == (
            "Round 2's study is under way: 40 of 1,200 steps, about 9 min 40 s left. The whole run takes at most about "
            "10 min 7 s more, going by round 1."
        )
        assert gather(Reading(run)).data["rest"] == {"seconds": 580 + 6 + 21, "basis": 1, "limit": 3}
        status(run, stage="feedback", done=None, total=None, seconds_left=None)
        assert gather(Reading(run)).data["rest"]["seconds"] == 3 + 4 + 5 + 6 + 21
        status(run, round=3, state="done", stage="evaluation")
        assert sentence(run) == "Round 3's evaluation is done, and the run goes on."


def test_a_run_without_a_finished_round_promises_nothing(run: Path) -> None:
    (run / "journal.jsonl").write_text("")
    status(run, round=1)
    with lock(run):
        assert "whole run" not in sentence(run)


def test_a_process_that_is_gone(run: Path) -> None:
    status(run)
    cut = "Stopped, or killed, in round 2's study at 40 of 1,200 steps" + RESUME
    assert sentence(run) == cut
    status(run, host="elsewhere")
    assert sentence(run).startswith("Round 2's study is under way: 40")  # its lock may not show here
    status(run, host="elsewhere", written=(datetime.now(UTC) - timedelta(hours=1)).isoformat())
    assert sentence(run) == cut
    (run / "status.json").unlink()  # an older version's
    assert sentence(run) == "Stopped, or killed, in round 2's study" + RESUME


@pytest.mark.parametrize(
    ("told", "said"),
    [
        ({"state": "stopped"}, "Stopped in round 2's study at 40 of 1,200 steps" + RESUME),
        ({"state": "done"}, "Stopped after round 2's study" + RESUME),
        ({"state": "failed", "error": "No key."}, "Failed in round 2's study at 40 of 1,200 steps: No key."),
        ({"state": "finished", "round": 3, "stage": "evaluation"}, "Finished after round 3."),
        ({"state": 3}, "Stopped, or killed, in round 2's study" + RESUME),  # damaged: the journal tells
    ],
)
def test_how_a_run_ended(run: Path, told: dict[str, Any], said: str) -> None:
    status(run, **told)
    assert sentence(run) == said


def test_an_end_holds_while_its_process_lives_and_is_over_when_another_begins(run: Path) -> None:
    write_json(run / "outcome.json", {"last_round": 2, "best_round": 2, "reason": "limit: 2 rounds"})
    with lock(run):
        status(run, state="finished", pid=os.getpid())
        assert sentence(run) == "Finished after round 2: limit: 2 rounds."
        status(run, state="finished")
        assert sentence(run) == "Starting."
    assert sentence(run) == "Finished after round 2: limit: 2 rounds."


def test_a_folder_in_which_nothing_has_been_done(tmp_path: Path) -> None:
    assert sentence(tmp_path).startswith("Nothing has been done in it yet")


def test_numbers_that_no_machine_has_are_no_fault(tmp_path: Path) -> None:
    status(tmp_path, state="finished", pid=10**30, written="0001-01-01")
    file = lock(tmp_path)
    assert sentence(tmp_path) == "Starting."
    file.close()

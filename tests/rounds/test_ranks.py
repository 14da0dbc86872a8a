"""Runs on several ranks: the same files as on one, whoever dies, and one message when something fails."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from tests.killed import Kill, run_all
from tests.rounds.small import finished_exam, tutor_run
from tutelage.config import LoraSettings
from tutelage.errors import StudentError, WorkspaceError
from tutelage.rounds.learn import go_on
from tutelage.rounds.study import train_student
from tutelage.workspace import read_json

SMALL = (
    "rounds.limit=1",
    "task.train_questions=10",
    "study.batch_size=4",
    "study.checkpoint_steps=1",
)


@pytest.fixture(autouse=True)
def one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that sums come out alike, and two ranks have a core each."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


def text_files(run: Path) -> dict[str, str]:
    """The lines and tables of a run, but for times, what tells of the machine, and the losses of a study."""
    skip = {"journal.jsonl", "status.json", "environment.json", "training.jsonl", "round.json"}
    found = {path.relative_to(run).as_posix(): path for path in run.rglob("*.json*") if path.name not in skip}
    return {name: path.read_text() for name, path in sorted(found.items())}


def losses(run: Path) -> list[float]:
    return [json.loads(line)["loss"] for line in (run / "round-1" / "training.jsonl").read_text().splitlines()]


def test_ranks_do_what_one_does_whoever_dies_and_say_once_what_fails(recipe: Path, tmp_path: Path) -> None:
    """Both of the ways to study: in shards, and, before and after a kill, with the whole student on each rank."""
    whole, two, cut, adapter, adapters = (tmp_path / name for name in ("whole", "two", "cut", "adapter", "adapters"))
    learn, ranks = ["learn", str(recipe), *SMALL, "--out"], ["--gpus", "2"]
    steps: list[tuple[list[str], Kill | None]] = [
        ([*learn, str(whole)], None),
        ([*learn, str(two), *ranks, "study.sharding=full"], None),
        ([*learn, str(cut), *ranks], ("tutelage.rounds.answering._Grading.wait_for", 2, 1)),  # in the exam of round 1
        (["resume", str(cut), *ranks], ("tutelage.student.training.stepping.StudyStep.take", 2, 1)),
        (["resume", str(cut)], None),
        ([*learn, str(tmp_path / "too-long"), *ranks, "evaluation.max_new_tokens=600"], None),
        (["resume", str(whole), *ranks, "student.model=other"], None),
        ([*learn, str(tmp_path / "odd"), *ranks], ("tutelage.rounds.answering._Grading.share", 1, 1, "Odd.")),
        ([*learn, str(adapter), "lora.r=4"], None),
        ([*learn, str(adapters), *ranks, "lora.r=4", "study.sharding=full"], None),
    ]
    codes, said = run_all(steps)
    assert codes == [0, 0, 128 + 9, 128 + 9, 0, 2, 2, 2, 0, 0], said
    assert said.count("rank 1 was killed by signal 9") == 2
    assert said.count("do not fit the model's context") == 1  # though it fails on both
    assert said.count("student.model cannot change") == 1
    assert said.count("Error on rank 1: Odd.") == 1
    assert said.count("Error") == 5
    assert "Traceback" not in said
    expected = text_files(whole)
    assert losses(adapters) == pytest.approx(losses(adapter), rel=1e-5)
    assert (adapters / "round-1" / "student" / "adapter_model.safetensors").is_file()
    for run in (two, cut):
        assert text_files(run) == expected
        assert losses(run) == pytest.approx(losses(whole), rel=1e-5)
    assert read_json(two / "environment.json")["world_size"] == 2
    assert '"stage": "study", "ranks": 2' in (cut / "journal.jsonl").read_text()


def test_a_student_that_is_to_lie_in_shards_never_lies_on_a_gpu_as_a_whole(
    recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tutor_run(recipe, tmp_path, "study.sharding=full")
    run.recipe = run.recipe.model_copy(
        update={"student": run.recipe.student.model_copy(update={"device": "meta"})}  # for want of a GPU
    )
    monkeypatch.setattr("tutelage.distributed.world_size", lambda: 2)
    for lora in (None, LoraSettings(r=4)):
        run.recipe = run.recipe.model_copy(update={"lora": lora})
        learner = run.learner(0)
        assert learner.device == torch.device("meta")
        assert {weight.device for weight in learner.model.parameters()} == {torch.device("cpu")}


def test_what_cannot_lie_in_shards_shows_before_the_first_exam(
    recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tutor_run(recipe, tmp_path, "study.sharding=full", "lora.quantize=true")
    monkeypatch.setattr("tutelage.distributed.world_size", lambda: 2)
    with pytest.raises(StudentError, match="4 bits"):
        go_on(run)
    assert not run.round(0).answers.exists()


def test_a_rank_that_does_not_see_the_lesson_asks_nobody_for_one(recipe: Path, tmp_path: Path) -> None:
    run = finished_exam(recipe, tmp_path, 1)
    with pytest.raises(WorkspaceError, match=r"lesson\.jsonl cannot be read"):
        train_student(run, 1)
    assert not run.round(1).feedback.exists()


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "tutelage", *arguments]


@pytest.mark.parametrize("how", ["ctrl-c", "kill -9 of the launcher"])
def test_nothing_is_left_of_ranks_that_are_stopped(how: str, recipe: Path, tmp_path: Path) -> None:
    """Through the real launcher, with the exam so long that nothing else ends it."""
    arguments = ["learn", str(recipe), "--out", str(tmp_path / "run"), "--gpus", "2", "exam.attempts=2000"]
    started = command(*arguments)
    if how != "ctrl-c":  # in the background of a script, where SIGINT, which torch has its death send, is ignored
        started = ["sh", "-c", "trap '' INT; exec \"$@\"", "sh", *started]
    process = subprocess.Popen(started, stderr=subprocess.PIPE, text=True, start_new_session=True)
    wanted = tmp_path / "run" / "round-1" / "exam.jsonl.unfinished-1"
    deadline = time.monotonic() + 120
    while not wanted.is_file() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    assert wanted.is_file()
    if how == "ctrl-c":
        os.killpg(process.pid, signal.SIGINT)
    else:
        process.kill()
    _, errors = process.communicate(timeout=60)
    assert process.returncode == (130 if how == "ctrl-c" else -9)
    assert errors.count("tutelage resume") == (how == "ctrl-c")
    assert "Traceback" not in errors
    while _is_there(process.pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not _is_there(process.pid)


def _is_there(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True

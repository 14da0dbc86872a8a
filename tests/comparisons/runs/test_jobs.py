"""Several runs of a comparison at a time."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import IO, Any

import pytest

from tests.comparisons.conftest import Write
from tests.comparisons.runs.played import Step, run_all
from tests.comparisons.test_command import run
from tests.comparisons.test_compare import LONG, taken
from tests.openai_server import OpenAIServer
from tutelage import locks, processes
from tutelage.baselines import METHODS, Method
from tutelage.comparisons.compare import compare
from tutelage.comparisons.results import RunResult, TeacherUse
from tutelage.comparisons.runs.crew import Crew, _Worker
from tutelage.comparisons.runs.grid import Given, plan
from tutelage.comparisons.runs.worker import inherited, play_here, variables_of
from tutelage.comparisons.settings import ComparisonSettings
from tutelage.comparisons.shared.claims import claim_of, claimed, claims_folder, drop_claims
from tutelage.comparisons.shared.dependencies import Key
from tutelage.comparisons.shared.taking import link_all
from tutelage.errors import RecipeError, WorkspaceError
from tutelage.recipes import read_recipe
from tutelage.rounds.run import Run
from tutelage.workspace import Workspace, read_json

ROWS: list[tuple[str, str, list[str]]] = [
    ("one", "distillation", []),
    ("star", "star", []),
    ("heavy", "distillation", ["study.lambda=0.9"]),
    ("cot", "cot", []),
]
BOTH = {"exam 1", "mistakes 1", "lesson 1"}
"""What "one" and "heavy" have in common; all that ask share the rest."""


class Asked:
    """A comparison file whose rows ask a server of their own."""

    def __init__(self, write: Write, name: str, server: OpenAIServer) -> None:
        teacher = ["teacher.kind=openai", "teacher.model=m", f"teacher.base_url={server.url}", "teacher.replies=2"]
        _, path = write(ROWS, *teacher, *LONG, "rounds.limit=1", "evaluation.batch_size=8")
        self.file = path.rename(path.with_name(f"{name}.toml"))
        self.folder = path.parent / name / "out"
        self.server = server

    def taken(self, row: str) -> set[str]:
        return taken(self.folder / "runs" / row / "seed-1")

    def numbers(self, *without: str) -> list[Any]:
        """The results but for what depends on the clock, on who was first, or on where the folder is."""
        apart = ("taken", "seconds", "provenance", "cost", *without)
        found = read_json(self.folder / "results.json")
        return [{name: value for name, value in one.items() if name not in apart} for one in found]


def test_what_runs_at_the_same_time_comes_to_the_same_and_is_paid_once(write: Write, tmp_path: Path) -> None:
    rationales, end = "tutelage.baselines.star._rationales", "tutelage.comparisons.runs.crew.Crew._end"
    log = tmp_path / "requests.jsonl"
    with contextlib.ExitStack() as exits:
        delays = {"alone": 0.0, "together": 0.3, "cut": 0.3, "stopped": 1.0}
        servers = {name: OpenAIServer(delay=delay) for name, delay in delays.items()}
        servers["stopped"].log = log
        alone, together, cut, stopped = (
            Asked(write, name, exits.enter_context(server)) for name, server in servers.items()
        )
        codes, said = run_all(
            Step(alone.file, alone.folder, 1),
            Step(together.file, together.folder, 4),
            Step(cut.file, cut.folder, arm=(rationales, 1)),  # kills the run of "star"
            Step(cut.file, cut.folder, arm=(rationales, 1, 0, "No such luck.")),
            Step(cut.file, cut.folder, arm=(end, 1)),  # kills the command itself
            Step(cut.file, cut.folder),
            Step(stopped.file, stopped.folder, 4, interrupt=(log, 4)),
            Step(stopped.file, stopped.folder, 1),
        )
    assert codes == [0, 0, 2, 2, -9, 0, 130, 0], said
    assert alone.numbers() == together.numbers() == cut.numbers()
    assert alone.numbers("teacher") == stopped.numbers("teacher")  # another row may have been stopped while it asked
    assert [len(one.server.requests) for one in (alone, together, stopped)] == [4, 4, 4]
    assert stopped.server.broken == 0  # replies under way at a Ctrl-C were waited for: it came to each run once
    one, heavy, cot, star = (together.taken(row) for row in ("one", "heavy", "cot", "star"))
    assert (one & BOTH == set(), heavy & BOTH == BOTH) in ((True, True), (False, False))
    assert sum("feedback 1" in row for row in (one, heavy, cot)) == 2
    assert sum("evaluation 0" in row for row in (one, heavy, cot, star)) == 3
    assert not (together.folder / "claims").exists()
    check_what_was_said(said)


def check_what_was_said(said: str) -> None:
    said = " ".join(said.split())  # it is wrapped, as for a terminal
    assert "star, seed 1 failed after" in said
    assert "No further run begins; the 1 at work go on to their ends. Small: one, seed 1 has ended after" in said
    assert re.search(
        r"Error: The process of star, seed 1 was killed by signal 9; what it said last is in \S+/star-seed-1", said
    )
    assert "Error: No such luck." in said
    # Of "cut": two runs before each fault, and in the end the one that was cut off with its command.
    *_, third, last, _stopped = said.split("Small: runs are made ")
    assert [part.count("has begun") for part in (third, last)] == [2, 1]
    assert "Traceback" not in said


def test_a_run_in_a_process_of_its_own(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    write([("plain", "untrained", ["evaluation.max_new_tokens=8"])])
    monkeypatch.setattr("tutelage.comparisons.runs.crew.TELL_SECONDS", 1.0)
    assert run(monkeypatch, tmp_path, "methods.toml", "--out", "out", "--jobs", "2") == 0
    told = capfd.readouterr()
    assert "| plain | 0.0 (0.0 to 49.0) |" in told.out
    assert "plain, seed 1: starting\n" in told.err
    assert re.search(r"plain, seed 1 has ended after \d+ s\n$", told.err)
    [log] = (tmp_path / "out" / "jobs").iterdir()
    lines = log.read_text()
    assert log.name == "plain-seed-1.log"
    assert "Round 0  evaluation" in lines
    assert "Loading weights" not in lines  # the libraries' bars


def test_ctrl_c_does_not_reach_a_process_that_is_starting() -> None:
    """It hears of it from the crew; what it imports takes seconds, in which Ctrl-C would end it with a traceback."""
    waits = 'import os, sys, time; os.write(1, b"!"); sys.stdin.read()'
    with processes.deaf_to_ctrl_c():
        child = subprocess.Popen([sys.executable, "-c", waits], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert child.stdout is not None
    child.stdout.read(1)
    child.send_signal(signal.SIGINT)
    child.communicate()
    assert child.returncode == 0
    with pytest.raises(KeyboardInterrupt), processes.deaf_to_ctrl_c():
        os.kill(os.getpid(), signal.SIGINT)  # heard when it may be


def test_an_error_is_told_though_the_disk_of_the_log_is_full(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_given: object) -> None:
        raise WorkspaceError("No room.")

    settings, _ = write([("plain", "untrained", [])])
    monkeypatch.setattr("tutelage.comparisons.runs.worker.play", fails)
    told, tell = multiprocessing.Pipe(duplex=False)
    work = (tell, Path("/dev/full"), settings, plan(settings, tmp_path)[0], Given(), tmp_path, None)
    worker = multiprocessing.get_context("fork").Process(target=play_here, args=work)
    worker.start()
    worker.join()
    assert worker.exitcode == 2
    assert told.poll()
    assert str(told.recv()) == "No room."


def test_how_many_at_a_time(write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings, path = write([("plain", "untrained", [])])
    with pytest.raises(RecipeError, match=r"--jobs 0: .* Take 1 or more"):
        compare(settings, path, tmp_path / "out", jobs=0)
    monkeypatch.setattr("tutelage.comparisons.compare.world_size", lambda: 2)
    with pytest.raises(RecipeError, match="--jobs 2, but a launcher has started 2 processes"):
        compare(settings, path, tmp_path / "out", jobs=2)
    assert not (tmp_path / "out").exists()


def test_rows_wait_for_the_one_that_decides_how_long_they_study(write: Write, tmp_path: Path) -> None:
    rows: list[tuple[str, str, list[str]]] = [("answers", "answers", []), ("ours", "distillation", [])]
    settings, _ = write(rows, head='fair = "steps"\n')
    crew = crew_of(settings.model_copy(update={"seeds": (1, 2)}), tmp_path)
    assert next_three(crew) == ["ours, seed 1", "ours, seed 2", None]
    result = RunResult("ours", "", 2, "distillation", tmp_path, 1, None, "", (), 5, 5, TeacherUse(), 0.0, ())
    crew.results[plan(crew.settings, tmp_path)[2]] = result
    assert next_three(crew) == ["answers, seed 2", None, None]


def test_runs_with_little_in_common_begin_first(write: Write, tmp_path: Path) -> None:
    settings, _ = write([("a", "distillation", []), ("b", "cot", [])])
    crew = crew_of(settings.model_copy(update={"seeds": (1, 2, 3)}), tmp_path)
    first, *_ = plan(crew.settings, tmp_path)
    crew._running.append(_Worker(first, 0, multiprocessing.Process(), multiprocessing.Pipe()[0], 0.0))
    crew._waiting.remove(first)
    assert next_three(crew) == ["a, seed 2", "b, seed 2", "a, seed 3"]


def crew_of(settings: ComparisonSettings, folder: Path) -> Crew:
    crew = Crew(settings, Given(), folder, 4, {})
    crew._waiting = plan(settings, folder)
    return crew


def next_three(crew: Crew) -> list[str | None]:
    return [None if job is None else job.name for job in (crew._next(), crew._next(), crew._next())]


def test_sigterm_ends_a_command_as_ctrl_c_does(write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings, _ = write([("plain", "untrained", [])])
    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr(Crew, "_begin", lambda _crew, _job: os.kill(os.getpid(), signal.SIGTERM))
    with pytest.raises(KeyboardInterrupt):
        Crew(settings, Given(), tmp_path, 2, {}).play(plan(settings, tmp_path))
    assert signal.getsignal(signal.SIGTERM) == before


def test_a_gpu_for_each_run(recipe: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def gpus(*overrides: str) -> list[str | None]:
        found = read_recipe(recipe, overrides)
        return [variables_of(place, 3, found).get("CUDA_VISIBLE_DEVICES") for place in range(3)]

    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    assert gpus("student.device=auto") == ["0", "1", "0"]
    assert gpus("student.device=cuda:1") == [None, None, None]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5, 3")
    assert gpus("student.device=cuda") == ["5", "3", "5"]
    with inherited({"CUDA_VISIBLE_DEVICES": "3", "NO_SUCH": "1"}):
        assert (os.environ["CUDA_VISIBLE_DEVICES"], os.environ["NO_SUCH"]) == ("3", "1")
    assert (os.environ["CUDA_VISIBLE_DEVICES"], os.environ.get("NO_SUCH")) == ("5, 3", None)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 1)
    assert gpus() == [None, None, None]

    monkeypatch.setattr("os.cpu_count", lambda: 16)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    shares = variables_of(0, 3, read_recipe(recipe))
    assert (shares["OMP_NUM_THREADS"], shares["TORCHINDUCTOR_COMPILE_THREADS"]) == ("5", "5")
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    shares = variables_of(0, 3, read_recipe(recipe))
    assert ("OMP_NUM_THREADS" in shares, shares["TORCHINDUCTOR_COMPILE_THREADS"]) == (False, "5")


def test_a_claim_is_waited_for_until_its_process_dies(tmp_path: Path) -> None:
    path = claims_folder(tmp_path) / "a-stage"
    there, here = os.pipe()
    child = os.fork()
    if child == 0:
        with claimed(path, lambda: None):
            os.write(here, b"!")
            time.sleep(60)
        os._exit(0)
    os.read(there, 1)
    waited: list[int] = []

    def on_wait() -> None:
        waited.append(child)
        os.kill(child, signal.SIGKILL)

    drop_claims(tmp_path)  # as another command does that has finished in the same folder
    with claimed(path, on_wait):
        pass
    with claimed(path, on_wait):
        pass
    assert waited == [child]
    os.waitpid(child, 0)
    drop_claims(tmp_path)
    assert not claims_folder(tmp_path).exists()


def test_a_claim_that_was_dropped_while_it_was_waited_for_is_taken_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else two would hold what has the same name."""
    path = claims_folder(tmp_path) / "a-stage"
    take = locks.take
    dropped: list[Path] = []

    def drops_before(file: IO[str]) -> bool:
        if not dropped:
            dropped.append(path)
            shutil.rmtree(path.parent)
        return take(file)

    monkeypatch.setattr(locks, "take", drops_before)
    with claimed(path, lambda: None), path.open() as file:
        assert not take(file)


def test_a_paid_teacher_is_asked_by_one_run_at_a_time(recipe: Path, tmp_path: Path) -> None:
    """Two seeds, or rows that ask for more replies, share what the cache has of the others'."""
    paid = ["teacher.kind=openai", "teacher.model=m", "teacher.base_url=http://localhost:1/v1"]
    teach, star, itself = METHODS["distillation"], METHODS["star"], METHODS["teacher"]

    def claim(method: Method, key: Key, *overrides: str) -> str:
        return claim_of(Run(Workspace(tmp_path), read_recipe(recipe, overrides)), method, key, "hash")

    ours = claim(teach, (1, "feedback"), *paid)
    assert ours.startswith("teacher-")
    assert claim(teach, (2, "feedback"), *paid, "seed=2", "teacher.replies=9") == ours
    assert claim(itself, (0, "evaluation"), *paid) == ours
    assert claim(teach, (1, "feedback"), *paid, "teacher.model=n") != ours
    unpaid = [claim(teach, (1, "exam"), *paid), claim(teach, (0, "evaluation"), *paid)]
    unpaid += [claim(star, (1, "feedback"), *paid), claim(teach, (1, "feedback"))]
    assert set(unpaid) == {"hash"}


def test_a_student_that_its_run_lets_go_of_meanwhile_is_not_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log, student = (tmp_path / name for name in ("training.jsonl", "student"))
    log.write_text("{}")
    student.mkdir()
    (student / "weights").write_text("1")
    targets = [tmp_path / "mine" / name for name in ("training.jsonl", "student")]
    assert link_all([log, student], targets)
    shutil.rmtree(tmp_path / "mine")

    def let_go(source: str, target: str) -> None:
        shutil.rmtree(student, ignore_errors=True)
        raise OSError

    monkeypatch.setattr("os.link", let_go)
    assert not link_all([log, student], targets)
    assert not any((tmp_path / "mine").iterdir())

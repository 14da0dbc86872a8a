"""What trackers are told: all of a run, in order, once, whatever stops the run or the tracker."""

from __future__ import annotations

import json
import sys
from collections import Counter
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from accelerate import PartialState

from tests.rounds.finished import begun_run
from tutelage.errors import RecipeError
from tutelage.recipes import read_recipe
from tutelage.records import Attempt
from tutelage.rounds import Run, learn, resume
from tutelage.rounds.run import open_run
from tutelage.rounds.study import read_training
from tutelage.rounds.tracking import Tracking, events, tracked
from tutelage.student.training.loop import Step
from tutelage.workspace import read_json, read_records

SHORT = ["task.train_questions=6", "task.held_out_questions=2", "task.test_questions=2", "exam.attempts=1"]
SHORT += ["exam.max_new_tokens=40", "evaluation.max_new_tokens=40", "study.steps=4", "rounds.limit=2"]
ONE = [*SHORT, "rounds.limit=1"]


class StandIn:
    """What there is of `wandb` as far as accelerate uses it; its network fails at the calls named in `failing`."""

    def __init__(self) -> None:
        self.begun: list[dict[str, Any]] = []
        self.told: list[tuple[int, dict[str, float]]] = []
        self.finished = 0
        self.failing: set[int] = set()
        self._calls = 0

    def init(self, **arguments: Any) -> StandIn:
        self.begun.append(arguments)
        return self

    def log(self, values: dict[str, float], step: int) -> None:
        self._calls += 1
        if self._calls in self.failing:
            raise ConnectionError("no route to host\nand more")
        assert step > max((told for told, _ in self.told), default=-1)  # it drops what comes out of order
        self.told.append((step, values))

    def finish(self) -> None:
        self.finished += 1


@pytest.fixture
def wandb(monkeypatch: pytest.MonkeyPatch) -> StandIn:
    stand_in, module = StandIn(), ModuleType("wandb")
    module.__spec__ = ModuleSpec("wandb", None)
    module.__dict__["init"] = stand_in.init
    monkeypatch.setitem(sys.modules, "wandb", module)
    return stand_in


def stop_after(step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C in the first study, after a step that trackers were told of and no checkpoint has."""
    tell = Tracking.tell_step

    def stop(self: Tracking, number: int, taken: Step, speed: float) -> None:
        tell(self, number, taken, speed)
        if taken.step == step:
            monkeypatch.setattr(Tracking, "tell_step", tell)
            raise KeyboardInterrupt

    monkeypatch.setattr(Tracking, "tell_step", stop)


def told_in_files(run: Run) -> dict[str, list[tuple[int, float]]]:
    """Each name's places and values as the run's files say."""
    found: dict[str, list[tuple[int, float]]] = {}
    for event in events(run):
        for name, value in event.values.items():
            found.setdefault(name, []).append((event.place, value))
    return found


def test_tensorboard_has_each_step_and_round_of_a_stopped_run_once(
    recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    monkeypatch.setattr(PartialState, "_shared_state", {})  # others in this process may have said who is who, for good
    stop_after(3, monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        learn(read_recipe(recipe, [*SHORT, "report_to=tensorboard"]), tmp_path / "run")
    run = resume(tmp_path / "run")
    assert not PartialState._shared_state  # whoever comes next is asked anew
    read = accumulator.EventAccumulator(str(tmp_path / "run" / "tensorboard"))
    read.Reload()
    expected = told_in_files(run)
    for name, pairs in expected.items():
        told = read.Scalars(name)
        assert [event.step for event in told] == [place for place, _ in pairs]
        assert [event.value for event in told] == pytest.approx([value for _, value in pairs])
    speeds = [name for name in read.Tags()["scalars"] if name not in expected]
    assert speeds == ["round_1/tokens_per_second", "round_2/tokens_per_second"]
    steps = read_training(run.round(2).training)
    assert expected["round_2/lm_loss"] == [(5 + step.step, step.lm_loss) for step in steps]
    assert [place for place, _ in expected["rounds/test_accuracy"]] == [0, 5, 10]
    exam = read_records(run.round(1).exam, Attempt)
    assert expected["rounds/error_rate"][0] == (5, sum(not attempt.correct for attempt in exam) / len(exam))


def test_a_tracker_that_fails_is_left_alone_and_told_the_rest_later(
    recipe: Path, tmp_path: Path, wandb: StandIn, capsys: pytest.CaptureFixture[str]
) -> None:
    wandb.failing = {3}
    run = learn(read_recipe(recipe, [*ONE, 'report_to=["wandb"]', "run_name=mine"]), tmp_path / "run")
    assert run.workspace.outcome.is_file()
    noted = " ".join(capsys.readouterr().err.split())
    assert noted.count("Note: wandb failed (ConnectionError: no route to host).") == 1
    assert [place for place, _ in wandb.told] == [0, 1]
    run.workspace.release()
    resume(tmp_path / "run", ["project=others"])
    assert [place for place, _ in wandb.told] == list(range(6))
    counted = Counter(name for _, values in wandb.told for name in values)
    assert {name: len(pairs) for name, pairs in told_in_files(run).items()}.items() <= counted.items()
    first, second = wandb.begun
    assert (first["project"], second["project"]) == ("tutelage", "others")
    assert first["id"] == second["id"] == read_json(tmp_path / "run" / "tracking.json")["id"]
    assert (first["name"], first["resume"], first["dir"]) == ("mine", "allow", str(tmp_path / "run"))
    assert first["config"]["study.lambda"] == 0.5


def test_a_tracker_named_later_is_told_from_the_beginning(recipe: Path, tmp_path: Path, wandb: StandIn) -> None:
    run = learn(read_recipe(recipe, ONE), tmp_path / "run")
    assert not (tmp_path / "run" / "tracking.json").exists()
    run.workspace.release()
    resume(tmp_path / "run", ["report_to=wandb"])
    assert [place for place, _ in wandb.told] == list(range(6))
    assert wandb.finished == 1


@pytest.mark.parametrize("left", ["", '{"id": "x"}', '{"id": "x", "told": {"wandb": "all"}}', "[]", "\\udc00"])
def test_a_lost_place_costs_no_run(
    recipe: Path, tmp_path: Path, wandb: StandIn, left: str, capsys: pytest.CaptureFixture[str]
) -> None:
    begun_run(recipe, tmp_path, 0).workspace.release()
    (tmp_path / "run" / "tracking.json").write_text(left)
    run = open_run(tmp_path / "run", ["report_to=wandb"])
    with tracked(run):
        pass
    assert "is damaged. The trackers are told all of this run anew." in " ".join(capsys.readouterr().err.split())
    assert read_json(run.workspace.tracking) == {"id": wandb.begun[0]["id"], "told": {"wandb": 0}}
    run.workspace.release()


def test_the_teachers_address_and_key_are_not_told(
    recipe: Path, tmp_path: Path, wandb: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_KEY", "sk-secret")
    monkeypatch.setattr(sys.modules["tutelage.rounds.learn"], "go_on", lambda run, _: run)
    teacher = ["teacher.kind=openai", "teacher.model=large", "teacher.base_url=http://10.0.0.7/v1"]
    learn(read_recipe(recipe, [*SHORT, *teacher, "teacher.api_key_env=MY_KEY", "report_to=wandb"]), tmp_path / "run")
    config = json.dumps(wandb.begun[0]["config"])
    assert "large" in config
    assert not any(told in config for told in ("10.0.0.7", "MY_KEY", "sk-secret"))


def test_what_cannot_report_is_said_before_anything_begins(
    recipe: Path, tmp_path: Path, wandb: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(StandIn, "init", lambda _self, **_: 1 / 0)
    sys.modules["wandb"].__dict__["init"] = wandb.init
    with pytest.raises(RecipeError, match=r"wandb.*could not begin: ZeroDivisionError.*report_to=none"):
        learn(read_recipe(recipe, [*SHORT, "report_to=wandb"]), tmp_path / "run")
    assert not (tmp_path / "run" / "round-0" / "evaluation.jsonl").exists()
    monkeypatch.setattr("tutelage.rounds.tracking.find_spec", lambda _: None)
    with pytest.raises(RecipeError, match=r"trackio, which is not installed: pip install trackio"):
        learn(read_recipe(recipe, [*SHORT, "report_to=trackio"]), tmp_path / "other")
    assert not (tmp_path / "other").exists()
    with pytest.raises(RecipeError, match="report_to"):
        read_recipe(recipe, ["report_to=comet"])
    assert read_recipe(recipe, ['report_to=["wandb", "wandb"]']).trackers == ("wandb",)


def test_trackio_has_each_step_and_round_once(
    recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "trackio"))
    pytest.importorskip("trackio", reason="Trackio is not installed: pip install trackio")
    from trackio.sqlite_storage import SQLiteStorage

    stop_after(3, monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        learn(read_recipe(recipe, [*SHORT, "report_to=trackio"]), tmp_path / "run")
    resume(tmp_path / "run")
    assert capsys.readouterr().out == ""
    name = f"run-{read_json(tmp_path / 'run' / 'tracking.json')['id']}"
    assert [row["step"] for row in SQLiteStorage.get_logs("tutelage", name)] == list(range(11))

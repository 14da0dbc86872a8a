"""A run's numbers in TensorBoard, Weights & Biases or Trackio, through accelerate's trackers.

The run's files hold the numbers; a tracker gets a copy. Each study step and each round has a place in one row, round 0
first, then the steps of round 1, round 1 itself, and so on. tracking.json says how far each tracker has come: a run
that goes on tells it the rest, nothing twice, and what an outage kept back as well.
"""

from __future__ import annotations

import contextlib
import json
import secrets
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

from accelerate import PartialState
from pydantic import ValidationError

from tutelage.config import Recipe, TrackerName
from tutelage.errors import RecipeError, WorkspaceError
from tutelage.progress import say
from tutelage.recipes import dotted
from tutelage.records import from_json
from tutelage.rounds.run import Run
from tutelage.student.training.loop import Step
from tutelage.workspace import disk_errors, read_json, replace_soon, unfinished

_PACKAGES: Mapping[TrackerName, tuple[str, ...]] = {
    "tensorboard": ("tensorboard", "tensorboardX"),
    "wandb": ("wandb",),
    "trackio": ("trackio",),
}


@dataclass(frozen=True, slots=True)
class Event:
    """What a tracker is told at once. place: in the run's row of them, from 0."""

    place: int
    values: dict[str, float]


def check_trackers(recipe: Recipe) -> None:
    """Raises: RecipeError if a tracker that the recipe names is not installed."""
    for name in recipe.trackers:
        if not any(find_spec(package) for package in _PACKAGES[name]):
            raise RecipeError(
                f"report_to names {name}, which is not installed: pip install {_PACKAGES[name][0]}, or take another, "
                'or report_to="none".'
            )


@contextlib.contextmanager
def tracked(run: Run) -> Iterator[Callable[[], None]]:
    """Tells the recipe's trackers of each study step, and of each round by the function that it yields.

    First they are told what they have missed. Raises: RecipeError if one is not installed, or cannot begin.
    """
    check_trackers(run.recipe)
    if not run.recipe.trackers:
        yield lambda: None
        return
    with _accelerate_knows_who_is_who():
        tracking = Tracking(run)
        run.on_step = tracking.tell_step
        try:
            tracking.catch_up()
            yield tracking.catch_up
        finally:
            run.on_step = None
            tracking.finish()


@contextlib.contextmanager
def _accelerate_knows_who_is_who() -> Iterator[None]:
    """Its trackers ask, and fail in a process that is alone and has not said so."""
    said = bool(PartialState._shared_state)
    PartialState(cpu=True)  # of no effect where it is said; else the device is no affair of a tracker
    try:
        yield
    finally:
        if not said:
            PartialState._reset_state()


def _notices(name: TrackerName) -> contextlib.AbstractContextManager[object]:
    """Trackio prints to standard output, which is for what a command was asked for."""
    return contextlib.redirect_stdout(sys.stderr) if name == "trackio" else contextlib.nullcontext()


class Tracking:
    """The trackers of an open run, and how far each has come. Raises: RecipeError if one cannot begin."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._path = run.workspace.tracking
        self._first_places: dict[int, int] = {}
        self._state = self._read()
        self._trackers = {name: self._begin(name) for name in run.recipe.trackers}
        self._save()

    def _read(self) -> dict[str, Any]:
        """How far the trackers have come; of a file that a power cut has emptied nothing, which costs no run."""
        found: Any = None
        if self._path.is_file():
            with contextlib.suppress(WorkspaceError):
                found = read_json(self._path)
            match found:
                case {"id": str(), "told": dict(told)} if all(isinstance(place, int) for place in told.values()):
                    return dict(found)
            say(f"Note: {self._path} is damaged. The trackers are told all of this run anew.")
        return {"id": secrets.token_hex(4), "told": {}}

    def catch_up(self) -> None:
        """Tells all that the run's files have and a tracker does not."""
        for event in events(self._run):
            self._tell(event)

    def tell_step(self, number: int, step: Step, tokens_per_second: float) -> None:
        """Tells of a step that was just taken."""
        if number not in self._first_places:
            self._first_places[number] = _first_place(self._run, number)
        values = _step_values(number, step) | {f"round_{number}/tokens_per_second": tokens_per_second}
        self._tell(Event(self._first_places[number] + step.step - 1, values))

    def finish(self) -> None:
        """Takes leave of the trackers."""
        for name in list(self._trackers):
            self._try(name, lambda tracker: tracker.finish())

    def _begin(self, name: TrackerName) -> Any:
        from accelerate.tracking import LOGGER_TYPE_TO_CLASS

        recipe, folder, unique = self._run.recipe, self._run.workspace.folder, self._state["id"]
        title, config = recipe.run_name or folder.resolve().name, _configuration(recipe)
        arguments: dict[TrackerName, dict[str, Any]] = {
            "tensorboard": {"run_name": "tensorboard", "logging_dir": str(folder)},
            "wandb": {
                **{"run_name": recipe.project, "name": title, "id": unique, "resume": "allow", "dir": str(folder)},
                **{"config": config, "allow_val_change": True},
            },
            # It knows a run by its name alone, which another folder may have as well.
            "trackio": {
                **{"run_name": recipe.project, "name": f"{title}-{unique}", "resume": "allow", "config": config},
            },
        }
        try:
            with _notices(name):
                tracker = LOGGER_TYPE_TO_CLASS[name](**arguments[name])
                tracker.start()
                if name == "tensorboard" and name not in self._state["told"]:
                    tracker.store_init_configuration(config)
        except Exception as error:  # the network's edge: what can fail there is without end
            raise RecipeError(
                f"{name}, which report_to names, could not begin: {_line(error)}. Mend that, or go on without it by "
                f"`tutelage resume {folder} report_to=none`."
            ) from error
        self._state["told"].setdefault(name, 0)
        return tracker

    def _tell(self, event: Event) -> None:
        for name in list(self._trackers):
            if event.place < self._state["told"][name]:
                continue
            if self._try(name, lambda tracker: tracker.log(event.values, step=event.place)):
                self._state["told"][name] = event.place + 1
                self._save()

    def _try(self, name: TrackerName, tell: Callable[[Any], None]) -> bool:
        """Whether a tracker took it. One that fails is left alone from then on, since the run is worth more."""
        try:
            with _notices(name):
                tell(self._trackers[name])
        except Exception as error:  # as in _begin
            del self._trackers[name]
            say(f"Note: {name} failed ({_line(error)}). The run goes on without it; `resume` will tell it the rest.")
            return False
        return True

    def _save(self) -> None:
        # Not flushed, as other files are: it is written at every step, and after a power cut a step told twice is all.
        with disk_errors(self._path):
            replace_soon(self._path, json.dumps(self._state) + "\n")


def events(run: Run) -> Iterator[Event]:
    """All that there is to tell of a run so far, by its files, in order."""
    number = first = 0
    while True:
        steps = _steps(run, number)
        for step in steps:
            yield Event(first + step.step - 1, _step_values(number, step))
        place = run.round(number)
        if not place.evaluation.is_file() or (number and not place.summary.is_file()):
            return
        yield Event(first + len(steps), _round_values(run, number))
        number, first = number + 1, first + len(steps) + 1


def _first_place(run: Run, number: int) -> int:
    """The place of a round's first step: behind the steps of the rounds before, and these rounds themselves."""
    return sum(len(_steps(run, earlier)) + 1 for earlier in range(number))


def _steps(run: Run, number: int) -> list[Step]:
    """A round's study steps; of one under way those that are known, up to a line that a kill has cut short."""
    path = run.round(number).training
    path = path if path.is_file() else unfinished(path)
    steps: list[Step] = []
    for line in path.read_bytes().splitlines() if path.is_file() else []:
        try:
            steps.append(from_json(Step, line))
        except ValidationError:
            break
    return steps


def _step_values(number: int, step: Step) -> dict[str, float]:
    names = ("loss", "lm_loss", "triplet_loss", "gradient_norm", "learning_rate")
    return {f"round_{number}/{name}": getattr(step, name) for name in names}


def _round_values(run: Run, number: int) -> dict[str, float]:
    """A round in numbers; without those that nobody knows, such as what a teacher without a network cost."""
    place = run.round(number)
    evaluation = read_json(place.evaluation)
    values: dict[str, Any] = {
        "round": number,
        "test_accuracy": evaluation["accuracy"],
        "held_out_accuracy": evaluation["held_out"]["accuracy"],
    }
    if number:
        summary = read_json(place.summary)
        exam, feedback = summary["exam"], summary["feedback"]
        values |= {name: exam.get(name) for name in ("error_rate", "mistakes")}
        values |= {name: feedback.get(name) for name in ("requests", "successes", "rationales")}
        values |= {f"teacher_{name}": feedback.get(name) for name in ("prompt_tokens", "completion_tokens", "cost")}
    return {f"rounds/{name}": float(value) for name, value in values.items() if value is not None}


def _configuration(recipe: Recipe) -> dict[str, bool | str | float | int | None]:
    """A recipe's keys as they stand on a command line, but for the teacher's address and where its key is found."""
    table = recipe.model_dump(mode="json", by_alias=True)
    for key in ("base_url", "api_key_env", "api_key_file"):
        table["teacher"].pop(key, None)
    # Values of the kinds that all trackers take.
    plain = (bool, str, float, int, type(None))
    return {key: value if isinstance(value, plain) else json.dumps(value) for key, value in dotted(table)}


def _line(error: Exception) -> str:
    """The first line of what an error says, and its kind."""
    said = str(error).strip().splitlines()
    return f"{type(error).__name__}: {said[0].rstrip('.')}" if said else type(error).__name__

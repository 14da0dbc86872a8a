"""What a run cost by its ledger, its journal and its evaluations."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tutelage.config import OpenAITeacherSettings
from tutelage.errors import WorkspaceError
from tutelage.evaluation.cost import Cost, DeviceTime, TeacherCost, cost, device_times, teacher_cost, whole_time
from tutelage.evaluation.significance import Paired, mcnemar
from tutelage.records import Attempt
from tutelage.rounds.run import Run
from tutelage.teacher.books.accounts import Totals, totals
from tutelage.teacher.books.ledger import Ledger
from tutelage.workspace import read_json, read_records

_NOTHING = DeviceTime({}, 0.0, 0)


@dataclass(frozen=True, slots=True)
class RunCost:
    """device: what the student's seconds are of, and how many of it worked at once; as environment.json has it.

    rounds: each against the one before. whole: the best round's student against the untrained one, for all that was
    spent, later rounds included.
    """

    device: str
    devices: int
    rounds: dict[int, Cost]
    whole: Cost


@dataclass(frozen=True, slots=True)
class Spent:
    """What a run spent so far, with all its rounds. device, devices: as in `RunCost`."""

    device: str
    devices: int
    teacher: TeacherCost
    time: DeviceTime


def spent(run: Run) -> Spent:
    """Of a run that may still be under way. Raises: WorkspaceError if its folder is damaged."""
    device, devices = _devices(run)
    times = device_times(_journal(run), lambda number: _waiting(run, number), devices)
    return Spent(device, devices, teacher_cost(_asked(run).values()), whole_time(times.values()))


def run_cost(run: Run) -> RunCost:
    """What a finished run cost, round by round and as a whole. Judgements are not part of it: they teach nothing.

    Raises: WorkspaceError if the run has not ended.
    """
    if not run.workspace.outcome.is_file():
        raise WorkspaceError(
            f"{run.workspace.folder} has not ended. Finish it by `tutelage resume {run.workspace.folder}`."
        )
    outcome = read_json(run.workspace.outcome)
    device, devices = _devices(run)
    times = device_times(_journal(run), lambda number: _waiting(run, number), devices)
    asked = _asked(run)
    rounds = {}
    for number in range(outcome["last_round"] + 1):
        teacher = teacher_cost([asked[number]] if number in asked else [])
        gain = gained(run, number - 1, number) if number else None
        rounds[number] = cost(teacher, times.get(number, _NOTHING), gain)
    whole = cost(teacher_cost(asked.values()), whole_time(times.values()), gained(run, 0, outcome["best_round"]))
    return RunCost(device, devices, rounds, whole)


def _asked(run: Run) -> Mapping[int, Totals]:
    if not run.workspace.ledger.is_file():
        return {}
    with Ledger(run.workspace.ledger) as ledger:
        return totals(ledger)


def _waiting(run: Run, number: int) -> tuple[str, ...]:
    """A round's stages in which the device has nothing to do."""
    return ("feedback",) if isinstance(run.recipe.for_round(number).teacher, OpenAITeacherSettings) else ()


def _journal(run: Run) -> list[dict[str, Any]]:
    """The journal's events; a kill can leave half a line, which tells nothing. Single stages write none."""
    if not run.workspace.journal.is_file():
        return []
    events = []
    for line in run.workspace.journal.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            events.append(json.loads(line))
        except ValueError:
            continue
    return events


def _devices(run: Run) -> tuple[str, int]:
    environment = read_json(run.workspace.environment)  # the first versions told less of it
    gpus = [] if run.recipe.student.device.startswith("cpu") else environment.get("gpus", [])
    return str(gpus[0]) if gpus else "cpu", int(environment.get("world_size", 1))


def gained(run: Run, before: int, after: int) -> Paired | None:
    """A student against an earlier one on the test questions; None if one of them was not evaluated."""
    if not all(run.round(number).answers.is_file() for number in (before, after)):
        return None
    return mcnemar(_right(run, before), _right(run, after))


def _right(run: Run, number: int) -> dict[str, bool]:
    test = {question.id for question in run.questions["test"]}
    answers = read_records(run.round(number).answers, Attempt)
    return {attempt.question_id: attempt.correct for attempt in answers if attempt.question_id in test}

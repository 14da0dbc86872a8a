"""Where a run stands now: what is running and how long it still takes, or how it ended."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from pydantic import ConfigDict, with_config
from typing_extensions import TypedDict

from tutelage import locks
from tutelage.evaluation.cost import device_times
from tutelage.progress import duration, plain
from tutelage.report.gathering import Section
from tutelage.report.gathering.overview import events
from tutelage.report.reading import Reading

STAGES = ("exam", "mistakes", "feedback", "lesson", "study", "evaluation")
"""Of a round, in order."""
_UNDER_WAY = ("running", "done")
"""What a process tells of itself before its end."""
_LATELY = 60.0
"""Seconds since it last wrote within which a process counts as alive on a machine whose locks do not show here."""


@with_config(ConfigDict(extra="allow", allow_inf_nan=False))
class StatusShape(TypedDict, total=False):
    """status.json, as `rounds.status.Status` writes it; of runs without one, what the journal tells."""

    state: str
    round: int
    stage: str
    done: int | None
    total: int | None
    unit: str | None
    note: str | None
    rate: float | None
    seconds_left: float | None
    started: str
    error: str | None
    pid: int
    host: str
    written: str


def gather(reading: Reading) -> Section:
    """Where the run stands, as fields, and as a `sentence` that says all of it.

    state: "running"; "finished"; "stopped" by Ctrl-C; "failed"; "cut off", killed or by a power cut, as far as files
    tell; "waiting" between stages done by hand; "not begun". rest: seconds that the whole run takes at most, going by
    the round `basis`; None without such a round.
    """
    told = reading.value(reading.workspace.status, StatusShape) or _by_journal(reading)
    state = _state(reading, told)
    rest = _rest(reading, told) if state == "running" else None
    found: dict[str, Any] = {"state": state, **told, "rest": rest}
    return Section({**found, "state": state, "sentence": _sentence(reading, state, told, rest)})


def _by_journal(reading: Reading) -> StatusShape:
    noted = events(reading)
    if not noted:
        return {}
    last = noted[-1]
    begun = last["event"] == "begin"
    return {"state": "running" if begun else "done", "round": last["round"], "stage": last["stage"]}


def _state(reading: Reading, told: StatusShape) -> str:
    state = told.get("state")
    over = state in ("finished", "stopped", "failed")
    if locks.is_held(reading.folder):
        # Whoever has finished may still hold the lock; an end that an earlier process told is over with this one.
        return str(state) if over and _lives(told) else "running"
    if state == "running" and told.get("host") != socket.gethostname() and _age(told) < _LATELY:
        return "running"
    if over or state == "running":
        return str(state) if over else "cut off"
    if reading.outcome() is not None:
        return "finished"
    return "waiting" if state == "done" else "not begun"


def _lives(told: StatusShape) -> bool:
    if told.get("host") != socket.gethostname() or "pid" not in told:
        return False
    try:
        os.kill(told["pid"], 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:  # it is another user's
        return True
    return True


def _age(told: StatusShape) -> float:
    try:
        return time.time() - datetime.fromisoformat(told.get("written", "")).timestamp()
    except (ValueError, OverflowError):
        return float("inf")


def _rest(reading: Reading, told: StatusShape) -> dict[str, Any] | None:
    """Seconds until the limit of rounds, if each takes as long as the last one that was done without a break; None
    without such a one, or if nothing comes after this stage.
    """
    limit, number, stage = reading.setting("rounds.limit"), told.get("round"), told.get("stage")
    if not isinstance(limit, int) or number is None or stage not in STAGES or told.get("state") not in _UNDER_WAY:
        return None
    times = device_times(events(reading))
    whole = [
        one for one, time_ in times.items() if one and not time_.interrupted and set(STAGES) <= time_.stages.keys()
    ]
    if not whole:
        return None
    basis = times[max(whole)].stages
    left = told.get("seconds_left") if told.get("state") == "running" else 0.0
    now = basis[stage] if left is None else left
    later = sum(basis[one] for one in STAGES[STAGES.index(stage) + 1 :]) if number else 0.0
    further = max(0, limit - number) * sum(basis[one] for one in STAGES)
    if not later + further:  # the stage's own time says it all
        return None
    return {"seconds": round(now + later + further, 1), "basis": max(whole), "limit": limit}


def _sentence(reading: Reading, state: str, told: StatusShape, rest: Mapping[str, Any] | None) -> str:
    resume = f"`tutelage resume {reading.folder}` goes on"
    where = f"round {told.get('round', 0)}'s {told.get('stage', 'start')}"
    if state == "running":
        return " ".join(part for part in (_running(told, where), _rest_text(rest)) if part)
    if state == "finished":
        outcome = reading.outcome() or {}
        why = f": {outcome['reason']}" if "reason" in outcome else ""
        return f"Finished after round {outcome.get('last_round', told.get('round', 0))}{why}."
    if state == "failed":
        return f"Failed in {where}{_place(told)}: {plain(told.get('error') or 'it told no reason')}"
    if state == "waiting":
        return f"Stopped after {where}; {resume}."
    if state == "not begun":
        return f"Nothing has been done in it yet; {resume}."
    return f"Stopped{', or killed,' if state == 'cut off' else ''} in {where}{_place(told)}; {resume}."


def _running(told: StatusShape, where: str) -> str:
    if told.get("state") not in _UNDER_WAY:
        return "Starting."
    if told["state"] == "done":
        return f"{where.capitalize()} is done, and the run goes on."
    done, total, left = told.get("done"), told.get("total"), told.get("seconds_left")
    if done is None or total is None:
        return f"{where.capitalize()} is under way."
    lasts = ", finishing" if done >= total else f", about {duration(left)} left" if left is not None else ""
    return f"{where.capitalize()} is under way: {done:,} of {total:,} {told.get('unit') or ''}{lasts}."


def _place(told: StatusShape) -> str:
    done, total = told.get("done"), told.get("total")
    return f" at {done:,} of {total:,} {told.get('unit') or ''}" if done is not None and total is not None else ""


def _rest_text(rest: Mapping[str, Any] | None) -> str:
    if rest is None:
        return ""
    return f"The whole run takes at most about {duration(rest['seconds'])} more, going by round {rest['basis']}."

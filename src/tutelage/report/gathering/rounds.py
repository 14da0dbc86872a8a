"""What happened round by round: the table of Table 5 and more, and the study's curves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from tutelage.evaluation.cost import device_times, is_free, teacher_cost
from tutelage.report.gathering import Section
from tutelage.report.gathering.overview import evaluations, events, kept_round
from tutelage.report.reading import Reading, is_file
from tutelage.report.shapes import Step, Summary
from tutelage.workspace import unfinished

MOST_POINTS = 500
"""Of a round's curves; a study of more steps is thinned out to these."""
_CURVES = ("step", "epoch", "loss", "lm_loss", "triplet_loss", "gradient_norm", "learning_rate")


def gather(reading: Reading) -> Section | None:
    """One entry a round, round 0 (the untrained student) first; None before anything has been done."""
    numbers = reading.rounds()
    times = device_times(events(reading))
    found = evaluations(reading)
    kept = kept_round(reading.outcome(), found)
    lines = [
        {
            "round": number,
            "kept": number == kept,
            "evaluation": found.get(number),
            "summary": _summary(reading, number),
            "cost": _cost(reading, number),
            "seconds": times[number].stages if number in times else {},
            "interrupted": times[number].interrupted if number in times else 0,
            "learning_rate": learning_rate(reading, number),
            "training": curves(reading, number),
        }
        for number in numbers
    ]
    if not found and not any(line["seconds"] or line["summary"] for line in lines):
        return None
    return Section(
        {
            "rounds": lines,
            "lambda": reading.setting("study.lambda"),
            "schedule": reading.setting("study.schedule"),
            "kept": kept,
        }
    )


def learning_rate(reading: Reading, number: int) -> float | None:
    """The highest of a round's study, by the recipe."""
    if number == 0:
        return None
    later = None if reading.setting("rounds.start") == "untrained" else reading.setting("study.later_learning_rate")
    found = later if number > 1 and later is not None else reading.setting("study.learning_rate")
    return found if isinstance(found, int | float) else None


def curves(reading: Reading, number: int) -> dict[str, Any] | None:
    """A study's steps as columns; of many steps every so-manieth and the last. steps: how many there were."""
    path = reading.round(number).training
    steps = reading.lines(path, Step) if is_file(path) else reading.lines(unfinished(path), Step)
    if not steps:
        return None
    shown = thinned(steps)
    return {
        "steps": len(steps),
        "shown": len(shown),
        "columns": {name: [one.get(name) for one in shown] for name in _CURVES},
    }


def thinned(steps: Sequence[Step], most: int = MOST_POINTS) -> Sequence[Step]:
    """At most so many of the steps, at even distances, the first and the last among them."""
    if len(steps) <= most:
        return steps
    return [steps[place * (len(steps) - 1) // (most - 1)] for place in range(most)]


def _cost(reading: Reading, number: int) -> dict[str, Any] | None:
    """What a round asked of the teacher, by the ledger."""
    asked = reading.totals().get(number)
    return None if asked is None else {**asdict(teacher_cost([asked])), "free": is_free([asked])}


def _summary(reading: Reading, number: int) -> Mapping[str, Any] | None:
    """What round.json has, without what other sections show."""
    found = reading.value(reading.round(number).summary, Summary) if number else None
    return None if found is None else {name: value for name, value in found.items() if name != "leakage"}

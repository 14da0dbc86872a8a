"""Several runs side by side: what differs in their recipes, how far each got, and what each took.

A difference is against the first run, on the same test questions alone: runs of other tasks or other questions are
shown, and compared with nothing.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any
from urllib.parse import quote

from tutelage.evaluation.cost import DeviceTime, device_times, is_free, teacher_cost, whole_time
from tutelage.evaluation.significance import ALPHA, Paired, holm, mcnemar
from tutelage.recipes import dotted
from tutelage.records import StoredQuestion
from tutelage.report.gathering import Section
from tutelage.report.gathering.comparison_charts import run_charts
from tutelage.report.gathering.overview import evaluations, events, kept_round, right_answers
from tutelage.report.reading import Reading


def gather(readings: Sequence[Reading], place: Path) -> Section:
    """The section that compares runs, in the order given. place: the folder of the report, which links start from."""
    names = short_names([reading.folder for reading in readings])
    runs = [_run(reading, name, place) for reading, name in zip(readings, names, strict=True)]
    asked = [_asked(reading) for reading in readings]
    answers = [_right(reading, run["kept"]) for reading, run in zip(readings, runs, strict=True)]
    pairs: list[Paired | None] = [None]
    for place_of, run in enumerate(runs[1:], start=1):
        found = _compared(asked[0], asked[place_of], answers[0], answers[place_of])
        pairs.append(found if isinstance(found, Paired) else None)
        run["not_compared"] = found if isinstance(found, str) else None
    adjusted = iter(holm([pair.p_value for pair in pairs if pair is not None]))
    for reading, run, pair in zip(readings, runs, pairs, strict=True):
        run["difference"] = None if pair is None else _difference(pair, next(adjusted))
        run["notes"] = [asdict(note) for note in reading.notes]
    return Section({"runs": runs, "recipe": _differing(readings), "alpha": ALPHA, "charts": run_charts(runs)})


def short_names(folders: Sequence[Path]) -> list[str]:
    """The last part of each folder's path, and as many before it as tell all of them apart."""
    parts = [folder.resolve().parts for folder in folders]
    for length in range(1, max(map(len, parts), default=0) + 1):
        names = ["/".join(part[-length:]) for part in parts]
        if len(set(names)) == len(names):
            return names
    return [str(folder) for folder in folders]


def link(run: Path, place: Path) -> str | None:
    """Where a page in the folder `place` finds a run's own report; None if there is none.

    An address without a scheme, whatever the folders are called.
    """
    report = run.resolve() / "report.html"
    if not report.is_file():
        return None
    return "./" + quote(Path(os.path.relpath(report, place.resolve())).as_posix())


def _run(reading: Reading, name: str, place: Path) -> dict[str, Any]:
    outcome = reading.outcome()
    scores = evaluations(reading)
    kept = kept_round(outcome, scores)
    rounds = [
        {"round": number, **{key: score.get(key) for key in ("accuracy", "correct", "total", "interval")}}
        for number, score in scores.items()
    ]
    return {
        "name": name,
        "folder": str(reading.folder),
        "report": link(reading.folder, place),
        "task": reading.setting("task.name"),
        "rounds": rounds,
        "kept": kept,
        "score": next((one for one in rounds if one["round"] == kept), None),
        "last": max(scores, default=None),
        "reason": None if outcome is None else outcome.get("reason", ""),
        "not_compared": None,
        **_took(reading),
    }


def _took(reading: Reading) -> dict[str, Any]:
    """What a run asked of its teacher and of its device. unknown: calls whose price or size nobody says."""
    totals = reading.totals().values()
    teacher, time = teacher_cost(totals), _device_time(reading)
    return {
        "requests": teacher.requests if totals else None,
        "tokens": teacher.tokens if totals else None,
        "money": float(teacher.money) if totals and teacher.money is not None else None,
        "unknown": teacher.unknown,
        "free": bool(totals) and is_free(totals),
        "from_cache": teacher.from_cache,
        "seconds": time.device if time.stages else None,
        "interrupted": time.interrupted,
        "device": _device(reading)[0],
    }


def _device_time(reading: Reading) -> DeviceTime:
    def waiting(number: int) -> tuple[str, ...]:
        first = reading.setting("first_teacher.kind") if number == 1 else None
        return ("feedback",) if (first or reading.setting("teacher.kind")) == "openai" else ()

    return whole_time(device_times(events(reading), waiting, _device(reading)[1]).values())


def _device(reading: Reading) -> tuple[str, int]:
    """What a run's student worked on, and on how many of it at once."""
    environment = reading.value(reading.workspace.environment, dict[str, Any]) or {}
    gpus, ranks = environment.get("gpus"), environment.get("world_size")
    on_cpu = str(reading.setting("student.device") or "").startswith("cpu")
    device = str(gpus[0]) if isinstance(gpus, list) and gpus and not on_cpu else "cpu"
    return device, ranks if isinstance(ranks, int) else 1


def _asked(reading: Reading) -> str | None:
    """A hash of the run's test questions as they read; None if there are none to be read."""
    stored = reading.lines(reading.workspace.questions, StoredQuestion) or []
    asked = sorted((one.question.id, one.question.text, one.question.answer) for one in stored if one.split == "test")
    return hashlib.sha256(json.dumps(asked).encode()).hexdigest() if asked else None


def _right(reading: Reading, number: int | None) -> Mapping[str, bool]:
    return {} if number is None else right_answers(reading, number) or {}


def _compared(asked: str | None, other: str | None, before: Mapping[str, bool], after: Mapping[str, bool]) -> Any:
    """A `Paired` of the second run's answers and the first's; or why there is no comparing them, in words."""
    if asked is None or other is None:
        return "the test questions cannot be read"
    if asked != other:
        return "other test questions than the first run's"
    if not before or before.keys() != after.keys():
        return "not every answer to the test questions can be read"
    return mcnemar(before, after)


def _difference(pair: Paired, adjusted: float) -> dict[str, Any]:
    return {**asdict(pair), "adjusted": adjusted, "significant": adjusted <= ALPHA}


def _differing(readings: Sequence[Reading]) -> list[dict[str, Any]]:
    """The recipe keys whose values are not the same in all runs, each with the runs' values in their order."""
    flat = [
        {key: value if isinstance(value, str) else json.dumps(value, default=str) for key, value in dotted(recipe)}
        for recipe in (reading.recipe() for reading in readings)
    ]
    keys = sorted({key for one in flat for key in one})
    values = {key: [one.get(key) for one in flat] for key in keys}
    return [{"key": key, "values": found} for key, found in values.items() if len(set(found)) > 1]

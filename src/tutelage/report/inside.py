"""What a run's students make of right and wrong reasoning (Table 4, Fig. 4), read once and kept beside the rounds.

Drawing a report must not load a model, so `tutelage report RUN --inside` does this and the page shows what it left.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from tutelage.errors import DataError
from tutelage.evaluation.picking import RULE
from tutelage.evaluation.projection import FEWEST, picture
from tutelage.evaluation.representation import Contrast, Readings, read_contrasts, separation, separation_gained
from tutelage.progress import say
from tutelage.records import Attempt, Triplet
from tutelage.report.gathering.inside import FILE
from tutelage.report.gathering.overview import evaluations, kept_round
from tutelage.report.reading import Reading
from tutelage.rounds.contrasts import contrasts, pick_pairs, unseen_pairs
from tutelage.rounds.run import Run, open_run
from tutelage.workspace import read_records, write_json

MOST_PAIRS, FEWEST_PAIRS = 100, 20
MOST_TOKENS = 12_000
"""That a student reads: two students of 135M parameters then take about a minute on two cores."""


def read_inside(folder: Path) -> list[Path]:
    """Reads test questions' right and wrong solutions with the untrained and the kept student; round-N/inside.json.

    The right one is the question's worked solution, or without any a right answer of the kept student; the wrong one
    is the untrained student's. Raises: DataError if there are no such pairs, or no later student; as `open_run` does.
    """
    run = open_run(folder, lock=False)
    later = _later(run, folder)
    pairs = _pairs(run, later)
    readings: dict[int, Readings] = {}
    for number in (0, later):
        student = run.student(number)
        chosen = within(contrasts(run, student, pairs, "test"), MOST_TOKENS)
        say(f"Reading {len(chosen)} pairs of solutions with the student of round {number}")
        readings[number] = read_contrasts(student, chosen)
    run.forget_student()
    return [_write(run, number, readings) for number in readings]


def _later(run: Run, folder: Path) -> int:
    """The kept round; where that is the untrained student, or its student is gone, the last one that has a student."""
    reading = Reading(folder)
    kept = kept_round(reading.outcome(), evaluations(reading))
    if kept and run.round(kept).student.is_dir():
        return kept
    there = [number for number in reading.rounds() if number and run.round(number).student.is_dir()]
    if not there:
        raise DataError(f"No round of {folder} has left a student to compare with the untrained one yet.")
    return there[-1]


def _pairs(run: Run, later: int) -> list[Triplet]:
    answers = run.round(later).answers
    others = read_records(answers, Attempt) if answers.is_file() else []
    pairs = pick_pairs(unseen_pairs(run, "test", others=others), MOST_PAIRS)
    if not pairs:
        raise DataError(
            f"No test question of {run.workspace.folder} has both a right solution and a wrong answer of the "
            "untrained student, so there is nothing to read."
        )
    return pairs


def within(found: Sequence[Contrast], tokens: int) -> Sequence[Contrast]:
    """The first pairs whose solutions come to so many tokens with their prompts, and FEWEST_PAIRS at least.

    The order is that of `picking`, which says nothing about the pairs; both students' tokens are the same.
    """
    total = 0
    for count, one in enumerate(found):
        total += sum(len(text.source_ids) + len(text.token_ids) for text in (one.right, one.wrong))
        if total > tokens and count >= FEWEST_PAIRS:
            return found[:count]
    return found


def _write(run: Run, number: int, readings: dict[int, Readings]) -> Path:
    here = readings[number]
    points, note = _points(run, here)
    result: dict[str, Any] = {
        "round": number,
        "split": "test",
        "picked": RULE,
        "separation": asdict(separation(here, run.recipe.seed)),
        "gained": asdict(separation_gained(readings[0], here, run.recipe.seed)) if number else None,
        "points": points,
        "note": note,
    }
    path = run.round(number).folder / FILE
    write_json(path, result)
    return path


def _points(run: Run, readings: Readings) -> tuple[list[dict[str, Any]], str | None]:
    if find_spec("sklearn") is None:
        return [], "The picture of the hidden states needs scikit-learn: pip install 'tutelage[analysis]'"
    if len(readings.pairs) < FEWEST:
        return [], f"{len(readings.pairs)} pairs are too few for a picture of the hidden states."
    return [asdict(point) for point in picture(readings, run.recipe.seed)], None

"""Run folders and comparison folders written by hand, for the reports that put several side by side."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tests.report.test_teacher import write as write_call
from tests.teacher.asking import numbered, request
from tutelage.comparisons.settings import run_folder
from tutelage.comparisons.tables.table import Table, to_json, write_tables
from tutelage.evaluation.accuracy import accuracy
from tutelage.records import Attempt, Question, StoredQuestion
from tutelage.teacher.books.entries import Charge
from tutelage.teacher.books.ledger import Ledger
from tutelage.teacher.books.prices import PICO
from tutelage.teacher.protocol import Sample, Usage
from tutelage.workspace import Workspace, write_json, write_records, write_text

TESTED = 20
"""Test questions of a run."""


def write_run(
    folder: Path, right: Sequence[int], *recipe: str, task: str = "own", kept: int | None = None, cents: int = 0
) -> Path:
    """A finished run. right: how many test questions the student of each round has right, the first of the file.

    recipe: lines of it. kept: None for the last round. cents: what the teacher was paid for 120 tokens; 0: not asked.
    """
    workspace = Workspace(folder)
    write_text(workspace.recipe, "\n".join(["seed = 1", *recipe, "[task]", f'name = "{task}"']) + "\n")
    write_json(workspace.environment, {"gpus": [], "world_size": 1})
    questions = [Question(f"{task}/{number}", f"{number} + 1?", str(number + 1), "number") for number in range(TESTED)]
    write_records(workspace.questions, [StoredQuestion("test", question) for question in questions])
    for number, count in enumerate(right):
        attempts = [Attempt(one.id, 0, "", "", "1", place < count, 1, True) for place, one in enumerate(questions)]
        write_records(workspace.round(number).answers, attempts)
        write_json(workspace.round(number).evaluation, {**asdict(accuracy(attempts)), "split": "test"})
        workspace.note("begin", round=number, stage="evaluation")
        workspace.note("end", round=number, stage="evaluation", seconds=30.5)
    last = len(right) - 1
    best = last if kept is None else kept
    write_json(workspace.outcome, {"best_round": best, "last_round": last, "reason": "limit", "test": {}})
    if cents:
        with Ledger(workspace.ledger) as ledger:
            paid = cents * PICO // 100
            usage = Usage(100, 20)
            write_call(ledger, request(numbered(1)), {0: Sample("text", "2.")}, usage, paid, charge=Charge(120, paid))
    return folder


def write_comparison(
    folder: Path,
    kind: str,
    tables: Sequence[Table],
    rows: Sequence[str],
    costs: Table | None = None,
    cases: Mapping[str, Any] | None = None,
    title: str = "Small",
) -> Path:
    """A comparison of one seed whose rows have finished. cases: studies by the row's name."""
    quoted = [json.dumps(name) for name in rows]
    lines = [f"title = {json.dumps(title)}", f'table = "{kind}"', "seeds = [1]"]
    write_text(
        folder / "comparison.toml",
        "\n".join([*lines, *(f'[[rows]]\nname = {name}\nmethod = "distillation"' for name in quoted)]),
    )
    write_json(folder / "comparison.json", {})
    if tables:
        write_tables(folder, tables)
    if costs is not None:
        write_text(folder / "cost.json", to_json([costs]))
    for place, name in enumerate(rows):
        run = write_run(run_folder(folder, name, "", 1), [1, 4 + place])
        if cases and name in cases:
            write_json(run / "cases.json", cases[name])
    return folder

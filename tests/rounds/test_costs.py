"""A run's cost from its own files."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.rounds.finished import begun_run, write_evaluation
from tests.teacher.asking import LEGS, ScriptedTeacher, request
from tutelage.errors import WorkspaceError
from tutelage.rounds.costs import run_cost, spent
from tutelage.rounds.learn import timed
from tutelage.teacher.asking import ask
from tutelage.teacher.books.ledger import Ledger
from tutelage.workspace import write_json


def test_each_round_is_held_against_the_one_before_and_the_run_against_its_beginning(
    recipe: Path, tmp_path: Path
) -> None:
    run = begun_run(recipe, tmp_path, 2)
    with pytest.raises(WorkspaceError, match="has not ended"):
        run_cost(run)
    for number, right in ((0, 1), (1, 8), (2, 6)):
        write_evaluation(run, number, lambda place, right=right: place < right)  # type: ignore[misc]
        timed(run, number, "evaluation", lambda: None)
    with Ledger(run.workspace.ledger) as ledger:
        for number in (1, 2):
            ask(ScriptedTeacher(), [request(LEGS, number=number)], ledger)  # 10 tokens each
    with run.workspace.journal.open("a") as file:
        file.write('{"event": "be')
    write_json(run.workspace.outcome, {"best_round": 1, "last_round": 2})
    found = run_cost(run)
    assert (found.device, found.devices) == ("cpu", 1)
    gains = {number: one.gained.difference for number, one in found.rounds.items() if one.gained is not None}
    assert gains == {1: 7 / 8, 2: -2 / 8}
    assert [found.rounds[number].supported for number in (0, 1, 2)] == [False, True, False]
    assert found.rounds[1].tokens_per_point == pytest.approx(10 / 87.5)
    assert found.whole.tokens_per_point == pytest.approx(20 / 87.5)  # the round that brought nothing was paid, too
    assert found.whole.teacher.money == "0"
    assert set(found.whole.time.stages) == {"evaluation"}


@pytest.mark.parametrize("first", ["local", None])
def test_feedback_of_a_teacher_on_this_machine_is_the_devices_time_in_its_round(
    recipe: Path, tmp_path: Path, first: str | None
) -> None:
    teachers = ["teacher.kind=openai", "teacher.model=m"]
    teachers += [] if first is None else [f"first_teacher.kind={first}", "first_teacher.model=m"]
    run = begun_run(recipe, tmp_path, 0, *teachers)
    for number in (1, 2):
        run.workspace.note("end", round=number, stage="feedback", seconds=100.0)
    assert spent(run).time.device == (100 if first else 0)

"""What a run's folder says of the test's questions in what it sends and studies."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.rounds.small import tutor_run
from tests.teacher.asking import ScriptedTeacher, numbered, request
from tutelage.records import Mistake, Question, Triplet
from tutelage.rounds.leakage import round_leakage
from tutelage.teacher.asking import ask
from tutelage.teacher.books.ledger import Ledger
from tutelage.workspace import read_json

ASKED = Question(
    "test/0", "Ann puts 3 plums into each of 4 bags and eats 2 of them. How many are left?", "10", "number"
)
QUOTED = "Ann puts 3 plums into each of 5 bags and eats 2 of them. How many are left? 15 - 2 = 13."


def same(part: dict[str, Any]) -> tuple[int, int, int]:
    return part["texts"], part["same_but_for_numbers"]["count"], part["same_question"]["count"]


def test_a_run_says_at_its_start_what_it_shares_with_its_test(
    recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tutor_run(recipe, tmp_path)
    leakage = read_json(run.workspace.leakage)
    assert leakage["test_questions"] == 8
    sources = leakage["sources"]
    # Every question of this task is "NAME has N pens and gets N more ...", so all are the same but for numbers.
    assert same(sources["training_questions"]) == (30, 8, 0)
    assert sources["student_demonstrations"]["texts"] == 0
    assert same(sources["teacher_demonstrations"])[1:] == (0, 0)
    told = " ".join(capsys.readouterr().err.split())
    assert "of 8 test questions" in told
    held_out = "in held out questions 6 but for their numbers; leakage.json names the worst"
    assert f"in training questions 8 but for their numbers; {held_out}" in told


@pytest.mark.parametrize("completion", [False, True])
def test_a_rounds_prompts_and_lesson_are_looked_through(
    tmp_path: Path, completion: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    with Ledger(tmp_path / "teacher.sqlite") as ledger:
        for number, mistake in ((1, None), (2, Mistake("own/5", QUOTED, "13")), (3, Mistake("own/5", ASKED.text, "1"))):
            requests = [
                request(numbered(place), number=number, mistake=mistake if place == 5 else None, completion=completion)
                for place in (4, 5)
            ]
            ask(ScriptedTeacher(), requests, ledger)
        judged = replace(request(ASKED, number=1, completion=completion), kind="judgement")
        ask(ScriptedTeacher(), [judged], ledger)
        found = [round_leakage(ledger, number, (), [ASKED])["teacher_prompts"] for number in (1, 2, 3)]
        lesson = [
            Triplet("own/4", "4 + 4 = 8.", None, None),
            Triplet("own/5", "5 + 5.", None, Mistake("x", QUOTED, None)),
        ]
        studied = round_leakage(ledger, 9, lesson, [ASKED])
    # The instruction is one text for several requests; a question stands in a text of its own.
    assert [same(part)[1:] for part in found] == [(0, 0), (1, 0), (1, 1)]
    assert {match["text_id"] for part in found[1:] for match in part["worst"]} == {"own/5"}
    assert all(part["texts"] in (3, 4) for part in found)
    assert same(studied["teacher_prompts"]) == (0, 0, 0)
    assert same(studied["lesson"]) == (3, 1, 0)
    told = " ".join(capsys.readouterr().err.split())
    assert "in lesson 1 but for their numbers, 8 words in a row of 1; round.json" in told

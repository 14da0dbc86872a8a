"""The teacher's own accuracy: what it is asked, and who has none."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from decimal import Decimal
from pathlib import Path

import pytest

from tests.openai_server import OpenAIServer
from tutelage.baselines import teacher
from tutelage.baselines.teacher import evaluate_teacher, ledger_path, score_path, teacher_line
from tutelage.config import Recipe, SampledTeacherSettings
from tutelage.errors import TeacherError
from tutelage.recipes import read_recipe
from tutelage.records import Attempt, Message
from tutelage.rounds import start_run
from tutelage.teacher.books.accounts import totals
from tutelage.teacher.books.ledger import Ledger
from tutelage.teacher.protocol import Reply, Request
from tutelage.workspace import read_json, read_records


class Solver:
    """Right at all but the first question, to which it has no reply if it is moody."""

    name = "solver"

    def __init__(self, moody: int = 0) -> None:
        self.asked: list[Request] = []
        self._moody = moody

    @property
    def identity(self) -> dict[str, object]:
        return {"kind": "solver", "moody": self._moody}

    def answer(self, requests: Sequence[Request]) -> Iterator[tuple[Request, Reply]]:
        for place, request in enumerate(requests):
            self.asked.append(request)
            answer = request.question.answer if place else "0"
            said = Reply((f"So it is. The answer is {answer}.",), ("stop",))
            yield request, Reply((), error="no time") if place < self._moody else said


SAMPLED = ["teacher.kind=local", "teacher.model=absent", "prompt.count=1"]


def test_it_is_asked_the_test_questions_without_a_hint(
    recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = start_run(read_recipe(recipe, SAMPLED), tmp_path / "run")
    solver, recipes = Solver(), list[Recipe]()
    monkeypatch.setattr(teacher, "build_teacher", lambda recipe: recipes.append(recipe) or solver)  # type: ignore[func-returns-value]
    evaluate_teacher(run, run.workspace.ledger)
    settings = recipes[0].teacher
    assert isinstance(settings, SampledTeacherSettings)
    assert settings.temperature == 0
    assert [one.question for one in solver.asked] == run.questions["test"]
    for request in solver.asked:
        assert request.replies == 1
        assert isinstance(request.prompt, tuple)
        system, asked, answered, last = request.prompt
        assert "hint" not in f"{system} {last}".casefold()
        assert last == Message("user", f"Question: {request.question.text}")
        assert answered.content.endswith(f"\nAnswer: {run.demonstrations[0].answer}")
        assert (asked.role, answered.role) == ("user", "assistant")
    found = read_json(score_path(run.workspace.folder))
    assert (found["correct"], found["total"], found["unanswered"]) == (7, 8, 0)
    attempts = read_records(tmp_path / "run" / "teacher.jsonl", Attempt)
    assert [one.correct for one in attempts] == [False] + [True] * 7
    run.workspace.release()


@pytest.mark.parametrize(("missing", "error"), [(1, False), (2, True)])
def test_a_question_without_a_reply_is_a_wrong_one_up_to_an_outage(
    recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, missing: int, error: bool
) -> None:
    run = start_run(read_recipe(recipe, SAMPLED), tmp_path / "run")
    monkeypatch.setattr(teacher, "build_teacher", lambda recipe: Solver(moody=missing))
    if error:
        with pytest.raises(TeacherError, match="2 of 8 requests"):
            evaluate_teacher(run, run.workspace.ledger)
        assert not score_path(run.workspace.folder).exists()
    else:
        evaluate_teacher(run, run.workspace.ledger)
        assert read_json(score_path(run.workspace.folder))["unanswered"] == 1
    run.workspace.release()


def test_a_teacher_that_is_told_the_answers_has_no_accuracy(recipe: Path, tmp_path: Path) -> None:
    run = start_run(read_recipe(recipe), tmp_path / "run")
    evaluate_teacher(run, run.workspace.ledger)
    assert read_json(score_path(run.workspace.folder)) == {
        "accuracy": None,
        "reason": 'a teacher of the kind "tutor" is told the answers',
    }
    run.workspace.release()


def test_the_line_for_a_student_to_reach_stays_apart_from_what_it_learns_by(recipe: Path, tmp_path: Path) -> None:
    with OpenAIServer() as server:
        asked = ["teacher.kind=openai", "teacher.model=m", f"teacher.base_url={server.url}", "teacher.price.input=1"]
        run = start_run(read_recipe(recipe, [*asked, "teacher.price.output=2"]), tmp_path / "run")
        found = teacher_line(run)
        assert len(server.requests) == 8
        assert {body["temperature"] for body in server.requests} == {0}
        assert teacher_line(run) == found
        assert len(server.requests) == 8
    assert (found["accuracy"], found["correct"], found["total"], found["teacher"]) == (0, 0, 8, "m")
    assert found["interval"][0] == 0 < found["interval"][1]
    assert len(read_records(tmp_path / "run" / "teacher.jsonl", Attempt)) == 8
    assert not run.workspace.ledger.exists()
    with Ledger(ledger_path(run.workspace.folder)) as ledger:
        [spent] = totals(ledger).values()
    assert (spent.requests, spent.cost) == (8, Decimal(8 * (20 + 2 * 10)) / 10**6)
    run.workspace.release()


def test_a_teacher_without_an_accuracy_of_its_own_is_one_clear_error(recipe: Path, tmp_path: Path) -> None:
    run = start_run(read_recipe(recipe), tmp_path / "run")
    with pytest.raises(TeacherError, match='of the kind "tutor" is told the answers'):
        teacher_line(run)
    assert not score_path(run.workspace.folder).exists()
    run.workspace.release()

"""A round's answers before the judge."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.openai_server import OpenAIServer
from tests.rounds.finished import begun_run, write_evaluation
from tutelage.config import SampledTeacherSettings
from tutelage.errors import BudgetError, TeacherError
from tutelage.evaluation.judge import Judgement
from tutelage.rounds.judge import judge_round, judge_settings
from tutelage.teacher.books.accounts import totals
from tutelage.teacher.books.ledger import Ledger
from tutelage.workspace import read_records


def test_so_many_right_and_wrong_answers_are_judged_and_none_twice(
    recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with OpenAIServer() as server:
        monkeypatch.setenv("OPENAI_API_KEY", "k")
        overrides = ["teacher.kind=openai", "teacher.model=m", f"teacher.base_url={server.url}"]
        run = begun_run(recipe, tmp_path, 0, *overrides)
        write_evaluation(run, 0, lambda place: place < 2)  # 2 right and 6 wrong on the test
        result = judge_round(run, 0, count=3)
        assert len(server.requests) == 5
        assert all((body["temperature"], body["max_tokens"]) == (0.0, 16) for body in server.requests)
        assert (result["right"]["answers"], result["wrong"]["answers"], result["judge"]) == (2, 3, "m")
        assert result["wrong"]["unreadable"] == 3  # the server gives no scores
        judgements = read_records(run.round(0).folder / "judgement.jsonl", Judgement)
        assert [one.right for one in judgements] == [True] * 2 + [False] * 3
        assert judge_round(run, 0, count=3) == result
        (run.round(0).folder / "judgement.json").unlink()
        assert judge_round(run, 0, count=3) == result
        assert len(server.requests) == 5
        assert judge_round(run, 0, count=4)["wrong"]["answers"] == 4
        assert len(server.requests) == 6
    with Ledger(run.workspace.ledger) as ledger:
        assert totals(ledger) == {}
        assert totals(ledger, "judgement")[0].samples == 6


def test_the_runs_cap_holds_for_the_judge(recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with OpenAIServer() as server:
        monkeypatch.setenv("OPENAI_API_KEY", "k")
        overrides = ["teacher.kind=openai", "teacher.model=m", f"teacher.base_url={server.url}"]
        run = begun_run(recipe, tmp_path, 0, *overrides, "teacher.budget.requests=2")
        write_evaluation(run, 0, lambda _place: False)
        with pytest.raises(BudgetError):
            judge_round(run, 0)
        assert len(server.requests) == 2


def test_a_teacher_without_a_prompt_cannot_judge(recipe: Path, tmp_path: Path) -> None:
    run = begun_run(recipe, tmp_path, 0)
    with pytest.raises(TeacherError, match="cannot judge"):
        judge_round(run, 0)
    with pytest.raises(TeacherError):
        judge_settings(run.recipe.teacher)
    assert SampledTeacherSettings(model="m").temperature == 1.0

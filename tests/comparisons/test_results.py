"""What a run came to, read from its folder."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tutelage.comparisons.results import is_finished, read_result
from tutelage.records import Attempt, Correction, Question, StoredQuestion
from tutelage.student.training.loop import Step
from tutelage.workspace import Workspace, write_json, write_records

SCORE = {"accuracy": 0.25, "correct": 2, "total": 8, "interval": [0.1, 0.6]}


def test_a_students_result_is_its_own_beside_its_teachers(recipe: Path, tmp_path: Path) -> None:
    shutil.copy(recipe, tmp_path / "recipe.toml")
    write_json(tmp_path / "teacher.json", {**SCORE, "accuracy": 1.0, "correct": 8, "teacher": "m", "unanswered": 0})
    assert is_finished(tmp_path, "teacher")
    assert not is_finished(tmp_path, "distillation")
    write_json(tmp_path / "outcome.json", {"best_round": 1, "test": SCORE})
    (tmp_path / "journal.jsonl").touch()
    assert is_finished(tmp_path, "distillation")
    result = read_result(tmp_path, "row", "", 1, "distillation")
    assert result.kept == 1
    assert result.score is not None
    assert result.score.accuracy == 0.25


@pytest.mark.parametrize("summaries", [False, True])
@pytest.mark.parametrize(("method", "requests", "replies"), [("distillation", 3, 5), ("star", 0, 0)])
def test_a_run_brought_along_without_its_ledger_was_asked_what_its_rounds_say(
    recipe: Path, tmp_path: Path, method: str, requests: int, replies: int, summaries: bool
) -> None:
    """By the replies themselves, or by the summaries where these were left behind, too."""
    shutil.copy(recipe, tmp_path / "recipe.toml")
    write_json(tmp_path / "outcome.json", {"best_round": 1, "test": SCORE})
    (tmp_path / "journal.jsonl").touch()
    workspace = Workspace(tmp_path)
    for number, asked in ((1, "aab"), (2, "aa")):
        place = workspace.round(number)
        if summaries:
            feedback = {"requests": len(set(asked)), "replies": len(asked), "successes": 1}
            told = {"exam": {"error_rate": 0.5}, "feedback": feedback, "lesson": {"samples": 7}}
            write_json(place.summary, told)
        else:
            made = [Correction(one, number, "t", None, "text", "text", "4", "kept") for one in asked]
            write_records(place.feedback, made)
    result = read_result(tmp_path, "row", "", 1, method)
    teacher = result.teacher
    assert (teacher.requests, teacher.replies, teacher.tokens, teacher.cost) == (requests, replies, None, None)
    assert [one.requests for one in result.rounds] == [2, 1]
    if summaries:
        assert [(one.error_rate, one.successes, one.samples) for one in result.rounds] == [(0.5, 1, 7)] * 2


def test_what_it_would_score_with_a_calculator(recipe: Path, tmp_path: Path) -> None:
    shutil.copy(recipe, tmp_path / "recipe.toml")
    write_json(tmp_path / "outcome.json", {"best_round": 1, "test": SCORE})
    (tmp_path / "journal.jsonl").touch()
    workspace = Workspace(tmp_path)
    questions = [Question(f"own/{place}", "How many?", "7", "number") for place in range(6)]
    stored = [StoredQuestion("held-out" if one.id == "own/5" else "test", one) for one in questions]
    write_records(workspace.questions, stored)

    def answered(said: str, answer: str | None, place: int) -> Attempt:
        return Attempt(f"own/{place}", 0, said, said, answer, answer == "7", 9, True)

    said = [("3 + 4 = 8.", "8"), ("3 + 4 = 8 - 1.", "7"), ("3 + 5 = 8.", "8"), ("It is 8.", None), ("3 + 4 = 7.", "7")]
    attempts = [answered(*one, place) for place, one in enumerate([*said, ("3 + 4 = 9.", "9")])]
    write_records(workspace.round(1).answers, attempts)
    score = read_result(tmp_path, "row", "", 1, "distillation").calculated()
    assert score is not None
    assert (score.correct, score.total) == (3, 5)  # the first one is right, too
    other = tmp_path / "other"  # what a file says is read once
    shutil.copytree(tmp_path, other)
    write_records(Workspace(other).round(1).answers, [answered("It is 8.", "8", place) for place in range(6)])
    assert read_result(other, "row", "", 1, "distillation").calculated() is None


@pytest.mark.parametrize(
    ("method", "start", "steps"), [("distillation", "last round", 5), ("distillation", "untrained", 3), ("star", "", 3)]
)
def test_the_steps_behind_a_student_that_began_anew_are_its_own_rounds(
    recipe: Path, tmp_path: Path, method: str, start: str, steps: int
) -> None:
    """An old run of STaR has no rounds.start. Round 3 had no lesson."""
    workspace = Workspace(tmp_path)
    workspace.recipe.write_text(
        recipe.read_text().replace("[rounds]", f'[rounds]\nstart = "{start}"' if start else "[rounds]")
    )
    write_json(workspace.outcome, {"best_round": 2, "test": SCORE})
    workspace.journal.touch()
    for number, count in ((0, 0), (1, 2), (2, 3), (3, 0)):
        step = Step(1, 1, 1.0, 1.0, 0.0, 1.0, 1e-3, 4, 0, 90)
        if count:
            write_records(workspace.round(number).training, [step] * count)
        workspace.round(number).folder.mkdir(exist_ok=True)
    result = read_result(tmp_path, "row", "", 1, method)
    assert (result.steps, result.kept_steps, result.last_steps) == (5, steps, steps)

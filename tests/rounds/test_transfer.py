"""Other tasks before and after training."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.rounds.finished import begun_run, write_evaluation
from tutelage.config import TaskSettings
from tutelage.errors import DataError
from tutelage.records import Attempt, Question
from tutelage.rounds import answering
from tutelage.rounds import transfer as module
from tutelage.rounds.transfer import domain_of, forgetting, transfer
from tutelage.workspace import read_json, read_records, unfinished, write_json, write_records


def own_task(path: Path, kind: Any, rows: list[tuple[str, str]]) -> TaskSettings:
    """The last row but one, and those before, are the test."""
    with path.open("w") as file:
        for place, (question, answer) in enumerate(rows):
            split = "train" if place == len(rows) - 1 else "test"
            file.write(json.dumps({"question": question, "answer": answer, "split": split}) + "\n")
    return TaskSettings(name="own", file=path, kind=kind, held_out_minimum=0)


SHORT = "evaluation.max_new_tokens=4"
SUMS = [("What is 2 + 9?", "11"), ("What is 4 + 9?", "13"), ("What is 1 + 1?", "2")]


def stop_before_the_result(path: Path) -> None:
    """As a kill leaves it: the answers are there, and what was asked."""
    found = read_json(path)
    write_json(path, {key: found[key] for key in ("settings", "asked")})


def test_another_task_is_asked_with_its_own_demonstrations_once(
    recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = begun_run(recipe, tmp_path, 0, "prompt.count=1", SHORT)
    prompts: list[str] = []
    asked = answering.answers_of

    def answers_of(*arguments: Any, **settings: Any) -> Any:
        prompts.extend(arguments[2])
        return asked(*arguments, **settings)

    monkeypatch.setattr(module, "answers_of", answers_of)
    sums = own_task(tmp_path / "sums.jsonl", "number", SUMS)
    claims = own_task(tmp_path / "claims.jsonl", "yes/no", [("Is ice cold?", "Yes"), ("Is fire cold?", "No")])
    first = transfer(run, 0, sums, "my sums")
    second = transfer(run, 0, claims, "claims")
    assert (first["place"], first["domain"], first["total"]) == ("in-domain", "arithmetic", 2)
    assert (second["place"], second["domain"], second["total"]) == ("out-of-domain", "words", 1)
    assert [prompt.rpartition("Question: ")[2] for prompt in prompts] == [
        "What is 2 + 9?\nReasoning:",
        "What is 4 + 9?\nReasoning:",
        "Is ice cold?\nReasoning:",
    ]
    before = {prompt.rpartition("Question: ")[0] for prompt in prompts}
    assert len(before) == 2
    assert all(text.count("Question: ") == 1 for text in before)
    place = run.round(0).folder
    assert [one.question_id for one in read_records(place / "transfer-my_sums.jsonl", Attempt)] == ["own/1", "own/2"]
    assert transfer(run, 0, sums, "my sums") == first
    stop_before_the_result(place / "transfer-my_sums.json")
    assert transfer(run, 0, sums, "my sums") == first
    assert len(prompts) == 3
    assert transfer(run, 0, sums.model_copy(update={"test_questions": 1}), "my sums")["total"] == 1


def test_answers_to_other_questions_of_the_same_ids_do_not_count(recipe: Path, tmp_path: Path) -> None:
    run = begun_run(recipe, tmp_path, 0, SHORT)
    assert transfer(run, 0, own_task(tmp_path / "sums.jsonl", "number", SUMS))["total"] == 2
    path = run.round(0).folder / "transfer-own.jsonl"
    knew = [replace(one, correct=True) for one in read_records(path, Attempt)]
    write_records(path, knew)
    write_records(unfinished(path), knew)
    claims = own_task(
        tmp_path / "claims.jsonl", "yes/no", [("Is ice cold?", "Yes"), ("Is snow hot?", "No"), ("Is fire hot?", "Yes")]
    )
    found = transfer(run, 0, claims)
    assert (found["place"], found["correct"], found["total"]) == ("out-of-domain", 0, 2)


def test_what_the_run_trains_on_is_left_out(recipe: Path, tmp_path: Path) -> None:
    run = begun_run(recipe, tmp_path, 0, SHORT)
    trained = run.questions["train"][0]
    rows = [*SUMS[:1], (trained.text.upper(), trained.answer), *SUMS[2:]]
    result = transfer(run, 0, own_task(tmp_path / "sums.jsonl", "number", rows), "sums")
    assert (result["total"], result["trained_on"]) == (1, 1)
    with pytest.raises(DataError, match="All 1 test questions"):
        transfer(run, 0, own_task(tmp_path / "known.jsonl", "number", rows[1:]), "known")


def test_the_runs_own_task_is_its_evaluation(recipe: Path, tmp_path: Path) -> None:
    run = begun_run(recipe, tmp_path, 1, SHORT)
    for number in (0, 1):
        write_evaluation(run, number, lambda place: place < 2)
        score = {"accuracy": 0.25, "correct": 2, "total": 8, "interval": [0.1, 0.6], "unreadable": 0, "held_out": {}}
        write_json(run.round(number).evaluation, score)
    assert transfer(run, 0, run.recipe.task)["place"] == "trained"
    assert forgetting(run, 1, run.recipe.task).paired.both == 2
    fewer = transfer(run, 0, run.recipe.task.model_copy(update={"test_questions": 3}), "fewer")
    assert (fewer["place"], fewer["total"]) == ("trained", 3)


def test_forgetting_is_tested_question_by_question(recipe: Path, tmp_path: Path) -> None:
    run = begun_run(recipe, tmp_path, 1, SHORT)
    sums = own_task(tmp_path / "sums.jsonl", "number", SUMS)
    same = forgetting(run, 1, sums, "sums")
    assert (same.paired.difference, same.paired.p_value) == (0.0, 1.0)  # copies of one student
    path = run.round(0).folder / "transfer-sums.jsonl"
    first, second = read_records(path, Attempt)
    knew = Attempt(first.question_id, 0, "", "", "11", True, 1, True)
    write_records(path, [knew, second])
    stop_before_the_result(path.with_suffix(".json"))
    lost = forgetting(run, 1, sums, "sums")
    assert (lost.before["accuracy"], lost.after["accuracy"]) == (0.5, 0.0)
    assert (lost.paired.only_first, lost.paired.only_second, lost.paired.difference) == (1, 0, -0.5)
    assert lost.place == "in-domain"


def test_choices_that_are_numbers_are_arithmetic() -> None:
    numbers = Question("a", "How many?", "B", "choice", ("12", "1.5 km", "3/4"))
    words = Question("b", "Which?", "A", "choice", ("a pond", "the 3 seas and 4 winds", "7"))
    assert domain_of([numbers]) == "arithmetic"
    assert domain_of([words]) == "words"
    assert domain_of([numbers, words, numbers]) == "arithmetic"
    assert domain_of([Question("c", "Half?", "50", "percentage")]) == "arithmetic"
    assert domain_of([Question("d", "Who?", "Ann", "text")]) == "words"

"""What the baselines' students are taught, and in which form they are asked."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.baselines.test_star import Scripted
from tutelage.baselines import METHODS, answers
from tutelage.baselines.answers import answer_prompt, encode_answers
from tutelage.baselines.specializing import encode_both_forms
from tutelage.errors import RecipeError
from tutelage.recipes import read_recipe
from tutelage.records import Attempt, Triplet
from tutelage.rounds import Run, start_run
from tutelage.student.model.student import Student
from tutelage.student.text.encoding import Sample
from tutelage.workspace import read_json, read_records


@pytest.fixture
def run(recipe: Path, tmp_path: Path) -> Iterator[Run]:
    """Two demonstrations, four training questions and two of the test."""
    overrides = ["prompt.count=2", "task.train_questions=4", "task.test_questions=2", "task.held_out_questions=1"]
    overrides += ["teacher.hard_replies=8"]  # which takes an exam, and so means nothing to most of them
    started = start_run(read_recipe(recipe, [*overrides, "study.steps=1", "rounds.limit=1"]), tmp_path / "run")
    yield started
    started.workspace.release()


def read(student: Student, sample: Sample) -> str:
    return str(student.tokenizer.decode(list(sample.token_ids), skip_special_tokens=True))


def test_answers_only_have_no_reasoning_anywhere(run: Run) -> None:
    question = run.questions["train"][0]
    [sample] = encode_answers(run, run.student(0), [Triplet(question.id, "", None, None)])
    text = read(run.student(0), sample.anchor)
    prompt = answer_prompt(question, run.demonstrations)
    assert text == f"{prompt} {question.answer}"
    assert prompt.endswith(f"{question.text}\nAnswer:")
    assert "Reasoning" not in text
    assert text.count("Question:") == text.count("Answer:") == 3
    # The demonstrations weigh less, question and answer as much as ever.
    assert {sample.anchor.weights[0], sample.anchor.weights[-1]} == {0.1, 1.0}


def test_answers_are_read_behind_the_prompt_that_asks_for_them(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    gold = {question.text: question.answer for split in run.questions.values() for question in split}
    prompts_seen: list[str] = []

    def write(prompt: str) -> str:
        prompts_seen.append(prompt)
        return f" {next(answer for text, answer in gold.items() if text in prompt)}"

    def scripted(run: Run, number: int, prompts: Sequence[str], drawing: object, **more: object) -> Scripted:
        return Scripted(prompts, write)

    monkeypatch.setattr(answers, "answers_of", scripted)
    METHODS["answers"].play(run)
    assert all(prompt.endswith("\nAnswer:") for prompt in prompts_seen)
    outcome = read_json(run.workspace.outcome)
    assert outcome["test"]["accuracy"] == 1.0
    attempts = read_records(run.round(1).answers, Attempt)
    assert {(attempt.rationale, attempt.correct) for attempt in attempts} == {("", True)}
    assert not run.workspace.ledger.exists()
    assert not run.round(1).exam.exists()


def test_specializing_studies_every_other_rationale_without_demonstrations(run: Run) -> None:
    ids = [question.id for question in run.questions["train"]]
    triplets = [Triplet(ids[place // 2], f"Way {place}.", None, None) for place in range(5)]
    samples = encode_both_forms(run, run.student(0), triplets)
    texts = [read(run.student(0), sample.anchor) for sample in samples]
    assert [text.count("Question:") for text in texts] == [3, 1, 3, 1, 3]
    assert [sample.question_id for sample in samples] == [ids[place // 2] for place in range(5)]
    assert all(f"Way {place}." in text for place, text in enumerate(texts))
    [alone] = encode_both_forms(run, run.student(0), triplets[:1])
    assert alone == samples[0]


def test_one_pass_of_the_teacher_sits_no_exam(run: Run) -> None:
    METHODS["cot"].play(run)
    place = run.round(1)
    assert not place.exam.exists()
    lesson = read_records(place.lesson, Triplet)
    assert lesson
    assert all(triplet.negative is None for triplet in lesson)
    assert read_json(run.workspace.outcome)["last_round"] == 1


def test_an_adapter_needs_to_be_named(run: Run) -> None:
    with pytest.raises(RecipeError, match=r"lora\.r=16"):
        METHODS["adapter"].play(run)

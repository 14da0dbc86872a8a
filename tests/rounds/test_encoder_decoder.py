"""A T5-shaped student through two rounds: cut in a study, resumed, handed over."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

from tests.encoder_decoder import save_seq2seq
from tests.rounds.small import tutor_run
from tests.rounds.test_learn import contents
from tutelage.prompts import student_prompt
from tutelage.recipes import read_recipe
from tutelage.records import Attempt, Question, Triplet
from tutelage.rounds import ask, learn, resume
from tutelage.rounds.study import _Log, encode_lesson
from tutelage.student.model.student import Student
from tutelage.student.training.loop import Step
from tutelage.workspace import read_records

ASKED = "Bo has 1 pen and gets 2 more. How many pens are there?"


@pytest.fixture
def overrides(tmp_path: Path) -> list[str]:
    folder = save_seq2seq(tmp_path / "t5")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"dropout_rate": 0.1}))  # as a real T5's
    small = ["task.train_questions=12", "study.batch_size=4", "exam.batch_size=24", "evaluation.batch_size=14"]
    short = ["study.epochs=2", "study.learning_rate=1e-2", "exam.max_new_tokens=32", "evaluation.max_new_tokens=32"]
    return [f"student.model={folder}", "prompt.count=1", *small, *short]


def test_two_rounds_cut_in_a_study_come_to_the_same(
    recipe: Path, overrides: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = read_recipe(recipe, overrides)
    whole = learn(settings, tmp_path / "whole")
    steps = read_records(whole.round(1).training, Step)
    assert steps[-1].lm_loss < steps[0].lm_loss
    assert any(triplet.negative for triplet in read_records(whole.round(2).lesson, Triplet))
    assert len(read_records(whole.round(2).answers, Attempt)) == 14

    add = _Log.add

    def stop(log: Any, step: Step) -> None:
        add(log, step)
        if step.step == 3 and "round-2" in str(log.path):
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(_Log, "add", stop)
        with pytest.raises(KeyboardInterrupt):
            learn(settings, tmp_path / "cut")
    assert (tmp_path / "cut" / "round-2").is_dir()
    cut = resume(tmp_path / "cut")
    expected, seen = contents(whole.workspace.folder), contents(cut.workspace.folder)
    assert expected.keys() == seen.keys()
    assert [name for name, content in expected.items() if content != seen[name]] == []

    folder = str(cut.workspace.student)
    model: Any = AutoModelForSeq2SeqLM.from_pretrained(folder)
    tokenizer: Any = AutoTokenizer.from_pretrained(folder)
    inputs = tokenizer(student_prompt(Question("q", ASKED, "", "number"), cut.demonstrations), return_tensors="pt")
    chat = tokenizer.apply_chat_template([{"role": "user", "content": ASKED}], return_tensors="pt", return_dict=True)
    assert torch.equal(chat["input_ids"], inputs["input_ids"])  # with what ends a text for the encoder
    told = tokenizer.decode(model.generate(**inputs, max_new_tokens=32)[0], skip_special_tokens=True)
    assert told
    assert ask(cut.workspace.folder, ASKED).text == told


def test_a_question_too_long_for_the_encoder_is_left_out(
    recipe: Path, overrides: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tutor_run(recipe, tmp_path, *overrides)
    triplets = [Triplet(question.id, "3 + 4 = 7.", None, None) for question in run.questions["train"]]
    samples = encode_lesson(run, run.student(0), triplets)
    longest = max(len(sample.anchor.source_ids) for sample in samples)
    assert longest > max(len(sample.anchor.token_ids) for sample in samples)
    monkeypatch.setattr(Student, "context", longest - 1)
    assert 0 < len(encode_lesson(run, run.student(0), triplets)) < len(samples) == 12

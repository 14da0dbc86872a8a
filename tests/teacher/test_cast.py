"""Who teaches: files by pattern, and a model in this process that stops where an endpoint would."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from tests.encoder_decoder import load_seq2seq
from tests.tiny import LESSON
from tutelage.config import LocalTeacherSettings
from tutelage.errors import DataError
from tutelage.rounds import cast
from tutelage.rounds.cast import find_files, stop_place
from tutelage.student.model.student import Student
from tutelage.teacher.local import GeneratedText

PROMPT = LESSON.partition("Reasoning:")[0] + "Reasoning:"


@pytest.mark.parametrize("pattern", ["", "/", ".", "**", "a/**b", "folder", "*/"])
def test_a_pattern_that_no_file_fits_is_one_clear_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pattern: str
) -> None:
    (tmp_path / "folder" / "inner").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match=r"No file fits teacher\.files"):
        find_files([Path(pattern)], None)


def test_folders_that_fit_a_pattern_are_left_out(tmp_path: Path) -> None:
    (tmp_path / "folder.jsonl").mkdir()
    (tmp_path / "file.jsonl").write_text("")
    assert find_files([Path("*.jsonl")], tmp_path) == (tmp_path / "file.jsonl",)
    assert find_files([tmp_path / "*.jsonl"], None) == (tmp_path / "file.jsonl",)


def test_a_text_stops_where_the_next_question_begins() -> None:
    text = " 4.\nAnswer: 4\n\nQuestion: a\nQuestion: b"
    assert text[: stop_place(text)] == " 4.\nAnswer: 4\n"
    assert stop_place("The Question: is it?") is None


def generated(student: Student, monkeypatch: pytest.MonkeyPatch, replies: int, **changes: object) -> list[str]:
    """The texts for one prompt of a local teacher whose model is this student."""
    settings = LocalTeacherSettings(kind="local", model="m", max_new_tokens=60).model_copy(update=changes)
    monkeypatch.setattr(cast, "load_student", lambda *_args, **_named: student)
    prompts = [PROMPT, PROMPT + " A cat"]
    found = dict(cast._generator(settings)(prompts, replies, [1, 2]))
    assert set(found) == {0, 1}
    texts: tuple[GeneratedText, ...] = found[0]
    assert {one.finish_reason for one in texts} == {"stop"}
    return [one.text for one in texts]


def test_a_completion_teacher_stops_before_the_next_question(parrot: Student, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = generated(parrot, monkeypatch, 3, endpoint="completion", temperature=0.01)
    assert drawn == [" A cat has 4 legs. 2 * 4 = 8.\nAnswer: 8\n"] * 3


def test_at_the_temperature_zero_a_prompt_gets_its_one_greedy_reply(
    parrot: Student, monkeypatch: pytest.MonkeyPatch
) -> None:
    for size in (1, 64):
        changes = {"endpoint": "completion", "temperature": 0.0, "batch_size": size}
        assert generated(parrot, monkeypatch, 3, **changes) == [" A cat has 4 legs. 2 * 4 = 8.\nAnswer: 8\n"]


def test_a_chat_teacher_goes_on_to_its_end_token(parrot: Student, monkeypatch: pytest.MonkeyPatch) -> None:
    # A chat-tuned model ends its turn itself, and may well quote the question.
    newline = parrot.tokenizer("\n", add_special_tokens=False)["input_ids"][-1]
    ended = dataclasses.replace(parrot, stop_ids=(newline,))
    assert generated(ended, monkeypatch, 1, temperature=0.0) == [" A cat has 4 legs. 2 * 4 = 8."]


def test_an_encoder_decoder_model_may_teach(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    student = load_seq2seq(tmp_path)
    monkeypatch.setattr(cast, "load_student", lambda *_args, **_named: student)
    settings = LocalTeacherSettings(kind="local", model="m", max_new_tokens=6, endpoint="completion")
    [(place, texts)] = cast._generator(settings)([PROMPT], 3, [1])
    assert (place, len({one.text for one in texts})) == (0, 3)
    assert all(0 < one.tokens <= 6 for one in texts)

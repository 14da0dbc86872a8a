"""Recorded replies: matched to their questions, never the same handful twice in a row, the same for a seed."""

from __future__ import annotations

import gzip
import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.teacher.asking import LEGS, numbered, request
from tutelage.config import RecordedTeacherSettings
from tutelage.errors import DataError
from tutelage.records import Question
from tutelage.tasks.answers import read_reply
from tutelage.teacher.protocol import Reply, Request
from tutelage.teacher.recorded import RecordedTeacher


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    text = "".join(json.dumps(row) + "\n" for row in rows)
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return path


def recorded(*files: Path, seed: int = 0) -> RecordedTeacher:
    return RecordedTeacher(RecordedTeacherSettings(kind="recorded", files=files), seed)


def reply_to(teacher: RecordedTeacher, one: Request) -> Reply:
    ((_, reply),) = teacher.answer([one])
    return reply


def row(place: int, number: int) -> dict[str, Any]:
    answer = numbered(place).answer
    return {"question": numbered(place).text, "rationale": f"Way {number}.", "answer": answer, "correct": True}


@given(pool=st.integers(1, 12), replies=st.integers(1, 5), seed=st.integers(0, 5))
def test_rounds_in_a_row_share_replies_only_where_there_are_too_few(
    tmp_path_factory: pytest.TempPathFactory, pool: int, replies: int, seed: int
) -> None:
    file = write(tmp_path_factory.mktemp("pool") / "pool.jsonl", [row(1, number) for number in range(pool)])
    teacher, again = recorded(file, seed=seed), recorded(file, seed=seed)
    rounds = [reply_to(teacher, request(numbered(1), replies, number)).texts for number in range(1, 8)]
    assert rounds == [reply_to(again, request(numbered(1), replies, number)).texts for number in range(1, 8)]
    for texts, following in pairwise(rounds):
        assert len(set(texts)) == len(texts) == min(replies, pool)
        assert len(set(texts) & set(following)) == max(0, 2 * len(texts) - pool)


@pytest.mark.parametrize("sizes", [(8, 4), (4, 8), (8, 8), (4, 4)])
def test_a_question_that_is_hard_in_one_round_alone_gets_other_replies_in_the_next(
    tmp_path: Path, sizes: tuple[int, int]
) -> None:
    settings = RecordedTeacherSettings(kind="recorded", hard_replies=8)
    for pool in (8, 16, 30):
        file = write(tmp_path / "pool.jsonl", [row(1, number) for number in range(pool)])
        teacher = RecordedTeacher(settings.model_copy(update={"files": (file,)}), 0)
        rounds = [reply_to(teacher, request(numbered(1), size, number)).texts for number, size in enumerate(sizes, 1)]
        assert [len(set(texts)) for texts in rounds] == list(sizes)
        assert len(set(rounds[0]) & set(rounds[1])) == max(0, sum(sizes) - pool)


def test_the_answer_can_be_read_and_none_is_made_up(tmp_path: Path) -> None:
    rows = [
        {"question": LEGS.text, "rationale": " 12 + 4 is 16. ", "answer": "16"},
        {"question": LEGS.text, "rationale": "Hard to say.", "answer": ""},
    ]
    reply = reply_to(recorded(write(tmp_path / "pool.jsonl.gz", rows)), request(LEGS, 4))
    assert set(reply.texts) == {"12 + 4 is 16.\nAnswer: 16", "Hard to say."}
    assert reply.finish_reasons == ("stop", "stop")


def test_half_a_character_becomes_one_that_can_be_written(tmp_path: Path) -> None:
    rows = [{"question": LEGS.text, "rationale": "12 + 4 \ud83d is 16 \U0001f600.", "answer": "\udc00"}]
    (text,) = reply_to(recorded(write(tmp_path / "pool.jsonl", rows)), request(LEGS)).texts
    assert text == "12 + 4 \ufffd is 16 \U0001f600.\nAnswer: \ufffd"


def test_questions_match_but_for_white_space_case_and_sentence_marks(tmp_path: Path) -> None:
    rows = [{"question": "Ann has 3.5 kg of  rice How much is that", "rationale": "Much."}]
    teacher = recorded(write(tmp_path / "pool.jsonl", rows))
    for text, known in [
        ("Ann has 3.5 kg of rice. How much is that?", True),
        ("Ann has 35 kg of rice. How much is that?", False),
    ]:
        reply = reply_to(teacher, request(Question("own/0", text, "1", "number")))
        assert (reply.error is None) is known
    sums = [{"question": "What is 5 - 3?", "rationale": "Minus."}, {"question": "What is 5 + 3?", "rationale": "Plus."}]
    teacher = recorded(write(tmp_path / "sums.jsonl", sums))
    assert reply_to(teacher, request(Question("own/0", "What is 5 + 3?", "8", "number"))).texts == ("Plus.",)


def test_a_question_that_stands_twice_is_told_apart_by_its_row(tmp_path: Path) -> None:
    rows = [
        {"question": "Where?", "rationale": "Here.", "answer": "A", "index": 17, "id": "abc"},
        {"question": "Where?", "rationale": "There.", "answer": "B", "index": 7, "id": "def"},
    ]
    teacher = recorded(write(tmp_path / "pool.jsonl", rows))
    for name, texts in [
        ("commonsense_qa/train/17", {"Here.\nAnswer: A"}),
        ("commonsense_qa/train/7", {"There.\nAnswer: B"}),
        ("commonsense_qa/def", {"There.\nAnswer: B"}),
        ("commonsense_qa/train/9", {"Here.\nAnswer: A", "There.\nAnswer: B"}),
    ]:
        question = Question(name, "Where?", "A", "choice", ("here", "there"))
        assert set(reply_to(teacher, request(question, 4)).texts) == texts


def test_without_files_the_worked_solution_is_the_reply() -> None:
    teacher = recorded()
    assert LEGS.rationale is not None
    assert reply_to(teacher, request(LEGS, 4)).texts == (f"{LEGS.rationale}\nAnswer: 16",)
    assert reply_to(teacher, request(numbered(1))).error == "no recorded reply for this question"
    assert teacher.name == "recorded (worked solutions)"


def test_other_files_or_another_seed_are_another_teacher(tmp_path: Path) -> None:
    one = write(tmp_path / "one.jsonl", [row(1, 1)])
    other = write(tmp_path / "other.jsonl", [row(1, 2)])
    identities = [recorded(one), recorded(other), recorded(one, seed=1), recorded(), recorded(one, other)]
    assert len({str(teacher.identity) for teacher in identities}) == 5
    assert recorded(one, other).name == "recorded (one, other)"


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("{", "not JSON"),
        ("[]", "not a JSON object"),
        ('{"rationale": "x"}', '"question"'),
        ('{"question": "x", "rationale": ""}', '"rationale"'),
        ('{"question": "x", "rationale": "x", "answer": null}', '"answer"'),
    ],
)
def test_a_damaged_line_is_named(tmp_path: Path, line: str, reason: str) -> None:
    path = tmp_path / "pool.jsonl"
    path.write_text(json.dumps(row(1, 1)) + f"\n\n{line}\n")
    with pytest.raises(DataError, match=rf"pool\.jsonl, line 3: .*{reason}"):
        recorded(path)


def test_a_missing_or_cut_file_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="There is no file"):
        recorded(tmp_path / "none.jsonl")
    path = write(tmp_path / "pool.jsonl.gz", [row(1, number) for number in range(500)])
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(DataError, match="cannot be read at line"):
        recorded(path)
    path.write_text("not gzipped")
    with pytest.raises(DataError, match=r"pool\.jsonl\.gz cannot be read at line 1"):
        recorded(path)


@pytest.mark.parametrize("task", ["svamp", "multiarith"])
def test_the_public_recordings_read_as_they_were_graded(data: Path, task: str) -> None:
    files = sorted((data / "teacher_pool").glob(f"{task}__*.jsonl.gz"))
    teacher = recorded(*files)
    right = total = 0
    with gzip.open(files[0], "rt") as lines:
        rows = [json.loads(line) for line in lines][:150]
    for number, one in enumerate(rows):
        question = Question(f"{task}/{one['index']}", one["question"], "0", "number")
        for text in reply_to(teacher, request(question, 40, 1 + number)).texts:
            recorded_answer = text.rpartition("\nAnswer: ")[2]
            read = read_reply(text, question)
            total += 1
            right += read is not None and float(read) == float(recorded_answer) if "\nAnswer: " in text else 1
    assert right == total > 150

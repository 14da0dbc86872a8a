"""What is answered is kept, by however many ranks, and a resumed run asks for the rest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tutelage.errors import WorkspaceError
from tutelage.records import Attempt, Question, from_json
from tutelage.rounds import answering
from tutelage.rounds.answering import answer_all
from tutelage.student.answering.answers import Finished, Further
from tutelage.student.answering.stopping import Completion
from tutelage.workspace import read_records, unfinished

QUESTIONS = [Question(f"q{place}", "?", str(place), "number") for place in range(7)]
ORDER = [3, 1, 6, 0, 2, 5, 4]


@dataclass
class Known:
    """Answers every question with its number, the last of a sitting first; breaks off after so many."""

    size: int
    samples: int = 2
    breaks: int | None = None
    asked: list[int] = field(default_factory=list)
    released: int = 0

    @property
    def sittings(self) -> list[list[int]]:
        return [ORDER[start : start + self.size] for start in range(0, len(ORDER), self.size)]

    def answer(
        self, sitting: Sequence[int], finished: Finished | None = None, further: Further | None = None
    ) -> list[list[Completion]]:
        assert finished is not None
        for place in reversed(sitting):
            if len(self.asked) == self.breaks:
                raise KeyboardInterrupt
            self.asked.append(place)
            finished(place, [Completion(f" So.\nAnswer: {place}", 5, True)] * self.samples)
        if further is not None and (more := further()):
            self.answer(more, finished, further)
        return []

    def release(self) -> None:
        self.released += 1


def test_answers_come_back_in_the_questions_order(tmp_path: Path) -> None:
    path = tmp_path / "exam.jsonl"
    attempts = answer_all(path, "exam", QUESTIONS, 2, Known(3))
    assert [(a.question_id, a.sample) for a in attempts] == [(q.id, sample) for q in QUESTIONS for sample in (0, 1)]
    assert all(attempt.correct for attempt in attempts)
    assert read_records(path, Attempt) == attempts
    assert not unfinished(path).exists()


def break_off(path: Path, size: int, breaks: int) -> list[str]:
    """The lines that an exam leaves which breaks off after so many questions."""
    with pytest.raises(KeyboardInterrupt):
        answer_all(path, "exam", QUESTIONS, 2, Known(size, breaks=breaks))
    return unfinished(path).read_text().splitlines()


@pytest.mark.parametrize("breaks", [0, 2, 3, 5, 6])
@pytest.mark.parametrize("size", [1, 2, 3, 7])
def test_no_answer_is_asked_for_again_whatever_the_sittings(tmp_path: Path, breaks: int, size: int) -> None:
    path, whole = tmp_path / "exam.jsonl", tmp_path / "whole.jsonl"
    answer_all(whole, "exam", QUESTIONS, 2, Known(3))
    lines = break_off(path, 3, breaks)
    kept = breaks // 3 * 3
    assert len(lines) == 2 * kept
    unfinished(path).write_text("\n".join([*lines, '{"question_id": "q4", "sam']))  # torn
    resumed = Known(size)
    answer_all(path, "exam", QUESTIONS, 2, resumed)
    assert sorted(resumed.asked) == sorted(ORDER[kept:])
    assert path.read_bytes() == whole.read_bytes()
    assert resumed.released == 1


@pytest.mark.parametrize("others", [[("-1", [0, 1])], [("-1", [1]), ("-7", [0])], [("", [2, 0]), ("-1", [1, 2, 0])]])
def test_whole_questions_in_any_ranks_file_are_not_asked_for_again(
    tmp_path: Path, others: list[tuple[str, list[int]]]
) -> None:
    """others: files, by their ends, with samples of the third question; each has a question of its own besides."""
    path, whole = tmp_path / "exam.jsonl", tmp_path / "whole.jsonl"
    answer_all(whole, "exam", QUESTIONS, 3, Known(3, samples=3))
    lines = whole.read_text().splitlines()
    for place, (end, samples) in enumerate(others):
        kept = [*lines[3 * place : 3 * place + 3], *(lines[3 * 2 + sample] for sample in samples), lines[-1], "{torn"]
        unfinished(path).with_name(unfinished(path).name + end).write_text("\n".join(kept))
    complete = {sample for _, samples in others for sample in samples} == {0, 1, 2}
    resumed = Known(3, samples=3)
    answer_all(path, "exam", QUESTIONS, 3, resumed)
    assert sorted(resumed.asked) == [place for place in range(len(others), 7) if place != 2 or not complete]
    assert path.read_bytes() == whole.read_bytes()
    assert not list(tmp_path.glob("*.unfinished*"))


def test_a_rank_takes_parts_and_keeps_what_is_finished_before_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answering, "world_size", lambda: 2)
    monkeypatch.setattr(answering, "_PARTS", 2)  # of a sitting of 4
    path = tmp_path / "exam.jsonl"
    with pytest.raises(KeyboardInterrupt):
        answer_all(path, "exam", QUESTIONS, 2, Known(4, breaks=5))
    kept = [from_json(Attempt, line).question_id for line in unfinished(path).read_text().splitlines()[::2]]
    assert kept == ["q1", "q3", "q0", "q6"]  # two parts of the order, each backwards
    resumed = Known(4)
    answer_all(path, "exam", QUESTIONS, 2, resumed)
    assert resumed.asked == [5, 2, 4]
    assert [attempt.question_id for attempt in read_records(path, Attempt)[::2]] == [f"q{place}" for place in range(7)]


def test_answers_of_another_machine_that_cannot_be_seen_are_missed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answering, "_own_file", lambda path: tmp_path / "another disk")
    (tmp_path / "another disk").touch()
    with pytest.raises(WorkspaceError, match="14 answers that other processes wrote"):
        answer_all(tmp_path / "exam.jsonl", "exam", QUESTIONS, 2, Known(3))

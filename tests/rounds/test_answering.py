"""Sittings are kept as a whole, and a resumed run goes on behind them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tutelage.records import Attempt, Question
from tutelage.rounds.answering import answer_all
from tutelage.student.sampling import Finished
from tutelage.student.stopping import Completion
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

    def answer(self, sitting: Sequence[int], finished: Finished | None = None) -> list[list[Completion]]:
        assert finished is not None
        for place in reversed(sitting):
            if len(self.asked) == self.breaks:
                raise KeyboardInterrupt
            self.asked.append(place)
            finished(place, [Completion(f" So.\nAnswer: {place}", 5, True)] * self.samples)
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


@pytest.mark.parametrize(("order", "kept"), [([0, 1, 2, 3, 4, 5], 3), ([0, 1, 2, 3], 2), ([2, 3, 0, 1], 0)])
def test_answers_that_do_not_fit_the_plan_are_asked_for_again(tmp_path: Path, order: list[int], kept: int) -> None:
    """order: of the first lines in the file; two belong to each question."""
    path, whole = tmp_path / "exam.jsonl", tmp_path / "whole.jsonl"
    answer_all(whole, "exam", QUESTIONS, 2, Known(3))
    lines = break_off(path, 3, 6)
    if len(order) == 4 and kept:  # the third question has lost its first sample
        lines[4:5] = []
    unfinished(path).write_text("".join(lines[place] + "\n" for place in [*order, *range(len(order), len(lines))]))
    expected = kept if kept < 3 else 6
    resumed = Known(3)
    answer_all(path, "exam", QUESTIONS, 2, resumed)
    assert sorted(resumed.asked) == sorted(ORDER[expected:])
    assert path.read_bytes() == whole.read_bytes()

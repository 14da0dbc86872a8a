"""From attempts to mistakes."""

from __future__ import annotations

from tutelage.records import Attempt, Mistake, Question
from tutelage.rounds.answering import grade
from tutelage.rounds.exam import find_mistakes
from tutelage.student.answering.stopping import Completion


def attempt(question: str, rationale: str, answer: str | None, correct: bool = False) -> Attempt:
    return Attempt(question, 0, rationale, rationale, answer, correct, 5, True)


def test_only_wrong_attempts_are_mistakes_and_each_once() -> None:
    attempts = [
        attempt("a", "2 + 2 = 5.", "5"),
        attempt("a", "2 + 2 = 4.", "4", correct=True),
        attempt("a", "2 +  2 =\n5.", "5"),  # the same words
        attempt("a", "Who knows", None),  # an answer that cannot be read is a mistake, too
        attempt("b", "2 + 2 = 5.", "5"),  # the same words about another question
    ]
    assert find_mistakes(attempts, 4) == [
        Mistake("a", "2 + 2 = 5.", "5"),
        Mistake("a", "Who knows", None),
        Mistake("b", "2 + 2 = 5.", "5"),
    ]


def test_so_many_a_question_are_kept() -> None:
    attempts = [attempt("a", f"It is {number}.", str(number)) for number in range(9)]
    assert [mistake.answer for mistake in find_mistakes(attempts, 4)] == ["0", "1", "2", "3"]


def test_a_completion_is_graded_by_its_answer_line() -> None:
    question = Question("a", "What is 7 + 1?", "8", "number")
    right = grade(question, 2, Completion(" 7 + 1 = 8.\nAnswer: 8", 9, True))
    assert (right.question_id, right.sample, right.rationale, right.answer) == ("a", 2, "7 + 1 = 8.", "8")
    assert right.correct
    cut_off = grade(question, 0, Completion(" 7 + 1 = 8. And so 8 and 8", 9, False))
    assert (cut_off.answer, cut_off.correct, cut_off.finished) == (None, False, False)

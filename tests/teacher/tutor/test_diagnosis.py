"""The first departure: what is wrong, where, and what would be right."""

from __future__ import annotations

import pytest

from tests.teacher.asking import LEGS, numbered
from tutelage.records import Question
from tutelage.teacher.tutor.diagnosis import compare, first_departure

CASES = [
    ("3 cows have 3 * 4 = 11 legs. 2 ducks have 2 * 2 = 4 legs.", "wrong arithmetic", 0, 0, "3 * 4 is 12, not 11"),
    ("3 * 4 = 12. 2 * 2 = 4. 12 + 4 = 17.", "wrong arithmetic", 2, 2, "12 + 4 is 16, not 17"),
    ("3 * 4 = 12. 2 ducks have 2 * 4 = 8 legs.", "wrong quantity", 1, 1, "the step is 2 * 2 = 4, not 2 * 4 = 8"),
    ("3 + 2 = 5. 5 * 4 = 20.", "wrong quantity", 0, 0, "the step is 3 * 4 = 12, not 3 + 2 = 5"),
    ("3 cows have 12 legs. 2 ducks have 6 legs.", "wrong quantity", 1, 1, "nothing here is 6"),
    ("2 * 2 = 4. 3 cows have 3 * 2 = 6 legs.", "wrong quantity", 1, 0, "the step is 3 * 4 = 12, not 3 * 2 = 6"),
    ("3 cows have 3 * 4 = 12 legs. So there are 12 legs.", "missing step", 2, 1, "2 * 2 = 4 is missing"),
    ("3 * 4 = 12. 2 * 2 = 4.", "missing step", 2, 2, "12 + 4 = 16 is missing"),
    ("3 * 4 = 12. 2 * 2 = 4. 12 + 4 = 16. 16 + 5 = 21.", "surplus step", 3, 2, "complete before it, with 16"),
    ("I do not know.", "unreadable", 0, None, "no steps to compare"),
    ("", "unreadable", 0, None, "no steps to compare"),
]


@pytest.mark.parametrize(("text", "kind", "step", "right_step", "reason"), CASES)
def test_the_first_departure(text: str, kind: str, step: int, right_step: int | None, reason: str) -> None:
    departure = first_departure(text, LEGS)
    assert departure is not None
    assert (departure.kind, departure.step, departure.right_step) == (kind, step, right_step)
    assert reason in departure.reason
    assert departure.student in text
    assert LEGS.rationale is not None
    assert departure.right in LEGS.rationale


@pytest.mark.parametrize("text", [LEGS.rationale, "2*2=4, 4 x 3 = 12\n4 + 12 = 16", "3 * 4 + 2 * 2 = 16"])
def test_a_solution_that_agrees_has_none(text: str) -> None:
    assert first_departure(text, LEGS) is None


def test_right_steps_stay_in_the_students_words_only_where_they_fit() -> None:
    comparison = compare("The ducks have 2 x 2 = 4 legs!\n2 cows have 3 * 4 = 12 legs.\n12 + 4 = 15.", LEGS)
    assert comparison.kept == ("The ducks have 2 x 2 = 4 legs!",)  # the cows are 3
    assert comparison.rest == ("3 cows have 3 * 4 = 12 legs.", "12 + 4 = 16.")
    comparison = compare("The cows have 2 * 2 = 4 legs. 12 + 4 = 16. Then 9.", LEGS)
    assert comparison.kept == ()  # cows are not the ducks, and the 12 was never found


def test_a_worked_solution_without_equations_cannot_be_compared() -> None:
    question = Question("own/1", "Can all birds fly?", "No", "yes/no", rationale="Penguins cannot fly.")
    departure = first_departure("Birds have wings.", question)
    assert departure is not None
    assert (departure.kind, departure.right) == ("unreadable", "Penguins cannot fly.")


def test_a_wrong_equation_in_the_worked_solution_is_no_measure() -> None:
    question = Question("own/1", "Half of 10?", "5", "number", rationale="10 / 2 = 4. 10 * 0.5 = 5.")
    assert first_departure("10 * 0.5 = 5", question) is None
    assert question.rationale is not None
    assert first_departure(question.rationale, question) is None


def test_a_question_without_a_worked_solution_is_refused() -> None:
    with pytest.raises(ValueError, match="no worked solution"):
        first_departure("1 + 1 = 2", numbered(1))

"""Whether a rationale's answer comes from its question's numbers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tutelage.evaluation.steps import LONGEST
from tutelage.records import Question
from tutelage.rounds.founded import is_founded

HENS = Question("h", "12 hens lay 3 eggs each. Of these 20 are sold. How many are left?", "16", "number")
RENT = Question("r", "The rent of $900 rises by 20%. What does half a year cost from then?", "6480", "number")

FOUNDED = [
    (HENS, "12 * 3 = 36, and 36 - 20 = 16."),
    (HENS, "(12 * 3) - 20 = 16"),
    (HENS, "12 * 3 - 20 = 36 - 20 = 16"),
    (HENS, "20 are gone: 3 * 12 = <<3*12=36>>36; 20 - 36 = -16, so 16 are left."),
    (HENS, "12 * 3 = 36. 20 is more than half of 36, which is 36 / 2 = 18. 36 - 20 = 16."),
    (HENS, "12 * 3 = 38, and 38 - 20 = 16."),  # wrong steps are another rule's
    (HENS, "12 * 3 is 36, and 36 - 20 gives 16."),
    (HENS, "Eggs = 12 * 3 = 36, so 36 - 20 = 16 are left."),
    (HENS, "Let x be those left. 12 * 3 = 36, x + 20 = 36, so x = 16."),
    (HENS, "3(12) = 36, and 36 - 20 = 16."),
    (RENT, "20% of 900 = 180. 900 + 180 = 1080. 12 / 2 = 6 months come to 6 * 1080 = 6480."),
    (RENT, "It is 120% of $900 = $1,080 a month, so 1,080 * 12 / 2 = $6,480."),
    (RENT, "0.2 * 900 = 180, 180 + 900 = 1080, a year 12 * 1080 = 12960, and 12960 / 2 = 6480."),
]
PIE = Question("p", "A quarter of an $8 pie is sold, and a cup of tea for 50 cents. What was paid?", "2.50", "number")
FOUNDED += [(PIE, "0.25 * 8 = 2 for the pie, so 2 + 0.50 = 2.50"), (PIE, "8 / 4 = 2, and 2 + 0.5 = $2.50.")]
UNFOUNDED = [
    (HENS, "There are 16."),
    (HENS, "They lay 12 * 3 = 36 eggs. So the answer is 16."),
    (HENS, "36 - 20 = 16 are left."),  # 12 * 3 was done in the head
    (HENS, "12 * 3 = 36. Then 4 break, 36 - 4 = 32, and 32 / 2 = 16."),
    (HENS, "12 + 4 = 16"),
    (HENS, "16 = 16"),
    (HENS, "Eggs left = 16."),
    (HENS, "x = 16"),
    (HENS, "Broken = 4. 20 - 4 = 16."),
    (HENS, "Total = 4 * 4 = 16"),
    (HENS, "Eggs left = 4 + 12 = 16"),
    (RENT, "1.25 * 900 = 1080, 1080 * 12 = 12960, 12960 / 2 = 6480."),
]


@pytest.mark.parametrize(("question", "rationale"), FOUNDED)
def test_an_answer_that_the_equations_come_to_is_founded(question: Question, rationale: str) -> None:
    assert is_founded(rationale, question)


@pytest.mark.parametrize(("question", "rationale"), UNFOUNDED)
def test_an_answer_or_a_number_from_nowhere_is_unfounded(question: Question, rationale: str) -> None:
    assert not is_founded(rationale, question)


def test_of_other_questions_and_of_long_texts_nothing_is_said() -> None:
    assert is_founded("So yes.", Question("b", "Can 2 hens lay 3 eggs?", "yes", "yes/no"))
    assert is_founded("So B.", Question("c", "What are 2 and 2?", "B", "choice", ("3", "4")))
    assert is_founded("There are 16." + " " * LONGEST, HENS)


@given(st.text(alphabet="0123456789 +-*/=().,$%xof\n<#•é", max_size=80), st.sampled_from(["7", "-2.5", "1/3", "many"]))
def test_no_text_breaks_it(text: str, answer: str) -> None:
    assert is_founded(text, Question("x", text, answer, "number")) in (True, False)

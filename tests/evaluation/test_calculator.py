"""Answers as an exact calculator would have them."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tutelage.evaluation.calculator import calculated_answer, exact_results


@pytest.mark.parametrize(
    ("rationale", "answer", "calculated"),
    [
        ("12 * 3 = 38 eggs. 38 - 20 = 16 are left.", "16", "16"),  # wrong twice, and right
        ("12 * 3 = 38 eggs. 38 - 20 = 18 are left.", "18", "16"),
        ("12 * 3 = 36 eggs. 36 - 20 = 14 are left.", "14", "16"),
        ("12 * 3 = 36 eggs. 36 - 20 = 16 are left.", "16", "16"),
        ("12 + 3 = 15.", "15", "15"),  # exact, and wrong in another way
        ("12 * 3 = 38.", "7", "7"),  # an answer from nowhere
        ("$12 * 3 = $38; half of it: $38 / 2 = $20.", "20", "18"),
        ("5 / 2 = 2 each, so 2 * 4 = 8.", "8", "10"),
        ("10 / 3 = 3 each, so 3 * 6 = 18.", "18", "18"),  # a third is no number that could be put there
        ("3 - 5 = 2, so 2 * 4 = 8.", "8", "8"),  # nor is what is less than nothing
        ("10 / 3 = 3.", "3", "10/3"),
        ("1,200 + 1,300 = 2,400.", "2400", "2500"),
        ("12 * 3 = 38.\nAnswer: 38", "38", "36"),
        ("12 * 3 = 38.", None, None),
        ("50% of 12 = 5.", "5", "6"),
        ("It is so.", "Yes", "Yes"),
        ("12 * 3 = 38.", "38%", "38%"),
        ("1 / 0 = 3.", "3", "3"),
        ("9 * (5 + 2) = 9 * 7 = 63.", "63", "63"),  # the second 9 says nothing of the first side
        ("9 * (5 + 2) = 9 * 7 = 65.", "65", "63"),
        ("6 * 9 + 2 * 9 = 54 + 18 = 74. Then 74 - 2 = 72.", "72", "70"),
        ("4 * (4 + 4) = 6 * 8 = 48.", "48", "48"),  # what the 6 says is not clear
        ("3 + 4 = 7 + 2 = 10.", "10", "9"),
        ("2 + 3 = 1 + 4, and 1 is left.", "1", "1"),
        ("10 / 3 = 3.33, and 3 of them weigh 3.33 * 3 = 10.", "10", "10"),
        ("10 / 3 = 3.33.", "3.33", "3.33"),
        ("10 / 3 = 3.43.", "3.43", "10/3"),
        ("5 - 8 = -3, so 3 are missing.", "3", "3"),
        ("5 - 8 = -2.", "-2", "-3"),
        ("1 hour - 20 minutes = 40 minutes.", "40", "40"),
    ],
)
def test_equations_are_worked_out_in_their_order(rationale: str, answer: str | None, calculated: str | None) -> None:
    assert calculated_answer(rationale, answer) == calculated


@given(st.text(max_size=80), st.one_of(st.none(), st.text(max_size=8)))
def test_any_text_has_an_answer_or_none(rationale: str, answer: str | None) -> None:
    assert (calculated_answer(rationale, answer) is None) == (answer is None)


@given(st.lists(st.integers(1, 99), min_size=2, max_size=6), st.integers(0, 3))
def test_a_right_chain_stays_as_it_is(numbers: list[int], wrong: int) -> None:
    total, said = numbers[0], []
    for number in numbers[1:]:
        said.append(f"{total} + {number} = {total + number}.")
        total += number
    assert calculated_answer(" ".join(said), str(total)) == str(total)
    assert all(claim == value for claim, value in exact_results(" ".join(said)).items())
    off = f"{total} + 1 = {total + 1 + wrong}."
    assert exact_results(off) == {Fraction(total + 1 + wrong): Fraction(total + 1)}


def test_what_grows_without_end_is_not_followed() -> None:
    assert calculated_answer("3 * 3 * 3 * 3 = 3. " * 900, "3") is not None  # each 3 is what the one before came to


def test_a_text_that_is_too_long_is_not_read() -> None:
    assert calculated_answer("12 * 3 = 38. " + "x" * 20_000, "38") == "38"

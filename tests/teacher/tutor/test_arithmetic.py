"""Equations are read as people write them, and judged exactly."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tutelage.teacher.tutor.arithmetic import DIGITS, read_numbers, read_steps, show

RIGHT = [
    ("3 cows have 3 * 4 = 12 legs.", ["3 * 4 = 12"]),
    ("Ann sold 48/2 = <<48/2=24>>24 clips.", ["48/2 = 24"]),
    ("She earned 0.2 x 50 = $<<0.2*50=10>>10.", ["0.2 x 50 = $10"]),
    ("She needs 100 - 50 - 30 - 15 = $5 more", ["100 - 50 - 30 - 15 = $5"]),
    ("4 - 1 = 3. 3 - 7 = -4. -4 + 9 = 5.", ["4 - 1 = 3", "3 - 7 = -4", "-4 + 9 = 5"]),
    ("2 - -3 = 5", ["2 - -3 = 5"]),
    ("96 plants × $3 per plant = $288", ["96 plants × $3 per plant = $288"]),
    ("So 30% of 160 = 48.", ["30% of 160 = 48"]),
    ("1/2 of 100 = 50", ["1/2 of 100 = 50"]),
    ("That is 12 / 20 = 60%.", ["12 / 20 = 60%"]),
    ("10/3 = 3.33", ["10/3 = 3.33"]),
    ("2/3 = 0.67, or 2 ÷ 3 = 0.66", ["2/3 = 0.67", "2 ÷ 3 = 0.66"]),
    ("(3 + 4) * 2 = 14", ["(3 + 4) * 2 = 14"]),
    ("He has (3 + 4 = 7) apples.", ["3 + 4 = 7"]),
    ("$1,000 - 12.5 x 8 = $900", ["$1,000 - 12.5 x 8 = $900"]),
    ("3+4=7+2=9", ["3+4=7", "7+2=9"]),
    ("2 * 6 = 3 * 4 = 12", ["2 * 6 = 3", "3 * 4 = 12"]),
    ("- 5 * 3 = 15", ["5 * 3 = 15"]),
    ("6*t=48-18=30", ["48-18=30"]),
    ("75 in all, shoes cost $55, which left a difference of 75-55 = $20", ["75-55 = $20"]),
    ("1. 5 * 3 = 15", ["5 * 3 = 15"]),
    ("8 hours * $18.00/hour = $144.00/day", ["8 hours * $18.00/hour = $144.00"]),
    ("The 12-year-old has 3 − 2 = 1 coin.", ["3 − 2 = 1"]),
    ("2*x-x/2 = 15, so 3 + 4 = 7", ["3 + 4 = 7"]),
    ("Each T-shirt costs $ 51 - $ 8 = $ 43.", ["$ 51 - $ 8 = $ 43"]),
]


@pytest.mark.parametrize(("text", "equations"), RIGHT)
def test_right_equations_are_read(text: str, equations: list[str]) -> None:
    found = [equation for step in read_steps(text) for equation in step.equations]
    assert [equation.text for equation in found] == equations
    assert all(equation.right for equation in found)


@pytest.mark.parametrize(
    "text", ["3 * 4 = 11", "7 / 2 = 3", "12 - 5 = -7", "10/3 = 3.43", "3+4=8+2=10", "50% of 30 = 14"]
)
def test_wrong_equations_are_wrong(text: str) -> None:
    ((first, *_),) = [step.equations for step in read_steps(text)]
    assert not first.right


@pytest.mark.parametrize(
    "text",
    [
        "48=48 emails",
        "1 / 0 = 3",
        "3 * 4 is 12",
        "x = 5",
        "5 = 2 + 3",
        "3*6+6*t=48",
        "3x + 6 = 48",
        "8 x 1 1/2 = 12",
        "66(1/3) = 22",
        "(((",
        "= = =",
        "12-year-old",
    ],
)
def test_what_is_no_equation_is_left_alone(text: str) -> None:
    assert not [equation for step in read_steps(text) for equation in step.equations]


def test_steps_are_sentences_and_lines_and_bullets_are_no_numbers() -> None:
    steps = read_steps("1. First 2 cats.\n   • 3.5 kg! Then 1,000 more\nStep 4: done\n#### 70")
    assert [step.text for step in steps] == ["1. First 2 cats.", "• 3.5 kg!", "Then 1,000 more", "Step 4: done"]
    assert [sorted(step.numbers) for step in steps] == [[2], [Fraction(7, 2)], [1000], []]


@given(st.lists(st.tuples(st.integers(0, 999), st.sampled_from("+-*/")), min_size=2, max_size=6))
def test_any_chain_is_worth_what_python_says(parts: list[tuple[int, str]]) -> None:
    expression = "".join(f"{number} {sign} " for number, sign in parts)[:-3]
    python = " ".join(f"Fraction({piece})" if piece.isdigit() else piece for piece in expression.split(" "))
    try:
        value = eval(python, {"Fraction": Fraction})  # noqa: S307
    except ZeroDivisionError:
        return
    ((equation,),) = [step.equations for step in read_steps(f"{expression} = 7")]
    assert equation.value == value
    assert equation.right == (value == 7)


@given(st.text(alphabet="0123456789 +-*/=().,$%xof\n<#•", max_size=80))
def test_no_text_breaks_it(text: str) -> None:
    read_steps(text)


@given(st.integers(1, 20_000), st.sampled_from(["{}", "1 + {} = 2", "2 * 3 = {}", "0.{} * 2 = 4", "${}%", "1,{}"]))
def test_a_number_of_any_length_is_read_or_left_alone(length: int, form: str) -> None:
    text = form.format("7" * length)
    steps = read_steps(text)
    assert all(number < 10**DIGITS for number in read_numbers(text))
    if length > DIGITS:
        assert not [equation for step in steps for equation in step.equations]


def test_long_products_can_be_shown() -> None:
    ((equation,),) = [step.equations for step in read_steps(" * ".join(["9" * DIGITS] * 29) + " / 7 = 1")]
    assert show(equation.value).endswith("/7")
    assert show(Fraction(10**400) + Fraction(1, 8)).endswith("0.125")


def test_numbers_show_as_people_write_them() -> None:
    assert [show(Fraction(text)) for text in ("12", "-5/2", "10/3", "1/8")] == ["12", "-2.5", "10/3", "0.125"]

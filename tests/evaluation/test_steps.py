"""The first wrong step of a rationale."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tutelage.evaluation.steps import LONGEST, check_arithmetic
from tutelage.teacher.tutor.arithmetic import show


@pytest.mark.parametrize(
    ("text", "equations", "wrong", "value"),
    [
        ("5 hens have 5 * 2 = 10 legs. 10 + 4 = 15 legs. 15 - 1 = 13.", 2, "10 + 4 = 15", "14"),
        ("12 * 5 is 50", 1, "12 * 5 is 50", "60"),
        ("20% of 50 equals 11", 1, "20% of 50 equals 11", "10"),
        ("He pays $1,200 - $150.50 = $1,040.", 1, "$1,200 - $150.50 = $1,040", "1049.5"),
        ("48/2 = <<48/2=25>>25 clips", 1, "48/2 = <<48/2=25>>25", "24"),
        ("3 + 4 = 7 + 2 = 10", 2, "7 + 2 = 10", "9"),
        ("13 + 4 = 17, and 3 + 4 = 8", 2, "3 + 4 = 8", "7"),
        ("1. 2 × (3 + 4) = 15\n2. 15 − 1 = 14", 1, "2 × (3 + 4) = 15", "14"),
        ("10 / 4 = 3 buses, 10 / 4 = 2, 10 / 3 = 3.33", 3, None, None),
        ("5 * 3 is 10 more than 5, and 5 + 5 is 20% of 50", 0, None, None),
        ("3 * t + 6 = 48, so 54 = 62", 0, None, None),
        ("No sums here.\nAnswer: 3 + 4 = 8", 0, None, None),
    ],
)
def test_the_first_equation_that_does_not_hold(text: str, equations: int, wrong: str | None, value: str | None) -> None:
    found = check_arithmetic(text)
    assert found.equations == equations
    assert (found.wrong and text[found.wrong.start : found.wrong.end]) == wrong
    assert (found.wrong and found.wrong.right_value) == value


def test_the_mark_is_on_the_equation_itself_and_not_on_digits_that_read_alike() -> None:
    text = "b + 13 + 4 = 8 is unread, and 3 + 4 = 8"
    found = check_arithmetic(text)
    assert found.wrong is not None
    assert found.wrong.start == text.rindex("3 + 4")


_NUMBERS = st.integers(0, 10**6)
_SIGNS = {"+": "+", "-": "-", "*": "*", "x": "*", "×": "*", "/": "/", "÷": "/"}


@given(
    a=_NUMBERS, b=st.integers(1, 10**4), sign=st.sampled_from(sorted(_SIGNS)), off=st.integers(-50, 50),
    link=st.sampled_from(["=", "is", "equals"]), before=st.sampled_from(["", "So ", "First, 2 + 2 = 4. Then ", "= \n"]),
    after=st.sampled_from(["", ".", " apples.", "\nAnswer: 3", ", 1 + 1 = 3"]),
)  # fmt: skip
def test_an_equation_is_wrong_when_its_sides_differ_and_marked_where_it_stands(
    a: int, b: int, sign: str, off: int, link: str, before: str, after: str
) -> None:
    kind = _SIGNS[sign]
    value = Fraction(a, b) if kind == "/" else Fraction({"+": a + b, "-": a - b, "*": a * b}[kind])
    claimed = int(value) + off
    equation = f"{a:,} {sign} {b} {link} {claimed}"
    text = before + equation + after
    found = check_arithmetic(text)
    # Whole numbers on either side of a fraction are as it is rounded, up or down.
    if (link != "=" and claimed < 0) or abs(value - claimed) < (1 if value.denominator > 1 else Fraction(1, 10)):
        assert found.wrong is None or after == ", 1 + 1 = 3"
        return
    assert found.wrong is not None
    assert text[found.wrong.start : found.wrong.end] == equation
    assert found.wrong.right_value == show(value)


@given(st.text(alphabet="0123456789+-*/=().,%$ xis\n<>½٣−×a", max_size=80) | st.text(max_size=60))
def test_any_text_is_read_without_an_error_and_marked_within_it(text: str) -> None:
    found = check_arithmetic(text)
    if found.wrong is not None:
        assert 0 <= found.wrong.start < found.wrong.end <= len(text)
        assert text[found.wrong.start : found.wrong.end].strip() == text[found.wrong.start : found.wrong.end]
        assert found.equations > 0


def test_a_degenerate_text_costs_no_time() -> None:
    for text in ("1 + " * (LONGEST // 4), "1 is " * (LONGEST // 5), "<<" * (LONGEST // 2), "1+1=3 " * 10_000):
        check_arithmetic(text)
    assert check_arithmetic("1+1=3" + " " * LONGEST).wrong is None

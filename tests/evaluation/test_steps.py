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


@pytest.mark.parametrize(
    "text",
    [
        # Algebra says something of what is not known yet.
        "Combine them: 3A + 6 = 18",
        "So (2C + 9) / 3 = 7",
        "We know that A + (4A - 5) = 30",
        "5Hens + 2 = 38",
        "20 * 3 + 22 * A = 504",
        "3/4 * total_eggs = 12",
        "12 + the hens' eggs - 8 = 36",
        "6 + 3 = 3x - 30",
        "7 - 2 = 4x + x",
        "E = I + (1/5)I = (6/5)I",
        "40 + 5 = (3/4)(F - 5)",
        "10 + 14 = 1/2 * (B + 14)",
        "4/2 = 8/x",
        "4 hens / 2 coops = 9 hens / y coops",
        # What an expression belongs to stands before it, or counts in another measure.
        "The cost - 5 - 3 = 20",
        "The cost / (4/5) = 100",
        "S1 + (1/4 * S1) = 40",
        "He ate 2 and 1/3 * 3 = 7 cakes",
        "A coop and a quarter of it (0.25 * 16) = 16 + 4 = 20",
        "From 10 am to 10 pm is 10 pm - 10 am = 12 hours",
        "It leaves at 12:10 + 25 = 12:35",
        "$110 million x 10 = $1.1 billion",
        "40 cents * 600 hens = $240",
        "2.8 x 10^12 / 2 = 1.4 x 10^12",
        "Day 1 - 5 * 2 = 10 eggs",
        # Rounded on the way.
        "9 / 27 * 100 = 33.3%",
        "15 / 59 * 30 = about 7.7",
        "1,114 / 99 = 11.24",
        "0.5 + 0.6667 - 0.1667 = 0.9999",
    ],
)
def test_what_is_no_mistake_is_not_marked(text: str) -> None:
    assert check_arithmetic(text).wrong is None


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("So 7 + 8 = 7 + 4 = 11", "7 + 8 = 7"),
        ("First 2 - 5 = -1. Then 4 + 4 = 8.", "2 - 5 = -1"),
        ("In all:\n\n34 + 42 = 86", "34 + 42 = 86"),
        ("He has 27 hens and 55 - 59 = 4 ducks", "55 - 59 = 4"),
        ("- (28 - 63) = 35 more", "(28 - 63) = 35"),
        ("8 hens + 5 ducks = 14 birds. That is half of 28.", "8 hens + 5 ducks = 14"),
        ("18 / 4 = 4.9", "18 / 4 = 4.9"),
        ("$17.50 + $14.40 = $32.00", "$17.50 + $14.40 = $32.00"),
        ("450 / 45 = 10.01", "450 / 45 = 10.01"),
    ],
)
def test_what_is_a_mistake_is_marked(text: str, wrong: str) -> None:
    found = check_arithmetic(text).wrong
    assert found is not None
    assert text[found.start : found.end] == wrong


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

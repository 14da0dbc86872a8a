import random
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tutelage.evaluation.steps import check_arithmetic
from tutelage.records import Question
from tutelage.rounds.renumbering import Renumbered, read_template


def question(text: str, answer: str) -> Question:
    return Question("farm/1", text, answer, "number")


HENS = question("A farm has 12 hens, and each lays 3 eggs. It sells 20 of the eggs. How many are left?", "16")
HENS_REASONED = "12 hens lay 12 * 3 = 36 eggs. Of the 36 eggs 20 are sold, so 36 - 20 = 16 are left."


def filled(asked: Question, rationale: str, seed: int = 0) -> Renumbered:
    template = read_template(asked, rationale)
    assert template is not None
    made = template.fill(random.Random(seed))
    assert made is not None
    return made


def test_question_rationale_and_answer_get_the_same_other_numbers() -> None:
    made = filled(HENS, HENS_REASONED)
    hens, eggs, sold = map(int, re.findall(r"\d+", made.text))
    assert made.text == HENS.text.replace("12", str(hens)).replace(" 3 ", f" {eggs} ").replace("20", str(sold))
    laid, left = hens * eggs, hens * eggs - sold
    assert made.rationale == (
        f"{hens} hens lay {hens} * {eggs} = {laid} eggs. Of the {laid} eggs {sold} are sold, "
        f"so {laid} - {sold} = {left} are left."
    )
    assert made.answer == str(left)
    assert made.numbers == {12: hens, 3: eggs, 20: sold}


def test_numbers_keep_their_digits_and_the_zeros_at_their_end() -> None:
    asked = question("A mill grinds 300 sacks and then 45 sacks. How many is that?", "345")
    for seed in range(50):
        made = filled(asked, "That is 300 + 45 = 345 sacks.", seed)
        first, second = (made.numbers[old] for old in (300, 45))
        assert first in range(100, 1000, 100)
        assert second in range(10, 100)


def test_thousands_are_set_apart_as_they_were() -> None:
    asked = question("A lake has 1,200 trout and 2,345 carp. How many fish are that?", "3545")
    made = filled(asked, "1,200 + 2,345 = 3,545 fish.")
    assert re.fullmatch(r"A lake has \d,\d00 trout and \d,\d{3} carp. How many fish are that\?", made.text)
    assert re.fullmatch(r"\d,\d00 \+ \d,\d{3} = \d,\d{3} fish.", made.rationale)
    assert "," not in made.answer


def test_what_words_bring_with_them_stays() -> None:
    asked = question("A baker sells 30 rolls each day. How many does he sell in a week?", "210")
    made = filled(asked, "A week has 7 days, so he sells 30 * 7 = 210 rolls.")
    number = made.numbers[30]
    assert made.rationale == f"A week has 7 days, so he sells {number} * 7 = {7 * number} rolls."


def test_a_list_keeps_the_numbers_of_its_points() -> None:
    made = filled(HENS, "1. They lay 12 * 3 = 36 eggs.\n2. Then 36 - 20 = 16 are left.")
    assert made.rationale.startswith("1. They lay ")
    assert "\n2. Then " in made.rationale


def test_a_division_comes_out_even() -> None:
    asked = question("A cook fills 84 dumplings into bowls of 6. How many bowls does she need?", "14")
    for seed in range(20):
        made = filled(asked, "She needs 84 / 6 = 14 bowls.", seed)
        assert made.numbers[84] % made.numbers[6] == 0


@pytest.mark.parametrize(
    ("asked", "rationale"),
    [
        (HENS, "They lay 12 * 3 = 36 eggs, and 16 are left."),  # 16 is from nowhere
        (HENS, "They lay 12 * 3 = 36 eggs. 36 - 20 = 17, so 16."),  # does not hold
        (HENS, "12 * 3 - 20 = 36 - 20 = 16 are left."),  # what the first one comes to is an expression
        (HENS, "There are 16 left."),  # nothing is worked out
        (HENS, "12 * 3 = 36 and 36 - 20 = 16, which is 50% of 32."),
        (HENS, "12 * 3 = 36 and 36 - x = 16 for x = 20."),  # not every equals sign is read
        (HENS, "12 * 3 = 36 and 36 - 20 = 16. The 3rd egg is whole."),  # a 3 that is another
        (question("Half of 12 hens lay 2 eggs each. How many?", "12"), "12 / 2 = 6, and 6 * 2 = 12."),  # which 2?
        (question("Of 10 hens 5 are black. How many are white?", "5"), "10 - 5 = 5 are white."),  # which 5?
        (question("Milk costs 2.50, bread 4. How much is that?", "6.5"), "2.50 + 4 = 6.50"),
        (question("It takes 1/2 hour and 30 minutes. How many minutes?", "60"), "30 + 30 = 60"),
        (question("A hen lays 3 eggs. How many do 1 hens lay?", "3"), "1 * 3 = 3"),
        (question("Is 3 + 4 = 7?", "7"), ""),
        (Question("farm/2", "Which is 3 + 4?", "B", "choice", ("6", "7")), "3 + 4 = 7"),
        (  # which one is the larger turns round
            question(
                "A red bale weighs 30 pounds, and a blue one 20. What does the heavier one of them and a 5 weigh?", "35"
            ),
            "30 is more than 20, and 30 + 5 = 35.",
        ),
        (  # a part of a pack is bought whole
            question("A cook wants 30 rolls and 4 for herself. Packs of 20 cost $6 each. What does she pay?", "12"),
            "She needs 30 + 4 = 34 rolls, so at least two packs: 2 * 6 = 12.",
        ),
        (  # the three of them are 2 others and she
            question("Ida and 2 others each bake 14 rolls. How many are that?", "42"),
            "There are three bakers, and they bake 3 * 14 = 42 rolls.",
        ),
        (HENS, "They lay 12 * 3 = 36 eggs, that is thirty-six. 36 - 20 = 16 are left."),
        (question("A farm has " + "very " * 500 + "many: 3 + 4 hens.", "7"), "3 + 4 = 7"),
    ],
)
def test_where_there_is_a_doubt_nothing_is_made(asked: Question, rationale: str) -> None:
    assert read_template(asked, rationale) is None


@pytest.mark.parametrize(
    ("asked", "rationale", "stays"),
    [
        (
            question("Two guests of 6 and 9 years pay 40 cents less than $7 each if below 10. What is 40 and 7?", "47"),
            "It is 40 + 7 = 47.",
            {6, 9, 10},
        ),
        (
            question("A smith works 8 hours a day for 15 days and gets $60 an hour. What is that?", "7200"),
            "8 * 15 = 120 hours, and 120 * 60 = 7200.",
            {8, 60},
        ),
        (
            question("On May 12, 1987 a mill opens at 7 am and grinds 30 sacks of 46 pounds. How many?", "1380"),
            "30 * 46 = 1380 pounds.",
            {12, 1987, 7},
        ),
        (question("Twenty-five goats and 25 hens meet 40 hens. How many hens?", "65"), "25 + 40 = 65.", {25}),
        (question("A clerk works 5 days a week and sells 30 pens on each. How many?", "150"), "5 * 30 = 150", {5}),
    ],
)
def test_ages_hours_of_a_day_and_dates_stay(asked: Question, rationale: str, stays: set[int]) -> None:
    for seed in range(20):
        made = filled(asked, rationale, seed)
        assert not stays & set(made.numbers)
        assert all(re.search(rf"\b{number}\b", made.text) for number in stays)


def test_numbers_keep_their_order() -> None:
    asked = question("Of 48 hens 19 are brown, 27 are white, and 14 lay. How many are brown or white?", "46")
    for seed in range(50):
        numbers = filled(asked, "19 + 27 = 46 hens.", seed).numbers
        assert set(numbers) == {19, 27}
        assert 14 < numbers[19] < numbers[27] < 48  # as 14 and 48 are


def test_none_where_no_numbers_fit() -> None:
    asked = question("Of 9 hens 8 are sold and then 2 are bought. How many are there?", "3")
    template = read_template(asked, "9 - 8 = 1 left, 1 + 2 = 3.")
    assert template is None  # 1 stays 1
    template = read_template(HENS, HENS_REASONED)
    assert template is not None
    assert template.fill(random.Random(0), tries=0) is None


def test_the_answer_that_a_rationale_comes_to_for_given_numbers() -> None:
    template = read_template(HENS, HENS_REASONED)
    assert template is not None
    assert template.answer_for({12: 10, 3: 4, 20: 15}) == "25"
    assert template.answer_for({12: 10, 3: 4, 20: 45}) is None  # fewer than none
    assert template.answer_for({12: 10, 3: 4}) == "20"  # 20 stays: another rationale may not have it


@given(
    st.text(st.sampled_from("ab 1234567890+-*/=().,:%$\nxX×½²٣"), max_size=60),
    st.text(st.sampled_from("ab 1234567890+-*/=().,:%$\nxX×½²٣"), max_size=60),
    st.integers(0, 999),
)
def test_any_text_is_read_or_left_and_what_is_made_holds(text: str, rationale: str, answer: int) -> None:
    template = read_template(question(text, str(answer)), rationale)
    made = template and template.fill(random.Random(0), tries=20)
    if made:
        read = check_arithmetic(made.rationale)
        assert read.wrong is None
        assert template is not None
        assert template.answer_for(made.numbers) == made.answer


@given(st.integers(2, 99), st.integers(2, 99), st.integers(2, 999), st.integers(0, 5))
def test_a_chain_of_steps_holds_with_any_numbers(first: int, second: int, third: int, seed: int) -> None:
    asked = question(
        f"A mill has {first} sacks and gets {second} times {third} more. How many?", str(second * third + first)
    )
    template = read_template(
        asked,
        f"{second} * {third} = {second * third}; {second * third} + {first} is the sum: "
        f"{second * third} + {first} = {second * third + first}.",
    )
    made = template and template.fill(random.Random(seed))
    if made:
        numbers = made.numbers
        assert int(made.answer) == numbers[second] * numbers[third] + numbers[first]

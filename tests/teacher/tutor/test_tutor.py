"""The offline tutor: what it writes is right, tailored, and free of the student's wrong step."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.teacher.asking import LEGS, numbered, request
from tutelage.records import Mistake, Question
from tutelage.tasks.answers import is_right, read_answer, read_reply, reply_rationale
from tutelage.teacher.protocol import Reply
from tutelage.teacher.tutor.arithmetic import read_steps
from tutelage.teacher.tutor.diagnosis import first_departure
from tutelage.teacher.tutor.tutor import OfflineTutor, corrections


def reply_to(question: Question, mistake: Mistake | None = None, replies: int = 8) -> Reply:
    ((_, reply),) = OfflineTutor().answer([request(question, replies, mistake=mistake)])
    return reply


def test_it_says_that_it_is_a_stand_in() -> None:
    assert OfflineTutor().name == "offline tutor (rule-based stand-in)"


def test_a_correction_keeps_the_students_right_steps_and_mends_the_rest() -> None:
    mistake = Mistake(LEGS.id, "The cows have 3 x 4 = 12 legs. 2 ducks have 2 * 4 = 8 legs. 12 + 8 = 20.", "20")
    first, second, *_, last = corrections(LEGS, mistake)
    assert [first, second, last] == [
        "The cows have 3 x 4 = 12 legs. 2 ducks have 2 * 2 = 4 legs. 12 + 4 = 16.",
        LEGS.rationale,
        "Check the second step: 2 * 2 = 4. The cows have 3 x 4 = 12 legs. 2 ducks have 2 * 2 = 4 legs. 12 + 4 = 16.",
    ]


def test_without_a_mistake_the_worked_solution_comes_first_then_other_ways_to_put_it() -> None:
    assert corrections(LEGS, None) == [
        LEGS.rationale,
        "First, 3 cows have 3 * 4 = 12 legs. Then 2 ducks have 2 * 2 = 4 legs. So 12 + 4 = 16.",
        "There are 3 cows and 2 ducks. 3 cows have 3 * 4 = 12 legs. 2 ducks have 2 * 2 = 4 legs. 12 + 4 = 16.",
        "3 cows have 3 * 4 = 12 legs. 2 ducks have 2 * 2 = 4 legs. 12 + 4 = 16. So the answer is 16.",
        "3 * 4 = 12. 2 * 2 = 4. 12 + 4 = 16.",
    ]


def test_so_many_replies_as_asked_and_fewer_where_no_more_make_sense() -> None:
    assert len(reply_to(LEGS, replies=2).texts) == 2
    one = Question("own/1", "What is 1 + 1?", "2", "number", rationale="1 + 1 = 2. So the answer is 2.")
    assert len(reply_to(one).texts) == 1


@pytest.mark.parametrize("rationale", [None, "", "#### 2", "Answer: 2"])
def test_a_question_without_a_worked_solution_comes_back_with_an_error(rationale: str | None) -> None:
    reply = reply_to(replace(numbered(1), rationale=rationale))
    assert reply.texts == ()
    assert reply.error is not None
    assert "worked solution" in reply.error


def test_solutions_without_arithmetic_are_given_as_they_are() -> None:
    question = Question("own/1", "Can all birds fly?", "No", "yes/no", rationale="Penguins are birds. They cannot fly.")
    mistake = Mistake("own/1", "Birds have wings.", "Yes")
    texts = reply_to(question, mistake).texts
    assert texts[0] == "Penguins are birds. They cannot fly.\nAnswer: No"
    assert all(read_reply(text, question) == "No" for text in texts)


ANIMALS = {"cows": 4, "ducks": 2, "spiders": 8, "ants": 6, "snakes": 0}


@st.composite
def legs(draw: st.DrawFn) -> Question:
    chosen = draw(st.lists(st.sampled_from(sorted(ANIMALS)), min_size=2, max_size=4, unique=True))
    counts = [draw(st.integers(1, 12)) for _ in chosen]
    results = [count * ANIMALS[animal] for count, animal in zip(counts, chosen, strict=True)]
    steps = [
        f"{count} {animal} have {count} * {ANIMALS[animal]} = {result} legs."
        for count, animal, result in zip(counts, chosen, results, strict=True)
    ]
    total = " + ".join(str(result) for result in results)
    listed = ", ".join(f"{count} {animal}" for count, animal in zip(counts, chosen, strict=True))
    rationale = " ".join([*steps, f"{total} = {sum(results)}."])
    return Question("legs/1", f"How many legs do {listed} have?", str(sum(results)), "number", rationale=rationale)


def spoil(text: str, place: int, by: int, drop: bool) -> str:
    """A student's try: one number of the solution changed, or one sentence left out."""
    if drop:
        sentences = re.split(r"(?<=\.)\s", text)
        return " ".join(one for number, one in enumerate(sentences) if number != place % len(sentences))
    numbers = list(re.finditer(r"\d+", text))
    chosen = numbers[place % len(numbers)]
    return text[: chosen.start()] + str(int(chosen[0]) + by) + text[chosen.end() :]


def check(question: Question, rationale: str) -> None:
    departure = first_departure(rationale, question)
    texts = reply_to(question, Mistake(question.id, rationale, None)).texts
    assert texts
    assert len(set(texts)) == len(texts)
    assert question.rationale is not None
    for text in texts:
        assert is_right(read_reply(text, question), question)
        # What the student will write after having learnt it reads the same.
        learnt = f"{reply_rationale(text, question)}\nAnswer: {question.answer}"
        assert is_right(read_answer(learnt, question), question)
        own = {one.text for step in read_steps(question.rationale) for one in step.equations}
        for step in read_steps(text.partition("\nAnswer:")[0]):
            assert all(equation.right or equation.text in own for equation in step.equations)
        if departure is not None and departure.kind in ("wrong arithmetic", "wrong quantity"):
            assert departure.student not in text


@given(legs(), st.integers(0, 40), st.integers(1, 9), st.booleans())
def test_every_reply_is_right_and_none_holds_the_wrong_step(
    question: Question, place: int, by: int, drop: bool
) -> None:
    assert question.rationale is not None
    check(question, spoil(question.rationale, place, by, drop))


@given(legs(), st.text(max_size=60), st.integers(0, 3))
def test_any_text_of_a_student_is_taken(question: Question, noise: str, place: int) -> None:
    assert question.rationale is not None
    sentences = question.rationale.split(". ")
    texts = reply_to(question, Mistake(question.id, ". ".join([*sentences[:place], noise]), None)).texts
    assert all(is_right(read_reply(text, question), question) for text in texts)


def test_it_holds_on_the_public_word_problems(data: Path) -> None:
    lines = (data / "gsm8k" / "train.jsonl").read_text().splitlines()[:600]
    found = 0
    for row, line in list(enumerate(lines))[::2]:
        raw = json.loads(line)
        rationale, _, answer = raw["answer"].partition("\n#### ")
        question = Question(f"gsm8k/{row}", raw["question"], answer.replace(",", ""), "number", rationale=rationale)
        spoilt = spoil(re.sub(r"<<.*?>>", "", rationale), 7 * row, 1 + row % 5, drop=row % 4 == 0)
        check(question, spoilt)
        found += first_departure(spoilt, question) is not None
    assert found > 150


@pytest.mark.parametrize("rationale", ["It is 16. Answer: 16", "It is 16.\n#### 16", "12 + 4 = <<12+4=16>>16"])
def test_marks_of_the_data_sets_do_not_reach_the_student(rationale: str) -> None:
    question = Question("own/1", "How many?", "16", "number", rationale=rationale)
    for text in corrections(question, None):
        assert not re.search(r"Answer:|####|<<", text)

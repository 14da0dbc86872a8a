"""What of the test stands elsewhere: against a slow derivation, at the borders, and in the public sets."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tutelage.config import TaskSettings
from tutelage.evaluation.leakage import (
    NGRAM,
    WORST,
    Overlap,
    Part,
    QuestionIndex,
    duplicates,
    overlap_text,
    question_overlaps,
)
from tutelage.records import Demonstration, Question
from tutelage.tasks import load_task


def questions(*texts: str) -> list[Question]:
    return [Question(f"test/{place}", text, "1", "number") for place, text in enumerate(texts)]


def look(tested: Sequence[Question], *texts: str) -> Overlap:
    return QuestionIndex(tested).look((f"text/{place}", text) for place, text in enumerate(texts))


def counts(overlap: Overlap) -> tuple[int, int, int, int]:
    parts = (overlap.same_ngram, overlap.most_ngrams, overlap.same_but_for_numbers, overlap.same_question)
    return parts[0].count, parts[1].count, parts[2].count, parts[3].count


WORDS = st.lists(st.sampled_from(["a", "b", "c", "7", "8"]), min_size=1, max_size=14).map(" ".join)


@given(st.lists(WORDS, min_size=1, max_size=4), st.lists(WORDS, max_size=4))
def test_the_counts_are_those_of_a_search_in_every_text(tested: list[str], texts: list[str]) -> None:
    def stands(words: Sequence[str], number: str = r"(?!)") -> bool:
        pattern = "".join(rf" (?:{number if word.isdigit() and number != '(?!)' else word})" for word in words)
        return any(re.search(pattern + r"(?= |$)", f" {text}") for text in texts)

    expected = [0, 0, 0, 0]
    for question in tested:
        words = question.split()
        grams = {tuple(words[start : start + NGRAM]) for start in range(max(1, len(words) - NGRAM + 1))}
        share = sum(stands(gram) for gram in grams) / len(grams)
        found = [share > 0, share >= 0.7, stands(words, number=r"\d+"), stands(words)]
        expected = [count + new for count, new in zip(expected, found, strict=True)]
    assert list(counts(look(questions(*tested), *texts))) == expected


def test_other_numbers_make_another_question_of_the_same_template() -> None:
    asked = "A shop sells 3 boxes of 12 eggs on each of 5 days. How many eggs does it sell?"
    same = "a shop sells 3 boxes of 12 eggs, on each of 5 days; how many EGGS does it sell"
    other = asked.replace("12", "1,200").replace("5", "7")
    assert counts(look(questions(asked), same)) == (1, 1, 1, 1)
    assert counts(look(questions(asked), other)) == (0, 0, 1, 0)
    assert counts(look(questions(asked), "How many eggs does the shop sell on 5 days?")) == (0, 0, 0, 0)


def test_a_short_question_is_found_as_a_whole_or_not_at_all() -> None:
    tested = questions("Do hamsters feed any birds?")
    assert counts(look(tested, "Question: Do hamsters feed any birds?\nHint: The right answer is No.")) == (1, 1, 1, 1)
    assert counts(look(tested, "Do hamsters feed any cats?", "Hamsters feed any birds")) == (0, 0, 0, 0)


def test_the_worst_are_named_with_where_they_stand() -> None:
    ten = "one two three four five six seven eight nine ten"
    tested = questions("nothing of this stands anywhere else but here in the test", f"{ten} eleven twelve", ten, "12 3")
    overlap = look(tested, "zero", ten, "13 3")
    assert [(match.question_id, match.text_id, match.shared) for match in overlap.worst] == [
        ("test/2", "text/1", 1.0),
        ("test/3", "text/2", 0.0),
        ("test/1", "text/1", 0.6),
    ]
    assert overlap.same_ngram == Part(2, 0.5)
    assert overlap.texts == 3
    assert len(look(questions(*[ten] * 20), ten).worst) == WORST


def test_nothing_to_compare_is_no_overlap() -> None:
    assert counts(look([], "some text")) == (0, 0, 0, 0)
    empty = look(questions("some text", "?"), "", " \n")
    assert (empty.texts, counts(empty), empty.worst) == (0, (0, 0, 0, 0), ())
    assert counts(look(questions("?"), "!", "What?")) == (0, 0, 0, 0)
    assert overlap_text({"lesson": empty}, 2) is None


def test_a_demonstrations_every_part_is_looked_at() -> None:
    first, second, third = questions("How many pens are in 2 boxes?", "Why is the sky blue?", "Is ice cold?")
    shown = Demonstration("How many pens are in 3 boxes?", "Is ice cold? It is.", "Yes", wrong_rationale=second.text)
    found = question_overlaps({"train": [third], "held-out": [], "test": [first, second, third]}, [], [shown])
    assert {name: counts(overlap)[2:] for name, overlap in found.items()} == {
        "training_questions": (1, 1),
        "held_out_questions": (0, 0),
        "student_demonstrations": (0, 0),
        "teacher_demonstrations": (3, 2),
    }
    told = overlap_text(found, 3)
    assert told is not None
    assert told == (
        "Note: of 3 test questions there stand in training questions 1 word for word, 1 but for their numbers, "
        "8 words in a row of 1; in teacher demonstrations 2 word for word, 3 but for their numbers, "
        "8 words in a row of 2"
    )


# What the sets' own splits share, by row: test questions in training, whole, whole but for numbers, and in 8-grams.
PUBLIC = {
    "multiarith": ([(48, 58), (50, 40), (51, 41), (52, 42), (342, 352)], (172, 13, 77, 5)),
    "strategy_qa": ([(42, 1987)], (2, 1, 1, 1)),
    "svamp": ([], (240, 3, 0, 0)),
}


@pytest.mark.parametrize("name", PUBLIC)
def test_what_the_public_sets_share_between_train_and_test(data: Path, name: str) -> None:
    task = load_task(TaskSettings(name=name, data=data), seed=0)
    pairs, shared = PUBLIC[name]
    assert duplicates(task.train, task.test) == [(f"{name}/{train}", f"{name}/{test}") for train, test in pairs]
    overlap = QuestionIndex(task.test).look((question.id, question.text) for question in task.train)
    assert counts(overlap) == shared
    assert {match.question_id for match in overlap.worst} >= {f"{name}/{test}" for _, test in pairs}


def test_a_stem_with_other_choices_is_the_same_words_and_no_duplicate(data: Path) -> None:
    task = load_task(TaskSettings(name="commonsense_qa", data=data), seed=0)
    assert duplicates(task.train, task.test) == []
    overlap = QuestionIndex(task.test).look((question.id, question.text) for question in task.train)
    assert counts(overlap) == (23, 1, 1, 1)
    assert overlap.worst[0].question_id == "commonsense_qa/dev/1121"

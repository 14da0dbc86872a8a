"""Splitting a task: nothing of the test leaks, and everything is accounted for."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tutelage.config import TaskSettings
from tutelage.errors import DataError
from tutelage.records import AnswerKind, Demonstration, Question
from tutelage.tasks import Split, Task, describe, split_task
from tutelage.tasks.split import HELD_OUT_TOO, IN_TEST, IS_DEMONSTRATION, check_apart, held_out_size, question_key


def questions(texts: Sequence[str], start: int = 0, choices: tuple[str, ...] = ()) -> tuple[Question, ...]:
    kind: AnswerKind = "choice" if choices else "number"
    return tuple(
        Question(f"t/{start + place}", text, "A" if choices else "1", kind, choices) for place, text in enumerate(texts)
    )


def task(train: Sequence[str], test: Sequence[str], held_out: Sequence[str] = ()) -> Task:
    return Task("t", "number", "s", "l", questions(train), questions(test, 1000), questions(held_out, 2000))


def settings(**values: float) -> TaskSettings:
    return TaskSettings.model_validate({"name": "t", "held_out": 0, "held_out_minimum": 0, **values})


def shown(*texts: str) -> list[Demonstration]:
    return [Demonstration(text, "r", "1") for text in texts]


def reasons(split: Split) -> list[tuple[str, str, str]]:
    return [(item.question_id, item.from_split, item.reason) for item in split.left_out]


NUMBERED = [f"How many are {number}?" for number in range(100)]


def test_a_training_question_of_the_test_is_left_out_and_a_repeat_stays() -> None:
    split = split_task(task(["Is it so?", "is IT, so", "Other", "Same", "same!"], ["IS IT SO"]), settings(), [], 1)
    assert reasons(split) == [("t/0", "train", IN_TEST), ("t/1", "train", IN_TEST)]
    assert [question.text for question in split.train] == ["Other", "Same", "same!"]


def test_choices_belong_to_the_question_whatever_their_order() -> None:
    train = (*questions(["Where?"], 0, ("bin", "bag")), *questions(["Where?"], 1, ("tin", "bag")))
    test = questions(["Where?"], 2, ("bag", "bin"))
    split = split_task(Task("t", "choice", "s", "l", train, test), settings(), [], 1)
    assert [question.id for question in split.train] == ["t/1"]


def test_a_demonstration_is_left_out_of_the_test_and_never_held_out() -> None:
    whole = task(["Seen?", "a", "b", "c", "d"], ["Shown?", "e"])
    split = split_task(whole, settings(held_out=0.4), shown("shown", "Seen?"), 1)
    assert reasons(split) == [("t/1000", "test", IS_DEMONSTRATION)]
    assert "Seen?" in [question.text for question in split.train]
    assert len(split.held_out) == 2


def test_what_is_held_out_is_not_trained_on_in_another_row() -> None:
    split = split_task(task(["a", "A.", "a!", "b", "B", "b?"], ["t"]), settings(held_out_minimum=2), [], 1)
    (held_out,) = split.held_out  # two different questions, of which at most half are held out
    letter = held_out.text[0].lower()
    assert [reason for *_, reason in reasons(split)] == [HELD_OUT_TOO] * 2
    assert [question.text[0].lower() for question in split.train] == ["b" if letter == "a" else "a"] * 3


def test_marked_held_out_questions_are_used_as_they_are() -> None:
    split = split_task(task(["a", "b", "c"], ["t"], ["a", "t", "d", "e"]), settings(held_out=0.5), shown("e"), 1)
    assert [question.text for question in split.held_out] == ["a", "d"]
    assert [question.text for question in split.train] == ["b", "c"]
    assert reasons(split) == [
        ("t/2001", "held-out", IN_TEST),
        ("t/2003", "held-out", IS_DEMONSTRATION),
        ("t/0", "train", HELD_OUT_TOO),
    ]


@pytest.mark.parametrize(
    ("rows", "share", "minimum", "size"),
    [(700, 0.1, 50, 70), (7473, 0.1, 50, 748), (415, 0.1, 50, 50), (60, 0.1, 50, 30), (1, 0.1, 50, 0), (90, 0, 0, 0)],
)
def test_the_held_out_size(rows: int, share: float, minimum: int, size: int) -> None:
    assert held_out_size(rows, share, minimum) == size


def test_the_draws_are_seeded_and_keep_the_order() -> None:
    whole = task(NUMBERED, ["t1", "t2", "t3"])
    limits = settings(held_out=0.2, train_questions=30, held_out_questions=10, test_questions=2)
    split = split_task(whole, limits, [], 1)
    assert split == split_task(whole, limits, [], 1)
    assert split.train != split_task(whole, limits, [], 2).train
    assert (len(split.train), len(split.held_out), len(split.test)) == (30, 10, 2)
    for part in (split.train, split.held_out, split.test):
        assert [int(question.id[2:]) for question in part] == sorted(int(question.id[2:]) for question in part)
    assert split.not_drawn == {"train": 50, "held-out": 10, "test": 1}


def test_split_json_accounts_for_every_question() -> None:
    whole = task([*NUMBERED, "t1"], ["t1", "t2", "t3"])
    seen = describe(split_task(whole, settings(held_out_minimum=20, train_questions=30), shown("t2"), 1))
    assert seen["as_loaded"] == {"train": 101, "held-out": 0, "test": 3}
    assert seen["used"] == {"train": 30, "held-out": 20, "test": 2}
    assert seen["left_out"] == {f"test: {IS_DEMONSTRATION}": 1, f"train: {IN_TEST}": 1}
    assert seen["not_drawn"] == {"train": 50, "held-out": 0, "test": 0}
    assert seen["left_out_ids"] == [["t/1001", "test", IS_DEMONSTRATION], ["t/100", "train", IN_TEST]]
    assert [len(digest) for digest in seen["sha256_of_ids"].values()] == [64, 64, 64]
    assert seen["test_questions_trained_on"] == 0


def test_an_overlap_is_counted_and_refused() -> None:
    (one,) = questions(["a"])
    leak = Split((one,), (one,), (one,), (), {}, {})
    seen = describe(leak)
    assert seen["test_questions_trained_on"] == seen["test_questions_held_out"] == 1
    assert seen["held_out_questions_trained_on"] == 1
    with pytest.raises(RuntimeError, match="overlap"):
        check_apart(leak, task(["a"], ["a"]))


def test_a_task_with_nothing_left_says_why() -> None:
    with pytest.raises(DataError, match=r"no train question left: .*stands in the test"):
        split_task(task(["a"], ["a"]), settings(), [], 1)
    with pytest.raises(DataError, match="no test question left"):
        split_task(task(["a"], ["b"]), settings(), shown("b"), 1)


def test_signs_of_arithmetic_tell_questions_apart() -> None:
    assert len({question_key(text) for text in ("12 + 3?", "1 + 23?", "12 - 3?", "1 2 3", "1.23", "123")}) == 6
    assert question_key("It’s 1,000 ice-creams!") == question_key("Its 1000 ice creams")
    assert question_key("?") != question_key("!")


@given(
    train=st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=20),
    test=st.lists(st.sampled_from("efghijkl"), min_size=1, max_size=8),
    demo=st.sampled_from("abgkz"),
    share=st.floats(0, 1),
    seed=st.integers(0, 99),
)
def test_nothing_overlaps_and_nothing_is_lost(
    train: list[str], test: list[str], demo: str, share: float, seed: int
) -> None:
    try:
        split = split_task(task(train, test), settings(held_out=share), shown(demo), seed)
    except DataError:
        return
    parts = (split.train, split.held_out, split.test)
    trained, held_out, tested = ({question.text for question in part} for part in parts)
    assert not tested & (trained | held_out)
    assert not trained & held_out
    assert demo not in tested | held_out
    used = [question.id for part in parts for question in part]
    accounted = used + [item.question_id for item in split.left_out]
    assert len(accounted) == len(set(accounted)) == len(train) + len(test)

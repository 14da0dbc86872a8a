"""Texts as tokens: weights, the end, and where the hidden state is read."""

from __future__ import annotations

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tutelage.student.model.student import Student
from tutelage.student.text import encoding
from tutelage.student.text.encoding import Text, encode_sample, encode_samples, pad

DEMONSTRATIONS = "Question: Two and two?\nReasoning: 2 + 2 = 4.\nAnswer: 4\n\n"
QUESTION = "Question: Three and one?\nReasoning:"
SOLUTION = " 3 + 1 = 4.\nAnswer: 4"


def text_of(student: Student, token_ids: tuple[int, ...]) -> str:
    return str(student.tokenizer.decode(list(token_ids)))


def test_a_text_is_tokenised_whole(tiny_student: Student) -> None:
    sample = encode_sample(tiny_student, DEMONSTRATIONS, QUESTION, SOLUTION, 0.1)
    whole = tiny_student.tokenizer(DEMONSTRATIONS + QUESTION + SOLUTION, add_special_tokens=False)["input_ids"]
    assert list(sample.token_ids) == [*tiny_student.bos, *whole, tiny_student.eos_id]


def test_demonstrations_weigh_a_tenth_and_everything_else_one(tiny_student: Student) -> None:
    sample = encode_sample(tiny_student, DEMONSTRATIONS, QUESTION, SOLUTION, 0.1)
    inner = sample.weights[len(tiny_student.bos) :]
    light = [weight for weight in inner if weight == 0.1]
    assert list(inner) == light + [1.0] * (len(inner) - len(light))
    ids = sample.token_ids[len(tiny_student.bos) :]
    assert text_of(tiny_student, ids[: len(light)]) in DEMONSTRATIONS
    assert text_of(tiny_student, ids[len(light) : -1]).lstrip("\n").startswith("Question: Three")


def test_without_demonstrations_all_weigh_one(tiny_student: Student) -> None:
    sample = encode_sample(tiny_student, "", QUESTION, SOLUTION, 0.1)
    assert set(sample.weights[len(tiny_student.bos) :]) == {1.0}


def test_the_end_is_learned_and_the_state_read_before_it(tiny_student: Student) -> None:
    sample = encode_sample(tiny_student, DEMONSTRATIONS, QUESTION, SOLUTION, 0.1)
    assert sample.token_ids[-1] == tiny_student.eos_id
    assert sample.weights[-1] == 1.0
    assert sample.last == len(sample.token_ids) - 2
    assert text_of(tiny_student, sample.token_ids[sample.last : sample.last + 1]).endswith("4")


def test_padding_is_told_by_the_mask(tiny_student: Student) -> None:
    short = encode_sample(tiny_student, "", QUESTION, " 4\nAnswer: 4", 0.1)
    long = encode_sample(tiny_student, DEMONSTRATIONS, QUESTION, SOLUTION, 0.1)
    batch = pad([short, long], tiny_student.pad_id, torch.device("cpu"))
    assert batch.token_BT.shape == batch.attention_BT.shape == batch.weight_BT.shape == (2, len(long.token_ids))
    assert batch.attention_BT.sum(dim=1).tolist() == [len(short.token_ids), len(long.token_ids)]
    assert batch.weight_BT[0, len(short.token_ids) :].sum() == 0
    assert tuple(batch.token_BT[0, : len(short.token_ids)].tolist()) == short.token_ids


_PIECES = st.text(alphabet=st.sampled_from("ab 4+=.:\n\t,é漢🙂"), max_size=12)


@pytest.fixture
def in_threes(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a few texts take several calls of the tokenizer."""
    monkeypatch.setattr(encoding, "_AT_A_TIME", 3)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])  # which stays the same for all examples
@given(texts=st.lists(st.builds(Text, st.sampled_from(["", DEMONSTRATIONS]), _PIECES, _PIECES), max_size=8))
def test_many_texts_at_once_come_out_as_one_by_one(in_threes: None, tiny_student: Student, texts: list[Text]) -> None:
    twice = [*texts, *texts[:2]]
    expected = [encode_sample(tiny_student, *text, 0.1) for text in twice]
    assert encode_samples(tiny_student, twice, 0.1) == expected

"""What a student makes of right and wrong solutions, against plain loops."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors import safe_open

from tests.encoder_decoder import load_seq2seq
from tutelage.errors import DataError
from tutelage.evaluation.representation import (
    Contrast,
    PairReading,
    Readings,
    read_contrasts,
    save_states,
    separation,
    separation_gained,
)
from tutelage.student.model.student import Student
from tutelage.student.text.encoding import Sample, encode_sample

BEFORE = "Question: Two and two?\nReasoning: 2 + 2 = 4.\nAnswer: 4\n\n"
TEXTS = [
    ("Three and one?", "3 + 1 = 4.\nAnswer: 4", "So 3 + 1 = 5, I would think.\nAnswer: 5"),
    ("Two cows?", "A cow has 4 legs. 2 * 4 = 8.\nAnswer: 8", "6.\nAnswer: 6"),
    ("Two cows?", "A cow has 4 legs. 2 * 4 = 8.\nAnswer: 8", "2 + 4 = 6.\nAnswer: 6"),
]


@pytest.fixture
def contrasts(tiny_student: Student) -> list[Contrast]:
    def encode(question: str, solution: str) -> Sample:
        return encode_sample(tiny_student, BEFORE, f"Question: {question}\nReasoning:", f" {solution}", 0.1)

    prompts = [
        tiny_student.tokenizer(BEFORE + f"Question: {question}\nReasoning:")["input_ids"] for question, *_ in TEXTS
    ]
    return [
        Contrast(question, encode(question, right), encode(question, wrong), len(prompt))
        for (question, right, wrong), prompt in zip(TEXTS, prompts, strict=True)
    ]


def state_and_likelihood(student: Student, sample: Sample, start: int) -> tuple[torch.Tensor, float]:
    ids = torch.tensor([sample.token_ids])
    with torch.no_grad():
        output = student.model(input_ids=ids, output_hidden_states=True)
    log_TV = output.logits[0].log_softmax(dim=-1)
    total = sum(float(log_TV[place - 1, ids[0, place]]) for place in range(start, ids.shape[1]))
    return output.hidden_states[-1][0, sample.last], total


@pytest.mark.parametrize("batch_size", [1, 2, 9])
def test_readings_are_those_of_single_texts(tiny_student: Student, contrasts: list[Contrast], batch_size: int) -> None:
    readings = read_contrasts(tiny_student, contrasts, batch_size)
    for row, (one, pair) in enumerate(zip(contrasts, readings.pairs, strict=True)):
        right_D, log_right = state_and_likelihood(tiny_student, one.right, one.start)
        wrong_D, log_wrong = state_and_likelihood(tiny_student, one.wrong, one.start)
        assert pair.distance == pytest.approx(float((right_D - wrong_D).square().sum().sqrt()), rel=1e-4)
        assert (pair.log_right, pair.log_wrong) == pytest.approx((log_right, log_wrong), rel=1e-4)
        assert pair.tokens_right == len(one.right.token_ids) - one.start
        assert torch.allclose(readings.right_PD[row], right_D, atol=1e-4)
        assert torch.allclose(readings.wrong_PD[row], wrong_D, atol=1e-4)


@pytest.mark.parametrize("name", ["T5, tied", "BART, learned positions and a bias"])
def test_an_encoder_decoder_student_is_read_in_its_decoder(tmp_path: Path, name: str) -> None:
    student = load_seq2seq(tmp_path, name)
    right, wrong = (
        encode_sample(student, "", "A cat?", text, 0.1) for text in (" So 4. Answer: 4", " The 5. Answer: 5")
    )
    start = len(student.decoder_start)
    [pair] = read_contrasts(student, [Contrast("a", right, wrong, start)]).pairs
    states: list[torch.Tensor] = []
    for sample, found in zip((right, wrong), (pair.log_right, pair.log_wrong), strict=True):
        inputs = {"input_ids": torch.tensor([sample.source_ids]), "decoder_input_ids": torch.tensor([sample.token_ids])}
        with torch.no_grad():
            output = student.model(**inputs, output_hidden_states=True)
        log_TV = output.logits[0].log_softmax(dim=-1)
        places = range(start, len(sample.token_ids))
        assert found == pytest.approx(sum(float(log_TV[p - 1, sample.token_ids[p]]) for p in places), rel=1e-4)
        states.append(output.decoder_hidden_states[-1][0, sample.last])
    scale = student.model.config.d_model**-0.5 if "T5" in name else 1.0  # what the head is given
    assert pair.distance == pytest.approx(scale * float(torch.dist(states[0], states[1])), rel=1e-4)


def test_a_student_in_training_is_read_without_dropout_and_stays_in_training(
    tiny_student: Student, contrasts: list[Contrast]
) -> None:
    expected = read_contrasts(tiny_student, contrasts).pairs
    for module in tiny_student.model.modules():
        if hasattr(module, "attention_dropout"):
            setattr(module, "attention_dropout", 0.5)  # noqa: B010 - of no type that is known
    tiny_student.model.train()
    assert read_contrasts(tiny_student, contrasts).pairs == expected
    assert tiny_student.model.training


def test_no_pair_is_an_error(tiny_student: Student) -> None:
    with pytest.raises(DataError, match="no pair"):
        read_contrasts(tiny_student, [])


def readings(*pairs: PairReading) -> Readings:
    states = torch.arange(2.0 * len(pairs)).reshape(-1, 2)
    return Readings(pairs, states, -states)


# The whole right solution is likelier in the first two, a token of it in the last two.
PAIRS = (
    PairReading("a", 3.0, 0.5, -4.0, -6.0, 2, 6),
    PairReading("a", 5.0, 0.1, -4.0, -6.0, 4, 4),
    PairReading("b", 1.0, 0.9, -8.0, -6.0, 8, 2),
)


def test_the_numbers_of_table_4() -> None:
    found = separation(readings(*PAIRS))
    assert (found.questions, found.pairs) == (2, 3)
    assert found.distance.value == pytest.approx(3.0)
    assert found.preference.value == pytest.approx(2 / 3)
    assert found.preference_per_token.value == pytest.approx(2 / 3)
    assert found.log_ratio.value == pytest.approx(2 / 3)
    assert found.log_ratio_per_token.value == pytest.approx((-1 + 0.5 + 2) / 3)
    # Drawn are questions: both of a's pairs, or b's, or all.
    assert found.distance.interval == (1.0, 4.0)


def test_equally_likely_solutions_are_half_a_preference() -> None:
    even = PairReading("a", 1.0, 0.0, -3.0, -3.0, 3, 3)
    assert separation(readings(even)).preference.value == 0.5


def test_what_is_gained_is_counted_pair_by_pair() -> None:
    further = tuple(replace(pair, distance=pair.distance + 2, log_right=-1.0) for pair in PAIRS)
    gained = separation_gained(readings(*PAIRS), readings(*further))
    assert gained.distance.value == pytest.approx(2.0)
    assert gained.distance.interval == pytest.approx((2.0, 2.0))
    assert gained.preference.value == pytest.approx(1 / 3)
    assert separation_gained(readings(*PAIRS), readings(*PAIRS)).log_ratio.interval == (0.0, 0.0)
    with pytest.raises(DataError, match="different pairs"):
        separation_gained(readings(*PAIRS), readings(*PAIRS[:2]))


def test_states_are_kept_with_their_questions(tmp_path: Path) -> None:
    path = tmp_path / "states.safetensors"
    save_states(path, readings(*PAIRS))
    with safe_open(path, "pt") as file:
        assert torch.equal(file.get_tensor("right"), readings(*PAIRS).right_PD)
        assert torch.equal(file.get_tensor("wrong"), readings(*PAIRS).wrong_PD)
        assert json.loads(file.metadata()["question_ids"]) == ["a", "a", "b"]

"""A lesson's texts as tokens: what is predicted, how much it weighs, and where the hidden state is read.

A text is tokenised whole, never piece by piece: "\\n\\n" before "Question" merges differently when cut, and
logits move by 1 to 2. Which tokens belong to the demonstrations is read off the tokenizer's offsets.

Shapes: B samples, T tokens of the longest sample.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from tutelage.student.model import Student


@dataclass(frozen=True, slots=True)
class Sample:
    """One text [demonstrations, question, rationale, answer, end] as tokens.

    token_ids: the tokens with the beginning-of-text and end-of-text ones.
    weights: of each token as a target of the language-model loss (A.2).
    last: the position of the answer's last token, where h is read (3.3); the end token stands behind it.
    """

    token_ids: tuple[int, ...]
    weights: tuple[float, ...]
    last: int


def encode_sample(
    student: Student,
    demonstrations: str,
    question: str,
    solution: str,
    demonstration_weight: float,
    end_id: int | None = None,
) -> Sample:
    """The tokens of a text in three parts, of which the first weighs less.

    A token that straddles the border to the question weighs as the question does. A text that begins with the
    beginning-of-text tokens, as a chat template may write them, gets no others. end_id: None takes the student's.
    """
    encoded = student.tokenizer(
        demonstrations + question + solution, add_special_tokens=False, return_offsets_mapping=True
    )
    border = len(demonstrations)
    inner = [demonstration_weight if end <= border else 1.0 for _, end in encoded["offset_mapping"]]
    token_ids = _as_asked(student, demonstrations + question, encoded["input_ids"])
    inner = inner[: len(token_ids)] + [1.0] * (len(token_ids) - len(inner))
    size = len(student.bos)
    if tuple(token_ids[:size]) == student.bos:
        token_ids, inner = token_ids[size:], inner[size:]
    end = student.eos_id if end_id is None else end_id
    weights = (*(0.0 for _ in student.bos), *inner, 1.0)
    whole = (*student.bos, *token_ids, end)
    return Sample(whole, weights, last=len(whole) - 2)


def _as_asked(student: Student, prompt: str, token_ids: list[int]) -> list[int]:
    """A text's tokens, with the prompt that it begins with in the tokens which the exam gave.

    They are others at times where line ends stand at the prompt's end: before a word these are cut in another way.
    """
    asked: list[int] = student.tokenizer(prompt, add_special_tokens=False)["input_ids"]
    same = next((place for place, pair in enumerate(zip(asked, token_ids, strict=False)) if pair[0] != pair[1]), None)
    if same is None:
        return token_ids
    text = student.tokenizer.decode(asked[same:])
    ends = range(same + 1, min(len(asked) + _RECUT, len(token_ids)) + 1)
    end = next((end for end in ends if student.tokenizer.decode(token_ids[same:end]) == text), None)
    return token_ids if end is None else [*asked, *token_ids[end:]]


_RECUT = 8
"""Tokens that a prompt may have more of within a text."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Samples padded to one length on the right.

    token_BT, attention_BT: int64; weight_BT: float32, 0 at padding; last_B: int64.
    Padding is told by the mask alone: its token id is never compared with anything.
    """

    token_BT: Tensor
    attention_BT: Tensor
    weight_BT: Tensor
    last_B: Tensor


def pad(samples: Sequence[Sample], pad_id: int, device: torch.device) -> Batch:
    """The samples as one batch."""
    length = max(len(sample.token_ids) for sample in samples)
    token_BT = torch.full((len(samples), length), pad_id)
    attention_BT = torch.zeros((len(samples), length), dtype=torch.int64)
    weight_BT = torch.zeros((len(samples), length))
    for row, sample in enumerate(samples):
        size = len(sample.token_ids)
        token_BT[row, :size] = torch.tensor(sample.token_ids)
        attention_BT[row, :size] = 1
        weight_BT[row, :size] = torch.tensor(sample.weights)
    last_B = torch.tensor([sample.last for sample in samples])
    return Batch(token_BT.to(device), attention_BT.to(device), weight_BT.to(device), last_B.to(device))

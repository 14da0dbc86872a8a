"""A lesson's texts as tokens: what is predicted, how much it weighs, and where the hidden state is read.

A text is tokenised whole, never piece by piece: "\\n\\n" before "Question" merges differently when cut, and
logits move by 1 to 2. Which tokens belong to the demonstrations is read off the tokenizer's offsets.

An encoder-decoder student reads demonstrations and question in the encoder, as it does in an exam, and its decoder
writes rationale and answer. Nothing predicts the demonstrations there, so their weight (A.2) has nothing to weigh.

Shapes: B samples, T tokens of the longest sample, S of the longest text for the encoder.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from tutelage.student.model.student import Student


@dataclass(frozen=True, slots=True)
class Sample:
    """One text [demonstrations, question, rationale, answer, end] as tokens.

    token_ids: the tokens with the beginning-of-text and end-of-text ones; an encoder-decoder student's decoder has
        [start, rationale, answer, end] alone.
    weights: of each token as a target of the language-model loss (A.2).
    last: the position of the answer's last token, where h is read (3.3); the end token stands behind it.
    source_ids: what an encoder-decoder student's encoder reads: demonstrations and question.
    """

    token_ids: tuple[int, ...]
    weights: tuple[float, ...]
    last: int
    source_ids: tuple[int, ...] = ()


class Text(NamedTuple):
    """A text in three parts. The first, the same for all questions, weighs less in the language-model loss."""

    demonstrations: str
    question: str
    solution: str


def encode_sample(
    student: Student,
    demonstrations: str,
    question: str,
    solution: str,
    demonstration_weight: float,
    end_id: int | None = None,
) -> Sample:
    """As `encode_samples`, of one text."""
    return encode_samples(student, [Text(demonstrations, question, solution)], demonstration_weight, end_id)[0]


def encode_samples(
    student: Student, texts: Sequence[Text], demonstration_weight: float, end_id: int | None = None
) -> list[Sample]:
    """The tokens of texts; many at once, so that a fast tokenizer shares them out among the processor's cores.

    A token that straddles the border to the question weighs as the question does. A text that begins with the
    beginning-of-text tokens, as a chat template may write them, gets no others. end_id: None takes the student's.
    """
    end = student.eos_id if end_id is None else end_id
    samples: list[Sample] = []
    for first in range(0, len(texts), _AT_A_TIME):
        some = texts[first : first + _AT_A_TIME]
        if student.is_encoder_decoder:
            samples += _encode_pairs(student, some, end)
        else:
            samples += _encode_wholes(student, some, demonstration_weight, end)
    return samples


_AT_A_TIME = 1024
"""Texts in one call of the tokenizer, whose offsets take a hundred times the memory of the text."""


def _encode_wholes(student: Student, texts: Sequence[Text], demonstration_weight: float, end_id: int) -> list[Sample]:
    wholes = student.tokenizer(
        ["".join(text) for text in texts],
        add_special_tokens=False,
        return_attention_mask=False,
        return_offsets_mapping=True,
    )
    prompts = [text.demonstrations + text.question for text in texts]
    asked = _tokens_of(student, prompts)
    samples = []
    for text, prompt, whole_ids, offsets in zip(
        texts, prompts, wholes["input_ids"], wholes["offset_mapping"], strict=True
    ):
        border = len(text.demonstrations)
        inner = [demonstration_weight if end <= border else 1.0 for _, end in offsets]
        token_ids = _as_asked(student, asked[prompt], whole_ids)
        inner = inner[: len(token_ids)] + [1.0] * (len(token_ids) - len(inner))
        size = len(student.bos)
        if tuple(token_ids[:size]) == student.bos:
            token_ids, inner = token_ids[size:], inner[size:]
        weights = (*(0.0 for _ in student.bos), *inner, 1.0)
        whole = (*student.bos, *token_ids, end_id)
        samples.append(Sample(whole, weights, last=len(whole) - 2))
    return samples


def _tokens_of(student: Student, texts: Sequence[str]) -> dict[str, list[int]]:
    """Each text's tokens, once for those that are the same."""
    unique = list(dict.fromkeys(texts))
    encoded = student.tokenizer(unique, add_special_tokens=False, return_attention_mask=False)
    return dict(zip(unique, encoded["input_ids"], strict=True))


def _as_asked(student: Student, asked: list[int], token_ids: list[int]) -> list[int]:
    """A text's tokens, with the prompt that it begins with in the tokens which the exam gave.

    They are others at times where line ends stand at the prompt's end: before a word these are cut in another way.
    """
    same = next((place for place, pair in enumerate(zip(asked, token_ids, strict=False)) if pair[0] != pair[1]), None)
    if same is None:
        return token_ids
    text = student.tokenizer.decode(asked[same:])
    ends = range(same + 1, min(len(asked) + _RECUT, len(token_ids)) + 1)
    end = next((end for end in ends if student.tokenizer.decode(token_ids[same:end]) == text), None)
    return token_ids if end is None else [*asked, *token_ids[end:]]


_RECUT = 8
"""Tokens that a prompt may have more of within a text."""


def _encode_pairs(student: Student, texts: Sequence[Text], end_id: int) -> list[Sample]:
    sources = [text.demonstrations + text.question for text in texts]
    source_ids = _tokens_of(student, sources)
    solution_ids = _tokens_of(student, [text.solution for text in texts])
    samples = []
    for text, source in zip(texts, sources, strict=True):
        written = solution_ids[text.solution]
        token_ids = (*student.decoder_start, *written, end_id)
        weights = (*(0.0 for _ in student.decoder_start), *(1.0 for _ in written), 1.0)
        read = tuple(whole_prompt(student, source_ids[source]))
        samples.append(Sample(token_ids, weights, len(token_ids) - 2, read))
    return samples


def whole_prompt(student: Student, token_ids: Sequence[int]) -> list[int]:
    """A prompt's tokens with those that begin a text, and end one for an encoder, unless they are there already."""
    begin, end = len(student.bos), len(student.suffix)
    whole = list(token_ids) if tuple(token_ids[:begin]) == student.bos else [*student.bos, *token_ids]
    return whole if tuple(whole[len(whole) - end :]) == student.suffix else [*whole, *student.suffix]


@dataclass(frozen=True, slots=True)
class Batch:
    """Samples padded to one length on the right.

    token_BT, attention_BT: int64; weight_BT: float32, 0 at padding; last_B: int64.
    source_BS, source_attention_BS: int64, what the encoder reads; None without one.
    Padding is told by the mask alone: its token id is never compared with anything.
    """

    token_BT: Tensor
    attention_BT: Tensor
    weight_BT: Tensor
    last_B: Tensor
    source_BS: Tensor | None = None
    source_attention_BS: Tensor | None = None

    @property
    def inputs(self) -> dict[str, Tensor | None]:
        """What the model's forward takes."""
        if self.source_BS is None:
            return {"input_ids": self.token_BT, "attention_mask": self.attention_BT}
        return {
            "input_ids": self.source_BS,
            "attention_mask": self.source_attention_BS,
            "decoder_input_ids": self.token_BT,
            "decoder_attention_mask": self.attention_BT,
        }


def pad(samples: Sequence[Sample], pad_id: int, device: torch.device) -> Batch:
    """The samples as one batch."""
    token_BT, attention_BT = pad_rows([sample.token_ids for sample in samples], pad_id)
    weight_BT = torch.zeros(token_BT.shape)
    for row, sample in enumerate(samples):
        weight_BT[row, : len(sample.weights)] = torch.tensor(sample.weights)
    last_B = torch.tensor([sample.last for sample in samples])
    columns = [token_BT, attention_BT, weight_BT, last_B]
    if samples[0].source_ids:
        columns += pad_rows([sample.source_ids for sample in samples], pad_id)
    return Batch(*(column.to(device) for column in columns))


def pad_rows(rows: Sequence[Sequence[int]], pad_id: int) -> tuple[Tensor, Tensor]:
    """Tokens padded on the right, and 1 where they are not padding; int64, on the host."""
    length = max(map(len, rows))
    token_BT = torch.full((len(rows), length), pad_id)
    attention_BT = torch.zeros((len(rows), length), dtype=torch.int64)
    for number, row in enumerate(rows):
        token_BT[number, : len(row)] = torch.tensor(row)
        attention_BT[number, : len(row)] = 1
    return token_BT, attention_BT

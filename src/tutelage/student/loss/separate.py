"""The joint loss of Eq. 4 in separate passes, written for clarity: the reference for every faster way.

Anchor, positive and negative each go through the student on their own, with the demonstrations and the
question before them (or in the encoder) and gradients through all of it. (The paper's released code lets no
gradient through the prefix of the triplet; Eq. 3 has no such stop, so there is none here.)

h is what the language-model head is given: the last layer's hidden state, of the decoder where there are two halves.
A T5 with tied embeddings scales it by d_model**-0.5 before, which no cosine notices.

Shapes: B samples, T tokens, V vocabulary, D hidden size.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from tutelage.student.loss.losses import Sum, language_model_loss, triplet_loss
from tutelage.student.model.student import Student
from tutelage.student.text.encoding import Batch, Sample, pad


@dataclass(frozen=True, slots=True)
class LessonSample:
    """A triplet as tokens. Without a positive or a negative it is masked out of the triplet loss."""

    question_id: str
    anchor: Sample
    positive: Sample | None
    negative: Sample | None

    @property
    def is_triplet(self) -> bool:
        return self.positive is not None and self.negative is not None


class JointSums(NamedTuple):
    """Both losses of a batch, undivided."""

    language_model: Sum
    triplet: Sum


def separate_passes(student: Student, samples: Sequence[LessonSample], margin: float) -> JointSums:
    """L_lm over all anchors and L_cl over the samples that are whole triplets; the graph reaches all passes.

    With margin ρ; pass no triplet at all (λ = 0) by leaving out positives or negatives.
    """
    anchor = pad([sample.anchor for sample in samples], student.pad_id, student.device)
    hidden_BTD, logits_BTV = hidden_and_logits(student, anchor)
    language_model = language_model_loss(logits_BTV, anchor.token_BT, anchor.weight_BT)
    rows = [row for row, sample in enumerate(samples) if sample.is_triplet]
    if not rows:
        nothing = torch.zeros((), device=student.device)
        return JointSums(language_model, Sum(nothing, nothing))
    anchor_BD = at_last(hidden_BTD, anchor)[rows]
    positives = [sample.positive for sample in samples if sample.is_triplet and sample.positive]
    negatives = [sample.negative for sample in samples if sample.is_triplet and sample.negative]
    triplet = triplet_loss(anchor_BD, _final_states(student, positives), _final_states(student, negatives), margin)
    return JointSums(language_model, triplet)


def joined_pass(student: Student, samples: Sequence[LessonSample], margin: float) -> JointSums:
    """What `separate_passes` gives, in one pass of all texts: one call of the model, whatever the samples are."""
    triplets = [sample for sample in samples if sample.is_triplet]
    texts = [sample.anchor for sample in samples]
    texts += [sample.positive for sample in triplets if sample.positive]
    texts += [sample.negative for sample in triplets if sample.negative]
    batch = pad(texts, student.pad_id, student.device)
    anchors = len(samples)
    hidden_BTD, logits_BTV = hidden_and_logits(student, batch, anchors)
    language_model = language_model_loss(logits_BTV, batch.token_BT[:anchors], batch.weight_BT[:anchors])
    state_BD = at_last(hidden_BTD, batch)
    rows = [row for row, sample in enumerate(samples) if sample.is_triplet]
    positive_BD, negative_BD = state_BD[anchors:].chunk(2) if rows else (state_BD[rows], state_BD[rows])
    return JointSums(language_model, triplet_loss(state_BD[rows], positive_BD, negative_BD, margin))


def _final_states(student: Student, samples: Sequence[Sample]) -> Tensor:
    """h of each sample, [B, D]; by the base model where that gives it, since no loss reads these logits."""
    batch = pad(samples, student.pad_id, student.device)
    if student.is_encoder_decoder:
        return at_last(hidden_and_logits(student, batch)[0], batch)
    output = student.model.base_model(**batch.inputs, use_cache=False)
    return at_last(output.last_hidden_state, batch)


def hidden_and_logits(student: Student, batch: Batch, predicting: int | None = None) -> tuple[Tensor, Tensor]:
    """The last layer's hidden states [B, T, D], which the head is given, and the logits [B, T, V] of one pass.

    predicting: so many first rows have logits; None: all.
    """
    head: Any = student.model.get_output_embeddings()
    hidden: list[Tensor] = []

    def keep(module: object, arguments: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        hidden.append(arguments[0])
        return (arguments[0][:predicting], *arguments[1:])

    # A hook of our own: `output_hidden_states` would leave the library's hooks in the layers for good, and they keep
    # what is compiled later from being compiled in one piece.
    handle = head.register_forward_pre_hook(keep)
    try:
        output = student.model(**batch.inputs, use_cache=False)
    finally:
        handle.remove()
    return hidden[0], output.logits


def at_last(hidden_BTD: Tensor, batch: Batch) -> Tensor:
    """h of each sample, [B, D]: the state at the answer's last token."""
    rows_B = torch.arange(len(batch.last_B), device=batch.last_B.device)
    return hidden_BTD[rows_B, batch.last_B]

"""A training step in separate passes, as the released research code does them: what a step is measured against.

https://github.com/Raibows/Learn-to-Reason: a padded pass over [demonstrations, question, rationale] of every sample for
the language-model loss; then the demonstrations and the question of every sample once more, without a gradient, for
their keys and values; then the anchor, the positive and the negative, each behind these keys and values with a gradient
of their own; one backward pass over the sum.

Shapes: B samples, P tokens of the longest prefix, C of the longest continuation, D hidden size.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from transformers import DynamicCache

from measuring.lessons import question_end
from tutelage.student.loss.losses import Sum, language_model_loss, triplet_loss
from tutelage.student.loss.separate import JointSums, LessonSample
from tutelage.student.model.student import Student
from tutelage.student.text.encoding import Sample, pad


def released_passes(student: Student, samples: Sequence[LessonSample], margin: float) -> JointSums:
    """Both losses of a batch, undivided; `separate_passes` but for the gradients that it stops."""
    anchor = pad([sample.anchor for sample in samples], student.pad_id, student.device)
    logits_BTV = student.model(input_ids=anchor.token_BT, attention_mask=anchor.attention_BT, use_cache=False).logits
    language_model = language_model_loss(logits_BTV, anchor.token_BT, anchor.weight_BT)
    triplets = [(s.anchor, s.positive, s.negative, question_end(s)) for s in samples if s.positive and s.negative]
    if not triplets:
        nothing = torch.zeros((), device=student.device)
        return JointSums(language_model, Sum(nothing, nothing))
    anchors, positives, negatives, ends = zip(*triplets, strict=True)
    states, attention_BP = _prefix(student, anchors, ends)
    anchor_BD, positive_BD, negative_BD = (
        _continue(student, texts, ends, states, attention_BP) for texts in (anchors, positives, negatives)
    )
    return JointSums(language_model, triplet_loss(anchor_BD, positive_BD, negative_BD, margin))


States = list[tuple[Tensor, Tensor]]
"""Keys and values of each layer."""


@torch.no_grad()
def _prefix(student: Student, texts: Sequence[Sample], ends: Sequence[int]) -> tuple[States, Tensor]:
    """Keys and values of the demonstrations and the question of each text, and attention_BP."""
    prefix = pad([_part(text, 0, end) for text, end in zip(texts, ends, strict=True)], student.pad_id, student.device)
    output = student.model.base_model(
        input_ids=prefix.token_BT, attention_mask=prefix.attention_BT, past_key_values=DynamicCache(), use_cache=True
    )
    return [(layer.keys, layer.values) for layer in output.past_key_values.layers], prefix.attention_BT


def _continue(
    student: Student, texts: Sequence[Sample], ends: Sequence[int], states: States, attention_BP: Tensor
) -> Tensor:
    """The last layer's hidden state at the last token of each text, [B, D]."""
    parts = [_part(text, end, len(text.token_ids)) for text, end in zip(texts, ends, strict=True)]
    rest = pad(parts, student.pad_id, student.device)
    end_B = torch.tensor(ends, device=student.device)
    position_BC = end_B[:, None] + torch.arange(rest.token_BT.shape[1], device=student.device)
    hidden_BCD: Tensor = student.model.base_model(
        input_ids=rest.token_BT,
        attention_mask=torch.cat([attention_BP, rest.attention_BT], dim=1),
        position_ids=position_BC,
        past_key_values=DynamicCache(states),  # a cache of its own, since a pass appends to the one it is given
        use_cache=True,
    ).last_hidden_state
    last_B = torch.tensor([text.last - end for text, end in zip(texts, ends, strict=True)], device=student.device)
    return hidden_BCD[torch.arange(len(texts), device=student.device), last_B]


def _part(text: Sample, start: int, end: int) -> Sample:
    return Sample(text.token_ids[start:end], text.weights[start:end], last=0)

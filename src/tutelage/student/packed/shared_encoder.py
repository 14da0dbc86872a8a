"""The joint loss of an encoder-decoder student in one pass: the same sums as `separate_passes`, each question encoded
once for its anchor, positive and negative.

The demonstrations cannot be shared further than that: in an encoder they see the question.

It is the model's own forward, with two hooks: the encoder's states are repeated on their way to the decoder, and the
head is given only those hidden states whose logits a loss reads. So whatever else a model does between them (a T5 with
tied embeddings scales the states, a BART adds to the logits) is done here, too.

Shapes: Q questions, S tokens of the longest, R texts for the decoder, T tokens of the longest, M predictions, K whole
triplets, D hidden size, V vocabulary.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from tutelage.student.loss.losses import Sum, triplet_loss
from tutelage.student.loss.separate import JointSums, LessonSample
from tutelage.student.model.student import Student
from tutelage.student.packed.sums import cross_entropy
from tutelage.student.packed.tree import branches
from tutelage.student.text.encoding import pad_rows


@dataclass(frozen=True, slots=True)
class Shared:
    """A batch with each question once. All int64 but weight_M, float32.

    source_QS, source_attention_QS: the questions; question_R: which of them a text answers.
    token_RT, attention_RT: the texts. place_M: where predictions of L_lm are made, counted through [R, T]; target_M,
    weight_M: what they should be, and how much they weigh. state_K3: where h, h⁺ and h⁻ are read.
    """

    source_QS: Tensor
    source_attention_QS: Tensor
    question_R: Tensor
    token_RT: Tensor
    attention_RT: Tensor
    place_M: Tensor
    target_M: Tensor
    weight_M: Tensor
    state_K3: Tensor


def share(student: Student, samples: Sequence[LessonSample]) -> Shared:
    """The samples of a batch, on the host; there is at least one."""
    texts = [text for sample in samples for text in branches(sample)]
    question = {source: number for number, source in enumerate(dict.fromkeys(text.source_ids for text in texts))}
    length = max(len(text.token_ids) for text in texts)
    predicted: list[tuple[int, int, float]] = []
    states: list[list[int]] = []
    row = 0
    for sample in samples:
        targets = list(zip(sample.anchor.token_ids, sample.anchor.weights, strict=True))[1:]
        predicted += [(row * length + place, *target) for place, target in enumerate(targets) if target[1] > 0]
        rows = branches(sample)
        if sample.is_triplet:
            states.append([(row + branch) * length + text.last for branch, text in enumerate(rows)])
        row += len(rows)
    return Shared(
        *pad_rows(list(question), student.pad_id),
        torch.tensor([question[text.source_ids] for text in texts]),
        *pad_rows([text.token_ids for text in texts], student.pad_id),
        torch.tensor([place for place, _, _ in predicted], dtype=torch.int64),  # none, if nothing weighs anything
        torch.tensor([target for _, target, _ in predicted], dtype=torch.int64),
        torch.tensor([weight for _, _, weight in predicted]),
        torch.tensor(states, dtype=torch.int64).reshape(-1, 3),
    )


def shared_passes(student: Student, samples: Sequence[LessonSample], margin: float) -> JointSums:
    """What `separate_passes` gives."""
    return shared_sums(student, share(student, samples), margin)


def shared_sums(student: Student, shared: Shared, margin: float) -> JointSums:
    """Both losses of a batch, undivided; the graph reaches the one pass."""
    device = student.device
    place_M, state_K3, weight_M = (x.to(device) for x in (shared.place_M, shared.state_K3, shared.weight_M))
    with (
        _states_repeated(student, shared.question_R.to(device)),
        _head_given(student, place_M) as given,
    ):
        output = student.model(
            input_ids=shared.source_QS.to(device),
            attention_mask=shared.source_attention_QS.to(device),
            decoder_input_ids=shared.token_RT.to(device),
            decoder_attention_mask=shared.attention_RT.to(device),
            use_cache=False,
        )
    total = cross_entropy(output.logits[0], shared.target_M.to(device), weight_M)
    [hidden_ND] = given
    anchor_KD, positive_KD, negative_KD = F.embedding(state_K3, hidden_ND).unbind(1)
    return JointSums(Sum(total, weight_M.sum()), triplet_loss(anchor_KD, positive_KD, negative_KD, margin))


@contextlib.contextmanager
def _states_repeated(student: Student, question_R: Tensor) -> Iterator[None]:
    """The decoder gets, for each of its texts, the encoder's states of its question."""

    def repeat(module: Any, arguments: Any, named: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        states_QSD, mask_QS = named["encoder_hidden_states"], named["encoder_attention_mask"]
        # A look-up and no index: the gradient of an index adds up in another order each time, on several CPU threads.
        states_RSD = F.embedding(question_R, states_QSD.flatten(1)).unflatten(1, states_QSD.shape[1:])
        return arguments, named | {"encoder_hidden_states": states_RSD, "encoder_attention_mask": mask_QS[question_R]}

    decoder: Any = student.model.get_decoder()
    handle = decoder.register_forward_pre_hook(repeat, with_kwargs=True)
    try:
        yield
    finally:
        handle.remove()


@contextlib.contextmanager
def _head_given(student: Student, place_M: Tensor) -> Iterator[list[Tensor]]:
    """The head gets the hidden states at these places alone, [1, M, D]; in the list are all of them, [R * T, D]."""
    given: list[Tensor] = []

    def choose(module: Any, arguments: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        given.append(arguments[0].flatten(0, 1))
        return (F.embedding(place_M, given[0])[None], *arguments[1:])

    head: Any = student.model.get_output_embeddings()
    handle = head.register_forward_pre_hook(choose)
    try:
        yield given
    finally:
        handle.remove()

"""Arithmetic that a training step needs, whatever does it: the numerator of model FLOPs utilisation.

Counted over the tree of a batch: the demonstrations once, each question once, its branches; no padding, no pair of
tokens that may not attend to each other, and no recomputation. A multiplication and an addition are two operations,
and the backward pass is twice the forward pass.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from transformers import PreTrainedModel

from measuring.lessons import question_end
from tutelage.student.loss.separate import LessonSample


@dataclass(frozen=True, slots=True)
class Work:
    """Of one batch as a tree.

    tokens: computed. pairs: of a token with one that it attends to, itself included. logits: positions whose next token
    is predicted by the language-model loss.
    """

    tokens: int
    pairs: int
    logits: int


def tree_work(samples: Sequence[LessonSample], demonstrations: int) -> Work:
    """The work of a batch whose texts all begin with the same `demonstrations` tokens.

    An end token is predicted but predicts nothing, and a positive or negative is read at its last token only.
    """
    tokens, pairs, logits = demonstrations, _triangle(demonstrations), demonstrations
    for sample in samples:
        before = question_end(sample)
        question = before - demonstrations
        anchor = len(sample.anchor.token_ids) - 1 - before
        others = [text.last + 1 - before for text in (sample.positive, sample.negative) if text is not None]
        tokens += question + anchor + sum(others)
        pairs += question * demonstrations + _triangle(question)
        pairs += sum(length * before + _triangle(length) for length in (anchor, *others))
        logits += question + anchor
    return Work(tokens, pairs, logits)


def step_flops(model: PreTrainedModel, work: Work) -> float:
    """Operations of a forward and a backward pass over it; the optimizer's are left out, as is usual."""
    config = model.config.get_text_config()
    heads = config.num_attention_heads
    width = heads * (getattr(config, "head_dim", None) or config.hidden_size // heads)
    head = config.vocab_size * config.hidden_size
    body = sum(parameter.numel() for parameter in model.parameters()) - _in_tables(model)
    # Scores and their weighted sum: 2 operations each, a width and a pair; three times with the backward pass.
    attention = 12 * config.num_hidden_layers * width * work.pairs
    return float(6 * body * work.tokens + 6 * head * work.logits + attention)


def _in_tables(model: PreTrainedModel) -> int:
    """Parameters of the embedding and the head, which are often the same."""
    tables: tuple[Any, ...] = (model.get_input_embeddings(), model.get_output_embeddings())
    return sum({id(table.weight): table.weight.numel() for table in tables}.values())


def _triangle(length: int) -> int:
    return length * (length + 1) // 2

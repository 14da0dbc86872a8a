"""Prompts made ready to be answered: as tokens, short enough for the model, in sittings."""

from __future__ import annotations

from collections.abc import Sequence

from tutelage.errors import StudentError
from tutelage.student.engine.drawing import Drawing
from tutelage.student.model.student import Student
from tutelage.student.text.encoding import whole_prompt

_SITTING = 4
"""Sequences of a sitting, by those at a time: few are lost by a kill, and few slots stay empty at a sitting's end."""


def encode_prompts(student: Student, prompts: Sequence[str]) -> list[list[int]]:
    """Prompts' tokens, each tokenised whole, with the beginning-of-text tokens unless it already starts with them.

    For an encoder with what ends a text, too. Raises: StudentError if one has none.
    """
    if not prompts:
        return []
    encoded: list[list[int]] = student.tokenizer(list(prompts), add_special_tokens=False)["input_ids"]
    if not all(student.bos or ids for ids in encoded):
        raise StudentError("A prompt is empty: there is nothing to continue. Give it a question.")
    return [whole_prompt(student, ids) for ids in encoded]


def check_lengths(student: Student, prompts: Sequence[Sequence[int]], drawing: Drawing) -> None:
    """Raises: StudentError if a prompt is too long for the model's context."""
    longest = max(map(len, prompts), default=0)
    limit, new = student.context, drawing.max_new_tokens
    if limit is None:
        return
    if student.is_encoder_decoder and max(longest, len(student.decoder_start) + new) > limit:
        raise StudentError(
            f"A prompt of {longest} tokens or an answer of {new} does not fit the model's context of {limit} tokens, "
            "in the encoder or in the decoder. Take fewer demonstrations (prompt.count) or a smaller max_new_tokens."
        )
    if not student.is_encoder_decoder and longest + new > limit:
        raise StudentError(
            f"A prompt of {longest} tokens and {new} new ones do not fit the model's context of {limit} tokens. "
            "Take fewer demonstrations (prompt.count) or a smaller max_new_tokens."
        )


def plan_sittings(prompts: Sequence[Sequence[int]], samples: int, slots: int) -> list[list[int]]:
    """The prompts' numbers, the longest first, in sittings of some times the slots.

    The longest come first: a prompt that is too long for the model, or slots too many for the memory, show at once.
    """
    order = sorted(range(len(prompts)), key=lambda number: -len(prompts[number]))
    size = max(1, _SITTING * slots // samples)
    return [order[start : start + size] for start in range(0, len(order), size)]

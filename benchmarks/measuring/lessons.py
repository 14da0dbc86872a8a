"""Lessons for timing: random tokens in the shape of a lesson, all behind the same demonstrations."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from measuring.lengths import Lengths, draw_lengths
from measuring.models import FIRST_WORD
from tutelage.student.loss.separate import LessonSample
from tutelage.student.model.student import Student
from tutelage.student.text.encoding import Sample

DEMONSTRATION_WEIGHT = 0.1  # A.2


def make_batches(
    student: Student, batches: int, batch_size: int, demonstrations: int, seed: int
) -> list[list[LessonSample]]:
    """Batches of whole triplets, each of new lengths, so that what depends on a shape shows in the times.

    demonstrations: their tokens, the same ones before every question.
    """
    vocabulary = int(student.model.config.get_text_config().vocab_size)
    draw = np.random.default_rng(seed)

    def tokens(count: int) -> list[int]:
        ids: list[int] = draw.integers(FIRST_WORD, vocabulary, count).tolist()
        return ids

    shown = [*student.bos, *tokens(demonstrations)]
    lengths = draw_lengths(batches * batch_size, seed)

    def sample(place: int, sizes: Lengths) -> LessonSample:
        question = tokens(sizes.question)
        ends = [[*tokens(size - 1), student.eos_id] for size in (sizes.anchor, sizes.positive, sizes.negative)]
        return LessonSample(f"question/{place}", *(_text(shown, question, end) for end in ends))

    samples = [sample(place, sizes) for place, sizes in enumerate(lengths)]
    return [samples[start : start + batch_size] for start in range(0, len(samples), batch_size)]


def _text(shown: Sequence[int], question: Sequence[int], solution: Sequence[int]) -> Sample:
    token_ids = (*shown, *question, *solution)
    weights = (*(DEMONSTRATION_WEIGHT for _ in shown), *(1.0 for _ in (*question, *solution)))
    return Sample(token_ids, weights, last=len(token_ids) - 2)


def question_end(sample: LessonSample) -> int:
    """Where the texts of a triplet part: the length of their longest common prefix of tokens.

    At least one token is left to each of them.
    """
    texts = [text.token_ids for text in (sample.anchor, sample.positive, sample.negative) if text is not None]
    low, high = min(texts), max(texts)
    apart = next((place for place, pair in enumerate(zip(low, high, strict=False)) if pair[0] != pair[1]), len(low))
    return min(apart, *(len(text) - 1 for text in texts))

"""Arithmetic of a step, counted by hand for a small tree."""

from __future__ import annotations

from measuring.flops import Work, step_flops, tree_work
from measuring.models import load_model
from tutelage.student.loss.separate import LessonSample
from tutelage.student.text.encoding import Sample


def _sample(*token_ids: int) -> Sample:
    return Sample(token_ids, (1.0,) * len(token_ids), last=len(token_ids) - 2)


SHOWN, QUESTION, END = (2, 3, 4), (5, 6), 0


def test_a_tree_by_hand() -> None:
    """Three demonstration tokens, a question of two, an anchor of three, a positive of two, a negative of one."""
    anchor, positive, negative = (
        _sample(*SHOWN, *QUESTION, *branch, END) for branch in ((10, 11, 12), (20, 21), (30,))
    )
    work = tree_work([LessonSample("a", anchor, positive, negative)], demonstrations=3)
    assert work.tokens == 3 + 2 + 3 + 2 + 1
    demonstrations, question = 1 + 2 + 3, 4 + 5
    branches = (6 + 7 + 8) + (6 + 7) + 6  # each token sees what is before it on its path, and itself
    assert work.pairs == demonstrations + question + branches
    assert work.logits == 3 + 2 + 3


def test_demonstrations_count_once() -> None:
    one, other = (
        LessonSample(name, *(_sample(*SHOWN, first, 6, branch, END) for branch in (10, 20, 30)))
        for name, first in (("a", 5), ("b", 7))
    )
    both = tree_work([one, other], demonstrations=3)
    assert both.tokens == 3 + 2 * (2 + 3)
    assert both.logits == 3 + 2 * (2 + 1)


def test_operations_by_hand() -> None:
    """tiny: 2 layers, width 32, 4 heads of 8, 2 of them for keys and values, 64 inside, 320 tokens, tied."""
    model = load_model("tiny", "cpu").model
    layer = 32 * 32 + 2 * 32 * 16 + 32 * 32 + 3 * 32 * 64 + 2 * 32
    body = 2 * layer + 32
    work = Work(tokens=7, pairs=11, logits=5)
    attention = 2 * 3 * 2 * (2 * 32 * 11)  # layers, forward and twice backward, scores and values, operations a pair
    assert step_flops(model, work) == 6 * body * 7 + 6 * 320 * 32 * 5 + attention

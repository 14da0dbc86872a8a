"""Specializing: many rationales a question, studied half behind demonstrations and half without.

Source: Fu et al. 2023, "Specializing Smaller Language Models towards Multi-Step Reasoning". Their loss matches the
teacher's distribution token by token, from its log-probabilities. No teacher here gives any for its own tokens in the
student's vocabulary, so what is left is their data, formats and mixture with the language-model loss. How many
rationales a question has, 40 with them, is a recipe's `teacher.replies` and `teacher.rationales`.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain, zip_longest

from tutelage.baselines.cot import DECIDES, STAGES
from tutelage.baselines.method import Method
from tutelage.baselines.one_pass import lesson_of_one_pass, one_pass
from tutelage.records import Demonstration, Triplet
from tutelage.rounds.run import Run
from tutelage.rounds.study import encode_lesson
from tutelage.student.loss.separate import LessonSample
from tutelage.student.model.student import Student


class _ZeroShot(Run):
    """The same run, whose student is asked without demonstrations."""

    demonstrations: tuple[Demonstration, ...] = ()


def encode_both_forms(run: Run, student: Student, triplets: Sequence[Triplet]) -> list[LessonSample]:
    """A lesson as tokens: every other rationale behind the demonstrations, the rest zero-shot.

    A question's rationales follow each other, so each question is studied in both forms, as far as it has two.
    """
    with_demonstrations, without = triplets[::2], triplets[1::2]
    first = encode_lesson(run, student, with_demonstrations)
    second = encode_lesson(_ZeroShot(run.workspace, run.recipe), student, without) if without else []
    mixed = chain.from_iterable(zip_longest(first, second))
    return [sample for sample in mixed if sample is not None]


def _play(run: Run) -> None:
    one_pass(run, lesson_of_one_pass, encode_both_forms)


METHOD = Method(
    "specializing",
    "Fu et al. 2023, arXiv 2301.12726, but without distribution matching, for which no teacher here gives "
    "log-probabilities over the student's vocabulary",
    _play,
    decides=DECIDES,
    stages=STAGES,
    own=frozenset(("lesson", "study")),
    one_pass=True,
)

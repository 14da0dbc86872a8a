"""Chain-of-thought fine-tuning: one pass of the teacher, the language-model loss alone.

Source: Magister et al. 2023, "Teaching Small Language Models to Reason". They show the teacher the right answer, too,
keep the rationales that end in it, and take one a question; more are a recipe's `teacher.replies`.
"""

from __future__ import annotations

from tutelage.baselines.method import Method, Stage
from tutelage.baselines.one_pass import lesson_of_one_pass, one_pass
from tutelage.rounds.run import Run

DECIDES = ("rounds.limit=1", "study.lambda=0.0")
STAGES: frozenset[Stage] = frozenset(("feedback", "lesson", "study", "evaluation"))


def _play(run: Run) -> None:
    one_pass(run, lesson_of_one_pass)


METHOD = Method(
    "cot",
    "Magister et al. 2023, arXiv 2212.08410",
    _play,
    decides=DECIDES,
    stages=STAGES,
    own=frozenset(("lesson",)),
    one_pass=True,
)

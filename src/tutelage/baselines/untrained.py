"""The student as it comes, zero-shot or few-shot: `prompt.count` says how many demonstrations it is shown."""

from __future__ import annotations

from tutelage.baselines.method import Method
from tutelage.rounds.evaluate import evaluate
from tutelage.rounds.learn import hand_over, timed
from tutelage.rounds.plateau import Decision
from tutelage.rounds.run import Run


def _play(run: Run) -> None:
    timed(run, 0, "evaluation", lambda: evaluate(run, 0))
    hand_over(run, Decision(0, "it is not to be trained"), 0)


METHOD = Method("untrained", "Brown et al. 2020", _play, asks=False, trains=False)

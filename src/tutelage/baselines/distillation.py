"""Tailored learning: the paper's method, whole runs of `tutelage learn`.

One round is `rounds.limit=1`, and `study.lambda=0` leaves self-reflection out, as the rows "One-Round Distillation"
and "+ Multi-round" of Table 1 do.
"""

from __future__ import annotations

from tutelage.baselines.method import ALL, Method
from tutelage.rounds.learn import go_on
from tutelage.rounds.run import Run


def _play(run: Run) -> None:
    go_on(run)


METHOD = Method("distillation", "arXiv 2310.13332", _play, stages=ALL)

"""What a rank that does not lead does: its share of each stage that the leader calls for, and nothing else.

It takes no lock and writes nothing but what its share says; it shows nothing.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable

from transformers.utils import logging

from tutelage.progress import console
from tutelage.rounds.evaluate import take_test
from tutelage.rounds.exam import sit_exam
from tutelage.rounds.orders import next_order
from tutelage.rounds.run import Run, open_run
from tutelage.rounds.study import train_student

STAGES: dict[str, Callable[[Run, int], object]] = {
    "exam": sit_exam,
    "evaluation": take_test,
    "study": train_student,
}
"""The part of each stage that all ranks do."""


def follow() -> None:
    """Does as the leader says until it needs no more help. Raises: TutelageError and others as the stages do."""
    _be_silent()
    last: Run | None = None
    while (order := next_order()) is not None:
        run = open_run(order.folder, lock=False)
        # The same run as before has its student and its questions loaded.
        if last is None or (last.workspace.folder, last.recipe) != (run.workspace.folder, run.recipe):
            last = run
        STAGES[order.stage](last, order.number)


def _be_silent() -> None:
    console.quiet = True
    warnings.simplefilter("ignore")
    logging.disable_progress_bar()
    logging.set_verbosity_error()

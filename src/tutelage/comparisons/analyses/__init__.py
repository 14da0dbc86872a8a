"""What a comparison's runs are made into: a file for each of the paper's tables or figures, and one to choose by."""

from __future__ import annotations

from tutelage.comparisons.analyses import (
    cases,
    feedback,
    judge,
    loss_weight,
    methods,
    reflection,
    rounds,
    students,
    transfer,
    tuning,
)
from tutelage.comparisons.tables.compared import Analysis

ANALYSES: dict[str, Analysis] = {
    "methods": methods.analyse,
    "feedback": feedback.analyse,
    "lambda": loss_weight.analyse,
    "curves": loss_weight.analyse_curves,
    "rounds": rounds.analyse,
    "students": students.analyse,
    "reflection": reflection.analyse,
    "transfer": transfer.analyse,
    "cases": cases.analyse,
    "judge": judge.analyse,
    "tuning": tuning.analyse,
}
"""By the name that a comparison file's `table` gives."""

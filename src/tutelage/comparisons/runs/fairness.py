"""What a comparison makes equal between its rows: optimizer steps, or what the teacher is asked for."""

from __future__ import annotations

from collections.abc import Sequence

from tutelage.baselines import METHODS
from tutelage.comparisons.results import RunResult
from tutelage.comparisons.settings import ComparisonSettings, RowSettings
from tutelage.config import Recipe
from tutelage.errors import RecipeError


def fair_overrides(
    settings: ComparisonSettings, row: RowSettings, recipe: Recipe, reference: RunResult | None
) -> list[str]:
    """What a row's recipe takes over from the reference row's run, that row itself apart.

    "steps": the last student has taken as many optimizer steps as the reference's last one: in all rounds together or,
    where each begins with the untrained student, in each. "teacher": as many replies are asked for, to the nearest
    whole number a question, by a row that asks in one round alone; how many a row of several rounds asks for is found
    out by its exams.
    reference: None before it has been run; then there is only the check.
    Raises: RecipeError if the row says otherwise itself.
    """
    method = METHODS[row.method]
    if settings.fair is None or not method.trains or row == settings.reference_row():
        return []
    rounds = 1 if method.one_pass else recipe.rounds.limit
    if settings.fair == "teacher" and (not method.asks or rounds > 1):
        return []
    _check(row, _DECIDES[settings.fair])
    if reference is None:
        return []
    if settings.fair == "steps":
        studies = 1 if recipe.rounds.start == "untrained" else rounds
        return [f"study.steps={max(1, round(reference.last_steps / studies))}"]
    first = reference.round(1)
    if first is None or not first.requests:
        raise RecipeError(f"The reference row {reference.row!r} asked its teacher nothing to go by.")
    replies = max(1, round(reference.teacher.replies / first.requests))
    hard = [] if recipe.teacher.hard_replies is None else [f"teacher.hard_replies={replies}"]
    return [f"teacher.replies={replies}", f"teacher.rationales={replies}", *hard]


_DECIDES = {
    "steps": ("study.steps", "study.epochs"),
    "teacher": ("teacher.replies", "teacher.rationales", "teacher.hard_replies"),
}


def _check(row: RowSettings, keys: Sequence[str]) -> None:
    own = [override for override in row.overrides if override.partition("=")[0] in keys]
    if own:
        raise RecipeError(f"The row {row.name!r} sets {own[0]}, which `fair` decides. Leave out one of the two.")

"""What a method is: how a row of a comparison comes to its student."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from tutelage.config import Recipe
from tutelage.rounds.run import Run

Stage = Literal["exam", "mistakes", "feedback", "lesson", "study", "evaluation"]

ALL: frozenset[Stage] = frozenset(("exam", "mistakes", "feedback", "lesson", "study", "evaluation"))


def _takes_any(_recipe: Recipe) -> None:
    """Most methods do."""


@dataclass(frozen=True, slots=True)
class Method:
    """A method by its name in a comparison file.

    source: where it comes from. play: does all of it in a run that has been started, and
        skips what is done; afterwards the run has its outcome.json, or teacher.json where there is no student.
    decides: recipe keys, with their values, that make the method what it is.
    stages: those it has, evaluations of round 0 apart. own: those of them, or that evaluation, that it does in another
        way than a round's.
    asks: whether it learns from a teacher. trains: whether there is a student to train. one_pass: whether it trains in
        one round alone.
    check: raises a RecipeError for a recipe that the method cannot do, before anything is run.
    """

    name: str
    source: str
    play: Callable[[Run], None]
    decides: tuple[str, ...] = ()
    stages: frozenset[Stage] = frozenset()
    own: frozenset[Stage] = frozenset()
    asks: bool = True
    trains: bool = True
    one_pass: bool = False
    check: Callable[[Recipe], None] = _takes_any

    def begins_anew(self, recipe: Recipe) -> bool:
        """Whether each round's study begins with the untrained student; the recipe of an old run may not say so."""
        return recipe.rounds.start == "untrained" or "rounds.start=untrained" in self.decides

"""What a run asks: the questions of each split, and the demonstrations before them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from tutelage.config import Recipe
from tutelage.demonstrations import load_demonstrations, load_feedback_demonstrations
from tutelage.progress import say
from tutelage.records import AnswerKind, Demonstration
from tutelage.tasks import load_task
from tutelage.tasks.split import Split, split_task


@dataclass(frozen=True, slots=True)
class Chosen:
    """What a recipe asks, and with which demonstrations before the student's questions and the teacher's requests."""

    split: Split
    demonstrations: tuple[Demonstration, ...]
    feedback_demonstrations: tuple[Demonstration, ...]


def choose_questions(recipe: Recipe) -> Chosen:
    """Loads a recipe's task and splits it, without a student or a run folder; says how.

    Raises: RecipeError, DataError.
    """
    task = load_task(recipe.task, recipe.seed)
    demonstrations, feedback_demonstrations = _demonstrations(recipe, task.kind)
    for note in task.notes:
        say(note)
    split = split_task(task, recipe.task, (*demonstrations, *feedback_demonstrations), recipe.seed)
    say(split_text(split))
    return Chosen(split, demonstrations, feedback_demonstrations)


def split_text(split: Split) -> str:
    """One line on the questions of a run, and how many were left out for which reason."""
    reasons = Counter(left_out.reason for left_out in split.left_out)
    left_out = "".join(f", {count} left out because {reason}" for reason, count in reasons.items())
    sizes = f"{len(split.train)} training questions, {len(split.held_out)} held out, {len(split.test)} for the test"
    return sizes + left_out


def _demonstrations(recipe: Recipe, kind: AnswerKind) -> tuple[tuple[Demonstration, ...], tuple[Demonstration, ...]]:
    name, prompt = recipe.task.name, recipe.prompt
    demonstrations = load_demonstrations(name, kind, prompt.demonstrations)
    feedback = load_feedback_demonstrations(name, kind, prompt.feedback_demonstrations)
    return demonstrations[: prompt.count], feedback

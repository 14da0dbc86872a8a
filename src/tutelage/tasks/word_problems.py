"""Word problems made on the spot by reasoning-gym (Apache-2.0): they need no download.

Source: https://github.com/open-thought/reasoning-gym, of the extra "word-problems". Each kind of problem has
its own file beside this one, which says how a problem of that kind reads and writes its worked solution.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from tutelage.config import TaskSettings
from tutelage.errors import DataError, RecipeError
from tutelage.records import Question
from tutelage.tasks.raw import make_question
from tutelage.tasks.task import Task, TaskInfo

SOURCE = "https://github.com/open-thought/reasoning-gym"
LICENCE = "Apache-2.0"
TRAIN_ROWS, TEST_ROWS = 1000, 200
_TRIES = 20  # problems made per problem wanted, before repeats are taken to have used up the supply

Reader = Callable[[Mapping[str, Any]], tuple[str, str, str]]
"""Makes the question, the answer and the worked solution from an item of reasoning-gym."""


def generate(info: TaskInfo, settings: TaskSettings, seed: int, defaults: Mapping[str, Any], read: Reader) -> Task:
    """A generated task with exactly the rows asked for, no question twice and none in both splits.

    The test questions are drawn first, so more training rows leave them as they are.
    Raises: DataError if reasoning-gym is not installed, or its options allow too few different problems;
    RecipeError for an unknown option or a value that it refuses.
    """
    train_rows, test_rows = settings.train_rows or TRAIN_ROWS, settings.test_rows or TEST_ROWS
    wanted = train_rows + test_rows
    questions: dict[str, Question] = {}
    for number, item in enumerate(_items(info, {**defaults, **settings.options}, seed, wanted * _TRIES)):
        text, answer, solution = read(item)
        if text not in questions:
            place = f"{info.name}, problem {number}"
            questions[text] = make_question(place, f"{info.name}/{number}", text, answer, "number", rationale=solution)
        if len(questions) == wanted:
            break
    if len(questions) < wanted:
        raise DataError(
            f"{info.name} made only {len(questions)} different questions with these options, not the {wanted} asked "
            "for. Lower task.train_rows or task.test_rows, or widen task.options."
        )
    made = tuple(questions.values())
    return Task(info.name, "number", info.source, info.licence, made[test_rows:], made[:test_rows])


def _items(info: TaskInfo, options: Mapping[str, Any], seed: int, count: int) -> Iterator[Mapping[str, Any]]:
    try:
        import reasoning_gym
        from reasoning_gym.factory import DATASETS
    except ImportError:
        raise DataError(
            f"The task {info.name} needs the library reasoning-gym: pip install 'tutelage[word-problems]'"
        ) from None
    known = [field.name for field in dataclasses.fields(DATASETS[info.name][1]) if field.name not in ("seed", "size")]
    if unknown := sorted(set(options) - set(known)):
        raise RecipeError(f"task.options.{unknown[0]} is no option of {info.name}; known are {', '.join(known)}.")
    try:
        # Item i of seed s is drawn from s + i: neighbouring seeds would share nearly all of their problems.
        dataset = reasoning_gym.create_dataset(info.name, seed=_spread(info.name, seed), size=count, **options)
        first = dataset[0]
    except (AssertionError, TypeError, ValueError) as error:
        raise RecipeError(f"task.options {dict(options)} cannot be used for {info.name}: {error}.") from None
    yield first
    for number in range(1, count):
        yield dataset[number]


def _spread(name: str, seed: int) -> int:
    """A seed far from that of any other recipe seed, and never negative, as random.Random drops the sign."""
    return int.from_bytes(hashlib.sha256(f"{name}/{seed}".encode()).digest()[:6])

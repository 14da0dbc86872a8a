"""Leg counting: how many legs some animals have between them.

Source: reasoning-gym, task leg_counting (https://github.com/open-thought/reasoning-gym). Licence: Apache-2.0.

    Question: How many legs do 3 cows and 2 ducks have?
    Reasoning: 3 cows have 3 * 4 = 12 legs. 2 ducks have 2 * 2 = 4 legs. 12 + 4 = 16.
    Answer: 16

Options (task.options): min_animals, max_animals (kinds in a question, default 2 to 3), min_instances,
max_instances (of each kind, default 1 to 9). Question and solution are written here, from the metadata; the
library's own question is long, and its plurals are wrong. Three and more numbers are added one at a time.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tutelage.config import TaskSettings
from tutelage.tasks.task import Task, TaskInfo
from tutelage.tasks.word_problems import LICENCE, SOURCE, generate

INFO = TaskInfo(
    name="leg_counting",
    title="Leg counting",
    kind="number",
    source=SOURCE,
    licence=LICENCE,
    description="the legs of some animals, with a worked solution; short enough for a CPU",
    generated=True,
)
DEFAULTS = {"min_animals": 2, "max_animals": 3, "min_instances": 1, "max_instances": 9}
_PLURALS = {name: name for name in ("sheep", "deer", "jellyfish", "starfish", "shrimp")} | {"woodlouse": "woodlice"}


def make(settings: TaskSettings, seed: int) -> Task:
    """A task of generated problems; see `generate`."""
    return generate(INFO, settings, seed, DEFAULTS, read)


def read(item: Mapping[str, Any]) -> tuple[str, str, str]:
    """A question, the answer and a worked solution from the metadata of an item of reasoning-gym."""
    from reasoning_gym.arithmetic.leg_counting import ANIMALS

    herds = [
        (f"{count} {plural(animal, count)}", count, ANIMALS[animal])
        for animal, count in item["metadata"]["animals"].items()
    ]
    steps = [
        f"{herd} {'has' if count == 1 else 'have'} {count} * {legs} = {count * legs} legs."
        for herd, count, legs in herds
    ]
    total, *rest = (count * legs for _, count, legs in herds)
    for more in rest:
        steps.append(f"{total} + {more} = {total + more}.")
        total += more
    verb = "does" if len(herds) == 1 and herds[0][1] == 1 else "do"
    question = f"How many legs {verb} {_listed([herd for herd, _, _ in herds])} have?"
    return question, str(item["answer"]), " ".join(steps)


def plural(animal: str, count: int) -> str:
    """The animal's name as it stands after a count: "1 fly", "2 flies", "3 sheep"."""
    if count == 1:
        return animal
    if animal in _PLURALS:
        return _PLURALS[animal]
    if animal.endswith("y"):
        return f"{animal[:-1]}ies"
    return animal + ("es" if animal.endswith(("s", "x", "ch", "sh")) else "s")


def _listed(parts: list[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"

"""Seeded draws: the same rows for the same seed and purpose, on every machine and Python."""

from __future__ import annotations

import random
from collections.abc import Iterable
from typing import TypeVar

Item = TypeVar("Item")


def shuffled(items: Iterable[Item], seed: str) -> list[Item]:
    """The items in an order that the seed decides; name the purpose in it, so that two draws are not alike."""
    drawn = list(items)
    random.Random(seed).shuffle(drawn)  # noqa: S311 (reproducible on purpose, and no secret)
    return drawn


def draw(items: Iterable[Item], count: int, seed: str) -> list[Item]:
    """`count` of the items, or all if there are fewer; they keep their order."""
    drawn = list(items)
    places = shuffled(range(len(drawn)), seed)[:count]
    return [drawn[place] for place in sorted(places)]

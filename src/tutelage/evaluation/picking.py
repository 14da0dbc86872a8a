"""Which few of many are shown or judged: by a rule, never by hand."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from typing import TypeVar

Item = TypeVar("Item")

RULE = "the first ones in the order of the SHA-256 of the question's id"
"""What `pick` does, in words for whoever reads the result."""


def pick(items: Iterable[Item], count: int, question_id: Callable[[Item], str]) -> list[Item]:
    """`count` of the items, or all if there are fewer, by the rule. The order says nothing about the questions.

    Items of one question keep their order. Whatever else is picked from, the same question comes at the same place.
    """
    return sorted(items, key=lambda item: hashlib.sha256(question_id(item).encode()).digest())[:count]

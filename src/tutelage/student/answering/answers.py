"""What an exam or an evaluation asks of whoever answers, the engine, the library or vLLM."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from tutelage.student.answering.stopping import Completion

Finished = Callable[[int, Sequence[Completion]], None]
"""Is told of a prompt's number and its completions as soon as all of them are there."""

Further = Callable[[], Sequence[int]]
"""Gives the numbers of further prompts to answer; none if there are no more."""


class Answers(Protocol):
    """Who answers a list of prompts, sitting by sitting.

    sittings: the prompts' numbers, the longest prompts first, in parts that are answered, and kept, as a whole.
    """

    @property
    def sittings(self) -> Sequence[Sequence[int]]: ...

    def answer(
        self, sitting: Sequence[int], finished: Finished | None = None, further: Further | None = None
    ) -> list[list[Completion]]:
        """The completions of each prompt of a sitting.

        further: prompts beyond the sitting, asked for whenever slots would stand empty; `finished` is told of them.
        """

    def release(self) -> None:
        """Gives back the memory that answering took. What is answered afterwards takes it anew."""

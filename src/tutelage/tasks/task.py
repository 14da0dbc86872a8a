"""What a task is: its questions, and what `tutelage tasks` says of it."""

from __future__ import annotations

from dataclasses import dataclass

from tutelage.records import AnswerKind, Question

Splits = tuple[tuple[Question, ...], tuple[Question, ...]]
"""The training and the test questions of a public data set, each in the order of its file."""


@dataclass(frozen=True, slots=True)
class TaskInfo:
    """A task that can be loaded.

    kind: how answers compare; None where the recipe says it. paper_sizes: training and test questions
    in Table 8; None for a task that the paper does not have. generated: made on the spot, without data.
    """

    name: str
    title: str
    kind: AnswerKind | None
    source: str
    licence: str
    description: str
    paper_sizes: tuple[int, int] | None = None
    generated: bool = False


@dataclass(frozen=True, slots=True)
class Task:
    """A task with its questions as loaded; `split_task` says which of them a run may use.

    held_out: only of an own task that marks them. notes: what the user should be told of the loading.
    """

    name: str
    kind: AnswerKind
    source: str
    licence: str
    train: tuple[Question, ...]
    test: tuple[Question, ...]
    held_out: tuple[Question, ...] = ()
    notes: tuple[str, ...] = ()

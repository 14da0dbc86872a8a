"""What the leader has the other ranks do: a stage of a round, in which all of them take part."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from tutelage import distributed
from tutelage.rounds.run import Run


class Order(NamedTuple):
    """A stage to take part in. folder: the run's."""

    stage: str
    folder: Path
    number: int


def call(run: Run, stage: str, number: int) -> None:
    """Has the other ranks take part in a stage. The leader calls it when all that the stage reads has been written."""
    if distributed.world_size() > 1:
        distributed.broadcast([stage, str(run.workspace.folder.resolve()), number])


def dismiss() -> None:
    """Tells the other ranks that nothing more is to be done."""
    distributed.broadcast(None)


def next_order() -> Order | None:
    """Waits for what the leader calls for; None when nothing more is to be done."""
    told = distributed.broadcast()
    return None if told is None else Order(told[0], Path(told[1]), told[2])

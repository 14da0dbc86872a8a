"""Hidden states as points of a picture (Fig. 4): t-SNE by scikit-learn."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import torch
from torch import Tensor

from tutelage.errors import DataError, RecipeError
from tutelage.evaluation.representation import Readings
from tutelage.workspace import write_atomically, write_json

_PERPLEXITY = 30.0
FEWEST = 5


@dataclass(frozen=True, slots=True)
class Point:
    """A text's place in the picture. label: "right" or "wrong"; the axes have no unit."""

    question_id: str
    label: str
    x: float
    y: float


def picture(readings: Readings, seed: int) -> list[Point]:
    """All pairs' states in one picture, each text once, the right ones first. Raises: as `tsne`."""
    states: dict[tuple[str, str, bytes], Tensor] = {}
    for label, state_PD in (("right", readings.right_PD), ("wrong", readings.wrong_PD)):
        for pair, state_D in zip(readings.pairs, state_PD, strict=True):
            states.setdefault((pair.question_id, label, state_D.numpy().tobytes()), state_D)
    places = tsne(list(states.values()), seed)
    return [Point(name, label, x, y) for (name, label, _), (x, y) in zip(states, places, strict=True)]


def tsne(states: Sequence[Tensor], seed: int) -> list[tuple[float, float]]:
    """Two dimensions in which states that are near each other stay so (van der Maaten and Hinton 2008).

    The same states and seed give the same points on the same machine; which clusters lie where has no meaning.
    Raises: RecipeError without scikit-learn, DataError for fewer than five states.
    """
    try:
        from sklearn.manifold import TSNE
    except ImportError:
        raise RecipeError(
            "A picture of the hidden states needs scikit-learn, which is not installed. "
            "Run: pip install 'tutelage[analysis]'"
        ) from None
    if len(states) < FEWEST:
        raise DataError(f"A picture of {len(states)} hidden states shows nothing; it takes at least {FEWEST}.")
    # scikit-learn asks for fewer neighbours than states; a third of them at most is the usual advice.
    perplexity = min(_PERPLEXITY, (len(states) - 1) / 3)
    fitted = TSNE(n_components=2, perplexity=perplexity, init="pca", random_state=seed)
    return [(float(x), float(y)) for x, y in fitted.fit_transform(torch.stack(list(states)).numpy())]


def write_points(path: Path, points: Sequence[Point]) -> None:
    """Writes the points for a chart, as CSV where the name ends in .csv, as JSON else. Raises: WorkspaceError."""
    if path.suffix != ".csv":
        write_json(path, [asdict(point) for point in points])
        return

    def write(partial: Path) -> None:
        with partial.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow([field.name for field in fields(Point)])
            writer.writerows([point.question_id, point.label, point.x, point.y] for point in points)

    write_atomically(path, write)

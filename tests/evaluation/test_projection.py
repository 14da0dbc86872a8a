"""Points of a picture."""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path

import pytest
import torch

from tutelage.errors import DataError, RecipeError
from tutelage.evaluation.projection import picture, tsne, write_points
from tutelage.evaluation.representation import PairReading, Readings


def two_clouds(count: int) -> Readings:
    """Right states around one place, wrong ones around another; the right one of every pair is the same text."""
    draw = torch.Generator().manual_seed(0)
    wrong_PD = torch.randn(count, 8, generator=draw) + 20
    right_PD = torch.randn(count, 8, generator=draw) - 20
    right_PD[1] = right_PD[0]
    pairs = tuple(PairReading(f"q{place // 2}", 1.0, 0.0, -1.0, -1.0, 1, 1) for place in range(count))
    return Readings(pairs, right_PD, wrong_PD)


def test_what_lies_apart_is_drawn_apart_and_the_same_each_time(tmp_path: Path) -> None:
    points = picture(two_clouds(12), seed=3)
    assert [point.label for point in points] == ["right"] * 11 + ["wrong"] * 12  # one text stands in two pairs
    places = {name: torch.tensor([[p.x, p.y] for p in points if p.label == name]) for name in ("right", "wrong")}
    middles = {name: place_N2.mean(dim=0) for name, place_N2 in places.items()}
    spread = max(float((place_N2 - middles[name]).norm(dim=1).mean()) for name, place_N2 in places.items())
    assert float((middles["right"] - middles["wrong"]).norm()) > 2 * spread
    assert picture(two_clouds(12), seed=3) == points
    write_points(tmp_path / "points.csv", points)
    write_points(tmp_path / "points.json", points)
    with (tmp_path / "points.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["question_id"], row["label"], float(row["x"])) for row in rows] == [
        (point.question_id, point.label, point.x) for point in points
    ]
    assert json.loads((tmp_path / "points.json").read_text())[0]["y"] == points[0].y


def test_too_few_states_are_no_picture() -> None:
    with pytest.raises(DataError, match="at least 5"):
        tsne([torch.zeros(3)] * 4, 0)


def test_without_the_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.manifold", None)
    with pytest.raises(RecipeError, match=r"tutelage\[analysis\]"):
        tsne([torch.zeros(3)] * 9, 0)
